"""Stiffness of every atom predicted from structure alone: inference with NumPy and Numba.

A model sees the distances of an atom's neighbours, by species or not, through a radial table, and
the angles between its nearest bonds if it wants.
It may first estimate a *bare stiffness* of every atom and then look at that of the neighbours,
since an atom among soft atoms vibrates with them. Small networks, one for each species or one for
all, turn these inputs into a stiffness, and others into the cage stiffness where the model was taught it.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.blocks import known_columns
from ovito_glassml.descriptors.radial_histogram import radial_histogram
from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.learn.expected_error import ExpectedError
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import (
    ModelError,
    ModelHeader,
    check_length,
    rebuilt,
    take_scale,
    take_tensor,
)
from ovito_glassml.learn.model import ANY_SPECIES, LearnedModel, Prediction
from ovito_glassml.learn.stiffness.angles import AngularSums, sum_angles
from ovito_glassml.learn.stiffness.shells import shell_sums, sum_shells
from ovito_glassml.neighbours import (
    CellGrid,
    CellList,
    blocks_around,
    build_cell_list,
    sort_in_space,
    stage,
    sum_within,
    within_reach,
)
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import LARGE_TASK_SIZE, one_blas_thread, run_tasks

__all__ = [
    "ALSO",
    "CAGE_STIFFNESS",
    "KIND",
    "STIFFNESS",
    "Head",
    "LocalFeatures",
    "NeighbourStiffness",
    "StiffnessModel",
    "StiffnessPrediction",
    "by_head",
]

KIND = "stiffness"
#: Blocks that are evaluated at once: threads wait for each other at the end of each.
TOGETHER = 8
#: Where the tensors of the two sets of heads begin, and the entry of `ModelHeader.output` of models that have both.
HEAD, CAGE_HEAD, ALSO = "head", "cage_head", "also"
#: Where the tensors of expected errors begin.
ERROR = "error"
#: What the two are called.
STIFFNESS, CAGE_STIFFNESS = "Predicted Stiffness", "Predicted Cage Stiffness"


@dataclass(frozen=True, eq=False, kw_only=True)
class StiffnessPrediction(Prediction):
    """One value per atom of the structure; NaN where no result was wanted.

    Attributes
    ----------
    stiffness : (N,) array
        K_i, mean over 50 to 300 K of k_B T / u_i², in eV/Å²; 0 where the model comes to less. NaN also for atoms
        without neighbours.
    coarse : (N,) array
        Mean predicted stiffness of all atoms within the coarse-graining radius.
    negative : int
        Number of atoms whose predicted stiffness, or cage stiffness, was below 0.
    cage : (N,) array or None
        Stiffness relative to the first shell, as `stiffness`; None where the model was not taught it.
    error, cage_error : (N,) arrays or None
        Absolute error that 68 % of such atoms in samples left out stay below; None where too few samples were there.
    mean_error : float
        Error to expect of the sample's mean stiffness: the standard deviation found for samples left out; NaN likewise.
    """

    stiffness: NDArray[np.float64]
    coarse: NDArray[np.float64]
    negative: int
    cage: NDArray[np.float64] | None = None
    error: NDArray[np.float64] | None = None
    cage_error: NDArray[np.float64] | None = None
    mean_error: float = float("nan")


@dataclass(frozen=True)
class LocalFeatures:
    """The inputs that an atom's own neighbours give.

    Attributes
    ----------
    descriptor : RDFDescriptors
        Radial histogram in fine or coarse bins.
    table : (bins, F) array or None
        Turns the bins of one function into F smooth functions of distance; None keeps the bins.
    angles : AngularSums or None
        Further inputs from the angles between bonds.
    """

    descriptor: RDFDescriptors
    table: NDArray[np.float64] | None = None
    angles: AngularSums | None = None

    @property
    def width(self) -> int:
        """Number of inputs."""
        radial = self.descriptor.feature_count
        if self.table is not None:
            radial = radial // self.descriptor.bins * self.table.shape[1]
        return radial + (self.angles.width if self.angles else 0)

    @property
    def cutoff(self) -> float:
        """Distance up to which neighbours matter."""
        return max(self.descriptor.cutoff, self.angles.cutoff if self.angles else 0.0)

    def prepare(self, structure: Structure, cells: CellList) -> PreparedFeatures:
        """For evaluation of any of the structure's atoms."""
        table = None if self.table is None else self.table.astype(np.float32)
        angles = self.angles.settings(structure) if self.angles else None
        descriptor = self.descriptor
        return PreparedFeatures(cells.grid, descriptor.settings(structure), descriptor.feature_count, table, angles)

    def iterate_blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Yield (atom indices, inputs) for blocks of selected atoms in space order, by species within them."""
        cells = build_cell_list(structure, self.cutoff)
        prepared = self.prepare(structure, cells)
        for block in by_species(cells, structure.mask):
            rows = np.empty((len(block), self.width), dtype=np.float32)
            run_tasks(prepared.fill, len(block), block, rows, size=LARGE_TASK_SIZE, around=one_blas_thread)
            yield cells.grid.atom[block], rows

    def with_density(self, number_density: float | None) -> LocalFeatures:
        """The same inputs normalised by another density, where they depend on the density at all."""
        if number_density is None or self.descriptor.number_density is not None:
            return self
        return replace(self, descriptor=replace(self.descriptor, number_density=number_density))


@dataclass(frozen=True, eq=False)
class PreparedFeatures:
    """`LocalFeatures` of one structure.

    Attributes
    ----------
    grid : CellGrid
    histogram : tuple
        See `RDFDescriptors.settings`.
    bins : int
        Number of all bins.
    table : (bins of one function, F) float32 array or None
    angles : tuple or None
        See `AngularSums.settings`.
    """

    grid: CellGrid
    histogram: tuple
    bins: int
    table: NDArray[np.float32] | None
    angles: tuple | None

    def fill(self, begin: int, end: int, block: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """Write the inputs of some atoms of a block into the first columns of their rows."""
        radial = np.empty((end - begin, self.bins), dtype=np.float32)
        radial_histogram(0, len(radial), self.grid, block[begin:end], *self.histogram, np.arange(len(radial)), radial)
        if self.table is not None:
            radial = (radial.reshape(-1, len(self.table)) @ self.table).reshape(len(radial), -1)
        rows[begin:end, : radial.shape[1]] = radial
        if self.angles is not None:
            sum_angles(begin, end, self.grid, block, *self.angles, radial.shape[1], rows)


@dataclass(frozen=True)
class NeighbourStiffness:
    """The inputs that the neighbours' bare stiffness gives.

    Attributes
    ----------
    cutoff : float
        Å.
    table : (R, K) array
        Weights of a neighbour at R equally spaced distances from 0 to `cutoff`.
    coefficients : dict of species to (F + 1,) array
        Bare stiffness, less its mean, as a linear function of the local inputs; the constant last.
    """

    cutoff: float
    table: NDArray[np.float64]
    coefficients: Mapping[str, NDArray[np.float64]]

    @property
    def width(self) -> int:
        """Number of inputs."""
        return len(self.coefficients) * self.table.shape[1]

    def bare(self, name: str, rows: NDArray) -> NDArray[np.float64]:
        """Bare stiffness of atoms of one species."""
        coefficients = self.coefficients[name]
        return rows @ coefficients[:-1].astype(rows.dtype) + coefficients[-1]

    def settings(self, structure: Structure) -> tuple[float, NDArray[np.int64], NDArray[np.float64]]:
        """What `sum_shells` takes between the atoms and the bare stiffness."""
        columns = known_columns(structure, tuple(self.coefficients))
        return self.cutoff, columns, np.ascontiguousarray(self.table, dtype=np.float64)

    def inputs(self, structure: Structure, bare: NDArray, progress: Progress | None = None) -> NDArray[np.float32]:
        """(M, K * species) sums over the neighbours of the selected atoms."""
        cutoff, columns, table = self.settings(structure)
        return shell_sums(structure, bare, table, cutoff, columns, len(self.coefficients), progress)


@dataclass(frozen=True)
class Head:
    """Stiffness from inputs, for the atoms of one species or of all: a linear part and the mean of small networks.

    Attributes
    ----------
    mean, scale : (Z,) arrays
        Standardise the inputs.
    linear : (Z,) array
        Weights of the linear part; zero for a plain network.
    offset : () array
        Constant of the linear part.
    hidden, hidden_bias : (E, Z, H), (E, H) arrays
        First layer of E networks, followed by a ReLU.
    output, output_bias : (E, H), (E,) arrays
        Second layer.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    linear: NDArray[np.float64]
    offset: NDArray[np.float64]
    hidden: NDArray[np.float64]
    hidden_bias: NDArray[np.float64]
    output: NDArray[np.float64]
    output_bias: NDArray[np.float64]

    @cached_property
    def _together(self) -> tuple[Any, ...]:
        """All networks side by side as one: mean, hidden layer and its bias, output layer, linear part, constant."""
        hidden = self.hidden.transpose(1, 0, 2).reshape(len(self.mean), -1) / self.scale[:, None]
        output = self.output.ravel() / len(self.hidden)
        parts = self.mean, hidden, self.hidden_bias.ravel(), output, self.linear / self.scale
        constant = float(self.offset + self.output_bias.mean(dtype=np.float64))
        return *(part.astype(np.float32) for part in parts), constant

    def predict(self, inputs: NDArray) -> NDArray[np.float64]:
        """Stiffness for rows of inputs, in single precision, in which the networks were trained."""
        mean, hidden, hidden_bias, output, linear, constant = self._together
        centred = inputs - mean
        layer = centred @ hidden
        layer += hidden_bias
        np.maximum(layer, 0, out=layer)
        return layer @ output + centred @ linear + np.float64(constant)

    def tensors(self, name: str) -> dict[str, NDArray]:
        """For the model file."""
        return {f"{name}.{item.name}": np.asarray(getattr(self, item.name)) for item in fields(self)}

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray], name: str, inputs: int) -> Head:
        """From the tensors of a model file, with all shapes checked."""
        networks, width = header.architecture["networks"], header.architecture["hidden"]
        shapes: dict[str, tuple[int, ...]] = {
            "mean": (inputs,),
            "scale": (inputs,),
            "linear": (inputs,),
            "offset": (),
            "hidden": (networks, inputs, width),
            "hidden_bias": (networks, width),
            "output": (networks, width),
            "output_bias": (networks,),
        }
        taken = {item: take_tensor(header, tensors, f"{name}.{item}", shape) for item, shape in shapes.items()}
        taken["scale"] = take_scale(header, tensors, f"{name}.scale", (inputs,))
        return cls(**{item: array.astype(np.float64) for item, array in taken.items()})


@dataclass(frozen=True)
class StiffnessModel(LearnedModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    features : LocalFeatures
    neighbours : NeighbourStiffness or None
    heads : dict of species to Head
        Or a single one under the name ``any``.
    score : ExtrapolationScore
    cage_heads : dict of species to Head
        The same for the cage stiffness; empty where the model was not taught it.
    errors, cage_errors : dict of species to ExpectedError
        Of both; empty where too few samples were there to tell.
    """

    header: ModelHeader
    features: LocalFeatures
    neighbours: NeighbourStiffness | None
    heads: Mapping[str, Head]
    score: ExtrapolationScore
    cage_heads: Mapping[str, Head] = field(default_factory=dict)
    errors: Mapping[str, ExpectedError] = field(default_factory=dict)
    cage_errors: Mapping[str, ExpectedError] = field(default_factory=dict)
    kind = KIND

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> StiffnessModel:
        descriptor = rebuilt(RDFDescriptors, header.descriptor)
        reach = descriptor.cutoff + (header.architecture["neighbour_cutoff"] or 0.0)
        header.check_descriptor(header.species if descriptor.partial is None else descriptor.partial, reach)
        if descriptor.partial is not None and descriptor.number_density is None:
            raise ModelError("The model counts neighbours by species but has no number_density; train it again.")
        table = None
        if "radial.local" in tensors:
            table = take_tensor(header, tensors, "radial.local", (descriptor.bins, None)).astype(np.float64)
        features = LocalFeatures(descriptor, table, _angles_from_tensors(header, tensors))
        neighbours = _neighbours_from_tensors(header, tensors, features)
        inputs = features.width + (neighbours.width if neighbours else 0)
        names = tuple(header.architecture["heads"])
        if names not in ((ANY_SPECIES,), header.species):
            raise ModelError(f"The model has heads for {names}; it must have one for all or one for each species.")
        also, caged = header.output.get(ALSO), any(name.startswith(f"{CAGE_HEAD}.") for name in tensors)
        if also != (CAGE_STIFFNESS if caged else None):
            raise ModelError(
                f"{header.title}: what the header says beside the stiffness, {also!r}, is not what the file has; train "
                "it again."
            )
        heads, cage_heads = (
            {name: Head.from_tensors(header, tensors, f"{part}.{name}", inputs) for name in names if wanted}
            for part, wanted in ((HEAD, True), (CAGE_HEAD, ALSO in header.output))
        )
        score = ExtrapolationScore.from_tensors(header, tensors, tuple(names), features.width)
        errors = (_errors_from_tensors(header, tensors, part, names) for part in (HEAD, CAGE_HEAD))
        return cls(header, features, neighbours, heads, score, cage_heads, *errors)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        tensors: dict[str, NDArray] = {}
        if self.features.table is not None:
            tensors["radial.local"] = self.features.table
        if self.features.angles is not None:
            tensors["radial.angles"] = self.features.angles.table
        if self.neighbours is not None:
            tensors["radial.neighbours"] = self.neighbours.table
            tensors |= {f"bare.{name}": values for name, values in self.neighbours.coefficients.items()}
        for part, heads in ((HEAD, self.heads), (CAGE_HEAD, self.cage_heads)):
            for name, head in heads.items():
                tensors |= head.tensors(f"{part}.{name}")
        for part, errors in ((HEAD, self.errors), (CAGE_HEAD, self.cage_errors)):
            for name, error in errors.items():
                tensors |= error.tensors(f"{ERROR}.{part}.{name}")
        return tensors | self.score.tensors()

    @one_blas_thread()  # others would go on waiting for work, at full speed, beside the tasks
    def predict(
        self,
        structure: Structure,
        *,
        coarse_graining_radius: float = 6.0,
        number_density: float | None = None,
        progress: Progress | None = None,
    ) -> StiffnessPrediction:
        """Predict the stiffness of the selected atoms.

        Parameters
        ----------
        structure : Structure
            Lengths in Å. Best at rest: the models are trained on inherent structures.
        coarse_graining_radius : float
            Å; 6 by default, about the third shell. All atoms within it count, selected or not.
        number_density : float, optional
            Atoms per Å³, for models of the species-blind RDF in structures with free surfaces,
            where N/V is wrong. Models by species count neighbours and need no density.
        progress : callable, optional
            Called with the fraction done; may raise to stop.

        Raises
        ------
        ModelError
            For species that the model does not know.
        StructureError
            For structures without neighbours that can be searched, see `build_cell_list`.
        """
        self.header.check_structure(structure)
        values, coarse, cage, extrapolation = (np.full(len(structure), np.nan) for _ in range(4))
        of_sample, negative = float("nan"), 0
        if len(structure.selected):
            features = self.features.with_density(number_density)
            ordered, order, cells = sort_in_space(structure, max(self._reach, coarse_graining_radius))
            wanted = np.ones(len(order), dtype=bool) if ordered.mask is None else ordered.mask
            needed = within_reach(ordered, wanted, max(coarse_graining_radius, self.score.radius), cells)
            found = self._evaluate(ordered, cells, features, needed, stage(progress, 0.0, 0.7))
            # Nothing holds such an atom. NaN would take the softest atoms out of all means.
            below = (found.stiffness < 0) | (found.cage < 0)
            for result in (found.stiffness, found.cage):
                result[result < 0] = 0.0
            means, scores = self._around(found, cells, coarse_graining_radius, stage(progress, 0.7, 1.0))
            of_sample = self.score.evaluate_sample(found.embedding[wanted])
            negative = int((below & wanted).sum())
            values[order], cage[order], coarse[order], extrapolation[order] = found.stiffness, found.cage, means, scores
        if structure.mask is not None:
            for result in (values, coarse, extrapolation, cage):
                result[~structure.mask] = np.nan
        return StiffnessPrediction(
            stiffness=values,
            coarse=coarse,
            negative=negative,
            extrapolation=extrapolation,
            sample_extrapolation=of_sample,
            cage=cage if self.cage_heads else None,
            error=_of_heads(self.errors, structure, values),
            cage_error=_of_heads(self.cage_errors, structure, cage),
            mean_error=_mean_error(self.errors, structure),
        )

    @property
    def novelty_key(self) -> Hashable:
        """See `LearnedModel`: models for glasses at rest and for snapshots may see the same."""
        features, angles = self.features, self.features.angles
        tables = [features.table, None if angles is None else angles.table]
        settings = repr((features.descriptor, None if angles is None else angles.cutoff, tuple(self.heads)))
        return settings, *(None if table is None else table.tobytes() for table in tables)

    def novelty_blocks(self, structure: Structure) -> Iterator[tuple[str, NDArray, NDArray]]:
        """See `LearnedModel`."""
        for indices, rows in self.features.iterate_blocks(structure):
            held = (rows != 0).any(axis=1)
            for name, members in by_head(structure, indices[held], tuple(self.heads)):
                yield name, indices[held][members], rows[held][members].astype(np.float64)

    @property
    def _reach(self) -> float:
        """How far the neighbours of an atom are looked for."""
        return max(self.features.cutoff, self.neighbours.cutoff if self.neighbours else 0.0, self.score.radius)

    def _evaluate(
        self,
        structure: Structure,
        cells: CellList,
        features: LocalFeatures,
        needed: NDArray[np.bool_],
        progress: Progress | None,
    ) -> _Evaluated:
        """Evaluate the needed atoms that have neighbours.

        Inputs are computed once, and kept until the bare stiffness of all neighbours is known: those of a slab.
        """
        found = _Evaluated.begun(self, structure, features.prepare(structure, cells))
        wide, reach = needed, 0.0
        if self.neighbours is not None:
            reach = self.neighbours.cutoff
            wide = within_reach(structure, needed, reach, cells)
        blocks = list(by_species(cells, wide, TOGETHER))
        last = [int(numbers[-1]) for numbers in blocks_around(cells, blocks, reach)]
        kept: dict[int, NDArray[np.float32]] = {}
        shares = iter(stage(progress, k / 2 / len(blocks), (k + 1) / 2 / len(blocks)) for k in range(2 * len(blocks)))

        def run(kernel: Callable[..., None], number: int, inputs: NDArray[np.float32]) -> None:
            arguments = len(blocks[number]), blocks[number], inputs, found
            run_tasks(kernel, *arguments, size=LARGE_TASK_SIZE, progress=next(shares), around=one_blas_thread)

        for number, block in enumerate(blocks):
            kept[number] = np.empty((len(block), found.width + found.shell_width), dtype=np.float32)
            run(self._describe, number, kept[number])
            for k in [k for k in kept if last[k] <= number]:
                run(self._judge, k, kept.pop(k))
        for result in (found.stiffness, found.cage, found.embedding):
            result[~(needed & found.held)] = np.nan
        return found

    def _around(
        self, found: _Evaluated, cells: CellList, radius: float, progress: Progress | None
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Mean stiffness within a radius of every atom, and its extrapolation score; NaN where it has no stiffness."""
        around, scores = np.empty((len(found.bare), 2)), np.empty(len(found.bare))
        known, width = np.isfinite(found.stiffness), self.score.width
        table = np.column_stack([np.where(known, found.stiffness, 0.0), known])

        def receive(indices: NDArray[np.int32], sums: NDArray[np.float64]) -> None:
            around[indices] = sums[:, width:]
            scores[indices] = self.score.of_sums(sums[:, :width])

        columns = self.score.columns(found.embedding)
        sum_within(cells, found.embedding, self.score.radius, receive, *columns, (table, radius), progress)
        scores[~known] = np.nan
        with np.errstate(invalid="ignore"):  # nobody around
            return around[:, 0] / around[:, 1], scores

    def _describe(
        self, begin: int, end: int, block: NDArray[np.int64], inputs: NDArray[np.float32], found: _Evaluated
    ) -> None:
        """Inputs and bare stiffness of some atoms of a block."""
        found.features.fill(begin, end, block, inputs)
        if self.neighbours is not None:
            indices, rows = found.features.grid.atom[block[begin:end]], inputs[begin:end, : found.width]
            for name, members in by_head(found.structure, indices, tuple(self.neighbours.coefficients)):
                found.bare[indices[members]] = self.neighbours.bare(name, rows[members])

    def _judge(
        self, begin: int, end: int, block: NDArray[np.int64], inputs: NDArray[np.float32], found: _Evaluated
    ) -> None:
        """Stiffness and coordinates of some atoms of a block from their inputs."""
        grid, width = found.features.grid, found.width
        if found.shells is not None:
            sum_shells(begin, end, grid, block, *found.shells, found.bare, width, inputs)
        inputs, indices = inputs[begin:end], grid.atom[block[begin:end]]
        found.held[indices] = np.logical_or.reduce(inputs[:, :width], axis=1)
        for name, members in by_head(found.structure, indices, tuple(self.heads)):
            own, places = inputs[members], indices[members]
            found.stiffness[places] = self.heads[name].predict(own)
            if self.cage_heads:
                found.cage[places] = self.cage_heads[name].predict(own)
            found.embedding[places] = self.score.embed(name, own[:, :width])


@dataclass(frozen=True, eq=False)
class _Evaluated:
    """A structure and what is known of its atoms so far.

    Attributes
    ----------
    structure : Structure
    features : PreparedFeatures
    shells : tuple or None
        See `NeighbourStiffness.settings`.
    width, shell_width : int
        Numbers of inputs from an atom's own neighbours and from their bare stiffness.
    bare, stiffness, cage : (N,) arrays
    embedding : (N, W) array
        See `ExtrapolationScore.embed`.
    held : (N,) array
        Whether an atom has neighbours.
    """

    structure: Structure
    features: PreparedFeatures
    shells: tuple | None
    width: int
    shell_width: int
    bare: NDArray[np.float64]
    stiffness: NDArray[np.float64]
    cage: NDArray[np.float64]
    embedding: NDArray[np.float32]
    held: NDArray[np.bool_]

    @classmethod
    def begun(cls, model: StiffnessModel, structure: Structure, features: PreparedFeatures) -> _Evaluated:
        """Nothing is known yet."""
        shells, shell_width = None, 0
        if model.neighbours is not None:
            shells, shell_width = model.neighbours.settings(structure), model.neighbours.width
        count, width = len(structure), model.features.width
        embedding = np.zeros((count, model.score.width), dtype=np.float32)
        values = np.zeros(count), np.full(count, np.nan), np.full(count, np.nan), embedding
        return cls(structure, features, shells, width, shell_width, *values, np.zeros(count, dtype=np.bool_))


def _angles_from_tensors(header: ModelHeader, tensors: Mapping[str, NDArray]) -> AngularSums | None:
    cutoff = header.architecture["angular_cutoff"]
    if cutoff is None:
        return None
    table = _take_table(header, tensors, "radial.angles").astype(np.float64)
    return AngularSums(check_length("angular_cutoff", cutoff, header.cutoff), table, header.species)


def _neighbours_from_tensors(
    header: ModelHeader, tensors: Mapping[str, NDArray], features: LocalFeatures
) -> NeighbourStiffness | None:
    cutoff = header.architecture["neighbour_cutoff"]
    if cutoff is None:
        return None
    coefficients = {
        name: take_tensor(header, tensors, f"bare.{name}", (features.width + 1,)).astype(np.float64)
        for name in header.species
    }
    table = _take_table(header, tensors, "radial.neighbours").astype(np.float64)
    return NeighbourStiffness(check_length("neighbour_cutoff", cutoff, header.cutoff), table, coefficients)


def _errors_from_tensors(
    header: ModelHeader, tensors: Mapping[str, NDArray], part: str, names: tuple[str, ...]
) -> dict[str, ExpectedError]:
    """Of all heads, or of none."""
    prefix = f"{ERROR}.{part}."
    if not any(name.startswith(prefix) for name in tensors):
        return {}
    return {name: ExpectedError.from_tensors(header, tensors, prefix + name) for name in names}


def _of_heads(errors: Mapping[str, ExpectedError], structure: Structure, values: NDArray) -> NDArray[np.float64] | None:
    """Expected error of every atom from the value predicted for it; None where there are no errors."""
    if not errors:
        return None
    result = np.full(len(values), np.nan)
    for name, error in errors.items():
        own = slice(None) if name == ANY_SPECIES else structure.of_species(name)
        result[own] = error.of(values[own])
    return result


def _mean_error(errors: Mapping[str, ExpectedError], structure: Structure) -> float:
    """Of the mean of all atoms: in one sample the species are wrong together."""
    if ANY_SPECIES in errors:
        return float(errors[ANY_SPECIES].mean)
    return sum(share * float(errors[name].mean) for name, share in structure.shares.items()) if errors else np.nan


def _take_table(header: ModelHeader, tensors: Mapping[str, NDArray], name: str) -> NDArray:
    """Functions of distance to interpolate in, for which two distances are needed."""
    table = take_tensor(header, tensors, name, (None, None))
    if len(table) < 2:
        raise ModelError(f"The tensor {name} has {len(table)} rows and 2 are the least; train the model again.")
    return table


def by_species(cells: CellList, mask: NDArray[np.bool_] | None, together: int = 1) -> Iterator[NDArray[np.int64]]:
    """The blocks of a cell list with the atoms of each species one after the other, as `by_head` takes them."""
    for block in cells.blocks(mask, together):
        yield block[np.argsort(cells.grid.species[block], kind="stable")]


def by_head(structure: Structure, indices: NDArray, names: tuple[str, ...]) -> Iterator[tuple[str, slice]]:
    """Yield (name, places within `indices`) for the species in `names`, or all under the name ``any``.

    The atoms of each species follow one another, so that nothing has to be copied.
    """
    if names == (ANY_SPECIES,):
        yield ANY_SPECIES, slice(0, len(indices))
        return
    kinds = structure.species[indices]
    ends = [*((kinds[1:] != kinds[:-1]).nonzero()[0] + 1), len(kinds)]
    for begin, end in zip([0, *ends], ends, strict=False):
        if begin < end:
            yield structure.species_names[kinds[begin]], slice(begin, end)
