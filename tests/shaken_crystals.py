"""Disordered structures of two species for tests that train on them."""

import itertools

import numpy as np

from ovito_glassml.neighbours import neighbour_lists
from ovito_glassml.structure import Structure

#: Å between the sites of the crystal before it is shaken.
SPACING = 2.8


def shaken_crystal(seed, repeat=7, species=("Cu", "Zr")):
    """A strongly disordered simple cubic arrangement of two species at random."""
    rng = np.random.default_rng(seed)
    corners = np.array(list(itertools.product(range(repeat), repeat=3)), dtype=float)
    positions = SPACING * corners + rng.uniform(-0.6, 0.6, corners.shape)
    kinds = rng.integers(0, 2, len(positions))
    return Structure(positions, kinds, species, np.eye(3) * SPACING * repeat, pbc=(True, True, True))


def crowding(structure):
    """Number of near neighbours, Zr counted twice: what every descriptor can see."""
    lists = neighbour_lists(structure, 5.0)
    centre = np.repeat(np.arange(len(structure)), np.diff(lists.offsets))
    weights = (1.0 + structure.species[lists.indices]) * np.exp(-((lists.distances / 3.0) ** 4))
    return 0.1 * np.bincount(centre, weights, minlength=len(structure))
