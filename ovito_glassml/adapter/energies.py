"""Structures of a file with the energy of each."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.adapter.files import FileError, open_trajectory
from ovito_glassml.adapter.input import plain_name, structure_from_data
from ovito_glassml.structure import Structure

__all__ = ["read_energies"]


def read_energies(
    file: Path, name: str, *, kind: str = "", species: str = ""
) -> Iterator[tuple[Structure, float, str, NDArray[np.float64] | None]]:
    """Yield structure, energy per atom, kind and, from a column, energies of the atoms of every frame of a file.

    Parameters
    ----------
    file : Path
        Anything OVITO reads.
    name : str
        Of a global attribute that is the energy per atom, or of a column with the atoms' shares, whose
        mean is taken. Capitals, spaces and underscores do not matter, since file formats change them.
    kind : str
        Of a global attribute that says what was done to the frame; none by default.
    species : str
        Names for unnamed particle types, in type order.

    Raises
    ------
    FileError
        If the file cannot be read, or a frame has neither.
    """
    pipeline = open_trajectory(file)
    for frame in range(pipeline.num_frames):
        try:
            data = pipeline.compute(frame)
        except RuntimeError as error:
            raise FileError(f"{file}, frame {frame}, cannot be read; repair or leave out the file.") from error
        structure = structure_from_data(data, species=species)
        attributes = {plain_name(key): value for key, value in data.attributes.items()}
        if kind and plain_name(kind) not in attributes:
            raise FileError(f"{file}, frame {frame}, has no attribute {kind!r}; it has {', '.join(data.attributes)}.")
        text = f"{kind} {attributes[plain_name(kind)]}".replace("_", " ") if kind else ""
        columns = {plain_name(key): key for key in data.particles}
        if isinstance(value := attributes.get(plain_name(name)), int | float):
            yield structure, float(value), text, None
        elif plain_name(name) in columns:
            energies = np.array(data.particles[columns[plain_name(name)]], dtype=np.float64)
            yield structure, float(energies.mean()), text, energies
        else:
            raise FileError(
                f"{file}, frame {frame}, has neither an attribute nor a column {name!r} with the energy per atom; "
                f"it has {', '.join([*data.attributes, *data.particles])}."
            )
