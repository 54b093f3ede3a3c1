"""How much memory this machine has, and whether a result fits into it."""

from __future__ import annotations

import os

import numpy as np
from numpy.typing import DTypeLike

from ovito_glassml.structure import StructureError

__all__ = ["check_memory", "physical_memory"]


def physical_memory() -> float:
    """Bytes of main memory of this machine, infinite where the system does not tell."""
    try:
        return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def check_memory(count: int, features: int, dtype: DTypeLike) -> None:
    """Refuse rows of features that would not fit into the machine's memory.

    Raises
    ------
    StructureError
    """
    needed = count * features * np.dtype(dtype).itemsize
    if needed > 0.8 * physical_memory():
        raise StructureError(
            f"{count} rows of {features} features take {needed / 1e9:.0f} GB, more than this machine's memory; "
            "select fewer atoms or reduce them block by block with iterate_blocks."
        )
