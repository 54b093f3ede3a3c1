"""The barcode of a glass: how many of its atoms live in each of some forty unique local environments.

From the barcode follow the energy of the inherent structure, each atom's share in it, and how
unevenly the glass is disordered. Inference with NumPy, Numba and XGBoost; training is in `ule_training`.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.blocks import known_columns
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.learn.barcode.budget import BudgetError, EnergyBudget, budget_in_boxes
from ovito_glassml.learn.barcode.energy import SimilarityEnergy, kernel
from ovito_glassml.learn.barcode.environments import least_product
from ovito_glassml.learn.extrapolation import ExtrapolationScore
from ovito_glassml.learn.format import (
    ModelError,
    ModelHeader,
    check_length,
    rebuilt,
    take_scale,
    take_tensor,
)
from ovito_glassml.learn.model import LearnedModel, Prediction
from ovito_glassml.neighbours import reporting, stage, within_reach
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "GROUPS",
    "HEAD",
    "KIND",
    "EnergyModel",
    "ReferenceBarcode",
    "UleModel",
    "UlePrediction",
    "environment_name",
    "heterogeneity",
    "is_icosahedron",
    "kasper_group",
    "share_by_atom",
    "species_shares",
    "with_energies",
]

KIND = "ule"
#: What energies follow from: fractions of environments, or similarities with them.
ENERGIES = ("trees", "linear similarity")
#: Kasper environments and all others.
GROUPS = (1, 2)
#: Name of the only head of the extrapolation score.
HEAD = "atom"
#: Shares of species that differ by more than this from those of the training samples are another composition.
SAME_COMPOSITION = 0.005
#: Energies may lie outside those of the training samples by this share of their range: small samples scatter more.
RANGE_MARGIN = 0.25
#: Products closer than this to those of a lone atom come from no neighbours.
NO_NEIGHBOURS = 1e-5


def kasper_group(voronoi: NDArray) -> NDArray[np.int32]:
    """Group 1: environments with 2 n₄ + n₅ = 12, Kasper's condition; Group 2: all others.

    Parameters
    ----------
    voronoi : (K, 6) int array
        Numbers of faces with 3 to 8 edges.
    """
    return np.where(2 * voronoi[:, 1] + voronoi[:, 2] == 12, *GROUPS).astype(np.int32)


def is_icosahedron(voronoi: NDArray) -> NDArray[np.bool_]:
    """Environments ⟨0,0,12,0⟩."""
    return (voronoi == (0, 0, 12, 0, 0, 0)).all(axis=1)


def environment_name(number: int, voronoi: NDArray) -> str:
    """Such as ``s07 ⟨0,0,12,0⟩``: the number of the environment and its faces with 3 to 6 edges."""
    return f"s{number:02d} ⟨{','.join(str(count) for count in voronoi[:4])}⟩"


def species_shares(structure: Structure, species: tuple[str, ...]) -> NDArray[np.float64]:
    """Share of the atoms that each species has."""
    shares = structure.shares
    return np.array([shares.get(name, 0.0) for name in species])


@dataclass(frozen=True, eq=False)
class EnergyModel:
    """Gradient-boosted trees from fractions of environments to the energy of a sample.

    Attributes
    ----------
    trees : bytes
        XGBoost's UBJ.
    mean, scale : float
        eV/atom; the trees predict (energy − mean) / scale.
    """

    trees: bytes
    mean: float
    scale: float

    @cached_property
    def booster(self) -> Any:
        """The trees as XGBoost has them."""
        try:
            import xgboost
        except ModuleNotFoundError as error:
            raise ModelError("XGBoost is not installed; install it with: pip install xgboost-cpu") from error
        if not self.trees:  # XGBoost would end the process
            raise ModelError("The barcode model has no trees; train the model again.")
        try:
            booster = xgboost.Booster({"nthread": 1, "verbosity": 0})
            booster.load_model(bytearray(self.trees))
        except xgboost.core.XGBoostError as error:
            raise ModelError("The trees of the barcode model cannot be read; train the model again.") from error
        return booster

    def check(self, environments: int) -> None:
        """Refuse trees that cannot be read or are for another number of environments (ModelError)."""
        if (features := self.booster.num_features()) != environments:
            raise ModelError(
                f"The trees of the barcode model are for {features} environments and it has {environments}; "
                "train the model again."
            )

    def predict(self, fractions: NDArray) -> NDArray[np.float64]:
        """Energy (eV/atom) of each row of fractions."""
        return self.mean + self.scale * self._evaluate(fractions).astype(np.float64)

    def explain(self, fractions: NDArray) -> tuple[float, NDArray[np.float64]]:
        """Base and (S, K) SHAP values φ, eV/atom: base + Σ_k φ_k is the predicted energy of a sample."""
        values = self.scale * self._evaluate(fractions, pred_contribs=True).astype(np.float64)
        return self.mean + float(values[0, -1]), values[:, :-1]

    def _evaluate(self, fractions: NDArray, **what: Any) -> NDArray:
        booster = self.booster
        import xgboost

        table = np.ascontiguousarray(np.atleast_2d(fractions), dtype=np.float32)
        return booster.predict(xgboost.DMatrix(table, nthread=1), **what)


@dataclass(frozen=True, eq=False)
class ReferenceBarcode:
    """Mean fractions of thermal samples as a function of their energy.

    Attributes
    ----------
    energies : (B,) array
        eV/atom, ascending: mean energies of B groups of samples.
    fractions : (B, K) array
        Of each environment among the matched atoms of each group.
    atoms : (B,) array
        Matched atoms in each group.
    """

    energies: NDArray[np.float64]
    fractions: NDArray[np.float64]
    atoms: NDArray[np.float64]

    def at(self, energy: float) -> tuple[NDArray[np.float64], float]:
        """Fractions interpolated at an energy, constant beyond the ends, and how many atoms they are counted on."""
        place = np.interp(energy, self.energies, np.arange(len(self.energies)))
        lower = min(int(place), max(len(self.energies) - 2, 0))
        upper = min(lower + 1, len(self.energies) - 1)
        weight = place - lower
        fractions = (1 - weight) * self.fractions[lower] + weight * self.fractions[upper]
        variance = (1 - weight) ** 2 / self.atoms[lower] + weight**2 / self.atoms[upper]
        return fractions, 1 / variance


def heterogeneity(
    counts: NDArray, reference: NDArray, reference_atoms: float, members: NDArray[np.bool_]
) -> tuple[float, float]:
    """How far a barcode is from that of thermal samples of the same energy, beyond the noise of counting.

    With δ_k = s_k − r_k, the deviations of the fractions from the reference, the excess variance is

        H = 1/K Σ_k [δ_k² − r_k (1 − r_k) (1/M + 1/R)]

    over the K members, for M matched atoms and a reference counted on R. Its mean does not depend on M,
    and it is zero for atoms drawn independently from the reference. The z-score is H over its standard
    deviation for such draws (the fourth moments of the multinomial distribution included), so it has mean 0
    and variance 1 for them at any M. Neighbouring atoms are not independent; the card of a model says
    how wide the z-scores of thermal samples are.

    Parameters
    ----------
    counts : (K,) array
        Matched atoms in each environment.
    reference : (K,) array
        Fractions r.
    reference_atoms : float
        R.
    members : (K,) bool array
        Environments to look at, such as Group 2.

    Returns
    -------
    z, excess : float
        z-score and H; NaN for fewer than two matched atoms or no members that ever occur.
    """
    total = float(counts.sum())
    chosen = members & (reference > 0)
    if total < 2 or not chosen.any():
        return float("nan"), float("nan")
    shares = reference[chosen]
    width = 1 / total + 1 / reference_atoms
    deviation = ((counts[chosen] / total - shares) ** 2).sum()
    covariance = np.diag(shares) - np.outer(shares, shares)
    # E[u_i² u_j²] of the indicators of one draw, centred: what a Gaussian with this covariance does not have.
    squares, rest = shares**2, 1 - shares
    fourth = np.outer(shares * rest**2, squares) + np.outer(squares, shares * rest**2)
    fourth += (1 - np.add.outer(shares, shares)) * np.outer(squares, squares)
    np.fill_diagonal(fourth, shares * rest * (rest**3 + shares**3))
    gaussian = np.outer(np.diag(covariance), np.diag(covariance)) + 2 * covariance**2
    variance = 2 * width**2 * (covariance**2).sum() + (fourth - gaussian).sum() / total**3
    excess = deviation - width * np.trace(covariance)
    return float(excess / np.sqrt(variance)), float(excess / chosen.sum())


@dataclass(frozen=True, eq=False, kw_only=True)
class UlePrediction(Prediction):
    """What the model says of a structure; the sample is the selected atoms.

    Attributes
    ----------
    environment : (N,) int32 array
        The most similar environment, −1 where none is similar enough and for atoms that are not selected.
    similarity : (N,) array
        1 − √(|p − q|² / 2) for the normalised rows of the atom and of the most similar environment, 1 for the
        same; NaN if not selected.
    contribution : (N,) array
        The atom's share in the deviation of the energy from `base`, eV; NaN if not selected or without
        neighbours. With trees unmatched atoms have 0.
    counts : (K,) int64 array
        Atoms in each environment.
    atoms : int
        Selected atoms that have neighbours; the energy is theirs.
    contributions : (K,) array
        SHAP value of each number of the barcode, eV/atom.
    energy, base : float
        eV/atom: predicted energy, and the mean prediction that contributions count from.
    heterogeneity, excess_variance : float
        See the function `heterogeneity`, over Group 2.
    group1_fraction : float
        Share of the matched atoms in Kasper environments.
    same_composition : bool
        Whether the model was trained on samples with these shares of species.
    energy_in_range : bool
        Whether it was trained on samples with about this energy.

    Without a matched atom all numbers that follow from fractions are NaN.
    """

    environment: NDArray[np.int32]
    similarity: NDArray[np.float32]
    contribution: NDArray[np.float64]
    counts: NDArray[np.int64]
    atoms: int
    contributions: NDArray[np.float64]
    energy: float
    base: float
    heterogeneity: float
    excess_variance: float
    group1_fraction: float
    same_composition: bool
    energy_in_range: bool

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Share of the matched atoms in each environment; NaN without any."""
        total = int(self.counts.sum())
        return self.counts / total if total else np.full(len(self.counts), np.nan)

    @property
    def matched_fraction(self) -> float:
        """Share of the selected atoms that are similar to an environment; NaN without any atom."""
        return float(self.counts.sum() / self.atoms) if self.atoms else float("nan")

    @property
    def energy_from_absent(self) -> float:
        """eV/atom: what no atom holds; with trees the SHAP values of the environments that no atom has, else 0."""
        held = self.contribution[np.isfinite(self.contribution)]
        return self.energy - self.base - float(held.mean()) if len(held) else float("nan")


@dataclass(frozen=True, eq=False)
class UleModel(LearnedModel):
    """A trained model; see `load` and `predict`.

    Attributes
    ----------
    header : ModelHeader
        What the model says about itself.
    descriptor : SOAPDescriptors
    rows : (K, F) float32 array
        Normalised rows of the environments, the most important first.
    voronoi : (K, 6) int32 array
        Faces of the Voronoi cell of each with 3 to 8 edges.
    kernels : tuple of Structure
        For each environment every atom that its row depends on, as an open cluster; the atom itself is the first.
    energy : EnergyModel or SimilarityEnergy
        From fractions of environments, or from similarities with them.
    reference : ReferenceBarcode
    score : ExtrapolationScore
        Of the products with all environments, which tell also how far an atom is from each of them, and of the energies
        of atoms where there are any, see `with_energies`.
    """

    header: ModelHeader
    descriptor: SOAPDescriptors
    rows: NDArray[np.float32]
    voronoi: NDArray[np.int32]
    kernels: tuple[Structure, ...]
    energy: EnergyModel | SimilarityEnergy
    reference: ReferenceBarcode
    score: ExtrapolationScore
    kind = KIND

    def __len__(self) -> int:
        return len(self.rows)

    @classmethod
    def _assembled(cls, header: ModelHeader, tensors: Mapping[str, NDArray]) -> Self:
        descriptor = _stored_descriptor(header, tensors)
        count, features = int(header.architecture["environments"]), descriptor.feature_count
        check_length("similarity", header.architecture["similarity"], longest=1.0)
        if header.architecture["energy"] not in ENERGIES:
            raise ModelError(
                f"Energies from {header.architecture['energy']!r} are unknown; update ovito-glassml or train again."
            )
        _check_ranges(header)
        inputs = count + (header.architecture["energy"] != "trees")
        return cls(
            header,
            descriptor,
            take_tensor(header, tensors, "environments.rows", (count, features)).astype(np.float32),
            take_tensor(header, tensors, "environments.voronoi", (count, 6), "iu").astype(np.int32),
            _stored_kernels(header, tensors, count),
            _stored_energy(header, tensors, count),
            _stored_reference(header, tensors, count),
            ExtrapolationScore.from_tensors(header, tensors, (HEAD,), inputs),
        )

    def tensors(self) -> dict[str, NDArray]:
        """For the model file."""
        sizes = [len(kernel) for kernel in self.kernels]
        return {
            "radial.matrix": self.descriptor.orthonormalization(),
            "environments.rows": self.rows,
            "environments.voronoi": self.voronoi,
            "kernels.positions": np.concatenate([kernel.positions for kernel in self.kernels]).astype(np.float32),
            "kernels.species": np.concatenate([_model_species(kernel, self.header) for kernel in self.kernels]),
            "kernels.offsets": np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64),
            **_energy_tensors(self.energy),
            "reference.energies": self.reference.energies,
            "reference.fractions": self.reference.fractions,
            "reference.atoms": self.reference.atoms,
            **self.score.tensors(),
        }

    @property
    def energy_range(self) -> tuple[float, float]:
        """Lowest and highest energy of the training samples, eV/atom."""
        low, high = self.header.training["lowest_and_highest_energy"]
        return float(low), float(high)

    @property
    def similarity(self) -> float:
        """Δ, above which an atom has an environment."""
        return float(self.header.architecture["similarity"])

    @property
    def groups(self) -> NDArray[np.int32]:
        """1 for Kasper environments, 2 for the others."""
        return kasper_group(self.voronoi)

    @property
    def names(self) -> tuple[str, ...]:
        """Such as ``s07 ⟨0,0,12,0⟩``, by number."""
        return tuple(environment_name(number, faces) for number, faces in enumerate(self.voronoi))

    def predict(self, structure: Structure, *, progress: Progress | None = None) -> UlePrediction:
        """Assign the selected atoms of a structure and read the sample's numbers from its barcode.

        Parameters
        ----------
        structure : Structure
            In Å. At rest: the model is trained on inherent structures.
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
        wanted = np.ones(len(structure), dtype=np.bool_) if structure.mask is None else structure.mask
        compared = _Compared(structure, self)
        extrapolation = np.full(len(structure), np.nan)
        if wanted.any():
            with one_blas_thread():
                self._compare(structure, wanted, compared, stage(progress, 0.0, 0.9))
            everywhere = self.score.evaluate(structure, compared.embedding, stage(progress, 0.9, 1.0))
            extrapolation[wanted] = everywhere[wanted]
        compared.environment[~wanted | compared.alone], compared.similarity[~wanted] = -1, np.nan
        return self._summarised(structure, wanted & ~compared.alone, compared, extrapolation)

    def budget(self, structure: Structure, prediction: UlePrediction) -> EnergyBudget:
        """Where the selected atoms of a structure keep their energy, by environment.

        Raises
        ------
        BudgetError
            For trees, whose energies belong to no atoms, and samples without atoms that have neighbours.
        """
        if not isinstance(self.energy, SimilarityEnergy):
            raise BudgetError(
                "The energies of this model come from trees and belong to no atoms; "
                "take a model with energy 'linear similarity'."
            )
        typical = self.energy.typical[_kinds(structure, self)]
        found = prediction.environment, prediction.contribution
        return budget_in_boxes(structure, *found, typical, self.names, self.descriptor.cutoff)

    def novelty_blocks(self, structure: Structure) -> Iterator[tuple[str, NDArray, NDArray]]:
        """See `LearnedModel`; atoms without neighbours as well."""
        kinds = _kinds(structure, self)
        for indices, products in self.descriptor.iterate_products(structure, self.rows.T):
            if isinstance(self.energy, SimilarityEnergy):
                kernels = kernel(products, kinds[indices], self.energy.species).astype(np.float64)
                products = with_energies(products, self.energy.differences(kernels, kinds[indices]))
            yield HEAD, indices, products

    def _compare(
        self, structure: Structure, wanted: NDArray[np.bool_], compared: _Compared, progress: Progress | None
    ) -> None:
        """Rows are multiplied by the environments where they are computed, and never stored."""
        needed = within_reach(structure, wanted, self.score.radius)
        least = least_product(self.similarity)
        blocks = self.descriptor.iterate_products(replace(structure, mask=needed), self.rows.T)
        lone = self._products_of_lone_atoms()
        for indices, products in reporting(blocks, int(needed.sum()), progress):
            best = products.argmax(axis=1)
            largest = products[np.arange(len(best)), best]
            compared.environment[indices] = np.where(largest > least, best, -1)
            compared.similarity[indices] = 1 - np.sqrt(np.maximum(1 - largest, 0))
            kinds = compared.kinds[indices]
            compared.alone[indices] = (np.abs(products - lone[kinds]) < NO_NEIGHBOURS).all(axis=1)
            if isinstance(self.energy, SimilarityEnergy):
                kernels = kernel(products, kinds, self.energy.species).astype(np.float64)
                compared.difference[indices] = self.energy.differences(kernels, kinds)
                counted = wanted[indices] & ~compared.alone[indices]
                compared.kernel_sums += counted.astype(np.float64) @ kernels
                products = with_energies(products, compared.difference[indices])
            compared.embedding[indices] = self.score.embed(HEAD, products)

    def _products_of_lone_atoms(self) -> NDArray[np.float32]:
        """(species, K) products of atoms without neighbours."""
        names = self.header.species
        places = np.zeros((len(names), 3))
        places[:, 0] = 2 * self.descriptor.reach * np.arange(len(names))
        apart = Structure(places, range(len(names)), names)
        products = np.empty((len(names), len(self)), dtype=np.float32)
        for indices, block in self.descriptor.iterate_products(apart, self.rows.T):
            products[indices] = block
        return products

    def _summarised(
        self,
        structure: Structure,
        wanted: NDArray[np.bool_],
        compared: _Compared,
        extrapolation: NDArray,
    ) -> UlePrediction:
        environment = compared.environment
        counts = np.bincount(environment[environment >= 0], minlength=len(self))
        matched = int(counts.sum())
        energy = base = z = excess = group1 = float("nan")
        contributions, by_atom = np.full(len(self), np.nan), np.full(len(structure), np.nan)
        if matched:
            energy, base, contributions, by_atom = self._explained(wanted, compared, counts)
            z, excess = heterogeneity(counts, *self.reference.at(energy), self.groups == 2)
            group1 = float(counts[self.groups == 1].sum() / matched)
        by_atom[~wanted] = np.nan
        return UlePrediction(
            environment=environment,
            similarity=compared.similarity,
            contribution=by_atom,
            counts=counts,
            atoms=int(wanted.sum()),
            contributions=contributions,
            energy=energy,
            base=base,
            heterogeneity=z,
            excess_variance=excess,
            group1_fraction=group1,
            same_composition=self._knows_composition(structure),
            energy_in_range=self._knows_energy(energy),
            extrapolation=extrapolation,
            sample_extrapolation=self.score.evaluate_sample(compared.embedding[wanted]),
        )

    def _explained(
        self, wanted: NDArray[np.bool_], compared: _Compared, counts: NDArray[np.int64]
    ) -> tuple[float, float, NDArray[np.float64], NDArray[np.float64]]:
        """Energy, base and contributions (eV/atom) of the barcode's numbers, and (eV) of the atoms."""
        atoms = int(wanted.sum())
        if isinstance(self.energy, SimilarityEnergy):
            shares = np.bincount(compared.kinds[wanted], minlength=len(self.header.species)) / atoms
            means = compared.kernel_sums / atoms
            energy = float(self.energy.predict(means, shares))
            return energy, self.energy.base(shares), self.energy.contributions(means, shares), compared.difference
        fractions = counts / counts.sum()
        base, explained = self.energy.explain(fractions)
        by_atom = share_by_atom(compared.environment, explained[0], counts, atoms)
        return float(self.energy.predict(fractions)[0]), base, explained[0], by_atom

    def _knows_composition(self, structure: Structure) -> bool:
        shares = species_shares(structure, self.header.species)
        known = np.array([self.header.training["composition"][name] for name in self.header.species])
        return bool(((shares > known[:, 0] - SAME_COMPOSITION) & (shares < known[:, 1] + SAME_COMPOSITION)).all())

    def _knows_energy(self, energy: float) -> bool:
        low, high = self.energy_range
        return low - RANGE_MARGIN * (high - low) <= energy <= high + RANGE_MARGIN * (high - low)


class _Compared:
    """What a pass over the rows of a structure fills in, atom by atom; `kernel_sums` are over the wanted ones."""

    def __init__(self, structure: Structure, model: UleModel) -> None:
        count = len(structure)
        self.kinds = _kinds(structure, model)
        self.environment = np.full(count, -1, dtype=np.int32)
        self.similarity = np.full(count, np.nan, dtype=np.float32)
        self.embedding = np.full((count, model.score.width), np.nan, dtype=np.float32)
        self.difference = np.full(count, np.nan)
        self.alone = np.zeros(count, dtype=np.bool_)
        self.kernel_sums = np.zeros(len(model))


def _kinds(structure: Structure, model: UleModel) -> NDArray[np.int32]:
    """Place of every atom's species in the model; other names may be there, but no atoms of theirs."""
    return known_columns(structure, model.header.species)[structure.species].astype(np.int32)


def with_energies(products: NDArray, differences: NDArray) -> NDArray[np.float32]:
    """Products (M, K) with the environments and energies (M,) of atoms side by side.

    The energy is the direction that matters most and may be none in which products vary: vibrations at 300 K
    hardly change the products, and the energy by fifteen times its spread between samples.
    """
    return np.column_stack([products, differences]).astype(np.float32)


def share_by_atom(environment: NDArray, contributions: NDArray, counts: NDArray, atoms: int) -> NDArray[np.float64]:
    """N φ_k / n_k for each of the n_k atoms of environment k, so that the mean over N atoms is Σ φ_k of those present.

    Unmatched atoms have 0; without any matched atom all have NaN.
    """
    each = atoms * contributions / np.maximum(counts, 1)
    return np.where(environment >= 0, each[environment], 0.0 if counts.any() else np.nan)


def _model_species(kernel: Structure, header: ModelHeader) -> NDArray[np.int32]:
    columns = np.array([header.species.index(name) for name in kernel.species_names], dtype=np.int32)
    return columns[kernel.species]


def _stored_descriptor(header: ModelHeader, tensors: Mapping[str, NDArray]) -> SOAPDescriptors:
    descriptor = rebuilt(SOAPDescriptors, header.descriptor)
    header.check_descriptor(descriptor.species, descriptor.reach)
    matrix = take_tensor(header, tensors, "radial.matrix", np.shape(descriptor.orthonormalization()))
    return replace(descriptor, radial_matrix=matrix.astype(np.float64))


def _stored_kernels(header: ModelHeader, tensors: Mapping[str, NDArray], count: int) -> tuple[Structure, ...]:
    offsets = take_tensor(header, tensors, "kernels.offsets", (count + 1,), "iu").astype(np.int64)
    if offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise ModelError("The offsets of the stored environments do not ascend from 0; train the model again.")
    positions = take_tensor(header, tensors, "kernels.positions", (int(offsets[-1]), 3))
    species = take_tensor(header, tensors, "kernels.species", (int(offsets[-1]),), "iu")
    return tuple(
        Structure(positions[first:last], species[first:last], header.species) for first, last in pairwise(offsets)
    )


def _check_ranges(header: ModelHeader) -> None:
    """Refuse a header without the smallest and largest share of every species, or of the energy."""
    low, high = map(float, header.training["lowest_and_highest_energy"])
    if not -math.inf < low <= high < math.inf:
        raise ModelError(f"The energies of the training samples run from {low} to {high}; train the model again.")
    ranges = header.training["composition"]
    for name in header.species:
        lowest, highest = map(float, ranges[name])
        if not 0 <= lowest <= highest <= 1:
            raise ModelError(f"The shares of {name} run from {lowest} to {highest}; train the model again.")


def _energy_tensors(energy: EnergyModel | SimilarityEnergy) -> dict[str, NDArray]:
    if isinstance(energy, SimilarityEnergy):
        return {
            "energy.weights": energy.weights,
            "energy.species": energy.species,
            "energy.offsets": energy.offsets,
            "energy.means": energy.means,
        }
    return {
        "energy.trees": np.frombuffer(energy.trees, dtype=np.uint8),
        "energy.standard": np.array([energy.mean, energy.scale]),
    }


def _stored_energy(header: ModelHeader, tensors: Mapping[str, NDArray], count: int) -> EnergyModel | SimilarityEnergy:
    kinds = len(header.species)
    if header.architecture["energy"] == "linear similarity":
        species = take_tensor(header, tensors, "energy.species", (count,), "iu").astype(np.int32)
        if len(species) and not 0 <= species.min() <= species.max() < kinds:
            raise ModelError("The environments' species are none of the barcode model's; train the model again.")
        return SimilarityEnergy(
            take_tensor(header, tensors, "energy.weights", (count,)).astype(np.float64),
            species,
            take_tensor(header, tensors, "energy.offsets", (kinds,)).astype(np.float64),
            take_tensor(header, tensors, "energy.means", (kinds, count)).astype(np.float64),
        )
    trees = take_tensor(header, tensors, "energy.trees", (None,), "iu").astype(np.uint8).tobytes()
    mean, scale = take_tensor(header, tensors, "energy.standard", (2,)).tolist()
    energy = EnergyModel(trees, mean, scale)
    energy.check(count)
    return energy


def _stored_reference(header: ModelHeader, tensors: Mapping[str, NDArray], count: int) -> ReferenceBarcode:
    energies = take_tensor(header, tensors, "reference.energies", (None,)).astype(np.float64)
    fractions = take_tensor(header, tensors, "reference.fractions", (len(energies), count)).astype(np.float64)
    atoms = take_scale(header, tensors, "reference.atoms", (len(energies),)).astype(np.float64)
    if not len(energies) or (np.diff(energies) < 0).any():
        raise ModelError("The reference barcodes are none or not sorted by energy; train the model again.")
    return ReferenceBarcode(energies, fractions, atoms)
