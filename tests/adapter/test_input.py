"""What of OVITO's data reaches the numeric layers, and what is refused."""

import numpy as np
import pytest
from ovito.data import DataCollection
from ovito.io import export_file

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.adapter.input import (
    declared_species,
    parse_species,
    particle_column,
    structure_from_data,
)
from ovito_glassml.structure import StructureError

POSITIONS = np.array([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
CELL = np.array([[10.0, 0.0, 0.0], [2.0, 11.0, 0.0], [1.0, 3.0, 12.0]])


@pytest.mark.parametrize("text", ["Cu,Zr", "Cu Zr", " Cu ; Zr", ("Cu", "Zr"), ["Cu ", "Zr"]])
def test_species_may_be_written_in_many_ways(text):
    assert parse_species(text) == ("Cu", "Zr")


def test_species_are_numbered_in_canonical_order_whatever_the_type_numbers(make_data):
    data = make_data(POSITIONS, CELL, types=[7, 2, 7], names={2: "Zr", 7: "Cu"})
    structure = structure_from_data(data)
    assert structure.species_names == ("Cu", "Zr")
    assert structure.species.tolist() == [0, 1, 0]


def test_two_types_of_one_name_are_one_species(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 2, 3], names={1: "Cu", 2: "Cu", 3: "Zr"})
    assert structure_from_data(data).species.tolist() == [0, 0, 1]


def test_cell_origin_boundaries_and_identifiers_arrive(make_data):
    data = make_data(POSITIONS, CELL, (True, False, True), (1, -2, 3), [1, 1, 1], {1: "Cu"}, ids=[30, 10, 20])
    structure = structure_from_data(data)
    np.testing.assert_array_equal(structure.cell, CELL)
    np.testing.assert_array_equal(structure.origin, [1, -2, 3])
    assert structure.pbc == (True, False, True)
    assert structure.ids.tolist() == [30, 10, 20]
    np.testing.assert_array_equal(structure.positions, POSITIONS)


def test_a_later_change_of_the_data_does_not_reach_the_structure(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Cu"})
    structure = structure_from_data(data)
    data.particles_.positions_[...] = 0.0
    np.testing.assert_array_equal(structure.positions, POSITIONS)


def test_unnamed_types_are_refused_with_the_remedy(make_data):
    with pytest.raises(StructureError, match=r"set species to the names in type order.*--species"):
        structure_from_data(make_data(POSITIONS, CELL, types=[1, 2, 1]))
    with pytest.raises(StructureError, match=r"no types.*set species"):
        structure_from_data(make_data(POSITIONS, CELL))


def test_an_unnamed_type_without_atoms_does_no_harm(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Cu", 2: ""})
    assert structure_from_data(data).species_names == ("Cu",)


def test_given_names_go_to_types_by_number(make_data):
    data = make_data(POSITIONS, CELL, types=[2, 1, 1])
    structure = structure_from_data(data, species="Zr,Cu")
    assert [structure.species_names[kind] for kind in structure.species] == ["Cu", "Zr", "Zr"]


@pytest.mark.parametrize("types", [[3, 1, 1], [3, 3, 3], [1, 2, 3], []])
def test_names_keep_their_numbers_whatever_a_frame_holds(make_data, types):
    data = make_data(POSITIONS[: len(types)], CELL, types=types)
    structure = structure_from_data(data, species="Zr,Al,Cu")
    assert [structure.species_names[kind] for kind in structure.species] == [["", "Zr", "Al", "Cu"][k] for k in types]
    assert declared_species(data, "Zr,Al,Cu") == ("Al", "Cu", "Zr")


@pytest.mark.parametrize("types", [[1, 2, 2**31 - 1], [-(2**31), 0, 2**31 - 1], [-7, -7, -8]])
def test_types_may_have_any_number(make_data, types):
    """Without memory for each of the numbers between them."""
    structure = structure_from_data(make_data(POSITIONS, CELL, types=types), names_needed=False)
    assert [structure.species_names[kind] for kind in structure.species] == [f"type {number}" for number in types]


def test_names_may_carry_any_numbers(make_data):
    data = make_data(POSITIONS, CELL, types=[0, -5, 2**31 - 1])
    structure = structure_from_data(data, species="0=Cu, -5=Zr, 2147483647=Al")
    assert [structure.species_names[kind] for kind in structure.species] == ["Cu", "Zr", "Al"]


@pytest.mark.parametrize("given", ["1=Cu,1=Zr", "x=Cu", "1=", "=", "1.5=Cu", "Cu,1=Zr", "99999999999=Cu"])
def test_names_without_a_number_of_their_own_are_refused(make_data, given):
    with pytest.raises(StructureError, match=r"species holds .*; give the names of types 1, 2"):
        structure_from_data(make_data(POSITIONS, CELL, types=[1, 1, 1]), species=given)


def test_a_single_given_name_serves_particles_without_types(make_data):
    assert structure_from_data(make_data(POSITIONS, CELL), species="Cu").species_names == ("Cu",)


@pytest.mark.parametrize("types", [[1, 3, 3], [0, 1, 1], [1, 2, -7]])
def test_particles_of_a_type_that_is_not_named_are_refused_with_its_number(make_data, types):
    number = ({*types} - {1, 2}).pop()
    with pytest.raises(
        StructureError, match=rf"names the types 1 = Zr, 2 = Cu, but .* of type {number}; .*{number}=Cu"
    ):
        structure_from_data(make_data(POSITIONS, CELL, types=types), species="Zr,Cu")


def test_an_unnamed_type_without_particles_is_no_species(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Zr", 2: ""})
    assert declared_species(data) == ("Zr",)
    data = make_data(POSITIONS, CELL, types=[1, 1, 2], names={1: "", 2: "", 3: ""})
    assert declared_species(data, "Zr,Cu") == ("Cu", "Zr")


def test_types_that_are_not_there_cannot_be_named_apart(make_data):
    with pytest.raises(StructureError, match=r"no types, so species can name only one element, not Cu, Zr;"):
        structure_from_data(make_data(POSITIONS, CELL), species="Cu,Zr")


@pytest.mark.parametrize("given", ["Cu,Zr", "Cu,Al"])
def test_names_that_the_data_gives_to_other_types_are_refused(make_data, given):
    """Readers number types as they come in the file: here zirconium is type 1, and would be taken for copper."""
    data = make_data(POSITIONS, CELL, types=[1, 2, 2], names={1: "Zr", 2: "Cu"})
    with pytest.raises(StructureError, match=r"type 1 Cu, but .* the name of type 2 \(1 = Zr, 2 = Cu\); leave species"):
        structure_from_data(data, species=given)


@pytest.mark.parametrize("given", ["Zr,Cu", "A,B", "Zr,Zr", "Al,Ni", "Hf,Cu"])
def test_other_names_take_the_place_of_those_in_the_data(make_data, given):
    data = make_data(POSITIONS, CELL, types=[1, 2, 2], names={1: "Zr", 2: "Cu"})
    structure = structure_from_data(data, species=given)
    first, second = given.split(",")
    assert [structure.species_names[kind] for kind in structure.species] == [first, second, second]


def test_analyses_without_elements_take_unnamed_types(make_data):
    structure = structure_from_data(make_data(POSITIONS, CELL, types=[2, 1, 2]), names_needed=False)
    assert structure.species_names == ("type 1", "type 2")
    assert structure.species.tolist() == [1, 0, 1]


def test_declared_species_outlive_the_last_atom_of_a_kind(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Zr", 2: "Cu"})
    assert declared_species(data) == ("Cu", "Zr")
    assert structure_from_data(data).species_names == ("Zr",)


def test_a_selection_becomes_the_mask(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Cu"})
    with pytest.raises(StructureError, match="nothing is selected"):
        structure_from_data(data, only_selected=True)
    data.particles_.create_property("Selection", data=[0, 1, 1])
    assert structure_from_data(data, only_selected=True).selected.tolist() == [1, 2]
    assert structure_from_data(data).mask is None


def test_no_cell_means_open_boundaries(make_data):
    structure = structure_from_data(make_data(POSITIONS), names_needed=False)
    assert structure.cell is None
    assert structure.pbc == (False, False, False)


def test_a_flat_open_box_counts_as_no_cell_but_a_flat_periodic_one_is_refused(make_data):
    flat = np.diag([10.0, 10.0, 0.0])
    assert structure_from_data(make_data(POSITIONS, flat, (False,) * 3), names_needed=False).cell is None
    with pytest.raises(StructureError, match="zero volume"):
        structure_from_data(make_data(POSITIONS, flat), names_needed=False)


def test_a_cell_of_zeros_is_no_cell_whatever_it_says_of_its_boundaries(make_data):
    """As in trajectories that GROMACS wrote without a box."""
    structure = structure_from_data(make_data(POSITIONS, np.zeros((3, 3))), names_needed=False)
    assert structure.cell is None
    assert structure.pbc == (False, False, False)


def test_an_empty_frame_is_an_empty_structure(make_data):
    structure = structure_from_data(make_data(np.empty((0, 3)), CELL, types=[], names={1: "Cu"}))
    assert len(structure) == 0


def test_data_without_particles_is_refused():
    with pytest.raises(StructureError, match="no particles"):
        structure_from_data(DataCollection())


def test_two_dimensional_cells_are_refused(make_data):
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Cu"})
    data.cell_.is2D = True
    with pytest.raises(StructureError, match="two-dimensional"):
        structure_from_data(data)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_non_finite_coordinates_are_refused(make_data, value):
    broken = POSITIONS.copy()
    broken[1, 2] = value
    with pytest.raises(StructureError, match="1 atoms have non-finite"):
        structure_from_data(make_data(broken, CELL), names_needed=False)


def test_columns_are_found_by_the_names_of_ovito_and_of_files(make_data):
    data = make_data(POSITIONS, CELL)
    data.particles_.create_property("Some_Label", data=np.array([1, 0, -1], dtype=np.int32))
    data.particles_.create_property("some label", data=np.array([1.0, -1.0, np.nan]))
    np.testing.assert_array_equal(particle_column(data, "Some_Label", "true"), [1, 0, np.nan])
    np.testing.assert_array_equal(particle_column(data, "some label", "true"), [1, -1, np.nan])
    np.testing.assert_array_equal(particle_column(data, "Position.Y", "true"), POSITIONS[:, 1])
    with pytest.raises(StructureError, match=r"no property 'Other'; set true to one of .*Position, .*Some_Label"):
        particle_column(data, "Other", "true")


FOUR = np.arange(12.0).reshape(3, 4)
NAMES_OF_FOUR = {"similarity": ("Kind 0", "Kind 1", "Kind 2", "Kind 3"), "fractions": ("S311", "S322", "S421", "Other")}


def stored(make_data, tmp_path, style):
    """Two properties with named components, as they are or as a file of a format gives them back."""
    data = make_data(POSITIONS, CELL, types=[1, 1, 1], names={1: "Cu"})
    data.particles_.create_property("Similarity", data=FOUR, components=NAMES_OF_FOUR["similarity"])
    data.particles_.create_property("Fractions", data=FOUR, components=NAMES_OF_FOUR["fractions"])
    if style is None:
        return data
    columns = ["Particle Type", "Position", "Similarity", "Fractions"]
    export_file(data, str(tmp_path / "file"), style, columns=columns)
    return open_trajectory(str(tmp_path / "file")).compute()


@pytest.mark.parametrize("style", [None, "xyz", "lammps/dump"])
def test_components_go_by_name_and_number_before_and_after_a_file(make_data, tmp_path, style):
    """The number in a name is that of the component, else components count from 1 as in OVITO."""
    data = stored(make_data, tmp_path, style)
    places = {"Similarity.2": 2, "Similarity.0": 0, "similarity.kind_3": 3, "Similarity.Kind 1": 1}
    places |= {"Fractions.S322": 1, "fractions.other": 3, "Fractions.4": 3, "Fractions.1": 0}
    for name, place in places.items():
        np.testing.assert_array_equal(particle_column(data, name, "true", NAMES_OF_FOUR), FOUR[:, place], err_msg=name)
    for name in ("Similarity.4", "Similarity.Kind", "Similarity", "Fractions.0", "Fractions.5", "Fractions.S3"):
        with pytest.raises(StructureError, match="set true"):
            particle_column(data, name, "true", NAMES_OF_FOUR)


def test_components_that_never_had_names_count_from_one(make_data):
    data = make_data(POSITIONS, CELL)
    data.particles_.create_property("Pair", data=FOUR[:, :2])
    np.testing.assert_array_equal(particle_column(data, "Pair.2", "true"), FOUR[:, 1])
    np.testing.assert_array_equal(particle_column(data, "Position.3", "true"), POSITIONS[:, 2])
