"""Threads of the linear algebra library, for as long as somebody wants a single one."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

__all__ = ["one_blas_thread"]

#: Stands among identifiers of threads for all of them.
_EVERYONE = 0

_lock = threading.Lock()
_users = Counter[int]()
#: By whom it concerns and its file, every library that was limited and the number of threads that it had before.
_limited: dict[tuple[int, str], tuple[Any, int]] = {}


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Multiply matrices on one thread meanwhile; also a decorator.

    Threads of the library would fight with those of a kernel, small products are slower on many threads, and sums
    depend on their number. Several threads may ask for it at the same time; who ends last puts the number of before
    back.
    """
    here = threading.get_ident()
    with _lock:
        _users.update((_EVERYONE, here))
        for library in ThreadpoolController().select(user_api="blas").lib_controllers:  # one may just have been loaded
            # OpenMP has a number for each thread.
            whom = here if getattr(library, "threading_layer", "") == "openmp" else _EVERYONE
            _limited.setdefault((whom, library.filepath), (library, library.num_threads))
            _set_threads(library, 1)
    try:
        yield
    finally:
        with _lock:
            _users.subtract((_EVERYONE, here))
            for whom, file in [key for key in _limited if not _users[key[0]]]:
                _set_threads(*_limited.pop((whom, file)))
            if not _users[here]:
                del _users[here]


def _set_threads(library: Any, count: int) -> None:
    # From 3.8 on, threadpoolctl lets one thread alone set the number and silently ignores the others.
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(count)
    release(force=True)
