"""Model glasses against published numbers, on small real quenches."""

import numpy as np
import pytest

from ovito_glassml.simulate.atoms import fill
from ovito_glassml.simulate.engine import open_lammps
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.minima import configuration_of, minimise

ATOMS = 300


def quenched(name, time=25.0, pressure=None):
    """Inherent structure of a melt cooled to zero within `time`."""
    matter = load_material(name)
    lammps = open_lammps()
    fill(lammps, matter, ATOMS, seed=1)
    hot, step = matter.melt_temperature, matter.time_step
    lammps.command(f"velocity all create {hot} 1 mom yes rot no dist gaussian")
    lammps.command(f"timestep {step}")
    cell = "nvt" if pressure is None else "npt"
    barostat = "" if pressure is None else f"iso {pressure} {pressure} {500 * step}"
    for start, stop, steps in ((hot, hot, 2000), (hot, 1e-3 * hot, round(time / step))):
        lammps.command(f"fix integrate all {cell} temp {start} {stop} {50 * step} {barostat}")
        lammps.command(f"run {steps} post no")
        lammps.command("unfix integrate")
    minimise(lammps, matter.force_tolerance)
    configuration = configuration_of(lammps)
    lammps.close()
    return configuration


def pairs(configuration):
    """Distances of all pairs and the sum of their species' numbers: 0 AA, 1 AB, 2 BB."""
    edge = configuration.cell[0, 0]
    vectors = configuration.positions[:, None] - configuration.positions
    distances = np.linalg.norm(vectors - edge * np.round(vectors / edge), axis=2)
    above = np.triu_indices(len(distances), 1)
    return distances[above], (configuration.kinds[:, None] + configuration.kinds)[above]


def first_peak(distances):
    """Position of the highest maximum of g(r)."""
    counts, edges = np.histogram(distances, bins=np.arange(0.7, 1.7, 0.02))
    density = np.convolve(counts / np.diff(edges**3), [0.25, 0.5, 0.25], "same")
    return edges[density.argmax()] + 0.01


@pytest.fixture(scope="module")
def kob_andersen():
    return quenched("kob-andersen")


def test_kob_andersen_has_its_published_inherent_energy(kob_andersen):
    """−6.9 to −7.0 an atom for all cooling rates (S. Sastry et al., Nature 393, 554 (1998)).

    Published for 4ε[(σ/r)¹² − (σ/r)⁶ + c₀ + c₂(r/σ)²] with energy and force zero at 2.5 σ_αβ, so that
    form is evaluated here; the smoothed potential of this package is 0.46 lower.
    """
    distances, kind = pairs(kob_andersen)
    depth, size = np.array([1.0, 1.5, 0.5])[kind], np.array([1.0, 0.8, 0.88])[kind]
    x = distances / size
    quadratic = 6 * 2.5**-14 - 3 * 2.5**-8
    constant = -(2.5**-12) + 2.5**-6 - quadratic * 2.5**2
    energies = 4 * depth * (x**-12 - x**-6 + constant + quadratic * x**2)
    assert -7.0 < energies[x < 2.5].sum() / ATOMS < -6.88
    assert kob_andersen.energies.mean() == pytest.approx(-7.40, abs=0.05)


@pytest.mark.parametrize(("kind", "position"), [(0, 1.07), (1, 0.88)])
def test_kob_andersen_neighbours_lie_where_published(kob_andersen, kind, position):
    """First maxima of g_AA and g_AB: W. Kob, H. C. Andersen, Phys. Rev. E 51, 4626 (1995)."""
    distances, kinds = pairs(kob_andersen)
    assert first_peak(distances[kinds == kind]) == pytest.approx(position, abs=0.03)


def test_small_atoms_of_kob_andersen_avoid_each_other(kob_andersen):
    distances, kinds = pairs(kob_andersen)
    nearest = {kind: np.count_nonzero(distances[kinds == kind] < 1.2) for kind in (0, 1, 2)}
    share = nearest[2] / sum(nearest.values())
    assert share < 0.02  # 0.04 for a random mixture


def test_wahnstrom_neighbours_follow_the_sizes():
    distances, kinds = pairs(quenched("wahnstrom"))
    peaks = [first_peak(distances[kinds == kind]) for kind in (0, 1, 2)]
    assert peaks[0] > peaks[1] > peaks[2]
    assert peaks[1] == pytest.approx(11 / 12 * 1.1, abs=0.05)


def test_the_polymer_has_its_density_at_pressure_one():
    """About 1.04 at T = 0.47 and p = 1, where the state point of the thermal data lies; denser at T = 0."""
    configuration = quenched("polymer", pressure=1.0)
    density = ATOMS / np.linalg.det(configuration.cell)
    assert density == pytest.approx(1.095, abs=0.015)
