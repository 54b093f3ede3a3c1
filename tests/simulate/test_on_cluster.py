"""Simulations on Dask workers: the same files as on one machine, whoever is killed on the way."""

import json
import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.processes import BatchError
from ovito_glassml.simulate import campaign
from ovito_glassml.simulate.campaign import Job, run_campaign, run_job, status
from ovito_glassml.simulate.lammps_module import VARIABLE
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.barriers import BarrierSettings, barriers
from ovito_glassml.simulate.snapshots import read_snapshot, write_snapshot

distributed = pytest.importorskip("distributed", reason="needs the extra cluster")

REPLICAS = {"atoms": 108, "melt_time": 0.5, "cooling_time": 1.0, "equilibration": 0.5, "duration": 20.0, "replicas": 4}
JOBS = [Job(f"replicas-{seed}", "isoconfigurational", {**REPLICAS, "seed": seed}) for seed in (1, 2)]
SEARCH = {"events": 1, "searches": 2, "region_reach": 5.0 / 2.7, "yielding_reach": 6.0 / 2.7, "labelled": 4}


def silent(*report):
    pass


def wait_until(condition, seconds=120):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


@pytest.fixture(scope="module")
def cluster():
    """Two worker processes."""
    options = {"n_workers": 2, "threads_per_worker": 1, "processes": True, "dashboard_address": None}
    with distributed.LocalCluster(**options, silence_logs=50) as running:
        yield running


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The same jobs in this process."""
    folder = tmp_path_factory.mktemp("alone")
    for job in JOBS:
        run_job(job, folder)
    return folder


def at_work(cluster):
    """Worker and process of every call that is being made."""
    workers = [worker.pid for worker in cluster.workers.values()]
    listing = subprocess.run(["ps", "ax", "-o", "ppid,pid,args"], capture_output=True, text=True).stdout
    found = [line.split() for line in listing.splitlines() if "-m ovito_glassml.processes" in line]
    return [(int(parent), int(pid)) for parent, pid, *_ in found if int(parent) in workers]


def same_snapshots(folder, alone):
    return all(job.output(folder).read_bytes() == job.output(alone).read_bytes() for job in JOBS)


def test_a_campaign_that_loses_a_worker_loses_nothing(cluster, alone, tmp_path):
    lost = []

    def kill_a_worker_at_work():
        wait_until(lambda: list(tmp_path.glob(".*.npz")) and at_work(cluster))
        lost.append(at_work(cluster)[0])
        os.kill(lost[0][0], signal.SIGKILL)

    attack = threading.Thread(target=kill_a_worker_at_work)
    attack.start()
    assert run_campaign(JOBS, tmp_path, 1, silent, 0.1, cluster.scheduler_address) == []
    attack.join()
    assert lost[0] not in at_work(cluster)
    assert same_snapshots(tmp_path, alone)
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
    assert min(record["seconds"] for record in status(JOBS, tmp_path)) > 0


def test_the_end_of_a_queue_ends_its_jobs_and_the_next_goes_on(cluster, alone, tmp_path):
    program = (
        "import sys, pathlib; from ovito_glassml.simulate.campaign import Job, run_campaign; import json;"
        "jobs = [Job(*job) for job in json.loads(sys.argv[1])];"
        "run_campaign(jobs, pathlib.Path(sys.argv[2]), 1, lambda records: None, 0.1, sys.argv[3])"
    )
    jobs = json.dumps([[job.name, job.protocol, job.settings] for job in JOBS])
    queue = subprocess.Popen([sys.executable, "-c", program, jobs, str(tmp_path), cluster.scheduler_address])
    wait_until(lambda: list(tmp_path.glob(".*.npz")) and at_work(cluster))
    queue.send_signal(signal.SIGKILL)
    queue.wait()
    wait_until(lambda: not at_work(cluster))
    assert not all(job.output(tmp_path).exists() for job in JOBS)
    assert run_campaign(JOBS, tmp_path, 1, silent, 0.1, cluster.scheduler_address) == []
    assert same_snapshots(tmp_path, alone)


def test_a_job_that_fails_on_a_worker_says_why_and_takes_the_switches_of_the_queue(
    cluster, tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv(VARIABLE, "-k on g 1 -sf kk")
    assert run_campaign(JOBS[:1], tmp_path, 1, silent, 0.1, cluster.scheduler_address) == ["replicas-1"]
    said = capfd.readouterr().err
    assert "Job replicas-1 failed: LAMMPS refuses to run with --lammps-args '-k on g 1 -sf kk': ERROR: Cannot" in said
    assert "Traceback" not in said


@pytest.fixture(scope="module")
def searched(glass_box, tmp_path_factory):
    file = tmp_path_factory.mktemp("searched") / "labels.xyz.gz"
    barriers(load_material("cu-zr"), glass_box, BarrierSettings(**SEARCH), file, silent)
    return file


def test_workers_share_the_atoms_of_a_search_and_a_lost_worker_loses_nothing(cluster, glass_box, searched, tmp_path):
    write_snapshot(tmp_path / "glass.xyz.gz", glass_box, {}, {"protocol": "quench", "settings": "{}"})
    workers = []

    def kill_a_worker_at_work():
        wait_until(lambda: at_work(cluster))
        workers.extend(parent for parent, _ in at_work(cluster))
        os.kill(workers[0], signal.SIGKILL)

    attack = threading.Thread(target=kill_a_worker_at_work)
    attack.start()
    job = Job("labels", "barriers", SEARCH, "glass")
    assert run_campaign([job], tmp_path, 1, silent, 0.1, cluster.scheduler_address) == []
    attack.join()
    found = read_snapshot(job.output(tmp_path))
    assert found.header["input_protocol"] == "quench"
    for name, column in read_snapshot(searched).columns.items():
        np.testing.assert_array_equal(found.columns[name], column)
    assert status([job], tmp_path)[0]["seconds"] > 1.0  # with the time of the workers


def test_a_scheduler_that_goes_away_ends_the_campaign_in_a_sentence(tmp_path):
    options = {"n_workers": 1, "threads_per_worker": 1, "processes": False, "dashboard_address": ":0"}
    with (
        distributed.LocalCluster(**options, silence_logs=50) as running,
        pytest.raises(BatchError, match=r"replicas-1: the scheduler has gone; start it"),
    ):
        run_campaign(JOBS[:1], tmp_path, 1, lambda records: running.close(), 0.1, running.scheduler_address)


def test_the_command_passes_the_scheduler_on(tmp_path, monkeypatch):
    asked, file = [], tmp_path / "campaign.toml"
    file.write_text("[[job]]\nname = 'glass'\nprotocol = 'quench'\n")
    monkeypatch.setattr(campaign, "run_campaign", lambda *arguments, **options: asked.append(options) or [])
    command = ["simulate", "campaign", str(file), "-o", str(tmp_path), "--scheduler", "tcp://host:8786"]
    result = CliRunner().invoke(app, command, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert asked == [{"scheduler": "tcp://host:8786"}]
