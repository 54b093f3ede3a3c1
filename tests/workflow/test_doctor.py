"""What works on a machine: found where it is there, and what to do where it is not."""

import os
import subprocess
import sys
from pathlib import Path

import numba
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.workflow import doctor
from ovito_glassml.workflow.doctor import FAILS, LIMITED, WORKS, Finding, examine


def test_everything_that_the_tests_need_works_here(monkeypatch):
    monkeypatch.delenv("GLASSML_POTENTIALS", raising=False)
    seen = []
    found = {finding.part: finding for finding in examine(lambda fraction, part: seen.append((fraction, part)))}
    for part in ("Python and machine", "OVITO", "prediction", "threads", "models", "training", "LAMMPS", "Dask"):
        assert found[part].state == WORKS, found[part]
        assert not found[part].remedy
    assert [part for _, part in seen] == list(found)
    assert all(0 <= fraction < 1 for fraction, _ in seen)
    # Two shipped materials have potentials that do not come with LAMMPS.
    assert found["potentials"].state == LIMITED
    assert "ni62nb38, zr46cu46al8" in found["potentials"].remedy


@pytest.mark.parametrize(
    ("look", "state", "remedy"),
    [
        ("_ovito", FAILS, "pip install ovito"),
        ("_renderer", LIMITED, "no such thing"),
        ("_prediction", FAILS, "Install the package anew"),
        ("_lammps", LIMITED, "no such thing"),
        ("_potentials", LIMITED, "Mend LAMMPS first"),
    ],
)
def test_what_fails_in_its_process_is_told(monkeypatch, look, state, remedy):
    broken = [sys.executable, "-c", "raise SystemExit('no such thing')"]
    monkeypatch.setattr(doctor, "_tried", lambda code: subprocess.run(broken, capture_output=True, text=True))
    finding = getattr(doctor, look)()
    assert finding.state == state
    assert remedy in finding.remedy
    assert "no such thing" in finding.found + finding.remedy or look == "_renderer"


def test_a_process_that_dies_or_hangs_is_no_crash(monkeypatch):
    assert doctor._last_line(doctor._tried("import os; os.abort()")).startswith("ended with status -")
    monkeypatch.setattr(doctor, "PATIENCE", 0.2)
    assert doctor._last_line(doctor._tried("import time; time.sleep(5)")) == "did not end within 0.2 s"


def test_nowhere_to_keep_compiled_code(monkeypatch):
    monkeypatch.setattr(doctor, "_writable", lambda folder: False)
    finding = doctor._compiled_code()
    assert finding.state == LIMITED
    assert "NUMBA_CACHE_DIR" in finding.remedy


def test_a_home_that_nobody_knows_is_no_folder(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(os.path, "expanduser", lambda path: path)
    monkeypatch.setattr(doctor, "_writable", lambda folder: "numba" in folder.parts)
    monkeypatch.setattr(numba.config, "CACHE_DIR", "")
    assert doctor._compiled_code().state == LIMITED


def test_a_file_in_place_of_a_folder_is_not_writable(tmp_path):
    (tmp_path / "file").write_text("")
    assert not doctor._writable(tmp_path / "file")
    assert doctor._writable(tmp_path / "new" / "folder")


def test_broken_installed_models_are_named(monkeypatch, tmp_path):
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path))
    (tmp_path / "mine.safetensors").write_bytes(b"nothing of the kind")
    finding = doctor._models()
    assert finding.state == LIMITED
    assert f"1 installed in {tmp_path}" in finding.found
    assert finding.remedy.startswith("mine: ")


def test_missing_packages_name_the_extra():
    finding = doctor._packages("training", ("numpy", "not_a_module"), "train")
    assert finding == Finding(
        "training", LIMITED, "without not_a_module", "Install the extra: pip install 'ovito-glassml[train]'"
    )


@pytest.mark.parametrize(("state", "status"), [(WORKS, 0), (LIMITED, 0), (FAILS, 1)])
def test_the_command_prints_findings_and_remedies(monkeypatch, state, status):
    remedy = "" if state == WORKS else "Do [this]."
    monkeypatch.setattr(doctor, "examine", lambda say: iter([Finding("renderer", state, "as [found]", remedy)]))
    result = CliRunner().invoke(app, ["doctor"])
    assert result.exit_code == status
    assert "as [found]" in result.output
    assert state in result.output
    assert ("renderer: Do [this]." in result.output) == bool(remedy)


def test_the_package_is_found_where_it_is():
    finding = doctor._compiled_code()
    assert finding.state == WORKS
    assert Path(finding.found.removeprefix("kept in ")).is_dir()
