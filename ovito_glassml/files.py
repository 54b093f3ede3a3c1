"""Files that appear whole or not at all, and that one process at a time works on."""

from __future__ import annotations

import glob
import os
import re
import secrets
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from ovito_glassml.errors import FULL, BusyError, TrainingError
from ovito_glassml.locks import HeldError, locked

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = [
    "appearing",
    "load_arrays",
    "remove_left_overs",
    "save_atomically",
    "sole_writer",
    "write_atomically",
]

#: Seconds in which a process that is just ending lets go of its files.
PATIENCE = 0.2


@contextmanager
def appearing(path: Path, folder: Path | None = None) -> Iterator[BinaryIO]:
    """A file to write that a kill or a power cut at any moment leaves as the old one, or none, or the whole new one.

    Parameters
    ----------
    path : Path
        Replaced if it exists, at the end and unless there is an error.
    folder : Path, optional
        Where the hidden temporary file grows, on the same disk; beside `path` by default. Only a kill leaves it behind.

    Raises
    ------
    OSError
        That of a full disk or a closed folder names `path`.
    """
    # The random part tells threads apart, and processes of machines that share the folder.
    temporary = (folder or path.parent) / f".{path.name}.{os.getpid()}-{secrets.token_hex(4)}.tmp"
    try:
        with open(temporary, "xb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError as error:
        if error.filename == str(temporary) or (error.filename is None and error.errno in FULL):
            error.filename = str(path)
        raise
    finally:
        temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file as `appearing` does."""
    with appearing(path) as file:
        file.write(content)


def save_atomically(path: Path, arrays: Mapping[str, NDArray], *, compressed: bool = False) -> None:
    """Write a NumPy archive as `appearing` does."""
    import numpy as np  # here, as batch processes and the command line start without it

    with appearing(path) as file:
        (np.savez_compressed if compressed else np.savez)(file, **arrays)  # type: ignore[arg-type]


def load_arrays(path: Path, what: str, remedy: str, needed: Iterable[str] = ()) -> dict[str, NDArray]:
    """All arrays of a NumPy archive of `what`.

    Raises
    ------
    TrainingError
        If the file is missing or something else, or lacks a needed array; it ends with the remedy.
    """
    import numpy as np

    try:
        with np.load(path, allow_pickle=False) as archive:
            return {name: archive[name] for name in (*archive.files, *needed)}
    except (KeyError, OSError, ValueError, EOFError, AttributeError, zipfile.BadZipFile) as error:
        raise TrainingError(f"{path} is no archive of {what} ({error}); {remedy}.") from error


@contextmanager
def sole_writer(*outputs: Path | None, patience: float = PATIENCE) -> Iterator[None]:
    """Keep other processes and threads from working on the same files, and remove what killed ones left of them.

    A hidden file ``.NAME.lock`` beside each output, or ``.lock`` in a folder, is the lock, as long as it lasts. Nothing
    that a killed process leaves holds up the next.

    Parameters
    ----------
    outputs : Path or None
        What is to be written: files, in folders that exist, or whole folders. Who has one may take it again.
    patience : float
        Seconds to wait for another process to end.

    Raises
    ------
    BusyError
        If another process is at work on one of them; it names both.
    OSError
        If nothing can be written there; it names the output.
    """
    with ExitStack() as taken:
        for output in filter(None, outputs):
            try:
                newly = taken.enter_context(locked(_lock_of(output), patience))
            except HeldError as error:
                raise BusyError(
                    f"{output} is being written by {error.owner}; wait until that has ended or choose another name."
                ) from error
            except OSError as error:
                error.filename = str(output)  # who knows nothing of locks wants to write this
                raise
            if newly and not output.is_dir():
                remove_left_overs(output)
        yield


def _lock_of(output: Path) -> Path:
    return output / ".lock" if output.is_dir() else output.with_name(f".{output.name}.lock")


def remove_left_overs(path: Path) -> None:
    """Remove temporary files that killed processes left of a file that nobody else writes now."""
    # The whole name has to fit: other files may be called like this one and something more.
    ours = re.compile(re.escape(f".{path.name}.") + r"[0-9a-f-]+\.tmp")
    for file in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        if ours.fullmatch(file.name):
            file.unlink(missing_ok=True)
