"""Small charts as SVG that stands in the page itself, so that its texts have the colours and the font of the page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike, NDArray

__all__ = ["bars", "curves", "histogram"]

#: Of a chart in its own units, and of one beside pictures.
WIDTH, NARROW, HEIGHT = 420, 330, 250
#: What the axes and their labels take on each side but the left.
RIGHT, TOP, BOTTOM = 12, 12, 44
#: Left of the axis: for the label, and for each letter of a number.
LEFT, LETTER = 30, 7.0
#: Height of a bar that lies, and letters of its name.
ROW, LONGEST = 17, 30
#: Colours of the style sheet.
COLOURS = 6


class _Frame:
    """Axes with ticks; gives places in the chart for numbers."""

    def __init__(self, x: tuple[float, float], y: tuple[float, float], width: float = WIDTH) -> None:
        self.x, self.y = _apart(*x), _apart(*y)
        self.right = width - RIGHT
        self.left = LEFT + LETTER * max(len(_short(value)) for value in _ticks(*self.y))

    def at(self, x: ArrayLike, y: ArrayLike) -> tuple[NDArray, NDArray]:
        across, up = (np.asarray(one, dtype=np.float64) for one in (x, y))
        width, height = self.right - self.left, HEIGHT - TOP - BOTTOM
        return (
            self.left + width * (across - self.x[0]) / (self.x[1] - self.x[0]),
            TOP + height * (1 - (up - self.y[0]) / (self.y[1] - self.y[0])),
        )

    def axes(self, x_label: str, y_label: str) -> str:
        parts = []
        for value in _ticks(*self.x):
            place = float(self.at(value, 0)[0])
            parts.append(f'<line class="tick" x1="{place:.1f}" x2="{place:.1f}" y1="{HEIGHT - BOTTOM}" '
                         f'y2="{HEIGHT - BOTTOM + 4}"/><text x="{place:.1f}" y="{HEIGHT - BOTTOM + 17}" '
                         f'text-anchor="middle">{_short(value)}</text>')  # fmt: skip
        for value in _ticks(*self.y):
            place = float(self.at(0, value)[1])
            ends = f'x1="{self.left}" x2="{self.right}" y1="{place:.1f}" y2="{place:.1f}"'
            parts.append(f'<line class="grid" {ends}/>'
                         f'<text x="{self.left - 6}" y="{place + 4:.1f}" text-anchor="end">'
                         f"{_short(value)}</text>")  # fmt: skip
        parts.append(
            f'<line class="axis" x1="{self.left}" x2="{self.right}" y1="{HEIGHT - BOTTOM}" y2="{HEIGHT - BOTTOM}"/>'
        )
        middle = (TOP + HEIGHT - BOTTOM) / 2
        room = self.right - self.left
        # A label that is too long is drawn narrower.
        fit = f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"' if LETTER * len(x_label) > room else ""
        parts.append(f'<text class="label" x="{self.left + room / 2}" y="{HEIGHT - 8}" text-anchor="middle"{fit}>'
                     f"{escape(x_label)}</text>"
                     f'<text class="label" transform="translate(13 {middle}) rotate(-90)" text-anchor="middle">'
                     f"{escape(y_label)}</text>")  # fmt: skip
        return "".join(parts)


def curves(
    series: Mapping[str, tuple[ArrayLike, ArrayLike]],
    x_label: str,
    y_label: str,
    *,
    marked: bool = False,
    errors: Mapping[str, ArrayLike] | None = None,
    colours: Sequence[int] = (),
) -> str:
    """Lines over numbers, with markers and error bars if wanted; the legend stands below."""
    points = {name: tuple(np.asarray(one, dtype=np.float64) for one in both) for name, both in series.items()}
    spans = [np.nan_to_num(np.asarray((errors or {}).get(name, 0.0))) for name in points]
    low = min((np.nanmin(y - span) for (_, y), span in zip(points.values(), spans, strict=True)), default=0.0)
    high = max((np.nanmax(y + span) for (_, y), span in zip(points.values(), spans, strict=True)), default=1.0)
    if not marked:
        low = min(low, 0.0)
    margin = 0.06 * (high - low)
    across = np.concatenate([x for x, _ in points.values()])
    frame = _Frame((across.min(), across.max()), (low - margin * marked, high + margin))
    parts = [frame.axes(x_label, y_label)]
    for number, ((name, (x, y)), span) in enumerate(zip(points.items(), spans, strict=True)):
        colour = f"s{(colours[number] if colours else number) % COLOURS}"
        known = np.isfinite(y)
        places = np.stack(frame.at(x[known], y[known]), axis=1)
        path = "L".join(f"{one:.1f} {other:.1f}" for one, other in places)
        parts.append(f'<path class="line {colour}" d="M{path}"/>' if path else "")
        if marked:
            parts += [f'<circle class="dot {colour}" cx="{one:.1f}" cy="{other:.1f}" r="3"/>' for one, other in places]
        if errors and name in errors:
            parts += _error_bars(frame, x[known], y[known], np.broadcast_to(span, y.shape)[known], colour)
    legend = _legend(list(points), colours) if len(points) > 1 else ""
    return _svg("".join(parts), HEIGHT, f"{y_label} over {x_label}") + legend


def _error_bars(frame: _Frame, x: NDArray, y: NDArray, span: NDArray, colour: str) -> list[str]:
    across, low = frame.at(x, y - span)
    _, high = frame.at(x, y + span)
    return [
        f'<line class="error {colour}" x1="{one:.1f}" x2="{one:.1f}" y1="{start:.1f}" y2="{stop:.1f}"/>'
        for one, start, stop in zip(across, low, high, strict=True)
    ]


def histogram(counts: ArrayLike, ends: Sequence[float], label: str, limits: tuple[float, float] | None = None) -> str:
    """Counts in equal bins between two ends; `limits` of the axis may be others."""
    heights = np.asarray(counts, dtype=np.float64)
    edges = np.linspace(ends[0], ends[1], len(heights) + 1)
    low, high = limits or (edges[0], edges[-1])
    frame = _Frame((low, high), (0.0, 1.05 * max(heights.max(initial=0.0), 1.0)), NARROW)
    x, _ = frame.at(edges, 0.0)
    _, y = frame.at(0.0, heights)
    bottom = HEIGHT - BOTTOM
    path = "".join(
        f"M{start:.1f} {bottom}V{top:.1f}H{stop:.1f}V{bottom}Z"
        for start, stop, top, count in zip(x[:-1], x[1:], y, heights, strict=True)
        if count
    )
    content = f'{frame.axes(label, "atoms")}<path class="bar s0" d="{path}"/>'
    return _svg(content, HEIGHT, f"Histogram: {label}", NARROW)


def bars(names: Sequence[str], columns: Mapping[str, ArrayLike], label: str) -> str:
    """Bars that lie below each other, one of each column for every name; numbers are those of the first."""
    names = [name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…" for name in names]
    values = {name: np.nan_to_num(np.asarray(column, dtype=np.float64)) for name, column in columns.items()}
    everything = np.concatenate([*values.values(), [0.0]])
    low, high = _apart(min(everything.min(), 0.0), everything.max())
    longest = 12 + 6.6 * max((len(name) for name in names), default=0)
    width, height = WIDTH - longest - 56, ROW * len(names) + 26
    thick = (ROW - 4) / max(len(values), 1)
    zero = longest + width * (0 - low) / (high - low)
    parts = []
    for row, name in enumerate(names):
        middle = ROW * row + ROW / 2
        parts.append(f'<text x="{longest - 6:.1f}" y="{middle + 4}" text-anchor="end">{escape(name)}</text>')
        for number, column in enumerate(values.values()):
            end = longest + width * (column[row] - low) / (high - low)
            top = ROW * row + 2 + number * thick
            parts.append(f'<rect class="bar s{number % COLOURS}" x="{min(zero, end):.1f}" y="{top:.1f}" '
                         f'width="{abs(end - zero):.1f}" height="{thick:.1f}"/>')  # fmt: skip
        first = next(iter(values.values()))[row]
        beside = longest + width * (max(*(column[row] for column in values.values()), 0.0) - low) / (high - low)
        parts.append(f'<text class="value" x="{beside + 4:.1f}" y="{middle + 4}">{_rounded(first)}</text>')
    parts.append(f'<text class="label" x="{longest + width / 2:.1f}" y="{height - 6}" text-anchor="middle">'
                 f"{escape(label)}</text>")  # fmt: skip
    legend = _legend(list(values), ()) if len(values) > 1 else ""
    return _svg("".join(parts), height, label) + legend


def _svg(content: str, height: float, title: str, width: float = WIDTH) -> str:
    return (
        f'<svg class="chart" viewBox="0 0 {width} {height}" role="img" aria-label="{escape(title, quote=True)}">'
        f"{content}</svg>"
    )


def _legend(names: Sequence[str], colours: Sequence[int]) -> str:
    entries = [
        f'<span class="key"><i class="s{(colours[number] if colours else number) % COLOURS}"></i>{escape(name)}</span>'
        for number, name in enumerate(names)
    ]
    return f'<div class="legend">{"".join(entries)}</div>'


def _apart(low: float, high: float) -> tuple[float, float]:
    """Limits that differ, and are numbers."""
    low, high = (float(one) if np.isfinite(one) else 0.0 for one in (low, high))
    smallest = 1e-6 * max(abs(low), abs(high))  # below it, ticks would all read the same
    return (low, high) if high - low > smallest else (low - 0.5 - smallest, high + 0.5 + smallest)


def _ticks(low: float, high: float) -> list[float]:
    slack = 1e-9 * (high - low)
    return [float(one) for one in MaxNLocator(5).tick_values(low, high) if low - slack <= one <= high + slack]


def _short(value: float) -> str:
    return _rounded(0.0 if abs(value) < 1e-12 else value, 6)


def _rounded(value: float, digits: int = 3) -> str:
    return f"{value:.{digits}g}".replace("-", "−")
