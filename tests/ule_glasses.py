"""Sheared Cu50Zr50 glasses with their energies, and a small barcode model trained on them."""

from dataclasses import replace
from functools import cache

import numpy as np

from ovito_glassml.adapter.voronoi import voronoi_indices
from ovito_glassml.learn.barcode.data import UleSample
from ovito_glassml.learn.barcode.train import UleDesign, train_ule
from ovito_glassml.simulate.snapshots import read_frames
from ovito_glassml.workflow.sample_data import sample_file

#: Enough for a few samples of a thousand atoms.
SMALL = replace(UleDesign(), environments=20, folds=2, first_trials=1, trials=2)


def energies_of(structure):
    """Energies of the atoms (eV) of a Cu-Zr structure as it is, by LAMMPS."""
    from ovito_glassml.simulate.engine import apply_interaction, open_lammps
    from ovito_glassml.simulate.material import load_material
    from ovito_glassml.simulate.minima import configuration_of

    (lx, _, _), (xy, ly, _), (xz, yz, lz) = structure.cell
    lammps = open_lammps()
    try:
        for command in ("units metal", "atom_style atomic", "boundary p p p"):
            lammps.command(command)
        lammps.command(f"region box prism 0 {lx} 0 {ly} 0 {lz} {xy} {xz} {yz}")
        lammps.command("create_box 2 box")
        number = {"Cu": 1, "Zr": 2}
        kinds = [number[structure.species_names[kind]] for kind in structure.species]
        count = len(structure)
        lammps.create_atoms(count, list(range(1, count + 1)), kinds, (structure.positions + 1e-9).ravel().tolist())
        assert lammps.get_natoms() == count
        apply_interaction(lammps, load_material("cu-zr"))
        return configuration_of(lammps).energies
    finally:
        lammps.close()


@cache
def samples():
    """Five structures before plastic events from each of three glasses of 1000 atoms."""
    found = []
    for number in (1, 2, 3):
        frames = read_frames(sample_file(f"activity/shear-cu50zr50-{number}.xyz.gz"))[:5]
        for frame in frames:
            energies = energies_of(frame.structure)
            found.append(UleSample(frame.structure, float(energies.mean()), f"shear-{number}", "sheared", energies))
    return tuple(found)


@cache
def model():
    """Trees on fractions, trained on the first two glasses."""
    whole = [sample._replace(atom_energies=None) for sample in samples()[:10]]
    return train_ule(whole, voronoi_indices, design=SMALL, training={"how": "for tests"})


@cache
def soft_model():
    """Energies from similarities, trained on the same."""
    return train_ule(samples()[:10], voronoi_indices, design=SMALL, training={"how": "for tests"})


def box(edge=18.0):
    """A periodic box cut from a sample: strained at its faces, with atoms that match and atoms that do not."""
    whole = samples()[-1].structure
    inside = (whole.positions[:, 1:] < edge - 1.2).all(axis=1) & (whole.positions[:, 0] < edge - 1.2)
    chosen = np.flatnonzero(inside)
    return replace(
        whole,
        positions=whole.positions[chosen],
        species=whole.species[chosen],
        cell=np.eye(3) * edge,
        ids=whole.ids[chosen],
    )
