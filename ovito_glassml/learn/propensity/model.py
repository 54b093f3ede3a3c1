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
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelHeader, check_length, rebuilt, take_tensor
from ovito_glassml.learn.model import ActiveSpeciesModel, Prediction
from ovito_glassml.neighbours import build_cell_list, reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = ["KIND", "LinearPropensity", "PropensityModel", "PropensityPrediction"]

KIND = "propensity"


@dataclass(frozen=True, eq=False, kw_only=True)
class PropensityPrediction(Prediction):
    """One value per atom of the structure; NaN where no result was wanted, for other species and without neighbours.

    Attributes
    ----------
    propensity : (N,) array
        Expected displacement in the length unit of the model.
    error : (N,) array
        Absolute error that 68 % of the atoms of configurations left out stay below.
    """

    propensity: NDArray[np.float64]
    error: NDArray[np.float64]


@dataclass(frozen=True)
class LinearPropensity:
    """A sum of an atom's own radial functions and of averages of its neighbours', in which every weight can be read.

    Attributes
    ----------
    radii : (K,) array
        Radii of the averages, see `species_averages`.
    centre : (S, F) array
        Mean rows of atoms of each species.
    own : (F,) array
        Weights of the atom's own row.
    averaged : (K, S, F) array
        Weights of the averages over each radius and species.
    offset, error : () arrays
        Propensity of a mean atom, and the absolute error that 68 % of the atoms stay below.
    """

    radii: NDArray[np.float64]
    centre: NDArray[np.float64]
    own: NDArray[np.float64]
    averaged: NDArray[np.float64]
    offset: NDArray[np.float64]
    error: NDArray[np.float64]

    def project(self, rows: NDArray, kinds: NDArray, active: int) -> NDArray[np.float32]:
        """(B, 1 + K) shares that atoms of species `kinds` give to themselves and to the averages of others."""
        shares = np.zeros((len(rows), 1 + len(self.radii)), dtype=np.float32)
        for kind in range(len(self.centre)):
            chosen = kinds == kind
            weights = np.column_stack([self.own * (kind == active), *self.averaged[:, kind]])
            shares[chosen] = (rows[chosen] - self.centre[kind]) @ weights
        return shares

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return {f"linear.{name}": np.asarray(value) for name, value in vars(self).items()}

    @classmethod
    def from_tensors(
        cls, header: ModelHeader, tensors: Mapping[str, NDArray], species: int, inputs: int
    ) -> LinearPropensity:
        """From the tensors of a model file, with all shapes checked."""
        radii = take_tensor(header, tensors, "linear.radii", (None,)).astype(np.float64)
        for radius in radii:
            check_length("radius", float(radius))
        shapes: dict[str, tuple[int, ...]] = {"centre": (species, inputs), "own": (inputs,), "offset": (), "error": ()}
        shapes["averaged"] = (len(radii), species, inputs)
        taken = {name: take_tensor(header, tensors, f"linear.{name}", shape) for name, shape in shapes.items()}
        return cls(radii, **{name: array.astype(np.float64) for name, array in taken.items()})


@dataclass(frozen=True)
class PropensityModel(ActiveSpeciesModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    descriptor : ACEDescriptors
        Of order 1: radial functions of each species.
    linear : LinearPropensity
    score : ExtrapolationScore
    """

    header: ModelHeader
    descriptor: ACEDescriptors
    linear: LinearPropensity
    score: ExtrapolationScore
    kind = KIND

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        descriptor = rebuilt(ACEDescriptors, header.descriptor)
        active = header.architecture["active_species"]
        inputs = len(descriptor.feature_names)
        linear = LinearPropensity.from_tensors(header, tensors, len(descriptor.species), inputs)
        header.check_descriptor(descriptor.species, descriptor.cutoff + linear.radii.max())
        header.check_species((active,))
        return cls(header, descriptor, linear, ExtrapolationScore.from_tensors(header, tensors, (active,), inputs))

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        return self.linear.tensors() | self.score.tensors()

    def predict(self, structure: Structure, *, progress: Progress | None = None) -> PropensityPrediction:
        """Predict how far the selected atoms of the active species will move.

        Parameters
        ----------
        structure : Structure
            In the length unit of the model. Best at rest: the models are trained on inherent structures.
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
        error = np.where(np.isfinite(values), float(self.linear.error), np.nan)
        return PropensityPrediction(
            propensity=values, error=error, extrapolation=extrapolation, sample_extrapolation=of_sample
        )

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
        needed = within_reach(structure, wanted, max(*self.linear.radii, self.score.radius))
        shares = np.full((len(structure), 1 + len(self.linear.radii)), np.nan, dtype=np.float32)
        embedding = np.full((len(structure), self.score.width), np.nan, dtype=np.float32)
        blocks = self.descriptor.iterate_blocks(replace(structure, mask=needed))
        for indices, rows in reporting(blocks, int(needed.sum()), progress):
            caged = rows.any(axis=1)
            indices, rows = indices[caged], rows[caged]
            shares[indices] = self.linear.project(rows, kinds[indices], active)
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
        values[wanted & known] = self.linear.offset + shares[wanted & known, 0]
        cells = build_cell_list(structure, float(self.linear.radii.max()))
        count, steps = len(self.descriptor.species), len(self.linear.radii)
        for k, radius in enumerate(self.linear.radii):
            part = stage(progress, k / steps, (k + 1) / steps)
            given = np.ascontiguousarray(shares[:, k + 1 : k + 2])
            for indices, averages in species_averages(cells, given, columns, count, radius, wanted & known, part):
                values[indices] += averages.sum(axis=(1, 2), dtype=np.float64)
        np.maximum(values, 0, out=values)
