"""A file that is being written is the old one until it is the whole new one."""

import os
import subprocess
import sys

import pytest

from ovito_glassml.atomic import write_atomically

#: Is killed by its own hand at the last moment: everything is written, nothing has its name yet.
KILLED = """
import os, signal, sys
from pathlib import Path
from ovito_glassml.atomic import write_atomically
os.replace = lambda source, target: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"new")
"""


def test_a_file_has_what_was_written_last(tmp_path):
    file = tmp_path / "numbers.csv"
    for content in (b"first, and long", b"second"):
        write_atomically(file, content)
        assert file.read_bytes() == content
    assert list(tmp_path.iterdir()) == [file]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch):
    file = tmp_path / "numbers.csv"
    file.write_bytes(b"old")

    def full(number):
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_atomically(file, b"new")
    assert file.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [file]


def test_a_kill_leaves_the_old_file(tmp_path):
    file = tmp_path / "numbers.csv"
    file.write_bytes(b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert killed.returncode != 0
    assert file.read_bytes() == b"old"
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == [file]
