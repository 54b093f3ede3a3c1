"""How far every atom will move, predicted from structure alone: a sum over shells, species and averages of them.

Inference with NumPy and Numba; training is in `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.averaged_sum import AveragedSum
from ovito_glassml.learn.expected_error import ExpectedError
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelHeader
from ovito_glassml.learn.model import ActiveSpeciesModel, Prediction
from ovito_glassml.neighbours import stage
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = ["KIND", "PropensityModel", "PropensityPrediction"]

KIND = "propensity"
#: Extrapolation of the median atom above which errors found on structures like the training say nothing; that of new
#: structures like the training is below 1, and about 1 where these were few.
UNLIKE = 2.0


@dataclass(frozen=True, eq=False, kw_only=True)
class PropensityPrediction(Prediction):
    """One value per atom of the structure; NaN where no result was wanted, for other species and without neighbours.

    Attributes
    ----------
    propensity : (N,) array
        Expected displacement in the length unit of the model.
    error : (N,) array
        Absolute error that 68 % of the atoms of configurations left out stay below, of those with such a propensity.
    mean_error : float
        Error to expect of the structure's mean: the standard deviation found for configurations left out.
    expected_correlation : float
        Pearson's R with the measured propensity to expect within this structure: it is small where all atoms are
        predicted to move alike. NaN for fewer than two atoms, and where most are unlike those of the training.
    """

    propensity: NDArray[np.float64]
    error: NDArray[np.float64]
    mean_error: float
    expected_correlation: float


@dataclass(frozen=True)
class PropensityModel(ActiveSpeciesModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    linear : AveragedSum
        Of which the value is the propensity, where it is positive.
    error : ExpectedError
    score : ExtrapolationScore
    """

    header: ModelHeader
    linear: AveragedSum
    error: ExpectedError
    score: ExtrapolationScore
    kind = KIND

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        linear = AveragedSum.from_tensors(header, tensors)
        error, inputs = ExpectedError.from_tensors(header, tensors), len(linear.descriptor.feature_names)
        score = ExtrapolationScore.from_tensors(header, tensors, (linear.active_species,), inputs)
        return cls(header, linear, error, score)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return self.linear.tensors() | self.error.tensors() | self.score.tensors()

    def predict(self, structure: Structure, *, progress: Progress | None = None) -> PropensityPrediction:
        """Predict how far the selected atoms of the active species will move; see `LearnedModel.predict`."""
        self.header.check_structure(structure)
        values = np.full(len(structure), np.nan)
        extrapolation, of_sample = values.copy(), float("nan")
        wanted = self.wanted(structure)
        if wanted.any():
            with one_blas_thread():
                values, embedding = self.linear.evaluate(structure, wanted, self.score, stage(progress, 0.0, 0.8))
                np.maximum(values, 0, out=values)
                scores = self.score.evaluate(structure, embedding, stage(progress, 0.8, 1.0))
            known = wanted & np.isfinite(values)
            extrapolation[known] = scores[known]
            of_sample = self.score.evaluate_sample(embedding[known])
        return PropensityPrediction(
            propensity=values,
            error=self.error.of(values),
            mean_error=float(self.error.mean),
            expected_correlation=self._expected_correlation(values, extrapolation),
            extrapolation=extrapolation,
            sample_extrapolation=of_sample,
        )

    def _expected_correlation(self, values: NDArray, extrapolation: NDArray) -> float:
        """R to expect; NaN where most atoms are unlike those whose errors are known."""
        known = np.isfinite(values)
        if known.any() and np.median(extrapolation[known]) > UNLIKE:
            return float("nan")
        return self.error.correlation(values[known])
