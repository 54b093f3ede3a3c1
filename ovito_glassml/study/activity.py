"""Which structure decides who rearranges: linear classifiers on ACE descriptors of growing body order.

Every number is about configurations that the classifier has not been trained on. Needs the extra `train`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.activity import ACTIVE, INACTIVE, NEITHER, label_by_quantile
from ovito_glassml.learn.activity.data import EXTREME_SHARE, ActivitySample, configurations, labelled_sample
from ovito_glassml.learn.activity.evaluate import jackknife_error, left_out_accuracies
from ovito_glassml.learn.activity.train import (
    FOLDS,
    SMALLEST_CLASS,
    LabelledRows,
    cross_validate,
    describe,
    fit_line,
    log_displacement,
)
from ovito_glassml.progress import Report, nth_of, span_of
from ovito_glassml.structure import Structure
from ovito_glassml.study.ard_regression import fit_ard
from ovito_glassml.study.forward_selection import forward_selection
from ovito_glassml.study.steps import Numbers, Step, run_steps
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "COLUMNS",
    "ActivityStudy",
    "Group",
    "Observation",
    "feature_blocks",
    "make_group",
    "observe",
    "order_ends",
    "run_study",
    "species_of",
]


ACTIVITY = "Activity"
DISPLACEMENT = "Nonaffine Squared Displacement"
REPLICAS = "Replica Nonaffine Squared Displacement"
PROPENSITY = "Propensity"
#: Columns of the files; either the first or the third is needed.
COLUMNS = (ACTIVITY, DISPLACEMENT, REPLICAS, PROPENSITY)

#: Strengths of regularisation to choose from: decades, since the accuracy hardly depends on them.
STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)
#: Features that are selected one after the other.
STEPS = 20
#: Sets of configurations or replicas that points of a curve are averaged over.
DRAWS = 3
#: Atoms in a regression on unbinarised displacements.
REGRESSION_ATOMS = 4000
#: Thickness of the slices that maps show, in nearest-neighbour distances.
SLICE = 1.5


class Observation(NamedTuple):
    """A labelled structure, the D²min (N, R) of every run behind its label, and its propensities (N,)."""

    sample: ActivitySample
    replicas: NDArray[np.float64] | None = None
    propensity: NDArray[np.float64] | None = None


class Group(NamedTuple):
    """Observations of one kind of activation, and a digest of the files they come from."""

    name: str
    observations: tuple[Observation, ...]
    digest: str


@dataclass(frozen=True)
class ActivityStudy:
    """What is varied, and what stays the same.

    Parameters
    ----------
    species : tuple of str
        All species of the glass, the active one first.
    nearest : float
        Nearest-neighbour distance, the unit of cutoffs.
    cutoffs : tuple of float
        In nearest-neighbour distances.
    cutoff : float
        The one at which everything but the cutoff is studied.
    n_max, degree : int, float
        Of the descriptors; the published 10 and 10, or 20 and 18 for one species, by default.
    atoms : int
        Labelled atoms of a group that are used at most, an even share of both classes.
    """

    species: tuple[str, ...]
    nearest: float
    cutoffs: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0)
    cutoff: float = 4.0
    n_max: int = 0
    degree: float = 0.0
    atoms: int = 10_000

    def __post_init__(self) -> None:
        published = (20, 18.0) if len(self.species) == 1 else (10, 10.0)
        object.__setattr__(self, "n_max", self.n_max or published[0])
        object.__setattr__(self, "degree", self.degree or published[1])
        object.__setattr__(self, "cutoffs", tuple(sorted({*self.cutoffs, self.cutoff})))
        self.descriptor(self.cutoff)

    @property
    def active_species(self) -> str:
        """The species whose atoms are classified."""
        return self.species[0]

    def descriptor(self, cutoff: float, order: int = 3, printed: bool = False) -> ACEDescriptors:
        """Descriptors with a cutoff in nearest-neighbour distances.

        `printed` scales distances in the transform by the cutoff, as the publication prints it, and not
        by the nearest-neighbour distance.
        """
        reach = cutoff * self.nearest
        scale = reach if printed else self.nearest
        return ACEDescriptors(self.species, reach, scale, order=order, n_max=self.n_max, degree=self.degree)


def observe(
    structure: Structure, columns: Mapping[str, NDArray], configuration: str, active_species: str
) -> Observation:
    """A labelled structure from the columns of a file.

    Parameters
    ----------
    structure : Structure
    columns : mapping
        Some of `COLUMNS`. Without labels, the twentieths of the active species that moved most and least
        on average over all runs are labelled.
    configuration : str
        Such as the name of the file.
    active_species : str
        Labels of other species are ignored.

    Raises
    ------
    TrainingError
        If there are neither labels nor runs.
    """
    eligible = structure.of_species(active_species)
    replicas = columns.get(REPLICAS)
    if replicas is not None:
        replicas = replicas.reshape(len(structure), -1)
    if ACTIVITY in columns:
        sample = labelled_sample(structure, columns[ACTIVITY], columns.get(DISPLACEMENT), configuration)
        labels = np.where(eligible, sample.activity, NEITHER).astype(np.int8)
        sample = sample._replace(activity=labels)
    elif replicas is not None:
        moved = replicas.mean(axis=1)
        labels = label_by_quantile(moved, EXTREME_SHARE, EXTREME_SHARE, eligible)
        sample = ActivitySample(structure, labels, moved, configuration)
    else:
        raise TrainingError(
            f"{configuration} has neither a column {ACTIVITY!r} nor {REPLICAS!r}; "
            "label it with: glassml apply --modifier nonaffine"
        )
    return Observation(sample, replicas, columns.get(PROPENSITY))


def species_of(frames: Sequence[tuple[str, Structure, Mapping[str, NDArray]]], active: str = "") -> tuple[str, ...]:
    """All species of some frames, the active one first.

    Parameters
    ----------
    frames : sequence of (configuration, structure, columns)
        As for `make_group`.
    active : str
        By default the species of most labelled atoms, or of most atoms where runs are given in place of labels.

    Raises
    ------
    TrainingError
        If no atom is of the active species.
    """
    atoms: Counter[str] = Counter()
    labelled: Counter[str] = Counter()
    for _, structure, columns in frames:
        names = structure.species_names
        chosen = np.nan_to_num(columns[ACTIVITY], nan=NEITHER) != NEITHER if ACTIVITY in columns else slice(0, 0)
        for counts, kinds in ((atoms, structure.species), (labelled, structure.species[chosen])):
            counts.update(dict(zip(names, np.bincount(kinds, minlength=len(names)).tolist(), strict=True)))
    present = sorted(name for name, count in atoms.items() if count)
    if not present:
        raise TrainingError("The files hold no atoms; give structures.")
    active = active or max(present, key=lambda name: (labelled[name], atoms[name]))
    if active not in present:
        raise TrainingError(f"The files have no {active} atoms; choose the active species from {', '.join(present)}.")
    return (active, *(name for name in present if name != active))


def make_group(
    name: str, frames: Sequence[tuple[str, Structure, Mapping[str, NDArray]]], active_species: str, digest: str
) -> Group:
    """All labelled structures of one kind of activation.

    Parameters
    ----------
    name : str
        Such as ``thermal``.
    frames : sequence of (configuration, structure, columns)
        For `observe`. Structures without labelled atoms are left out.
    active_species : str
    digest : str
        Changes with the files.

    Raises
    ------
    TrainingError
        If nothing is labelled, or all belongs to one configuration, or too few atoms of a class are there.
    """
    observations = [observe(structure, columns, owner, active_species) for owner, structure, columns in frames]
    kept = [one for one in observations if (one.sample.activity != NEITHER).any()]
    if not kept:
        raise TrainingError(
            f"No {active_species} atom of the {name} data is labelled; choose another active species, "
            "or label the files with: glassml apply --modifier nonaffine"
        )
    names = configurations([one.sample for one in kept])
    if len(names) < 2:
        raise TrainingError(
            f"The {name} data are a single configuration, {names[0]}; give at least two files, "
            "one to learn from and one to judge by."
        )
    labels = np.concatenate([one.sample.activity for one in kept])
    for kind, text in ((ACTIVE, "active"), (INACTIVE, "inactive")):
        count = np.count_nonzero(labels == kind)
        if count < SMALLEST_CLASS:
            raise TrainingError(
                f"The {name} data have {count} {text} {active_species} atoms; give files with at least "
                f"{SMALLEST_CLASS} of each class, or another active species."
            )
    return Group(name, tuple(kept), digest)


def feature_blocks(descriptor: ACEDescriptors) -> list[tuple[int, bool, int]]:
    """(bodies, whether neighbours of the first species only, number of features up to its end) in their order."""
    kinds = [(len(label) + 1, all(slot[0] == descriptor.species[0] for slot in label)) for label in descriptor.labels]
    ends = {kind: end for end, kind in enumerate(kinds, start=1)}
    return [(bodies, alone, end) for (bodies, alone), end in ends.items()]


def order_ends(descriptor: ACEDescriptors) -> dict[int, int]:
    """Number of features up to each body order, those of lower order included."""
    return {bodies: end for bodies, _, end in feature_blocks(descriptor)}


def run_study(
    study: ActivityStudy, groups: Sequence[Group], folder: Path, progress: Report
) -> dict[str, dict[str, Numbers]]:
    """All numbers, by group and then by step; those that the folder has already are not computed again.

    Parameters
    ----------
    study : ActivityStudy
    groups : sequence of Group
    folder : Path
        For the numbers.
    progress : callable
        Fraction and text.
    """
    steps = {group.name: _steps(study, group) for group in groups}
    with one_blas_thread():
        results = run_steps([step for part in steps.values() for step in part], folder, progress)
    return {
        name: {step.name.removeprefix(f"{name}-"): results[step.name] for step in part} for name, part in steps.items()
    }


class _Bench:
    """The labelled atoms of a group, and their descriptors as long as the same ones are asked for."""

    def __init__(self, study: ActivityStudy, group: Group) -> None:
        self.study = study
        self.group = group
        self._rows: tuple[ACEDescriptors, LabelledRows] | None = None

    @cached_property
    def samples(self) -> list[ActivitySample]:
        return _thinned([observation.sample for observation in self.group.observations], self.study.atoms)

    def rows(self, descriptor: ACEDescriptors, progress: Report) -> LabelledRows:
        if self._rows is None or self._rows[0] != descriptor:
            self._rows = None
            self._rows = (descriptor, describe(self.samples, descriptor, progress))
        return self._rows[1]


def _thinned(samples: Sequence[ActivitySample], most: int) -> list[ActivitySample]:
    """No more than half of `most` labelled atoms of either class, chosen at random."""
    rng = np.random.default_rng(1)
    labels = np.concatenate([sample.activity for sample in samples])
    for kind in (ACTIVE, INACTIVE):
        members = np.flatnonzero(labels == kind)
        superfluous = max(len(members) - most // 2, 0)
        labels[rng.permutation(members)[:superfluous]] = NEITHER
    ends = np.cumsum([len(sample.activity) for sample in samples])
    parts = np.split(labels, ends[:-1])
    return [sample._replace(activity=part) for sample, part in zip(samples, parts, strict=True)]


def _steps(study: ActivityStudy, group: Group) -> list[Step]:
    """What can be learned from a group; efforts are seconds for some thousand atoms."""
    bench = _Bench(study, group)
    common = {"group": group.digest} | {
        key: value for key, value in asdict(study).items() if key not in ("cutoffs", "cutoff")
    }
    observations = group.observations

    def step(name: str, compute: Callable[..., Numbers], effort: float, cutoff: float = study.cutoff) -> Step:
        inputs = {**common, "cutoff": cutoff}
        return Step(f"{group.name}-{name}", inputs, partial(compute, bench, cutoff), effort)

    steps = [step(f"accuracy-{cutoff:g}", accuracy_by_count, 50, cutoff) for cutoff in study.cutoffs]
    steps += [
        step("transform", printed_transform, 25),
        step("selection", selected_features, 40),
        step("learning", learning_curve, 45),
        step("distributions", first_descriptors, 1),
        step("map", event_map, 1),
    ]
    if all(observation.replicas is not None for observation in observations) and _replica_counts(observations)[-1] > 1:
        steps.append(step("replicas", accuracy_by_replicas, 30))
    if all(np.isfinite(o.sample.displacement[_eligible(study, o)]).any() for o in observations):
        steps.append(step("regression", regression_by_count, 15))
        if all(observation.propensity is not None for observation in observations):
            steps.append(step("propensity", displacement_and_propensity, 1))
    return steps


def _eligible(study: ActivityStudy, observation: Observation) -> NDArray[np.bool_]:
    return observation.sample.structure.of_species(study.active_species)


def accuracy_by_count(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """Balanced accuracy with the first features in body order."""
    descriptor = bench.study.descriptor(cutoff)
    data = bench.rows(descriptor, progress)
    return _scored(data, _feature_counts(descriptor), progress)


def printed_transform(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """The same at the ends of the body orders, with distances scaled by the cutoff."""
    descriptor = bench.study.descriptor(cutoff, printed=True)
    data = bench.rows(descriptor, progress)
    return _scored(data, list(order_ends(descriptor).values()), progress)


def _feature_counts(descriptor: ACEDescriptors) -> list[int]:
    """Numbers of features to try: the end of every block and some before it, more for the radial ones."""
    counts = set()
    start = 0
    for bodies, _, end in feature_blocks(descriptor):
        steps = np.geomspace(1, end - start, 5 if bodies == 2 else 3)
        counts |= {start + round(step) for step in steps}
        start = end
    return sorted(counts)


def _scored(data: LabelledRows, counts: Sequence[int], progress: Report) -> Numbers:
    """Cross-validated balanced accuracy of the first columns."""
    points = []
    for number, count in enumerate(counts):
        progress(sum(counts[:number]) / sum(counts), f"{count} features")
        validation = cross_validate(data.columns(slice(0, count)), strengths=STRENGTHS)
        points.append({"features": count, "strength": validation.strength, **_judged(data, validation.decisions)})
    return _curve(points)


def _judged(data: LabelledRows, decisions: NDArray) -> dict[str, Any]:
    """Accuracy, its error and the values without each configuration."""
    without = left_out_accuracies(data, decisions)
    return {"accuracy": data.accuracy(decisions), "error": jackknife_error(without), "left_out": without}


def _curve(points: Sequence[Mapping[str, Any]]) -> Numbers:
    """Points with the same names as one array for each name."""
    return {name: np.array([point[name] for point in points]) for name in points[0]}


def selected_features(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """Forward selection among the radial and among all features, and principal components in their order.

    Judged by configurations that took no part in the selection: there is one selection a fold, and one
    on all data that says which features come first.
    """
    descriptor = bench.study.descriptor(cutoff)
    data = bench.rows(descriptor, progress)
    ends = order_ends(descriptor)
    pools = {"radial": ends[2], "all": ends[max(ends)]}
    numbers: Numbers = {}
    for place, (name, end) in enumerate(pools.items()):
        part = nth_of(progress, place, 3)
        numbers |= {f"{name}_{key}": values for key, values in _selection(data, descriptor, end, part).items()}
    components = _component_scores(data)
    counts = [count for count in (1, 2, 3, 5, 8, 12, 20, 40, 80, 160) if count < components.rows.shape[1]]
    scored = _scored(components, counts, span_of(progress, 2 / 3, 1.0, "principal components, "))
    return numbers | {f"pca_{name}": values for name, values in scored.items()}


def _selection(data: LabelledRows, descriptor: ACEDescriptors, end: int, progress: Report) -> Numbers:
    """Accuracy step by step, names in the order of choice, and in that of every fold."""
    pool = data.columns(slice(0, end))
    names = np.array(descriptor.feature_names)
    folds = [data.configuration % _fold_count(data) == number for number in range(_fold_count(data))]
    decisions = np.zeros((min(STEPS, end), len(data.labels)))
    nobody = np.zeros(len(data.labels), dtype=bool)
    steps = len(folds) + 1
    *orders, final = (
        _select(pool, held, decisions, nth_of(progress, number, steps)) for number, held in enumerate([*folds, nobody])
    )
    scores = _curve([{"features": step, **_judged(data, one)} for step, one in enumerate(decisions, start=1)])
    return scores | {"order": names[final], "orders": names[np.array(orders)]}


def _select(data: LabelledRows, held: NDArray[np.bool_], decisions: NDArray, progress: Report) -> list[int]:
    """Forward selection without the configurations held back; fills the decisions about them step by step."""
    train = ~held
    rows = _standardised(data.rows, train)
    chosen: list[int] = []
    steps = forward_selection(rows[train], data.labels[train], len(decisions))
    for step, (chosen, coefficients) in enumerate(steps):
        progress(step / len(decisions), f"selecting feature {step + 1}")
        decisions[step, held] = coefficients[0] + rows[held][:, chosen] @ coefficients[1:]
    return chosen


def _component_scores(data: LabelledRows) -> LabelledRows:
    """Principal components of the standardised features, the one with the most variance first."""
    rows = _standardised(data.rows, np.ones(len(data.rows), dtype=bool))
    _, directions = np.linalg.eigh(rows.T @ rows)
    return data._replace(rows=rows @ directions[:, ::-1])


def learning_curve(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """Accuracy against the number of configurations trained on, for features up to each body order."""
    descriptor = bench.study.descriptor(cutoff)
    data = bench.rows(descriptor, progress)
    largest = len(data.names) - -(-len(data.names) // _fold_count(data))
    sizes = np.unique(np.round(np.geomspace(1, largest, 7)).astype(int))
    points = []
    wanted = [(bodies, end, size) for bodies, end in order_ends(descriptor).items() for size in sizes]
    strengths: dict[int, float] = {}
    for number, (bodies, end, size) in enumerate(wanted):
        progress(number / len(wanted), f"{size} configurations, up to {bodies} bodies")
        part = data.columns(slice(0, end))
        if bodies not in strengths:
            strengths[bodies] = cross_validate(part, strengths=STRENGTHS).strength
        draws = [_trained_on_few(part, size, strengths[bodies], draw) for draw in range(DRAWS)]
        without = np.mean([left_out_accuracies(data, decisions) for decisions, _ in draws], axis=0)
        accuracy = np.mean([data.accuracy(decisions) for decisions, _ in draws])
        seen = {"bodies": bodies, "configurations": size, "atoms": np.mean([atoms for _, atoms in draws])}
        points.append({**seen, "accuracy": accuracy, "error": jackknife_error(without), "left_out": without})
    return _curve(points)


def _trained_on_few(data: LabelledRows, size: int, strength: float, draw: int) -> tuple[NDArray[np.float64], float]:
    """Decisions about all atoms after training on some configurations of the other folds, and the atoms these had.

    The penalty on the weights stays the same, so relative to the atoms it grows as they get fewer.
    """
    decisions = np.zeros(len(data.labels))
    counts = []
    full = len(data.labels) * (1 - 1 / _fold_count(data))
    for fold in range(_fold_count(data)):
        held = data.configuration % _fold_count(data) == fold
        others = np.random.default_rng((draw, fold)).permutation(np.unique(data.configuration[~held]))
        # A configuration without atoms of one class needs company.
        for most in range(size, len(others) + 1):
            few = data.atoms(np.isin(data.configuration, others[:most]))
            if len(np.unique(few.labels)) == 2:
                break
        line = fit_line(few, "logistic", strength * full / len(few.labels))
        decisions[held] = line.decide(data.rows[held])
        counts.append(len(few.labels))
    return decisions, float(np.mean(counts))


def accuracy_by_replicas(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """Accuracy against the number of runs behind the labels: judged by such labels, and by those of all runs."""
    descriptor = bench.study.descriptor(cutoff, order=2)
    observations = bench.group.observations
    rows, replicas = [], []
    for number, observation in enumerate(observations):
        progress(0.4 * number / len(observations), f"describing {observation.sample.configuration}")
        eligible = _eligible(bench.study, observation)
        rows.append(descriptor.compute(replace(observation.sample.structure, mask=eligible)))
        replicas.append(observation.replicas[eligible])  # type: ignore[index]
    counts = _replica_counts(observations)
    most = counts[-1]
    points = []
    whole = _labelled_by(rows, replicas, observations, slice(0, most))
    validation = cross_validate(whole, strengths=STRENGTHS)
    for step, count in enumerate(counts):
        progress(0.4 + 0.6 * step / len(counts), f"labels by {count} runs")
        subsets = [slice(k * count, (k + 1) * count) for k in range(min(DRAWS, most // count))]
        few = [_labelled_by(rows, replicas, observations, one) for one in subsets]
        values = [_judged_by_few(one, whole, validation.strength) for one in few]
        without = np.mean([value[1] for value in values], axis=0)
        accuracy, against = (np.mean([value[place] for value in values]) for place in (0, 2))
        scores = {"accuracy": accuracy, "error": jackknife_error(without), "against_all": against}
        points.append({"replicas": count, **scores, "reliability": _reliability(replicas, count)})
    return _curve(points)


def _replica_counts(observations: Sequence[Observation]) -> list[int]:
    """1, 2, 4 … up to the number of runs that all observations have."""
    most = min(observation.replicas.shape[1] for observation in observations)  # type: ignore[union-attr]
    return sorted({min(2**k, most) for k in range(most.bit_length() + 1)})


def _labelled_by(
    rows: Sequence[NDArray], replicas: Sequence[NDArray], observations: Sequence[Observation], runs: slice
) -> LabelledRows:
    """The extremes of the mean over some of the runs."""
    names = configurations([observation.sample for observation in observations])
    parts = []
    for row, moved, observation in zip(rows, replicas, observations, strict=True):
        mean = moved[:, runs].mean(axis=1)
        labels = label_by_quantile(mean, EXTREME_SHARE, EXTREME_SHARE)
        kept = labels != NEITHER
        place = np.full(np.count_nonzero(kept), names.index(observation.sample.configuration))
        parts.append((row[kept].astype(np.float64), labels[kept], mean[kept], place))
    rows_, labels_, mean_, places = map(np.concatenate, zip(*parts, strict=True))
    return LabelledRows(rows_, labels_, mean_, places, names, np.ones(len(labels_), dtype=bool))


def _judged_by_few(few: LabelledRows, whole: LabelledRows, strength: float) -> tuple[float, NDArray[np.float64], float]:
    """Trained on labels by a few runs: accuracy on such labels, without each configuration, and on those by all."""
    decisions, against = np.zeros(len(few.labels)), np.zeros(len(whole.labels))
    for fold in range(_fold_count(few)):
        held, held_whole = (data.configuration % _fold_count(few) == fold for data in (few, whole))
        line = fit_line(few.atoms(~held), "logistic", strength)
        decisions[held] = line.decide(few.rows[held])
        against[held_whole] = line.decide(whole.rows[held_whole])
    accuracy = few.accuracy(decisions)
    return accuracy, left_out_accuracies(few, decisions), whole.accuracy(against)


def _reliability(replicas: Sequence[NDArray], count: int) -> float:
    """Correlation of log D²min averaged over one set of runs with that over as many others; NaN without others."""
    correlations = []
    for moved in replicas:
        if 2 * count > moved.shape[1]:
            return float("nan")
        first, second = (
            log_displacement(part.mean(axis=1)) for part in (moved[:, :count], moved[:, count : 2 * count])
        )
        correlations.append(np.corrcoef(first, second)[0, 1])
    return float(np.mean(correlations))


def regression_by_count(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """Pearson correlation of log D²min with its ARD regression in configurations not trained on, and their mean."""
    descriptor = bench.study.descriptor(cutoff)
    samples = [_random_atoms(bench.study, o) for o in bench.group.observations]
    data = describe(_thinned(samples, REGRESSION_ATOMS), descriptor, progress)
    target = log_displacement(data.displacement)
    counts = _feature_counts(descriptor)
    points = []
    for step, count in enumerate(counts):
        progress(sum(counts[:step]) / sum(counts), f"{count} features")
        predicted = _regressed(data.columns(slice(0, count)), target)
        # Within configurations: the mean of a configuration left out opposes that of the others.
        places = [data.configuration == number for number in np.unique(data.configuration)]
        within = [_correlation(predicted[place], target[place]) for place in places]
        error = np.std(within, ddof=1) / np.sqrt(len(within))
        points.append({"features": count, "correlation": np.mean(within), "error": error})
    return _curve(points)


def _regressed(data: LabelledRows, target: NDArray) -> NDArray[np.float64]:
    """Target of every row as a regression predicts it that has not seen the configuration."""
    predicted = np.zeros(len(target))
    for fold in range(_fold_count(data)):
        held = data.configuration % _fold_count(data) == fold
        rows = _standardised(data.rows, ~held)
        predicted[held] = target[~held].mean() + rows[held] @ fit_ard(rows[~held], target[~held])
    return predicted


def _correlation(predicted: NDArray, target: NDArray) -> float:
    """Pearson's; 0 for a prediction that is the same everywhere."""
    return float(np.corrcoef(predicted, target)[0, 1]) if np.ptp(predicted) > 0 else 0.0


def _random_atoms(study: ActivityStudy, observation: Observation) -> ActivitySample:
    """The same structure with all atoms whose D²min is known in two equal classes, for drawing from."""
    sample = observation.sample
    known = _eligible(study, observation) & np.isfinite(sample.displacement)
    return sample._replace(activity=label_by_quantile(sample.displacement, 0.5, 0.5, known))


def first_descriptors(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """First radial descriptor of every species for all labelled atoms; more negative where it is denser."""
    descriptor = bench.study.descriptor(cutoff, order=1)
    data = bench.rows(descriptor, progress)
    first = [k for k, label in enumerate(descriptor.labels) if label[0][1] == 1]
    return {
        "names": np.array(descriptor.feature_names)[first],
        "values": data.rows[:, first],
        "labels": data.labels,
        "configuration": data.configuration,
    }


def event_map(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """A slice through the first configuration's structure with the most active atoms, where most are labelled."""
    first = bench.group.observations[0].sample.configuration
    samples = [o.sample for o in bench.group.observations if o.sample.configuration == first]
    sample = max(samples, key=lambda one: np.count_nonzero(one.activity == ACTIVE))
    structure = sample.structure
    width = SLICE * bench.study.nearest
    height = structure.positions[:, 2]
    labelled = height[sample.activity != NEITHER]
    places = np.arange(height.min() + width / 2, max(height.max() - width / 2, height.min() + width), width / 4)
    inside = [np.count_nonzero(np.abs(labelled - place) < width / 2) for place in places]
    shown = np.abs(height - places[np.argmax(inside)]) < width / 2
    return {
        "positions": structure.positions[shown],
        "species": np.array(structure.species_names)[structure.species[shown]],
        "id": structure.ids[shown],
        "activity": sample.activity[shown],
        "displacement": sample.displacement[shown],
    }


def displacement_and_propensity(bench: _Bench, cutoff: float, progress: Report) -> Numbers:
    """D²min and propensity of all atoms of the active species, and their correlations by configuration."""
    displacement, propensity, pearson, spearman = [], [], [], []
    for observation in bench.group.observations:
        eligible = _eligible(bench.study, observation) & np.isfinite(observation.sample.displacement)
        displacement.append(observation.sample.displacement[eligible])
        propensity.append(observation.propensity[eligible])  # type: ignore[index]
        pearson.append(np.corrcoef(displacement[-1], propensity[-1])[0, 1])
        spearman.append(spearmanr(displacement[-1], propensity[-1]).statistic)
    return {
        "displacement": np.concatenate(displacement),
        "propensity": np.concatenate(propensity),
        "pearson": np.array(pearson),
        "spearman": np.array(spearman),
    }


def _standardised(rows: NDArray, train: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Mean 0 and standard deviation 1 in the rows that are trained on; features that never vary are 0."""
    scale = rows[train].std(axis=0)
    return (rows - rows[train].mean(axis=0)) / np.where(scale > 0, scale, np.inf)


def _fold_count(data: LabelledRows) -> int:
    return min(FOLDS, len(data.names))
