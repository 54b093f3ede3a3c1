"""How good predicted propensities are on configurations left out, and what a model learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.stats import sem

from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.reliability import split_half_reliability
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.expected_error import coverage_table, expected_error, stated_by_others
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.propensity.data import PropensitySample
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.learn.propensity.train import (
    LeftOut,
    PropensityDesign,
    PropensityRows,
    leave_out,
)
from ovito_glassml.neighbours import average_within
from ovito_glassml.structure import Structure

__all__ = [
    "GROUPS_TITLE",
    "error_table",
    "extremes_accuracy",
    "gain_table",
    "group_table",
    "held_out_table",
    "left_out_table",
    "neighbour_effects",
    "range_table",
    "result_tables",
    "shell_table",
]

#: Share of the atoms that moved most, and as many that moved least, told apart by the ranking.
EXTREMES = 0.05
#: Radius of the averages that `range_table` tells from the remainder, in nearest-neighbour distances.
NEAR = 3.0
#: Title of the table by groups of features, in which figures find it on a card.
GROUPS_TITLE = "What each group of features adds to R"
#: Distances of the table of shells, in nearest-neighbour distances.
DISTANCES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)


def result_tables(
    model: PropensityModel, data: PropensityRows, left_out: LeftOut, design: PropensityDesign
) -> tuple[ResultTable, ...]:
    """All tables of a card but that of a comparison."""
    return (
        left_out_table(data, left_out),
        range_table(data, left_out, design),
        error_table(data, left_out),
        group_table(data, left_out, design),
        shell_table(model),
    )


def left_out_table(data: PropensityRows, left_out: LeftOut) -> ResultTable:
    """A row for each configuration predicted by the others, and the mean with its standard error."""
    rows: list[tuple[object, ...]] = []
    for name, predicted, target, runs in zip(data.names, left_out.predicted, data.targets, data.runs, strict=True):
        score = pearson(predicted, target)
        highest = _ceiling(runs)
        bias = float(predicted.mean() - target.mean())
        rows.append((name, len(target), score, highest, score / highest, extremes_accuracy(predicted, target), bias))
    columns = ("configuration", "atoms", "R", "highest R", "R / highest", "extremes", "bias of the mean")
    note = (
        "Pearson's R with the propensity over the atoms of the model's species, by weights that have not seen the "
        "configuration, nor has the choice of their strength. Highest R: the root of the label's reliability, which "
        "needs several runs. Extremes: balanced accuracy of telling the 5 % that moved most from the 5 % that moved "
        "least, by the ranking alone."
    )
    return ResultTable("Configurations left out in turn", columns, (*rows, *_summary(rows)), note)


def _ceiling(runs: NDArray) -> float:
    """The highest correlation with a mean over these runs that a perfect prediction could have."""
    if runs.shape[1] < 2:
        return float("nan")
    return float(np.sqrt(max(split_half_reliability(runs, splits=20), 0.0))) or float("nan")


def _summary(rows: Sequence[tuple[object, ...]]) -> tuple[tuple[object, ...], ...]:
    """The mean over the configurations and its standard error, for rows that begin with a name and a count."""
    numbers = np.array([row[2:] for row in rows], dtype=np.float64)
    total = sum(int(str(row[1])) for row in rows)
    return ("mean", total, *map(float, numbers.mean(axis=0))), ("standard error", "", *map(float, sem(numbers)))


def range_table(data: PropensityRows, left_out: LeftOut, design: PropensityDesign) -> ResultTable:
    """Regions and single atoms apart, and what the spread of the prediction says of R beforehand."""
    radius = NEAR * design.descriptor.nearest
    rows: list[tuple[object, ...]] = []
    for k, (name, predicted, target) in enumerate(zip(data.names, left_out.predicted, data.targets, strict=True)):
        structure = data.samples[k].structure
        active = structure.of_species(design.active_species)
        kinds = np.zeros(int(active.sum()), dtype=np.int64)
        alone = Structure(
            structure.positions[active], kinds, ("atom",), structure.cell, structure.origin, structure.pbc
        )
        both = np.column_stack([predicted, target])
        means = average_within(alone, both, radius)
        others = [n for n in range(len(data.names)) if n != k]
        stated = expected_error([left_out.predicted[n] for n in others], [data.targets[n] for n in others])
        spread, wrong = float(target.std()), float((predicted - target).std())
        parts = (pearson(*means.T), pearson(*(both - means).T))
        rows.append((name, len(target), spread, wrong, *parts, stated.correlation(predicted), pearson(*both.T)))
    columns = ("configuration", "atoms", "spread", "error", "R of averages", "R of the rest", "R expected", "R")
    note = (
        f"Averages: over the atoms of the species within {NEAR:g} nearest-neighbour distances; the rest: what an atom "
        "differs from them. Spread and error: standard deviations of the propensity and of the error within the "
        "configuration. R expected: from the spread of the prediction and the error in the other configurations."
    )
    return ResultTable("Regions and single atoms", columns, (*rows, *_summary(rows)), note)


def error_table(data: PropensityRows, left_out: LeftOut) -> ResultTable:
    """Whether stated errors hold: each configuration by errors found in the others."""
    wrong = [np.abs(p - t) for p, t in zip(left_out.predicted, data.targets, strict=True)]
    return coverage_table(stated_by_others(left_out.predicted, data.targets), wrong, "predicted propensity")


def held_out_table(model: PropensityModel, samples: Sequence[PropensitySample], note: str) -> ResultTable:
    """A row for each of some samples that took no part in the training.

    Raises
    ------
    TrainingError
        If a sample has no atom that the model predicts.
    ModelError
        If it has species that the model does not know.
    """
    rows = []
    for sample in samples:
        active = sample.structure.of_species(model.active_species)
        predicted = model.predict(sample.structure).propensity
        known = active & np.isfinite(predicted)
        if not known.any():
            raise TrainingError(
                f"{sample.configuration} has no atoms of {model.active_species} to judge by; keep another aside."
            )
        values, target, runs = predicted[known], sample.propensity[known], sample.displacement[known]
        score, highest, bias = pearson(values, target), _ceiling(runs), float(values.mean() - target.mean())
        scores = (score, highest, score / highest, extremes_accuracy(values, target), bias)
        rows.append((sample.configuration, int(known.sum()), *scores))
    columns = ("configuration", "atoms", "R", "highest R", "R / highest", "extremes", "bias of the mean")
    return ResultTable("Held-out configurations", columns, tuple(rows), note)


def extremes_accuracy(predicted: NDArray, target: NDArray) -> float:
    """Balanced accuracy of a ranking for the atoms that moved most and least."""
    order = np.argsort(target)
    count = max(1, round(EXTREMES * len(order)))
    chosen = np.r_[order[:count], order[-count:]]
    high = predicted[chosen] > np.median(predicted[chosen])
    return float(0.5 * (high[count:].mean() + (~high[:count]).mean()))


def gain_table(data: PropensityRows, before: LeftOut, after: LeftOut, name: str) -> ResultTable:
    """By how much R rises over that of another model, paired by configuration."""
    pairs = [
        (pearson(p, t), pearson(q, t)) for p, q, t in zip(before.predicted, after.predicted, data.targets, strict=True)
    ]
    gains = np.array([new - old for old, new in pairs])
    row = (name, *(float(score) for score in np.mean(pairs, axis=0)), float(gains.mean()))
    columns = ("other model", "its R", "R", "gain", "standard error", "better in")
    return ResultTable("Compared with another model", columns, ((*row, float(sem(gains)), int((gains > 0).sum())),))


def group_table(data: PropensityRows, left_out: LeftOut, design: PropensityDesign) -> ResultTable:
    """By how much R falls without each group of features, paired by configuration."""

    def scores(predicted: Sequence[NDArray]) -> NDArray:
        return np.array([pearson(p, t) for p, t in zip(predicted, data.targets, strict=True)])

    whole = scores(left_out.predicted)
    rows = []
    widths = [width for _, width in design.groups]
    place = np.repeat(np.arange(len(widths)), widths)
    for number, (name, width) in enumerate(design.groups):
        lost = whole - scores(leave_out(data.columns(place != number), design.tolerance).predicted)
        rows.append((name, width, float(lost.mean()), float(sem(lost))))
    return ResultTable(
        GROUPS_TITLE,
        ("features", "number", "R lost without them", "standard error"),
        tuple(rows),
        "Own: the surroundings of the atom itself. The others: those of the atoms of one species around it, averaged "
        "with a weight that falls to zero at the radius (nearest-neighbour distances).",
    )


def neighbour_effects(model: PropensityModel, distances: NDArray) -> dict[str, dict[str, NDArray[np.float64]]]:
    """What one more neighbour adds to an atom's expected displacement, by its distance.

    Parameters
    ----------
    model : PropensityModel
    distances : (D,) array
        In the model's length unit.

    Returns
    -------
    dict of dict of (D,) array
        By where the neighbour is counted (around the atom itself, or around all atoms of one species near it, as they
        are averaged) and by the neighbour's species; of the part that looks at distances.
    """
    part, names = model.linear.parts[0], model.descriptor.species
    active = names.index(model.active_species)
    apart = 10 * model.descriptor.cutoff + 2 * float(np.max(distances))
    starts = np.column_stack([np.arange(len(distances)) * apart, np.zeros((len(distances), 2))])
    positions = np.vstack([starts, starts + np.asarray(distances)[:, None] * [1.0, 0.0, 0.0]])
    count = len(distances)
    rows = [
        model.descriptor.compute(Structure(positions, [active] * count + [kind] * count, names))[:count]
        for kind in range(len(names))
    ]
    weights = {"own shells": part.own} | {
        f"shells of {name} within {radius / model.descriptor.nearest:g}": part.averaged[k, kind]
        for k, radius in enumerate(model.linear.radii)
        for kind, name in enumerate(names)
    }
    return {
        where: {name: table.astype(np.float64) @ weight for name, table in zip(names, rows, strict=True)}
        for where, weight in weights.items()
    }


def shell_table(model: PropensityModel) -> ResultTable:
    """What one more neighbour at a distance adds to an atom's expected displacement."""
    own = neighbour_effects(model, np.array(DISTANCES) * model.descriptor.nearest)["own shells"]
    columns = zip(*own.values(), strict=True)
    rows = [(f"{distance:g}", *map(float, row)) for distance, row in zip(DISTANCES, columns, strict=True)]
    return ResultTable(
        f"What a neighbour adds to the expected displacement of an atom of {model.active_species}",
        ("distance / nearest", *model.descriptor.species),
        tuple(rows),
        "By the atom's own shells, in the unit of the model; averages of the surroundings come on top.",
    )
