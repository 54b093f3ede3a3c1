"""Force fields: that energy and force belong together, and known values."""

import numpy as np
import pytest

from ovito_glassml.simulate.engine import apply_interaction, gather, open_lammps
from ovito_glassml.simulate.material import load_material


def dimer_scan(interaction, pair, distances):
    """Energies and forces of two atoms at the given distances."""
    lammps = open_lammps()
    lammps.commands_string(f"""
        units {interaction.units}
        atom_style atomic
        boundary p p p
        region box block 0 40 0 40 0 40
        create_box 2 box
        create_atoms {pair[0]} single 10 10 10
        create_atoms {pair[1]} single 11 10 10
    """)
    apply_interaction(lammps, interaction)
    lammps.command("thermo_modify norm no")
    energies, forces = [], []
    for distance in distances:
        lammps.command(f"set atom 2 x {10 + distance}")
        lammps.command("run 0 post no")
        energies.append(lammps.get_thermo("pe"))
        forces.append(gather(lammps, "f")[1, 0])
    lammps.close()
    return np.array(energies), np.array(forces)


@pytest.mark.parametrize("interaction", [load_material("kob-andersen"), load_material("wahnstrom")])
@pytest.mark.parametrize(("pair", "index"), [((1, 1), 0), ((1, 2), 1), ((2, 2), 2)])
def test_energy_is_continuous_and_the_force_its_slope(interaction, pair, index):
    sigma = float(interaction.commands[2 + index].split()[4])
    distances = np.linspace(1.9, 2.6, 1401) * sigma
    energies, forces = dimer_scan(interaction, pair, distances)
    slope = -np.gradient(energies, distances)
    np.testing.assert_allclose(forces[1:-1], slope[1:-1], atol=2e-5)
    np.testing.assert_allclose(energies[distances > 2.5 * sigma], 0.0, atol=1e-12)


@pytest.mark.parametrize(
    ("interaction", "pair", "sigma", "depth"),
    [
        (load_material("kob-andersen"), (1, 1), 1.0, 1.0),
        (load_material("kob-andersen"), (1, 2), 0.8, 1.5),
        (load_material("kob-andersen"), (2, 2), 0.88, 0.5),
        (load_material("wahnstrom"), (1, 2), 11 / 12, 1.0),
        (load_material("wahnstrom"), (2, 2), 5 / 6, 1.0),
    ],
)
def test_the_minimum_lies_where_published(interaction, pair, sigma, depth):
    distances = np.linspace(1.05, 1.2, 301) * sigma
    energies, _ = dimer_scan(interaction, pair, distances)
    assert distances[energies.argmin()] == pytest.approx(2 ** (1 / 6) * sigma, abs=1e-3)
    # The shift at the cutoff takes two percent of the depth away.
    assert energies.min() == pytest.approx(-depth, rel=0.03)


def test_copper_and_zirconium_have_their_crystals():
    """Cohesive energies and lattice parameters of the potential's own publication."""
    for kind, lattice, constant, energy in ((1, "fcc", 3.639, -3.28), (2, "hcp", 3.220, -6.47)):
        interaction = load_material("cu-zr")
        lammps = open_lammps()
        lammps.commands_string(f"""
            units metal
            boundary p p p
            lattice {lattice} {constant}
            region box block 0 3 0 3 0 3
            create_box 2 box
            create_atoms {kind} box
        """)
        apply_interaction(lammps, interaction)
        lammps.command("run 0 post no")
        per_atom = lammps.get_thermo("pe") / lammps.get_natoms()
        lammps.close()
        assert per_atom == pytest.approx(energy, abs=0.1)
