"""A user's own switches for LAMMPS: they reach it everywhere, and are said and compared like settings."""

import inspect
import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.cli.simulate import simulate_app
from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate import lammps_module
from ovito_glassml.simulate.campaign import PROTOCOLS, Job, run_campaign
from ovito_glassml.simulate.checkpoints import claim_intermediate, intermediate
from ovito_glassml.simulate.lammps_module import VARIABLE, check_lammps, lammps_arguments, open_lammps
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import provenance, read_header

CU_ZR = load_material("cu-zr")

QUENCH = {"atoms": 108, "cooling_rate": 5e15, "fast_rate": 5e15, "melt_time": 0.1, "seed": 4}


@pytest.fixture(autouse=True)
def no_switches(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)


def test_switches_of_the_user_replace_ours(monkeypatch):
    seen, start = [], lammps_module._module().lammps.__init__

    def noted(self, *arguments, cmdargs, **options):
        seen.append(cmdargs[4:])
        start(self, *arguments, cmdargs=cmdargs, **options)

    monkeypatch.setattr(lammps_module._module().lammps, "__init__", noted)
    open_lammps().close()
    monkeypatch.setenv(VARIABLE, " -sf  opt ")
    open_lammps().close()
    assert seen == [["-sf", "omp", "-pk", "omp", "1"], ["-sf", "opt"]]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ("-k on g 1 -sf kk", "'-k on g 1 -sf kk': ERROR: Cannot use -kokkos on without KOKKOS installed; give"),
        ("-sf kk", "ERROR: Using suffix kk without KOKKOS package enabled;"),
        ("-sf gpu -pk gpu 1", "ERROR: Package gpu command without GPU package installed;"),
        ("-nonsense 3", "ERROR: Invalid command-line argument: -nonsense;"),
        ("-help", "it ended without a word;"),
        ("-skiprun", "it runs 0 steps where 1 is asked for;"),
        ("-sf 'opt", "close the quote"),
    ],
)
def test_what_lammps_refuses_is_said_in_its_words(arguments, reason, monkeypatch):
    monkeypatch.setenv(VARIABLE, arguments)
    with pytest.raises(SimulationError) as refused:
        check_lammps()
    assert reason in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_lammps_that_aborts_is_survived(monkeypatch):
    """As some accelerator packages do without a device."""
    said = "terminate called after throwing\n  what():  no CUDA-capable device is detected\n[node:1] Aborted"
    aborted = subprocess.CompletedProcess([], -6, "", said)
    monkeypatch.setattr(subprocess, "run", lambda *arguments, **options: aborted)
    monkeypatch.setenv(VARIABLE, "-k on g 9 -sf kk")
    with pytest.raises(SimulationError, match=r"what\(\):  no CUDA-capable device is detected; give"):
        check_lammps()


def test_what_fails_only_later_is_said_too(monkeypatch):
    monkeypatch.setenv(VARIABLE, "-sf opt")
    lammps = open_lammps()
    with pytest.raises(SimulationError, match=r"'-sf opt': ERROR: Unknown command: fry eggs \(at 'fry eggs'\);"):
        lammps.command("fry eggs")
    lammps.close()


def test_a_command_takes_them_for_as_long_as_it_runs(tmp_path, monkeypatch):
    seen = []

    def asked(material, settings, output, progress):
        seen.append(lammps_arguments())

    monkeypatch.setitem(PROTOCOLS, "quench", replace(PROTOCOLS["quench"], simulate=asked))
    command = ["simulate", "quench", "-o", str(tmp_path / "glass.xyz.gz")]
    CliRunner().invoke(app, [*command, "--lammps-args", "-k on g 1 -sf kk"], catch_exceptions=False)
    CliRunner().invoke(app, command, env={VARIABLE: "-sf opt"}, catch_exceptions=False)
    CliRunner().invoke(app, command, catch_exceptions=False)
    assert seen == ["-k on g 1 -sf kk", "-sf opt", ""]
    assert VARIABLE not in os.environ


def test_every_simulation_takes_them():
    for command in simulate_app.registered_commands:
        assert "lammps_args" in inspect.signature(command.callback).parameters, command.name


def test_the_jobs_of_a_campaign_take_them_over_and_say_so(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "-sf opt")
    job = Job("glass", "quench", QUENCH)
    assert run_campaign([job], tmp_path, 1, lambda records: None, 0.1) == []
    assert read_header(job.output(tmp_path))["lammps_args"] == "-sf opt"
    monkeypatch.delenv(VARIABLE)
    assert "lammps_args" not in provenance("quench", {})


def test_a_campaign_whose_lammps_refuses_is_not_begun(tmp_path, monkeypatch):
    monkeypatch.setenv(VARIABLE, "-k on g 1 -sf kk")
    with pytest.raises(SimulationError, match="Cannot use -kokkos on without KOKKOS"):
        run_campaign([Job("glass", "quench", QUENCH)], tmp_path, 1, lambda records: None)
    assert not list(tmp_path.iterdir())


def test_the_command_ends_in_one_sentence(tmp_path):
    command = [sys.executable, "-m", "ovito_glassml", "simulate", "quench", "-o", str(tmp_path / "g.xyz.gz")]
    refused = subprocess.run(
        [*command, "--lammps-args", "-k on g 1 -sf kk"], capture_output=True, text=True, check=False
    )
    assert refused.returncode == 2
    said = " ".join(refused.stderr.split())
    assert "LAMMPS refuses to run with --lammps-args '-k on g 1 -sf kk': ERROR: Cannot use -kokkos on" in said
    assert "Traceback" not in said


@pytest.mark.parametrize(
    ("begun", "resumed", "differing"),
    [("", "-sf opt", "none and not -sf opt"), ("-sf opt", "", "-sf opt and not none"), ("-sf opt", "-sf  opt", None)],
)
def test_a_run_goes_on_only_with_the_switches_that_it_began_with(begun, resumed, differing, tmp_path, monkeypatch):
    output = tmp_path / "run.xyz.gz"
    monkeypatch.setenv(VARIABLE, begun)
    claim_intermediate(output, {"seed": 4}, CU_ZR)
    intermediate(output, "part").touch()
    monkeypatch.setenv(VARIABLE, resumed)
    if differing is None:
        claim_intermediate(output, {"seed": 4}, CU_ZR)
        return
    with pytest.raises(SimulationError, match=rf"other settings \(lammps_args {differing}\)"):
        claim_intermediate(output, {"seed": 4}, CU_ZR)


def test_a_run_begun_before_there_were_switches_goes_on(tmp_path):
    output = tmp_path / "run.xyz.gz"
    (tmp_path / ".run.xyz.gz.settings.json").write_text(json.dumps({"seed": 4}))
    intermediate(output, "part").touch()
    claim_intermediate(output, {"seed": 4}, CU_ZR)
    assert json.loads((tmp_path / ".run.xyz.gz.settings.json").read_text())["seed"] == 4


def test_a_lammps_built_by_hand_knows_its_date(monkeypatch):
    def absent(name):
        raise lammps_module.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(lammps_module.metadata, "version", absent)
    assert lammps_module.lammps_version() >= "20250722"
