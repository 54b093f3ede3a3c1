##### Glass ML: Prediction legend #####
#
# Print on the picture what the colors are, and how far to trust them. Shows the
# last result of a Glass ML modifier in the pipeline, and nothing where there is
# none.

"""A legend on the picture: colours, mean, model and how far to trust a result of this package."""

from __future__ import annotations

from collections.abc import Callable
from html import escape
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.qt_compat import QtGui
from ovito.vis import ViewportOverlayInterface
from traits.api import Bool, Enum, HasStrictTraits, Range

from ovito_glassml.adapter.legend import Legend, color_table, read_legend
from ovito_glassml.modifiers.registry import MODIFIERS, by_name

__all__ = ["PredictionLegendOverlay"]

GROUP = "Prediction legend"
LAST = "last"

#: Distances in heights of the text: of lines from each other, around them, and the size of the colour bar.
LINE, MARGIN, BAR_HEIGHT, BAR_WIDTH = 1.45, 0.7, 0.9, 14.0
#: Distance of the legend from the edges of the picture, in shares of its height.
EDGE = 0.02
Anchor = Literal["north west", "north east"]
#: Width, and what paints it so far below the top.
Row = tuple[float, Callable[[float], None]]

#: Around the colour of a class, which may be as light as the ground.
FRAME = np.array([[[150, 150, 150]]])
#: Black on a light ground reads well before white and black pictures alike.
TEXT, GROUND = (0.1, 0.1, 0.1), (255, 255, 255, 225)


class PredictionLegendOverlay(HasStrictTraits, ViewportOverlayInterface):
    """Print on the picture what the colors are, and how far to trust them.

    Shows the last result of a *Glass ML* modifier in the pipeline, and nothing where there is none.

    The color bar has the unit, and classes have their names; they are drawn if the modifier has colored the particles
    (`color_by_result`) and nothing has recolored them since. For a *Color coding* of your own use OVITO's layer *Color
    legend*.

    Below stand the model, the mean and the spread between atoms, the share of atoms unlike those that the model was
    trained on, whether the sample as a whole is like the samples of the training (a score of at most 1), and the
    error to expect, where the model states one. In a picture that is too small for the text, the text is smaller.
    """

    result = Enum(LAST, *(entry.name for entry in MODIFIERS if entry.results), label="Result", ovito_group=GROUP)
    """
    Whose result, by the short names of the modifiers, such as ``"stiffness"``.

    :Default: ``"last"``, the last modifier of the pipeline that has one.
    """

    position = Enum("top left", "top right", "bottom left", "bottom right", label="Position", ovito_group=GROUP)
    """
    Corner of the picture.

    :Default: ``"top left"``
    """

    font_size = Range(low=0.005, high=0.2, value=0.025, label="Text (share of the height)", ovito_group=GROUP)
    """
    Height of the text as a share of the height of the picture.

    :Default: ``0.025``: 15 pixels of 600.
    """

    show_colors = Bool(True, label="Show colors", ovito_group=GROUP)
    """
    Draw the color bar, or the names of classes.

    :Default: ``True``
    """

    show_trust = Bool(True, label="Show model and trust", ovito_group=GROUP)
    """
    Print model, mean and how far to trust them.

    :Default: ``True``
    """

    def render(self, canvas: ViewportOverlayInterface.Canvas, *, data: DataCollection, **kwargs: Any) -> None:
        """Draw the legend; called by OVITO for every picture."""
        legend = None if data is None else self._legend(data)
        if legend is not None and (self.show_colors or self.show_trust):
            _Drawing(canvas, self).draw(legend)

    def _legend(self, data: DataCollection) -> Legend | None:
        """Of the modifier that is named, or of the one that wrote its attributes last."""
        if self.result != LAST:
            entry = by_name()[self.result]
            return read_legend(data, entry.prefix, entry.results)
        entries = {entry.prefix: entry for entry in MODIFIERS if entry.results}
        prefixes = [key.partition(".")[0] for key in data.attributes]
        for prefix in reversed([prefix for prefix in prefixes if prefix in entries]):
            if (legend := read_legend(data, prefix, entries[prefix].results)) is not None:
                return legend
        return None


class _Drawing:
    """A legend being drawn, row by row; lengths are in heights of the text, downwards from the corner of its ground."""

    def __init__(self, canvas: ViewportOverlayInterface.Canvas, settings: PredictionLegendOverlay) -> None:
        self.canvas, self.settings = canvas, settings
        width, height = canvas.logical_size
        self.scale = np.array([settings.font_size * height / width, settings.font_size])
        self.edge = np.array([EDGE * height / width, EDGE])

    def draw(self, legend: Legend) -> None:
        rows = self._colors(legend) if self.settings.show_colors else []
        rows = rows or [self._text(legend.title, bold=True)]
        if self.settings.show_trust:
            rows += [self._text(line) for line in legend.lines]
        size = np.array([max(width for width, _ in rows), LINE * len(rows)]) + 2 * MARGIN
        self.scale = self.scale * min(1.0, *((1 - 2 * self.edge) / (size * self.scale)))  # in narrow pictures
        vertical, horizontal = self.settings.position.split()
        far = 1 - self.edge - size * self.scale
        self.corner = np.array(
            [self.edge[0] if horizontal == "left" else far[0], 1 - (self.edge[1] if vertical == "top" else far[1])]
        )
        self._fill(np.array([[GROUND]]), 0.0, 0.0, *size)
        for number, (_, paint) in enumerate(rows):
            paint(MARGIN + LINE * number)

    def _colors(self, legend: Legend) -> list[Row]:
        """Title, bar and the numbers at its ends, or title and classes."""
        rows = []
        if legend.bar is not None:
            low, high = f"{legend.bar.low:.3g}", f"{legend.bar.high:.3g}"
            colors = np.round(255 * color_table()).astype(int)[None]

            def bar(y: float) -> None:
                self._fill(colors, MARGIN, y, BAR_WIDTH, BAR_HEIGHT)

            def ends(y: float) -> None:
                self._write(low, MARGIN, y)
                self._write(high, MARGIN + BAR_WIDTH, y, "north east")

            rows = [self._text(legend.bar.label, bold=True), (BAR_WIDTH, bar), (BAR_WIDTH, ends)]
        elif legend.kinds:
            rows = [self._text(legend.title, bold=True), *(self._kind(*kind) for kind in legend.kinds)]
        return rows

    def _text(self, text: str, bold: bool = False) -> Row:
        shown = f"<b>{escape(text)}</b>" if bold else text
        return self._width(shown), lambda y: self._write(shown, MARGIN, y)

    def _kind(self, name: str, color: tuple[float, float, float]) -> Row:
        def paint(y: float) -> None:
            self._fill(FRAME, MARGIN - 0.05, y + 0.15, BAR_HEIGHT + 0.1, BAR_HEIGHT + 0.1)
            self._fill(np.round(255 * np.array([[color]])).astype(int), MARGIN, y + 0.2, BAR_HEIGHT, BAR_HEIGHT)
            self._write(name, MARGIN + LINE, y)

        return LINE + self._width(name), paint

    def _width(self, text: str) -> float:
        (_, (width, _)) = self.canvas.text_bounds(text, font_size=self.scale[1])
        return width / self.scale[0]

    def _write(self, text: str, x: float, y: float, anchor: Anchor = "north west") -> None:
        self.canvas.draw_text(text, self._place(x, y), font_size=self.scale[1], anchor=anchor, color=TEXT)

    def _fill(self, colors: NDArray, x: float, y: float, width: float, height: float) -> None:
        """Stretch colours (rows, columns, 3 or 4) of 0 to 255 over a rectangle."""
        pixels = np.full((*colors.shape[:2], 4), 255, np.uint8)
        pixels[..., : colors.shape[2]] = colors
        made = QtGui.QImage(
            pixels.tobytes(), colors.shape[1], colors.shape[0], 4 * colors.shape[1], QtGui.QImage.Format.Format_RGBA8888
        )
        image = made.convertToFormat(self.canvas.preferred_qimage_format)
        size = np.array([width, height]) * self.scale
        self.canvas.draw_image(image, self._place(x, y), tuple(size.tolist()), "north west")

    def _place(self, x: float, y: float) -> tuple[float, float]:
        return self.corner[0] + x * self.scale[0], self.corner[1] - y * self.scale[1]
