"""Core-hours of sets of jobs, some of which nobody timed."""

import json

import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.reproduce.costs import by_set, core_hours, keep_timings, read_timings


def timing(folder, name, seconds):
    record = {"name": name, "protocol": "shear-aqs", "core_seconds": seconds}
    (folder / f"{name}.timing.json").write_text(json.dumps(record))


def test_campaigns_add_to_what_is_known(tmp_path):
    file = tmp_path / "timings.json"
    for number, seconds in enumerate((10.0, 20.5)):
        folder = tmp_path / str(number)
        folder.mkdir()
        timing(folder, f"shear-{number}", seconds)
        assert len(keep_timings(folder, file)) == number + 1
    assert read_timings(file) == {"shear-0": 10.0, "shear-1": 20.5}


def test_nothing_is_known_without_a_file_and_another_file_is_refused(tmp_path):
    assert read_timings(tmp_path / "timings.json") == {}
    for text in ("[1]", '{"a": "text"}', "{", '{"a": null}'):
        (tmp_path / "timings.json").write_text(text)
        with pytest.raises(SimulationError, match="collect them again"):
            read_timings(tmp_path / "timings.json")


def test_jobs_that_nobody_timed_cost_what_the_others_cost_for_each_atom():
    atoms = {"a": 1000, "b": 2000, "c": 1000}
    assert core_hours(atoms, {"a": 3600.0, "b": 7200.0, "c": 1800.0, "z": 1e9}) == "3.5"
    assert core_hours(atoms, {"a": 3600.0, "b": 7200.0}) == "4.0, by the time that 2 of 3 took"
    assert core_hours(atoms, {"z": 1.0}) == "not measured"


def test_jobs_that_differ_in_the_last_number_are_a_set():
    timings = {"shear-zr44cu56-300K-1": 1800.0, "shear-zr44cu56-300K-2": 5400.0, "shear-zr44cu56-500K-1": 3600.0}
    assert by_set(timings) == {"shear-zr44cu56-300K": (2, 2.0), "shear-zr44cu56-500K": (1, 1.0)}
