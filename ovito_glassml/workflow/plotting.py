"""What every figure shares: a canvas without a display, one style, PNG and CSV side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ovito_glassml.files import write_atomically

__all__ = ["Columns", "grouped_bars", "new_axes", "new_figure", "save_figure", "save_table"]

#: Okabe-Ito colours, distinguishable with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def new_figure(width: float, height: float) -> Figure:
    """Figure in inches that no window system and no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def new_axes(width: float, height: float, rows: int = 1, columns: int = 1, **sharing: Any) -> tuple[Figure, Any]:
    """The same with its axes, as `Figure.subplots` gives them."""
    figure = new_figure(width, height)
    return figure, figure.subplots(rows, columns, **sharing)


def grouped_bars(axis: Axes, groups: Mapping[str, Any], colours: Sequence[str], filled: float = 1) -> None:
    """Bars side by side, one of each group at 0, 1, 2 …; they take four fifths of the room."""
    width = 0.8 / len(groups)
    for number, (colour, (name, values)) in enumerate(zip(colours, groups.items(), strict=False)):
        places = np.arange(len(values)) + (number - (len(groups) - 1) / 2) * width
        axis.bar(places, values, filled * width, color=colour, label=name)


class Columns(dict[str, list]):
    """The numbers behind a figure, collected part by part."""

    def add(self, **parts: Any) -> None:
        """Append to every column; what is no sequence stands in as many rows as the others have."""
        single = {name for name, part in parts.items() if isinstance(part, str) or np.ndim(part) == 0}
        rows = max((len(part) for name, part in parts.items() if name not in single), default=1)
        for name, part in parts.items():
            self.setdefault(name, []).extend([part] * rows if name in single else part)


def save_figure(figure: Figure, file: Path) -> Path:
    """Write a PNG at 150 dots per inch."""
    picture = io.BytesIO()
    figure.savefig(picture, dpi=150, format="png")
    write_atomically(file, picture.getvalue())
    return file


def save_table(columns: Mapping[str, Sequence[Any]], file: Path) -> Path:
    """Write columns of equal length, whose names carry the units, as CSV."""
    text = io.StringIO(newline="")
    writer = csv.writer(text)
    writer.writerow(columns)
    writer.writerows(zip(*columns.values(), strict=True))
    write_atomically(file, text.getvalue().encode())
    return file
