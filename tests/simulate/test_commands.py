"""`glassml simulate …`: what a command writes and says, and how it refuses."""

import json
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.simulate.campaign import PROTOCOLS
from ovito_glassml.simulate.snapshots import Snapshot, write_frames
from ovito_glassml.structure import Structure


def glassml(*arguments):
    result = CliRunner().invoke(app, ["simulate", *map(str, arguments)], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


@pytest.fixture
def asked(monkeypatch):
    """Records what the protocols, tested elsewhere, are asked to do."""
    calls = []
    for name, protocol in list(PROTOCOLS.items()):
        asked = replace(protocol, simulate=lambda *arguments, **options: calls.append(arguments))
        monkeypatch.setitem(PROTOCOLS, name, asked)
    return calls


def test_anneal_passes_its_options_on(asked, tmp_path):
    file = tmp_path / "a.xyz.gz"
    output = glassml(
        "anneal", "--composition", "Zr44Cu56", "--seed", 7, "--temperatures", "500,600", "--structures", 20, "-o", file
    )
    material, settings, target, _ = asked[0]
    assert (material.name, material.composition) == ("cu-zr", "Cu56Zr44")
    assert (settings.seed, settings.temperatures, settings.structures) == (7, (500.0, 600.0), 20)
    assert target == file
    assert f"Wrote 40 inherent structures to {file}" in output.replace("\n", "")


def test_shear_aqs_passes_its_options_on(asked, tmp_path):
    glassml("shear-aqs", "--system", "polymer", "--atoms", 400, "--strain", 0.05, "-o", tmp_path / "s.xyz.gz")
    material, settings = asked[0][:2]
    assert (material.name, settings.atoms, settings.strain) == ("polymer", 400, 0.05)


def test_isoconfigurational_passes_its_options_on(asked, tmp_path):
    glassml("isoconfigurational", "--material", "kob-andersen", "--replicas", 30, "-o", tmp_path / "r.xyz.gz")
    material, settings = asked[0][:2]
    assert (material.name, settings.replicas) == ("kob-andersen", 30)


def test_shear_md_starts_from_the_last_frame_of_any_file(asked, small_glass, tmp_path):
    source, file = tmp_path / "glass.xyz.gz", tmp_path / "s.xyz.gz"
    moved = replace_positions(small_glass.structure, 0.1)
    write_frames(source, [Snapshot(structure, {}, {}) for structure in (moved, small_glass.structure)])
    glassml("shear-md", source, "--temperature", 500, "-o", file)
    material, structure, settings, target, _ = asked[0]
    assert material.name == "cu-zr"
    np.testing.assert_allclose(structure.positions, small_glass.structure.positions, atol=1e-5)
    assert structure.species_names == ("Cu", "Zr")
    assert (settings.temperature, settings.strain, target) == (500.0, 0.2, file)


def replace_positions(structure, shift):
    positions = structure.positions + shift
    return Structure(positions, structure.species, structure.species_names, structure.cell, pbc=structure.pbc)


CAMPAIGN = """
[[job]]
name = "glass"
protocol = "quench"

[[set]]
name = "shear-{system}"
protocol = "shear-aqs"
vary = { system = ["polymer", "wahnstrom"] }
"""


def test_the_status_of_a_campaign_says_what_is_done_running_and_left(tmp_path):
    file, folder = tmp_path / "campaign.toml", tmp_path / "snapshots"
    file.write_text(CAMPAIGN)
    folder.mkdir()
    (folder / "glass.xyz.gz").write_bytes(b"")
    (folder / "glass.timing.json").write_text(json.dumps({"core_seconds": 7200}))
    progress = {"fraction": 0.5, "text": "straining, 10.0%", "seconds": 600}
    (folder / ".shear-polymer.progress.json").write_text(json.dumps(progress))
    output = glassml("campaign", file, "--output", folder, "--status")
    assert "shear-polymer: 50% in 10 core minutes, 10 left, straining, 10.0%" in output
    lines = {line.strip().split("  ")[0]: line.split()[-5:] for line in output.splitlines() if "  " in line.strip()}
    assert lines["quench"] == ["1", "0", "0", "2.0", "0.0"]
    assert lines["shear-aqs polymer"] == ["0", "1", "0", "0.2", "0.2"]
    assert lines["shear-aqs wahnstrom"][:3] == ["0", "0", "1"]
    assert "1 of 3 jobs done in 2.2 core hours" in output


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["shear-aqs", "--system", "water", "-o", "x.xyz.gz"], "no material 'water'.*kob-andersen"),
        (["isoconfigurational", "--replicas", "0", "-o", "x.xyz.gz"], "at least 1"),
        (["anneal", "-o", "x.dump"], "must end in .xyz.gz"),
        (["anneal", "--temperatures", "500;600", "-o", "x.xyz.gz"], "is no number"),
    ],
)
def test_what_cannot_be_simulated_is_refused(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(GlassMLError, match=message):
        glassml(*arguments)
    assert not list(tmp_path.iterdir())
