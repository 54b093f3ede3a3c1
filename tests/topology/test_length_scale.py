"""The first peak of the radial distribution function, the ruler of every other length."""

import numpy as np
import pytest
import scipy.spatial

from ovito_glassml.neighbours import build_cell_list, neighbour_counts
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.topology.length_scale import first_minimum, first_peak, nearest_neighbour_distance


def test_perfect_crystals(crystals):
    assert first_peak(crystals.fcc()) == pytest.approx(2.556, rel=0.005)
    assert first_peak(crystals.hcp()) == pytest.approx(2.95, rel=0.005)
    # The second shell of bcc, 15 % further out, pulls a little.
    assert first_peak(crystals.bcc()) == pytest.approx(2.485, rel=0.02)


def test_it_is_the_top_of_all_pairs_smeared_by_five_percent(glass):
    """Without bins: every pair is a Gaussian in ln r, over the volume of its shell."""
    fractions = glass.positions @ np.linalg.inv(glass.cell)
    tree = scipy.spatial.cKDTree((fractions % 1.0) @ glass.cell, boxsize=np.diag(glass.cell))
    pairs = tree.query_pairs(5.0, output_type="ndarray")
    vectors = glass.positions[pairs[:, 0]] - glass.positions[pairs[:, 1]]
    vectors -= np.round(vectors @ np.linalg.inv(glass.cell)) @ glass.cell
    lengths = np.linalg.norm(vectors, axis=1)
    radii = np.linspace(2.5, 3.2, 701)
    exponents = -0.5 * (np.log(radii[:, None] / lengths) / 0.05) ** 2
    top = radii[(np.exp(exponents) / lengths**3).sum(axis=1).argmax()]
    assert first_peak(glass) == pytest.approx(top, abs=0.002)


def test_it_scales_with_the_length_unit(glass):
    def scaled(factor):
        return Structure(
            glass.positions * factor, cell=glass.cell * factor, origin=glass.origin * factor, pbc=glass.pbc
        )

    peak = first_peak(glass)
    assert peak == pytest.approx(2.83, abs=0.03)  # Å, between the Cu-Zr and the Zr-Zr peak
    assert first_peak(scaled(0.1)) == pytest.approx(0.1 * peak, rel=1e-3)
    assert first_peak(scaled(1 / 2.7)) == pytest.approx(peak / 2.7, rel=1e-3)


def test_vacuum_and_boundaries_hardly_matter(glass):
    peak = first_peak(glass)
    isolated = Structure(glass.positions)
    in_vacuum = Structure(glass.positions, cell=glass.cell * 6, origin=glass.origin, pbc=(True, True, True))
    assert first_peak(isolated) == pytest.approx(peak, rel=0.01)
    assert first_peak(in_vacuum) == pytest.approx(peak, rel=0.01)


def test_it_does_not_depend_on_the_order_of_atoms(triclinic, transformed):
    permutation = np.random.default_rng(1).permutation(len(triclinic))
    assert first_peak(transformed(triclinic, permutation=permutation)) == first_peak(triclinic)


def test_small_cells_see_their_images(one_atom):
    assert first_peak(one_atom) == pytest.approx(3.0, rel=0.01)


def test_few_atoms():
    assert first_peak(Structure(np.empty((0, 3)))) is None
    assert first_peak(Structure([[1.0, 2.0, 3.0]])) is None
    assert first_peak(Structure([[0.0, 0, 0], [2.5, 0, 0]])) == pytest.approx(2.5, rel=0.01)
    row = np.arange(10.0)[:, None] * [2.5, 0, 0]
    assert first_peak(Structure(row)) == pytest.approx(2.5, rel=0.01)


def test_progress_is_reported_and_can_stop(glass):
    seen = []
    first_peak(glass, progress=seen.append)
    assert seen[-1] == 1.0

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        first_peak(glass, progress=stop)


def test_the_first_shell_of_a_crystal_ends_between_its_shells(crystals):
    assert 2.556 * 1.1 < first_minimum(crystals.fcc()) < 2.556 * np.sqrt(2)
    assert 2.485 * 1.25 < first_minimum(crystals.bcc()) < 2.485 * 1.6


def test_the_first_shell_of_a_glass_ends_where_few_pairs_are(glass):
    """Fourteen neighbours within it, as in any dense glass, and hardly more a little further out."""
    end = first_minimum(glass)
    assert 1.25 < end / first_peak(glass) < 1.5
    inside, beyond = (neighbour_counts(build_cell_list(glass, end * factor)).mean() for factor in (1.0, 1.03))
    assert 12 < inside < 15
    assert beyond - inside < 0.8


def test_a_solid_has_a_distance_of_neighbours_and_a_gas_or_a_pair_has_none(glass):
    assert nearest_neighbour_distance(glass) == first_peak(glass)
    gas = Structure(np.random.default_rng(1).uniform(0, 9, (700, 3)), cell=9 * np.eye(3), pbc=(True, True, True))
    for structure in (gas, Structure([[0.0, 0, 0], [2.5, 0, 0]])):
        with pytest.raises(StructureError, match=r"no first shell, only .* neighbours .*; give a liquid or solid\."):
            nearest_neighbour_distance(structure)
    with pytest.raises(StructureError, match="No atom has a neighbour"):
        nearest_neighbour_distance(Structure([[0.0, 0, 0]]))
