"""Which atoms will rearrange, predicted from structure alone: a linear classifier on ACE descriptors.

Inference with NumPy and Numba; training is in `activity_training`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import (
    ModelHeader,
    rebuilt,
    take_scale,
    take_tensor,
)
from ovito_glassml.learn.model import ActiveSpeciesModel, Prediction
from ovito_glassml.neighbours import reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "ACTIVATIONS",
    "KIND",
    "ActivityModel",
    "ActivityPrediction",
    "LinearClassifier",
]

KIND = "activity"

#: What makes the atoms move in the simulations that models learn from.
ACTIVATIONS = ("thermal", "shear")


@dataclass(frozen=True, eq=False, kw_only=True)
class ActivityPrediction(Prediction):
    """One value per atom of the structure; NaN where no result was wanted, for other species and without neighbours.

    Attributes
    ----------
    probability : (N,) array
        That the atom is active, given that it is either active or inactive, both equally likely.
    """

    probability: NDArray[np.float64]


@dataclass(frozen=True)
class LinearClassifier:
    """Standardise, project onto a line, and turn the place on the line into a probability.

    Attributes
    ----------
    mean, scale : (F,) arrays
        Standardise the rows.
    weights : (F,) array
    offset : () array
        The decision value is ``standardised @ weights + offset``; positive means active.
    slope, shift : () arrays
        The probability is the logistic function of ``slope * decision + shift``, fitted to decisions
        about atoms of configurations that were not trained on (J. Platt, 1999).
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    weights: NDArray[np.float64]
    offset: NDArray[np.float64]
    slope: NDArray[np.float64]
    shift: NDArray[np.float64]

    def decide(self, rows: NDArray) -> NDArray[np.float64]:
        """Decision value for each row."""
        return (rows - self.mean) / self.scale @ self.weights + self.offset

    def probability(self, rows: NDArray) -> NDArray[np.float64]:
        """Calibrated probability that each row belongs to an active atom."""
        exponent = self.slope * self.decide(rows) + self.shift
        return 0.5 * (1 + np.tanh(0.5 * exponent))

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return {f"classifier.{name}": np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray], inputs: int) -> LinearClassifier:
        """From the tensors of a model file, with all shapes checked."""
        shapes: dict[str, tuple[int, ...]] = {"mean": (inputs,), "scale": (inputs,), "weights": (inputs,)}
        shapes |= {"offset": (), "slope": (), "shift": ()}
        taken = {name: take_tensor(header, tensors, f"classifier.{name}", shape) for name, shape in shapes.items()}
        taken["scale"] = take_scale(header, tensors, "classifier.scale", (inputs,))
        return cls(**{name: array.astype(np.float64) for name, array in taken.items()})


@dataclass(frozen=True)
class ActivityModel(ActiveSpeciesModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    descriptor : ACEDescriptors
    classifier : LinearClassifier
    score : ExtrapolationScore
    """

    header: ModelHeader
    descriptor: ACEDescriptors
    classifier: LinearClassifier
    score: ExtrapolationScore
    kind = KIND

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        descriptor = rebuilt(ACEDescriptors, header.descriptor)
        active = header.architecture["active_species"]
        header.check_descriptor(descriptor.species, descriptor.cutoff)
        inputs = len(descriptor.feature_names)
        classifier = LinearClassifier.from_tensors(header, tensors, inputs)
        return cls(header, descriptor, classifier, ExtrapolationScore.from_tensors(header, tensors, (active,), inputs))

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return self.classifier.tensors() | self.score.tensors()

    def predict(self, structure: Structure, *, progress: Progress | None = None) -> ActivityPrediction:
        """Predict who will rearrange among the selected atoms of the active species; see `LearnedModel.predict`."""
        self.header.check_structure(structure)
        probability = np.full(len(structure), np.nan)
        extrapolation, of_sample = probability.copy(), float("nan")
        active, wanted = structure.of_species(self.active_species), self.wanted(structure)
        if wanted.any():
            with one_blas_thread():
                embedding = self._evaluate(structure, active, wanted, probability, stage(progress, 0.0, 0.9))
            everywhere = self.score.evaluate(structure, embedding, stage(progress, 0.9, 1.0))
            probability[~wanted] = np.nan
            extrapolation = np.where(np.isfinite(probability), everywhere, np.nan)
            of_sample = self.score.evaluate_sample(embedding[wanted])
        return ActivityPrediction(probability=probability, extrapolation=extrapolation, sample_extrapolation=of_sample)

    def _evaluate(
        self,
        structure: Structure,
        active: NDArray[np.bool_],
        wanted: NDArray[np.bool_],
        probability: NDArray,
        progress: Progress | None,
    ) -> NDArray[np.float32]:
        """Fill `probability` for active atoms with neighbours near wanted ones; return the coordinates of novelty."""
        needed = active
        if not wanted[active].all():
            needed = active & within_reach(structure, wanted, self.score.radius)
        embedding = np.full((len(structure), self.score.width), np.nan, dtype=np.float32)
        blocks = self.descriptor.iterate_blocks(replace(structure, mask=needed))
        for indices, rows in reporting(blocks, int(needed.sum()), progress):
            caged = rows.any(axis=1)
            if not caged.all():
                indices, rows = indices[caged], rows[caged]
            probability[indices] = self.classifier.probability(rows)
            embedding[indices] = self.score.embed(self.active_species, rows)
        return embedding
