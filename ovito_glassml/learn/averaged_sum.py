"""One number per atom as a sum over what is around it and, on average, around its neighbours: every weight is readable.

What linear models of rearrangements have in common. Inference with NumPy and Numba.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.blocks import known_columns
from ovito_glassml.descriptors.species_averages import species_averages
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import ModelHeader, check_length, rebuilt, take_tensor
from ovito_glassml.neighbours import build_cell_list, reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure

__all__ = ["AveragedSum", "LinearPart", "averaged_features", "mean_rows", "radii_that_fit", "weights_by_radius"]

#: Share of wanted atoms below which it pays to look which others are near them; describing all costs less.
FEW = 0.2


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
        Weights of the averages over each radius of the sum and each species, see `species_averages`.
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


@dataclass(frozen=True)
class AveragedSum:
    """A sum over an atom's own rows and the averages of its neighbours' rows, for atoms of one species.

    Attributes
    ----------
    active_species : str
    radii : (K,) array
        Of the averages; none for a sum over the atom's own rows alone.
    parts : tuple of LinearPart
        Their sums are added. By the rows of the first, novelty is judged.
    offset : () array
        Value of a mean atom.
    """

    active_species: str
    radii: NDArray[np.float64]
    parts: tuple[LinearPart, ...]
    offset: NDArray[np.float64]

    @property
    def descriptor(self) -> ACEDescriptors:
        """Of the first part."""
        return self.parts[0].descriptor

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        tensors = {"linear.radii": self.radii, "linear.offset": np.asarray(self.offset)}
        for number, part in enumerate(self.parts):
            tensors |= {f"linear.{number}.{name}": getattr(part, name) for name in ("centre", "own", "averaged")}
        return tensors

    @classmethod
    def from_tensors(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> AveragedSum:
        """From the tensors of a model file, with all shapes checked."""
        descriptors, active = _descriptors_of(header), header.architecture["active_species"]
        radii = take_tensor(header, tensors, "linear.radii", (None,)).astype(np.float64)
        for radius in radii:
            check_length("radius", float(radius))
        reach = max(descriptor.cutoff for descriptor in descriptors) + radii.max(initial=0)
        for descriptor in descriptors:
            header.check_descriptor(descriptor.species, reach)
        header.check_species((active,))
        parts = []
        for number, descriptor in enumerate(descriptors):
            species, inputs = len(descriptor.species), len(descriptor.feature_names)
            shapes = {"centre": (species, inputs), "own": (inputs,), "averaged": (len(radii), species, inputs)}
            taken = [take_tensor(header, tensors, f"linear.{number}.{name}", shapes[name]) for name in shapes]
            parts.append(LinearPart(descriptor, *(array.astype(np.float64) for array in taken)))
        offset = take_tensor(header, tensors, "linear.offset", ()).astype(np.float64)
        return cls(active, radii, tuple(parts), offset)

    def evaluate(
        self,
        structure: Structure,
        wanted: NDArray[np.bool_],
        score: ExtrapolationScore,
        progress: Progress | None = None,
    ) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
        """Values (N,) of the wanted atoms of the active species, and coordinates of novelty (N, W).

        NaN elsewhere, and where an atom has no neighbours.
        """
        values = np.full(len(structure), np.nan)
        shares, embedding = self._shares(structure, wanted, score, stage(progress, 0.0, 0.6))
        known = np.isfinite(shares[:, 0])
        values[wanted & known] = self.offset + shares[wanted & known, 0]
        if len(self.radii):
            self._add_averages(structure, wanted & known, known, shares, values, stage(progress, 0.6, 1.0))
        return values, embedding

    def _columns(self, structure: Structure) -> NDArray[np.int64]:
        """Place of every atom's species in the model."""
        return known_columns(structure, self.descriptor.species)[structure.species]

    def _needed(self, structure: Structure, wanted: NDArray[np.bool_], reach: float) -> NDArray[np.bool_]:
        """Atoms whose rows count: of every species if averages are formed, near wanted ones if these are few."""
        counting = np.ones(len(structure), dtype=np.bool_)
        if not len(self.radii):
            counting = structure.of_species(self.active_species)
        few = wanted.sum() < FEW * counting.sum()
        return counting & within_reach(structure, wanted, reach) if few else counting

    def _shares(
        self, structure: Structure, wanted: NDArray[np.bool_], score: ExtrapolationScore, progress: Progress | None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """What every atom near a wanted one gives to the sums, and the coordinates of novelty; NaN without neighbours.

        A row of descriptors is reduced to these few numbers at once, so rows of all atoms never exist.
        """
        kinds, active = self._columns(structure), self.descriptor.species.index(self.active_species)
        needed = self._needed(structure, wanted, max(self.radii.max(initial=0), score.radius))
        shares = np.full((len(structure), 1 + len(self.radii)), np.nan, dtype=np.float32)
        embedding = np.full((len(structure), score.width), np.nan, dtype=np.float32)
        chosen, count = replace(structure, mask=needed), len(self.parts)
        for number, part in enumerate(self.parts):
            report = stage(progress, number / count, (number + 1) / count)
            for indices, rows in reporting(part.descriptor.iterate_blocks(chosen), int(needed.sum()), report):
                if number:
                    shares[indices] += part.project(rows, kinds[indices], active)
                    continue
                caged = rows.any(axis=1)
                if not caged.all():
                    indices, rows = indices[caged], rows[caged]
                shares[indices] = part.project(rows, kinds[indices], active)
                own = kinds[indices] == active
                embedding[indices[own]] = score.embed(self.active_species, rows[own])
        return shares, embedding

    def _add_averages(
        self,
        structure: Structure,
        wanted: NDArray[np.bool_],
        known: NDArray[np.bool_],
        shares: NDArray[np.float32],
        values: NDArray[np.float64],
        progress: Progress | None,
    ) -> None:
        """Add the averages over `known` atoms to the values of the wanted ones."""
        columns = np.where(known, self._columns(structure), -1)
        cells = build_cell_list(structure, float(self.radii.max()))
        count, steps = len(self.descriptor.species), len(self.radii)
        for k, radius in enumerate(self.radii):
            part = stage(progress, k / steps, (k + 1) / steps)
            given = np.ascontiguousarray(shares[:, k + 1 : k + 2])
            for indices, averages in species_averages(cells, given, columns, count, radius, wanted, part):
                values[indices] += averages.sum(axis=(1, 2), dtype=np.float64)


def _descriptors_of(header: ModelHeader) -> list[ACEDescriptors]:
    """Of all parts, as the header of a model file names them."""
    return [
        rebuilt(ACEDescriptors, each)
        for each in (header.descriptor, *header.architecture.get("further_descriptors", ()))
    ]


def averaged_features(
    structure: Structure,
    rows: NDArray[np.float32],
    columns: NDArray[np.int64],
    centre: NDArray[np.float64],
    radii: Sequence[float],
    mask: NDArray[np.bool_],
) -> NDArray[np.float32]:
    """(M, F + K S F) features that one part adds up, of the atoms of a mask, to fit its weights.

    Parameters
    ----------
    structure : Structure
    rows : (N, F) float32 array
        Of all atoms.
    columns : (N,) array
        Place of every atom's species.
    centre : (S, F) array
        Taken from the rows, so that where no atom of a species is near, the average is that of a mean atom.
    radii : sequence of float
        In the structure's length unit.
    mask : (N,) bool array

    Returns
    -------
    array
        Own rows, then averages by radius and species.
    """
    rows = np.ascontiguousarray(rows - centre[columns], dtype=np.float32)
    place, (count, width) = np.cumsum(mask) - 1, centre.shape
    blocks = [rows[mask]]
    if not len(radii):
        return rows[mask]
    cells = build_cell_list(structure, max(radii))
    for radius in radii:
        block = np.empty((int(mask.sum()), count * width), dtype=np.float32)
        for indices, averages in species_averages(cells, rows, columns, count, radius, mask):
            block[place[indices]] = averages.reshape(len(indices), -1)
        blocks.append(block)
    return np.hstack(blocks)


def mean_rows(tables: Sequence[NDArray], kinds: Sequence[NDArray], species: int) -> NDArray[np.float64]:
    """(S, F) mean rows of the atoms of each species over several structures; zero for species without atoms."""
    everything, kind = np.concatenate(tables), np.concatenate(kinds)
    means = np.zeros((species, everything.shape[1]))
    for number in np.unique(kind):
        means[number] = everything[kind == number].mean(axis=0, dtype=np.float64)
    return means


def weights_by_radius(weights: NDArray, width: int, species: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Weights of `averaged_features` as those of a `LinearPart`: own (F,) and averaged (K, S, F)."""
    return weights[:width], weights[width:].reshape(-1, species, width)


def radii_that_fit(structures: Iterable[Structure], nearest: float, radii: Sequence[float]) -> tuple[float, ...]:
    """These radii in nearest-neighbour distances, or half of the smallest box, the smallest first and each once."""
    half = min(map(_half_box, structures), default=np.inf) / nearest
    return tuple(sorted({min(radius, float(f"{half:.3g}")) for radius in radii}))


def _half_box(structure: Structure) -> float:
    """Farther out, an average meets atoms again in their images and becomes the same number for all of a box."""
    if structure.cell is None or not any(structure.pbc):
        return float("inf")
    heights = 1 / np.linalg.norm(np.linalg.inv(structure.cell), axis=0)
    return float(heights[list(structure.pbc)].min() / 2)
