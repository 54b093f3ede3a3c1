"""Small structures at random, as hypothesis wants them, and other views of the same structure."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from conformance_cases import Sample, _quantities
from hypothesis import strategies as st
from ovito.data import DataCollection
from scipy.spatial.transform import Rotation

#: Numeric types and names; two types may have one name, and numbers need not begin at 1.
NAMES = ({1: "Cu"}, {1: "Cu", 2: "Zr"}, {1: "Zr", 2: "Cu"}, {2: "Cu", 7: "Zr"}, {1: "Cu", 2: "Zr", 3: "Cu"})

#: Frames, for modifiers that look at trajectories.
FRAMES = 4


@st.composite
def samples(draw: st.DrawFn, *, ordered: bool = False) -> Sample:
    """A few atoms in a cell of any shape and any boundaries, or in none.

    Coordinates come from a generator, because hypothesis likes round ones, whose distances are limits of bins
    and ties. With `ordered` they are round on purpose.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    count = draw(st.integers(1, 12), label="atoms")
    names = draw(st.sampled_from(NAMES), label="names")
    cell = _cell(draw, count, rng)
    pbc = draw(st.tuples(*[st.booleans()] * 3), label="periodic")
    has_cell = any(pbc) or draw(st.booleans(), label="cell")
    fractions = rng.uniform(-0.3, 1.3, (count, 3))
    sites = (np.round(4 * fractions) / 4 if ordered else fractions) @ cell
    gap = draw(st.sampled_from([None, None, 1.0, 0.3, 1e-3, 0.0]), label="gap between two atoms")
    if gap is not None and count > 1:
        direction = rng.normal(size=3)
        sites[1] = sites[0] + gap * direction / np.linalg.norm(direction)
    motion = rng.normal(0, draw(st.sampled_from([0.0, 0.05, 0.2]), label="motion"), (FRAMES, count, 3))
    motion[0] = 0.0
    kinds = rng.choice(list(names), count)
    return Sample(
        sites + motion,
        kinds,
        names,
        cell if has_cell else None,
        pbc,
        rng.permutation(3 * count)[:count] + 1,
        _quantities(count),
    )


def _cell(draw: st.DrawFn, count: int, rng: np.random.Generator) -> np.ndarray:
    """Cell vectors; 9 to 40 Å³ an atom, so that one atom meets its own images."""
    lengths = np.array(draw(st.tuples(*[st.floats(0.6, 1.6)] * 3), label="edges"))
    tilt = draw(st.sampled_from([0.0, 0.5, 1.2]), label="tilt")
    shape = np.diag(lengths) + np.tril(rng.uniform(-tilt, tilt, (3, 3)), -1)
    volume = count * draw(st.floats(9.0, 40.0), label="volume per atom")
    return shape * (volume / np.prod(lengths)) ** (1 / 3) @ _rotation(rng)


#: Species of glasses that no model was made for, and of some; types may have no names.
STRANGE_NAMES = (
    {1: "Si", 2: "O"},
    {1: "Si", 2: "O", 5: "Na"},
    {1: "Ca", 2: "Al", 3: "Si", 4: "O"},
    {1: "A"},
    {1: "A", 2: "B"},
    {3: "C", 1: "A", 2: "B"},
    {1: "Zr", 2: "Cu", 3: "Al"},
    {1: "Cu", 2: "Zr", 3: "Al", 4: "Ag"},
    {1: "", 2: "", 3: ""},
)

#: Rows of atoms along x, y and z, and which of these are periodic without vacuum.
SHAPES = {
    "bulk": ((3, 3, 3), (True, True, True)),
    "slab": ((3, 3, 2), (True, True, False)),
    "wire": ((2, 2, 5), (False, False, True)),
    "cluster": ((3, 3, 2), (False, False, False)),
    "layer": ((4, 4, 1), (True, True, False)),
    "chain": ((1, 1, 9), (False, False, True)),
}


@st.composite
def strange_samples(draw: st.DrawFn, *, named: bool = False) -> Sample:
    """Atoms of other materials, in other units and of other shapes, on the sites of a shaken grid, some left out.

    Surfaces end in vacuum, in an open cell or in a periodic one. With `named` all types have names.
    """
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1), label="seed"))
    names = draw(st.sampled_from([one for one in STRANGE_NAMES if not named or all(one.values())]), label="names")
    rows, periodic = SHAPES[draw(st.sampled_from(list(SHAPES)), label="shape")]
    # Lennard-Jones, silica, a metal; no cell is as long as a cutoff, where a neighbour may or may not count.
    spacing = draw(st.sampled_from([1.03, 1.61, 2.63]), label="spacing")
    open_sides = draw(st.booleans(), label="open where there is vacuum")
    flat = rows[2] == 1 and draw(st.booleans(), label="exactly flat")
    grid = np.stack(np.meshgrid(*map(np.arange, rows), indexing="ij"), -1).reshape(-1, 3).astype(float)
    shaken = rng.uniform(-0.2, 0.2, grid.shape) * ([1, 1, 0] if flat else 1)
    sites = (grid + shaken)[rng.random(len(grid)) < draw(st.sampled_from([1.0, 0.8]), label="filled")] * spacing
    count = len(sites)
    lengths = (np.array(rows) + np.where(periodic, 0.0, 8.0)) * spacing
    motion = rng.normal(0, 0.03 * spacing, (FRAMES, count, 3)) * ([1, 1, 0] if flat else 1)
    motion[0] = 0.0
    return Sample(
        sites + motion,
        rng.choice(list(names), count),
        names,
        np.diag(lengths),
        periodic if open_sides else (True,) * 3,
        rng.permutation(3 * count)[:count] + 1,
        _quantities(count),
    )


def without(data: DataCollection, kind: int, *, declared: bool) -> DataCollection:
    """A frame that lacks the atoms of a type, and its name too unless it is declared all the same."""
    data = data.clone()
    kinds = data.particles.particle_types[...]
    data.particles_.delete_elements(kinds == kind)
    if not declared:
        types = data.particles_.particle_types_.types
        del types[[one.id for one in types].index(kind)]
    return data


def _rotation(rng: np.random.Generator) -> np.ndarray:
    return Rotation.random(random_state=rng).as_matrix()


def seen_differently(sample: Sample, seed: int) -> tuple[Sample, np.ndarray]:
    """The same structure turned, moved, with its atoms in another order and on other images, its cell by other vectors
    and its types by other numbers; and where each of the atoms was.
    """
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(sample.kinds))
    other = sample.take(order)
    if sample.cell is not None:
        images = np.where(sample.pbc, rng.integers(-2, 3, (len(order), 3)), 0)
        other = replace(other, positions=other.positions + images @ sample.cell)
        if all(sample.pbc):
            other = replace(other, cell=np.array([sample.cell[1], sample.cell[2], sample.cell[0] - sample.cell[1]]))
    numbers = dict(zip(sample.names, rng.permutation(20)[: len(sample.names)].tolist(), strict=True))
    other = replace(
        other,
        names={numbers[kind]: name for kind, name in sample.names.items()},
        kinds=np.array([numbers[kind] for kind in other.kinds]),
    )
    return other.rotated(_rotation(rng)).translated(rng.uniform(-20, 20, 3)), order


def doubled(sample: Sample) -> Sample:
    """Two copies of the cell side by side along the first periodic direction; those of the first copy come first."""
    axis = sample.pbc.index(True)
    cell = sample.cell.copy()
    cell[axis] *= 2
    count = len(sample.kinds)
    return replace(
        sample.take(np.tile(np.arange(count), 2)),
        positions=np.concatenate([sample.positions, sample.positions + sample.cell[axis]], axis=1),
        ids=np.arange(1, 2 * count + 1),
        cell=cell,
    )
