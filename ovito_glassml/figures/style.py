"""What every figure shares: a canvas without a display, one style, PNG and CSV side by side."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from ovito_glassml.atomic import write_atomically

__all__ = ["new_figure", "save_figure", "save_table"]

#: Okabe-Ito colours, distinguishable with any colour vision.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")


def new_figure(width: float, height: float) -> Figure:
    """Figure in inches that no window system and no global state knows of."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


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
