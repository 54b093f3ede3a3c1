"""Pictures of a configuration coloured by a property, with OVITO's renderer where there is one."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.modifiers import ColorCodingModifier, SliceModifier
from ovito.pipeline import Pipeline, StaticSource
from ovito.vis import PythonViewportOverlay, TachyonRenderer, Viewport, ViewportOverlayInterface

from ovito_glassml.adapter.input import particle_column
from ovito_glassml.adapter.output import NO_VALUE

__all__ = ["CAMERA", "RenderingUnavailable", "code_colours", "render_colours", "render_property"]

#: Direction of view in perspective, onto three faces of the cell.
CAMERA = (-1.0, 0.6, -0.5)


class RenderingUnavailable(RuntimeError):  # noqa: N818 - a condition of the machine, not a mistake
    """OVITO cannot render here; the message says what to install."""


def render_property(
    data: DataCollection,
    name: str,
    limits: tuple[float, float],
    *,
    slab_width: float | None = None,
    size: tuple[int, int] = (700, 700),
) -> NDArray[np.uint8]:
    """Render the particles coloured by a property in Viridis colours; those without a value (NaN) are grey.

    Parameters
    ----------
    data : DataCollection
        Holds the property; it is not changed.
    name : str
        Particle property, or a component of one after a full stop.
    limits : (float, float)
        Values at the two ends of the colour scale.
    slab_width : float, optional
        Show only a slab of this width through the middle, seen from the front; by default
        everything in perspective.
    size : (int, int)
        Pixels.

    Returns
    -------
    (height, width, 4) array of uint8
        RGBA image with a transparent background.

    Raises
    ------
    RenderingUnavailable
        Where no Vulkan driver is installed.
    StructureError
        If there is no such property.
    """
    return render_colours(code_colours(data, name, limits), slab_width=slab_width, size=size)


def code_colours(data: DataCollection, name: str, limits: tuple[float, float]) -> DataCollection:
    """A copy whose particles have the colours that `render_property` shows."""
    coloured = data.clone()
    coding = ColorCodingModifier(property=name, gradient=ColorCodingModifier.Viridis())
    coding.start_value, coding.end_value = limits
    coloured.apply(coding)
    coloured.particles_["Color_"][np.isnan(particle_column(data, name, "name"))] = NO_VALUE
    return coloured


def render_colours(
    data: DataCollection,
    *,
    slab_width: float | None = None,
    size: tuple[int, int] = (700, 700),
    layers: Sequence[ViewportOverlayInterface] = (),
    samples: tuple[int, int] = (12, 6),
) -> NDArray[np.uint8]:
    """Render the particles in the colours that they have, under layers such as a legend.

    `samples` are those that smooth edges and those of ambient light: with (6, 3) small pictures look the same and take
    a third of the time. The other parameters, the result and the errors are those of `render_property`.
    """
    scene = data.clone()
    if scene.cell is not None:
        scene.cell_.vis.line_width = 0.0
    viewport = Viewport(type=Viewport.Type.Perspective, camera_dir=CAMERA)
    if slab_width is not None:
        middle = scene.cell[:, 3] + scene.cell[:, :3].sum(axis=1) / 2
        scene.apply(SliceModifier(normal=(0, 0, 1), distance=middle[2], slab_width=slab_width))
        viewport = Viewport(type=Viewport.Type.Top)
    pipeline = Pipeline(source=StaticSource(data=scene))
    pipeline.add_to_scene()
    try:
        viewport.zoom_all(size)
        viewport.overlays.extend([PythonViewportOverlay(delegate=layer) for layer in layers])
        with _quiet_driver():
            renderer = TachyonRenderer(antialiasing_samples=samples[0], ambient_occlusion_samples=samples[1])
            image = viewport.render_image(size=size, alpha=True, renderer=renderer)
    except RuntimeError as error:
        raise RenderingUnavailable(
            "OVITO found no Vulkan driver; install one to render (Debian and Ubuntu: libvulkan1 mesa-vulkan-drivers)."
        ) from error
    finally:
        pipeline.remove_from_scene()
    return _pixels(image)


def _pixels(image: object) -> NDArray[np.uint8]:
    from ovito.qt_compat import QtGui

    converted = image.convertToFormat(QtGui.QImage.Format.Format_RGBA8888)  # type: ignore[attr-defined]
    height, width = converted.height(), converted.width()
    rows = np.frombuffer(converted.constBits(), np.uint8).reshape(height, converted.bytesPerLine())
    return rows[:, : 4 * width].reshape(height, width, 4).copy()


@contextlib.contextmanager
def _quiet_driver() -> Iterator[None]:
    """Swallow what a failing Vulkan loader writes to the error stream of the process."""
    sys.stderr.flush()
    saved = os.dup(2)
    with open(os.devnull, "w") as sink:
        os.dup2(sink.fileno(), 2)
        try:
            yield
        finally:
            os.dup2(saved, 2)
            os.close(saved)
