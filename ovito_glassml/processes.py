"""Work in processes of its own, on this machine or on a Dask cluster.

Each call of a function gets a fresh process, whose main thread is what OVITO's finders and renderers want, and whose
memory goes back when it ends. It ends with whoever asked for it, however that ends: its input is a pipe that is never
written to again, and a worker also ends it when its scheduler no longer wants the result. What a call has done must
then be of use, or harm nothing, when the same call is made again.

This module imports neither OVITO nor NumPy by itself, so that a Dask worker stays as small as it was.
"""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import CancelledError, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ovito_glassml.errors import GlassMLError, told

__all__ = [
    "Answer",
    "BatchError",
    "Call",
    "LostError",
    "RefusedError",
    "Submit",
    "core_seconds",
    "here",
    "on",
    "on_cluster",
    "seen",
]

#: How often a call is made whose process is killed from outside, as for want of memory.
ATTEMPTS = 3

#: Seconds in which a scheduler must answer.
PATIENCE = 10.0

#: Seconds between looks at something that ends by itself.
LOOK = 0.1

#: Seconds in which a file that another machine has written must show.
SHARED_FOLDER_DELAY = 30.0

#: Libraries with threads of their own.
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OVITO_THREAD_COUNT")

#: Takes what the function of a call passes to its first argument while it runs.
Report = Callable[[Any], None]


class BatchError(GlassMLError):
    """Work cannot be spread over processes in this way; the message says why and what to do."""


class LostError(BatchError):
    """The scheduler has gone, and with it whatever was under way."""


class RefusedError(GlassMLError):
    """The sentence of an error of this package that ended a call."""


class _Spent:
    """Core seconds of the calls whose results have been taken."""

    elsewhere = 0.0


def core_seconds() -> float:
    """Processor time of this process and of the calls that it has had made."""
    return time.process_time() + _Spent.elsewhere


@dataclass(frozen=True)
class Call:
    """A function and its arguments, to be called elsewhere.

    Attributes
    ----------
    name : str
        What it is about, for messages.
    content : bytes
        Pickled, so that a worker need not import what they are made of.
    folder : str
        Where it works.
    environment : mapping
        Variables for its process.
    threads : int or None
        How many it may use; None: its share of the machine.
    priority : int
        On a cluster the highest comes first.
    """

    name: str
    content: bytes
    folder: str
    environment: Mapping[str, str] = field(default_factory=dict)
    threads: int | None = None
    priority: int = 0

    @classmethod
    def of(cls, name: str, function: Callable[..., Any], *arguments: Any, **options: Any) -> Call:
        """The call ``function(report, *arguments)``, in the folder of this process; the function is one of a module."""
        return cls(name, pickle.dumps((function, arguments)), os.getcwd(), **options)


@dataclass(frozen=True)
class Answer:
    """The result of a call, sooner or later. `future` is one of the standard library or of Dask."""

    name: str
    future: Any
    died: type[Exception] | tuple[()] = ()

    def done(self) -> bool:
        return self.future.done()

    def result(self) -> Any:
        """What the function returned.

        Raises
        ------
        RefusedError
            With the sentence of any other error of this package that the function raised.
        BatchError
            If the process was killed again and again, or the scheduler has gone (`LostError`).
        """
        try:
            value, seconds = pickle.loads(self.future.result())
        except self.died as error:
            raise BatchError(f"{self.name}: workers died of it again and again; give them more memory.") from error
        except CancelledError as error:
            raise LostError(
                f"{self.name}: the scheduler has gone; start it and the workers again, then repeat the command."
            ) from error
        _Spent.elsewhere += seconds
        return value


@dataclass(frozen=True)
class Submit:
    """Calls made at the same time; `places` is how many, as far as is known when the first begins."""

    places: int
    submit: Callable[[Call, Report], Answer]

    def __call__(self, call: Call, report: Report = lambda value: None) -> Answer:
        """Have a call made. On a cluster nothing is reported."""
        return self.submit(call, report)


def on(scheduler: str | None, processes: int) -> AbstractContextManager[Submit]:
    """Where calls are made: on the cluster of a scheduler, or here if there is none."""
    return here(processes) if scheduler is None else on_cluster(scheduler)


class Processes:
    """Processes that make calls, to be ended together."""

    def __init__(self, threads: int) -> None:
        self.threads = max(1, threads)
        self.stopped = threading.Event()
        self.running: set[subprocess.Popen] = set()

    def make(self, call: Call, report: Report) -> bytes:
        """The pickled result of a call and the time that it took; made again if its process is killed from outside."""
        status = 0
        for _ in range(ATTEMPTS):
            if self.stopped.is_set():
                break
            status, (kind, content) = self._run(call, report)
            if kind == "result":
                return content
            if kind == "refused":
                raise RefusedError(pickle.loads(content))
            if kind == "failed":
                raise BatchError(pickle.loads(content))
            if status >= 0 and not self.stopped.is_set():
                raise RuntimeError(
                    f"The process of {call.name} ended with status {status}; its traceback is above, "
                    "or in the log of the worker."
                )
        if self.stopped.is_set():
            raise CancelledError
        raise BatchError(
            f"{call.name}: the process was killed {ATTEMPTS} times, last by signal {-status}; "
            "is there memory enough? If not, use fewer at a time."
        )

    def _run(self, call: Call, report: Report) -> tuple[int, tuple[str, bytes]]:
        """Exit status of a process, and the last thing it said."""
        process = self._started(call)
        self.running.add(process)
        answer = ("nothing", b"")
        with suppress(BrokenPipeError):  # killed at once
            # The pipe stays open: its end tells the process that nobody waits any more.
            process.stdin.write(call.content)
            process.stdin.flush()
        with suppress(EOFError, pickle.UnpicklingError):  # at its end, also amid a word
            while True:
                answer = pickle.load(process.stdout)
                if answer[0] == "report":
                    report(pickle.loads(answer[1]))
        status = process.wait()
        self.running.discard(process)
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        return status, answer

    def _started(self, call: Call) -> Any:
        threads = str(call.threads or self.threads)
        environment = {**os.environ, **dict.fromkeys(_THREADS, threads), **call.environment}
        try:
            return subprocess.Popen(
                [sys.executable, "-m", "ovito_glassml.processes"],
                cwd=call.folder,
                env=environment,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                start_new_session=True,  # so that Ctrl-C reaches only this process, which then ends it
            )
        except FileNotFoundError as error:
            raise BatchError(
                f"{call.name}: there is no folder {call.folder}; workers must see the same folders as this machine."
            ) from error

    def stop(self) -> None:
        """End what runs and start nothing more."""
        self.stopped.set()
        for process in list(self.running):
            process.kill()


@contextmanager
def here(processes: int) -> Iterator[Submit]:
    """Have calls made on this machine, so many at a time; all end with the context."""
    made, pool = Processes((os.cpu_count() or 1) // processes), ThreadPoolExecutor(processes)
    futures = []

    def submit(call: Call, report: Report) -> Answer:
        futures.append(pool.submit(made.make, call, report))
        return Answer(call.name, futures[-1])

    try:
        yield Submit(processes, submit)
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        made.stop()
        while not all(future.done() for future in futures):
            made.stop()  # one may just have started
            time.sleep(0.02)


@contextmanager
def on_cluster(scheduler: str) -> Iterator[Submit]:
    """Have calls made by the workers of a Dask scheduler; all end with the context.

    Parameters
    ----------
    scheduler : str
        Its address. The workers must see the same folders as this process under the same names.

    Raises
    ------
    BatchError
        If it does not answer, or Dask is missing.
    """
    try:
        from distributed import Client, KilledWorker
    except ImportError as error:
        raise BatchError("Dask is not installed; install it with: pip install 'ovito-glassml[cluster]'") from error
    try:
        client = Client(scheduler, timeout=PATIENCE)
    except (OSError, ValueError, TimeoutError) as error:
        raise BatchError(
            f"No Dask scheduler answers at {scheduler}; start one with 'dask scheduler' and give the address it prints."
        ) from error
    with client:
        at_a_time: dict[str, int] = {}
        for address, threads in client.nthreads().items():
            host = str(urlsplit(address).hostname)
            at_a_time[host] = at_a_time.get(host, 0) + threads
        run = f"{os.getpid()}-{time.time_ns()}"  # no result of an earlier run is meant
        futures: list[Any] = []

        def submit(call: Call, report: Report) -> Answer:
            key = f"glassml-{run}-{len(futures)}"
            futures.append(client.submit(_on_worker, call, at_a_time, key=key, priority=call.priority))
            return Answer(call.name, futures[-1], KilledWorker)

        yield Submit(max(1, sum(at_a_time.values())), submit)


def _on_worker(call: Call, at_a_time: Mapping[str, int]) -> bytes:
    """Make a call in a process on the machine of a worker, as long as the result is wanted."""
    from distributed import get_worker

    worker = get_worker()
    key, tasks = worker.get_current_task(), at_a_time.get(str(urlsplit(worker.address).hostname), worker.state.nthreads)
    made, ended = Processes((os.cpu_count() or 1) // tasks), threading.Event()

    def watch() -> None:
        # Dask cannot end a function that runs; it only forgets what it was for.
        while not ended.wait(LOOK):
            task = worker.state.tasks.get(key)
            if task is None or task.state == "cancelled":
                made.stop()

    threading.Thread(target=watch, daemon=True).start()
    try:
        return made.make(call, lambda value: None)
    finally:
        ended.set()


def seen(file: Path) -> Path:
    """Wait for a file that has been written, perhaps on another machine: network file systems show new files late.

    Raises
    ------
    BatchError
        If it does not show.
    """
    deadline = time.monotonic() + SHARED_FOLDER_DELAY
    while not file.exists():
        if time.monotonic() > deadline:
            raise BatchError(
                f"{file} has been written, but is not to be seen here; all workers and the machine that they work for "
                "must share its folder under the same name."
            )
        time.sleep(LOOK)
    return file


def _main() -> None:
    function, arguments = pickle.load(sys.stdin.buffer)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What is printed goes to the terminal, not among the answers.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def answer(kind: str, content: object) -> None:
        pickle.dump((kind, pickle.dumps(content)), answers)
        answers.flush()

    try:
        value = function(lambda value: answer("report", value), *arguments)
        answer("result", (value, core_seconds()))
    except GlassMLError as error:
        answer("refused", str(error))
        sys.exit(2)
    except OSError as error:  # such as a full disk
        answer("failed", told(error))
        sys.exit(2)


def _end_with_parent() -> None:
    while os.read(0, 1000):  # through no buffer, whose lock would be held when the process ends by itself
        pass
    os._exit(3)


if __name__ == "__main__":
    _main()
