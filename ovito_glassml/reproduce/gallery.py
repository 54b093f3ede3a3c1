"""A picture of what each modifier and viewport layer shows on the sample that its session opens with."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from numpy.typing import NDArray
from ovito.data import DataCollection, Property
from PIL import Image

from ovito_glassml.adapter.colors import robust_range
from ovito_glassml.adapter.input import particle_column, structure_from_data
from ovito_glassml.adapter.render import render_colours, render_property
from ovito_glassml.files import write_atomically
from ovito_glassml.modifiers.registry import MODIFIERS, OVERLAYS, Example, Modifier, Overlay, by_name
from ovito_glassml.reproduce.sessions import example_pipeline
from ovito_glassml.workflow.plotting import COLOURS, new_figure, save_figure, save_table
from ovito_glassml.workflow.sample_data import sample_file

__all__ = ["draw_gallery"]

#: Inches; small enough for three pictures beside each other on a page.
SIZE = (3.0, 3.4)

#: Points; of texts in a small picture.
FONT_SIZE = 7

#: Of rendered particles.
PIXELS = (420, 420)
#: Of a picture of all particles under a layer.
WHOLE = (640, 480)

#: Of a picture: as many as a palette has, which is a third of the size of a picture without one.
COLOURS_IN_PNG = 256

#: Thickness of the slices shown, in mean distances of atoms: two layers, thin enough to see every atom.
LAYERS = 2.0

#: Letters beside each other in a legend, and those that a marker and the space around it take.
LETTERS, MARKER_LETTERS = 50, 6

#: Entries of a legend at most, the most frequent ones.
MOST_KINDS = 8

PARITY = "evaluation-parity"


def draw_gallery(
    folder: Path,
    progress: Callable[[float, str], None],
    entries: Sequence[Modifier | Overlay] = (*MODIFIERS, *OVERLAYS),
) -> list[Path]:
    """Draw what each modifier shows on its example, as PNG and CSV, and each viewport layer over a whole glass.

    Particles have the colours of the result, in a slice through the middle; a comparison of two properties
    has its parity plot.

    Parameters
    ----------
    folder : Path
        For ``NAME.png`` and, of modifiers, ``NAME.csv``; made if it is not there.
    progress : callable
        Fraction and text.
    entries : sequence of Modifier or Overlay
        By default all.

    Returns
    -------
    list of Path

    Raises
    ------
    RenderingUnavailable
        Where no Vulkan driver is installed.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for number, entry in enumerate(entries):
        progress(number / len(entries), f"Drawing {entry.class_name}")
        modifier = by_name()[entry.shown_with] if isinstance(entry, Overlay) else entry
        example = modifier.example
        data = example_pipeline(modifier, sample_file(example.structure)).compute(example.frame)
        if isinstance(entry, Overlay):
            written.append(_layer(data, entry, folder / f"{entry.name}.png"))
            continue
        figure, columns = _parity(data) if PARITY in data.tables else _slice(data, example)
        written += [
            _save_small(figure, folder / f"{modifier.name}.png"),
            save_table(columns, folder / f"{modifier.name}.csv"),
        ]
    return written


def _save_small(figure: Figure, file: Path) -> Path:
    """As `save_figure`, with few colours."""
    for text in figure.findobj(Text):
        text.set_fontsize(FONT_SIZE)
    with Image.open(save_figure(figure, file)) as picture:
        return _few_colours(picture, file)


def _layer(data: DataCollection, overlay: Overlay, file: Path) -> Path:
    """All particles under a layer, on white."""
    picture = Image.fromarray(render_colours(data, size=WHOLE, layers=[overlay.load()()]))
    ground = Image.new("RGBA", picture.size, "white")
    return _few_colours(Image.alpha_composite(ground, picture), file)


def _few_colours(picture: Image.Image, file: Path) -> Path:
    small = picture.convert("RGB").quantize(COLOURS_IN_PNG, dither=Image.Dither.NONE)
    content = io.BytesIO()
    small.save(content, "png", optimize=True)
    write_atomically(file, content.getvalue())
    return file


def _slice(data: DataCollection, example: Example) -> tuple[Figure, dict[str, list]]:
    """Rendered particles over the scale or the names of their colours."""
    width = LAYERS * structure_from_data(data).number_density ** (-1 / 3)
    shown = np.flatnonzero(_in_slice(data, width))
    figure = new_figure(*SIZE)
    axis = figure.subplots()
    if example.shown:
        values = particle_column(data, example.shown, "shown")
        low, high = robust_range(values)
        _show(axis, render_property(data, example.shown, (low, high), slab_width=width, size=PIXELS))
        mappable = ScalarMappable(Normalize(low, high), "viridis")
        bar = figure.colorbar(mappable, ax=axis, orientation="horizontal", extend="both", pad=0.02, aspect=30)
        bar.set_label(example.meaning)
        column = {example.meaning: values[shown].tolist()}
    else:
        kinds = _typed_result(data)
        _show(axis, render_colours(data, slab_width=width, size=PIXELS))
        _legend(figure, kinds, shown)
        names = {kind.id: kind.name for kind in kinds.types}
        column = {kinds.name: [names.get(int(kind), "") for kind in np.asarray(kinds)[shown]]}
    columns = {"id": np.asarray(data.particles.identifiers)[shown].tolist()}
    for axis_name, places in zip("xyz", np.asarray(data.particles.positions)[shown].T, strict=True):
        columns[axis_name] = places.tolist()
    return figure, columns | column


def _in_slice(data: DataCollection, width: float) -> NDArray[np.bool_]:
    middle = data.cell[2, 3] + data.cell[2, :3].sum() / 2
    return np.abs(np.asarray(data.particles.positions)[:, 2] - middle) < width / 2


def _typed_result(data: DataCollection) -> Property:
    """The typed property that a modifier has coloured the particles by: the first that is no input."""
    names = (name for name in data.particles if name != "Particle Type")
    names = (name for name in data.particles if name != "Particle Type")
    return next(data.particles[name] for name in names if data.particles[name].types)  # type: ignore


def _legend(figure: Figure, kinds: Property, shown: NDArray) -> None:
    numbers, counts = np.unique(np.asarray(kinds)[shown], return_counts=True)
    by_number = {kind.id: kind for kind in kinds.types}
    frequent = [by_number[number] for number in numbers[np.argsort(-counts)] if number in by_number][:MOST_KINDS]
    handles = [
        Line2D([], [], marker="o", ls="", ms=6, mec="0.4", mew=0.5, mfc=kind.color, label=kind.name)
        for kind in frequent
    ]  # fmt: skip
    longest = max((len(str(handle.get_label())) for handle in handles), default=0)
    columns = min(4, max(1, LETTERS // (longest + MARKER_LETTERS)))
    figure.legend(
        handles=handles, title=kinds.name, loc="outside lower center", ncols=columns, frameon=False,
        handletextpad=0.2, columnspacing=1.2,
    )  # fmt: skip


def _parity(data: DataCollection) -> tuple[Figure, dict[str, list]]:
    """OVITO's table of binned parity with the correlation and its interval."""
    x, y = (getattr(data.tables[PARITY], name) for name in ("x", "y"))
    predicted = np.asarray(x)
    curves = dict(zip(y.component_names, np.asarray(y).T, strict=True))
    figure = new_figure(*SIZE)
    axis = figure.subplots()
    error = curves["Mean plus standard error"] - curves["Mean"]
    axis.errorbar(predicted, curves["Mean"], error, fmt="o", ms=3, lw=1, color=COLOURS[0])
    axis.plot(predicted, curves["Perfect"], color="0.5", lw=1)
    value, low, high = (data.attributes[f"EvaluatePrediction.pearson{end}"] for end in ("", "_low", "_high"))
    axis.text(
        0.04, 0.96, f"R = {value:.2f} ({low:.2f}–{high:.2f})\n100 atoms a point", transform=axis.transAxes, va="top"
    )
    labels = [text.replace(" per ", "/") for text in (x.name, y.name)]
    axis.set(xlabel=labels[0], ylabel=labels[1], aspect="equal")
    return figure, {labels[0]: predicted.tolist(), labels[1]: curves["Mean"].tolist(), "standard error": error.tolist()}


def _show(axis: Axes, image: NDArray[np.uint8]) -> None:
    """The picture without its empty margin."""
    visible = image[..., 3] > 0
    rows, columns = np.flatnonzero(visible.any(axis=1)), np.flatnonzero(visible.any(axis=0))
    axis.imshow(image[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1])
    axis.axis("off")
