"""One row of the table of scores, the file that keeps all of them, and the page that shows them."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ovito_glassml.files import write_atomically
from ovito_glassml.learn.format import list_models

__all__ = ["STORED", "Scored", "read_scores", "scores_page", "scores_table", "write_scores"]

STORED = Path(__file__).with_name("scores.csv")


@dataclass(frozen=True, kw_only=True)
class Scored:
    """One row of the table: a model on a sample that it has not learned from. None where a score has no meaning.

    Attributes
    ----------
    model, predicts, sample, material, composition, rate, state : str
    expected : str
        ``yes`` where the sample is in the state that the model was made for.
    atoms : int
        With both values.
    correlation : float
        Pearson R over all atoms, with the measured stiffness, the energy of the atom less the mean of its species
        (barcode), the barrier (prototypes) or log D²min (activity).
    within : float
        The same after taking the mean of its species from every value.
    by_species : str
        R of the atoms of each species.
    coarse, remainder : float
        R of the averages within 6 Å (or as many distances of neighbours), and of what the atoms differ from them by.
    bias : float
        Of the sample's mean: relative to the measured one, or for energies in meV/atom.
    coverage : float
        Share of the atoms that are no further off than the error that is stated for them.
    flagged : float
        Share of the atoms whose extrapolation is above 1.
    auc, accuracy : float
        Of the clear cases (activity) or the highest fifth (barriers): area under the ROC curve, balanced accuracy.
    events, average_precision, precision, mcc : float
        Rate of events among all atoms of the species; precision averaged over the events; precision and Matthews
        correlation with as many atoms called active as there are. Guessing gives the rate, the rate and 0.
    """

    model: str
    predicts: str
    sample: str
    material: str
    composition: str
    rate: str
    state: str
    expected: str
    atoms: int
    correlation: float | None = None
    within: float | None = None
    by_species: str = ""
    coarse: float | None = None
    remainder: float | None = None
    bias: float | None = None
    coverage: float | None = None
    flagged: float | None = None
    auc: float | None = None
    accuracy: float | None = None
    events: float | None = None
    average_precision: float | None = None
    precision: float | None = None
    mcc: float | None = None


#: Columns with text; all others hold numbers.
TEXT = ("model", "predicts", "sample", "material", "composition", "rate", "state", "expected", "by_species")

#: Headings of the columns that the page shows.
COMMON = {
    "model": "model",
    "predicts": "predicts",
    "sample": "sample",
    "material": "material",
    "composition": "composition",
}
COMMON |= {"rate": "cooled", "state": "state"}
NUMBERS = {
    "atoms": "atoms",
    "correlation": "R",
    "within": "R within species",
    "by_species": "R by species",
    "coarse": "R of 6 Å averages",
    "remainder": "R of the rest",
    "bias": "bias",
    "coverage": "coverage",
    "flagged": "flagged",
}
CLASSES = {
    "auc": "AUC",
    "accuracy": "balanced accuracy",
    "events": "rate of events",
    "average_precision": "average precision",
    "precision": "precision",
    "mcc": "MCC",
}


def write_scores(rows: Sequence[Scored], path: Path = STORED) -> None:
    """Write rows as CSV; numbers with six digits."""
    text = io.StringIO()
    names = [field.name for field in fields(Scored)]
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    for row in rows:
        values = {name: getattr(row, name) for name in names}
        writer.writerow({name: f"{value:.6g}" if isinstance(value, float) else value for name, value in values.items()})
    write_atomically(path, text.getvalue().encode())


def read_scores(path: Path = STORED) -> list[Scored]:
    """Rows that `write_scores` has written."""
    with open(path, newline="", encoding="utf-8") as file:
        return [Scored(**{name: _value(name, text) for name, text in row.items()}) for row in csv.DictReader(file)]


def _value(name: str, text: str) -> Any:
    if name in TEXT:
        return text
    if not text:
        return None
    return int(text) if name == "atoms" else float(text)


def scores_table(rows: Sequence[Scored], *, classifiers: bool | None = None) -> str:
    """Rows in Markdown, with the columns that any of them has.

    Parameters
    ----------
    rows : sequence of Scored
    classifiers : bool, optional
        Only the models that are classifiers, or only those that are not.
    """
    chosen = [row for row in rows if classifiers is None or (row.auc is not None) == classifiers]
    columns = {
        name: head
        for name, head in (COMMON | NUMBERS | CLASSES).items()
        if any(getattr(row, name) not in (None, "") for row in chosen)
    }
    lines = [tuple(columns.values()), ("---",) * len(columns)]
    lines += [tuple(_cell(row, name) for name in columns) for row in chosen]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _cell(row: Scored, name: str) -> str:
    value = getattr(row, name)
    if value is None or isinstance(value, str):
        return value or ""
    if name == "bias":
        return (f"{value:+.1f} meV" if row.model.startswith("ule") else f"{100 * value:+.1f} %").replace("-", "−")
    if name in ("flagged", "coverage"):
        return f"{100 * value:.0f} %"
    return str(value) if name == "atoms" else f"{value:.3f}".replace("-", "−")


def scores_page(rows: Sequence[Scored]) -> str:
    """The page of the reference, in Markdown."""
    missing = ", ".join(f"`{name}`" for name in sorted(set(list_models()) - {row.model for row in rows}))
    covered = any(row.coverage is not None for row in rows)
    parts = [
        "# Every model on every sample kept aside",
        "Each row is a shipped model on a sample of `sample_data` that it has not learned from, in every state and "
        "composition whose labels are there. R is the Pearson correlation over atoms; *within species* after the mean "
        "of its species is taken from every value; *of 6 Å averages* of means over a sphere (Lennard-Jones: as many "
        "distances of neighbours), and *of the rest* of what the atoms differ from these by. *Flagged* is the share of "
        "the atoms with an extrapolation above 1. The same as numbers: `ovito_glassml/reproduce/scores.csv`.",
        "## Numbers",
        "Stiffness: predicted against measured; bias: predicted over measured mean, less one. A model for glasses at "
        'rest is shown snapshots at 300 K too, and the other way round: `model=""` chooses by state. Barcode: '
        "contributions of atoms against their potential energies less the mean of the species in the sample, and the "
        "bias of the energy per atom. "
        + (
            "Coverage: share of the atoms that are no further off than the error that is stated for them."
            if covered
            else "No model states an error of its values yet, so there is no coverage of it."
        ),
        scores_table(rows, classifiers=False),
        "## Classes",
        "R: of the logit with the barrier (prototypes), of the probability with the logarithm of D²min over all atoms "
        "of the species (activity). AUC and balanced accuracy: of the clear cases, as many active as inactive ones "
        "(activity), or of the highest fifth (barriers). The rest is about all atoms of the species: the rate of "
        "events, and average precision, precision and Matthews correlation with as many atoms called active as there "
        "are. Guessing gives the rate, the rate and 0. Balanced accuracy flatters where events are rare: it says that "
        "clear cases are told apart, not that an atom called active will move.",
        scores_table(rows, classifiers=True),
        f"Not here, since `sample_data` has nothing new to them, but on their cards: {missing}." if missing else "",
        "*Measured by `python -m ovito_glassml.reproduce.scores sample_data`.*",
    ]
    return "\n\n".join(part for part in parts if part)
