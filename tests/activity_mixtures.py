"""Small mixtures with a rule of who is active that is known exactly."""

import numpy as np

from ovito_glassml.labels.activity import label_by_quantile
from ovito_glassml.learn.activity.data import ActivitySample
from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure


def random_mixture(seed, edge=8):
    """A shaken lattice with spacing 1: 80 % A, 20 % B."""
    rng = np.random.default_rng(seed)
    corners = np.stack(np.meshgrid(*[np.arange(edge)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    positions = corners + rng.uniform(-0.25, 0.25, corners.shape)
    kinds = (rng.random(len(positions)) < 0.2).astype(int)
    return Structure(positions, kinds, ("A", "B"), np.eye(3) * edge, pbc=(True, True, True))


def crowding(structure):
    """How many atoms press on each atom, B counting double."""
    lists = neighbour_lists(structure, 2.0)
    centre = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
    weight = np.where(structure.species[lists.indices] == 1, 2.0, 1.0)
    return np.bincount(centre, weight * np.exp(-4 * lists.distances.astype(float)), minlength=len(structure))


def crowded_sample(seed, name=None):
    """The least crowded atoms are called active."""
    structure = random_mixture(seed)
    moved = np.exp(-crowding(structure))
    labels = label_by_quantile(moved, 0.2, 0.2, structure.species == 0)
    return ActivitySample(structure, labels, moved, name or f"configuration {seed}")
