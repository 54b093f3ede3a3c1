"""The queue: what is asked of it, and that it survives being killed."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml.simulate.campaign import load_campaign, run_campaign, status
from ovito_glassml.simulate.engine import SimulationError
from ovito_glassml.simulate.shards import read_shard

SMALL_CAMPAIGN = """
[[job]]
name = "quench-1"
protocol = "quench"
laptop = { atoms = 108 }
paper = { atoms = 19652 }

[job.settings]
composition = "Cu50Zr50"
seed = 1
fast_rate = 5e14
cooling_rate = 5e14
melt_time = 1.0
checkpoint_atom_steps = 20_000

[[job]]
name = "vibrations-1"
protocol = "vibrations"
input = "quench-1"
settings = { temperatures = [50, 300], window = 40.0, equilibration = 4.0, checkpoint_atom_steps = 20_000 }
"""


@pytest.fixture
def campaign_file(tmp_path):
    file = tmp_path / "campaign.toml"
    file.write_text(SMALL_CAMPAIGN)
    return file


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("campaign")
    file = folder / "campaign.toml"
    file.write_text(SMALL_CAMPAIGN)
    assert run_campaign(load_campaign(file), folder / "shards", 2, lambda records: None) == []
    return folder / "shards"


def test_every_job_ends_in_a_shard(undisturbed):
    assert sorted(path.name for path in undisturbed.iterdir() if not path.name.startswith(".")) == [
        "quench-1.timing.json",
        "quench-1.xyz.gz",
        "vibrations-1.timing.json",
        "vibrations-1.xyz.gz",
    ]
    assert not list(undisturbed.glob(".*checkpoint*"))


def test_labels_follow_their_definition(undisturbed):
    shard = read_shard(undisturbed / "vibrations-1.xyz.gz")
    boltzmann = 8.617333262e-5
    expected = (boltzmann * np.array([50.0, 300.0]) / shard.columns["Vibrational_MSD"]).mean(axis=1)
    np.testing.assert_allclose(shard.columns["Stiffness"], expected, rtol=1e-4)
    assert 0.3 < shard.columns["Stiffness"].mean() < 2.0


def test_a_second_start_has_nothing_left_to_do(undisturbed, campaign_file):
    records: list = []
    begun = time.monotonic()
    run_campaign(load_campaign(campaign_file), undisturbed, 1, records.append)
    assert time.monotonic() - begun < 1.0
    assert [record["state"] for record in records[-1]] == ["done", "done"]


@pytest.mark.slow
def test_killed_twenty_times_it_ends_with_the_same_shards(undisturbed, campaign_file, tmp_path):
    folder = tmp_path / "shards"
    program = (
        "import sys, pathlib; from ovito_glassml.simulate import campaign, engine;"
        "campaign.run_campaign(campaign.load_campaign(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]), 1,"
        " lambda records: None, 0.1)"
    )
    pause = random.Random(1)
    kills = 0
    while any(record["state"] != "done" for record in status(load_campaign(campaign_file), folder)):
        process = subprocess.Popen([sys.executable, "-c", program, str(campaign_file), str(folder)])
        if kills < 20:
            try:
                process.wait(pause.uniform(0.4, 0.9))
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
                kills += 1
        process.wait()
    assert kills == 20
    for name in ("quench-1.xyz.gz", "vibrations-1.xyz.gz"):
        assert (folder / name).read_bytes() == (undisturbed / name).read_bytes()


def test_the_size_column_is_chosen(campaign_file):
    assert load_campaign(campaign_file, "laptop")[0].settings["atoms"] == 108
    assert load_campaign(campaign_file, "paper")[0].settings["atoms"] == 19652


def test_the_shipped_campaign_can_be_read():
    jobs = load_campaign(Path(__file__).parents[2] / "sample_data" / "campaign.toml")
    assert {job.protocol for job in jobs} >= {"quench", "vibrations"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[\[job\]\] table"),
        ("[[job]]\nprotocol = 'quench'", "lacks 'name'"),
        ("[[job]]\nname = 'a'\nprotocol = 'fry'", "unknown protocol 'fry'"),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\ninput = 'b'", "'b' is no earlier job"),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\n" * 2, "Two jobs are called 'a'"),
        ("[[job]\n", "cannot be read"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path, text, message):
    file = tmp_path / "faulty.toml"
    file.write_text(text)
    with pytest.raises(SimulationError, match=message):
        load_campaign(file)


def test_a_failed_job_is_named_and_the_others_go_on(tmp_path, capfd):
    file = tmp_path / "campaign.toml"
    bad = "[[job]]\nname = 'bad'\nprotocol = 'quench'\nsettings = { atoms = 3 }\n"
    file.write_text(bad + SMALL_CAMPAIGN.split('[[job]]\nname = "vibrations')[0])
    assert run_campaign(load_campaign(file), tmp_path / "shards", 2, lambda records: None) == ["bad"]
    assert (tmp_path / "shards" / "quench-1.xyz.gz").exists()
    assert "at least 100" in capfd.readouterr().err
