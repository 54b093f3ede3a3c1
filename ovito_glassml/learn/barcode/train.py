"""Training of barcode models: unique environments, boosted trees on all of them, then on the most telling ones.

Needs the extra `train`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.blocks import species_columns
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode.data import BarcodeTable, UleSample, describe_samples
from ovito_glassml.learn.barcode.energy import (
    Moments,
    SimilarityEnergy,
    SoftBarcodes,
    choose_by_energy,
    fit_energy,
    kernel,
    total_moments,
)
from ovito_glassml.learn.barcode.environments import (
    UniqueEnvironments,
    normalised,
    select_environments,
)
from ovito_glassml.learn.barcode.model import (
    HEAD,
    KIND,
    EnergyModel,
    ReferenceBarcode,
    UleModel,
    environment_name,
    kasper_group,
    species_shares,
    with_energies,
)
from ovito_glassml.learn.extrapolation import ExtrapolationScore, fit_extrapolation
from ovito_glassml.learn.format import ModelHeader, ResultTable
from ovito_glassml.learn.lengths import SHARPNESS, two_shells
from ovito_glassml.learn.units import UNSTATED, Units
from ovito_glassml.neighbours import cut_out
from ovito_glassml.progress import Report, silent, span_of, with_text
from ovito_glassml.structure import Structure, combined_species

__all__ = [
    "PUBLISHED_TREES",
    "CrossValidation",
    "Ranking",
    "SoftPass",
    "SoftSamples",
    "TreeSettings",
    "UleDesign",
    "build_model",
    "build_similarity_model",
    "choose_soft",
    "cross_validate",
    "fit_reference",
    "fit_trees",
    "fold_of_runs",
    "mean_rounds",
    "own_species",
    "rank_environments",
    "samples_by_fold",
    "train_ule",
    "tune",
]

#: Voronoi faces with 3 to 8 edges of the atoms of a structure, or of those given.
Voronoi = Callable[..., NDArray]

#: Rounds without improvement of the fold left out after which boosting stops, as published.
EARLY_STOPPING = 100
#: More rounds than any fold needs at the smallest learning rate.
MOST_ROUNDS = 3000
#: Samples that SHAP values are averaged over for the ranking.
RANKED_SAMPLES = 300
#: Samples behind each point of the reference barcode, and the number of points at most.
REFERENCE_SAMPLES, REFERENCE_POINTS = 25, 12
#: Environments that are chosen from, the most frequent ones: with forty rare ones five atoms of six are like none.
CANDIDATES = 200
#: Components, radius over the cutoff of SOAP, and samples of the extrapolation score. Four components miss a liquid.
#: The radius costs time at every atom; sixty atoms within it, each of which sees further, are enough.
SCORE_COMPONENTS, SCORE_REGION, SCORE_SAMPLES = 8, 1.3, 40


@dataclass(frozen=True)
class TreeSettings:
    """Settings of XGBoost for a standardised energy.

    Attributes
    ----------
    max_depth : int
    eta, gamma, subsample, colsample_bytree : float
        As XGBoost names them.
    child_share : float
        ``min_child_weight`` over the number of samples.
    """

    max_depth: int
    eta: float
    gamma: float
    child_share: float
    subsample: float
    colsample_bytree: float

    def parameters(self, samples: int, seed: int) -> dict[str, Any]:
        """For `xgboost.train`."""
        given = asdict(self)
        given["min_child_weight"] = given.pop("child_share") * samples
        return given | {"objective": "reg:squarederror", "tree_method": "hist", "seed": seed, "verbosity": 0}


#: Best of the published search, for 10 000 samples.
PUBLISHED_TREES = TreeSettings(20, 0.0272, 0.0188, 82 / 10_000, 0.767, 0.624)


@dataclass(frozen=True)
class UleDesign:
    """What a barcode model looks at and how it learns.

    Attributes
    ----------
    title, summary : str
        For the card.
    similarity : float
        Δ, above which two environments are one; 0.84 as published.
    cutoff : float or None
        Of SOAP, in the unit of the structures: the published 5 Å, or None for the first two shells. Its Gaussians are
        a tenth of it wide.
    share : float
        Part of the structures that environments are selected from; 0.4 as published.
    environments : int
        How many are kept for the model; 40 as published.
    folds : int
        Parts of the runs in cross-validation.
    first_trials : int
        Settings of the trees that are tried with all environments.
    trials : int
        Settings of the trees that are tried with the environments that are kept.
    seed : int
        Of the selection, the folds and the trees.
    units : Units
        Of structures and energies, for the card.
    """

    title: str = "energy and heterogeneity from a barcode of local environments"
    summary: str = ""
    similarity: float = 0.84
    share: float = 0.4
    environments: int = 40
    folds: int = 5
    first_trials: int = 8
    trials: int = 40
    seed: int = 1
    units: Units = UNSTATED
    cutoff: float | None = None

    def __post_init__(self) -> None:
        for name in ("environments", "trials", "first_trials"):
            if getattr(self, name) < 1:
                raise TrainingError(f"{name} is {getattr(self, name)}; give at least 1.")
        if not (0 < self.share <= 1 and 0 < self.similarity < 1):
            raise TrainingError(
                f"similarity is {self.similarity:g} and share is {self.share:g}; give numbers from 0 to 1."
            )


class CrossValidation(NamedTuple):
    """Energies (eV/atom) of samples by trees that have not seen their runs, and how many trees each fold had."""

    predicted: NDArray[np.float64]
    rounds: list[int]

    def error(self, energies: NDArray) -> float:
        """Root mean square, eV/atom."""
        return float(np.sqrt(np.mean((self.predicted - energies) ** 2)))


class Ranking(NamedTuple):
    """Mean |φ| and mean φ (eV/atom) of each environment, and their numbers from the largest mean |φ| down."""

    magnitude: NDArray[np.float64]
    signed: NDArray[np.float64]
    order: NDArray[np.int64]


def fold_of_runs(runs: Sequence[str] | NDArray, folds: int) -> NDArray[np.int64]:
    """Number of the fold of each sample; runs are dealt out in the order of their first samples.

    Raises
    ------
    TrainingError
        For fewer runs than folds.
    """
    names = list(dict.fromkeys(runs))
    if len(names) < folds or folds < 2:
        raise TrainingError(
            f"There are {len(names)} runs and {folds} folds; give at least one run for each of two or more folds, "
            "since samples of one run resemble each other."
        )
    return np.array([names.index(run) % folds for run in runs])


def fit_trees(fractions: NDArray, energies: NDArray, settings: TreeSettings, rounds: int, seed: int = 1) -> EnergyModel:
    """Boosted trees from fractions to energies, in a given number of rounds."""
    import xgboost

    mean, scale = _standard(energies)
    data = xgboost.DMatrix(fractions.astype(np.float32), (energies - mean) / scale)
    booster = xgboost.train(settings.parameters(len(energies), seed), data, rounds)
    return EnergyModel(bytes(booster.save_raw("ubj")), mean, scale)


def cross_validate(table: BarcodeTable, settings: TreeSettings, folds: int = 5, seed: int = 1) -> CrossValidation:
    """Predict every run by trees that have not seen it.

    The fold left out also decides when boosting stops, so that its error is slightly too good; judge
    models by runs that took no part.

    Raises
    ------
    TrainingError
        For fewer runs than folds.
    """
    fold = fold_of_runs(table.runs, folds)
    predicted, rounds = np.empty(len(table)), []
    for number in range(folds):
        held = fold == number
        predicted[held], best = _stopped_early(table, held, settings, seed)
        rounds.append(best)
    return CrossValidation(predicted, rounds)


def _stopped_early(
    table: BarcodeTable, held: NDArray[np.bool_], settings: TreeSettings, seed: int
) -> tuple[NDArray[np.float64], int]:
    """Energies of the samples held out, and the number of rounds that were best for them."""
    import xgboost

    mean, scale = _standard(table.energies[~held])
    fractions, target = table.fractions.astype(np.float32), (table.energies - mean) / scale
    inner, outer = (xgboost.DMatrix(fractions[part], target[part]) for part in (~held, held))
    booster = xgboost.train(
        settings.parameters(int((~held).sum()), seed),
        inner,
        MOST_ROUNDS,
        evals=[(outer, "held")],
        early_stopping_rounds=EARLY_STOPPING,
        verbose_eval=False,
    )
    best = booster.best_iteration + 1
    return mean + scale * booster.predict(outer, iteration_range=(0, best)).astype(np.float64), best


def _standard(energies: NDArray) -> tuple[float, float]:
    mean, scale = float(energies.mean()), float(energies.std())
    if not scale > 0:
        raise TrainingError(f"All {len(energies)} samples have the same energy; give samples that differ.")
    return mean, scale


def tune(
    table: BarcodeTable, trials: int, *, folds: int = 5, seed: int = 1, progress: Report | None = None
) -> tuple[TreeSettings, CrossValidation]:
    """Settings of the trees with the smallest cross-validated error, from the published ranges.

    The published best is tried first; a trial whose first folds are worse than the median is given up.

    Parameters
    ----------
    table : BarcodeTable
    trials : int
        One takes the published settings as they are.
    folds, seed : int
    progress : callable, optional
        Called with the fraction done and a text.

    Raises
    ------
    TrainingError
        For fewer runs than folds, and samples that all have the same energy.
    """
    import optuna

    fold = fold_of_runs(table.runs, folds)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        sampler=optuna.samplers.TPESampler(seed=seed), pruner=optuna.pruners.MedianPruner(n_warmup_steps=1)
    )
    study.enqueue_trial(asdict(PUBLISHED_TREES))

    def objective(trial: optuna.Trial) -> float:
        settings = _suggested(trial)
        squares = 0.0
        for number in range(folds):
            held = fold == number
            predicted, _ = _stopped_early(table, held, settings, seed)
            squares += float(((predicted - table.energies[held]) ** 2).sum())
            trial.report(squares / (fold <= number).sum(), number)
            if number < folds - 1 and trial.should_prune():
                raise optuna.TrialPruned
        return squares / len(table)

    def told(study: optuna.Study, trial: optuna.trial.FrozenTrial) -> None:
        if progress is not None:
            progress((trial.number + 1) / trials, f"settings {trial.number + 1} of {trials}")

    study.optimize(objective, n_trials=max(1, trials), callbacks=[told])
    settings = TreeSettings(**study.best_params)
    return settings, cross_validate(table, settings, folds, seed)


def _suggested(trial: Any) -> TreeSettings:
    return TreeSettings(
        max_depth=trial.suggest_int("max_depth", 20, 40),
        eta=trial.suggest_float("eta", 0.01, 0.05),
        gamma=trial.suggest_float("gamma", 0.001, 10.0, log=True),
        child_share=trial.suggest_float("child_share", 0.0, 0.2),
        subsample=trial.suggest_float("subsample", 0.4, 1.0),
        colsample_bytree=trial.suggest_float("colsample_bytree", 0.4, 1.0),
    )


def rank_environments(model: EnergyModel, fractions: NDArray, seed: int = 1) -> Ranking:
    """Order environments by how much they move the predicted energy: their mean |φ| over some samples.

    The mean of φ with its sign is near zero for every environment of samples that were trained on,
    whatever its weight, so it does not decide.
    """
    import shap

    chosen = np.random.default_rng(seed).permutation(len(fractions))[:RANKED_SAMPLES]
    values = shap.TreeExplainer(model.booster).shap_values(fractions[chosen].astype(np.float32))
    values = model.scale * values.astype(np.float64)
    magnitude = np.abs(values).mean(axis=0)
    return Ranking(magnitude, values.mean(axis=0), np.argsort(-magnitude, kind="stable"))


def fit_reference(table: BarcodeTable) -> ReferenceBarcode:
    """Mean fractions of samples in groups of equal size by energy."""
    order = np.argsort(table.energies, kind="stable")
    points = int(np.clip(len(order) // REFERENCE_SAMPLES, 1, REFERENCE_POINTS))
    groups = np.array_split(order, points)
    counts = np.array([table.counts[group].sum(axis=0) for group in groups], dtype=np.float64)
    atoms = counts.sum(axis=1)
    energies = np.array([table.energies[group].mean() for group in groups])
    return ReferenceBarcode(energies, counts / np.maximum(atoms, 1)[:, None], np.maximum(atoms, 1))


def train_ule(
    samples: Sequence[UleSample],
    voronoi: Voronoi,
    *,
    design: UleDesign | None = None,
    training: Mapping[str, Any] | None = None,
    progress: Report | None = None,
) -> UleModel:
    """Select environments, rank them, and learn the energy from the best.

    With energies of the atoms, environments are ranked by what similarities with them explain, and these give the
    energy; otherwise by the trees on the fractions of all of them, and trees give the energy.

    Parameters
    ----------
    samples : sequence of UleSample
        Inherent structures of at least as many runs as the design has folds.
    voronoi : callable
        ``voronoi(structure, atoms)`` gives (M, 6) faces with 3 to 8 edges, such as `adapter.voronoi.voronoi_indices`.
    design : UleDesign, optional
    training : mapping, optional
        How the samples were made, for the card.
    progress : callable, optional
        Called with the fraction done and a text.

    Raises
    ------
    TrainingError
        For fewer runs than folds, samples without atoms or of equal energy, and if no atoms match.
    """
    design = design or UleDesign()
    report = progress or silent
    fold_of_runs([sample.run for sample in samples], design.folds)
    structures = [sample.structure for sample in samples]
    descriptor = soap_for(structures, design)
    design = replace(design, cutoff=descriptor.cutoff)
    every = select_environments(
        structures,
        descriptor,
        similarity=design.similarity,
        share=design.share,
        seed=design.seed,
        progress=with_text(span_of(report, 0.0, 0.15), "selecting environments"),
    )
    made = {"environments_found": len(every), **(training or {})}
    if all(sample.atom_energies is not None for sample in samples):
        return _train_similarities(samples, descriptor, every, voronoi, design, made, span_of(report, 0.15, 1.0))
    (table,) = describe_samples(samples, descriptor, [every], progress=span_of(report, 0.15, 0.35))
    settings, _ = tune(
        table, design.first_trials, folds=design.folds, seed=design.seed, progress=span_of(report, 0.35, 0.6)
    )
    first = fit_trees(table.fractions, table.energies, settings, _rounds(table, settings, design), design.seed)
    chosen = every.subset(rank_environments(first, table.fractions).order[: design.environments])
    (kept,) = describe_samples(samples, descriptor, [chosen], progress=span_of(report, 0.6, 0.75))
    last = span_of(report, 0.75, 1.0)
    return build_model(samples, chosen, kept, voronoi, design=design, training=made, progress=last)


def _train_similarities(
    samples: Sequence[UleSample],
    descriptor: SOAPDescriptors,
    every: UniqueEnvironments,
    voronoi: Voronoi,
    design: UleDesign,
    training: Mapping[str, Any],
    report: Report,
) -> UleModel:
    """Rank environments by what their similarities explain, and learn the energy from those with the best."""
    done = SoftPass(samples, every, np.ones(len(samples), dtype=np.bool_), design.folds)
    (table,) = describe_samples(samples, descriptor, [every], progress=span_of(report, 0.0, 0.6), visit=done.visit)
    soft = done.learned_from(table.energies)
    best = choose_soft(soft, table.counts.sum(axis=0), design.environments)
    chosen = every.subset(best)
    (kept,) = describe_samples(samples, descriptor, [chosen], progress=span_of(report, 0.6, 0.9))
    last = span_of(report, 0.9, 1.0)
    return build_similarity_model(
        samples, chosen, kept, soft.of(best), voronoi, design=design, training=training, progress=last
    )


def soap_for(structures: Sequence[Structure], design: UleDesign) -> SOAPDescriptors:
    """SOAP for the species of some structures, with the radial matrix to store."""
    cutoff = design.cutoff or two_shells(structures)
    descriptor = SOAPDescriptors(combined_species(structures), cutoff, sigma=SHARPNESS * cutoff)
    return replace(descriptor, radial_matrix=descriptor.orthonormalization())


def build_model(
    samples: Sequence[UleSample],
    chosen: UniqueEnvironments,
    table: BarcodeTable,
    voronoi: Voronoi,
    *,
    design: UleDesign,
    training: Mapping[str, Any],
    progress: Report | None = None,
) -> UleModel:
    """The model of some environments, from samples and their barcodes in these.

    Parameters
    ----------
    samples : sequence of UleSample
        That environments were selected from.
    chosen : UniqueEnvironments
        The most important first.
    table : BarcodeTable
        Barcodes of the samples.
    voronoi, design, training, progress
        As for `train_ule`.
    """
    report = progress or silent
    if not table.matched.any():
        raise TrainingError("No atom is similar to any environment; lower the similarity or give more samples.")
    settings, validation = tune(
        table, design.trials, folds=design.folds, seed=design.seed, progress=span_of(report, 0.0, 0.8)
    )
    energy = fit_trees(table.fractions, table.energies, settings, mean_rounds(validation), design.seed)
    ranking = rank_environments(energy, table.fractions, design.seed)
    results = (
        cross_validation_table(table, validation, design.units),
        environment_table(table, _faces(samples, chosen, voronoi), ranking, design.units),
    )
    settings_stored = {"energy": "trees", **asdict(settings)}
    return _assembled(samples, chosen, table, voronoi, energy, settings_stored, results, design, training, report)


class SoftSamples(NamedTuple):
    """Samples by fold, as `fit_energy` takes them.

    Attributes
    ----------
    folds : tuple of Moments
        Of the atoms of each fold.
    soft : tuple of (mean κ, shares of species, energies)
        Of the samples of each fold.
    """

    folds: tuple[Moments, ...]
    soft: tuple[tuple[NDArray, NDArray, NDArray], ...]

    def of(self, chosen: NDArray) -> SoftSamples:
        """The same for some of the environments."""
        total = self.soft[0][0].shape[1]
        return SoftSamples(
            tuple(moments.of(chosen, total) for moments in self.folds),
            tuple((means[:, chosen], shares, energies) for means, shares, energies in self.soft),
        )


class SoftPass:
    """Similarities of all samples with some environments, collected while their rows pass by.

    Parameters
    ----------
    samples : sequence of UleSample
    found : UniqueEnvironments
        With numbers of these samples.
    learned : (S,) bool array
        Samples to learn from.
    folds : int
        Of their runs.

    Attributes
    ----------
    soft : SoftBarcodes
    fold : (S,) int array
        −1 for samples that are not learned from.
    """

    def __init__(
        self, samples: Sequence[UleSample], found: UniqueEnvironments, learned: NDArray[np.bool_], folds: int
    ) -> None:
        self.samples, self.species = samples, combined_species([sample.structure for sample in samples])
        self.fold = np.full(len(samples), -1)
        if learned.any():
            self.fold[learned] = fold_of_runs(np.array([sample.run for sample in samples])[learned], folds)
        self.soft = SoftBarcodes(found.rows, own_species(samples, found), len(samples), len(self.species))

    def visit(self, number: int, atoms: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        """What `describe_samples` calls."""
        sample, fold = self.samples[number], int(self.fold[number])
        kinds = species_columns(sample.structure, self.species)[sample.structure.species[atoms]]
        energies = None if sample.atom_energies is None else sample.atom_energies[atoms]
        count = len(sample.structure)
        self.soft.add(number, rows, kinds, count, fold if fold >= 0 else None, energies)

    def learned_from(self, energies: NDArray) -> SoftSamples:
        """Atoms and samples by fold, for the energies (S,) of all samples in eV/atom."""
        moments = [self.soft.moments[fold] for fold in sorted(self.soft.moments)]
        return samples_by_fold(moments, self.soft.means, self.soft.shares, energies, self.fold)


def samples_by_fold(
    moments: Sequence[Moments], means: NDArray, shares: NDArray, energies: NDArray, fold: NDArray
) -> SoftSamples:
    """Soft barcodes (S, K), shares of species and energies (S,) of all samples divided by fold, −1 left out."""
    parts = [fold == number for number in range(len(moments))]
    return SoftSamples(tuple(moments), tuple((means[part], shares[part], energies[part]) for part in parts))


def choose_soft(soft: SoftSamples, atoms: NDArray, count: int) -> NDArray[np.int64]:
    """Of the most frequent environments those that together explain most of the energies of atoms and samples.

    Parameters
    ----------
    soft : SoftSamples
        In all environments.
    atoms : (K,) array
        How many atoms each environment has.
    count : int
        How many to choose, at most `CANDIDATES`.
    """
    frequent = np.argsort(-atoms, kind="stable")[:CANDIDATES]
    means, shares, energies = (np.concatenate([one[part] for one in soft.of(frequent).soft]) for part in range(3))
    moments = total_moments(soft.folds).of(frequent, len(atoms))
    return frequent[choose_by_energy(moments, (means, shares, energies), len(frequent), count)]


def build_similarity_model(
    samples: Sequence[UleSample],
    chosen: UniqueEnvironments,
    table: BarcodeTable,
    soft: SoftSamples,
    voronoi: Voronoi,
    *,
    design: UleDesign,
    training: Mapping[str, Any],
    progress: Report | None = None,
) -> UleModel:
    """The model of some environments whose energies follow from similarities with them.

    Parameters
    ----------
    samples, chosen, table, voronoi, design, training, progress
        As for `build_model`.
    soft : SoftSamples
        The same samples in the same environments.
    """
    report = progress or silent
    energy, predicted, strengths = fit_energy(soft.folds, soft.soft, own_species(samples, chosen))
    measured = np.concatenate([energies for _, _, energies in soft.soft])
    means, shares = (np.concatenate([one[k] for one in soft.soft]) for k in (0, 1))
    moved = energy.weights * (means - shares @ energy.means)
    magnitude = np.abs(moved).mean(axis=0)
    ranking = Ranking(magnitude, moved.mean(axis=0), np.argsort(-magnitude, kind="stable"))
    error = float(np.sqrt(np.mean((predicted - measured) ** 2)))
    validation = ResultTable(
        "Cross-validation by run",
        ("environments", f"RMSE ({design.units.small_energy})", "R²"),
        ((len(chosen), 1000 * error, 1 - error**2 / measured.var()),),
        "Strengths were chosen by the same folds; runs kept aside judge without that.",
    )
    results = validation, environment_table(table, _faces(samples, chosen, voronoi), ranking, design.units)
    settings = {"energy": "linear similarity", "weight_of_samples": strengths.samples, "ridge": strengths.ridge}
    return _assembled(samples, chosen, table, voronoi, energy, settings, results, design, training, report)


def own_species(samples: Sequence[UleSample], chosen: UniqueEnvironments) -> NDArray[np.int32]:
    """Species of the environments' own atoms, among those of all samples."""
    species = combined_species([sample.structure for sample in samples])
    sources = [samples[number].structure for number in chosen.structure]
    return np.array(
        [
            species.index(source.species_names[source.species[atom]])
            for source, atom in zip(sources, chosen.atom, strict=True)
        ],
        dtype=np.int32,
    )


def _faces(samples: Sequence[UleSample], chosen: UniqueEnvironments, voronoi: Voronoi) -> NDArray:
    """Voronoi faces of the environments' own atoms."""
    pairs = zip(chosen.structure, chosen.atom, strict=True)
    return np.concatenate([voronoi(samples[number].structure, np.array([atom])) for number, atom in pairs])


def _assembled(
    samples: Sequence[UleSample],
    chosen: UniqueEnvironments,
    table: BarcodeTable,
    voronoi: Voronoi,
    energy: EnergyModel | SimilarityEnergy,
    settings: Mapping[str, Any],
    results: tuple[ResultTable, ...],
    design: UleDesign,
    training: Mapping[str, Any],
    report: Report,
) -> UleModel:
    """A model from environments and the energy learned with them."""
    descriptor = soap_for([sample.structure for sample in samples], design)
    report(0.85, "measuring where the training data lie")
    score = _novelty(samples, descriptor, chosen, energy)
    faces = _faces(samples, chosen, voronoi)
    sources = [samples[number].structure for number in chosen.structure]
    kernels = tuple(
        cut_out(source, int(atom), descriptor.reach, descriptor.species)
        for source, atom in zip(sources, chosen.atom, strict=True)
    )
    header = _header(samples, chosen, table, descriptor, score, design, settings, training, results)
    report(1.0, "done")
    return UleModel(header, descriptor, chosen.rows, faces, kernels, energy, fit_reference(table), score)


def cross_validation_table(table: BarcodeTable, validation: CrossValidation, units: Units) -> ResultTable:
    """Error of the trees on runs that they have not seen, in training."""
    error = validation.error(table.energies)
    explained = 1 - error**2 / table.energies.var()
    return ResultTable(
        "Cross-validation by run",
        ("environments", f"RMSE ({units.small_energy})", "R²", "rounds"),
        ((table.counts.shape[1], 1000 * error, explained, round(float(np.mean(validation.rounds)))),),
        "Settings and the number of rounds were chosen by the same folds; runs kept aside judge without that.",
    )


def environment_table(table: BarcodeTable, faces: NDArray, ranking: Ranking, units: Units) -> ResultTable:
    """What each environment is, how frequent, and how it goes with the energy."""
    fractions, groups = table.fractions, kasper_group(faces)
    rows = []
    for number, voronoi in enumerate(faces):
        share = fractions[:, number]
        varies = share.std() > 0 and table.energies.std() > 0
        correlation = float(np.corrcoef(share, table.energies)[0, 1]) if varies else "—"
        moved = 1000 * ranking.magnitude[number], 1000 * ranking.signed[number]
        rows.append(
            (environment_name(number, voronoi), int(groups[number]), f"{100 * share.mean():.2f} %", correlation, *moved)
        )
    unit = units.small_energy
    return ResultTable(
        "Environments",
        ("environment", "group", "mean share", "R with energy", f"mean |φ| ({unit})", f"mean φ ({unit})"),
        tuple(rows),
        "Faces of the Voronoi cell with 3, 4, 5, 6 edges; group 1 fulfils 2 n4 + n5 = 12. Numbered as they were "
        "chosen; φ are SHAP values of the energy model.",
    )


def _rounds(table: BarcodeTable, settings: TreeSettings, design: UleDesign) -> int:
    return mean_rounds(cross_validate(table, settings, design.folds, design.seed))


def mean_rounds(validation: CrossValidation) -> int:
    """How many trees were best on average over the folds."""
    return max(1, round(float(np.mean(validation.rounds))))


def _novelty(
    samples: Sequence[UleSample],
    descriptor: SOAPDescriptors,
    chosen: UniqueEnvironments,
    energy: EnergyModel | SimilarityEnergy,
) -> ExtrapolationScore:
    """Where the training data lie in their products with the environments and in energy; parts are runs."""
    numbers = np.unique(np.linspace(0, len(samples) - 1, SCORE_SAMPLES).round().astype(int))
    structures = [replace(samples[number].structure, mask=None) for number in numbers]
    runs = list(dict.fromkeys(sample.run for sample in samples))
    rows, members, parts = [], [], []
    for number, structure in zip(numbers, structures, strict=True):
        table = np.empty((len(structure), len(chosen)), dtype=np.float32)
        for indices, block in descriptor.iterate_blocks(structure):
            table[indices] = normalised(block) @ chosen.rows.T
        if isinstance(energy, SimilarityEnergy):
            kinds = species_columns(structure, descriptor.species)[structure.species]
            table = with_energies(table, energy.differences(kernel(table, kinds, energy.species), kinds))
        rows.append(table)
        members.append({HEAD: np.arange(len(structure))})
        parts.append(np.full(len(structure), runs.index(samples[number].run)))
    of_runs = [samples[number].run for number in numbers]
    return fit_extrapolation(
        structures,
        rows,
        members,
        parts,
        runs=of_runs,
        radius=SCORE_REGION * descriptor.cutoff,
        components=SCORE_COMPONENTS,
    )


def _header(
    samples: Sequence[UleSample],
    chosen: UniqueEnvironments,
    table: BarcodeTable,
    descriptor: SOAPDescriptors,
    score: ExtrapolationScore,
    design: UleDesign,
    settings: Mapping[str, Any],
    training: Mapping[str, Any],
    results: tuple[ResultTable, ...],
) -> ModelHeader:
    stored = {name: value for name, value in asdict(descriptor).items() if name != "radial_matrix"}
    shares = np.array([species_shares(sample.structure, descriptor.species) for sample in samples])
    composition = {
        name: [round(float(shares[:, k].min()), 4), round(float(shares[:, k].max()), 4)]
        for k, name in enumerate(descriptor.species)
    }
    return ModelHeader(
        kind=KIND,
        title=design.title,
        summary=design.summary,
        species=descriptor.species,
        cutoff=float(descriptor.reach),
        descriptor=stored,
        architecture={
            "environments": len(chosen),
            "similarity": design.similarity,
            "extrapolation_radius": score.radius,
            **settings,
        },
        output={"property": "energy of the inherent structure", "unit": design.units.energy_per_atom},
        training={
            **training,
            "composition": composition,
            "structures": len(samples),
            "atoms": int(table.atoms.sum()),
            "matched": f"{table.matched.sum() / table.atoms.sum():.1%}",
            "lowest_and_highest_energy": [round(float(table.energies.min()), 6), round(float(table.energies.max()), 6)],
            "samples": list(dict.fromkeys(sample.run for sample in samples)),
        },
        results=results,
        length_unit=design.units.length,
    )
