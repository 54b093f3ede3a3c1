"""Numbers as people write them."""

from __future__ import annotations

import math

__all__ = ["percent", "rounded", "with_error"]


def rounded(value: float, digits: int = 3, *, sign: bool = False) -> str:
    """With so many significant digits and a true minus sign; thin spaces in long integers."""
    if not math.isfinite(value):
        return "none"
    if isinstance(value, int) or (value == int(value) and abs(value) >= 1000):
        return f"{int(value):,}".replace(",", "\u2009").replace("-", "−")
    if value and not 1e-4 <= abs(value) < 1e6:
        mantissa, exponent = f"{value:.{digits - 1}e}".split("e")
        text = f"{mantissa}·10{str(int(exponent)).translate(_RAISED)}"
    else:
        places = digits - 1 - (math.floor(math.log10(abs(value))) if value else 0)
        text = f"{value:.{max(places, 0)}f}"
    return ("+" if sign and value >= 0 else "") + text.replace("-", "−")


_RAISED = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def percent(share: float) -> str:
    """A share in percent, with two digits, or one below a percent."""
    if not math.isfinite(share):
        return "none"
    if share >= 0.1 or share == 0:
        return f"{100 * share:.0f} %"
    return f"{100 * share:.1f} %" if share >= 0.01 else f"{100 * share:.1g} %"


def with_error(value: float, error: float, *, sign: bool = True) -> str:
    """The value with as many digits as its error has, which has two."""
    if not (math.isfinite(error) and error > 0 and math.isfinite(value)):
        return rounded(value, 3, sign=sign)
    places = max(0, 1 - math.floor(math.log10(error)))
    return f"{value:{'+' if sign else ''}.{places}f} ± {error:.{places}f}".replace("-", "−")
