"""How far every atom will move, predicted from structure alone: a sum over shells, species and averages of them.

Inference with NumPy and Numba; training is in `train`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.blocks import known_columns
from ovito_glassml.descriptors.species_averages import species_averages
from ovito_glassml.learn.expected_error import ExpectedError
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelHeader, check_length, rebuilt, take_tensor
from ovito_glassml.learn.model import ActiveSpeciesModel, Prediction
from ovito_glassml.neighbours import build_cell_list, reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = ["KIND", "LinearPart", "PropensityModel", "PropensityPrediction"]

KIND = "propensity"
#: Share of wanted atoms below which it pays to look which others are near them; describing all costs less.
FEW = 0.2
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
class LinearPart:
    """What rows of one descriptor give to the sum, in which every weight can be read.

    Attributes
    ----------
    descriptor : ACEDescriptors
    centre : (S, F) array
        Mean rows of atoms of each species.
    own : (F,) array
        Weights of the atom's own row.
    averaged : (K, S, F) array
        Weights of the averages over each radius of the model and each species, see `species_averages`.
    """

    descriptor: ACEDescriptors
    centre: NDArray[np.float64]
    own: NDArray[np.float64]
    averaged: NDArray[np.float64]

    def project(self, rows: NDArray, kinds: NDArray, active: int) -> NDArray[np.float32]:
        """(B, 1 + K) shares that atoms of species `kinds` give to themselves and to the averages of others."""
        shares = np.zeros((len(rows), 1 + len(self.averaged)), dtype=np.float32)
        for kind in range(len(self.centre)):
            chosen = kinds == kind
            weights = np.column_stack([self.own * (kind == active), *self.averaged[:, kind]])
            shares[chosen] = (rows[chosen] - self.centre[kind]) @ weights
        return shares

    def tensors(self, number: int) -> dict[str, NDArray]:
        """For the model file."""
        return {f"linear.{number}.{name}": getattr(self, name) for name in ("centre", "own", "averaged")}

    @classmethod
    def from_tensors(
        cls, header: ModelHeader, tensors: Mapping[str, NDArray], number: int, descriptor: ACEDescriptors, radii: int
    ) -> LinearPart:
        """From the tensors of a model file, with all shapes checked."""
        species, inputs = len(descriptor.species), len(descriptor.feature_names)
        shapes = {"centre": (species, inputs), "own": (inputs,), "averaged": (radii, species, inputs)}
        taken = {name: take_tensor(header, tensors, f"linear.{number}.{name}", shape) for name, shape in shapes.items()}
        return cls(descriptor, **{name: array.astype(np.float64) for name, array in taken.items()})


@dataclass(frozen=True)
class PropensityModel(ActiveSpeciesModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    radii : (K,) array
        Of the averages.
    parts : tuple of LinearPart
        Their sums are added. The first is of radial functions, by which novelty is judged.
    offset : () array
        Propensity of a mean atom.
    error : ExpectedError
    score : ExtrapolationScore
    """

    header: ModelHeader
    radii: NDArray[np.float64]
    parts: tuple[LinearPart, ...]
    offset: NDArray[np.float64]
    error: ExpectedError
    score: ExtrapolationScore
    kind = KIND

    @property
    def descriptor(self) -> ACEDescriptors:  # type: ignore[override]
        """Of the first part."""
        return self.parts[0].descriptor

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        settings = [header.descriptor, *header.architecture.get("further_descriptors", ())]
        descriptors = [rebuilt(ACEDescriptors, each) for each in settings]
        active, first = header.architecture["active_species"], descriptors[0]
        radii = take_tensor(header, tensors, "linear.radii", (None,)).astype(np.float64)
        for radius in radii:
            check_length("radius", float(radius))
        reach = max(descriptor.cutoff for descriptor in descriptors) + radii.max(initial=0)
        for descriptor in descriptors:
            header.check_descriptor(descriptor.species, reach)
        header.check_species((active,))
        parts = tuple(
            LinearPart.from_tensors(header, tensors, number, descriptor, len(radii))
            for number, descriptor in enumerate(descriptors)
        )
        offset = take_tensor(header, tensors, "linear.offset", ()).astype(np.float64)
        error = ExpectedError.from_tensors(header, tensors)
        score = ExtrapolationScore.from_tensors(header, tensors, (active,), len(first.feature_names))
        return cls(header, radii, parts, offset, error, score)

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        tensors = {"linear.radii": self.radii, "linear.offset": np.asarray(self.offset)}
        for number, part in enumerate(self.parts):
            tensors |= part.tensors(number)
        return tensors | self.error.tensors() | self.score.tensors()

    def predict(self, structure: Structure, *, progress: Progress | None = None) -> PropensityPrediction:
        """Predict how far the selected atoms of the active species will move; see `LearnedModel.predict`."""
        self.header.check_structure(structure)
        values = np.full(len(structure), np.nan)
        extrapolation, of_sample = values.copy(), float("nan")
        wanted = self.wanted(structure)
        if wanted.any():
            with one_blas_thread():
                shares, embedding = self._shares(structure, wanted, stage(progress, 0.0, 0.5))
                self._add_up(structure, wanted, shares, values, stage(progress, 0.5, 0.8))
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

    def _columns(self, structure: Structure) -> NDArray[np.int64]:
        """Place of every atom's species in the model."""
        return known_columns(structure, self.descriptor.species)[structure.species]

    def _shares(
        self, structure: Structure, wanted: NDArray[np.bool_], progress: Progress | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What every atom near a wanted one gives to the sums, and the coordinates of novelty; NaN without neighbours.

        A row of descriptors is reduced to these few numbers at once, so rows of all atoms never exist.
        """
        kinds, active = self._columns(structure), self.descriptor.species.index(self.active_species)
        needed = np.ones(len(structure), dtype=np.bool_)
        if wanted.mean() < FEW:
            needed = within_reach(structure, wanted, max(*self.radii, self.score.radius))
        shares = np.full((len(structure), 1 + len(self.radii)), np.nan, dtype=np.float32)
        embedding = np.full((len(structure), self.score.width), np.nan, dtype=np.float32)
        chosen, count = replace(structure, mask=needed), len(self.parts)
        for number, part in enumerate(self.parts):
            report = stage(progress, number / count, (number + 1) / count)
            for indices, rows in reporting(part.descriptor.iterate_blocks(chosen), int(needed.sum()), report):
                if number:
                    shares[indices] += part.project(rows, kinds[indices], active)
                    continue
                caged = rows.any(axis=1)
                indices, rows = indices[caged], rows[caged]
                shares[indices] = part.project(rows, kinds[indices], active)
                own = kinds[indices] == active
                embedding[indices[own]] = self.score.embed(self.active_species, rows[own])
        return shares, embedding

    def _add_up(
        self,
        structure: Structure,
        wanted: NDArray[np.bool_],
        shares: NDArray[np.float32],
        values: NDArray[np.float64],
        progress: Progress | None,
    ) -> None:
        """Write offset, own share and averages of the wanted atoms that have neighbours into `values`."""
        known = np.isfinite(shares[:, 0])
        columns = np.where(known, self._columns(structure), -1)
        values[wanted & known] = self.offset + shares[wanted & known, 0]
        cells = build_cell_list(structure, float(self.radii.max()))
        count, steps = len(self.descriptor.species), len(self.radii)
        for k, radius in enumerate(self.radii):
            part = stage(progress, k / steps, (k + 1) / steps)
            given = np.ascontiguousarray(shares[:, k + 1 : k + 2])
            for indices, averages in species_averages(cells, given, columns, count, radius, wanted & known, part):
                values[indices] += averages.sum(axis=(1, 2), dtype=np.float64)
        np.maximum(values, 0, out=values)
