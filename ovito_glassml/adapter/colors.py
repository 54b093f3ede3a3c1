"""The range of values that colours show: a parameter of modifiers, robust where nothing is asked for."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from traits.api import Str

__all__ = ["PERCENTILES", "ColorRange", "limits_of", "robust_range"]

#: Percentiles at the two ends of the colours: single odd atoms do not take the contrast from all others.
PERCENTILES = (2.0, 98.0)


class ColorRange(Str):
    """A parameter: two numbers with a comma between them, or nothing."""

    info_text = "two numbers, the smaller first, such as '0.5, 1.1', or ''"
    fast_validate = None  # Str's own test, which would come first

    def __init__(self, **metadata: Any) -> None:
        told = {"label": "Color range (low, high)", "ovito_group": "Colors", "ovito_placeholder": "automatic"}
        super().__init__("", **told, **metadata)

    def validate(self, owner: Any, name: str, value: Any) -> str:
        text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value).strip()
        try:
            low, high = limits_of(text) or (0.0, 1.0)
        except ValueError:
            return self.error(owner, name, value)
        return text if -math.inf < low < high < math.inf else self.error(owner, name, value)


def limits_of(text: str) -> tuple[float, float] | None:
    """The two numbers of a `ColorRange`."""
    if not text:
        return None
    low, high = map(float, text.split(","))
    return low, high


def robust_range(values: ArrayLike) -> tuple[float, float]:
    """The 2nd and the 98th percentile of the finite values, or their extremes where nearly all are alike.

    Half a unit around them where all are, so that there is a range.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    low, high = np.percentile(finite, PERCENTILES)
    if low == high:
        low, high = finite.min(), finite.max()
    return (float(low), float(high)) if low < high else (float(low) - 0.5, float(high) + 0.5)
