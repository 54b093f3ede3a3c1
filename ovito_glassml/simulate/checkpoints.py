"""Files that let a job be stopped at any moment: whole or absent, and tied to the settings of their run."""

from __future__ import annotations

import glob
import hashlib
import inspect
import json
import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import ParamSpec

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError, UnfitMaterialError
from ovito_glassml.files import save_atomically, sole_writer, write_atomically
from ovito_glassml.simulate.lammps_module import lammps_arguments
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.material_header import former_record
from ovito_glassml.structure import Structure

__all__ = [
    "claim_intermediate",
    "clear_intermediate",
    "differences",
    "intermediate",
    "load_checkpoint",
    "made_once",
    "save_atomically",
    "writes_alone",
]

Parameters = ParamSpec("Parameters")

#: What a record of settings stands for that does not mention it.
UNSAID: Mapping[str, object] = {"lammps_args": "none"}


def writes_alone(protocol: Callable[Parameters, None]) -> Callable[Parameters, None]:
    """Decorator of a protocol: no other process may work on its `output` while it runs, see `sole_writer`."""
    signature = inspect.signature(protocol)

    @wraps(protocol)
    def run(*arguments: Parameters.args, **options: Parameters.kwargs) -> None:
        output = signature.bind(*arguments, **options).arguments["output"]
        with sole_writer(output):
            try:
                protocol(*arguments, **options)
            except UnfitMaterialError:
                clear_intermediate(output)
                raise
            except BaseException:
                if not _checkpoints(output):  # nothing that another start could go on from
                    clear_intermediate(output)
                raise

    return run


def made_once(result: Path, make: Callable[[], dict[str, NDArray]]) -> dict[str, NDArray]:
    """Arrays of the file `result`; if it does not exist yet, `make` makes them and they are saved."""
    if not result.exists():
        save_atomically(result, make())
    return load_checkpoint(result)


def intermediate(output: Path, part: str) -> Path:
    """Hidden file beside `output` for one part of a job."""
    return output.with_name(f".{output.name}.{part}.npz")


def claim_intermediate(
    output: Path,
    settings: Mapping[str, object],
    material: Material,
    structure: Structure | None = None,
    added: Mapping[str, object] = {},
) -> None:
    """Say which run the intermediate files beside `output` belong to, and refuse those of another run.

    Without it, a run that was stopped would be continued by the next one of the same name, whatever its seed. A user's
    own switches for LAMMPS count as a setting.

    Parameters
    ----------
    output : Path
    settings : mapping
        Of the run.
    material : Material
    structure : Structure, optional
        What it starts from.
    added : mapping
        Settings that earlier versions of the program did not have, with the values that do what those did.

    Raises
    ------
    SimulationError
        If files of a run with other settings or from another structure are there.
    """
    material.potential_paths()  # before anything is written
    asked = {**json.loads(json.dumps(dict(settings), default=list)), "material": material.digest()}
    if structure is None:
        asked["composition"] = material.composition
    if arguments := lammps_arguments():
        asked["lammps_args"] = arguments
    if structure is not None:
        parts = (structure.positions, structure.species, structure.cell, structure.origin)
        content = b"".join(np.ascontiguousarray(part).tobytes() for part in parts)
        asked["structure"] = hashlib.sha256(content).hexdigest()
    record = _record(output)
    left = _checkpoints(output)
    try:
        known = {**UNSAID, **added, **former_record(json.loads(record.read_text()))}
    except (OSError, ValueError):
        known = {**UNSAID}
    if structure is not None:
        known.pop("composition", None)
    if left and known != (wanted := {**UNSAID, **asked}):
        raise SimulationError(
            f"A run that was stopped, with other settings ({differences(known, wanted)}), left {left[0]}; repeat it "
            f"to its end, delete the files .{output.name}.* to start anew, or write to a file of another name."
        )
    write_atomically(record, json.dumps(asked).encode())


def differences(known: Mapping[str, object], asked: Mapping[str, object]) -> str:
    """In words, which settings of something that exists are not those asked for."""
    differing = sorted(name for name, value in asked.items() if name not in known or known[name] != value)
    if "structure" in differing:
        differing.remove("structure")
        return ", ".join([*_told(differing, known, asked), "another structure"])
    return ", ".join(_told(differing, known, asked))


def _told(names: Sequence[str], known: Mapping[str, object], asked: Mapping[str, object]) -> list[str]:
    return [f"{name} {known.get(name, 'unknown')} and not {asked[name]}" for name in names]


def clear_intermediate(output: Path) -> None:
    """Remove the intermediate files of a finished job, also those that a kill left half-written."""
    for file in _left_over(output):
        file.unlink(missing_ok=True)


def _record(output: Path) -> Path:
    return output.with_name(f".{output.name}.settings.json")


def _checkpoints(output: Path) -> list[Path]:
    return [file for file in _left_over(output) if file.suffix == ".npz"]


def _left_over(output: Path) -> Iterator[Path]:
    """Intermediate files of a job, and what a kill left of them."""
    # Those of the output a.xyz.gz.b.xyz.gz begin like those of a.xyz.gz, but no part of a job has an ending in it.
    name = re.escape(output.name)
    ours = re.compile(rf"\.{name}\.((?!.*\.xyz).*\.npz|settings\.json)|\.\.{name}\.(?!.*\.xyz).*\.tmp")
    for pattern in (f".{glob.escape(output.name)}.*", f"..{glob.escape(output.name)}.*"):
        yield from (file for file in output.parent.glob(pattern) if ours.fullmatch(file.name))


def load_checkpoint(path: Path) -> dict[str, NDArray]:
    """Arrays of a checkpoint written by `save_atomically`.

    Raises
    ------
    SimulationError
        If the file is damaged.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: archive[key] for key in archive.files}
    except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise SimulationError(f"{path} is damaged ({error}); delete it to run this part again.") from error
