"""What the numbers of a study say, in words. Differences count if they exceed twice their standard error."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.labels.activity import ACTIVE
from ovito_glassml.learn.activity.evaluate import jackknife_error
from ovito_glassml.study.activity import ActivityStudy, Group, feature_blocks, order_ends
from ovito_glassml.study.steps import Numbers

__all__ = ["denser_inactive", "report", "saturation_cutoff"]

#: Configurations whose scatter is an error to rely on.
_ENOUGH = 8


def report(study: ActivityStudy, groups: Sequence[Group], results: dict[str, dict[str, Numbers]]) -> str:
    """The findings on every group as Markdown.

    Parameters
    ----------
    study : ActivityStudy
    groups : sequence of Group
    results : mapping
        As `run_study` returns.
    """
    lines = [
        "# Which structure decides who rearranges",
        "",
        f"{study.active_species} atoms in {', '.join(study.species)}; lengths in nearest-neighbour distances of "
        f"{study.nearest:g}. Accuracies are balanced, on configurations that were not trained on, with standard errors "
        "from leaving out one configuration after the other; a difference counts if it exceeds twice its error. "
        "The strength of regularisation is the best of a few by the same decisions.",
    ]
    for group in groups:
        numbers = results[group.name]
        lines += ["", f"## {group.name.capitalize()}", "", _data(group, numbers)]
        for finding in (_accuracy, _cutoff, _radial, _bodies, _selection, _components):
            lines.append(f"- {finding(study, numbers)}")
        lines += [f"- {finding(numbers)}" for finding in (_density, _learning)]
        lines.append(f"- {_transform(study, numbers)}")
        if "regression" in numbers:
            lines.append(f"- {_regression(study, numbers['regression'])}")
        further = {"replicas": _replicas, "propensity": _propensity}
        lines += [f"- {finding(numbers[name])}" for name, finding in further.items() if name in numbers]
    return "\n".join(lines) + "\n"


def saturation_cutoff(study: ActivityStudy, numbers: dict[str, Numbers]) -> float:
    """The smallest cutoff that no larger one beats by more than twice the error of the difference."""
    best = {cutoff: _best(numbers[f"accuracy-{cutoff:g}"]) for cutoff in study.cutoffs}
    for cutoff in study.cutoffs:
        gains = [_gain(best[cutoff], best[other]) for other in study.cutoffs if other > cutoff]
        if all(gain <= 2 * error for gain, error in gains):
            return cutoff
    return study.cutoffs[-1]


def denser_inactive(numbers: Numbers) -> tuple[float, float]:
    """How much denser inactive atoms are, in standard deviations of the first radial descriptors' sum, and its error.

    The first radial function is negative and largest near the atom, so dense means a small sum.
    """
    total, active = numbers["values"].sum(axis=1), numbers["labels"] == ACTIVE

    def difference(kept: NDArray[np.bool_]) -> float:
        return float((total[kept & active].mean() - total[kept & ~active].mean()) / total.std())

    everything = np.ones(len(total), dtype=bool)
    configuration = numbers["configuration"]
    without = [difference(configuration != number) for number in np.unique(configuration)]
    return difference(everything), jackknife_error(np.array(without))


class _Point(NamedTuple):
    """An accuracy with its error and its values without each configuration."""

    features: int
    accuracy: float
    error: float
    left_out: NDArray[np.float64]


def _at(numbers: Numbers, count: int, prefix: str = "") -> _Point:
    place = int(np.flatnonzero(numbers[f"{prefix}features"] == count)[0])
    return _Point(count, *(numbers[f"{prefix}{name}"][place] for name in ("accuracy", "error", "left_out")))


def _best(numbers: Numbers, prefix: str = "") -> _Point:
    return _at(numbers, int(numbers[f"{prefix}features"][np.argmax(numbers[f"{prefix}accuracy"])]), prefix)


def _gain(old: _Point, new: _Point) -> tuple[float, float]:
    """Difference of two accuracies on the same atoms, and its standard error."""
    return float(new.accuracy - old.accuracy), jackknife_error(new.left_out - old.left_out)


def _text(point: _Point) -> str:
    return f"{point.accuracy:.3f} ± {point.error:.3f}"


def _change(gain: tuple[float, float]) -> str:
    return f"{gain[0]:+.3f} ± {gain[1]:.3f}"


def _counts(gain: tuple[float, float]) -> bool:
    return abs(gain[0]) > 2 * gain[1]


def _plural(count: int, text: str) -> str:
    return f"{count} {text}{'' if count == 1 else 's'}"


def _data(group: Group, numbers: dict[str, Numbers]) -> str:
    labels = numbers["distributions"]["labels"]
    names = {observation.sample.configuration for observation in group.observations}
    caution = "" if len(names) >= _ENOUGH else " With so few configurations the errors themselves are uncertain."
    return (
        f"{_plural(len(names), 'configuration')}, {_plural(len(group.observations), 'structure')}, "
        f"{np.count_nonzero(labels == ACTIVE)} active and {np.count_nonzero(labels != ACTIVE)} inactive atoms.{caution}"
    )


def _accuracy(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    tables = {cutoff: _best(numbers[f"accuracy-{cutoff:g}"]) for cutoff in study.cutoffs}
    cutoff = max(tables, key=lambda key: tables[key].accuracy)
    best = tables[cutoff]
    return f"**Best accuracy**: {_text(best)} with {_plural(best.features, 'feature')} within {cutoff:g}."


def _cutoff(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    best = {cutoff: _best(numbers[f"accuracy-{cutoff:g}"]) for cutoff in study.cutoffs}
    values = [f"{_text(point)} within {cutoff:g}" for cutoff, point in best.items()]
    enough, last = saturation_cutoff(study, numbers), study.cutoffs[-1]
    if enough < last:
        gain = max(_gain(best[enough], best[other]) for other in study.cutoffs if other > enough)
        verdict = f"It saturates at {enough:g}: beyond, {_change(gain)} at most"
    elif len(best) > 1:
        before = study.cutoffs[-2]
        verdict = f"It still rises from {before:g} to {last:g} ({_change(_gain(best[before], best[last]))})"
    else:
        verdict = "No other was tried"
    return f"**Cutoff**: {', '.join(values)}. {verdict}."


def _radial(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    table = numbers[f"accuracy-{study.cutoff:g}"]
    ends = [end for bodies, _, end in feature_blocks(study.descriptor(study.cutoff)) if bodies == 2]
    first = f"**Radial features** within {study.cutoff:g}: the first alone {_text(_at(table, 1))}, "
    if len(ends) == 1:
        return f"{first}all {ends[0]} {_text(_at(table, ends[0]))}."
    alone, jump, everything = _at(table, ends[0]), _at(table, ends[0] + 1), _at(table, ends[-1])
    gain = _gain(alone, jump)
    verdict = "a jump that counts" if _counts(gain) else "which may be chance"
    return (
        f"{first}all {ends[0]} of {study.active_species} neighbours {_text(alone)}; with the first of "
        f"{study.species[1]} neighbours {_text(jump)}, {verdict} ({_change(gain)}); all {ends[-1]} {_text(everything)}."
    )


def _bodies(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    table = numbers[f"accuracy-{study.cutoff:g}"]
    ends = order_ends(study.descriptor(study.cutoff))
    orders = sorted(ends)
    sentences = []
    for lower, higher in pairwise(orders):
        gain = _gain(_at(table, ends[lower]), _at(table, ends[higher]))
        text = "add" if _counts(gain) and gain[0] > 0 else "cost" if _counts(gain) else "add nothing that counts"
        sentences.append(f"{higher}-body features {text} ({_change(gain)}, {_text(_at(table, ends[higher]))} in all)")
    return f"**Body order** within {study.cutoff:g}: {'; '.join(sentences)}."


def _selection(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    chosen = numbers["selection"]
    order, orders = chosen["radial_order"], chosen["radial_orders"]
    agreeing = int(np.sum((orders[:, :2] == order[:2]).all(axis=1)))
    steps = [_text(_at(chosen, count, "radial_")) for count in (1, 2, min(10, len(order)))]
    most = _best(chosen, "all_")
    return (
        f"**First features selected** among the radial ones: {', '.join(order[:6])} (the first two are the same in "
        f"{agreeing} of {len(orders)} selections that left out some configurations); accuracy with 1, 2 and "
        f"{min(10, len(order))}, selected without the configurations judged, {', '.join(steps)}. "
        f"Among all features: {', '.join(chosen['all_order'][:4])}; one "
        f"{_text(_at(chosen, 1, 'all_'))}, at best {_text(most)} with {most.features}."
    )


def _components(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    table = numbers["selection"]
    first, best = _at(table, 1, "pca_"), _best(table, "pca_")
    return (
        f"**Principal components** by variance: the first {_text(first)}, at best {_text(best)} with {best.features}."
    )


def _density(numbers: dict[str, Numbers]) -> str:
    difference = denser_inactive(numbers["distributions"])
    which = "denser" if difference[0] > 0 else "less dense"
    verdict = f"Inactive atoms are {which}" if _counts(difference) else "Neither kind of atom is clearly denser"
    return (
        f"**Density** (sum of the first radial features): {verdict}; inactive minus active "
        f"{_change(difference)} standard deviations."
    )


def _learning(numbers: dict[str, Numbers]) -> str:
    table = numbers["learning"]
    sentences = []
    for bodies in np.unique(table["bodies"]):
        chosen = np.flatnonzero(table["bodies"] == bodies)
        sizes = table["configurations"][chosen]
        half, full = (chosen[np.argmin(np.abs(sizes - size))] for size in (sizes[-1] / 2, sizes[-1]))
        if half == full:
            return "**Learning curve**: too few configurations to draw one."
        points = [
            _Point(0, table["accuracy"][place], table["error"][place], table["left_out"][place])
            for place in (half, full)
        ]
        gain = _gain(*points)
        trend = "still rises" if _counts(gain) and gain[0] > 0 else "no longer rises"
        sentences.append(
            f"up to {bodies} bodies it {trend} from {table['configurations'][half]} to "
            f"{table['configurations'][full]} training configurations ({_change(gain)})"
        )
    return f"**Learning curve**: {'; '.join(sentences)}."


def _transform(study: ActivityStudy, numbers: dict[str, Numbers]) -> str:
    sentences = []
    for bodies, end in order_ends(study.descriptor(study.cutoff)).items():
        printed, default = _at(numbers["transform"], end), _at(numbers[f"accuracy-{study.cutoff:g}"], end)
        sentences.append(f"up to {bodies} bodies {_text(printed)} ({_change(_gain(default, printed))})")
    return f"**Distances scaled by the cutoff**, y(r/r_c) in place of y(r/r_0): {'; '.join(sentences)}."


def _replicas(table: Numbers) -> str:
    runs = table["replicas"]
    own = ", ".join(f"{value:.3f}" for value in table["accuracy"])
    against = ", ".join(f"{value:.3f}" for value in table["against_all"])
    known = np.isfinite(table["reliability"])
    pairs = zip(runs[known], table["reliability"][known], strict=True)
    reliability = ", ".join(f"{value:.2f} for {count}" for count, value in pairs)
    return (
        f"**Runs behind the label** {', '.join(map(str, runs))}: accuracy on such labels {own}; trained on them and "
        f"judged by labels of all runs {against}. Correlation of log D²min between two sets of runs: {reliability}."
    )


def _regression(study: ActivityStudy, table: Numbers) -> str:
    places = {int(count): place for place, count in enumerate(table["features"])}
    points = [
        f"{table['correlation'][places[end]]:.2f} ± {table['error'][places[end]]:.2f} with {end}"
        for _, _, end in feature_blocks(study.descriptor(study.cutoff))
    ]
    return (
        "**ARD regression** on log D²min of active, inactive and all other atoms, mean Pearson R in a configuration: "
        f"{', '.join(points)} features."
    )


def _propensity(table: Numbers) -> str:
    return (
        f"**D²min and propensity** of the active species correlate {table['pearson'].mean():.3f} (Pearson) and "
        f"{table['spearman'].mean():.3f} (Spearman), mean of {_plural(len(table['pearson']), 'structure')}."
    )
