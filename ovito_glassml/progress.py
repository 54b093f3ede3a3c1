"""How long work says what is done."""

from __future__ import annotations

import time
from collections.abc import Callable

__all__ = ["Progress", "Report", "nth_of", "printed", "silent", "span_of", "with_text", "with_time_left"]

#: Takes the fraction done; may raise to stop.
Progress = Callable[[float], None]
#: Takes the fraction done and what is being done.
Report = Callable[[float, str], None]


def silent(fraction: float, text: str = "") -> None:
    """Nobody listens."""


def printed(fraction: float, text: str) -> None:
    """A line for every step, for work that runs alone."""
    print(f"{fraction:5.0%} {text}", flush=True)


def span_of(report: Report, first: float, last: float, prefix: str = "") -> Report:
    """For a step of longer work that goes from fraction `first` to `last` of it."""
    return lambda fraction, text: report(first + (last - first) * fraction, prefix + text)


def nth_of(report: Report, number: int, count: int, prefix: str = "") -> Report:
    """For the step `number`, from 0, of so many that take equally long."""
    return span_of(report, number / count, (number + 1) / count, prefix)


def with_text(report: Report, text: str) -> Progress:
    """For work that only says its fraction."""
    return lambda fraction: report(fraction, text)


def with_time_left(report: Report) -> Report:
    """Add to each text how long the rest takes if it goes on like this."""
    start = time.monotonic()

    def timed(fraction: float, text: str) -> None:
        left = (time.monotonic() - start) / fraction * (1 - fraction) if 0.02 < fraction < 1 else 0
        report(fraction, f"{text}, about {left:.0f} s left" if left else text)

    return timed
