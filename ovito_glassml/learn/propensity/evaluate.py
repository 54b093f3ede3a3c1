"""How good predicted propensities are on configurations left out, and what a model learned."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.reliability import split_half_reliability
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.propensity.data import PropensitySample
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.learn.propensity.train import LeftOut, PropensityDesign, PropensityRows, leave_out
from ovito_glassml.structure import Structure

__all__ = ["extremes_accuracy", "group_table", "held_out_table", "left_out_table", "shell_table"]

#: Share of the atoms that moved most, and as many that moved least, told apart by the ranking.
EXTREMES = 0.05
#: Distances of the table of shells, in nearest-neighbour distances.
DISTANCES = (0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.2, 1.3, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0)


def left_out_table(data: PropensityRows, left_out: LeftOut) -> ResultTable:
    """A row for each configuration predicted by the others, and the mean with its standard error."""
    rows: list[tuple[object, ...]] = []
    for name, predicted, target, runs in zip(data.names, left_out.predicted, data.targets, data.runs, strict=True):
        trust = split_half_reliability(runs, splits=20) if runs.shape[1] > 1 else float("nan")
        known = (trust, float(np.sqrt(max(trust, 0.0))))
        bias = float(predicted.mean() - target.mean())
        rows.append((name, len(target), pearson(predicted, target), *known, extremes_accuracy(predicted, target), bias))
    numbers = np.array([row[2:] for row in rows], dtype=np.float64)
    rows.append(("mean", sum(int(str(row[1])) for row in rows), *map(float, numbers.mean(axis=0))))
    error = numbers.std(axis=0, ddof=1) / np.sqrt(len(numbers))
    rows.append(("standard error", "", *map(float, error)))
    columns = ("configuration", "atoms", "R", "reliability", "highest R", "extremes", "bias of the mean")
    note = (
        "Pearson's R with the propensity over the atoms of the model's species, by weights that have not seen the "
        "configuration, nor has the choice of their strength. Highest R: the root of the label's reliability. "
        "Extremes: balanced accuracy of telling the 5 % that moved most from the 5 % that moved least, "
        "by the ranking alone."
    )
    return ResultTable("Configurations left out in turn", columns, tuple(rows), note)


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
        trust = split_half_reliability(runs, splits=20) if runs.shape[1] > 1 else float("nan")
        scores = (pearson(values, target), trust, float(np.sqrt(max(trust, 0.0))), extremes_accuracy(values, target))
        rows.append((sample.configuration, int(known.sum()), *scores, float(values.mean() - target.mean())))
    columns = ("configuration", "atoms", "R", "reliability", "highest R", "extremes", "bias of the mean")
    return ResultTable("Held-out configurations", columns, tuple(rows), note)


def extremes_accuracy(predicted: NDArray, target: NDArray) -> float:
    """Balanced accuracy of a ranking for the atoms that moved most and least."""
    order = np.argsort(target)
    count = max(1, round(EXTREMES * len(order)))
    chosen = np.r_[order[:count], order[-count:]]
    high = predicted[chosen] > np.median(predicted[chosen])
    return float(0.5 * (high[count:].mean() + (~high[:count]).mean()))


def group_table(data: PropensityRows, left_out: LeftOut, design: PropensityDesign) -> ResultTable:
    """By how much R falls without each group of features, paired by configuration."""

    def scores(predicted: Sequence[NDArray]) -> NDArray:
        return np.array([pearson(p, t) for p, t in zip(predicted, data.targets, strict=True)])

    whole = scores(left_out.predicted)
    rows = []
    for number, name in enumerate(design.groups):
        kept = np.arange(len(data.scale)) // data.width != number
        lost = whole - scores(leave_out(data.columns(kept)).predicted)
        rows.append((name, data.width, float(lost.mean()), float(lost.std(ddof=1) / np.sqrt(len(lost)))))
    return ResultTable(
        "What each group of features adds to R",
        ("features", "number", "R lost without them", "standard error"),
        tuple(rows),
        "Own shells: neighbours of the atom itself. The others: the shells of neighbours of one species, averaged with "
        "a weight that falls to zero at the radius (nearest-neighbour distances).",
    )


def shell_table(model: PropensityModel) -> ResultTable:
    """What one more neighbour at a distance adds to an atom's expected displacement."""
    descriptor = model.descriptor
    active = descriptor.species.index(model.active_species)
    rows = []
    for distance in DISTANCES:
        positions = np.array([[0.0, 0, 0], [distance * descriptor.nearest, 0, 0]])
        shares = [
            float(descriptor.compute(Structure(positions, [active, kind], descriptor.species))[0] @ model.linear.own)
            for kind in range(len(descriptor.species))
        ]
        rows.append((f"{distance:g}", *shares))
    return ResultTable(
        f"What a neighbour adds to the expected displacement of an atom of {model.active_species}",
        ("distance / nearest", *descriptor.species),
        tuple(rows),
        "By the atom's own shells, in the unit of the model; averages of the surroundings come on top.",
    )
