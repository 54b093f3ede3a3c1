"""Machine learning for glasses inside OVITO.

Modifiers and viewport layers are imported when they are first asked for, so that ``import ovito_glassml`` alone
costs nothing.
"""

from __future__ import annotations

from typing import Any

from ovito_glassml.modifiers.registry import MODIFIERS as _MODIFIERS
from ovito_glassml.modifiers.registry import OVERLAYS as _OVERLAYS

__version__ = "0.1.0"

_BY_CLASS = {entry.class_name: entry for entry in (*_MODIFIERS, *_OVERLAYS)}

__all__ = sorted(_BY_CLASS)


def __getattr__(name: str) -> Any:
    if name not in _BY_CLASS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return _BY_CLASS[name].load()


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
