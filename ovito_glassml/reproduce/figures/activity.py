"""The figures of a study of who rearranges, from its numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from ovito_glassml.labels.activity import ACTIVE, INACTIVE
from ovito_glassml.study.activity import ActivityStudy, feature_blocks, order_ends
from ovito_glassml.study.steps import Numbers
from ovito_glassml.workflow.plotting import COLOURS, Columns, new_axes, save_figure, save_table

__all__ = [
    "draw_accuracy",
    "draw_activity_figures",
    "draw_distributions",
    "draw_learning",
    "draw_maps",
    "draw_propensity",
    "draw_regression",
    "draw_replicas",
    "draw_selection",
    "draw_transform",
]

Results = Mapping[str, Mapping[str, Numbers]]

ACCURACY = "balanced accuracy on configurations left out"
#: What the two kinds of atoms look like in every figure.
_KIND_COLOURS = {ACTIVE: COLOURS[1], INACTIVE: COLOURS[0]}
_KIND_NAMES = {ACTIVE: "active", INACTIVE: "inactive"}


def draw_activity_figures(study: ActivityStudy, results: Results, folder: Path) -> list[Path]:
    """Draw all figures as PNG with their numbers beside them as CSV.

    Parameters
    ----------
    study : ActivityStudy
    results : mapping
        As `run_study` returns.
    folder : Path
        Made if it is not there.

    Returns
    -------
    list of Path
        Everything written. Runs, displacements and propensities are drawn for groups that have them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = draw_accuracy(study, results, folder)
    written += draw_transform(study, results, folder)
    written += draw_selection(study, results, folder)
    written += draw_learning(results, folder)
    written += draw_distributions(results, folder)
    written += draw_maps(study, results, folder)
    for name, draw in (("replicas", draw_replicas), ("regression", draw_regression), ("propensity", draw_propensity)):
        having = {group: numbers for group, numbers in results.items() if name in numbers}
        if having:
            written += draw(having, folder)
    return written


def draw_accuracy(study: ActivityStudy, results: Results, folder: Path) -> list[Path]:
    """Accuracy against the number of features in body order, a curve for each cutoff."""
    figure, axes = _panels(results, 6.4, 4.6)
    blocks = feature_blocks(study.descriptor(study.cutoff))
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        for colour, cutoff in zip(_shades(len(study.cutoffs)), study.cutoffs, strict=True):
            table = numbers[f"accuracy-{cutoff:g}"]
            _curve(axis, table["features"], table, f"cutoff {cutoff:g} $r_0$", colour)
            features, scores = table["features"], {name: table[name] for name in (*_SCORES, "strength")}
            bodies = [_bodies_of(int(count), blocks) for count in features]
            columns.add(group=group, cutoff_r0=cutoff, features=features, bodies=bodies, **scores)
        axis.set(xscale="log", xlabel="number of features, in body order", title=group)
        _mark_orders(axis, blocks, study.species)
        axis.legend(frameon=False, loc="lower right")
    axes[0].set_ylabel(ACCURACY)
    return [save_figure(figure, folder / "accuracy.png"), save_table(columns, folder / "accuracy.csv")]


def draw_transform(study: ActivityStudy, results: Results, folder: Path) -> list[Path]:
    """Distances scaled by the nearest-neighbour distance against distances scaled by the cutoff."""
    figure, axes = _panels(results, 5.0, 4.0)
    ends = order_ends(study.descriptor(study.cutoff))
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        tables = {"r0": numbers[f"accuracy-{study.cutoff:g}"], "rc": numbers["transform"]}
        for shift, colour, (name, table) in zip((-0.08, 0.08), COLOURS, tables.items(), strict=False):
            rows = [int(np.flatnonzero(table["features"] == end)[0]) for end in ends.values()]
            values = {key: table[key][rows] for key in ("features", *_SCORES)}
            label = "$y(r/r_0)$, default" if name == "r0" else "$y(r/r_c)$, as printed"
            _curve(axis, np.arange(len(ends)) + shift, values, label, colour, "o")
            columns.add(group=group, scaled_by=name, bodies=list(ends), **values)
        axis.set_xticks(range(len(ends)), [f"up to {bodies}" for bodies in ends])
        axis.set(xlabel="bodies", title=f"{group}, cutoff {study.cutoff:g} $r_0$")
        axis.legend(frameon=False)
    axes[0].set_ylabel(ACCURACY)
    return [save_figure(figure, folder / "transform.png"), save_table(columns, folder / "transform.csv")]


def draw_selection(study: ActivityStudy, results: Results, folder: Path) -> list[Path]:
    """Accuracy against the number of features chosen one after the other, beside other orders."""
    figure, axes = _panels(results, 6.4, 4.8)
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        chosen = numbers["selection"]
        ordered = numbers[f"accuracy-{study.cutoff:g}"]
        curves = {
            "selected among radial": (chosen, "radial_"),
            "selected among all": (chosen, "all_"),
            "principal components": (chosen, "pca_"),
            "body order": (ordered, ""),
        }
        for colour, (name, (table, prefix)) in zip(COLOURS, curves.items(), strict=False):
            values = {key: table[f"{prefix}{key}"] for key in ("features", *_SCORES)}
            _curve(axis, values["features"], values, name, colour)
            added = chosen.get(f"{prefix}order", "") if prefix else ""
            columns.add(group=group, order=name, features=values.pop("features"), added=added, **values)
        names = ", ".join(chosen["radial_order"][:6])
        axis.set(xscale="log", xlabel="number of features", title=f"{group}: {names} …")
        axis.legend(frameon=False, loc="lower right")
    axes[0].set_ylabel(ACCURACY)
    return [save_figure(figure, folder / "selection.png"), save_table(columns, folder / "selection.csv")]


def draw_learning(results: Results, folder: Path) -> list[Path]:
    """Accuracy against the number of configurations trained on."""
    figure, axes = _panels(results, 5.4, 4.2)
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        table = numbers["learning"]
        for colour, bodies in zip(COLOURS, np.unique(table["bodies"]), strict=False):
            chosen = table["bodies"] == bodies
            values = {key: table[key][chosen] for key in _SCORES}
            _curve(axis, table["configurations"][chosen], values, f"up to {bodies} bodies", colour)
        columns.add(group=group, **{name: table[name] for name in ("bodies", "configurations", "atoms", *_SCORES)})
        each = table["atoms"][-1] / table["configurations"][-1]
        axis.set(xlabel=f"training configurations ({each:.0f} labelled atoms each)", title=group)
        axis.legend(frameon=False, loc="lower right")
    axes[0].set_ylabel(ACCURACY)
    return [save_figure(figure, folder / "learning.png"), save_table(columns, folder / "learning.csv")]


def draw_replicas(results: Results, folder: Path) -> list[Path]:
    """Accuracy against the number of runs behind every label."""
    figure, axes = _panels(results, 5.4, 4.2)
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        table = numbers["replicas"]
        _curve(axis, table["replicas"], table, "trained on and judged by labels of so many runs", COLOURS[0])
        most = table["replicas"][-1]
        label = f"the same, judged by labels of all {most} runs"
        axis.plot(table["replicas"], table["against_all"], "s--", ms=4, color=COLOURS[1], label=label)
        axis.set(xscale="log", xlabel="runs behind the mean D²min", title=group)
        axis.set_xticks(table["replicas"], [str(count) for count in table["replicas"]], minor=False)
        axis.minorticks_off()
        axis.legend(frameon=False, loc="lower right")
        columns.add(group=group, **{name: table[name] for name in ("replicas", *_SCORES, "against_all", "reliability")})
    axes[0].set_ylabel(ACCURACY)
    return [save_figure(figure, folder / "replicas.png"), save_table(columns, folder / "replicas.csv")]


def draw_regression(results: Results, folder: Path) -> list[Path]:
    """Correlation of D²min with its ARD regression against the number of features in body order."""
    figure, axis = new_axes(6.0, 4.2)
    columns = Columns()
    for colour, (group, numbers) in zip(COLOURS, results.items(), strict=False):
        table = numbers["regression"]
        _curve(axis, table["features"], table, group, colour, quantity="correlation")
        columns.add(group=group, **{name: table[name] for name in ("features", "correlation", "error")})
    axis.set(xscale="log", xlabel="number of features, in body order")
    axis.set_ylabel("Pearson R of log D²min and its ARD regression,\nmean of configurations left out")
    axis.legend(frameon=False, loc="lower right")
    return [save_figure(figure, folder / "regression.png"), save_table(columns, folder / "regression.csv")]


def draw_distributions(results: Results, folder: Path) -> list[Path]:
    """Histograms of the first radial descriptor of every species for active and inactive atoms."""
    species = len(next(iter(results.values()))["distributions"]["names"])
    figure, axes = new_axes(4.8 * species, 3.6 * len(results), len(results), species, squeeze=False)
    columns = Columns()
    for line, (group, numbers) in zip(axes, results.items(), strict=True):
        table = numbers["distributions"]
        for axis, name, values in zip(line, table["names"], table["values"].T, strict=True):
            edges = np.histogram_bin_edges(values, 40)
            densities = {}
            for kind, colour in _KIND_COLOURS.items():
                densities[kind], _ = np.histogram(values[table["labels"] == kind], edges, density=True)
                axis.stairs(densities[kind], edges, color=colour, fill=True, alpha=0.3)
                axis.stairs(densities[kind], edges, color=colour, lw=1.5, label=_KIND_NAMES[kind])
            axis.set(xlabel=f"{name} (more negative: more, closer neighbours)", ylabel="probability density")
            axis.set_title(group)
            axis.legend(frameon=False)
            middles = 0.5 * (edges[1:] + edges[:-1])
            shown = {"active_density": densities[ACTIVE], "inactive_density": densities[INACTIVE]}
            columns.add(group=group, descriptor=name, value=middles, **shown)
    return [save_figure(figure, folder / "distributions.png"), save_table(columns, folder / "distributions.csv")]


def draw_maps(study: ActivityStudy, results: Results, folder: Path) -> list[Path]:
    """A slice of one structure of every group: the active species by D²min, labelled atoms ringed, the others small."""
    figure, axes = _panels(results, 6.2, 5.8)
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        table = numbers["map"]
        values = np.log10(np.maximum(table["displacement"], 1e-8))
        classified = table["species"] == study.active_species
        known = values[classified & np.isfinite(values)]
        limits = Normalize(*np.percentile(known, [2, 98])) if len(known) else Normalize(0, 1)
        nothing = np.full(len(values), np.nan)
        _circles(axis, table, nothing, ~classified, 0.45 * study.nearest, limits)
        for kind in (table["activity"] < 0, table["activity"] >= 0):  # rings above the others
            _circles(axis, table, values, classified & kind, 0.9 * study.nearest, limits)
        axis.autoscale_view()
        axis.set(title=group, aspect="equal")
        axis.set(xlabel="x (length unit of the file)", ylabel="y (length unit of the file)")
        if len(known):
            bar = figure.colorbar(ScalarMappable(limits, "Greys"), ax=axis, extend="both", shrink=0.8)
            bar.set_label("log10 of D²min (squared length unit)")
        places = dict(zip("xyz", table["positions"].T, strict=True))
        known_of = {"D2min": table["displacement"], "activity": table["activity"]}
        columns.add(group=group, id=table["id"], species=table["species"], **places, **known_of)
    handles = [
        Line2D([], [], marker="o", ls="", ms=9, mfc="none", mew=2.5, mec=colour, label=_KIND_NAMES[kind])
        for kind, colour in _KIND_COLOURS.items()
    ]
    figure.legend(handles=handles, loc="outside upper center", ncols=2, frameon=False)
    return [save_figure(figure, folder / "maps.png"), save_table(columns, folder / "maps.csv")]


def draw_propensity(results: Results, folder: Path) -> list[Path]:
    """D²min against the distance that the atoms themselves move, on average over the runs."""
    figure, axes = _panels(results, 5.2, 4.6)
    columns = Columns()
    for axis, (group, numbers) in zip(axes, results.items(), strict=True):
        table = numbers["propensity"]
        positive = (table["displacement"] > 0) & (table["propensity"] > 0)
        x, y = table["propensity"][positive], table["displacement"][positive]
        axis.hexbin(x, y, xscale="log", yscale="log", gridsize=60, bins="log", mincnt=1, cmap="viridis")
        axis.set(xlabel="propensity (length unit of the file)", ylabel="mean D²min (squared length unit)")
        axis.tick_params(axis="both", which="minor", labelbottom=False, labelleft=False)
        axis.set_title(f"{group}, Pearson R = {table['pearson'].mean():.2f}")
        columns.add(group=group, D2min=table["displacement"], propensity=table["propensity"])
    return [save_figure(figure, folder / "propensity.png"), save_table(columns, folder / "propensity.csv")]


_SCORES = ("accuracy", "error")


def _panels(results: Sequence[Any] | Mapping, width: float, height: float) -> tuple[Figure, NDArray]:
    """A panel for each group, side by side."""
    figure, axes = new_axes(width * len(results), height, 1, len(results))
    return figure, np.atleast_1d(axes)


def _curve(
    axis: Axes,
    x: NDArray,
    table: Mapping[str, NDArray],
    label: str,
    colour: Any,
    style: str = "o-",
    quantity: str = "accuracy",
) -> None:
    axis.errorbar(x, table[quantity], table["error"], fmt=style, ms=4, lw=1, capsize=2, color=colour, label=label)


def _shades(count: int) -> list[Any]:
    """One colour after the other for values in their order, however many there are."""
    return list(COLOURS[:count]) if count <= len(COLOURS) else [str(0.7 * k / count) for k in range(count)]


def _mark_orders(axis: Axes, blocks: Sequence[tuple[int, bool, int]], species: Sequence[str]) -> None:
    """Where a body order begins, and within it where other species than the first come in."""
    starts = [1, *(end + 1 for *_, end in blocks[:-1])]
    texts = []
    for start, (bodies, alone, _) in zip(starts, blocks, strict=True):
        axis.axvline(start, color="0.5", lw=1.0, ls="-" if alone else ":", zorder=0)
        texts.append(f"{bodies}-body {species[0]}" if alone else f"+ {', '.join(species[1:])}")
    top = axis.secondary_xaxis("top")
    top.set_xticks(starts, texts, rotation=45, ha="left", rotation_mode="anchor", fontsize=8, minor=False)
    top.tick_params(which="minor", top=False)


def _bodies_of(count: int, blocks: Sequence[tuple[int, bool, int]]) -> int:
    return next(bodies for bodies, _, end in blocks if count <= end)


def _circles(
    axis: Axes, table: Numbers, values: NDArray, chosen: NDArray[np.bool_], diameter: float, limits: Normalize
) -> None:
    """Some atoms of a map; labelled ones have a ring, those of unknown value are as white as the smallest."""
    sizes = np.full(np.count_nonzero(chosen), diameter)
    labels = table["activity"][chosen]
    circles = EllipseCollection(
        sizes, sizes, np.zeros(len(sizes)), units="xy", offsets=table["positions"][chosen, :2],
        offset_transform=axis.transData, cmap="Greys", norm=limits, linewidths=np.where(labels >= 0, 2.5, 0.4),
        edgecolors=[_KIND_COLOURS.get(int(kind), "0.5") for kind in labels],
    )  # fmt: skip
    shades = values[chosen]
    circles.set_array(np.where(np.isfinite(shades), shades, float(limits.vmin or 0.0)))
    axis.add_collection(circles)
