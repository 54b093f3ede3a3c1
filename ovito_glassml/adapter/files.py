"""Trajectories from disk through modifiers to disk, frame by frame."""

from __future__ import annotations

import csv
import gzip
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.io import export_file, import_file
from ovito.pipeline import ModifierInterface, Pipeline

from ovito_glassml.adapter.input import plain_name, structure_from_data
from ovito_glassml.errors import GlassMLError
from ovito_glassml.structure import Structure

__all__ = ["FORMATS", "FileError", "annotate", "open_trajectory", "read_labelled"]

#: Output formats whose frames may simply follow one another, by file name ending.
FORMATS = {".xyz": "xyz", ".extxyz": "xyz", ".dump": "lammps/dump", ".lammpstrj": "lammps/dump"}

#: What OVITO puts there to draw particles; of no use in a file.
_DISPLAY_PROPERTIES = {"Color", "Transparency", "Selection"}


_LEADING_COLUMNS = ("Particle Identifier", "Particle Type", "Position")


class FileError(GlassMLError):
    """A file cannot be read or written; the message says why and what to do."""


def open_trajectory(file: Path) -> Pipeline:
    """Pipeline over the frames of any file OVITO reads.

    Raises
    ------
    FileError
        If the file is missing or OVITO does not know its format.
    """
    if not str(file).startswith(("http:", "sftp:")) and "*" not in str(file) and not Path(file).is_file():
        raise FileError(f"{file} does not exist; check the path.")
    try:
        return import_file(str(file))
    except RuntimeError as error:
        raise FileError(f"{file} cannot be read: {_first_sentence(error)}") from error


def annotate(
    files: Sequence[Path],
    modifiers: Sequence[ModifierInterface],
    output: Path,
    *,
    frames: slice = slice(None),
    attributes: Path | None = None,
    on_frame: Callable[[int, int, DataCollection], None] = lambda done, total, data: None,
) -> int:
    """Run every frame of every file through the modifiers and write the annotated particles.

    Parameters
    ----------
    files : sequence of Path
        Anything OVITO reads.
    modifiers : sequence
        Applied in this order.
    output : Path
        Ends in one of `FORMATS`, optionally followed by ``.gz``. It appears when all frames
        are done; an interrupted or failed run leaves nothing.
    frames : slice
        Which frames of each file.
    attributes : Path, optional
        CSV of all scalar global attributes, one row a frame.
    on_frame : callable
        Called after each frame with its running number, the total and the data.

    Returns
    -------
    int
        Number of frames written.
    """
    style = _format_of(output)
    pipelines = [open_trajectory(file) for file in files]
    chosen = [range(pipeline.num_frames)[frames] for pipeline in pipelines]
    total = sum(len(selection) for selection in chosen)
    if total == 0:
        raise FileError("No frame is selected; give a range that the trajectory has.")
    records: list[dict[str, object]] = []
    with _whole_or_nothing(output) as sink:
        for file, pipeline, selection in zip(files, pipelines, chosen, strict=True):
            for modifier in modifiers:
                pipeline.modifiers.append(modifier)
            for frame in selection:
                data = _compute(pipeline, file, frame)
                sink.write(_formatted(data, style))
                records.append({"file": str(file), "frame": frame, **_scalars(data)})
                on_frame(len(records), total, data)
    if attributes is not None:
        _write_csv(attributes, records)
    return total


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
    for frame in range(pipeline.num_frames):
        data = _compute(pipeline, file, frame)
        structure = structure_from_data(data, species=species)
        names = {plain_name(name): name for name in data.particles}
        for label in needed:
            if plain_name(label) not in names:
                raise FileError(f"{file} has no column {label!r}; it has {', '.join(data.particles)}.")
        present = [label for label in (*needed, *optional) if plain_name(label) in names]
        yield (
            structure,
            {label: np.asarray(data.particles[names[plain_name(label)]], dtype=np.float64) for label in present},
        )


def _compute(pipeline: Pipeline, file: Path, frame: int) -> DataCollection:
    try:
        return pipeline.compute(frame)
    except RuntimeError as error:
        raise FileError(f"{file}, frame {frame}: {_cause(error)}") from error


def _cause(error: BaseException) -> str:
    """The sentence a modifier raised, which OVITO wraps into its own report."""
    inner = error
    while inner.__cause__ is not None or inner.__context__ is not None:
        inner = inner.__cause__ or inner.__context__  # type: ignore[assignment]
    return _first_sentence(inner)


def _first_sentence(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[-1] if lines else type(error).__name__


def _format_of(output: Path) -> str:
    name = output.name.removesuffix(".gz")
    style = FORMATS.get(Path(name).suffix.lower())
    if style is None:
        raise FileError(f"The output {output.name} has no known ending; use {', '.join(FORMATS)} (also with .gz).")
    if not output.parent.is_dir():
        raise FileError(f"The folder {output.parent} does not exist; create it first.")
    return style


@contextmanager
def _whole_or_nothing(output: Path) -> Iterator[BinaryIO]:
    temporary = output.with_name(f".{output.name}.{os.getpid()}.tmp")
    try:
        if output.suffix == ".gz":
            with gzip.open(temporary, "wb", compresslevel=6) as sink:
                yield sink  # type: ignore[misc]
        else:
            with open(temporary, "wb") as sink:
                yield sink
        os.replace(temporary, output)
    finally:
        temporary.unlink(missing_ok=True)


def _formatted(data: DataCollection, style: str) -> bytes:
    leading = [name for name in _LEADING_COLUMNS if name in data.particles]
    others = [name for name in data.particles if name not in _DISPLAY_PROPERTIES | set(_LEADING_COLUMNS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame"
        export_file(data, str(file), style, columns=leading + others, precision=9)
        return file.read_bytes()


def _scalars(data: DataCollection) -> dict[str, object]:
    return {name: value for name, value in data.attributes.items() if isinstance(value, int | float | str)}


def _write_csv(file: Path, records: list[dict[str, object]]) -> None:
    names = list(dict.fromkeys(name for record in records for name in record))
    with open(file, "w", newline="") as sink:
        writer = csv.DictWriter(sink, names, restval="")
        writer.writeheader()
        writer.writerows(records)
