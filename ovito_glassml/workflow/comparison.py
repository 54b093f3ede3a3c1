"""A configuration in colours: one property, or several side by side on one scale."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.collections import EllipseCollection
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from numpy.typing import NDArray
from ovito.data import DataCollection

from ovito_glassml.adapter.colors import robust_range
from ovito_glassml.adapter.render import RenderingUnavailable, render_property
from ovito_glassml.workflow.plotting import new_figure, save_figure

__all__ = ["ATOM", "SLAB", "Scene", "draw_comparison", "draw_slice"]

#: Width of a slab, two atomic layers or so, thin enough to see every atom; and of an atom, in distances of neighbours.
SLAB, ATOM = 1.85, 0.9


@dataclass(frozen=True)
class Scene:
    """What is drawn.

    Attributes
    ----------
    panels : sequence of (property, title)
        Side by side on one scale of colours.
    label : str
        Of the colours, with unit.
    spacing : float
        Distance of nearest neighbours.
    length : str
        Symbol of the unit of length.
    """

    panels: Sequence[tuple[str, str]]
    label: str
    spacing: float = 2.7
    length: str = "Å"

    @property
    def slab(self) -> float:
        return float(f"{SLAB * self.spacing:.2g}")


def draw_comparison(data: DataCollection, file: Path, scene: Scene) -> tuple[Path, list[str]]:
    """All atoms and a slab of them, in the colours of the properties; returns the file and remarks.

    OVITO renders where it can; elsewhere a slice is plotted.
    """
    values = np.concatenate([np.asarray(data.particles[name]) for name, _ in scene.panels])
    limits = robust_range(values)
    try:
        images = [
            [render_property(data, name, limits, slab_width=width) for name, _ in scene.panels]
            for width in (None, scene.slab)
        ]
    except RenderingUnavailable as error:
        figure = _plotted_slice(data, limits, scene)
        remark = [f"{error}", "So the picture shows a plotted slice.", ""]
    else:
        figure, remark = _rendered(images, limits, scene), []
    return save_figure(figure, file), remark


def _rendered(images: list[list[NDArray]], limits: tuple[float, float], scene: Scene) -> Figure:
    figure = new_figure(4.8 * len(scene.panels), 9.0)
    axes = figure.subplots(2, len(scene.panels), squeeze=False)
    for row, (pictures, view) in enumerate(zip(images, ("all atoms", _slice(scene)), strict=True)):
        for axis, picture, (_, title) in zip(axes[row], _cropped(pictures), scene.panels, strict=True):
            axis.imshow(picture)
            axis.set_title(f"{title}, {view}")
            axis.axis("off")
    _colour_bar(figure, axes.ravel().tolist(), limits, scene)
    return figure


def _slice(scene: Scene) -> str:
    return f"slice of {scene.slab:g} {scene.length}"


def _cropped(pictures: list[NDArray]) -> list[NDArray]:
    """The same part of every picture, without the empty margin common to all."""
    visible = np.any([picture[..., 3] > 0 for picture in pictures], axis=0)
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    return [picture[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1] for picture in pictures]


def draw_slice(axis: Axes, data: DataCollection, colours: NDArray, width: float, diameter: float) -> None:
    """Circles for the atoms of a slab of this width through the middle, those in front last.

    Parameters
    ----------
    axis : Axes
    data : DataCollection
        Without a cell, the middle is that of the atoms.
    colours : (N, 3 or 4) array
    width, diameter : float
        In the unit of length.
    """
    positions = np.asarray(data.particles.positions)
    heights = positions[:, 2]
    if data.cell is not None:
        middle = data.cell[2, 3] + data.cell[2, :3].sum() / 2
    else:
        middle = (heights.min() + heights.max()) / 2
    shown = np.flatnonzero(np.abs(heights - middle) < width / 2)
    shown = shown[np.argsort(heights[shown], kind="stable")]
    diameters = np.full(len(shown), diameter)
    circles = EllipseCollection(
        diameters, diameters, np.zeros(len(shown)), units="xy", offsets=positions[shown, :2], edgecolors="0.3",
        offset_transform=axis.transData, facecolors=colours[shown],
    )  # fmt: skip
    axis.add_collection(circles)
    axis.autoscale_view()
    axis.set_aspect("equal")


def _plotted_slice(data: DataCollection, limits: tuple[float, float], scene: Scene) -> Figure:
    figure = new_figure(5.5 * len(scene.panels), 5.2)
    figure.set_layout_engine("compressed")  # of axes of equal scales, the constrained one cuts off titles
    axes = figure.subplots(1, len(scene.panels), sharey=True, squeeze=False)[0]
    scale = ScalarMappable(Normalize(*limits), "viridis")
    for axis, (name, title) in zip(axes, scene.panels, strict=True):
        colours = scale.to_rgba(np.asarray(data.particles[name]))
        draw_slice(axis, data, colours, scene.slab, ATOM * scene.spacing)
        axis.set(title=f"{title}, {_slice(scene)}", xlabel=f"x ({scene.length})")
    axes[0].set_ylabel(f"y ({scene.length})")
    _colour_bar(figure, list(axes), limits, scene)
    return figure


def _colour_bar(figure: Figure, axes: list[Any], limits: tuple[float, float], scene: Scene) -> None:
    mappable = ScalarMappable(Normalize(*limits), "viridis")
    bar = figure.colorbar(mappable, ax=axes, shrink=0.7, extend="both")
    bar.set_label(scene.label)
