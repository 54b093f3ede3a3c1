"""What a stopped run leaves belongs to that run alone."""

import json
import threading
from dataclasses import replace
from functools import partial

import numpy as np
import pytest

from ovito_glassml.errors import BusyError, SimulationError
from ovito_glassml.files import sole_writer
from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    load_checkpoint,
    save_atomically,
)
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.anneal import AnnealSettings, anneal
from ovito_glassml.simulate.protocols.isoconfigurational import IsoconfigurationalSettings, isoconfigurational
from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench
from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings, shear_aqs
from ovito_glassml.simulate.protocols.shear_md import ShearMDSettings, shear_md
from ovito_glassml.simulate.protocols.vibrations import VibrationSettings, vibrations
from ovito_glassml.structure import Structure

CU_ZR, KOB_ANDERSEN = load_material("cu-zr"), load_material("kob-andersen")

SHORT = {"atoms": 108, "seed": 1, "melt_time": 1.0, "checkpoint_atom_steps": 20_000}


def named(value):
    return value.func.__name__ if isinstance(value, partial) else ""


FROM_SCRATCH = [
    (partial(quench, CU_ZR), QuenchSettings(**SHORT)),
    (partial(anneal, CU_ZR), AnnealSettings(**SHORT)),
    (partial(shear_aqs, KOB_ANDERSEN), ShearAQSSettings(**SHORT)),
    (partial(isoconfigurational, KOB_ANDERSEN), IsoconfigurationalSettings(**SHORT)),
]
FROM_A_STRUCTURE = [
    (partial(vibrations, CU_ZR), VibrationSettings(seed=1)),
    (partial(shear_md, CU_ZR), ShearMDSettings(300.0, seed=1, equilibration=0.3)),
]


class Stopped(Exception):  # noqa: N818
    pass


def stop(fraction, text):
    raise Stopped


@pytest.fixture(scope="module")
def crystal():
    grid = np.stack(np.meshgrid(*[np.arange(4)] * 3), axis=-1).reshape(-1, 1, 3)
    corners = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = 3.64 * (grid + corners).reshape(-1, 3)
    return Structure(positions, np.zeros(256, dtype=int), ("Cu",), 4 * 3.64 * np.eye(3), pbc=(True, True, True))


@pytest.mark.parametrize(("protocol", "settings"), FROM_SCRATCH, ids=named)
def test_a_run_from_scratch_is_not_continued_with_another_seed(protocol, settings, tmp_path):
    output = tmp_path / "run.xyz.gz"
    with pytest.raises(Stopped):
        protocol(settings, output, stop)
    with pytest.raises(SimulationError, match=r"with other settings \(seed 1 and not 2\).*; repeat it"):
        protocol(replace(settings, seed=2), output, stop)
    with pytest.raises(Stopped):
        protocol(settings, output, stop)


@pytest.mark.parametrize(("protocol", "settings"), FROM_A_STRUCTURE, ids=named)
def test_a_run_from_a_structure_is_not_continued_from_another(protocol, settings, crystal, tmp_path):
    output = tmp_path / "run.xyz.gz"
    with pytest.raises(Stopped):
        protocol(crystal, settings, output, stop)
    moved = replace(crystal, positions=crystal.positions + 0.01)
    with pytest.raises(SimulationError, match=r"with other settings \(another structure\)"):
        protocol(moved, settings, output, stop)
    with pytest.raises(SimulationError, match=r"with other settings \(seed 1 and not 2\)"):
        protocol(crystal, replace(settings, seed=2), output, stop)
    with pytest.raises(Stopped):
        protocol(crystal, settings, output, stop)


def test_files_of_unknown_origin_are_not_continued(tmp_path):
    output = tmp_path / "run.xyz.gz"
    save_atomically(intermediate(output, "start"), {"stage": np.array(0)})
    with pytest.raises(SimulationError, match="seed unknown and not 3"):
        claim_intermediate(output, {"seed": 3}, CU_ZR)


def test_a_finished_run_leaves_nothing_and_its_name_is_free(tmp_path):
    output = tmp_path / "run.xyz.gz"
    claim_intermediate(output, {"seed": 3, "temperatures": (50, 300)}, CU_ZR)
    save_atomically(intermediate(output, "start"), {"stage": np.array(0)})
    claim_intermediate(output, {"seed": 3, "temperatures": (50, 300)}, CU_ZR)
    clear_intermediate(output)
    assert not list(tmp_path.iterdir())
    claim_intermediate(output, {"seed": 4}, CU_ZR)
    assert json.loads((tmp_path / ".run.xyz.gz.settings.json").read_text())["seed"] == 4


def test_the_files_of_another_output_do_not_count(tmp_path):
    save_atomically(intermediate(tmp_path / "run-1.xyz.gz", "start"), {"stage": np.array(0)})
    claim_intermediate(tmp_path / "run.xyz.gz", {"seed": 1}, CU_ZR)


def test_runs_whose_names_begin_alike_keep_their_files(tmp_path):
    run, longer = tmp_path / "run.xyz.gz", tmp_path / "run.xyz.gz.b.xyz.gz"
    claim_intermediate(longer, {"seed": 2}, CU_ZR)
    save_atomically(intermediate(longer, "0.5K"), {"stage": np.array(0)})
    (tmp_path / "..run.xyz.gz.b.xyz.gz.0.5K.npz.4321-00ff00ff.tmp").touch()
    kept = sorted(tmp_path.iterdir())
    claim_intermediate(run, {"seed": 1}, CU_ZR)
    save_atomically(intermediate(run, "0.5K"), {"stage": np.array(0)})
    (tmp_path / "..run.xyz.gz.0.5K.npz.4321-00ff00ff.tmp").touch()
    clear_intermediate(run)
    assert sorted(tmp_path.iterdir()) == kept


def test_a_run_that_another_process_makes_is_refused(tmp_path):
    output, refused = tmp_path / "run.xyz.gz", []

    def second():
        try:
            quench(CU_ZR, QuenchSettings(**SHORT), output, stop)
        except BusyError as error:
            refused.append(str(error))

    with sole_writer(output):
        thread = threading.Thread(target=second)
        thread.start()
        thread.join()
    assert f"{output} is being written by process" in refused[0]
    assert not list(tmp_path.iterdir())


def test_a_damaged_checkpoint_is_named(tmp_path):
    path = tmp_path / "state.npz"
    save_atomically(path, {"positions": np.ones((50, 3))})
    whole = path.read_bytes()
    for size in (0, 10, len(whole) // 2, len(whole) - 5):
        path.write_bytes(whole[:size])
        with pytest.raises(SimulationError, match=r"state\.npz is damaged .* delete it"):
            load_checkpoint(path)


def test_a_run_that_another_version_began_is_not_continued_without_its_past(tmp_path):
    """An earlier version kept no cooling curves."""
    output = tmp_path / "run.xyz.gz"
    settings = QuenchSettings(**SHORT, cooling_rate=2e14, fast_rate=2e14)

    def stop_between_checkpoints(fraction, text):
        if fraction > 0.4:
            raise Stopped

    with pytest.raises(Stopped):
        quench(CU_ZR, settings, output, stop_between_checkpoints)
    checkpoint = intermediate(output, "checkpoint")
    state = load_checkpoint(checkpoint)
    assert "observed_rows" in state
    save_atomically(checkpoint, {key: value for key, value in state.items() if key != "observed_rows"})
    with pytest.raises(SimulationError, match="holds no 'rows', so another version of this program wrote it"):
        quench(CU_ZR, settings, output, stop)
