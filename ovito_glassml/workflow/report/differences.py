"""What the first structure and each other one differ in, with error bars."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.barcode.budget import EnergyBudget, budget_in_boxes, difference
from ovito_glassml.progress import silent
from ovito_glassml.workflow.report.collect import Collected, Result, Shot, Wishes
from ovito_glassml.workflow.report.facts import is_glassy
from ovito_glassml.workflow.report.numbers import rounded, with_error
from ovito_glassml.workflow.report.pictures import kinds_of, kinds_shown
from ovito_glassml.workflow.stability import budget_of_files, difference_rows

__all__ = ["Change", "Comparison", "comparisons"]

#: Kinds of a typed property that are compared.
KINDS = 4
#: How far models look, in distances of neighbours: atoms further apart count as independent.
NEIGHBOURHOOD = 2.0
#: A difference of so many errors is one.
CLEAR = 2.0


@dataclass(frozen=True)
class Change:
    """One quantity: before, after, and the difference with its standard error, as texts; what that means."""

    what: str
    first: str
    other: str
    change: str
    means: str


@dataclass(frozen=True)
class Comparison:
    """Of two structures; with the energies by environment, where a barcode model knows both.

    Attributes
    ----------
    first, other : str
    changes : list of Change
    environments : list of list of str
    energy : str
        The difference of the energies in words.
    remarks : list of str
        What could not be compared.
    """

    first: str
    other: str
    changes: list[Change]
    environments: list[list[str]]
    energy: str
    remarks: list[str]


def comparisons(found: Collected, wishes: Wishes) -> list[Comparison]:
    """The first file with each other one; of a single file, its first drawn frame with its last."""
    drawn = [shot for shot in found.shots if shot.is_drawn]
    pairs = [(found.main[0], other) for other in found.main[1:]] or [(drawn[0], drawn[-1])]
    return [_compared(found, first, other, wishes) for first, other in pairs if first is not other]


def _compared(found: Collected, first: Shot, other: Shot, wishes: Wishes) -> Comparison:
    changes: list[Change] = []
    remarks: list[str] = []
    environments: list[list[str]] = []
    energy = ""
    for modifier, view in found.views():
        both = [next((one for one in found.of(modifier, view) if one.shot is shot), None) for shot in (first, other)]
        if both[0] is None or both[1] is None:
            continue
        models = [one.attributes.get("model") for one in both if one is not None]
        name = modifier.title if not view.title else f"{modifier.title}, {view.title}"
        if models[0] != models[1]:
            remarks.append(
                f"{name}: {models[0]} and {models[1]} predicted these, and values of two models do not compare."
            )
            continue
        if modifier.name == "ule":
            environments, energy = _environments(both[0], both[1], wishes)
        if modifier.name != "ule" or not energy:
            changes += _changes(both[0], both[1], name)
    return Comparison(first.title, other.title, changes, environments, energy, remarks)


def _changes(first: Result, other: Result, name: str) -> Iterator[Change]:
    if first.view.shown:
        label = first.view.meaning[:1].upper() + first.view.meaning[1:]
        yield from _change(label, first, other, first.values, other.values, 1.0, "")
        return
    for kind, _, _ in kinds_shown(first)[:KINDS]:
        yield from _change(
            f"{name}: share of {kind}", first, other, kinds_of(first) == kind, kinds_of(other) == kind, 100.0, " %"
        )


def _change(
    what: str, first: Result, other: Result, before: NDArray, after: NDArray, factor: float, unit: str
) -> Iterator[Change]:
    """Difference of two means; its error is from the scatter between boxes of both."""
    if not (np.isfinite(before).any() and np.isfinite(after).any()):
        return
    budgets = [_budget(result, values) for result, values in ((first, before), (other, after))]
    total = difference(budgets[1], budgets[0]).total
    value, error = factor * float(total.values), factor * float(total.errors)
    means = [f"{rounded(factor * float(np.nanmean(values)), 4)}{unit}" for values in (before, after)]
    yield Change(what, means[0], means[1], f"{with_error(value, error)}{unit}", _meaning(value, error))


def _budget(result: Result, values: NDArray) -> EnergyBudget:
    """Mean of any numbers, in boxes as large as those of the account of energies."""
    none, zero = np.full(len(values), -1), np.zeros(len(values))
    structure = structure_from_data(result.scene, names_needed=False)
    reach = NEIGHBOURHOOD * result.shot.facts.spacing
    return budget_in_boxes(structure, none, np.asarray(values, dtype=np.float64), zero, (), reach)


def _meaning(value: float, error: float) -> str:
    if not error > 0:
        return "no error is known"
    return "more than chance" if abs(value) > CLEAR * error else "no more than chance"


def _environments(first: Result, other: Result, wishes: Wishes) -> tuple[list[list[str]], str]:
    """Energies by environment, as `glassml compare` divides them."""
    model = str(first.attributes["model"])
    if not all(is_glassy(one.shot.facts) for one in (first, other)):
        return [], ""
    budgets = []
    try:
        for one in (other, first):
            frame = one.shot.frame
            budget, _, _ = budget_of_files(
                [Path(one.shot.file)], model, wishes.species, slice(frame, frame + 1), silent
            )
            budgets.append(budget)
        found = difference(budgets[0], budgets[1])
    except GlassMLError:  # trees give no energies to atoms
        return [], ""
    total = with_error(1000 * float(found.total.values), 1000 * float(found.total.errors))
    shares, energies = (1000 * float(part.values.sum()) for part in (found.from_shares, found.from_energies))
    words = (
        f"{other.shot.title} has {total} meV/atom more energy than {first.shot.title}: {rounded(shares, 3, sign=True)} "
        f"from other shares of environments and {rounded(energies, 3, sign=True)} from other energies of atoms in the "
        "same one."
    )
    return difference_rows((budgets[0], budgets[1]), found), words
