"""The main job from end to end: a glass, its predicted and its measured stiffness, a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from ovito.data import DataCollection

from ovito_glassml.adapter.files import annotate
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.render import RenderingUnavailable, render_property
from ovito_glassml.modifiers.predicted_stiffness import PredictedStiffnessModifier
from ovito_glassml.modifiers.registry import STIFFNESS_GLASS
from ovito_glassml.neighbours import average_within
from ovito_glassml.workflow.plotting import new_figure, save_figure
from ovito_glassml.workflow.sample_data import sample_file

__all__ = ["DEMO_GLASS", "draw_comparison", "run_demo"]

#: A Cu50Zr50 glass quenched at 10^12 K/s that no shipped model was trained on.
DEMO_GLASS = STIFFNESS_GLASS

COARSE_GRAINING_RADIUS = 6.0  # Å, the modifier's default

#: Å; two atomic layers or so, thin enough to see every atom.
SLAB_WIDTH = 5.0

PANELS = (("Stiffness", "measured"), ("Predicted Stiffness", "predicted"))


def run_demo(output: Path, progress: Callable[[float, str], None]) -> str:
    """Predict the stiffness of the shipped glass, compare, draw; return the report.

    Parameters
    ----------
    output : Path
        Folder for ``stiffness.png`` and ``glass.xyz``; made if it is not there.
    progress : callable
        Fraction and text.
    """
    output.mkdir(parents=True, exist_ok=True)
    source = sample_file(DEMO_GLASS)
    modifier = PredictedStiffnessModifier()
    frames: list[DataCollection] = []
    progress(0.05, "Predicting stiffness")
    annotate([source], [modifier], output / "glass.xyz", on_frame=lambda done, total, data: frames.append(data))
    data = frames[0]
    progress(0.4, "Drawing")
    picture, remark = draw_comparison(data, output / "stiffness.png")
    progress(1.0, "Done")
    return "\n".join([*_scores(data, modifier.model), "", *remark, *_next_steps(output, picture)])


def draw_comparison(data: DataCollection, file: Path) -> tuple[Path, list[str]]:
    """Measured beside predicted stiffness with one colour bar; returns the file and remarks.

    OVITO renders where it can; elsewhere a slice is plotted.
    """
    values = np.concatenate([np.asarray(data.particles[name]) for name, _ in PANELS])
    limits = tuple(float(limit) for limit in np.nanpercentile(values, [2, 98]))
    try:
        images = [
            [render_property(data, name, limits, slab_width=width) for name, _ in PANELS]  # type: ignore[arg-type]
            for width in (None, SLAB_WIDTH)
        ]
    except RenderingUnavailable as error:
        figure = _plotted_slice(data, limits)  # type: ignore[arg-type]
        remark = [f"{error}", "So the picture shows a plotted slice.", ""]
    else:
        figure, remark = _rendered(images, limits), []  # type: ignore[arg-type]
    return save_figure(figure, file), remark


def _rendered(images: list[list[NDArray]], limits: tuple[float, float]) -> Figure:
    figure = new_figure(9.6, 9.0)
    axes = figure.subplots(2, 2)
    for row, (pictures, view) in enumerate(zip(images, ("all atoms", f"slice of {SLAB_WIDTH:g} Å"), strict=True)):
        for axis, picture, (_, title) in zip(axes[row], _cropped(pictures), PANELS, strict=True):
            axis.imshow(picture)
            axis.set_title(f"{title} stiffness, {view}")
            axis.axis("off")
    _colour_bar(figure, axes.ravel().tolist(), limits)
    return figure


def _cropped(pictures: list[NDArray]) -> list[NDArray]:
    """The same part of every picture, without the empty margin common to all."""
    visible = np.any([picture[..., 3] > 0 for picture in pictures], axis=0)
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return [picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] for picture in pictures]


def _plotted_slice(data: DataCollection, limits: tuple[float, float]) -> Figure:
    positions = np.asarray(data.particles.positions)
    middle = data.cell[2, 3] + data.cell[2, 2] / 2
    shown = np.flatnonzero(np.abs(positions[:, 2] - middle) < SLAB_WIDTH / 2)
    shown = shown[np.argsort(positions[shown, 2])]
    figure = new_figure(11.0, 5.2)
    axes = figure.subplots(1, 2, sharey=True)
    for axis, (name, title) in zip(axes, PANELS, strict=True):
        diameter = np.full(len(shown), 2.4)
        circles = EllipseCollection(
            diameter, diameter, np.zeros(len(shown)), units="xy", offsets=positions[shown, :2], edgecolors="0.3",
            offset_transform=axis.transData, cmap="viridis", norm=Normalize(*limits),
        )  # fmt: skip
        circles.set_array(np.asarray(data.particles[name])[shown])
        axis.add_collection(circles)
        axis.autoscale_view()
        axis.set(title=f"{title} stiffness, slice of {SLAB_WIDTH:g} Å", xlabel="x (Å)", aspect="equal")
    axes[0].set_ylabel("y (Å)")
    _colour_bar(figure, list(axes), limits)
    return figure


def _colour_bar(figure: Figure, axes: list[Any], limits: tuple[float, float]) -> None:
    mappable = ScalarMappable(Normalize(*limits), "viridis")
    bar = figure.colorbar(mappable, ax=axes, shrink=0.7, extend="both")
    bar.set_label("stiffness (eV/Å²): dark is soft, bright is stiff")


def _scores(data: DataCollection, model: str) -> list[str]:
    measured = np.asarray(data.particles["Stiffness"])
    predicted = np.asarray(data.particles["Predicted Stiffness"])
    coarse = np.asarray(data.particles["Predicted Stiffness Coarse"])
    measured_coarse = average_within(structure_from_data(data), measured, COARSE_GRAINING_RADIUS)
    score = np.corrcoef(measured, predicted)[0, 1]
    coarse_score = np.corrcoef(measured_coarse, coarse)[0, 1]
    species = ", ".join(f"{kind.name}" for kind in data.particles.particle_types.types)
    return [
        f"{len(measured)} atoms ({species}), model {model}, a glass the model was not trained on.",
        f"Measured stiffness:  mean {measured.mean():.3f}, spread {measured.std():.3f} eV/Å²",
        f"Predicted stiffness: mean {predicted.mean():.3f}, spread {predicted.std():.3f} eV/Å²",
        f"Pearson correlation atom by atom:       {score:.2f}",
        f"Pearson correlation of {COARSE_GRAINING_RADIUS:g} Å averages: {coarse_score:.2f}",
        f"Atoms unlike the training data: {data.attributes['PredictedStiffness.extrapolating_fraction']:.1%}",
    ]


def _next_steps(output: Path, picture: Path) -> list[str]:
    return [
        f"Picture:         {picture}",
        f"Annotated atoms: {output / 'glass.xyz'} (open it in OVITO, colour by 'PredictedStiffness')",
        "Your own glass:  glassml apply FILE --modifier stiffness --species Cu,Zr -o soft.xyz",
        "How far to trust it: glassml models show stiffness-cuzr",
    ]
