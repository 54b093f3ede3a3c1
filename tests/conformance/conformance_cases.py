"""What the behaviour matrix runs modifiers on, and how their output is read."""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from ovito.data import DataCollection, ParticleType
from ovito.pipeline import ModifierInterface, Pipeline, PipelineSourceInterface, PythonSource

from ovito_glassml.modifiers.registry import MODIFIERS

#: Number density of a Cu-Zr glass in 1/Å³.
DENSITY = 0.058

#: Cell vectors as rows, about 160 atoms at `DENSITY`.
CUBE = np.eye(3) * 14.0
TRICLINIC = np.array([[14.0, 0.6, -0.9], [-5.0, 13.5, 0.4], [4.0, -6.0, 15.0]])

#: So small that atoms meet several images of each other, and of themselves.
SMALL = np.array([[5.2, 0.3, 0.0], [0.6, 4.9, 0.4], [-0.5, 0.7, 5.6]])

#: Parameters of a modifier that compares two properties, and the properties of the input for it.
COMPARED = {"predicted": "First Quantity", "true": "Second Quantity"}


#: Modifiers whose default model for Cu-Zr classifies the atoms of one species only.
ONE_SPECIES = {"PredictedActivityModifier": "Cu"}


#: Modifiers that give a class only to atoms like those they know, and the properties that the others lack.
KNOWN_ATOMS_ONLY = {"ULEBarcodeModifier": {"ULE", "ULE Energy Contribution"}}


#: Modifiers that ask how the whole moves. Their work grows with the cube of the number of atoms: rules that need many,
#: or count what grows with the number, do not hold for them; that they can be stopped their own tests say. And a small
#: periodic cell has not the long waves of a large one, nor a slab in vacuum the boundary of an open one.
OF_THE_WHOLE = {"HarmonicStiffnessModifier"}


@dataclass(frozen=True)
class Case:
    """A modifier in the matrix.

    Attributes
    ----------
    title : str
        Entry in OVITO's menu.
    modifier : type
    command : str or None
        Name for ``glassml apply --modifier``.
    """

    title: str
    modifier: type[ModifierInterface]
    command: str | None = None

    def __str__(self) -> str:
        return self.modifier.__name__

    def make(self, **parameters: Any) -> ModifierInterface:
        """An instance; one that compares two properties compares those of the input."""
        return self.modifier(**self.needed | parameters)

    def has(self, trait: str) -> bool:
        """Whether the modifier has a parameter of this name."""
        return trait in self.modifier.class_trait_names()

    @property
    def needs_trajectory(self) -> bool:
        """Whether it analyses a window of frames or compares with one, which its parameters then describe."""
        return self.has("number_of_frames") or self.has("reference_frame")

    def answers_for(self, sample: Sample) -> np.ndarray:
        """Which atoms of a Cu-Zr sample must get a value; the others must get none."""
        only = ONE_SPECIES.get(self.modifier.__name__)
        return np.array([only in (None, sample.names[kind]) for kind in sample.kinds])

    def may_lack(self, name: str) -> bool:
        """Whether atoms unlike any that the modifier knows have no value in a property."""
        return name in KNOWN_ATOMS_ONLY.get(self.modifier.__name__, ())

    @property
    def is_local(self) -> bool:
        """Whether an atom's values depend on its surroundings only."""
        return self.modifier.__name__ not in OF_THE_WHOLE

    @property
    def compares(self) -> bool:
        """Whether it compares two properties of its input and writes scores in place of particle properties."""
        return all(self.has(trait) for trait in COMPARED)

    @property
    def needed(self) -> dict[str, str]:
        """Parameters without which the defaults would refuse the input, or look for what is not in it."""
        if self.has("minimise"):
            return {"minimise": True}
        return dict(COMPARED) if self.compares else {}

    @property
    def prefix(self) -> str:
        """What the names of its attributes begin with."""
        return self.modifier.__name__.removesuffix("Modifier") + "."


def installed_cases() -> list[Case]:
    """Every modifier that this package offers to OVITO."""
    return [Case(f"Glass ML: {entry.title}", entry.load(), entry.name) for entry in MODIFIERS]


@dataclass(frozen=True)
class Sample:
    """A short trajectory of vibrating atoms, as arrays.

    Attributes
    ----------
    positions : (F, N, 3) array
    kinds : (N,) array
        Numeric types, from 1.
    names : dict of int to str
    cell : (3, 3) array or None
        Rows.
    pbc : three bool
    ids : (N,) array
    quantities : (N, 2) array
        Properties in all frames, for modifiers that compare two; the others have to leave them alone.
    """

    positions: np.ndarray
    kinds: np.ndarray
    names: dict[int, str]
    cell: np.ndarray | None
    pbc: tuple[bool, bool, bool]
    ids: np.ndarray
    quantities: np.ndarray

    def frames(self) -> list[DataCollection]:
        """OVITO's view of it."""
        return [self._frame(positions) for positions in self.positions]

    def _frame(self, positions: np.ndarray) -> DataCollection:
        data = DataCollection()
        if self.cell is not None:
            data.create_cell(np.column_stack([self.cell.T, np.zeros(3)]), pbc=self.pbc)
        particles = data.create_particles(count=len(positions))
        particles.create_property("Position", data=positions)
        particles.create_property("Particle Identifier", data=self.ids)
        types = particles.create_property("Particle Type", data=self.kinds)
        for number, name in self.names.items():
            types.types.append(ParticleType(id=number, name=name))
        for name, values in zip(COMPARED.values(), self.quantities.T, strict=True):
            particles.create_property(name, data=values)
        return data

    def take(self, atoms: Any) -> Sample:
        """Some of the atoms, or all in another order."""
        per_atom = {name: getattr(self, name)[atoms] for name in ("kinds", "ids", "quantities")}
        return replace(self, positions=self.positions[:, atoms], **per_atom)

    def rotated(self, rotation: np.ndarray) -> Sample:
        """The same configuration, turned with its cell."""
        cell = None if self.cell is None else self.cell @ rotation.T
        return replace(self, positions=self.positions @ rotation.T, cell=cell)

    def translated(self, shift: Sequence[float]) -> Sample:
        """All atoms moved, the cell left where it is, so that some leave it."""
        return replace(self, positions=self.positions + np.asarray(shift))

    def repeated(self) -> Sample:
        """Eight copies of the periodic cell; the first copy comes first."""
        shifts = np.array(list(itertools.product((0, 1), repeat=3))) @ self.cell
        count = self.positions.shape[1]
        positions = np.concatenate([self.positions + shift for shift in shifts], axis=1)
        per_atom = {
            "kinds": np.tile(self.kinds, 8),
            "ids": np.arange(1, 8 * count + 1),
            "quantities": np.tile(self.quantities, (8, 1)),
        }
        return replace(self, positions=positions, cell=2 * self.cell, **per_atom)


def glass(
    cell: np.ndarray | None = CUBE,
    pbc: tuple[bool, bool, bool] = (True, True, True),
    *,
    count: int | None = None,
    names: dict[int, str] | None = None,
    frames: int = 12,
    seed: int = 1,
) -> Sample:
    """Atoms without order but with distances as in a Cu-Zr glass, vibrating."""
    names = {1: "Cu", 2: "Zr"} if names is None else names
    box = CUBE if cell is None else cell
    count = max(1, round(DENSITY * abs(np.linalg.det(box)))) if count is None else count
    rng = np.random.default_rng(seed)
    sites = _packed(_hashable(box), pbc if cell is not None else (False,) * 3, count, seed)
    positions = sites + rng.normal(0, 0.05, (frames, count, 3))
    kinds = 1 + np.arange(count) % len(names)
    return Sample(positions, kinds, names, cell, pbc, rng.permutation(count) + 1, _quantities(count))


def _quantities(count: int) -> np.ndarray:
    """Two numbers per atom that have something in common."""
    return np.random.default_rng(8).normal(size=(count, 2)) @ [[1.0, 0.5], [0.0, 0.5]]


def _hashable(matrix: np.ndarray) -> tuple[tuple[float, ...], ...]:
    return tuple(map(tuple, matrix.tolist()))


@lru_cache
def _packed(cell: tuple[tuple[float, ...], ...], pbc: tuple[bool, ...], count: int, seed: int) -> np.ndarray:
    """Places in a cell, at random but pushed apart until none are much nearer than 2.4 Å."""
    rng, vectors = np.random.default_rng(seed), np.array(cell)
    images = np.array(list(itertools.product(*[(-1, 0, 1) if flag else (0,) for flag in pbc]))) @ vectors
    places = rng.uniform(0, 1, (count, 3)) @ vectors
    for _ in range(2000):
        separation = places[:, None, None, :] - places[None, :, None, :] - images
        distances = np.linalg.norm(separation, axis=-1)
        overlap = np.where(distances > 1e-9, np.maximum(2.4 - distances, 0), 0.0)
        if overlap.max() < 0.3:
            return places
        push = (overlap / np.maximum(distances, 1e-9))[..., None] * separation
        places = places + 0.3 * push.sum(axis=(1, 2))
    raise RuntimeError("The atoms could not be placed; lower their number.")


@lru_cache
def large_glass(count: int = 6000) -> Sample:
    """Many atoms cheaply: a crystal shaken until its shells overlap."""
    edge = round(count ** (1 / 3)) + 1
    spacing = DENSITY ** (-1 / 3)
    rng = np.random.default_rng(3)
    sites = spacing * np.array(list(itertools.product(range(edge), repeat=3)), dtype=float)
    positions = sites + rng.normal(0, 0.05, (12, len(sites), 3)) + rng.uniform(-0.4, 0.4, sites.shape)
    cell = np.eye(3) * edge * spacing
    kinds = 1 + np.arange(len(sites)) % 2
    ids = rng.permutation(len(sites)) + 1
    return Sample(positions, kinds, {1: "Cu", 2: "Zr"}, cell, (True,) * 3, ids, _quantities(len(sites)))


class _Frames(PipelineSourceInterface):
    """Data collections in memory as a trajectory."""

    def __init__(self, frames: list[DataCollection]) -> None:
        super().__init__()
        self.frames = frames

    def compute_trajectory_length(self, **kwargs: Any) -> int:
        return len(self.frames)

    def create(self, data: DataCollection, *, frame: int, **kwargs: Any) -> None:
        data.objects.clear()
        for item in self.frames[frame].objects:
            data.objects.append(item)
        for name, value in self.frames[frame].attributes.items():
            data.attributes[name] = value


def pipeline(frames: list[DataCollection], *modifiers: ModifierInterface) -> Pipeline:
    """A trajectory in memory, followed by modifiers."""
    line = Pipeline(source=PythonSource(delegate=_Frames(frames)))
    for modifier in modifiers:
        line.modifiers.append(modifier)
    return line


def telling_frame(modifier: ModifierInterface) -> int:
    """The first frame, or the second if the modifier compares with the first, which with itself says nothing."""
    return int("reference_frame" in modifier.trait_names())


def computed(
    modifier: ModifierInterface, source: Sample | list[DataCollection], frame: int | None = None
) -> DataCollection:
    """One frame of a trajectory after the modifier; by default its `telling_frame`."""
    frames = source.frames() if isinstance(source, Sample) else source
    return pipeline(frames, modifier).compute(telling_frame(modifier) if frame is None else frame)


def added(data: DataCollection) -> dict[str, np.ndarray]:
    """The particle properties that a modifier has added, as arrays."""
    if data.particles is None:
        return {}
    return {name: np.array(data.particles[name][...]) for name in data.particles if name not in _INPUT_PROPERTIES}


def written(data: DataCollection) -> dict[str, np.ndarray]:
    """The particle properties that a modifier has added, or if it added none its scores, which belong to all atoms.

    Scores are the attributes that are no integers, which count atoms, and no limits of intervals, which small
    samples do not have.
    """
    if data.particles is None or added(data):
        return added(data)
    values = {name: value for name, value in data.attributes.items() if "." in name and isinstance(value, float)}
    scores = {name: value for name, value in values.items() if not re.search(r"_(low|high)\b", name)}
    return {name: np.full(data.particles.count, value) for name, value in scores.items()}


_INPUT_PROPERTIES = {"Position", "Particle Identifier", "Particle Type", "Selection", "Color", "Periodic Image"}
_INPUT_PROPERTIES |= set(COMPARED.values()) | {name.replace(" ", "") for name in COMPARED.values()}


def undefined(values: np.ndarray) -> np.ndarray:
    """Atoms for which a property says that there is no value: NaN, or −1 in integers."""
    rows = values.reshape(len(values), -1)
    return np.isnan(rows).any(axis=1) if values.dtype.kind == "f" else (rows == -1).any(axis=1)


def direct(modifier: ModifierInterface, source: Sample | list[DataCollection]) -> Callable[..., Any]:
    """Function that begins to modify the telling frame, or other data, and returns the modifier's own generator."""
    frames = source.frames() if isinstance(source, Sample) else source
    number = telling_frame(modifier)

    class Slot:
        num_frames = len(frames)

        @staticmethod
        def compute(frame: int) -> DataCollection:
            return frames[frame].clone()

    def start(data: DataCollection | None = None) -> Any:
        data = frames[number].clone() if data is None else data
        slots = {"upstream": Slot}
        return modifier.modify(data, frame=number, input_slots=slots, data_cache=DataCollection(), pipeline_node=None)

    return start


def write_xyz(sample: Sample, file: Path) -> None:
    """Extended XYZ with all digits of the coordinates."""
    lattice = " ".join(repr(float(value)) for value in sample.cell.ravel())
    periodic = " ".join("T" if flag else "F" for flag in sample.pbc)
    quantities = "".join(f":{name.replace(' ', '')}:R:1" for name in COMPARED.values())
    comment = f'Lattice="{lattice}" pbc="{periodic}" Properties=species:S:1:pos:R:3:id:I:1{quantities}'
    with open(file, "w") as sink:
        for positions in sample.positions:
            sink.write(f"{len(positions)}\n{comment}\n")
            rows = zip(sample.kinds, positions.tolist(), sample.ids, sample.quantities.tolist(), strict=True)
            for kind, (x, y, z), identifier, (first, second) in rows:
                sink.write(f"{sample.names[int(kind)]} {x!r} {y!r} {z!r} {identifier} {first!r} {second!r}\n")
