"""Pictures of particles as PNG inside the page."""

from __future__ import annotations

import base64
import io
from dataclasses import dataclass

import numpy as np
from matplotlib import colormaps
from numpy.typing import NDArray
from ovito.data import DataCollection, Property
from PIL import Image

from ovito_glassml.adapter.colors import PERCENTILES
from ovito_glassml.adapter.render import RenderingUnavailable, code_colours, render_colours
from ovito_glassml.workflow.comparison import ATOM, SLAB, draw_slice
from ovito_glassml.workflow.plotting import new_axes
from ovito_glassml.workflow.report.collect import Result

__all__ = ["Camera", "Picture", "colour_limits", "gradient", "kinds_of", "kinds_shown"]

#: Pixels of a picture, and of one among many.
LARGE, SMALL = 460, 260
#: Fewer than a picture of its own has, which nobody sees at this size.
SAMPLES = (6, 3)
COLOURS_IN_PNG = 128
#: Of a legend of kinds.
MOST_KINDS = 8


@dataclass(frozen=True)
class Picture:
    """A data URI and what it shows."""

    uri: str
    alt: str


class Camera:
    """Draws as long as there is a renderer; without one it plots slices, and `remark` says why.

    Attributes
    ----------
    remark : str
    """

    def __init__(self) -> None:
        self.remark = ""

    def slice(self, result: Result, limits: tuple[float, float], pixels: int = LARGE) -> Picture:
        """Two atomic layers through the middle."""
        scene, spacing = _coloured(result, limits), result.shot.facts.spacing
        image = self._rendered(scene, pixels, SLAB * spacing)
        if image is None:
            image = _plotted(scene, SLAB * spacing, ATOM * spacing, pixels)
        return Picture(_uri(image), f"Slice of {result.shot.title}: {result.view.meaning or result.modifier.title}")

    def everything(self, result: Result, limits: tuple[float, float]) -> Picture | None:
        """All atoms in perspective; none without a renderer."""
        image = self._rendered(_coloured(result, limits), LARGE, None)
        alt = f"All atoms of {result.shot.title}: {result.view.meaning or result.modifier.title}"
        return None if image is None else Picture(_uri(image), alt)

    def _rendered(self, scene: DataCollection, pixels: int, slab: float | None) -> NDArray[np.uint8] | None:
        if self.remark or (slab is not None and scene.cell is None):
            return None
        try:
            return render_colours(scene, slab_width=slab, size=(pixels, pixels), samples=SAMPLES)
        except RenderingUnavailable as error:
            self.remark = f"{error} So pictures are plotted slices."
            return None


def colour_limits(results: list[Result]) -> tuple[float, float]:
    """One scale for the same property of all structures."""
    values = np.concatenate([one.values[np.isfinite(one.values)] for one in results])
    if not len(values):
        return 0.0, 1.0
    low, high = (float(one) for one in np.percentile(values, PERCENTILES))
    return (low, high) if high > low else (low - 0.5, low + 0.5)


def gradient(stops: int = 9) -> str:
    """Viridis, as in the pictures, for a style sheet."""
    colours = (255 * colormaps["viridis"](np.linspace(0, 1, stops))[:, :3]).round().astype(int)
    return ", ".join(f"rgb({red} {green} {blue})" for red, green, blue in colours.tolist())


def kinds_shown(result: Result) -> list[tuple[str, str, float]]:
    """Name, colour and share of the most frequent kinds of the typed property that the colours are of."""
    kinds = _typed(result.scene)
    if kinds is None:
        return []
    numbers, counts = np.unique(np.asarray(kinds), return_counts=True)
    known = {kind.id: kind for kind in kinds.types}
    return [
        (known[number].name, "rgb({:.0f} {:.0f} {:.0f})".format(*(255 * one for one in known[number].color)), share)
        for number, share in sorted(zip(numbers.tolist(), counts / counts.sum(), strict=True), key=lambda one: -one[1])
        if number in known
    ][:MOST_KINDS]


def kinds_of(result: Result) -> NDArray[np.str_]:
    """Name of the kind of every particle."""
    kinds = _typed(result.scene)
    if kinds is None:
        return np.zeros(result.scene.particles.count, dtype="<U1")
    numbers, places = np.unique(np.asarray(kinds), return_inverse=True)
    names = {kind.id: kind.name for kind in kinds.types}
    return np.array([names.get(int(number), "") for number in numbers])[places.reshape(-1)]


def _typed(scene: DataCollection) -> Property | None:
    """The first typed property that a modifier has made."""
    names = [name for name in scene.particles if name != "Particle Type" and scene.particles[name].types]  # type: ignore
    return scene.particles[names[0]] if names else None  # type: ignore[return-value]


def _coloured(result: Result, limits: tuple[float, float]) -> DataCollection:
    """Particles in the colours of the result, as large as their distance allows where OVITO knows no radius."""
    shown = result.view.shown
    scene = code_colours(result.scene, shown, limits) if shown else result.scene.clone()
    scene.particles_.vis.radius = ATOM / 2 * result.shot.facts.spacing
    if result.shot.facts.length != "Å" and scene.particles.particle_types is not None:
        for kind in scene.particles_.particle_types_.types_:
            kind.radius = 0.0  # type: ignore[attr-defined] # OVITO's is that of an element in Å
    return scene


def _plotted(scene: DataCollection, slab: float, diameter: float, pixels: int) -> NDArray[np.uint8]:
    """A slice without a renderer."""
    figure, axis = new_axes(pixels / 100, pixels / 100)
    figure.patch.set_alpha(0.0)
    colours = scene.particles.colors
    draw_slice(
        axis,
        scene,
        np.full((scene.particles.count, 3), 0.6) if colours is None else np.asarray(colours),
        slab,
        diameter,
    )
    axis.axis("off")
    figure.canvas.draw()
    return np.asarray(figure.canvas.buffer_rgba())  # type: ignore[attr-defined]


def _uri(image: NDArray[np.uint8]) -> str:
    """Without its empty margin, in few colours."""
    visible = image[..., 3] > 0
    if visible.any():
        rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
        image = image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
    picture = Image.fromarray(np.ascontiguousarray(image)).quantize(COLOURS_IN_PNG, method=Image.Quantize.FASTOCTREE)
    content = io.BytesIO()
    picture.save(content, "png", optimize=True)
    return "data:image/png;base64," + base64.b64encode(content.getvalue()).decode()
