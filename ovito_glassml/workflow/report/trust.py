"""How far to trust a prediction on one structure, in words."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ovito_glassml.adapter.prediction import WARNING_FRACTION, trust_in_words
from ovito_glassml.learn.format import ModelError, ModelHeader, ResultTable, read_header
from ovito_glassml.workflow.report.collect import Result
from ovito_glassml.workflow.report.numbers import percent, rounded

__all__ = ["Trust", "trust_in"]

#: Share of atoms unlike those of the training above which a map means little.
MOST = 0.5

#: By kind of a model: the score on samples that it did not learn from, its column and table, and what it means.
SCORES: dict[str, tuple[str, str | tuple[str, ...], str]] = {
    "stiffness": (
        "R", ("This model on samples kept aside", "Held-out samples"),
        "a correlation of {} with the measured stiffness, atom by atom (1 is perfect)",
    ),
    "activity": (
        "balanced accuracy", "This model on configurations kept aside", "{} of the clear cases right (half is a coin)",
    ),
    "propensity": (
        "R", "Configurations left out in turn", "a correlation of {} with the measured propensity (1 is perfect)",
    ),
    "scnn": (
        "AUC", "This model on samples kept aside", "an AUC of {} for the highest fifth of the barriers (0.5 is a coin)",
    ),
    "ule": ("RMSE (meV/atom)", "Energies of annealed runs never trained on", "the energy of a glass to {} meV/atom"),
}  # fmt: skip


@dataclass(frozen=True)
class Trust:
    """A verdict and its reasons.

    Attributes
    ----------
    level : {'good', 'care', 'no', 'measured'}
    verdict : str
        In a few words.
    reasons : list of str
        Sentences.
    """

    level: str
    verdict: str
    reasons: list[str]


def trust_in(result: Result, unit: str) -> Trust:
    """What the attributes and the card of the model say of this structure."""
    told = result.attributes
    reasons = list(_measured(result, unit))
    without, atoms = int(np.isnan(result.values).sum()), result.shot.facts.atoms
    if without == atoms:
        return Trust("no", "no atom has a value", [])
    if without:
        reasons.append(f"{rounded(without)} of {rounded(atoms)} atoms have no value: of other species, or alone.")
    if "model" not in told:
        return Trust("measured", "computed from the structure, without a model", reasons)
    fraction, sample = _number(told, "extrapolating_fraction"), _number(told, "sample_extrapolation")
    level, verdict = _verdict(fraction, sample)
    if level == "good" and (told.get("energy_in_range") == 0 or told.get("same_composition") == 0):
        level, verdict = "no", _NO
    error = math.nan if result.expected_error is None else result.expected_error
    reasons += [f"{line}." for line in trust_in_words(told, error, f" {unit}" if unit else "")]
    reasons += _card(result)
    return Trust(level, verdict, reasons)


_NO = "do not trust it: this structure is unlike the training data"


def _verdict(fraction: float, sample: float) -> tuple[str, str]:
    if sample > 1 or fraction > MOST:
        return "no", _NO
    if fraction > WARNING_FRACTION:
        return "care", "read it with care: some atoms are unlike the training data"
    return "good", "this structure is like the training data"


def _card(result: Result) -> Iterator[str]:
    """What the model scores elsewhere, and whether it knows this very sample."""
    try:
        header = read_header(str(result.attributes["model"]))
    except (ModelError, OSError):  # a file of the user's
        return
    if score := _held_out(header):
        yield f"On samples that {result.attributes['model']} did not learn from it reaches {score}."
    # A list, or the text of one.
    if result.shot.name in re.findall(r"[^\s,'\"\[\]]+", str(header.training.get("samples", ""))):
        yield "A sample of this name was among those that it learned from, so that it looks better here than elsewhere."


def _held_out(header: ModelHeader) -> str:
    """The score of a model on samples kept aside, in words; nothing if its card has none."""
    column, title, words = SCORES.get(header.kind, ("", "", ""))
    tables = [table for table in header.results if table.title.startswith(title) and column in table.columns]
    if not column or not tables:
        return ""
    shown = "inherent" if "inherent" in str(header.training.get("shown", "inherent")) else "snapshot"
    table = next((table for table in tables if shown in table.title), tables[0])
    values = _samples(table, column)
    if header.kind == "ule":
        return words.format(rounded(values[0], 2))
    middle = float(np.median(values))
    return words.format(percent(middle) if header.kind == "activity" else rounded(middle, 2))


def _samples(table: ResultTable, column: str) -> list[float]:
    """The numbers of a column, of samples and not of their mean."""
    place = table.columns.index(column)
    single = [row for row in table.rows if row[0] not in ("mean", "standard error", "spread")]
    return [float(row[place]) for row in single if isinstance(row[place], int | float)] or [math.nan]


def _measured(result: Result, unit: str) -> Iterator[str]:
    """The comparison with measured values that the file holds."""
    scores, truth = result.scores, result.view.truth
    if "pearson" in scores and math.isfinite(scores["pearson"]):
        yield (
            f"The file holds measured values ({truth}): the prediction correlates with them by R = "
            f"{_with_limits(scores, 'pearson')} and its mean is off by {rounded(scores['bias'], 2, sign=True)} {unit}."
        )
    if "auc" in scores and math.isfinite(scores["auc"]):
        share = result.view.judged_by.get("positive_share")
        atom, other = (
            (f"one of the highest {percent(share)}", "another") if share else ("an active atom", "an inactive one")
        )
        yield (
            f"The file holds measured values ({truth}): {atom} gets a larger value than {other} with the probability "
            f"{_with_limits(scores, 'auc')} (AUC; 0.5 is a coin)."
        )


def _with_limits(scores: Any, name: str) -> str:
    low, high = scores.get(f"{name}_low", math.nan), scores.get(f"{name}_high", math.nan)
    text = rounded(scores[name], 2)
    return f"{text} ({rounded(low, 2)} to {rounded(high, 2)})" if math.isfinite(low) else text


def _number(told: Any, name: str) -> float:
    value = told.get(name, math.nan)
    return float(value) if isinstance(value, int | float) else math.nan
