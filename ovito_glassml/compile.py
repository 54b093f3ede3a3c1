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

    Numba also keeps the machine code of a caller when only the file of a function it calls has
    changed, with the old callee inside. Here the code is renewed then.

    Parameters
    ----------
    **options
        Passed on to `numba.njit`.
    """

    def decorate(function: Callable) -> Any:
        try:
            dispatcher = numba.njit(cache=True, **options)(function)
        except RuntimeError:
            return numba.njit(**options)(function)
        _renew_with_callees(dispatcher)
        return dispatcher

    return decorate


def _renew_with_callees(dispatcher: Any) -> None:
    """Make the stamp by which cached code counts as fresh depend on the files of all callees."""
    # Numba offers no public way; without these attributes its own rule stays in force.
    file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not hasattr(file, "_source_stamp"):
        return
    function = dispatcher.py_func
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    stamps = [vars(callee.py_func).get("source_stamp") for callee in called if hasattr(callee, "py_func")]
    function.source_stamp = file._source_stamp = (file._source_stamp, *stamps)
