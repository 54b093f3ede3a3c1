"""Trajectories from disk through modifiers to disk, frame by frame."""

from __future__ import annotations

import csv
import gzip
import io
import itertools
import json
import re
import tempfile
import textwrap
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.io import import_file
from ovito.pipeline import ModifierInterface, Pipeline

from ovito_glassml.adapter.compression import gzip_has_one_part, zstandard_has_one_part
from ovito_glassml.adapter.formats import FORMATS, formatted
from ovito_glassml.adapter.input import plain_name, structure_from_data
from ovito_glassml.adapter.sources import FileError, location_of, original_of
from ovito_glassml.errors import GlassMLError
from ovito_glassml.files import appearing, sole_writer
from ovito_glassml.structure import Structure

__all__ = [
    "AttributeTable",
    "FileError",
    "annotate",
    "attributes_of",
    "check_rows",
    "computed",
    "open_trajectory",
    "outcome",
    "output_style",
    "read_columns",
    "read_labelled",
    "record_of",
    "whole_or_nothing",
]

#: Bytes in which a LAMMPS data file names its cell.
LONGEST_HEADER = 4096

#: Letters of OVITO's own words in a message.
LONGEST_REPORT = 300

_STYLE_REMEDY = " Write it into the file, as in 'Atoms # full', or give it, as in --atom-style full or charge."


def open_trajectory(file: Path | str, atom_style: str = "") -> Pipeline:
    """Pipeline over the frames of any file OVITO reads.

    Parameters
    ----------
    file : Path or str
        Also a pattern with ``*``, or an address that begins with ``https://``, ``http://`` or ``sftp://``.
    atom_style : str
        Of a LAMMPS data file that does not say it, such as ``"charge"`` or ``"hybrid molecular charge"``.

    Raises
    ------
    FileError
        If the file is missing, damaged, or of a format that OVITO does not know.
    """
    location = location_of(file)
    name = location if "://" in location else file
    style, *parts = atom_style.split() or [""]
    options: dict[str, Any] = {"atom_style": style} if style else {}
    if parts:
        options["atom_substyles"] = tuple(parts)
    try:
        return _imported(location, options)
    except KeyError as error:
        if not style:
            raise
        raise FileError(f"{name} cannot be read with atom style {atom_style!r}: {_one_line(error.args[0])}") from error
    except RuntimeError as error:
        remedy = "" if style or "atom style" not in str(error) else _STYLE_REMEDY
        raise FileError(f"{name} cannot be read: {_one_line(str(error))}{remedy}") from error


def _imported(location: str, options: dict[str, Any]) -> Pipeline:
    """All frames of a file: without the option, OVITO may find one of many once it has rendered or used the network."""
    try:
        return import_file(location, multiple_frames=True, **options)
    except KeyError:  # readers written in Python do not know it
        return import_file(location, **options)


def check_rows(file: Path | str) -> None:
    """Refuse files of which OVITO would leave out a part without an error; reads the file once.

    These are files with more atoms than their headers count (LAMMPS files, XYZ and POSCAR, unless compressed as
    ``.zst``), and compressed files that were appended to. Of a trajectory that breaks off, the whole frames are
    used, as OVITO does.

    Raises
    ------
    FileError
        With the line.
    """
    file = Path(file)
    if not file.is_file():
        return
    try:
        surplus, one_part = _examined(Path(location_of(file)))
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise FileError(f"{file} is damaged ({_one_line(str(error))}); write it again.") from error
    if surplus:
        raise FileError(
            f"{file} has more atoms than its headers count (line {surplus}); correct the count or write it again."
        )
    if not one_part:
        tool = "gzip" if file.suffix == ".gz" else "zstd"
        raise FileError(
            f"{file} has been appended to and OVITO would read only its first part; "
            f"write it in one piece with: {tool} -dc OLD{file.suffix} | {tool} > NEW{file.suffix}"
        )


def _examined(file: Path) -> tuple[int, bool]:
    """Number of the first line too many, or 0, and whether a compressed file is in one piece."""
    if file.suffix == ".zst":
        return 0, zstandard_has_one_part(file)
    packed = file.suffix == ".gz"
    reader: Callable = gzip.open if packed else open
    with reader(file, "rb") as lines:
        header = lines.read(LONGEST_HEADER)
        lines.seek(0)
        surplus = 0
        if header.startswith(b"ITEM:"):
            surplus = _surplus_in_dump(enumerate(lines, start=1))
        elif re.search(rb"^.*\sxlo\s+xhi\b", header, re.MULTILINE):
            surplus = _surplus_in_data(enumerate(lines, start=1))
        elif re.search(r"xyz(\.gz)?$", file.name):
            surplus = _surplus_in_xyz(enumerate(lines, start=1))
        elif re.search(r"POSCAR|CONTCAR|\.(vasp|poscar)(\.gz)?$", file.name):
            surplus = _surplus_in_poscar(enumerate(lines, start=1))
        if not packed or surplus:
            return surplus, True
        while lines.read(1 << 20):
            pass
        return 0, gzip_has_one_part(file, lines.tell())


def _surplus_in_dump(numbered: Iterator[tuple[int, bytes]]) -> int:
    """Number of the first line that follows the counted atoms of a frame and begins no other; 0 if there is none."""
    count = 0
    for _, line in numbered:
        if line.startswith(b"ITEM: NUMBER OF ATOMS"):
            count = int(next(numbered, (0, b"0"))[1])
        elif line.startswith(b"ITEM: ATOMS"):
            after = next(itertools.islice(numbered, count, None), None)
            if after is not None and after[1].strip() and not after[1].startswith(b"ITEM:"):
                return after[0]
    return 0


def _surplus_in_data(numbered: Iterator[tuple[int, bytes]]) -> int:
    """As `_surplus_in_dump`, for the section of a data file."""
    count = 0
    for _, line in numbered:
        if found := re.match(rb"\s*(\d+)\s+atoms\b", line):
            count = int(found[1])
        elif line.split()[:1] == [b"Atoms"]:
            after = next(itertools.islice(numbered, count + 1, None), None)  # a blank line comes first
            return after[0] if after is not None and re.match(rb"\s*\d", after[1]) else 0
    return 0


def _surplus_in_xyz(numbered: Iterator[tuple[int, bytes]]) -> int:
    """As `_surplus_in_dump`."""
    for place, line in numbered:
        if line.strip():
            if not line.strip().isdigit():
                return place
            next(itertools.islice(numbered, int(line), None), None)  # the comment and all atoms but one, and one
    return 0


def _surplus_in_poscar(numbered: Iterator[tuple[int, bytes]]) -> int:
    """As `_surplus_in_dump`; velocities may follow after another line."""
    lines = itertools.islice(numbered, 5, None)
    for _, line in lines:
        words = line.split()
        if words and all(word.isdigit() for word in words):
            count = sum(map(int, words))
            break
    else:
        return 0
    for _, line in lines:
        if not line.strip().lower().startswith(b"s"):  # selective dynamics
            break
    after = next(itertools.islice(lines, count, None), None)
    return after[0] if after is not None and re.match(rb"\s*[-+.]?\d", after[1]) else 0


def annotate(
    files: Sequence[Path | str],
    modifiers: Sequence[ModifierInterface],
    output: Path,
    *,
    frames: slice = slice(None),
    attributes: Path | None = None,
    atom_style: str = "",
    on_frame: Callable[[int, int, DataCollection], None] = lambda done, total, data: None,
) -> int:
    """Run every frame of every file through the modifiers and write the annotated particles.

    Parameters
    ----------
    files : sequence of Path or str
        Anything OVITO reads, see `open_trajectory`.
    modifiers : sequence
        Applied in this order.
    output : Path
        Ends in one of `FORMATS`, optionally followed by ``.gz``. It appears when all frames
        are done; an interrupted or failed run leaves nothing.
    frames : slice
        Which frames of each file.
    attributes : Path, optional
        CSV of all scalar global attributes, one row a frame.
    atom_style : str
        Of LAMMPS data files that do not say it.
    on_frame : callable
        Called after each frame with its running number, the total and the data.

    Returns
    -------
    int
        Number of frames written.

    Raises
    ------
    FileError
        If a file cannot be read or written, or a modifier refuses a frame.
    BusyError
        If another process writes the same output.
    """
    style = output_style(output, attributes, files)
    pipelines = [open_trajectory(file, atom_style) for file in files]
    for file in files:
        check_rows(file)
    chosen = [range(pipeline.num_frames)[frames] for pipeline in pipelines]
    total = sum(len(selection) for selection in chosen)
    if total == 0:
        raise FileError("No frame is selected; give a range that the trajectory has.")
    done = 0
    with sole_writer(output, attributes), whole_or_nothing(output) as sink, AttributeTable(attributes) as table:
        for file, pipeline, selection in zip(files, pipelines, chosen, strict=True):
            for frame, data, text in computed(pipeline, file, selection, modifiers, style):
                sink.write(text)
                table.add(record_of(data, file, frame))
                done += 1
                on_frame(done, total, data)
        table.write()
    return total


def computed(
    pipeline: Pipeline, file: Path | str, frames: Iterable[int], modifiers: Sequence[ModifierInterface], style: str
) -> Iterator[tuple[int, DataCollection, bytes]]:
    """Yield the number of every frame, what the modifiers make of it, and how that stands in a file of this format.

    What modifiers print is printed with file and frame, the same sentence once.

    Raises
    ------
    FileError
        With file, frame and the sentence of the modifier that refused it.
    """
    for modifier in modifiers:
        pipeline.modifiers.append(modifier)
    said: set[str] = set()
    for frame in frames:
        with _named(file, frame, said):
            data = pipeline.compute(frame)
            text = formatted(data, style)
        yield frame, data, text


def outcome(pipeline: Pipeline, modifiers: Sequence[ModifierInterface], frame: int) -> tuple[DataCollection, list[str]]:
    """What these modifiers alone make of a frame, and the lines that they print.

    Raises
    ------
    FileError
        With the sentence of the modifier, or of the reader, that refused it.
    """
    pipeline.modifiers.clear()
    pipeline.modifiers.extend(modifiers)  # type: ignore[arg-type]
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            data = pipeline.compute(frame)
    except (RuntimeError, GlassMLError) as error:
        raise FileError(_cause(error)) from error
    finally:
        pipeline.modifiers.clear()
    return data, list(dict.fromkeys(filter(None, printed.getvalue().splitlines())))


def attributes_of(file: Path | str) -> dict[str, object]:
    """What the first frame of a file says about itself, such as the comment line of an extended XYZ file.

    Raises
    ------
    FileError
        As `open_trajectory`.
    """
    pipeline = open_trajectory(file)
    with _named(file, 0, set()):
        return dict(pipeline.compute(0).attributes)


def read_labelled(file: Path, label: str, *, species: str = "") -> Iterator[tuple[Structure, NDArray[np.float64]]]:
    """Yield structure and labels of every frame of a file.

    Parameters
    ----------
    file : Path
        Anything OVITO reads, with one number per particle in a column of its own.
    label : str
        Name of the column; capitals, spaces and underscores do not matter, since file formats change them.
    species : str
        Names for unnamed particle types, in type order.

    Raises
    ------
    FileError
        If the file cannot be read or has no such column.
    """
    for structure, columns in read_columns(file, (label,), species=species):
        yield structure, columns[label]


def read_columns(
    file: Path, needed: Sequence[str], optional: Sequence[str] = (), *, species: str = ""
) -> Iterator[tuple[Structure, dict[str, NDArray[np.float64]]]]:
    """Yield structure and per-particle columns of every frame of a file.

    Parameters
    ----------
    file : Path
        Anything OVITO reads.
    needed, optional : sequence of str
        Names of columns, compared as by `read_labelled`; optional ones are left out where the file lacks them.
    species : str
        Names for unnamed particle types, in type order.

    Raises
    ------
    FileError
        If the file cannot be read or lacks a needed column.
    """
    pipeline = open_trajectory(file)
    check_rows(file)
    for frame in range(pipeline.num_frames):
        with _named(file, frame, set()):
            data = pipeline.compute(frame)
        structure = structure_from_data(data, species=species)
        names = {plain_name(name): name for name in data.particles} | {
            plain_name(label): label for label in (*needed, *optional) if label in data.particles
        }
        for label in needed:
            if plain_name(label) not in names:
                raise FileError(f"{file} has no column {label!r}; it has {', '.join(data.particles)}.")
        present = [label for label in (*needed, *optional) if plain_name(label) in names]
        yield (
            structure,
            {label: np.asarray(data.particles[names[plain_name(label)]], dtype=np.float64) for label in present},
        )


@contextmanager
def _named(file: Path | str, frame: int, said: set[str]) -> Iterator[None]:
    """Say file and frame before what is raised or printed; lines that were said before are not said again."""
    printed = io.StringIO()
    try:
        with redirect_stdout(printed):
            yield
    except (RuntimeError, GlassMLError) as error:
        raise FileError(f"{file}, frame {frame}: {_cause(error)}") from error
    finally:
        lines = dict.fromkeys(printed.getvalue().splitlines())
        for line in filter(None, (line for line in lines if line not in said)):
            print(f"{file}, frame {frame}: {line}")
        said.update(lines)


def _cause(error: BaseException) -> str:
    """The sentence a modifier raised, which OVITO wraps into its own report; not what lies behind our own errors."""
    inner = error
    while not isinstance(inner, GlassMLError) and (inner.__cause__ is not None or inner.__context__ is not None):
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    return _first_sentence(inner)


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _one_line(text: str) -> str:
    """Text without line breaks, control characters and anything that does not end."""
    printable = "".join(letter if letter.isprintable() else " " for letter in text)
    return textwrap.shorten(printable, LONGEST_REPORT, placeholder=" …")


def output_style(output: Path, attributes: Path | None = None, inputs: Sequence[Path | str] = ()) -> str:
    """OVITO's name for the format of an output file.

    Raises
    ------
    FileError
        If its ending is none of `FORMATS`, a folder to write into does not exist, or one file would replace another
        that is needed.
    """
    name = output.name.removesuffix(".gz")
    style = FORMATS.get(Path(name).suffix.lower())
    if style is None:
        raise FileError(f"The output {output.name} has no known ending; use {', '.join(FORMATS)} (also with .gz).")
    for file in filter(None, (output, attributes)):
        if not file.parent.is_dir():
            raise FileError(f"The folder {file.parent} does not exist; create it first.")
        if file.is_dir():
            raise FileError(f"{file} is a folder; give the name of a file to write.")
        if file.resolve() in {Path(given).resolve() for given in inputs}:
            raise FileError(f"{file} is also to be read and would be replaced; give the result another name.")
    if attributes is not None and attributes.resolve() == output.resolve():
        raise FileError(f"Atoms and attributes would both be written to {output}; give them two names.")
    return style


@contextmanager
def whole_or_nothing(output: Path, folder: Path | None = None) -> Iterator[BinaryIO]:
    """A file that appears under its name when it is complete; ``.gz`` is compressed.

    Equal content gives equal files: neither time nor name go into the compressed ones.

    Parameters
    ----------
    output : Path
        The file.
    folder : Path, optional
        Where it grows, on the same disk; beside `output` by default.
    """
    with appearing(output, folder) as sink:
        if output.suffix == ".gz":
            with gzip.GzipFile("", "wb", compresslevel=6, fileobj=sink, mtime=0) as packed:
                yield packed  # type: ignore[misc]
        else:
            yield sink


def record_of(data: DataCollection, file: Path | str, frame: int) -> dict[str, object]:
    """File, frame and the scalar global attributes."""
    scalars = {name: value for name, value in data.attributes.items() if isinstance(value, int | float | str)}
    if "SourceFile" in scalars:
        scalars["SourceFile"] = original_of(str(scalars["SourceFile"]))
    return {"file": str(file), "frame": frame, **scalars}


class AttributeTable:
    """Rows of a CSV file whose columns are known only at the end, kept on disk until then.

    Parameters
    ----------
    file : Path or None
        The CSV file; None: there is to be none.
    """

    def __init__(self, file: Path | None) -> None:
        self.file, self.columns = file, dict[str, None]()

    def __enter__(self) -> AttributeTable:
        self.rows = tempfile.TemporaryFile("w+", encoding="utf-8")
        return self

    def __exit__(self, *exception: object) -> None:
        self.rows.close()

    def add(self, record: dict[str, object]) -> None:
        """Append a row."""
        if self.file is not None:
            self.columns.update(dict.fromkeys(record))
            self.rows.write(json.dumps(record) + "\n")

    def write(self) -> None:
        """Write the file, whole or not at all."""
        if self.file is None:
            return
        self.rows.seek(0)
        with whole_or_nothing(self.file) as sink:
            text = io.TextIOWrapper(sink, encoding="utf-8", newline="")
            writer = csv.DictWriter(text, list(self.columns), restval="")
            writer.writeheader()
            writer.writerows(json.loads(row) for row in self.rows)
            text.detach()
