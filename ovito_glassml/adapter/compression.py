"""Compressed files of several parts, of which OVITO reads the first and leaves out the others without an error.

A part is what one run of a compressor makes: LAMMPS begins a new one when it appends to a dump, and so does
``cat``.
"""

from __future__ import annotations

from pathlib import Path
from typing import BinaryIO

__all__ = ["gzip_has_one_part", "zstandard_has_one_part"]

_ZSTANDARD = 0xFD2FB528

#: First of sixteen numbers that begin a part without content.
_SKIPPABLE = 0x184D2A50


def gzip_has_one_part(file: Path, size: int) -> bool:
    """Whether a gzip file is a single part, judged by the size that its last part says to have.

    Parameters
    ----------
    file : Path
        Whole, as found by reading it.
    size : int
        Bytes that it holds uncompressed.
    """
    with open(file, "rb") as packed:
        packed.seek(-4, 2)
        return int.from_bytes(packed.read(), "little") == size % 2**32


def zstandard_has_one_part(file: Path) -> bool:
    """Whether a Zstandard file is a single part; reads only the headers of its blocks (RFC 8878).

    Raises
    ------
    ValueError, EOFError
        If it is no such file, or ends too early.
    """
    with open(file, "rb") as packed:
        parts, end = 0, packed.seek(0, 2)
        packed.seek(0)
        while packed.tell() < end:
            number = _number(packed, 4)
            if number & ~0xF == _SKIPPABLE:
                packed.seek(_number(packed, 4), 1)
            elif number == _ZSTANDARD:
                _pass_part(packed)
                parts += 1
            else:
                raise ValueError("not a Zstandard file")
        if packed.tell() > end:
            raise EOFError("it ends too early")
    return parts == 1


def _pass_part(packed: BinaryIO) -> None:
    """Move behind the part whose first number has been read."""
    descriptor = _number(packed, 1)
    single, checksum = descriptor >> 5 & 1, descriptor >> 2 & 1
    packed.seek((1 - single) + (0, 1, 2, 4)[descriptor & 3] + (single, 2, 4, 8)[descriptor >> 6], 1)
    last = False
    while not last:
        header = _number(packed, 3)
        last, repeated, size = bool(header & 1), header >> 1 & 3 == 1, header >> 3
        packed.seek(1 if repeated else size, 1)
    packed.seek(4 * checksum, 1)


def _number(packed: BinaryIO, count: int) -> int:
    raw = packed.read(count)
    if len(raw) < count:
        raise EOFError("it ends too early")
    return int.from_bytes(raw, "little")
