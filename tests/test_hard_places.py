"""Machines as users have them: no home, nothing writable but one folder, no room for a file. Each in a process."""

import os
import subprocess
import sys

import pytest

from ovito_glassml.workflow.sample_data import sample_file

resource = pytest.importorskip("resource", reason="limits of processes are Unix's")

GLASS = str(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz"))

#: Nobody knows this user, as in a container that runs under a number.
NAMELESS = """
import os, pwd, sys
def unknown(number):
    raise KeyError(number)
pwd.getpwuid = unknown
from ovito_glassml.cli import main
sys.argv[0] = "glassml"
main()
"""


def run(folder, code, *arguments, limit=None, **variables):
    kept = {name: value for name, value in os.environ.items() if name != "HOME" and not name.startswith("XDG_")}
    environment = {name: value for name, value in kept.items() if name != "GLASSML_MODELS"} | variables
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=limit and (lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))),
    )


def test_a_user_without_name_and_home_gets_predictions_and_no_strange_folders(tmp_path):
    for arguments in (["apply", GLASS, "-m", "stiffness", "-o", "out.xyz"], ["models"], ["demo", "-o", "demo"]):
        done = run(tmp_path, NAMELESS, *arguments)
        assert done.returncode == 0, done.stderr
        assert "atplotlib" not in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["demo", "out.xyz"]


def test_a_user_without_home_is_told_where_models_could_go(tmp_path):
    (tmp_path / "mine.safetensors").write_bytes(b"no model")
    done = run(tmp_path, NAMELESS, "models", "add", "mine.safetensors")
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1


WITH_A_NAME = NAMELESS.replace("pwd.getpwuid = unknown", "")
COMMAND = ["apply", GLASS, "-m", "rdf", "-o", "out.xyz"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Bytes of the result where there is room."""
    folder = tmp_path_factory.mktemp("room")
    assert run(folder, WITH_A_NAME, *COMMAND, HOME=str(folder)).returncode == 0
    return (folder / "out.xyz").stat().st_size


@pytest.mark.parametrize("missing", [3000, 200_000])
def test_a_frame_without_room_is_refused_and_the_old_file_stays(missing, whole, tmp_path):
    """OVITO reports a full disk only where more than the last kilobytes find no room."""
    (tmp_path / "out.xyz").write_text("old")
    done = run(tmp_path, WITH_A_NAME, *COMMAND, limit=whole - missing, HOME=str(tmp_path))
    assert done.returncode == 2, done.stderr
    refusal = done.stderr.splitlines()[-1]
    assert refusal.startswith("glassml: ")
    assert "make room" in refusal
    assert (tmp_path / "out.xyz").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir() if "out" in path.name] == ["out.xyz"]
