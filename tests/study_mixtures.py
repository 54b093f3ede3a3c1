"""Mixtures in which B neighbours alone decide who moves, and a small study of them that several tests look at."""

from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from unittest.mock import patch

import numpy as np

from ovito_glassml.labels.activity import label_by_quantile
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.simulate.snapshots import Snapshot, write_frames
from ovito_glassml.structure import Structure
from ovito_glassml.study import activity
from ovito_glassml.study.activity import ActivityStudy, make_group, run_study

#: What is quick to compute and enough to see the rule.
SMALL = {"cutoffs": (1.3, 2.5), "cutoff": 2.5, "n_max": 3, "degree": 3.0}


def mixture(seed, edge=6):
    """A shaken lattice with spacing 1: half of the sites A, a quarter B, the others empty."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    corners = corners[rng.random(len(corners)) < 0.75]
    positions = corners + rng.uniform(-0.2, 0.2, corners.shape) + 0.5
    kinds = (rng.random(len(positions)) < 1 / 3).astype(int)
    return Structure(positions, kinds, ("A", "B"), np.eye(3) * edge, pbc=(True, True, True))


def grip(structure):
    """How tightly the B atoms around hold an atom; those that are held do not move."""
    lists = neighbour_lists(structure, 2.2)
    centre = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
    holding = structure.species[lists.indices] == 1
    strength = np.where(holding, np.exp(-2 * lists.distances.astype(float)), 0.0)
    return np.bincount(centre, strength, minlength=len(structure))


def sheared(seed):
    """(structure, columns): the quarters of the A atoms that are held least and most."""
    structure = mixture(seed)
    luck = np.random.default_rng(seed).normal(size=len(structure))
    moved = np.exp(-5 * grip(structure) + 0.3 * luck)
    labels = label_by_quantile(moved, 0.25, 0.25, structure.species == 0)
    return structure, {"Activity": labels.astype(float), "Nonaffine Squared Displacement": moved}


def heated(seed, runs=8):
    """(structure, columns): displacements of every atom in several noisy runs."""
    structure = mixture(seed, edge=8)
    typical = np.exp(-5 * grip(structure))
    noise = np.random.default_rng(seed).normal(size=(len(structure), runs))
    moved = typical[:, None] * np.exp(1.5 * noise)
    columns = {"Replica Nonaffine Squared Displacement": moved, "Propensity": np.sqrt(moved.mean(axis=1))}
    return structure, columns


def write(file, frames):
    """As a file that OVITO reads."""
    snapshots = []
    for structure, columns in frames:
        integers = {name: values.astype(int) for name, values in columns.items() if name == "Activity"}
        named = {name.replace(" ", "_"): values for name, values in {**columns, **integers}.items()}
        snapshots.append(Snapshot(structure, named, {}))
    write_frames(file, snapshots)
    return file


@lru_cache
def small_study():
    """(study, groups, results) of both kinds of activation."""
    study = ActivityStudy(("A", "B"), 1.0, **SMALL)
    thermal = [(f"heated {seed}", *heated(seed)) for seed in range(5)]
    shear = [(f"sheared {seed // 2}", *sheared(seed)) for seed in range(10)]
    groups = [make_group("thermal", thermal, "A", "a digest"), make_group("shear", shear, "A", "another digest")]
    # One strength and one draw: the rule is clear enough, and time is short.
    with TemporaryDirectory() as folder, patch.multiple(activity, STRENGTHS=(1e-2,), DRAWS=1):
        return study, groups, run_study(study, groups, Path(folder), lambda fraction, text: None)
