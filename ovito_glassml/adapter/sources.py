"""Where structures come from: files, patterns, addresses, and compressed files that OVITO does not open itself."""

from __future__ import annotations

import bz2
import glob
import lzma
import os
import re
import shutil
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

from ovito_glassml.errors import GlassMLError

__all__ = ["FileError", "location_of", "original_of"]

#: Compressed files that are unpacked for OVITO, by ending; it reads .gz and .zst itself.
_UNPACKERS: dict[str, Callable] = {".xz": lzma.open, ".bz2": bz2.open}

#: Addresses; a `Path` made of one has lost a slash.
_ADDRESS = re.compile(r"(https?|sftp):/+", re.IGNORECASE)

#: Original of every unpacked file, and the location of those that were unpacked together.
_originals: dict[str, str] = {}
_locations: dict[tuple, str] = {}


class FileError(GlassMLError):
    """A file cannot be read or written; the message says why and what to do."""


def location_of(file: Path | str) -> str:
    """What OVITO can open: a path, a pattern with ``*``, or an address.

    Files that end in ``.xz`` or ``.bz2`` are unpacked into a temporary folder, once in the life of a process.

    Parameters
    ----------
    file : Path or str
        Also an address that begins with ``https://``, ``http://`` or ``sftp://``.

    Raises
    ------
    FileError
        For files that are missing or damaged, folders, and standard input.
    """
    text, path = str(file), Path(file)
    if address := _ADDRESS.match(text):
        return f"{address[1].lower()}://{text[address.end() :]}"
    if text == "-" or path.is_fifo() or path.is_char_device() or text in ("/dev/stdin", "/dev/fd/0"):
        raise FileError(
            f"{file} is standard input or a pipe, which can be read only once; "
            "save its content in a file and give the name of that."
        )
    if path.is_dir():
        raise FileError(f"{file} is a folder; name the file in it, or several, such as {path / 'dump.*'}.")
    packed = path.suffix.lower() in _UNPACKERS
    if "*" in text and not packed:
        return text
    pattern = glob.escape(path.name).replace("[*]", "*")
    found = sorted(path.parent.glob(pattern)) if "*" in path.name else [path]
    if not found or not all(part.is_file() for part in found):
        raise FileError(f"{file} does not exist; check the path.")
    return _unpacked(found, path.stem) if packed else text


def original_of(location: str) -> str:
    """The file that was unpacked to this location; any other location as it is."""
    return _originals.get(location, location)


def _unpacked(files: list[Path], name: str) -> str:
    """Location of the content of compressed files in a folder of their own."""
    key = tuple((os.path.abspath(file), os.stat(file).st_size, os.stat(file).st_mtime_ns) for file in files)
    if key not in _locations:
        folder = Path(tempfile.mkdtemp(dir=_store().name))
        for file in files:
            _unpack(file, folder / file.stem)
        _locations[key] = str(folder / name)
    return _locations[key]


def _unpack(file: Path, copy: Path) -> None:
    try:
        with _UNPACKERS[file.suffix.lower()](file) as packed, open(copy, "wb") as sink:
            shutil.copyfileobj(packed, sink, 1 << 20)
    except (EOFError, ValueError, lzma.LZMAError, OSError) as error:
        if getattr(error, "errno", None):  # such as a full disk
            raise
        raise FileError(f"{file} is damaged ({error}); write it again.") from error
    _originals[str(copy)] = os.path.abspath(file)


@cache
def _store() -> tempfile.TemporaryDirectory:
    """The folder of unpacked files, which goes when the process ends."""
    return tempfile.TemporaryDirectory(prefix="glassml-")
