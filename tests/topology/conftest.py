"""Crystals with known clusters, and a real glass."""

import itertools
from types import SimpleNamespace

import numpy as np
import pytest

from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import sample_file


def crystal(basis, cell, repeat=(4, 4, 4), rattle=0.0):
    """Periodic crystal from fractional coordinates; `rattle` is a normal displacement in units of length."""
    corners = np.array(list(itertools.product(*map(range, repeat))))
    cell = np.asarray(cell, dtype=float)
    positions = (corners[:, None, :] + np.asarray(basis)).reshape(-1, 3) @ cell
    positions += np.random.default_rng(1).normal(0, rattle, positions.shape) if rattle else 0
    return Structure(positions, cell=cell * np.array(repeat)[:, None], pbc=(True, True, True))


FCC = [[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]]
BCC = [[0, 0, 0], [0.5, 0.5, 0.5]]
DIAMOND = np.vstack([FCC, np.array(FCC) + 0.25])


def fcc(rattle=0.0, scale=1.0):
    """Nearest neighbours at 2.556 (times scale)."""
    return crystal(FCC, np.eye(3) * 3.615 * scale, rattle=rattle * 2.556 * scale)


def bcc(rattle=0.0, scale=1.0):
    """Nearest neighbours at 2.485."""
    return crystal(BCC, np.eye(3) * 2.87 * scale, (5, 5, 5), rattle * 2.485 * scale)


def hcp(rattle=0.0, scale=1.0):
    """Ideal ratio of axes, nearest neighbours at 2.95."""
    a = 2.95 * scale
    cell = a * np.array([[1, 0, 0], [-0.5, np.sqrt(0.75), 0], [0, 0, np.sqrt(8 / 3)]])
    return crystal([[1 / 3, 2 / 3, 0.25], [2 / 3, 1 / 3, 0.75]], cell, (5, 5, 3), rattle * a)


def frank_kasper_a15():
    """Cr3Si: first the Z12 sites, then the Z14 sites of each cell."""
    chains = [[0.25, 0.5, 0], [0.75, 0.5, 0], [0, 0.25, 0.5], [0, 0.75, 0.5], [0.5, 0, 0.25], [0.5, 0, 0.75]]
    return crystal(BCC + chains, np.eye(3) * 4.55, (3, 3, 3)), np.array([12] * 2 + [14] * 6)


def frank_kasper_c15():
    """MgCu2: the Z16 sites (a diamond lattice), then the Z12 sites."""
    tetrahedron = [[0.625, 0.625, 0.625], [0.625, 0.875, 0.875], [0.875, 0.625, 0.875], [0.875, 0.875, 0.625]]
    corners = (np.array(tetrahedron)[:, None, :] + np.array(FCC)).reshape(-1, 3)
    return crystal(np.vstack([DIAMOND, corners]), np.eye(3) * 7.03, (2, 2, 2)), np.array([16] * 8 + [12] * 16)


def frank_kasper_zr4al3():
    """Zr4Al3: a kagome net of Z12, and the Z14 and Z15 sites."""
    basis = [
        [0.5, 0, 0],
        [0, 0.5, 0],
        [0.5, 0.5, 0],
        [0, 0, 0.25],
        [0, 0, 0.75],
        [1 / 3, 2 / 3, 0.5],
        [2 / 3, 1 / 3, 0.5],
    ]
    cell = np.array([[5.433, 0, 0], [-5.433 / 2, 5.433 * np.sqrt(0.75), 0], [0, 0, 5.39]])
    return crystal(basis, cell, (3, 3, 3)), np.array([12] * 3 + [14] * 2 + [15] * 2)


@pytest.fixture(scope="session")
def crystals():
    """The functions above, each of which makes a `Structure`."""
    makers = (fcc, hcp, bcc, frank_kasper_a15, frank_kasper_c15, frank_kasper_zr4al3)
    return SimpleNamespace(**{maker.__name__: maker for maker in makers})


@pytest.fixture(scope="session")
def glass():
    """Inherent structure of a Cu50Zr50 glass of 4000 atoms."""
    return read_snapshot(sample_file("stiffness/vibrations-cu50zr50-1e13-1.xyz.gz")).structure
