"""One decorator for every compiled function, so that caching behaves alike everywhere."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numba

__all__ = ["compiled"]


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` with the machine code kept on disk wherever a folder can be written.

    Numba refuses to decorate a function at all when neither the package's own folder nor the
    user's cache folder (nor ``NUMBA_CACHE_DIR``) is writable, as in a shared installation
    without a home directory. The function is then compiled anew in every process.

    Parameters
    ----------
    **options
        Passed on to `numba.njit`.
    """

    def decorate(function: Callable) -> Any:
        try:
            return numba.njit(cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(**options)(function)

    return decorate
