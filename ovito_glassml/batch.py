"""Many frames in many processes, on this machine or on a Dask cluster.

The frames are cut into ranges. Each range is computed by a fresh process, whose main thread is what OVITO's
finders and renderers want, and whose memory goes back when it ends. It leaves two files in a hidden folder
beside the output: the frames as they will stand there, and their attributes. The parent appends finished ranges
to the output in order. After a kill, ranges that are whole and were made from the same input are used again.

This module imports neither OVITO nor NumPy by itself, so that a Dask worker stays as small as it was.
"""

from __future__ import annotations

import glob
import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import ovito_glassml
from ovito_glassml.atomic import appearing, sole_writer, write_atomically
from ovito_glassml.errors import GlassMLError

__all__ = ["BatchError", "FrameRange", "annotate_in_ranges"]

#: Longest range. A process takes seconds to start; a lost one should cost minutes.
LONGEST_RANGE = 200

#: Ranges that a shorter job is cut into, so that all processes have work until the end.
FEWEST_RANGES = 32

#: How often a range is tried whose process is killed from outside, as for want of memory.
ATTEMPTS = 3

#: Seconds in which a scheduler must answer.
PATIENCE = 10.0

#: Seconds in which a file that another machine has written must show.
SHARED_FOLDER_DELAY = 30.0

#: Libraries with threads of their own.
_THREADS = ("NUMBA_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OVITO_THREAD_COUNT")

Progress = Callable[[float, str], None]


class BatchError(GlassMLError):
    """The frames cannot be computed in this way; the message says why and what to do."""


@dataclass(frozen=True)
class FrameRange:
    """Frames that one process computes; plain values only, so that it can be sent anywhere.

    Attributes
    ----------
    file : str
        As the user wrote it.
    frames : list of int
        Numbers within the file.
    modifiers : list
        Module, class and parameters of every modifier.
    style : str
        OVITO's name for the output format.
    folder : str
        Where the process works, and where `part` is understood.
    part : str
        Results go to this path with ``.frames`` and ``.json`` appended; the latter comes last.
    atom_style : str
        Of a LAMMPS data file that does not say it.
    """

    file: str
    frames: list[int]
    modifiers: list[list[Any]]
    style: str
    folder: str
    part: str
    atom_style: str = ""

    def path(self, ending: str) -> Path:
        return Path(self.folder, self.part + ending)

    @property
    def is_done(self) -> bool:
        return self.path(".json").exists()

    def __str__(self) -> str:
        return f"{self.file}, frames {self.frames[0]} to {self.frames[-1]}"


def annotate_in_ranges(
    files: Sequence[Path | str],
    modifiers: Sequence[Any],
    output: Path,
    *,
    frames: slice = slice(None),
    attributes: Path | None = None,
    atom_style: str = "",
    jobs: int = 1,
    scheduler: str | None = None,
    range_length: int | None = None,
    progress: Progress = lambda fraction, text: None,
) -> tuple[int, dict[str, object]]:
    """Do what `adapter.files.annotate` does, with the same bytes as the result, by processes that share the frames.

    A run that is interrupted or killed leaves a folder ``.OUTPUT.parts`` beside the output, and the same call goes
    on from there. Ranges are computed anew if the input, the modifiers, the files that these name, or the version of
    the package have changed.

    Parameters
    ----------
    files, modifiers, output, frames, attributes
        As for `annotate`. A modifier is made anew in every process from its class and parameters.
    jobs : int
        Processes at a time on this machine; each gets its share of the cores.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers then start the processes. They must see the same folders under
        the same names. `jobs` does not matter then.
    range_length : int, optional
        Frames of a range. Default: a 32nd of all, at most 200.
    progress : callable
        Fraction and text.

    Returns
    -------
    count : int
        Number of frames written.
    attributes : dict
        The last value of every scalar attribute.

    Raises
    ------
    BusyError
        If another process writes the same output.
    FileError
        As `annotate`, with the same sentence: that of the first frame that fails.
    BatchError
        If the scheduler does not answer, Dask is missing, or the process of a range is killed again and again.
    """
    from ovito_glassml.adapter.files import FileError, check_rows, open_trajectory, output_style

    style = output_style(output, attributes, files)
    chosen = [range(open_trajectory(file, atom_style).num_frames)[frames] for file in files]
    for file in files:
        check_rows(file)
    total = sum(len(selection) for selection in chosen)
    if total == 0:
        raise FileError("No frame is selected; give a range that the trajectory has.")
    length = range_length or min(LONGEST_RANGE, -(-total // FEWEST_RANGES))
    folder = output.with_name(f".{output.name}.parts")
    made_by = [_described(modifier) for modifier in modifiers]
    ranges = []
    for file, selection in zip(files, chosen, strict=True):
        made_from = [str(file), _stamp(str(file)), atom_style]
        key = _digest([ovito_glassml.__version__, style, made_by, _stamps(made_by), *made_from])
        for start in range(0, len(selection), length):
            part = list(selection[start : start + length])
            name = str(folder / _digest([key, part]))
            ranges.append(FrameRange(str(file), part, made_by, style, os.getcwd(), name, atom_style))
    with sole_writer(output, attributes):
        _keep_only(folder, ranges)
        try:
            last = _compute_and_join(ranges, output, attributes, folder, jobs, scheduler, progress)
        except FileError:
            shutil.rmtree(folder)  # the input is at fault, so nothing of this will be wanted again
            raise
        except BaseException:
            with suppress(OSError):
                folder.rmdir()  # unless a range is done
            raise
        shutil.rmtree(folder, ignore_errors=True)  # a worker of a killed run may still write there
    return total, last


def _described(modifier: Any) -> list[Any]:
    """Module, class and parameters, which JSON knows."""
    values = modifier.trait_get(modifier.editable_traits())
    for name, value in list(values.items()):
        if hasattr(value, "source_path"):  # a second input, which is made from the name of its file
            values[name] = re.sub("^file:/*(?=/|[A-Za-z]:)", "", value.source_path)
            if not value.source_path:
                del values[name]
    return [type(modifier).__module__, type(modifier).__qualname__, values]


def _rebuilt(description: Sequence[Any]) -> Any:
    module, name, values = description
    modifier = getattr(import_module(module), name)()
    for parameter, value in values.items():
        setattr(modifier, parameter, value)
    return modifier


def _digest(content: object) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:32]


def _stamps(made_by: Sequence[Sequence[Any]]) -> list[object]:
    """Stamps of the files that parameters name, such as a model of one's own."""
    texts = [value for *_, values in made_by for value in values.values() if isinstance(value, str) and value]
    return [_stamp(text) for text in texts]


def _stamp(pattern: str) -> list[object]:
    """What changes when a file does, or one of the files that a pattern with ``*`` matches; [] if there is none."""
    found = sorted(glob.glob(pattern)) if "*" in pattern else [pattern]
    kept = [(os.path.abspath(name), os.stat(name)) for name in found if os.path.isfile(name)]
    return [[name, status.st_size, status.st_mtime_ns] for name, status in kept]


def _keep_only(folder: Path, ranges: Sequence[FrameRange]) -> None:
    """An existing or new folder with nothing in it but whole ranges that are wanted."""
    folder.mkdir(exist_ok=True)
    wanted = {item.path(ending).name for item in ranges if item.is_done for ending in (".frames", ".json")}
    for file in folder.iterdir():
        if file.name not in wanted:
            file.unlink()


def _compute_and_join(
    ranges: Sequence[FrameRange],
    output: Path,
    attributes: Path | None,
    folder: Path,
    jobs: int,
    scheduler: str | None,
    progress: Progress,
) -> dict[str, object]:
    """Write output and attributes; returns the last value of every attribute."""
    from ovito_glassml.adapter.files import AttributeTable, whole_or_nothing

    todo = {item.part: item for item in ranges if not item.is_done}  # a file may be given twice
    counter = _Counter(ranges, todo, progress)
    started = _on_cluster(list(todo.values()), scheduler, counter) if scheduler else _here(todo.values(), jobs, counter)
    last: dict[str, object] = {}
    with whole_or_nothing(output, folder) as sink, AttributeTable(attributes) as table, started as wait_for:
        for item in ranges:
            if item.part in todo:
                wait_for(item)
            with open(item.path(".frames"), "rb") as part:
                shutil.copyfileobj(part, sink, 1 << 20)
            for record in json.loads(item.path(".json").read_text()):
                table.add(record)
                last.update(record)
        table.write()
    return last


class _Counter:
    """Frames done, reported for all processes together."""

    def __init__(self, ranges: Sequence[FrameRange], todo: dict[str, FrameRange], progress: Progress) -> None:
        self.frames = {item.part: 0 if item.part in todo else len(item.frames) for item in ranges}
        self.total = sum({item.part: len(item.frames) for item in ranges}.values())
        self.progress, self.lock = progress, threading.Lock()
        self._report()

    def done(self, item: FrameRange, frames: int) -> None:
        """So many frames of a range are done."""
        with self.lock:
            self.frames[item.part] = frames
            self._report()

    def _report(self) -> None:
        done = sum(self.frames.values())
        self.progress(done / self.total, f"{done} of {self.total} frames done")


class _Processes:
    """Processes that compute ranges, to be ended together."""

    def __init__(self, threads: int) -> None:
        self.stopped = threading.Event()
        self.running: set[subprocess.Popen] = set()
        # In a session of their own, so that Ctrl-C reaches only this process, which then ends them.
        self.options: dict[str, Any] = {
            "env": {**os.environ, **dict.fromkeys(_THREADS, str(max(1, threads)))},
            "stdin": subprocess.PIPE,
            "stdout": subprocess.PIPE,
            "start_new_session": True,
            "text": True,
        }

    def compute(self, item: FrameRange, report: Callable[[int], None]) -> None:
        """Compute a range in a process of its own, again if that is killed from outside."""
        status = 0
        for _ in range(ATTEMPTS):
            if self.stopped.is_set():
                return
            status, answer = self._run(item, report)
            if "refused" in answer:
                raise _file_error(answer["refused"])
            if "failed" in answer:
                raise BatchError(answer["failed"])
            if status == 0:
                return
            if status > 0:
                raise RuntimeError(f"The process of {item} ended with status {status}; its traceback is above.")
        raise BatchError(
            f"{item}: the process was killed {ATTEMPTS} times, last by signal {-status}; "
            "is there memory enough? If not, use fewer at a time."
        )

    def _run(self, item: FrameRange, report: Callable[[int], None]) -> tuple[int, dict[str, Any]]:
        """Exit status of a process, and the last thing it said."""
        process: Any = subprocess.Popen([sys.executable, "-m", "ovito_glassml.batch"], cwd=item.folder, **self.options)
        self.running.add(process)
        answer: dict[str, Any] = {}
        with suppress(BrokenPipeError):  # killed at once
            # The pipe stays open: its end tells the process that nobody waits any more.
            process.stdin.write(json.dumps(asdict(item)) + "\n")
            process.stdin.flush()
        for line in process.stdout:
            answer = json.loads(line)
            if "frames" in answer:
                report(answer["frames"])
        status = process.wait()
        self.running.discard(process)
        with suppress(BrokenPipeError):
            process.stdin.close()
        process.stdout.close()
        return status, answer

    def stop(self) -> None:
        """End what runs and start nothing more."""
        self.stopped.set()
        for process in list(self.running):
            process.kill()


def _file_error(sentence: str) -> GlassMLError:
    from ovito_glassml.adapter.files import FileError

    return FileError(sentence)


@contextmanager
def _here(todo: Iterable[FrameRange], jobs: int, counter: _Counter) -> Iterator[Callable[[FrameRange], None]]:
    """Compute the ranges on this machine, `jobs` at a time; yields a function that waits for one of them."""
    processes = _Processes((os.cpu_count() or 1) // jobs)
    pool = ThreadPoolExecutor(jobs)

    def work(item: FrameRange) -> None:
        processes.compute(item, lambda frames: counter.done(item, frames))

    futures = {item.part: pool.submit(work, item) for item in todo}
    for future in futures.values():
        future.add_done_callback(lambda done: _cancel_after(done, list(futures.values())))
    try:
        yield lambda item: futures[item.part].result()
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
        processes.stop()
        while not all(future.done() for future in futures.values()):
            processes.stop()  # one may just have started
            time.sleep(0.02)


def _cancel_after(done: Future, futures: list[Future]) -> None:
    """After a failure the later ranges are in vain; the earlier ones may fail too, and their sentence comes first."""
    if not done.cancelled() and done.exception() is not None:
        for later in futures[futures.index(done) + 1 :]:
            later.cancel()


# On a cluster.


@contextmanager
def _on_cluster(
    todo: Sequence[FrameRange], scheduler: str, counter: _Counter
) -> Iterator[Callable[[FrameRange], None]]:
    """Hand the ranges to a Dask scheduler; yields a function that waits for one of them."""
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
        futures = {
            item.part: client.submit(_on_worker, asdict(item), at_a_time, key=f"glassml-{Path(item.part).name}-{run}")
            for item in todo
        }

        def wait_for(item: FrameRange) -> None:
            try:
                sentence = futures[item.part].result()
            except KilledWorker as error:
                raise BatchError(f"{item}: workers died of it again and again; give them more memory.") from error
            if sentence:
                raise _file_error(sentence)
            _wait_until_seen(item)
            counter.done(item, len(item.frames))

        yield wait_for


def _on_worker(task: dict[str, Any], at_a_time: dict[str, int]) -> str:
    """Compute a range in a process on the machine of a worker; returns the sentence of an input error, or nothing."""
    from distributed import get_worker

    item, worker = FrameRange(**task), get_worker()
    if item.is_done:  # by a worker that was lost before it could say so
        return ""
    tasks = at_a_time.get(str(urlsplit(worker.address).hostname), worker.state.nthreads)
    try:
        _Processes((os.cpu_count() or 1) // tasks).compute(item, lambda frames: None)
    except BatchError:
        raise
    except GlassMLError as error:  # returned, because Dask would try again
        return str(error)
    return ""


def _wait_until_seen(item: FrameRange) -> None:
    """Network file systems show new files late."""
    deadline = time.monotonic() + SHARED_FOLDER_DELAY
    while not item.is_done:
        if time.monotonic() > deadline:
            raise BatchError(
                f"A worker has written {item.path('.json')}, which is not to be seen here; "
                "workers and this machine must share the folder of the output under the same name."
            )
        time.sleep(0.1)


# In the process of a range.


def _compute_range(item: FrameRange, report: Callable[[int], None]) -> None:
    from ovito_glassml.adapter.files import computed, open_trajectory, record_of

    file, records = item.file, []
    modifiers = [_rebuilt(description) for description in item.modifiers]
    pipeline = open_trajectory(file, item.atom_style)
    with appearing(item.path(".frames")) as sink:
        for frame, data, text in computed(pipeline, file, item.frames, modifiers, item.style):
            sink.write(text)
            records.append(record_of(data, file, frame))
            report(len(records))
    write_atomically(item.path(".json"), json.dumps(records).encode())


def _main() -> None:
    item = FrameRange(**json.loads(sys.stdin.readline()))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # What modifiers print goes to the terminal, not among the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**content: object) -> None:
        answers.write(json.dumps(content) + "\n")
        answers.flush()

    try:
        _compute_range(item, lambda frames: answer(frames=frames))
    except GlassMLError as error:
        answer(refused=str(error))
        sys.exit(2)
    except OSError as error:  # such as a full disk
        answer(failed=str(error))
        sys.exit(2)


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(3)


if __name__ == "__main__":
    _main()
