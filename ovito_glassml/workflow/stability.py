"""Why one glass is more stable than another: its energy, environment by environment, beside that of the other."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes

from ovito_glassml.adapter.files import FileError, open_trajectory
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.learn.barcode.budget import Difference, EnergyBudget, Estimate
from ovito_glassml.learn.barcode.model import KIND, UleModel
from ovito_glassml.learn.choice import choose_model
from ovito_glassml.learn.format import remembered
from ovito_glassml.progress import Report
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.plotting import COLOURS, new_axes, save_figure, save_table

__all__ = ["SAMPLES", "budget_of_files", "difference_rows", "draw_difference", "told"]

#: With so many files their scatter gives the errors; with fewer that of boxes does.
SAMPLES = 3
#: Environments in the picture and in words.
SHOWN = 12

_loaded = remembered(UleModel.load)


def budget_of_files(
    files: Sequence[Path], model: str, species: str, frames: slice, progress: Report
) -> tuple[EnergyBudget, str, list[str]]:
    """Account of the energy of the given frames of some files together.

    Parameters
    ----------
    files : sequence of Path
        Structures of one glass, or of several that were made alike.
    model : str
        Name or file; empty for the one that fits the first structure best.
    species : str
        Names for unnamed particle types, in type order.
    frames : slice
        Of each file.
    progress : callable
        Fraction and text.

    Returns
    -------
    budget : EnergyBudget
        Its parts are the files, or boxes of the structures where there are fewer than `SAMPLES`.
    model : str
        The one that was used.
    remarks : list of str
        Samples that the model does not know.
    """
    of_files, remarks = [], []
    for number, file in enumerate(files):
        progress(number / len(files), f"Comparing {file.name}")
        structures = _frames(file, species, frames)
        model = model or choose_model(structures[0], KIND, _loaded).name
        parts = [_budget(_loaded(model), structure) for structure in structures]
        remarks += [f"{file.name}: {remark}" for _, remark in parts if remark][:1]
        together = parts[0][0]
        for part, _ in parts[1:]:
            together = together + part
        of_files.append(together if len(files) < SAMPLES else together.whole())
    budget = of_files[0]
    for other in of_files[1:]:
        budget = budget + other
    return budget, model, remarks


def _frames(file: Path, species: str, frames: slice) -> list[Structure]:
    pipeline = open_trajectory(file)
    chosen = range(pipeline.num_frames)[frames]
    if not chosen:
        raise FileError(f"{file} has {pipeline.num_frames} frames and none of those asked for; change --frames.")
    return [structure_from_data(pipeline.compute(frame), species=species) for frame in chosen]


def _budget(model: UleModel, structure: Structure) -> tuple[EnergyBudget, str]:
    """With why not to trust it, if so."""
    prediction = model.predict(structure)
    doubts = {
        "another composition than the model was trained on": not prediction.same_composition,
        "an energy that no training sample has": not prediction.energy_in_range,
        "unlike the training samples as a whole": prediction.sample_extrapolation > 1,
    }
    return model.budget(structure, prediction), ", ".join(name for name, holds in doubts.items() if holds)


def told(names: tuple[str, str], budgets: tuple[EnergyBudget, EnergyBudget], found: Difference) -> str:
    """The difference in words, then the environments that matter most, as a table."""
    total, shares, energies = (1000 * float(part.values.sum()) for part in (found.total, *_parts(found)))
    error = 1000 * float(found.total.errors)
    lines = [
        f"{names[0]} minus {names[1]}: {total:+.2f} ± {error:.2f} meV/atom, of which {shares:+.2f} from other shares "
        f"of environments, {energies:+.2f} from other energies of atoms in the same environment"
        + (f", {1000 * found.from_composition:+.2f} from composition." if abs(found.from_composition) > 1e-9 else "."),
        "",
        f"{'environment':<18} {'share (%)':>15} {'energy (meV)':>15} {'from shares':>15} {'from energies':>15}",
    ]
    for name, *cells in difference_rows(budgets, found):
        lines.append(" ".join([f"{name:<18}", *(f"{cell:>15}" for cell in cells)]).rstrip())
    return "\n".join(
        [*lines, "", "Shares and energies are those of both; the last two columns are in meV/atom and add up."]
    )


def difference_rows(budgets: tuple[EnergyBudget, EnergyBudget], found: Difference) -> list[list[str]]:
    """Environments that matter most, and the others together: name, both shares (%), both energies (meV), both parts.

    Parts in the difference, from shares and from energies, are in meV/atom and add up.
    """
    rows = []
    for row in _order(found)[:SHOWN]:
        both = [_pair(1, [_percent(budget.shares, row) for budget in budgets])]
        both.append(_pair(0, [1000 * budget.energies.values[row] for budget in budgets]))
        parts = [f"{1000 * part.values[row]:+.2f} ± {1000 * part.errors[row]:.2f}" for part in _parts(found)]
        rows.append([found.names[row], *both, *parts])
    rest = _order(found)[SHOWN:]
    if len(rest):
        sums = [f"{1000 * part.values[rest].sum():+.2f}" for part in _parts(found)]
        rows.append([f"{len(rest)} others", "", "", *sums])
    return rows


def draw_difference(
    names: tuple[str, str], budgets: tuple[EnergyBudget, EnergyBudget], found: Difference, folder: Path
) -> list[Path]:
    """``stability.png`` and ``stability.csv`` in the folder, which is made if it is not there."""
    folder.mkdir(parents=True, exist_ok=True)
    order = _order(found)
    figure, (left, right) = new_axes(9.0, 5.2, 1, 2, sharey=True)
    energies = zip(names, [_scaled(budget.energies, 1000) for budget in budgets], COLOURS, strict=False)
    _bars(left, list(energies), order)
    left.set_xlabel("mean energy of its atoms above typical (meV)")
    parts = [_scaled(part, 1000) for part in _parts(found)]
    _bars(right, list(zip(("other shares", "other energies"), parts, COLOURS[2:], strict=False)), order)
    right.set_xlabel("part in the difference (meV/atom)")
    left.set_yticks(range(len(order[:SHOWN])), [found.names[row] for row in order[:SHOWN]])
    left.set_ylabel("environment (Voronoi faces with 3, 4, 5, 6 edges)")
    left.invert_yaxis()
    total = _scaled(found.total, 1000)
    figure.suptitle(f"{names[0]} − {names[1]}: {float(total.values):+.2f} ± {float(total.errors):.2f} meV/atom")
    table: dict[str, Sequence[object]] = {"environment": found.names}
    for name, budget in zip(names, budgets, strict=True):
        table |= _columns(f"share of {name} (%)", _scaled(budget.shares, 100))
        table |= _columns(f"mean energy of {name} (meV)", _scaled(budget.energies, 1000))
    table |= _columns("from shares (meV/atom)", _scaled(found.from_shares, 1000))
    table |= _columns("from energies (meV/atom)", _scaled(found.from_energies, 1000))
    return [save_figure(figure, folder / "stability.png"), save_table(table, folder / "stability.csv")]


def _bars(axis: Axes, groups: list[tuple[str, Estimate, str]], order: Sequence[int]) -> None:
    shown = np.asarray(order[:SHOWN])
    for number, (name, (values, errors), colour) in enumerate(groups):
        places = np.arange(len(shown)) + (number - 0.5) * 0.4
        axis.barh(places, values[shown], 0.4, xerr=errors[shown], color=colour, label=name, error_kw={"lw": 0.8})
    axis.axvline(0, color="black", lw=0.8)
    axis.legend(fontsize=8, loc="lower left", bbox_to_anchor=(0, 1), ncols=2, frameon=False)


def _columns(name: str, estimate: Estimate) -> dict[str, Sequence[object]]:
    return {name: estimate.values.tolist(), f"error of {name}": estimate.errors.tolist()}


def _order(found: Difference) -> list[int]:
    """Rows, those that matter most first."""
    return np.argsort(-np.abs(found.by_environment), kind="stable").tolist()


def _parts(found: Difference) -> tuple[Estimate, Estimate]:
    return found.from_shares, found.from_energies


def _scaled(estimate: Estimate, factor: float) -> Estimate:
    return Estimate(factor * estimate.values, factor * estimate.errors)


def _percent(estimate: Estimate, row: int) -> float:
    return float(100 * estimate.values[row])


def _pair(digits: int, values: list[float]) -> str:
    return ", ".join(f"{value:.{digits}f}" for value in values)
