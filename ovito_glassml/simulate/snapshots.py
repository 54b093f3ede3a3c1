"""The one file format of all simulated data: gzipped extended XYZ.

OVITO and every other program of the field opens it, training reads it as it reads a user's file,
and the comment line says how it was made. Equal content gives equal bytes.
"""

from __future__ import annotations

import gzip
import io
import json
import platform
import re
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.files import write_atomically
from ovito_glassml.simulate.lammps_module import lammps_arguments, lammps_version
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure, chemical_order

__all__ = [
    "Snapshot",
    "curve_file",
    "made_with",
    "provenance",
    "read_frames",
    "read_header",
    "read_snapshot",
    "write_curve",
    "write_frames",
    "write_snapshot",
]


@dataclass(frozen=True)
class Snapshot:
    """A simulated structure, its per-atom columns and how it was made. One frame of a file."""

    structure: Structure
    columns: Mapping[str, NDArray]
    header: Mapping[str, object]


def provenance(
    protocol: str, settings: Mapping[str, object], material: Material | None = None, composition: bool = False
) -> dict[str, object]:
    """Header entries that say how a file was made; a user's own switches for LAMMPS only where there are some.

    Parameters
    ----------
    protocol : str
    settings : mapping
    material : Material, optional
        Recorded as a whole, with the SHA-256 of its potential.
    composition : bool
        Whether the protocol chose it; otherwise it is that of the structure that it was given.
    """
    arguments = lammps_arguments()
    told = dict(settings)
    if material is not None and composition:
        told["composition"] = material.composition
    return {
        "protocol": protocol,
        "settings": json.dumps(told, sort_keys=True),
        **({} if material is None else material.provenance()),
        "lammps": lammps_version(),
        **({"lammps_args": arguments} if arguments else {}),
        "numpy": metadata.version("numpy"),
        "machine": platform.machine(),
    }


def write_snapshot(
    path: Path, structure: Structure, columns: Mapping[str, NDArray], header: Mapping[str, object]
) -> None:
    """Write one structure with per-atom columns.

    Parameters
    ----------
    path : Path
        Ends in ``.xyz.gz``.
    structure : Structure
        With a cell; positions are written with 10⁻⁵ of the length unit.
    columns : mapping of name to (N,) or (N, k) array
        Integer arrays stay integers, floating-point ones keep six significant digits.
    header : mapping
        Further ``key=value`` entries of the comment line.
    """
    write_frames(path, [Snapshot(structure, columns, header)])


def write_frames(path: Path, frames: Iterable[Snapshot]) -> None:
    """Write several structures, such as the snapshots of one run, as the frames of one file.

    Every frame is formatted as by `write_snapshot` and carries a header of its own.
    """
    content = "".join(map(_formatted, frames))
    write_atomically(path, gzip.compress(content.encode(), compresslevel=9, mtime=0))


def write_curve(output: Path, columns: Mapping[str, NDArray], formats: Sequence[str]) -> None:
    """Write ``NAME.curve.csv`` beside the snapshot ``NAME.xyz.gz``: what a run went through, one row a point.

    Parameters
    ----------
    output : Path
        The snapshot.
    columns : mapping of name to (P,) array
    formats : sequence of str
        How the numbers of each column are written, such as ``%.6f``.
    """
    text = io.StringIO()
    table = np.stack(list(columns.values()), axis=1)
    np.savetxt(text, table, fmt=formats, delimiter=",", header=",".join(columns))
    write_atomically(curve_file(output), text.getvalue().encode())


def curve_file(output: Path) -> Path:
    """Where `write_curve` writes."""
    return output.with_name(output.name.removesuffix(".xyz.gz") + ".curve.csv")


def _formatted(frame: Snapshot) -> str:
    structure = frame.structure
    count = len(structure)
    fields = ["species:S:1", "pos:R:3", "id:I:1"]
    formatted = [[structure.species_names[kind] for kind in structure.species]]
    formatted += [[f"{value:.5f}" for value in column] for column in structure.positions.T]
    formatted.append([str(value) for value in structure.ids])
    for name, values in frame.columns.items():
        array = np.asarray(values).reshape(count, -1)
        integer = array.dtype.kind in "iub"
        fields.append(f"{name}:{'I' if integer else 'R'}:{array.shape[1]}")
        for column in array.T:
            formatted.append([str(int(value)) if integer else f"{value:.6g}" for value in column])
    rows = "\n".join(" ".join(row) for row in zip(*formatted, strict=True))
    return f"{count}\n{_comment(structure, fields, frame.header)}\n{rows}\n"


def _comment(structure: Structure, fields: list[str], header: Mapping[str, object]) -> str:
    lattice = " ".join(f"{value:.8f}" for value in np.asarray(structure.cell).ravel())
    origin = " ".join(f"{value:.8f}" for value in structure.origin)
    periodic = " ".join("T" if flag else "F" for flag in structure.pbc)
    entries = [f'Lattice="{lattice}"', f'Origin="{origin}"', f'pbc="{periodic}"', f"Properties={':'.join(fields)}"]
    told = [f"{key}={_quoted(value)}" for key, value in header.items()]
    # OVITO, when it guesses a format, sees a LAMMPS data file where one of a line's further parts of 1 kB begins with a
    # digit and contains the word atoms, as settings do: they come first.
    return " ".join([*entries, *sorted(told, key=lambda entry: "atoms" not in entry)])


def _quoted(value: object) -> str:
    text = str(value)
    if text and not set(text) & set(" \"='"):
        return text
    return '"' + text.replace('"', "'") + '"'


def read_snapshot(path: Path) -> Snapshot:
    """Read what `write_snapshot` wrote. For files of other origin use OVITO's readers.

    Raises
    ------
    SimulationError
        If the file is truncated, of another format or holds several frames.
    """
    frames = read_frames(path)
    if len(frames) > 1:
        raise SimulationError(f"{path} holds {len(frames)} frames where one is needed; read it with read_frames.")
    return frames[0]


def read_frames(path: Path) -> list[Snapshot]:
    """Read all frames that `write_frames` wrote.

    Raises
    ------
    SimulationError
        If the file is truncated or of another format.
    """
    try:
        lines = gzip.decompress(Path(path).read_bytes()).decode().splitlines()
        frames: list[Snapshot] = []
        first = 0
        while first < len(lines) or not frames:
            last = first + 2 + int(lines[first])
            frames.append(_parsed(lines[first:last]))
            first = last
    except (OSError, EOFError, zlib.error, ValueError, KeyError, IndexError) as error:
        raise SimulationError(f"{path} is not a whole simulation snapshot ({error}); make it again.") from error
    return frames


def read_header(path: Path) -> dict[str, str]:
    """What the first frame of a snapshot says about how it was made, without reading the atoms.

    Raises
    ------
    SimulationError
        If there is no such line.
    """
    try:
        with gzip.open(path, "rt") as file:
            file.readline()
            return _entries(file.readline())
    except (OSError, EOFError, zlib.error, ValueError) as error:
        raise SimulationError(f"{path} is not a whole simulation snapshot ({error}); make it again.") from error


def made_with(header: Mapping[str, object], entry: str = "settings") -> dict[str, Any]:
    """The settings that `provenance` wrote into a header; `entry` ``input_settings`` are those of the input."""
    return json.loads(str(header.get(entry, "{}")).replace("'", '"'))


def _entries(comment: str) -> dict[str, str]:
    return {key: quoted or bare for key, quoted, bare in re.findall(r'(\w+)=(?:"([^"]*)"|(\S+))', comment)}


def _parsed(lines: list[str]) -> Snapshot:
    """One frame from its lines; any of the usual exceptions if they do not fit together."""
    count = int(lines[0])
    entries = _entries(lines[1])
    fields = entries.pop("Properties").split(":")
    layout = [(fields[k], fields[k + 1], int(fields[k + 2])) for k in range(0, len(fields), 3)]
    table = [line.split() for line in lines[2:]]
    if len(table) != count or any(len(row) != sum(width for _, _, width in layout) for row in table):
        raise ValueError("wrong number of rows or columns")
    cell = np.array(entries.pop("Lattice").split(), dtype=float).reshape(3, 3)
    origin = np.array(entries.pop("Origin").split(), dtype=float)
    flags = entries.pop("pbc").split()
    if len(flags) != 3 or not set(flags) <= {"T", "F"}:
        raise ValueError("the periodic directions are not three of T and F")
    pbc = [flag == "T" for flag in flags]
    columns, first = {}, 0
    for name, kind, width in layout:
        cells = [row[first : first + width] for row in table]
        dtype = {"S": str, "I": np.int64, "R": np.float64}[kind]
        values: NDArray = np.array(cells, dtype=dtype)
        columns[name] = values[:, 0] if width == 1 else values
        first += width
    names = chemical_order(columns["species"])
    number = {name: index for index, name in enumerate(names)}
    kinds = [number[name] for name in columns.pop("species")]
    structure = Structure(columns.pop("pos"), kinds, names, cell, origin, pbc, columns.pop("id"))
    return Snapshot(structure, columns, entries)
