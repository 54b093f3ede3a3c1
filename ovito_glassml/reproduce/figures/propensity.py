"""What a model of propensity has learned, which shells and which species make an atom mobile; and studies of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from numpy.typing import NDArray
from scipy.stats import sem

from ovito_glassml.learn.propensity.evaluate import GROUPS_TITLE, neighbour_effects
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.study.steps import Numbers
from ovito_glassml.workflow.plotting import COLOURS, Columns, new_axes, save_figure, save_table

__all__ = ["draw_propensity_figures", "draw_propensity_study"]

#: Shortest distance of the curves, in nearest-neighbour distances: below there are hardly any pairs.
SHORTEST = 0.8
PANELS_IN_A_ROW = 3


def draw_propensity_figures(model: PropensityModel, folder: Path) -> list[Path]:
    """What one more neighbour adds, by distance, species and where it is counted; what each group adds to R.

    Parameters
    ----------
    model : PropensityModel
    folder : Path

    Returns
    -------
    list of Path
        PNG and CSV.
    """
    folder.mkdir(parents=True, exist_ok=True)
    nearest = model.descriptor.nearest
    distances = np.linspace(SHORTEST * nearest, model.descriptor.cutoff, 200)
    effects = neighbour_effects(model, distances)
    rows = -(-(len(effects) + 1) // PANELS_IN_A_ROW)
    figure, axes = new_axes(4.0 * PANELS_IN_A_ROW, 3.2 * rows, rows, PANELS_IN_A_ROW, squeeze=False)
    panels, table = iter(axes.ravel()), Columns()
    unit = str(model.header.output["unit"])
    for where, curves in effects.items():
        axis = next(panels)
        for colour, (name, values) in zip(COLOURS, curves.items(), strict=False):
            axis.plot(distances / nearest, values, color=colour, label=f"{name} at this distance")
            table.add(counted=where, neighbour=name, distance=distances / nearest, effect=values)
        axis.axhline(0, color="0.6", lw=0.8)
        axis.set(
            title=where, xlabel="distance / nearest-neighbour distance", ylabel=f"one more neighbour adds ({unit})"
        )
    axes[0, 0].legend(fontsize=8)
    _draw_groups(next(panels), model)
    for axis in panels:
        axis.set_axis_off()
    return [save_figure(figure, folder / "propensity.png"), save_table(table, folder / "propensity.csv")]


def _draw_groups(axis: Axes, model: PropensityModel) -> None:
    """Bars of what R loses without each group of features, as the card says."""
    found = [table for table in model.header.results if table.title == GROUPS_TITLE]
    if not found:
        axis.set_axis_off()
        return
    names, _, lost, error = zip(*found[0].rows, strict=True)
    places = np.arange(len(names))
    axis.barh(places, lost, xerr=error, color=COLOURS[2])
    axis.set_yticks(places, names, fontsize=8)
    axis.invert_yaxis()
    axis.set(title="what each group adds", xlabel="R lost without it")


def draw_propensity_study(results: Mapping[str, Numbers], folder: Path) -> list[Path]:
    """R against what was varied.

    Parameters
    ----------
    results : mapping
        Of the steps of `study.propensity`.
    folder : Path

    Returns
    -------
    list of Path
        PNG and CSV.
    """
    base, table = results["base"], Columns()
    cutoffs = sorted(name for name in results if name.startswith("cutoff-"))
    figure, axes = new_axes(12.6, 6.6, 2, 3)
    panels = iter(axes.ravel())
    lengths = [float(name.removeprefix("cutoff-")) for name in cutoffs]
    lines: list[tuple[str, Any, Any]] = []
    lines.append(("cutoff (nearest-neighbour distances)", lengths, [results[name]["r"] for name in cutoffs]))
    lines.append(("averages", base["averages"], base["generations"]))
    lines.append(("configurations learned from", results["configurations"]["sizes"], results["configurations"]["r"]))
    if "runs" in results:
        lines.append(("runs behind a label", results["runs"]["counts"], results["runs"]["r"]))
    for what, places, rows in lines:
        axis = next(panels)
        mean, error = _summary(np.array(rows))
        axis.errorbar(places, mean, error, fmt="o-", color=COLOURS[0])
        axis.set(xlabel=what, ylabel="R on configurations left out", xticks=places)
        table.add(varied=what, value=list(map(float, places)), r=mean, standard_error=error)
    others = {"all features": base["r"], "with angles": results["angles"]["r"]}
    others |= {f"without {name}": row for name, row in zip(base["names"].tolist(), base["without"], strict=True)}
    others |= {"thermal positions": results["thermal"]["r"]} if "thermal" in results else {}
    others |= {name.replace("label-", "label "): row["r"] for name, row in results.items() if name.startswith("label-")}
    axis = next(panels)
    mean, error = _summary(np.array(list(others.values())))
    axis.barh(np.arange(len(others)), mean, xerr=error, color=COLOURS[2])
    axis.set_yticks(np.arange(len(others)), list(others), fontsize=8)
    axis.invert_yaxis()
    axis.set(xlabel="R on configurations left out", xlim=(max(0.0, float(mean.min()) - 0.1), None))
    table.add(varied="features", value=list(others), r=mean, standard_error=error)
    for axis in panels:
        axis.set_axis_off()
    return [save_figure(figure, folder / "propensity-study.png"), save_table(table, folder / "propensity-study.csv")]


def _summary(rows: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any]]:
    """Mean over configurations and its standard error, a row each."""
    return rows.mean(axis=1), sem(rows, axis=1)
