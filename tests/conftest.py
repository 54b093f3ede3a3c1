"""Structures that many tests share, and the brute-force neighbour search that judges the fast ones."""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from importlib import import_module

import numpy as np
import pytest

from ovito_glassml.structure import Structure


@pytest.fixture(scope="session", autouse=True)
def no_models_of_this_user(tmp_path_factory):
    """Models that somebody has installed on this machine take no part."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GLASSML_MODELS", str(tmp_path_factory.mktemp("installed")))
        yield


def perfect_fcc(lattice_constant=4.0, repeat=4, species=("Cu",)):
    """A periodic fcc crystal; with several species they alternate."""
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    corners = np.array(list(itertools.product(range(repeat), repeat=3)))
    positions = lattice_constant * (corners[:, None, :] + basis).reshape(-1, 3)
    kinds = np.arange(len(positions)) % len(species)
    return Structure(positions, kinds, species, np.eye(3) * lattice_constant * repeat, pbc=(True, True, True))


def disordered(count, cell, pbc, seed=1, species=("Cu", "Zr"), spacing=1.8, outside=0.3):
    """Atoms at random, none closer than `spacing` to another or to its images; some outside the cell."""
    rng = np.random.default_rng(seed)
    shifts = np.array(list(itertools.product(*[(-1, 0, 1) if flag else (0,) for flag in pbc]))) @ cell
    placed = np.empty((0, 3))
    while len(placed) < count:
        trial = rng.uniform(-outside, 1 + outside, 3)
        trial = np.where(pbc, trial % 1, trial) @ cell
        images = placed[:, None, :] + shifts
        if not len(placed) or np.linalg.norm(images - trial, axis=-1).min() > spacing:
            placed = np.vstack([placed, trial])
    wraps = np.where(pbc, rng.integers(-2, 3, (count, 3)), 0) @ cell
    ids = rng.permutation(10 * count)[:count] + 1
    kinds = np.arange(count) % len(species)
    return Structure(placed + wraps, kinds, species, cell, origin=(1.0, -2.0, 0.5), pbc=pbc, ids=ids)


TRICLINIC = np.array([[11.0, 0.5, -0.7], [-4.0, 10.5, 0.3], [3.0, -4.5, 12.0]])


@pytest.fixture(scope="session")
def fcc():
    """256 atoms, lattice constant 4: shells of 12, 6, 24, 12 … neighbours."""
    return perfect_fcc()


@pytest.fixture(scope="session")
def shaken():
    """864 atoms of two species near the sites of a crystal: several tasks for threads."""
    crystal = perfect_fcc(repeat=6, species=("Cu", "Zr"))
    moved = crystal.positions + np.random.default_rng(7).normal(0, 0.2, crystal.positions.shape)
    return Structure(moved, crystal.species, crystal.species_names, crystal.cell, pbc=crystal.pbc)


@pytest.fixture(scope="session")
def triclinic():
    """A strongly tilted periodic cell of two species."""
    return disordered(70, TRICLINIC, (True, True, True))


@pytest.fixture(scope="session")
def small_periodic():
    """A periodic cell so small that atoms see their own images."""
    return disordered(5, np.array([[4.0, 0.2, 0.0], [0.5, 3.7, 0.3], [-0.4, 0.6, 4.3]]), (True, True, True), seed=2)


@pytest.fixture(scope="session")
def one_atom():
    """A single atom in a periodic cell: a simple cubic crystal."""
    return Structure(np.zeros((1, 3)), [0], ("Cu",), np.eye(3) * 3.0, pbc=(True, True, True))


@pytest.fixture(scope="session")
def mixed_boundaries():
    """A slab: periodic in two directions, atoms above and below the cell in the third."""
    return disordered(60, TRICLINIC, (True, False, True), seed=3)


@pytest.fixture(scope="session")
def open_boundaries():
    """A cell without periodic directions."""
    return disordered(60, TRICLINIC, (False, False, False), seed=4)


@pytest.fixture(scope="session")
def cluster(open_boundaries):
    """The same atoms without any cell."""
    source = open_boundaries
    return Structure(source.positions, source.species, source.species_names, ids=source.ids)


@pytest.fixture(scope="session")
def three_species():
    """A periodic cell with three species."""
    return disordered(60, np.diag([10.0, 11.0, 12.0]), (True, True, True), seed=5, species=("Al", "Cu", "Zr"))


@pytest.fixture(
    params=[
        "fcc",
        "triclinic",
        "small_periodic",
        "one_atom",
        "mixed_boundaries",
        "open_boundaries",
        "cluster",
        "three_species",
    ]
)
def any_structure(request):
    """Every kind of cell in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture(scope="session")
def true_neighbours():
    """Function (structure, cutoff) → for every atom (indices, vectors) of all neighbours nearer than `cutoff`.

    It tries all atoms in all images that could reach, and shares nothing with the cell list.
    """

    def search(structure, cutoff):
        positions, shifts = structure.positions, np.zeros((1, 3))
        if structure.cell is not None:
            inverse = np.linalg.inv(structure.cell)
            periodic = np.array(structure.pbc)
            fractions = (positions - structure.origin) @ inverse
            positions = positions - np.where(periodic, np.floor(fractions), 0) @ structure.cell
            images = np.where(periodic, np.ceil(cutoff * np.linalg.norm(inverse, axis=0)) + 1, 0).astype(int)
            shifts = np.array(list(itertools.product(*[range(-n, n + 1) for n in images]))) @ structure.cell
        candidates = (positions[:, None, :] + shifts).reshape(-1, 3)
        owners = np.repeat(np.arange(len(positions)), len(shifts))
        result = []
        for position in positions:
            vectors = candidates - position
            squares = np.einsum("ij,ij->i", vectors, vectors)
            near = (squares < cutoff**2) & (squares > 1e-12)
            result.append((owners[near], vectors[near]))
        return result

    return search


@pytest.fixture(scope="session")
def transformed():
    """Function (structure, rotation, translation, permutation) → the same configuration, seen differently."""

    def transform(structure, rotation=None, translation=(0, 0, 0), permutation=None):
        turn = np.eye(3) if rotation is None else np.asarray(rotation)
        order = np.arange(len(structure)) if permutation is None else np.asarray(permutation)
        return Structure(
            (structure.positions @ turn.T + translation)[order],
            structure.species[order],
            structure.species_names,
            None if structure.cell is None else structure.cell @ turn.T,
            structure.origin @ turn.T + translation,
            structure.pbc,
            structure.ids[order],
            None if structure.mask is None else structure.mask[order],
        )

    return transform


@pytest.fixture
def interrupted(monkeypatch):
    """Function: a command in its context is interrupted, as by Ctrl-C, when a part of its work is so far done."""

    @contextmanager
    def interrupt(part, moment):
        reached = []

        @contextmanager
        def bar(text, **options):
            def update(fraction, description=""):
                if text == part and fraction >= moment:
                    reached.append(fraction)
                    raise KeyboardInterrupt

            yield update

        with monkeypatch.context() as patch:
            for name in ("apply", "figures", "simulate", "study", "train"):
                patch.setattr(import_module(f"ovito_glassml.cli.{name}"), "progress_bar", bar)
            yield
        assert reached, f"the command never got to {moment:.0%} of {part}"

    return interrupt
