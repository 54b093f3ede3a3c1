"""The figures behind the predicted stiffness, from shipped samples and models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ovito_glassml.learn.evaluation import parity
from ovito_glassml.learn.stiffness.data import LabelledSample
from ovito_glassml.learn.stiffness.evaluate import (
    COARSE_RADIUS,
    SampleScore,
    extreme_rdfs,
    radius_scan,
    score_sample,
)
from ovito_glassml.learn.stiffness.model import StiffnessModel, StiffnessPrediction
from ovito_glassml.learn.stiffness.train import train
from ovito_glassml.neighbours import average_within
from ovito_glassml.progress import Report, nth_of, span_of
from ovito_glassml.workflow.plotting import COLOURS, Columns, grouped_bars, new_axes, save_figure, save_table

__all__ = ["draw_maps", "draw_parity", "draw_radius_scan", "draw_rdfs", "draw_stiffness_figures", "draw_transfer"]


#: Å; the thickness of the slice that maps show.
SLAB_WIDTH = 3.0
ATOM_DIAMETER = 2.6  # Å


def draw_stiffness_figures(
    training: Sequence[LabelledSample],
    testing: Sequence[LabelledSample],
    models: Mapping[str, StiffnessModel],
    folder: Path,
    progress: Report,
) -> list[Path]:
    """Draw all figures as PNG with their numbers beside them as CSV.

    Parameters
    ----------
    training : sequence of LabelledSample
        For the transfer between cooling rates, which trains models of its own. Samples of one
        rate share the text of their name up to the last hyphen.
    testing : sequence of LabelledSample
        Samples that no model was trained on; all other figures show these.
    models : mapping of name to StiffnessModel
        The first one is drawn where a figure has room for one.
    folder : Path
        Made if it is not there.
    progress : callable
        Fraction and text.

    Returns
    -------
    list of Path
        Everything written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress(0.0, "Predicting")
    predictions = {name: [model.predict(sample.structure) for sample in testing] for name, model in models.items()}
    first = next(iter(models))
    written = draw_parity(testing, predictions, folder)
    progress(0.2, "Radial distribution functions")
    written += draw_rdfs(testing, predictions[first], folder)
    progress(0.3, "Coarse-graining")
    written += draw_radius_scan(testing, predictions, folder)
    written += draw_maps(testing[-1], predictions[first][-1], folder)

    return written + draw_transfer(training, testing, folder, span_of(progress, 0.4, 1.0))


def draw_parity(
    samples: Sequence[LabelledSample], predictions: Mapping[str, Sequence[StiffnessPrediction]], folder: Path
) -> list[Path]:
    """Measured against predicted stiffness in bins of 100 atoms sorted by prediction."""
    figure, axes = new_axes(5.0 * len(predictions), 4.6, 1, len(predictions), sharex=True, sharey=True, squeeze=False)
    columns = Columns()
    for axis, (name, results) in zip(axes[0], predictions.items(), strict=True):
        for colour, sample, result in zip(COLOURS, samples, results, strict=False):
            bins = parity(result.stiffness, sample.stiffness)
            correlation = np.corrcoef(result.stiffness, sample.stiffness)[0, 1]
            label = f"{_short(sample.name)}, R = {correlation:.2f} by atom"
            style = {"fmt": "o", "ms": 4, "color": colour, "elinewidth": 0.8}
            axis.errorbar(bins["predicted"], bins["measured"], bins["standard_error"], label=label, **style)
            points = {f"{key}_eV_per_A2": bins[key] for key in ("predicted", "measured")}
            columns.add(model=name, sample=sample.name, **points)
        axis.axline((0.7, 0.7), slope=1, color="0.6", lw=1, zorder=0)
        axis.set(title=name, xlabel="mean predicted stiffness (eV/Å²)")
        axis.legend(frameon=False, loc="upper left")
    axes[0, 0].set_ylabel("mean measured stiffness (eV/Å²)")
    figure.suptitle("Glasses never trained on; each point is 100 atoms, the bar its standard error")
    return [save_figure(figure, folder / "parity.png"), save_table(columns, folder / "parity.csv")]


def draw_rdfs(
    samples: Sequence[LabelledSample], predictions: Sequence[StiffnessPrediction], folder: Path
) -> list[Path]:
    """Radial distribution functions about the tenth of atoms that is stiffest and softest."""
    collected: list[dict[str, NDArray]] = []
    for sample, prediction in zip(samples, predictions, strict=True):
        values = {"measured": sample.stiffness, "predicted": prediction.stiffness}
        radii, functions = extreme_rdfs(sample.structure, values)
        collected.append(functions)
    mean = {name: np.mean([functions[name] for functions in collected], axis=0) for name in collected[0]}
    figure, axis = new_axes(8.0, 4.6)
    axis.plot(radii, mean["all"], color="0.7", lw=3, label="all atoms")
    styles = {"measured": "-", "predicted": "--"}
    for colour, end in zip(COLOURS, ("stiffest", "softest"), strict=False):
        for name, line in styles.items():
            axis.plot(radii, mean[f"{name} {end}"], line, color=colour, label=f"{end} tenth, {name}")
    axis.set(xlabel="distance r (Å)", ylabel="radial distribution function g(r)", xlim=(2, 10), ylim=(0, None))
    axis.legend(frameon=False)
    table = {"r_A": radii, **{name.replace(" ", "_"): values for name, values in mean.items()}}
    return [save_figure(figure, folder / "rdf.png"), save_table(table, folder / "rdf.csv")]


def draw_radius_scan(
    samples: Sequence[LabelledSample], predictions: Mapping[str, Sequence[StiffnessPrediction]], folder: Path
) -> list[Path]:
    """Correlation of coarse-grained prediction and measurement against the radius of averaging."""
    figure, (left, right) = new_axes(9.6, 4.2, 1, 2)
    columns = Columns()
    for colour, (name, results) in zip(COLOURS, predictions.items(), strict=False):
        scans = [
            radius_scan(sample.structure, result.stiffness, sample.stiffness)
            for sample, result in zip(samples, results, strict=True)
        ]
        mean = {key: np.mean([scan[key] for scan in scans], axis=0) for key in scans[0]}
        left.plot(mean["radius"], mean["correlation"], "o-", color=colour, ms=4, label=name)
        right.plot(mean["radius"], mean["predicted_spread"], "o--", color=colour, ms=4, label=f"predicted, {name}")
        spread = {"measured_spread_eV_per_A2": mean["measured_spread"]}
        columns.add(model=name, radius_A=mean["radius"], correlation=mean["correlation"], **spread)
    right.plot(mean["radius"], mean["measured_spread"], "s-", color="0.3", ms=4, label="measured")
    for axis in (left, right):
        axis.axvline(COARSE_RADIUS, color="0.7", lw=1, zorder=0)
        axis.set_xlabel("coarse-graining radius (Å)")
        axis.legend(frameon=False)
    left.set_ylabel("Pearson R of averages, mean over samples")
    right.set_ylabel("standard deviation of averages (eV/Å²)")
    return [save_figure(figure, folder / "coarse_graining.png"), save_table(columns, folder / "coarse_graining.csv")]


def draw_maps(sample: LabelledSample, prediction: StiffnessPrediction, folder: Path) -> list[Path]:
    """Slices of one sample coloured by measured and predicted stiffness, as it is and coarse-grained."""
    structure = sample.structure
    middle = structure.origin[2] + np.asarray(structure.cell)[2, 2] / 2
    shown = np.flatnonzero(np.abs(structure.positions[:, 2] - middle) < SLAB_WIDTH / 2)
    shown = shown[np.argsort(structure.positions[shown, 2])]
    rows = {
        "atom by atom": (sample.stiffness, prediction.stiffness),
        f"mean within {COARSE_RADIUS:g} Å": (
            average_within(structure, sample.stiffness, COARSE_RADIUS),
            prediction.coarse,
        ),
    }
    figure, axes = new_axes(9.6, 8.4, 2, 2, sharex=True, sharey=True)
    for line, (text, pair) in zip(axes, rows.items(), strict=True):
        limits = Normalize(*np.nanpercentile(pair[0], [2, 98]))
        for axis, values, name in zip(line, pair, ("measured", "predicted"), strict=True):
            coloured_atoms(axis, structure.positions[shown, :2], values[shown], limits)
            axis.set_title(f"{name}, {text}")
        bar = figure.colorbar(ScalarMappable(limits, "viridis"), ax=list(line), extend="both")
        bar.set_label("stiffness (eV/Å²)")
    for axis in axes[1]:
        axis.set_xlabel("x (Å)")
    for axis in axes[:, 0]:
        axis.set_ylabel("y (Å)")
    table = {
        "id": structure.ids[shown],
        **{f"{axis}_A": structure.positions[shown, k] for k, axis in enumerate("xyz")},
        "measured_eV_per_A2": sample.stiffness[shown],
        "predicted_eV_per_A2": prediction.stiffness[shown],
        "measured_coarse_eV_per_A2": rows[f"mean within {COARSE_RADIUS:g} Å"][0][shown],
        "predicted_coarse_eV_per_A2": prediction.coarse[shown],
    }
    return [save_figure(figure, folder / "maps.png"), save_table(table, folder / "maps.csv")]


def coloured_atoms(axis: Axes, places: NDArray, values: NDArray, limits: Normalize) -> None:
    sizes = np.full(len(places), ATOM_DIAMETER)
    circles = EllipseCollection(
        sizes, sizes, np.zeros(len(places)), units="xy", offsets=places, offset_transform=axis.transData,
        edgecolors="0.3", linewidths=0.5, cmap="viridis", norm=limits,
    )  # fmt: skip
    circles.set_array(values)
    axis.add_collection(circles)
    axis.autoscale_view()
    axis.set_aspect("equal")


def draw_transfer(
    training: Sequence[LabelledSample], testing: Sequence[LabelledSample], folder: Path, progress: Report
) -> list[Path]:
    """Train on the samples of one cooling rate, test on every other, and on the same."""
    groups: dict[str, list[LabelledSample]] = {}
    for sample in training:
        groups.setdefault(_rate(sample.name), []).append(sample)
    groups["all"] = list(training)
    scores: dict[str, list[SampleScore]] = {}
    for number, (rate, samples) in enumerate(groups.items()):
        model = train(samples, progress=nth_of(progress, number, len(groups), f"Training on {rate}: "))
        scores[rate] = [score_sample(model, sample) for sample in testing]
    columns = Columns()
    for rate, row in scores.items():
        for score in row:
            numbers = {"R": score.correlation, "R_coarse": score.coarse, "bias_percent": 100 * score.bias}
            columns.add(trained_on=rate, tested_on=score.name, **numbers)
    return [_transfer_figure(scores, testing, folder), save_table(columns, folder / "transfer.csv")]


def _transfer_figure(
    scores: Mapping[str, Sequence[SampleScore]], testing: Sequence[LabelledSample], folder: Path
) -> Path:
    quantities = (
        ("correlation", "Pearson R by atom"),
        ("coarse", "Pearson R within 6 Å"),
        ("bias", "bias of the mean (%)"),
    )
    figure, axes = new_axes(11.0, 3.8, 1, 3)
    for axis, (name, label) in zip(axes, quantities, strict=True):
        unit = 100 if name == "bias" else 1
        bars = {f"trained on {rate}": [unit * getattr(score, name) for score in row] for rate, row in scores.items()}
        grouped_bars(axis, bars, COLOURS, filled=0.9)
        axis.set_xticks(np.arange(len(testing)), [_short(sample.name).replace("-", "\n", 1) for sample in testing])
        axis.set(ylabel=label, xlabel="tested on")
        axis.axhline(0, color="0.3", lw=0.8)
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, frameon=False, loc="outside upper center", ncols=len(labels))
    return save_figure(figure, folder / "transfer.png")


def _short(name: str) -> str:
    return name.removeprefix("vibrations-")


def _rate(name: str) -> str:
    """Samples of one history differ in the number after the last hyphen."""
    return _short(name).rpartition("-")[0]
