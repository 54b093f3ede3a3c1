"""Structural constraint neural network: high or low energy barrier from the similarity to four real environments.

A descriptor row X is standardised and embedded, Z = σ(W_g σ(W_f X + b_f) + b_g). What decides is
only the cosine D_v of Z with four prototypes, each the embedding of one training atom: 0 and 1
have low barriers, 2 and 3 high ones. The logits are W_h D. Inference with NumPy alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelError, ModelHeader, rebuilt, take_scale, take_tensor
from ovito_glassml.learn.model import ANY_SPECIES, LearnedModel, Prediction
from ovito_glassml.learn.prototypes.descriptors import EnvironmentDescriptors
from ovito_glassml.neighbours import reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "CLASSES",
    "KIND",
    "PROTOTYPES",
    "Prototype",
    "PrototypeNetwork",
    "RowDescriptors",
    "ScnnModel",
    "ScnnPrediction",
    "centre_of",
    "descriptor_settings",
    "fingerprint",
    "in_double_precision",
    "reach",
]

KIND = "scnn"

#: Number of prototypes.
PROTOTYPES = 4
#: Class of each prototype: 0 low barrier, 1 high barrier.
CLASSES = np.array([0, 0, 1, 1])

#: As for Bessel parameters: no more averages over neighbours.
MOST_SHELLS = 20

#: What a header says about `EnvironmentDescriptors`.
ENVIRONMENT_SETTINGS = {"radial", "angular", "components", "radial_shells", "angular_shells"}

#: Functions σ.
ACTIVATIONS = ("tanh", "relu")

#: Embeddings shorter than this have no direction.
SMALLEST_LENGTH = 1e-12

RowDescriptors = BesselDescriptors | EnvironmentDescriptors


@dataclass(frozen=True, eq=False, kw_only=True)
class ScnnPrediction(Prediction):
    """One value or row per atom of the structure; NaN or −1 where no result was wanted or possible.

    Attributes
    ----------
    similarity : (N, 4) float32 array
        Cosine of the atom's embedding with each prototype.
    prototype : (N,) int32 array
        Index of the most similar prototype; 0 and 1 low, 2 and 3 high barrier; −1 for none.
    logit : (N,) array
        High minus low.
    probability : (N,) array
        Of a high barrier if both classes were equally frequent.
    """

    similarity: NDArray[np.float32]
    prototype: NDArray[np.int32]
    logit: NDArray[np.float64]
    probability: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class PrototypeNetwork:
    """The network from descriptor rows to logits.

    Attributes
    ----------
    mean, scale : (F,) arrays
        Standardise the rows.
    hidden, hidden_bias : (F, H), (H,) arrays
        First layer, W_f.
    embedding, embedding_bias : (H, E), (E,) arrays
        Second layer, W_g.
    prototypes : (4, E) array
        S_v.
    head : (2, 4) array
        W_h; rows low and high.
    calibration : (2,) array
        Slope and constant that turn the logit (high − low) into that of the calibrated probability.
    activation : {'tanh', 'relu'}
        σ. Rectified embeddings have no negative cosines.
    """

    mean: NDArray[np.float32]
    scale: NDArray[np.float32]
    hidden: NDArray[np.float32]
    hidden_bias: NDArray[np.float32]
    embedding: NDArray[np.float32]
    embedding_bias: NDArray[np.float32]
    prototypes: NDArray[np.float32]
    head: NDArray[np.float32]
    calibration: NDArray[np.float64]
    activation: str = "tanh"

    def embed(self, rows: NDArray) -> NDArray:
        """(M, E) embeddings Z of rows, in the precision of the rows."""
        kind = rows.dtype
        hidden = (rows - self.mean.astype(kind)) / self.scale.astype(kind)
        hidden = self._activate(hidden @ self.hidden.astype(kind) + self.hidden_bias.astype(kind))
        return self._activate(hidden @ self.embedding.astype(kind) + self.embedding_bias.astype(kind))

    def similarities(self, embeddings: NDArray) -> NDArray:
        """(M, 4) cosines D with the prototypes."""
        units = embeddings / np.maximum(np.linalg.norm(embeddings, axis=1, keepdims=True), SMALLEST_LENGTH)
        return units @ _unit(self.prototypes).T.astype(embeddings.dtype)

    def logits(self, similarities: NDArray) -> NDArray[np.float64]:
        """(M,) difference of the logits, high − low."""
        return similarities.astype(np.float64) @ (self.head[1] - self.head[0]).astype(np.float64)

    def probabilities(self, logits: NDArray) -> NDArray[np.float64]:
        """Calibrated probability of a high barrier, for equally frequent classes."""
        slope, constant = self.calibration
        return 0.5 * (1 + np.tanh(0.5 * (slope * logits + constant)))

    def cosines(self) -> NDArray[np.float64]:
        """(4, 4) cosines of the prototypes with each other."""
        units = _unit(self.prototypes).astype(np.float64)
        return units @ units.T

    def _activate(self, values: NDArray) -> NDArray:
        return np.tanh(values, out=values) if self.activation == "tanh" else np.maximum(values, 0, out=values)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return {f"network.{name}": value for name, value in vars(self).items() if name != "activation"}

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray], inputs: int) -> PrototypeNetwork:
        """From the tensors of a model file, with all shapes checked."""
        width, size = header.architecture["hidden"], header.architecture["embedding"]
        shapes: dict[str, tuple[int, ...]] = {
            "mean": (inputs,),
            "scale": (inputs,),
            "hidden": (inputs, width),
            "hidden_bias": (width,),
            "embedding": (width, size),
            "embedding_bias": (size,),
            "prototypes": (PROTOTYPES, size),
            "head": (2, PROTOTYPES),
            "calibration": (2,),
        }
        taken = {name: take_tensor(header, tensors, f"network.{name}", shape) for name, shape in shapes.items()}
        taken["scale"] = take_scale(header, tensors, "network.scale", (inputs,))
        activation = header.architecture["activation"]
        if activation not in ACTIVATIONS:
            raise ModelError(f"The activation {activation!r} is unknown; train the model with one of {ACTIVATIONS}.")
        return cls(**taken, activation=activation)


@dataclass(frozen=True, eq=False)
class Prototype:
    """The training atom that a prototype is.

    Attributes
    ----------
    sample : str
        Name of its sample.
    atom : int
        Its identifier there.
    barrier : float
        Its label, eV.
    environment : Structure
        Every atom that its descriptor depends on, as an open cluster; the atom itself is the first.
    """

    sample: str
    atom: int
    barrier: float
    environment: Structure


@dataclass(frozen=True, eq=False)
class ScnnModel(LearnedModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    descriptor : BesselDescriptors or EnvironmentDescriptors
        Gives the rows.
    network : PrototypeNetwork
    prototypes : tuple of Prototype
    score : ExtrapolationScore
    """

    header: ModelHeader
    descriptor: RowDescriptors
    network: PrototypeNetwork
    prototypes: tuple[Prototype, ...]
    score: ExtrapolationScore
    kind = KIND

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        descriptor = _descriptor_from_tensors(header, tensors)
        inputs = len(descriptor.feature_names)
        network = PrototypeNetwork.from_tensors(header, tensors, inputs)
        prototypes = tuple(_prototype_from_tensors(header, tensors, number) for number in range(PROTOTYPES))
        score = ExtrapolationScore.from_tensors(header, tensors, (ANY_SPECIES,), inputs)
        header.check_descriptor(descriptor.species, max(reach(descriptor), score.radius))
        return cls(header, descriptor, network, prototypes, score)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        tensors = self.network.tensors() | self.score.tensors()
        if isinstance(self.descriptor, EnvironmentDescriptors):
            tensors["radial.angular"] = self.descriptor.angular.orthonormalization()
            tensors |= {f"angular.{name}": getattr(self.descriptor, name) for name in ("mean", "scale", "projection")}
        for number, prototype in enumerate(self.prototypes):
            tensors[f"prototype.{number}.positions"] = prototype.environment.positions
            tensors[f"prototype.{number}.species"] = prototype.environment.species.astype(np.int8)
        return tensors

    def predict(
        self,
        structure: Structure,
        *,
        rows: NDArray | None = None,
        progress: Progress | None = None,
    ) -> ScnnPrediction:
        """Compare the selected atoms with the prototypes.

        Parameters
        ----------
        structure : Structure
            Lengths in Å. Best at rest: the models are trained on inherent structures.
        rows : (M, F) array, optional
            What `describe` returned for this structure, if it is known already.
        progress : callable, optional
            Called with the fraction done; may raise to stop.

        Raises
        ------
        ModelError
            For species that the model does not know, and for rows of other descriptors.
        StructureError
            For structures without neighbours that can be searched, see `build_cell_list`.
        """
        self._check(structure, rows)
        count = len(structure)
        wanted = np.ones(count, dtype=bool) if structure.mask is None else structure.mask
        similarity = np.full((count, PROTOTYPES), np.nan, dtype=np.float32)
        coordinates = np.full((count, self.score.width), np.nan, dtype=np.float32)
        if wanted.any():
            needed = self.needed(structure)
            with one_blas_thread():
                for indices, block in self._blocks(needed, rows, stage(progress, 0.0, 0.9)):
                    similarity[indices] = self.network.similarities(self.network.embed(block))
                    coordinates[indices] = self.score.embed(ANY_SPECIES, block)
            extrapolation = self.score.evaluate(structure, coordinates, stage(progress, 0.9, 1.0))
        else:
            extrapolation = np.full(count, np.nan)
        of_sample = self.score.evaluate_sample(coordinates[wanted])
        similarity[~wanted] = np.nan
        defined = np.isfinite(similarity).all(axis=1)
        extrapolation[~defined] = np.nan
        prototype = np.where(defined, np.argmax(np.nan_to_num(similarity, nan=-2), axis=1), -1).astype(np.int32)
        logit = self.network.logits(similarity)
        probability = self.network.probabilities(logit)
        return ScnnPrediction(
            similarity=similarity,
            prototype=prototype,
            logit=logit,
            probability=probability,
            extrapolation=extrapolation,
            sample_extrapolation=of_sample,
        )

    def novelty_blocks(self, structure: Structure) -> Iterator[tuple[str, NDArray, NDArray]]:
        """See `LearnedModel`."""
        for indices, rows in self.descriptor.iterate_blocks(structure):
            known = np.isfinite(rows).all(axis=1)
            yield ANY_SPECIES, indices[known], rows[known]

    def needed(self, structure: Structure) -> Structure:
        """The structure with all atoms selected whose rows the prediction reads: the selected ones and their region."""
        if structure.mask is None:
            return structure
        return replace(structure, mask=within_reach(structure, structure.mask, self.score.radius))

    def describe(self, structure: Structure, progress: Progress | None = None) -> NDArray:
        """Descriptor rows of `needed`, to be given to `predict` of this or another model of equal descriptors."""
        self._check(structure, None)
        return self.descriptor.compute(self.needed(structure), progress)

    def _blocks(self, needed: Structure, rows: NDArray | None, progress: Progress | None) -> Iterable:
        """Blocks of (atom indices, rows), computed or taken from those that are there."""
        if rows is None:
            return self.descriptor.iterate_blocks(needed, progress)
        selected = needed.selected
        blocks = ((selected[k : k + _BLOCK], rows[k : k + _BLOCK]) for k in range(0, len(selected), _BLOCK))
        return reporting(blocks, len(selected), progress)

    def _check(self, structure: Structure, rows: NDArray | None) -> None:
        self.header.check_structure(structure)
        expected = (len(self.needed(structure).selected), len(self.descriptor.feature_names))
        if rows is not None and rows.shape != expected:
            raise ModelError(
                f"The rows have shape {rows.shape} where this model's descriptors give {expected}; "
                "compute them with the descriptor settings that the model was trained with."
            )

    def embed_exactly(self, structure: Structure) -> NDArray[np.float64]:
        """(M, E) embeddings of the selected atoms in double precision throughout, as those of the prototypes."""
        rows = in_double_precision(self.descriptor).compute(structure)
        return self.network.embed(rows)


#: Rows that pass through the network at a time; they and their embeddings stay in the cache.
_BLOCK = 4096


def reach(descriptor: RowDescriptors) -> float:
    """Distance beyond which no atom changes a row."""
    if isinstance(descriptor, EnvironmentDescriptors):
        return descriptor.reach
    return descriptor.cutoff * (1 + descriptor.shells)


def fingerprint(descriptor: RowDescriptors) -> str:
    """Equal for descriptors that give equal rows."""
    return descriptor.fingerprint if isinstance(descriptor, EnvironmentDescriptors) else repr(descriptor)


def descriptor_settings(descriptor: RowDescriptors) -> dict:
    """What the header says about the descriptor; arrays are tensors of the file."""
    if isinstance(descriptor, BesselDescriptors):
        return {"family": "bessel", **asdict(descriptor)}
    angular = {key: value for key, value in asdict(descriptor.angular).items() if key != "radial_matrix"}
    return {
        "family": "environment",
        "radial": asdict(descriptor.radial),
        "angular": angular,
        "components": descriptor.projection.shape[1],
        "radial_shells": descriptor.radial_shells,
        "angular_shells": descriptor.angular_shells,
    }


def _descriptor_from_tensors(header: ModelHeader, tensors: Mapping[str, NDArray]) -> RowDescriptors:
    settings = dict(header.descriptor)
    family = settings.pop("family")
    if family == "bessel":
        return rebuilt(BesselDescriptors, settings)
    if family != "environment" or set(settings) != ENVIRONMENT_SETTINGS:
        raise ModelError(f"The descriptor {family!r} with {', '.join(settings)} is unknown; train the model again.")
    radial = rebuilt(BesselDescriptors, settings["radial"])
    angular = rebuilt(SOAPDescriptors, settings["angular"])
    header.check_descriptor(angular.species, header.cutoff)
    matrix = take_tensor(header, tensors, "radial.angular", angular.orthonormalization().shape)
    angular = replace(angular, radial_matrix=matrix.astype(np.float64))
    width = angular.feature_count
    mean = take_tensor(header, tensors, "angular.mean", (width,))
    scale = take_scale(header, tensors, "angular.scale", (width,))
    projection = take_tensor(header, tensors, "angular.projection", (width, settings["components"]))
    if type(settings["components"]) is not int:
        raise ModelError(f"The number of components is {settings['components']!r}; train the model again.")
    shells = settings["radial_shells"], settings["angular_shells"]
    if not all(type(count) is int and 0 <= count <= MOST_SHELLS for count in shells):
        raise ModelError(f"The numbers of shells are {shells}; they must be 0 to {MOST_SHELLS}, train the model again.")
    return EnvironmentDescriptors(radial, angular, mean, scale, projection, *shells)


def _prototype_from_tensors(header: ModelHeader, tensors: Mapping[str, NDArray], number: int) -> Prototype:
    entry = header.architecture["prototypes"][number]
    positions = take_tensor(header, tensors, f"prototype.{number}.positions", (None, 3))
    species = take_tensor(header, tensors, f"prototype.{number}.species", (len(positions),), "iu")
    environment = Structure(positions, species, header.species)
    return Prototype(entry["sample"], entry["atom"], entry["barrier"], environment)


def centre_of(environment: Structure) -> Structure:
    """An environment with its first atom selected."""
    return replace(environment, mask=np.arange(len(environment)) == 0)


def in_double_precision(descriptor: RowDescriptors) -> RowDescriptors:
    """The same descriptors, for reproducing numbers rather than for speed."""
    if isinstance(descriptor, EnvironmentDescriptors):
        return descriptor.in_double_precision()
    return replace(descriptor, dtype="float64")


def _unit(vectors: NDArray) -> NDArray:
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), SMALLEST_LENGTH)
