"""A structure is checked once, and cannot be changed afterwards."""

import numpy as np
import pytest

from ovito_glassml.structure import Structure, StructureError, chemical_order, combined_species


def test_arrays_are_read_only_copies():
    positions = np.zeros((2, 3))
    structure = Structure(positions, cell=np.eye(3))
    positions[0] = 7.0
    assert structure.positions[0, 0] == 0.0
    for array in (structure.positions, structure.species, structure.ids, structure.cell):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1


def test_without_cell_there_are_no_periodic_directions_and_no_volume():
    structure = Structure(np.zeros((1, 3)), pbc=(True, True, True))
    assert structure.pbc == (False, False, False)
    with pytest.raises(StructureError, match="give number_density"):
        _ = structure.number_density


def test_density_of_a_crystal(fcc):
    assert fcc.number_density == pytest.approx(4 / 4.0**3)


def test_left_handed_cells_have_positive_volume():
    assert Structure(np.zeros((1, 3)), cell=np.diag([1.0, 2.0, -3.0])).volume == pytest.approx(6.0)


def test_mask_selects():
    structure = Structure(np.zeros((3, 3)), mask=[True, False, True])
    np.testing.assert_array_equal(structure.selected, [0, 2])
    np.testing.assert_array_equal(Structure(np.zeros((3, 3))).selected, [0, 1, 2])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"positions": np.zeros((4, 2))}, "three coordinates"),
        ({"positions": [[0, 0, np.nan]]}, "non-finite"),
        ({"positions": [[0, np.inf, 0]]}, "non-finite"),
        ({"positions": np.zeros((2, 3)), "species": [0, 1]}, "name every species"),
        ({"positions": np.zeros((2, 3)), "species": [0]}, "one value for each of the 2 atoms"),
        ({"positions": np.zeros((2, 3)), "ids": [1]}, "one value for each of the 2 atoms"),
        ({"positions": np.zeros((2, 3)), "mask": [True]}, "one value for each of the 2 atoms"),
        ({"positions": np.zeros((1, 3)), "cell": np.diag([1, 1, 0])}, "zero volume"),
        ({"positions": np.zeros((1, 3)), "cell": np.eye(2)}, "three cell vectors"),
        ({"positions": np.zeros((1, 3)), "cell": np.diag([1, np.nan, 1])}, "non-finite"),
        ({"positions": [[0, 1e103, 0]]}, "reach 1e\\+103, .* no digits"),
        ({"positions": [[0, 0, -1e12]]}, "reach 1e\\+12, .* no digits"),
        ({"positions": np.zeros((1, 3)), "cell": np.eye(3) * 1e103}, "1e\\+103, where no digits"),
        ({"positions": np.zeros((1, 3)), "cell": np.eye(3), "origin": [0, 1e103, 0]}, "too far away"),
    ],
)
def test_impossible_input_is_refused(arguments, message):
    with pytest.raises(StructureError, match=message):
        Structure(**arguments)


def test_no_atoms_is_a_structure():
    assert len(Structure(np.empty((0, 3)), cell=np.eye(3)).selected) == 0


@pytest.mark.parametrize(
    ("names", "order"),
    [
        ("Zr Cu Al", "Al Cu Zr"),
        ("B A", "A B"),
        ("O Si B", "B O Si"),
        ("Zr B Cu A Al Zr", "A Al B Cu Zr"),
        ("Cu Zr1 Zr2", "Cu Zr1 Zr2"),
        ("", ""),
    ],
)
def test_elements_come_by_atomic_number_and_all_others_by_alphabet(names, order):
    """B of a Lennard-Jones mixture is no boron, so A comes first."""
    assert chemical_order(names.split()) == tuple(order.split())


def test_species_of_several_structures_have_the_order_of_one():
    first, second = (Structure(np.zeros((1, 3)), [0], names) for names in (("Zr", "Cu"), ("Al",)))
    assert combined_species([first, second]) == combined_species([second, first]) == ("Al", "Cu", "Zr")


def test_atoms_of_a_species_are_found_and_none_of_a_stranger():
    glass = Structure(np.eye(3), [0, 1, 0], ("A", "B"))
    assert glass.of_species("A").tolist() == [True, False, True]
    assert glass.of_species("B").tolist() == [False, True, False]
    assert not glass.of_species("C").any()
