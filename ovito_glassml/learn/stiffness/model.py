"""Stiffness of every atom predicted from structure alone: inference with NumPy and Numba.

A model sees the distances of an atom's neighbours, by species or not, through a radial table, and
the angles between its nearest bonds if it wants.
It may first estimate a *bare stiffness* of every atom and then look at that of the neighbours,
since an atom among soft atoms vibrates with them. Small networks, one for each species or one for
all, turn these inputs into a stiffness, and others into the cage stiffness where the model was taught it.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.rdf import RDFDescriptors
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
from ovito_glassml.learn.stiffness.angles import AngularSums
from ovito_glassml.learn.stiffness.shells import shell_sums
from ovito_glassml.neighbours import average_within, reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

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
#: Where the tensors of the two sets of heads begin, and the entry of `ModelHeader.output` of models that have both.
HEAD, CAGE_HEAD, ALSO = "head", "cage_head", "also"
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
    """

    stiffness: NDArray[np.float64]
    coarse: NDArray[np.float64]
    negative: int
    cage: NDArray[np.float64] | None = None


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
        functions = 1 if self.descriptor.partial is None else len(self.descriptor.partial)
        radial = functions * (self.descriptor.bins if self.table is None else self.table.shape[1])
        return radial + (self.angles.width if self.angles else 0)

    def iterate_blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float64]]]:
        """Yield (atom indices, inputs) for blocks of selected atoms in space order."""
        angles = self.angles.prepare(structure) if self.angles else None
        for indices, rows in self.descriptor.iterate_blocks(structure):
            inputs = rows.astype(np.float64)
            if self.table is not None:
                inputs = (inputs.reshape(-1, len(self.table)) @ self.table).reshape(len(rows), -1)
            if angles is not None:
                inputs = np.concatenate([inputs, angles.rows(indices)], axis=1)
            yield indices, inputs

    def with_density(self, number_density: float | None) -> LocalFeatures:
        """The same inputs normalised by another density, where they depend on the density at all."""
        if number_density is None or self.descriptor.number_density is not None:
            return self
        return replace(self, descriptor=replace(self.descriptor, number_density=number_density))


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
        return rows @ coefficients[:-1] + coefficients[-1]

    def inputs(self, structure: Structure, bare: NDArray, progress: Progress | None = None) -> NDArray[np.float32]:
        """(M, K * species) sums over the neighbours of the selected atoms."""
        columns = _heads_of_species(structure, tuple(self.coefficients))
        return shell_sums(structure, bare, self.table, self.cutoff, columns, len(self.coefficients), progress).reshape(
            -1, self.width
        )


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

    def predict(self, inputs: NDArray) -> NDArray[np.float64]:
        """Stiffness for rows of inputs."""
        standard = (inputs - self.mean) / self.scale
        result = standard @ self.linear + self.offset
        for hidden, hidden_bias, output, output_bias in zip(
            self.hidden, self.hidden_bias, self.output, self.output_bias, strict=True
        ):
            layer = np.maximum(standard @ hidden + hidden_bias, 0.0)
            result += (layer @ output + output_bias) / len(self.hidden)
        return result

    def tensors(self, name: str) -> dict[str, NDArray]:
        """For the model file."""
        return {f"{name}.{item}": np.asarray(value) for item, value in vars(self).items()}

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
    """

    header: ModelHeader
    features: LocalFeatures
    neighbours: NeighbourStiffness | None
    heads: Mapping[str, Head]
    score: ExtrapolationScore
    cage_heads: Mapping[str, Head] = field(default_factory=dict)
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
        heads, cage_heads = (
            {name: Head.from_tensors(header, tensors, f"{part}.{name}", inputs) for name in names if wanted}
            for part, wanted in ((HEAD, True), (CAGE_HEAD, ALSO in header.output))
        )
        score = ExtrapolationScore.from_tensors(header, tensors, tuple(names), features.width)
        return cls(header, features, neighbours, heads, score, cage_heads)

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
        return tensors | self.score.tensors()

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
        wanted = np.ones(len(structure), dtype=bool) if structure.mask is None else structure.mask
        features = self.features.with_density(number_density)
        values = np.full(len(structure), np.nan)
        coarse, extrapolation, of_sample, negative = values.copy(), values.copy(), float("nan"), 0
        cage = values.copy()
        if wanted.any():
            needed = within_reach(structure, wanted, max(coarse_graining_radius, self.score.radius))
            with one_blas_thread():
                shells = self._neighbour_inputs(structure, features, needed, stage(progress, 0.0, 0.4))
                results, report = (values, cage), stage(progress, 0.4, 0.8)
                embedding = self._evaluate(structure, features, needed, shells, results, report)
            # Nothing holds such an atom. NaN would take the softest atoms out of all means.
            below = (values < 0) | (cage < 0)
            for result in (values, cage):
                result[result < 0] = 0.0
            coarse = average_within(structure, values, coarse_graining_radius, stage(progress, 0.8, 0.9))
            extrapolation = self.score.evaluate(structure, embedding, stage(progress, 0.9, 1.0))
            of_sample = self.score.evaluate_sample(embedding[wanted])
            extrapolation[np.isnan(values)] = np.nan
            negative = int((below & wanted).sum())
        for result in (values, coarse, extrapolation, cage):
            result[~wanted] = np.nan
        return StiffnessPrediction(
            stiffness=values,
            coarse=coarse,
            negative=negative,
            extrapolation=extrapolation,
            sample_extrapolation=of_sample,
            cage=cage if self.cage_heads else None,
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
            held = rows.any(axis=1)
            for name, members in by_head(structure, indices[held], tuple(self.heads)):
                yield name, indices[held][members], rows[held][members]

    def _neighbour_inputs(
        self, structure: Structure, features: LocalFeatures, needed: NDArray, progress: Progress | None
    ) -> NDArray[np.float32]:
        """Sums over the neighbours' bare stiffness for the needed atoms, by atom."""
        chosen = np.zeros((len(structure), 0), dtype=np.float32)
        if self.neighbours is None:
            return chosen
        wide = replace(structure, mask=within_reach(structure, needed, self.neighbours.cutoff))
        bare = np.zeros(len(structure))
        for indices, rows in reporting(features.iterate_blocks(wide), len(wide.selected), stage(progress, 0.0, 0.6)):
            for name, members in by_head(structure, indices, tuple(self.neighbours.coefficients)):
                bare[indices[members]] = self.neighbours.bare(name, rows[members])
        chosen = np.zeros((len(structure), self.neighbours.width), dtype=np.float32)
        chosen[needed] = self.neighbours.inputs(replace(structure, mask=needed), bare, stage(progress, 0.6, 1.0))
        return chosen

    def _evaluate(
        self,
        structure: Structure,
        features: LocalFeatures,
        needed: NDArray,
        shells: NDArray,
        results: tuple[NDArray, NDArray],
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        """Fill stiffness and cage stiffness of the needed atoms with neighbours; return the embedding for novelty."""
        embedding = np.full((len(structure), self.score.width), np.nan, dtype=np.float32)
        narrow = replace(structure, mask=needed)
        for indices, rows in reporting(features.iterate_blocks(narrow), len(narrow.selected), progress):
            held = rows.any(axis=1)
            if not held.all():
                indices, rows = indices[held], rows[held]
            inputs = np.concatenate([rows, shells[indices]], axis=1)
            for name, members in by_head(structure, indices, tuple(self.heads)):
                for result, heads in zip(results, (self.heads, self.cage_heads), strict=True):
                    if heads:
                        result[indices[members]] = heads[name].predict(inputs[members])
                embedding[indices[members]] = self.score.embed(name, rows[members])
        return embedding


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


def _take_table(header: ModelHeader, tensors: Mapping[str, NDArray], name: str) -> NDArray:
    """Functions of distance to interpolate in, for which two distances are needed."""
    table = take_tensor(header, tensors, name, (None, None))
    if len(table) < 2:
        raise ModelError(f"The tensor {name} has {len(table)} rows and 2 are the least; train the model again.")
    return table


def _heads_of_species(structure: Structure, names: tuple[str, ...]) -> NDArray[np.int64]:
    """For each species of the structure, its place in `names`; -1 for those that are not there."""
    return np.array([names.index(name) if name in names else -1 for name in structure.species_names], dtype=np.int64)


def by_head(structure: Structure, indices: NDArray, names: tuple[str, ...]) -> Iterator[tuple[str, NDArray]]:
    """Yield (name, positions within `indices`) for the species in `names`, or all under the name ``any``."""
    if names == (ANY_SPECIES,):
        yield ANY_SPECIES, np.arange(len(indices))
        return
    kinds = structure.species[indices]
    for kind, name in enumerate(structure.species_names):
        members = np.flatnonzero(kinds == kind)
        if len(members):
            yield name, members
