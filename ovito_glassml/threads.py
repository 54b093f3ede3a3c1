"""Threads: compiled functions on all processors, and a single one for the linear algebra library.

Kernels are compiled functions on one task, a range of the atoms of a block. Tasks are the same whatever the number
of threads, and so are the results, bit for bit.
"""

from __future__ import annotations

import math
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, wait
from contextlib import AbstractContextManager, contextmanager, nullcontext
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from threadpoolctl import ThreadpoolController

from ovito_glassml.progress import Progress

__all__ = ["LARGE_TASK_SIZE", "TASK_SIZE", "limit_threads", "one_blas_thread", "run_tasks", "thread_count"]

#: Atoms of one task: handing it to a thread takes as long as computing a few of them.
TASK_SIZE = 256
#: Of one whose kernel is a function in Python that calls compiled ones: no other thread runs Python meanwhile.
LARGE_TASK_SIZE = 1024


#: Stands among identifiers of threads for all of them.
_EVERYONE = 0

_lock = threading.Lock()
_users = Counter[int]()
#: By whom it concerns and its file, every library that was limited and the number of threads that it had before.
_limited: dict[tuple[int, str], tuple[Any, int]] = {}
#: What `limit_threads` asks for.
_most: int | None = None


def run_tasks(
    kernel: Callable[..., None],
    count: int,
    *arguments: Any,
    size: int = TASK_SIZE,
    progress: Progress | None = None,
    around: Callable[[], AbstractContextManager[None]] = nullcontext,
) -> None:
    """Call ``kernel(begin, end, *arguments)`` for ranges that make up 0 to `count`, on all threads.

    The thread that calls does its share, so that several may call at the same time, or one from within a task.

    Parameters
    ----------
    kernel : callable
        Compiled with `ovito_glassml.compile.kernel`. What two tasks write must not overlap.
    count : int
    *arguments
        Passed on.
    size : int, optional
        Of a range; the last may be shorter. Default: `TASK_SIZE`, for compiled kernels.
    progress : callable, optional
        Called with the fraction done, in the thread that calls, after each task of its own and at the end; may raise
        to stop.
    around : callable
        Gives the context in which each thread works, as `one_blas_thread` for kernels that multiply matrices.

    Raises
    ------
    The first error of a task or of `progress`, when the tasks that were under way have ended; no others begin.
    """
    starts = range(0, count, size)
    total, done = len(starts), deque[int]()
    threads = max(1, min(thread_count(), total))
    ends = [None] * threads  # where each of them stops
    tasks = deque([*starts, *ends])

    def work(report: Progress | None = None) -> None:
        try:
            with around():
                for begin in iter(tasks.popleft, None):
                    kernel(begin, min(begin + size, count), *arguments)
                    done.append(begin)
                    if report is not None and len(done) < total:
                        report(len(done) / total)
        except BaseException:
            tasks.extendleft(ends)
            raise

    helping = _helpers.ask(threads - 1, work)
    try:
        work(progress)
    finally:
        begun = [future for future in helping if not future.cancel()]
        wait(begun)
    for future in begun:
        future.result()
    if progress is not None:
        progress(1.0)


def thread_count() -> int:
    """Number of threads that tasks run on.

    ``NUMBA_NUM_THREADS`` where that is set, otherwise the processors that this process may use: those that the system
    or a batch queue has given it, and no more than a container is granted.
    """
    if _most is not None:
        return _most
    wanted = os.environ.get("NUMBA_NUM_THREADS", "")
    if wanted.isdecimal() and int(wanted):
        return int(wanted)
    return max(1, math.ceil(min(_processors(), _granted())))


def _processors() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@lru_cache
def _granted(root: Path = Path("/")) -> float:
    """Processors' worth of time that Linux grants to the control group of this process, see ``cpu.max``."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return math.inf
    base = root / "sys/fs/cgroup"
    granted = math.inf
    for name in (line.removeprefix("0::/") for line in groups if line.startswith("0::/")):
        group = base / name
        for folder in (group, *group.parents):
            if not folder.is_relative_to(base):
                break
            granted = min(granted, _quota(folder / "cpu.max"))
    return granted


def _quota(file: Path) -> float:
    try:
        quota, period = file.read_text().split()
        return int(quota) / int(period)
    except (OSError, ValueError, ZeroDivisionError):  # no such file, or "max"
        return math.inf


@contextmanager
def limit_threads(count: int) -> Iterator[None]:
    """Run tasks on this number of threads meanwhile, in the whole process."""
    global _most
    before, _most = _most, count
    try:
        yield
    finally:
        _most = before


class _Helpers:
    """Threads that wait for work, made when first needed.

    Daemons, unlike those of `ThreadPoolExecutor`, which keep the program from ending if Ctrl-C comes while they start.
    """

    def __init__(self) -> None:
        self.waiting: SimpleQueue[tuple[Future, Callable[[], None]]] = SimpleQueue()
        self.threads: list[threading.Thread] = []
        self.lock = threading.Lock()

    def ask(self, count: int, work: Callable[[], None]) -> list[Future]:
        """Have `count` threads call a function as soon as they can."""
        with self.lock:
            while len(self.threads) < count:
                thread = threading.Thread(target=self._run, name="ovito_glassml task", daemon=True)
                thread.start()
                self.threads.append(thread)
        futures: list[Future] = [Future() for _ in range(count)]
        for future in futures:
            self.waiting.put((future, work))
        return futures

    def _run(self) -> None:
        while True:
            future, work = self.waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
            del future, work


_helpers = _Helpers()


def _start_anew() -> None:
    """A forked process has none of its parent's threads, and who held a lock never returns it."""
    global _helpers, _lock
    _helpers, _lock = _Helpers(), threading.Lock()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_start_anew)


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
        for library in _libraries(len(sys.modules)):
            # OpenMP has a number for each thread.
            whom = here if getattr(library, "threading_layer", "") == "openmp" else _EVERYONE
            if (whom, library.filepath) not in _limited:
                _limited[whom, library.filepath] = library, library.num_threads
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


@lru_cache(maxsize=1)
def _libraries(modules: int) -> list[Any]:
    """The linear algebra libraries that are loaded; looking for them takes milliseconds.

    With a further module, of which there are `modules`, another one may have come.
    """
    found: list[Any] = ThreadpoolController().select(user_api="blas").lib_controllers
    return found


def _set_threads(library: Any, count: int) -> None:
    # From 3.8 on, threadpoolctl lets one thread alone set the number and silently ignores the others.
    release = getattr(library, "clear_controlling_thread", lambda force: None)
    release(force=True)
    library.set_num_threads(count)
    release(force=True)
