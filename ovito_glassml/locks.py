"""Locks between processes, on every file system.

The operating system's lock on a file ends with the process, however that ends. Where a file system has none, a file
that names its owner is the lock; left behind by a process of this machine that is gone, it counts for nothing.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from filelock import BaseFileLock

__all__ = ["HeldError", "locked"]

#: Added to the name of a lock that is a lock by its existence.
BY_EXISTENCE = ".held"


class HeldError(Exception):
    """Somebody else holds the lock; `owner` says who, for people."""

    def __init__(self, owner: str) -> None:
        super().__init__(owner)
        self.owner = owner


@contextmanager
def locked(file: Path, patience: float, *, keep: bool = False) -> Iterator[bool]:
    """Hold a lock that one thread of one process has at a time, which may take it again; yields whether it had not.

    Parameters
    ----------
    file : Path
        Is made for it, in a folder that exists.
    patience : float
        Seconds to wait for others.
    keep : bool
        Leave the file there, which is safe on any network file system however many are waiting; otherwise it goes.

    Raises
    ------
    HeldError
        If another holds it for longer.
    OSError
        If no file can be made there.
    """
    try:
        lock = _taken(file, patience)
    except KeyboardInterrupt:
        if not keep:
            _tidy(file)
        raise
    newly = False
    try:
        newly = lock.lock_counter == 1
        yield newly
    finally:
        if newly and not keep:
            with suppress(OSError):  # of Windows, which removes it afterwards
                file.unlink()  # before it is released: who waits for this very file notices that it has gone
        lock.release()


def _tidy(file: Path) -> None:
    """Remove the file of a lock that nobody holds."""
    from filelock import FileLock, Timeout

    with suppress(OSError, Timeout), FileLock(file, timeout=0):
        file.unlink()


def _taken(file: Path, patience: float) -> BaseFileLock:
    from filelock import FileLock, SoftFileLock, Timeout

    try:
        lock: BaseFileLock = FileLock(file, mode=0o666, is_singleton=True, on_acquired=_sign)
        lock.acquire(timeout=patience)
        return lock
    except Timeout:
        raise HeldError(_owner(file, 1)) from None
    except OSError:  # no locks on this file system: the file is of no use
        file.unlink(missing_ok=True)
    mark = file.with_name(file.name + BY_EXISTENCE)
    try:
        lock = SoftFileLock(mark, is_singleton=True)
        lock.acquire(timeout=patience)
        return lock
    except Timeout:
        raise HeldError(_owner(mark, 0)) from None


def _sign(descriptor: int) -> None:
    """Name the owner in the file, but for its first byte, which Windows lets nobody else read."""
    with suppress(OSError):  # of a full disk: the lock holds without a name
        os.ftruncate(descriptor, 0)
        os.write(descriptor, f"\n{os.getpid()}\n{socket.gethostname()}\n".encode())


def _owner(file: Path, start: int) -> str:
    """Who holds a lock, as the file says from a byte on."""
    try:
        with open(file, "rb", buffering=0) as content:
            content.seek(start)
            process, host = content.read(1000).decode().split()[:2]
    except (OSError, ValueError):
        return "another process"
    if host == socket.gethostname():
        return f"process {process}"
    return f"process {process} on {host} (if that is gone, delete {file})"
