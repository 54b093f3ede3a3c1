"""Files that appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["write_atomically"]


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file so that a kill or a power cut at any moment leaves the old one, or none, or the whole new one.

    Parameters
    ----------
    path : Path
        Replaced if it exists.
    content : bytes
        Goes through a hidden temporary file beside `path`, which only a kill leaves behind.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
