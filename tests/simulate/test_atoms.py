"""Atoms for LAMMPS: random starts of every shipped material, and structures in any cell."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.atoms import fill
from ovito_glassml.simulate.engine import gather, open_lammps
from ovito_glassml.simulate.material import load_material, shipped_materials
from ovito_glassml.simulate.minima import configuration_of, minimise


@pytest.fixture(params=sorted(shipped_materials()))
def filled(request):
    matter = load_material(request.param)
    try:
        matter.potential_paths()
    except SimulationError:
        pytest.skip("its potential does not come with LAMMPS")
    lammps = open_lammps()
    fill(lammps, matter, 200, seed=5)
    yield matter, lammps
    lammps.close()


def test_a_start_has_the_wanted_species_and_density(filled):
    matter, lammps = filled
    counts = np.bincount(gather(lammps, "type") - 1, minlength=len(matter.fractions))
    assert counts.tolist() == [round(200 * share) for share in matter.fractions]
    assert 200 / lammps.get_thermo("vol") == pytest.approx(matter.number_density, rel=1e-6)


def test_a_start_relaxes_without_overlaps(filled):
    matter, lammps = filled
    minimise(lammps, matter.force_tolerance)
    configuration = configuration_of(lammps)
    lammps.command("thermo_style custom fmax")
    lammps.command("run 0 post no")
    assert lammps.get_thermo("fmax") <= matter.force_tolerance * 1.01
    lengths = np.diag(configuration.cell)
    bonds = configuration.positions[:, None] - configuration.positions
    distances = np.linalg.norm(bonds - lengths * np.round(bonds / lengths), axis=2)
    assert distances[np.triu_indices(200, 1)].min() > 0.7 * matter.nearest_neighbour_distance


def test_chains_are_bonded_from_end_to_end():
    matter = load_material("polymer")
    lammps = open_lammps()
    fill(lammps, matter, 200, seed=1)
    lammps.command("run 0 post no")
    bonds = np.array(lammps.numpy.gather_bonds())[:, 1:]
    positions, (low, high) = gather(lammps, "x"), lammps.extract_box()[:2]
    lammps.close()
    pairs = {tuple(sorted(pair)) for pair in bonds.tolist()}
    assert pairs == {(first, first + 1) for first in range(1, 200) if first % 20}
    lengths = np.asarray(high) - np.asarray(low)
    vectors = np.array([positions[a - 1] - positions[b - 1] for a, b in pairs])
    stretched = np.linalg.norm(vectors - lengths * np.round(vectors / lengths), axis=1)
    assert stretched.mean() == pytest.approx(0.965, abs=0.03)  # Kremer and Grest: 0.97
    assert stretched.max() < 1.2


def test_beads_must_fill_chains():
    with pytest.raises(SimulationError, match="give a multiple of 20"):
        fill(open_lammps(), load_material("polymer"), 210, seed=1)
