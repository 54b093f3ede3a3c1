"""Numeric functions that report progress by a callback, as generators that OVITO can cancel."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator
from concurrent.futures import CancelledError, Future, wait
from queue import SimpleQueue
from typing import Any, TypeVar

from ovito_glassml.compile import compiling

__all__ = ["part_of", "with_progress"]

Result = TypeVar("Result")

#: Seconds between two signs of life.
INTERVAL = 0.05
COMPILING = "Compiling for this computer, once after installation"
#: What a generator for OVITO yields: fractions done, and texts.
Sign = float | str


class _Worker:
    """One thread that does what is submitted, one thing after the other.

    A daemon, unlike the threads of `ThreadPoolExecutor`, which keep the program from ending if Ctrl-C
    comes while they start.
    """

    def __init__(self) -> None:
        self.waiting: SimpleQueue[tuple[Future, Callable[[], Any]]] = SimpleQueue()
        self.thread = threading.Thread(target=self._run, name="ovito_glassml", daemon=True)

    def submit(self, work: Callable[..., Result], *arguments: Any) -> Future[Result]:
        if not self.thread.is_alive():
            self.thread.start()
        future: Future[Result] = Future()
        self.waiting.put((future, lambda: work(*arguments)))
        return future

    def _run(self) -> None:
        while True:
            future, work = self.waiting.get()
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(work())
                except BaseException as error:
                    future.set_exception(error)
            del future, work


# One worker: compiled parallel code must not run in two threads at once on every platform, and
# OVITO may begin to evaluate a second pipeline while the generator of the first is suspended.
_worker = _Worker()


def with_progress(work: Callable[[Callable[[float], None]], Result]) -> Generator[Sign, None, Result]:
    """Do long work in a thread and yield the fraction done meanwhile, and a text while code is compiled.

    Use it in a modifier as ``rows = yield from with_progress(lambda report: compute(structure, report))``.
    Closing the generator, as OVITO does on cancellation, makes the next report end the work, and
    waits for that.

    Parameters
    ----------
    work : callable
        Takes a function to call with the fraction done every few hundredths of a second. It must
        not touch OVITO's objects, which belong to the main thread.

    Returns
    -------
    The result of `work`. Its exceptions are raised here.
    """
    stopped = threading.Event()
    fraction = 0.0

    def report(done: float) -> None:
        nonlocal fraction
        if stopped.is_set():
            raise CancelledError
        fraction = done

    future = _worker.submit(work, report)
    try:
        yield fraction
        said = False
        while wait([future], timeout=INTERVAL).not_done:
            if compiling() != said:
                said = not said
                yield COMPILING if said else "Computing"
            yield fraction
        return future.result()
    finally:
        stopped.set()
        future.cancel()
        wait([future])


def part_of(work: Generator[Sign, None, Result], begin: float, end: float) -> Generator[Sign, None, Result]:
    """The same work as a step of longer work that goes from fraction `begin` to `end` of it."""
    try:
        while True:
            sign = next(work)
            yield sign if isinstance(sign, str) else begin + (end - begin) * sign
    except StopIteration as finished:
        return finished.value
