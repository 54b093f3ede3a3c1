"""How good barcode models are: energies of runs never seen, simple rivals, heterogeneity, stability."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode.data import BarcodeTable, UleSample
from ovito_glassml.learn.barcode.model import UleModel, heterogeneity, is_icosahedron
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.units import Units

__all__ = [
    "energy_score",
    "energy_table",
    "group_fractions",
    "held_out_table",
    "heterogeneity_table",
    "heterogeneity_values",
    "rival_predictions",
]

#: Ridge regression chooses from these, in units of the mean square of the standardised inputs.
STRENGTHS = tuple(10.0**exponent for exponent in range(-5, 4))

Prediction = NDArray[np.float64]


def energy_score(predicted: NDArray, energies: NDArray) -> tuple[float, float, float]:
    """Root mean square error and bias in thousandths, and R² against the mean of these samples."""
    difference = predicted - energies
    spread = energies.var()
    explained = 1 - (difference**2).mean() / spread if spread > 0 else float("nan")
    return float(1000 * np.sqrt((difference**2).mean())), float(1000 * difference.mean()), float(explained)


def number_or_dash(value: float) -> float | str:
    """For tables, whose file knows no NaN."""
    return value if np.isfinite(value) else "—"


def energy_table(
    title: str, predictions: Mapping[str, Prediction], energies: NDArray, note: str = "", *, units: Units
) -> ResultTable:
    """A row for each way to predict the energies of the same samples."""
    rows = [(name, *map(number_or_dash, energy_score(predicted, energies))) for name, predicted in predictions.items()]
    unit = units.small_energy
    return ResultTable(title, ("method", f"RMSE ({unit})", f"bias ({unit})", "R²"), tuple(rows), note)


def held_out_table(
    model: UleModel, learned: Sequence[UleSample], judges: Sequence[UleSample], units: Units
) -> ResultTable:
    """Energies that the model itself predicts for whole runs, beside the mean of those that it was trained on.

    Raises
    ------
    TrainingError
        If a sample has no barcode, since none of its atoms match.
    """
    energies = np.array([sample.energy for sample in judges])
    predicted = np.array([model.predict(sample.structure).energy for sample in judges])
    if not np.isfinite(predicted).all():
        run = judges[int(np.flatnonzero(~np.isfinite(predicted))[0])].run
        raise TrainingError(
            f"No atom of a sample of {run} is similar to an environment; judge by structures like those trained on."
        )
    constant = np.full(len(judges), np.mean([sample.energy for sample in learned]))
    runs = ", ".join(dict.fromkeys(sample.run for sample in judges))
    predictions = {f"{len(model)} environments": predicted, "constant": constant}
    return energy_table("Held-out runs", predictions, energies, f"Not trained on: {runs}.", units=units)


def rival_predictions(learned: BarcodeTable, tested: BarcodeTable) -> dict[str, Prediction]:
    """Energies of the samples tested, from what is simpler than trees on a barcode.

    A constant, a line on the share of icosahedra, and ridge regression on the mean SOAP row and on
    the fractions. The strength of the ridge is chosen by leaving out runs that are learned from.
    """
    mean = float(learned.energies.mean())
    slope, offset = np.polyfit(learned.icosahedra, learned.energies, 1)
    return {
        "constant": np.full(len(tested), mean),
        "share of icosahedra": offset + slope * tested.icosahedra,
        "ridge on the mean SOAP row": _ridge(learned.mean_rows, learned, tested.mean_rows),
        "ridge on the fractions": _ridge(learned.fractions, learned, tested.fractions),
    }


def _ridge(inputs: NDArray, learned: BarcodeTable, tested: NDArray) -> Prediction:
    table = inputs.astype(np.float64)
    runs = np.array(learned.runs)
    names = list(dict.fromkeys(runs))
    parts = np.array([names.index(run) % 5 for run in runs])
    errors = np.zeros(len(STRENGTHS))
    for part in np.unique(parts) if len(names) > 1 else ():
        kept = parts != part
        predicted = _ridge_path(table[kept], learned.energies[kept], table[~kept])
        errors += ((predicted - learned.energies[~kept]) ** 2).sum(axis=1)
    return _ridge_path(table, learned.energies, tested.astype(np.float64))[int(errors.argmin())]


def _ridge_path(inputs: NDArray, energies: NDArray, tested: NDArray) -> NDArray[np.float64]:
    """(strengths, samples) predictions; inputs are centred and keep their scale."""
    mean, middle = inputs.mean(axis=0), energies.mean()
    left, values, right = np.linalg.svd(inputs - mean, full_matrices=False)
    onto, target = (tested - mean) @ right.T, left.T @ (energies - middle)
    unit = (values**2).mean()
    return np.array([middle + onto @ (target * values / (values**2 + strength * unit)) for strength in STRENGTHS])


def group_fractions(fractions: NDArray, voronoi: NDArray, groups: NDArray) -> dict[str, NDArray[np.float64]]:
    """Sums of fractions over Group 1, Group 2 and over icosahedral environments, for each sample."""
    return {
        "Group 1 (Kasper)": fractions[:, groups == 1].sum(axis=1),
        "Group 2": fractions[:, groups == 2].sum(axis=1),
        "icosahedra": fractions[:, is_icosahedron(voronoi)].sum(axis=1),
    }


def heterogeneity_values(model: UleModel, table: BarcodeTable, group: int = 2) -> NDArray[np.float64]:
    """(S, 2) array: z-score and excess variance of each sample at its true energy."""
    members = model.groups == group
    return np.array(
        [
            heterogeneity(counts, *model.reference.at(energy), members)
            for counts, energy in zip(table.counts, table.energies, strict=True)
        ]
    )


def heterogeneity_table(model: UleModel, table: BarcodeTable, title: str) -> ResultTable:
    """Mean heterogeneity of each kind of sample, with the standard error over its runs."""
    values = {group: heterogeneity_values(model, table, group) for group in (2, 1)}
    rows = []
    for kind in dict.fromkeys(table.kinds):
        chosen = table.kinds == kind
        z, error = _mean_over_runs(values[2][chosen, 0], table.runs[chosen])
        spread = float(values[2][chosen, 0].std())
        excess, _ = _mean_over_runs(values[2][chosen, 1], table.runs[chosen])
        kasper, _ = _mean_over_runs(values[1][chosen, 0], table.runs[chosen])
        energy = float(table.energies[chosen].mean())
        count = len(set(table.runs[chosen]))
        numbers = (z, error, spread, 1e6 * excess, kasper)
        rows.append((kind, count, int(chosen.sum()), f"{energy:.4f}", *map(number_or_dash, numbers)))
    columns = (
        "kind",
        "runs",
        "samples",
        "energy (eV/atom)",
        "z",
        "standard error",
        "spread of z",
        "10⁶ H",
        "z, Group 1",
    )
    note = (
        "Against thermal samples of the same energy. z is 0 ± 1 for atoms drawn independently; neighbouring atoms "
        "are not independent, so compare with the spread of thermal samples. H is the excess variance of Group 2."
    )
    return ResultTable(title, columns, tuple(rows), note)


def _mean_over_runs(values: NDArray, runs: NDArray) -> tuple[float, float]:
    """Mean of the means of runs, and its standard error; NaN for a single run."""
    means = [float(values[runs == run].mean()) for run in dict.fromkeys(runs)]
    error = float(np.std(means, ddof=1) / np.sqrt(len(means))) if len(means) > 1 else float("nan")
    return float(np.mean(means)), error
