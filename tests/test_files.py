"""A file that is being written is the old one until it is the whole new one."""

import errno
import os
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml import files
from ovito_glassml.errors import BusyError, TrainingError, told
from ovito_glassml.files import appearing, load_arrays, save_atomically, sole_writer, write_atomically

#: Is killed by its own hand at the last moment: everything is written, nothing has its name yet.
KILLED = """
import os, signal, sys
from pathlib import Path
from ovito_glassml.files import write_atomically
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


def test_a_full_disk_is_told_of_the_file_that_was_wanted_and_loses_nothing(tmp_path, monkeypatch):
    file = tmp_path / "numbers.csv"
    file.write_bytes(b"old")
    for code in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        monkeypatch.setattr(os, "fsync", lambda number, code=code: fail(code))
        with pytest.raises(OSError, match=r"numbers\.csv") as found:
            write_atomically(file, b"new")
        why = f"({os.strerror(code)}); make room and repeat the command, nothing is lost."
        assert told(found.value) == f"{file} cannot be written {why}"
        assert [path.read_bytes() for path in tmp_path.iterdir()] == [b"old"]


def fail(code, *name):
    raise OSError(code, os.strerror(code), *name)


def test_errors_of_what_is_read_meanwhile_keep_their_name(tmp_path):
    with pytest.raises(OSError, match="Input") as found, appearing(tmp_path / "numbers.csv"):
        fail(errno.EIO)
    assert found.value.filename is None
    with pytest.raises(OSError, match=r"other\.dump"), appearing(tmp_path / "numbers.csv"):
        fail(errno.ENOSPC, "other.dump")


def test_a_closed_folder_is_told_by_the_file_that_was_wanted(tmp_path, monkeypatch):
    monkeypatch.setattr(files, "locked", lambda lock, patience: fail(errno.EACCES, str(lock)))
    with pytest.raises(PermissionError) as found, sole_writer(tmp_path / "a.xyz"):
        raise AssertionError("never reached")
    expected = f"{tmp_path / 'a.xyz'} cannot be opened (Permission denied); choose another place, or ask its owner."
    assert told(found.value) == expected


def test_a_kill_leaves_the_old_file(tmp_path):
    file = tmp_path / "numbers.csv"
    file.write_bytes(b"old")
    killed = subprocess.run([sys.executable, "-c", KILLED, str(file)], check=False)
    assert killed.returncode != 0
    assert file.read_bytes() == b"old"
    assert [path for path in tmp_path.iterdir() if not path.name.startswith(".")] == [file]


#: Makes the operating system's locks fail, as some network file systems do.
WITHOUT_LOCKS = """
import errno, fcntl
def refused(*arguments):
    raise OSError(errno.{code}, "not here")
fcntl.flock = refused
"""
WORKING = """
import sys
from pathlib import Path
from ovito_glassml.files import sole_writer
with sole_writer(Path(sys.argv[1])):
    print("working", flush=True)
    sys.stdin.read()
"""


@pytest.fixture(params=["flock", "ENOSYS", "EOPNOTSUPP", "ENOLCK"])
def work_on(request, monkeypatch):
    """Start a process that works on a file until it is killed or told to end, with locks or without."""
    program = WORKING
    if request.param != "flock":
        pytest.importorskip("fcntl")
        without = WITHOUT_LOCKS.format(code=request.param)
        program = without + WORKING
        monkeypatch.setattr("fcntl.flock", None)  # is put back afterwards
        exec(without, {})

    def start(file):
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout.readline() == "working\n"
        return process

    return start


@pytest.mark.parametrize("end", ["kill", "communicate"])
def test_who_writes_a_file_is_named_until_he_ends_however_that_is(work_on, end, tmp_path):
    file = tmp_path / "glass.xyz"
    other = work_on(file)
    with (
        pytest.raises(BusyError, match=rf"glass\.xyz is being written by process {other.pid}; wait until"),
        sole_writer(file),
    ):
        pass
    getattr(other, end)()
    other.wait()
    with sole_writer(file):
        pass
    assert not list(tmp_path.iterdir())


def test_files_whose_names_begin_alike_are_written_side_by_side(work_on, tmp_path):
    other = work_on(tmp_path / "glass.xyz.gz")
    with sole_writer(tmp_path / "glass.xyz", tmp_path / "glass.xyz.csv"):
        assert other.poll() is None
    other.communicate()
    assert not list(tmp_path.iterdir())


def test_a_folder_is_worked_on_by_one(work_on, tmp_path):
    other = work_on(tmp_path)
    with (
        pytest.raises(BusyError, match=f"{tmp_path.name} is being written by process {other.pid}"),
        sole_writer(tmp_path),
    ):
        pass
    other.kill()
    other.wait()
    with sole_writer(tmp_path, tmp_path / "glass.xyz"):
        pass
    assert not list(tmp_path.iterdir())


def test_a_lock_of_another_machine_says_what_to_do(tmp_path, monkeypatch):
    """Where files are the locks, nobody can know whether a process of another machine is still there."""
    pytest.importorskip("fcntl")
    monkeypatch.setattr("fcntl.flock", None)
    exec(WITHOUT_LOCKS.format(code="ENOLCK"), {})
    mark = tmp_path / ".glass.xyz.lock.held"
    mark.write_text("4321\nnode7\n")
    expected = rf"by process 4321 on node7 \(if that is gone, delete {mark}\)"
    with pytest.raises(BusyError, match=expected), sole_writer(tmp_path / "glass.xyz"):
        pass


def test_who_has_a_file_may_take_it_again(tmp_path):
    file = tmp_path / "glass.xyz"
    with sole_writer(file):
        temporary = tmp_path / ".glass.xyz.1-0a0a0a0a.tmp"
        temporary.write_text("growing")
        with sole_writer(file):
            assert temporary.exists()
        assert (tmp_path / ".glass.xyz.lock").exists()
        temporary.unlink()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("had", [False, True])
def test_an_interrupt_while_the_lock_is_taken_leaves_nothing_and_takes_nothing_away(tmp_path, monkeypatch, had):
    def interrupted(*_):
        raise KeyboardInterrupt

    with ExitStack() as before:
        if had:
            before.enter_context(sole_writer(tmp_path / "a.xyz"))
        monkeypatch.setattr("os.ftruncate", interrupted)
        other = tmp_path / "b.xyz"
        with pytest.raises(KeyboardInterrupt), sole_writer(tmp_path / "a.xyz", other):
            raise AssertionError
        assert [path.name for path in tmp_path.iterdir()] == [".a.xyz.lock"] * had
        monkeypatch.undo()
        with sole_writer(other):
            assert (tmp_path / ".b.xyz.lock").exists()
    assert list(tmp_path.iterdir()) == []


def test_only_what_was_left_of_the_same_file_is_removed(tmp_path):
    left = [".glass.xyz.4321.tmp", ".glass.xyz.4321-00ff00ff.tmp"]
    others = [
        ".glass.xyz.gz.4321.tmp",
        ".glass.xyz.1.xyz.4321-00ff00ff.tmp",
        ".glass.xyz.b.tmp.4321.tmp",
        "..glass.xyz.1.tmp",
    ]
    for name in left + others:
        (tmp_path / name).touch()
    with sole_writer(tmp_path / "glass.xyz"):
        pass
    assert {path.name for path in tmp_path.iterdir()} == set(others)


def test_threads_that_write_the_same_file_do_not_meet(tmp_path, monkeypatch):
    file, replace = tmp_path / "numbers.csv", os.replace

    def interrupted(source, target):
        monkeypatch.setattr(os, "replace", replace)
        write_atomically(Path(target), b"second")
        replace(source, target)

    monkeypatch.setattr(os, "replace", interrupted)
    write_atomically(file, b"first, and long")
    assert file.read_bytes() == b"first, and long"
    assert list(tmp_path.iterdir()) == [file]


def test_arrays_come_back_and_what_holds_none_is_told_from_them(tmp_path):
    file = tmp_path / "numbers.npz"
    save_atomically(file, {"energies": np.arange(3.0)}, compressed=True)
    assert load_arrays(file, "energies", "make it again")["energies"].tolist() == [0.0, 1.0, 2.0]
    with pytest.raises(TrainingError, match=r"numbers.npz is no archive of energies .*forces.*; make it again"):
        load_arrays(file, "energies", "make it again", ["forces"])
    for content in (b"", b"no archive", file.read_bytes()[:100]):
        write_atomically(file, content)
        with pytest.raises(TrainingError, match="no archive of energies"):
            load_arrays(file, "energies", "make it again")
    with pytest.raises(TrainingError, match="no archive of energies"):
        load_arrays(tmp_path / "nothing.npz", "energies", "make it again")
