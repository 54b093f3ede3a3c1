"""A pipeline in a notebook: particles that one can turn, a slider through frames and a choice of property."""

from __future__ import annotations

import io
from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np
from ovito.data import DataCollection
from ovito.gui import create_ipywidget
from ovito.pipeline import Pipeline, StaticSource
from ovito.vis import Viewport
from PIL import Image
from traits.api import Instance

from ovito_glassml.adapter.legend import Legend, color_table, read_legend
from ovito_glassml.adapter.output import color_by, color_by_type
from ovito_glassml.adapter.render import CAMERA, render_colours
from ovito_glassml.errors import GlassMLError
from ovito_glassml.modifiers.registry import MODIFIERS
from ovito_glassml.overlays.prediction_legend import PredictionLegendOverlay

__all__ = ["NotebookError", "explore"]

#: Pixels.
SIZE = (560, 420)


class NotebookError(GlassMLError):
    """There is nothing to show."""


class _Given(PredictionLegendOverlay):
    """A legend that is known already."""

    legend = Instance(Legend)

    def _legend(self, data: DataCollection) -> Legend | None:
        return self.legend


def explore(pipeline: Pipeline, properties: Sequence[str] = (), *, frame: int = 0, color_range: str = "") -> Any:
    """Show a pipeline in a notebook, coloured by a property, with what its legend says.

    With ``ipywidgets`` the particles turn with the mouse, a slider goes through the frames and a list chooses the
    property; without, it is a rendered picture of one frame and the first property. The pipeline stays as it is.

    Parameters
    ----------
    pipeline : Pipeline
    properties : sequence of str
        Particle properties to choose from, one number or class an atom; by default those that the modifiers have
        added.
    frame : int
        The first frame to show.
    color_range : str
        Values at the two ends of the colours, such as ``"0.5, 1.1"``; by default the 2nd and the 98th percentile of
        each frame.

    Returns
    -------
    ipywidgets.VBox or IPython.display.Image
        What a notebook displays if it is the last line of a cell.

    Raises
    ------
    NotebookError
        If there is no such property, or none at all.
    RenderingUnavailable
        Without ``ipywidgets``, where no Vulkan driver is installed.
    """
    names = _names(pipeline, pipeline.compute(frame), properties)
    try:
        import ipywidgets  # noqa: F401
    except ImportError:
        return _picture(*_colored(pipeline.compute(frame), names[0], color_range))
    return _widget(pipeline, names, frame, color_range)


def _names(pipeline: Pipeline, data: DataCollection, wanted: Sequence[str]) -> list[str]:
    scalars = [name for name in data.particles or () if np.asarray(data.particles[name]).ndim == 1]
    if missing := [name for name in wanted if name not in scalars]:
        raise NotebookError(f"There is no property {missing[0]!r} of one value an atom; choose from {scalars}.")
    before = pipeline.source.compute(0).particles  # type: ignore[union-attr]
    names = list(wanted) or [name for name in scalars if before is None or name not in before]
    if not names:
        raise NotebookError("The modifiers of this pipeline have added no property to color by; name one.")
    return names


def _colored(data: DataCollection, name: str, color_range: str) -> tuple[DataCollection, Legend | None]:
    """The frame in the colours of a property, and what can be said of them."""
    prefix = next((entry.prefix for entry in MODIFIERS if name in entry.results), "Explored")
    colored = data.clone()
    if data.particles[name].types:  # type: ignore[union-attr]
        color_by_type(colored, name)
    else:
        color_by(colored, name, color_range, prefix)
    return colored, read_legend(colored, prefix, [name])


def _picture(colored: DataCollection, legend: Legend | None) -> Any:
    from IPython.display import Image as Displayed

    image = Image.fromarray(render_colours(colored, size=SIZE, layers=[_Given(legend=legend)]))
    content = io.BytesIO()
    Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB").save(content, "jpeg")
    return Displayed(content.getvalue(), format="jpeg")


def _widget(pipeline: Pipeline, names: list[str], frame: int, color_range: str) -> Any:
    import ipywidgets

    shown = Pipeline(source=StaticSource())
    view = Viewport(type=Viewport.Type.Perspective, camera_dir=CAMERA)
    slider = ipywidgets.IntSlider(frame, 0, pipeline.num_frames - 1, description="Frame", continuous_update=False)
    choice = ipywidgets.Dropdown(options=names, description="Color by")
    said = ipywidgets.HTML()
    width, height = (f"{length}px" for length in SIZE)
    turning: Any = None

    def show(change: Any = None) -> None:
        nonlocal turning
        try:
            colored, legend = _colored(pipeline.compute(slider.value), choice.value, color_range)
        except (GlassMLError, RuntimeError) as error:  # of a frame that a modifier cannot do; the last picture stays
            said.value = escape(str(error))
            return
        said.value = _html(legend)
        shown.source.data = colored  # type: ignore[union-attr]
        shown.add_to_scene()  # the widget takes what is in OVITO's scene at this moment
        try:
            if turning is None:
                view.zoom_all(SIZE)
                turning = create_ipywidget(view, layout=ipywidgets.Layout(width=width, height=height))
            turning.refresh()
        finally:
            shown.remove_from_scene()

    show()
    slider.observe(show, "value")
    choice.observe(show, "value")
    return ipywidgets.VBox([ipywidgets.HBox([choice, slider]), turning, said])


def _html(legend: Legend | None) -> str:
    if legend is None:
        return ""
    lines = [f"<b>{escape(legend.bar.label if legend.bar else legend.title)}</b>"]
    if legend.bar:
        colors = ", ".join("rgb({:.0f} {:.0f} {:.0f})".format(*color) for color in 255 * color_table(9))
        style = f"display:inline-block;width:12em;background:linear-gradient(to right, {colors})"
        bar = f'<span style="{style}">&nbsp;</span>'
        lines.append(f"{legend.bar.low:.3g} {bar} {legend.bar.high:.3g}")
    for name, color in legend.kinds:
        shade = "rgb({:.0f} {:.0f} {:.0f})".format(*(255 * part for part in color))
        lines.append(f'<span style="background:{shade}">&emsp;</span> {escape(name)}')
    return "<br>".join([*lines, *map(escape, legend.lines)])
