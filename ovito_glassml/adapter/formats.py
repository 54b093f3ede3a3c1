"""The particles of a frame as text that OVITO and other programs read."""

from __future__ import annotations

import re
import tempfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, Particles
from ovito.io import export_file

from ovito_glassml.errors import GlassMLError

__all__ = ["FORMATS", "FormatError", "formatted"]

_DUMP = "lammps/dump"

#: Output formats whose frames may simply follow one another, by file name ending.
FORMATS = {".xyz": "xyz", ".extxyz": "xyz", ".dump": _DUMP, ".lammpstrj": _DUMP}

#: What OVITO puts there to draw particles; of no use in a file.
_DISPLAY_PROPERTIES = {"Color", "Transparency", "Selection"}

#: Column of names in a dump, as LAMMPS calls it.
_NAMES = "element"

_LEADING_COLUMNS = ("Particle Identifier", "Particle Type", _NAMES, "Position")

#: Numbers are written with so many digits; what is smaller beside the cell is none of it.
DIGITS = 9


class FormatError(GlassMLError):
    """A file format cannot hold what is to be written; the message says which can."""


def formatted(data: DataCollection, style: str) -> bytes:
    """The particles of a frame as they stand in a file.

    Dumps name the types in a column ``element`` where they have names, and their cell as LAMMPS always did; a line is
    printed about what they cannot hold in this way.

    Parameters
    ----------
    data : DataCollection
    style : str
        One of the values of `FORMATS`.

    Raises
    ------
    FormatError
        If a frame without cell shall become a dump, or the disk of temporary files is full.
    """
    options: dict[str, object] = {"precision": DIGITS}
    if style == _DUMP:
        data = data.clone()
        options["restricted_triclinic"] = _lies_as_in_lammps(data)
        _give_names(data.particles_)
    leading = [name for name in _LEADING_COLUMNS if name in data.particles]
    others = [name for name in data.particles if name not in _DISPLAY_PROPERTIES | set(_LEADING_COLUMNS)]
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "frame"
        try:
            export_file(data, str(file), style, columns=leading + others, **options)
        except RuntimeError as error:
            raise FormatError(_no_room(file, str(error))) from error
        text = file.read_bytes()
    if not _is_whole(text, data.particles.count, style):
        raise FormatError(_no_room(file, "it was cut off"))
    return text


def _no_room(file: Path, why: str) -> str:
    return (
        f"The frame cannot be written into the folder of temporary files {file.parent.parent} ({why}); make room "
        "there, or name another folder in the variable TMPDIR."
    )


def _is_whole(text: bytes, count: int, style: str) -> bool:
    """Whether every particle has its line: OVITO does not notice where a full disk cuts off the last kilobytes."""
    begin, before = (text.find(b"ITEM: ATOMS"), 1) if style == _DUMP else (0, 2)
    return begin >= 0 and text.endswith(b"\n") and text.count(b"\n", begin) == before + count


def _lies_as_in_lammps(data: DataCollection) -> bool:
    """Whether the header that all programs know can describe the cell, which is freed of rounding errors then.

    It can if the first vector lies along x, the second in the xy plane, and both and the third point forward.
    Turning the others would have to turn all vectors and tensors of the particles too, which are not known as such.
    """
    cell = data.cell
    if cell is None:
        raise FormatError("there is no simulation cell, which the LAMMPS dump format needs; write .xyz instead.")
    vectors = np.array(cell[:, :3])
    below = np.tril(np.ones((3, 3), bool), -1)
    rounding = 10.0**-DIGITS * np.abs(vectors).max()
    if (np.abs(vectors[below]) > rounding).any() or (vectors.diagonal() <= rounding).any():
        print(
            "The cell does not lie as LAMMPS has it (first vector along x, second in the xy plane, third upwards), so "
            "the dump has the general header 'abc origin', which OVITO and ASE read and others may not; "
            "write .xyz for them."
        )
        return False
    if vectors[below].any():
        cell = data.cell_
        cell[...] = np.column_stack([np.where(below, 0.0, vectors), cell[:, 3]])
    return True


def _give_names(particles: Particles) -> None:
    """Add names of types as a column and take out other text, on which readers of dumps give up."""
    texts = [name for name, values in particles.items() if isinstance(values.dtype, np.dtypes.StringDType)]
    for name in texts:
        del particles[name]
    if texts:
        print(f"Left out, since a LAMMPS dump holds numbers only: {', '.join(texts)}; .xyz holds text too.")
    names = _names_of(particles)
    if names is not None:
        particles.create_property(_NAMES, dtype=str, data=names)


def _names_of(particles: Particles) -> NDArray[np.str_] | None:
    """Name of the type of every particle, or None if one has no name."""
    types = particles.particle_types
    if types is None:
        return None
    present, places = np.unique(types[...], return_inverse=True)
    declared = {kind.id: re.sub(r"\s+", "_", kind.name.strip()) for kind in types.types}
    names = [declared.get(int(number), "") for number in present]
    # A file that only numbers its types may have given them these numbers as names.
    if not all(name and not name.isdigit() for name in names):
        return None
    return np.array(names, dtype=str)[places]
