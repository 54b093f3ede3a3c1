"""Many frames in many processes, on this machine or on a Dask cluster.

The frames are cut into ranges. Each range is computed by a process of its own, which leaves two files in a hidden
folder beside the output: the frames as they will stand there, and their attributes with what modifiers had to say.
The parent appends finished ranges to the output in order, and says each thing once, wherever it was computed. After a
kill, ranges that are whole and were made from the same input are used again.

This module imports neither OVITO nor NumPy by itself, so that a Dask worker stays as small as it was.
"""

from __future__ import annotations

import glob
import hashlib
import io
import json
import os
import re
import shutil
import threading
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any

import ovito_glassml
from ovito_glassml.files import appearing, sole_writer, write_atomically
from ovito_glassml.processes import BatchError, Call, RefusedError, on, seen
from ovito_glassml.progress import Report, silent

__all__ = ["BatchError", "FrameRange", "annotate_in_ranges"]

#: Longest range. A process takes seconds to start; a lost one should cost minutes.
LONGEST_RANGE = 200

#: Counts what the files of ranges hold: those of another count are computed anew.
CONTENT = 2

#: Ranges that a shorter job is cut into, so that all processes have work until the end.
FEWEST_RANGES = 32


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
    part : str
        Results go to this path with ``.frames`` and ``.json`` appended; the latter comes last.
    atom_style : str
        Of a LAMMPS data file that does not say it.
    """

    file: str
    frames: list[int]
    modifiers: list[list[Any]]
    style: str
    part: str
    atom_style: str = ""

    def path(self, ending: str) -> Path:
        return Path(self.part + ending)

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
    progress: Report = silent,
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
        key = _digest([ovito_glassml.__version__, CONTENT, style, made_by, _stamps(made_by), *made_from])
        for start in range(0, len(selection), length):
            part = list(selection[start : start + length])
            name = str(folder / _digest([key, part]))
            ranges.append(FrameRange(str(file), part, made_by, style, name, atom_style))
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
    # The time of the last change, too: a file can be replaced by one of the same size and time of writing.
    return [[name, status.st_size, status.st_mtime_ns, status.st_ctime_ns] for name, status in kept]


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
    progress: Report,
) -> dict[str, object]:
    """Write output and attributes; returns the last value of every attribute."""
    from ovito_glassml.adapter.files import AttributeTable, FileError, whole_or_nothing

    todo = {item.part: item for item in ranges if not item.is_done}  # a file may be given twice
    counter = _Counter(ranges, todo, progress)
    last: dict[str, object] = {}
    said: set[str] = set()
    with whole_or_nothing(output, folder) as sink, AttributeTable(attributes) as table, on(scheduler, jobs) as submit:
        answers = {
            part: submit(Call.of(str(item), _compute_range, item), partial(counter.done, item))
            for part, item in todo.items()
        }
        for item in ranges:
            if item.part in answers:
                try:
                    answers[item.part].result()
                except RefusedError as error:
                    raise FileError(str(error)) from error
                seen(item.path(".json"))
                counter.done(item, len(item.frames))
            with open(item.path(".frames"), "rb") as part:
                shutil.copyfileobj(part, sink, 1 << 20)
            content = json.loads(item.path(".json").read_text())
            for record in content["records"]:
                table.add(record)
                last.update(record)
            _say(content["said"], said)
        table.write()
    return last


def _say(lines: Sequence[str], said: set[str]) -> None:
    """Print what was not said of an earlier frame, with whatever numbers; each line begins with its file and frame."""
    for line in lines:
        file, _, sentence = line.partition(", frame ")
        subject = file + re.sub(r"[\d.]+", "", sentence)
        if subject not in said:
            said.add(subject)
            print(line)


class _Counter:
    """Frames done, reported for all processes together."""

    def __init__(self, ranges: Sequence[FrameRange], todo: dict[str, FrameRange], progress: Report) -> None:
        self.frames = {item.part: 0 if item.part in todo else len(item.frames) for item in ranges}
        self.total = sum({item.part: len(item.frames) for item in ranges}.values())
        self.progress, self.lock = progress, threading.Lock()
        self._report()

    def done(self, item: FrameRange, frames: int) -> None:
        """So many frames of a range are done."""
        with self.lock:
            if self.frames[item.part] != frames:
                self.frames[item.part] = frames
                self._report()

    def _report(self) -> None:
        done = sum(self.frames.values())
        self.progress(done / self.total, f"{done} of {self.total} frames done")


def _compute_range(report: Callable[[int], None], item: FrameRange) -> None:
    """Called in a process of its own."""
    if item.is_done:  # by a worker that was lost before it could say so
        return
    from ovito_glassml.adapter.files import computed, open_trajectory, record_of

    file, records = item.file, []
    modifiers = [_rebuilt(description) for description in item.modifiers]
    pipeline = open_trajectory(file, item.atom_style)
    said = io.StringIO()
    with appearing(item.path(".frames")) as sink, redirect_stdout(said):
        for frame, data, text in computed(pipeline, file, item.frames, modifiers, item.style):
            sink.write(text)
            records.append(record_of(data, file, frame))
            report(len(records))
    content = {"records": records, "said": said.getvalue().splitlines()}
    write_atomically(item.path(".json"), json.dumps(content).encode())
