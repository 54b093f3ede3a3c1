"""The protocol of energy barriers: what it writes, and that neither kills nor processes change it."""

import hashlib
import json
import signal
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.campaign import PROTOCOLS, Job, run_job
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.local_forces import Surroundings, read_tables
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols import barriers as protocol
from ovito_glassml.simulate.protocols.barriers import BarrierSettings, barriers, label_columns, minimised, search_atom
from ovito_glassml.simulate.saddle_search import SearchSettings
from ovito_glassml.simulate.snapshots import read_snapshot, write_snapshot
from ovito_glassml.structure import Structure

CU_ZR = load_material("cu-zr")

SMALL = BarrierSettings(events=3, searches=8, seed=2, region_reach=7.0 / 2.7, yielding_reach=9.0 / 2.7, labelled=5)


def silent(fraction, text):
    pass


@pytest.fixture(scope="module")
def labelled(glass_box, tmp_path_factory):
    file = tmp_path_factory.mktemp("barriers") / "labels.xyz.gz"
    barriers(CU_ZR, glass_box, SMALL, file, silent, origin={"made_from": "test"})
    return file


@pytest.fixture(scope="module")
def snapshot(labelled):
    return read_snapshot(labelled)


def test_the_label_is_the_mean_of_the_listed_barriers(snapshot):
    columns = snapshot.columns
    count = columns["Activation_Energy_Count"]
    chosen = columns["Searches"] > 0
    assert np.count_nonzero(chosen) == 5
    np.testing.assert_array_equal(count, np.isfinite(columns["Barriers"]).sum(axis=1))
    with_events = count > 0
    assert with_events.sum() >= 3
    mean = np.nanmean(columns["Barriers"][with_events], axis=1)
    np.testing.assert_allclose(columns["Activation_Energy"][with_events], mean, rtol=1e-5)
    assert np.isnan(columns["Activation_Energy"][~with_events]).all()
    assert columns["Barriers"][with_events, 0].min() > 0.0
    assert mean.max() < 6.0


def test_searches_are_accounted_for(snapshot):
    columns, header = snapshot.columns, snapshot.header
    connected = columns["Activation_Energy_Count"]
    np.testing.assert_array_equal(columns["Converged_Searches"], connected + columns["Disconnected_Searches"])
    assert (columns["Searches"] >= columns["Converged_Searches"]).all()
    assert (columns["Duplicate_Searches"] <= np.maximum(connected - 1, 0)).all()
    stopped = (connected == SMALL.events) | (columns["Searches"] == SMALL.searches)
    assert stopped[columns["Searches"] > 0].all()
    assert int(header["connected_searches"]) == connected.sum()
    assert int(header["searches"]) == columns["Searches"].sum()
    assert header["protocol"] == "barriers"
    assert header["made_from"] == "test"


def test_outcomes_become_columns():
    failed, disconnected, connected, duplicate = 1, 2, 3, 4
    outcomes = np.array([[failed, connected, disconnected, duplicate], [failed, failed, failed, failed], [0, 0, 0, 0]])
    heights = np.array([[np.nan, 1.0, 5.0, 2.0], [np.nan] * 4, [np.nan] * 4])
    columns = label_columns(outcomes, heights, 3)
    np.testing.assert_array_equal(columns["Barriers"], [[1, 2, np.nan], [np.nan] * 3, [np.nan] * 3])
    np.testing.assert_array_equal(columns["Activation_Energy"], [1.5, np.nan, np.nan])
    assert columns["Activation_Energy_Count"].tolist() == [2, 0, 0]
    assert columns["Searches"].tolist() == [4, 4, 0]
    assert columns["Converged_Searches"].tolist() == [3, 0, 0]
    assert columns["Disconnected_Searches"].tolist() == [1, 0, 0]
    assert columns["Duplicate_Searches"].tolist() == [1, 0, 0]


def test_an_atom_alone_gives_what_it_gives_among_others(glass_box, snapshot):
    tables = read_tables(CU_ZR)
    glass, drop = minimised(Surroundings(tables, glass_box.positions, glass_box.species, np.diag(glass_box.cell)))
    assert drop > 0
    atom = np.flatnonzero(snapshot.columns["Searches"])[3]
    outcomes, heights = search_atom(glass, atom, SMALL)
    own = label_columns(outcomes[None], heights[None], SMALL.events)
    np.testing.assert_allclose(own["Barriers"][0], snapshot.columns["Barriers"][atom], rtol=1e-5)


def test_a_saddle_found_again_is_a_duplicate(glass_box):
    """The same push again and again."""
    tables = read_tables(CU_ZR)
    glass, _ = minimised(Surroundings(tables, glass_box.positions, glass_box.species, np.diag(glass_box.cell)))

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(protocol.np.random, "default_rng", _repeating(np.random.default_rng))
        for atom in range(20):
            outcomes, _ = search_atom(glass, atom, SMALL)
            if outcomes[0] == protocol.CONNECTED:
                assert outcomes[:3].tolist() == [protocol.CONNECTED, protocol.DUPLICATE, protocol.DUPLICATE]
                return
    raise AssertionError("no search connects")


def _repeating(default_rng):
    """Random numbers that do not depend on the number of the search."""
    return lambda seed: default_rng(seed[:2])


def test_two_processes_write_the_same_file(glass_box, labelled, tmp_path):
    file = tmp_path / "labels.xyz.gz"
    barriers(CU_ZR, glass_box, SMALL, file, silent, origin={"made_from": "test"}, processes=2)
    assert file.read_bytes() == labelled.read_bytes()


def test_interrupted_again_and_again_it_ends_in_the_same_file(
    glass_box, labelled, with_interruptions, tmp_path, monkeypatch
):
    def simulate(settings, output, progress):
        barriers(CU_ZR, glass_box, settings, output, progress, origin={"made_from": "test"})

    monkeypatch.setattr(protocol, "CHECKPOINT_INTERVAL", 0.0)
    file = tmp_path / "labels.xyz.gz"
    assert with_interruptions(simulate, SMALL, file, every=2) > 1
    assert file.read_bytes() == labelled.read_bytes()
    assert [path.name for path in tmp_path.iterdir()] == ["labels.xyz.gz"]


def _working_in(folder):
    """Processes whose working directory is there."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (process / "cwd").resolve() == folder and b"ovito_glassml" in (process / "cmdline").read_bytes():
                found.append(process)
    return found


@pytest.mark.slow
def test_killed_with_its_workers_it_ends_in_the_same_file(glass_box, tmp_path):
    """No worker outlives a killed run, and the next one goes on."""
    source, program = tmp_path / "glass.xyz.gz", tmp_path / "run.py"
    write_snapshot(source, glass_box, {}, {})
    program.write_text(
        "import sys, pathlib\n"
        "from ovito_glassml.simulate import snapshots\n"
        "from ovito_glassml.simulate.material import load_material\n"
        "from ovito_glassml.simulate.protocols import barriers as b\n"
        "if __name__ == '__main__':\n"
        "    b.CHECKPOINT_INTERVAL = 0.0\n"
        "    radii = {'region_reach': 7.0 / 2.7, 'yielding_reach': 9.0 / 2.7}\n"
        "    settings = b.BarrierSettings(events=3, searches=8, seed=2, labelled=12, **radii)\n"
        f"    glass = snapshots.read_snapshot(pathlib.Path({str(source)!r})).structure\n"
        "    copper_zirconium, file = load_material('cu-zr'), pathlib.Path(sys.argv[1])\n"
        "    b.barriers(copper_zirconium, glass, settings, file, lambda f, t: None, processes=int(sys.argv[2]))\n"
    )
    whole, killed = tmp_path / "whole.xyz.gz", tmp_path / "killed.xyz.gz"
    subprocess.run([sys.executable, program, whole, "1"], check=True)
    checkpoint = tmp_path / ".killed.xyz.gz.searches.npz"
    process = subprocess.Popen([sys.executable, program, killed, "2"], cwd=tmp_path)
    while not checkpoint.exists() and process.poll() is None:
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not killed.exists()
    deadline = time.monotonic() + 60
    while _working_in(tmp_path):
        assert time.monotonic() < deadline, "a worker outlived the run"
        time.sleep(0.5)
    subprocess.run([sys.executable, program, killed, "2"], check=True)
    assert killed.read_bytes() == whole.read_bytes()


def test_it_is_a_job_of_a_campaign(glass_box, tmp_path):
    write_snapshot(tmp_path / "glass.xyz.gz", glass_box, {}, {"protocol": "quench", "settings": "{}"})
    settings = {"events": 1, "searches": 2, "region_reach": 5.0 / 2.7, "yielding_reach": 6.0 / 2.7, "labelled": 2}
    run_job(Job("labels", "barriers", settings, "glass"), tmp_path)
    header = read_snapshot(tmp_path / "labels.xyz.gz").header
    assert header["input_protocol"] == "quench"
    assert json.loads((tmp_path / "labels.timing.json").read_text())["protocol"] == "barriers"


def test_the_command_passes_its_options_on(glass_box, tmp_path, monkeypatch):
    calls = []

    def asked(*arguments, **options):
        calls.append((arguments, options))

    monkeypatch.setitem(PROTOCOLS, "barriers", replace(PROTOCOLS["barriers"], simulate=asked))
    source, file = tmp_path / "glass.xyz.gz", tmp_path / "labels.xyz.gz"
    write_snapshot(source, glass_box, {}, {})
    command = ["simulate", "barriers", source, "--events", 4, "--labelled", 7, "--processes", 3, "-o", file]
    result = CliRunner().invoke(app, list(map(str, command)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    (material, structure, settings, target, _), options = calls[0]
    assert material.name == "cu-zr"
    np.testing.assert_allclose(structure.positions, glass_box.positions, atol=1e-5)
    assert (settings.events, settings.labelled, target, options) == (4, 7, file, {"processes": 3, "scheduler": None})


def test_what_another_run_left_is_not_continued(glass_box, tmp_path, monkeypatch):
    class Stopped(Exception):  # noqa: N818
        pass

    def stop(fraction, text):
        raise Stopped

    monkeypatch.setattr(protocol, "CHECKPOINT_INTERVAL", 0.0)
    few = BarrierSettings(events=1, searches=2, region_reach=5.0 / 2.7, yielding_reach=6.0 / 2.7, labelled=3)
    with pytest.raises(Stopped):
        barriers(CU_ZR, glass_box, few, tmp_path / "labels.xyz.gz", stop)
    other = BarrierSettings(events=1, searches=2, region_reach=5.0 / 2.7, yielding_reach=6.0 / 2.7, labelled=3, seed=9)
    with pytest.raises(SimulationError, match=r"with other settings \(seed 1 and not 9\)"):
        barriers(CU_ZR, glass_box, other, tmp_path / "labels.xyz.gz", silent)


def test_what_an_earlier_version_left_is_continued(glass_box, tmp_path):
    """Its record and its checkpoint, written here as it wrote them; no search is left to do."""
    settings = BarrierSettings(events=1, searches=2, region_reach=5.0 / 2.7, yielding_reach=6.0 / 2.7, labelled=None)
    parts = glass_box.positions, glass_box.species, glass_box.cell, glass_box.origin
    stamp = hashlib.sha256(b"".join(np.ascontiguousarray(part).tobytes() for part in parts)).hexdigest()
    record = {
        "events": 1,
        "searches": 2,
        "seed": 1,
        "region_radius": 5.0,
        "yielding_radius": 6.0,
        "push_radius": 3.6,
        "labelled": None,
        "search": list(SearchSettings()),
        "structure": stamp,
    }
    (tmp_path / ".labels.xyz.gz.settings.json").write_text(json.dumps(record))
    outcomes = np.tile(np.array([1, 3], dtype=np.int8), (len(glass_box), 1))
    heights = np.stack([np.full(len(glass_box), np.nan), np.linspace(0.5, 1.5, len(glass_box))], axis=1)
    np.savez(tmp_path / ".labels.xyz.gz.searches.npz", outcomes=outcomes, heights=heights)
    barriers(CU_ZR, glass_box, settings, tmp_path / "labels.xyz.gz", silent, processes=2)
    columns = read_snapshot(tmp_path / "labels.xyz.gz").columns
    np.testing.assert_allclose(columns["Activation_Energy"], heights[:, 1], rtol=1e-5)
    assert [path.name for path in tmp_path.iterdir()] == ["labels.xyz.gz"]


def test_a_lennard_jones_glass_is_searched_by_lammps_in_its_own_units(tmp_path):
    """Alone and in processes of their own; barriers of some ε, which is about 6 k_B T_g."""
    matter, random = load_material("kob-andersen"), np.random.default_rng(3)
    edge = (250 / matter.number_density) ** (1 / 3)
    grid = np.stack(np.meshgrid(*[np.arange(7)] * 3), axis=-1).reshape(-1, 3)[:250] * edge / 7
    kinds = (random.permutation(250) >= 200).astype(int)
    mixture = Structure(
        grid + random.uniform(-0.2, 0.2, grid.shape), kinds, ("A", "B"), edge * np.eye(3), pbc=(True,) * 3
    )
    settings = BarrierSettings(events=1, searches=4, seed=2, region_reach=2.2, yielding_reach=2.4, labelled=4)
    files = [tmp_path / f"{processes}.xyz.gz" for processes in (1, 2)]
    for processes, file in enumerate(files, start=1):
        barriers(matter, mixture, settings, file, silent, processes=processes)
    assert files[0].read_bytes() == files[1].read_bytes()
    snapshot = read_snapshot(files[0])
    energies = snapshot.columns["Activation_Energy"]
    assert np.isfinite(energies).any()
    assert 0.1 < np.nanmax(energies) < 40
    assert snapshot.structure.cell[0, 0] == pytest.approx(edge)
    with LammpsForces(snapshot.structure, matter) as forces:
        assert np.abs(forces(snapshot.structure.positions)[1]).max() < 0.05  # positions are written with 1e-5


def test_a_glass_too_small_for_its_interactions_is_refused(small_glass, tmp_path):
    with pytest.raises(SimulationError, match=r"searches need 6.1, a glass of about 25. atoms"):
        barriers(CU_ZR, small_glass.structure, SMALL, tmp_path / "labels.xyz.gz", silent)


def test_another_element_is_refused(tmp_path):
    iron = Structure(np.zeros((1, 3)), [0], ("Fe",), np.eye(3) * 20, pbc=(True, True, True))
    with pytest.raises(SimulationError, match="does not describe Fe"):
        barriers(CU_ZR, iron, SMALL, tmp_path / "labels.xyz.gz", silent)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"events": 0}, "do not fit"),
        ({"events": 10, "searches": 5}, "10 events do not fit into 5 searches"),
        ({"push_reach": 12.0 / 2.7}, "enlarge region_reach"),
        ({"yielding_reach": 8.0 / 2.7}, "enlarge it"),
        ({"labelled": 0}, "at least 1"),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(SimulationError, match=message):
        BarrierSettings(**settings)
