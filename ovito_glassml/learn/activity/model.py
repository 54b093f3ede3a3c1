"""Which atoms will rearrange, predicted from structure alone: on which side of a line their surroundings lie.

Inference with NumPy and Numba; training is in `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.learn.averaged_sum import AveragedSum
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import (
    ModelHeader,
    rebuilt,
    take_scale,
    take_tensor,
)
from ovito_glassml.learn.model import ActiveSpeciesModel, Prediction
from ovito_glassml.neighbours import stage
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "ACTIVATIONS",
    "KIND",
    "ActivityModel",
    "ActivityPrediction",
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
class ActivityModel(ActiveSpeciesModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    linear : AveragedSum
        Of which the value is the decision: positive means active.
    slope, shift : () arrays
        The probability is the logistic function of ``slope * decision + shift``, fitted to decisions about atoms of
        configurations that were not trained on (J. Platt, 1999).
    score : ExtrapolationScore
    """

    header: ModelHeader
    linear: AveragedSum
    slope: NDArray[np.float64]
    shift: NDArray[np.float64]
    score: ExtrapolationScore
    kind = KIND

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        linear = AveragedSum.from_tensors(header, _without_averages(header, tensors))
        slope, shift = (take_tensor(header, tensors, f"classifier.{name}", ()) for name in ("slope", "shift"))
        inputs = len(linear.descriptor.feature_names)
        score = ExtrapolationScore.from_tensors(header, tensors, (linear.active_species,), inputs)
        return cls(header, linear, slope.astype(np.float64), shift.astype(np.float64), score)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        calibration = {"classifier.slope": np.asarray(self.slope), "classifier.shift": np.asarray(self.shift)}
        return self.linear.tensors() | calibration | self.score.tensors()

    def predict(self, structure: Structure, *, progress: Progress | None = None) -> ActivityPrediction:
        """Predict who will rearrange among the selected atoms of the active species; see `LearnedModel.predict`."""
        self.header.check_structure(structure)
        probability = np.full(len(structure), np.nan)
        extrapolation, of_sample = probability.copy(), float("nan")
        wanted = self.wanted(structure)
        if wanted.any():
            with one_blas_thread():
                decisions, embedding = self.linear.evaluate(structure, wanted, self.score, stage(progress, 0.0, 0.9))
            probability = 0.5 * (1 + np.tanh(0.5 * (self.slope * decisions + self.shift)))
            everywhere = self.score.evaluate(structure, embedding, stage(progress, 0.9, 1.0))
            extrapolation = np.where(np.isfinite(probability), everywhere, np.nan)
            of_sample = self.score.evaluate_sample(embedding[wanted])
        return ActivityPrediction(probability=probability, extrapolation=extrapolation, sample_extrapolation=of_sample)


def _without_averages(header: ModelHeader, tensors: Mapping[str, NDArray]) -> Mapping[str, NDArray]:
    """Tensors of files that are older than averages: a line in standardised rows, as a sum over them."""
    if "classifier.weights" not in tensors:
        return tensors
    descriptor = rebuilt(ACEDescriptors, header.descriptor)
    species, inputs = len(descriptor.species), len(descriptor.feature_names)
    mean, weights = (take_tensor(header, tensors, f"classifier.{name}", (inputs,)) for name in ("mean", "weights"))
    return dict(tensors) | {
        "linear.radii": np.zeros(0),
        "linear.offset": take_tensor(header, tensors, "classifier.offset", ()),
        "linear.0.centre": np.tile(mean, (species, 1)),
        "linear.0.own": weights / take_scale(header, tensors, "classifier.scale", (inputs,)),
        "linear.0.averaged": np.zeros((0, species, inputs)),
    }
