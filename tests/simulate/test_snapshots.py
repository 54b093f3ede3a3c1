"""The file format of simulated data."""

import gzip
import subprocess
import sys

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.snapshots import (
    Snapshot,
    provenance,
    read_frames,
    read_snapshot,
    write_frames,
    write_snapshot,
)
from ovito_glassml.structure import Structure


@pytest.fixture
def snapshot(tmp_path):
    rng = np.random.default_rng(0)
    cell = np.diag([10.0, 11.0, 12.0])
    structure = Structure(rng.uniform(0, 10, (30, 3)), rng.integers(0, 2, 30), ("Cu", "Zr"), cell, pbc=(True,) * 3)
    columns = {"Stiffness": rng.normal(size=30), "Hops": rng.integers(0, 3, (30, 2))}
    file = tmp_path / "snapshot.xyz.gz"
    write_snapshot(file, structure, columns, provenance("test", {"seed": 3}))
    return structure, columns, file


def test_what_is_written_is_read_back(snapshot):
    structure, columns, file = snapshot
    back = read_snapshot(file)
    np.testing.assert_allclose(back.structure.positions, structure.positions, atol=6e-6)
    np.testing.assert_array_equal(back.structure.species, structure.species)
    np.testing.assert_allclose(back.structure.cell, structure.cell)
    np.testing.assert_allclose(back.columns["Stiffness"], columns["Stiffness"], rtol=1e-5)
    np.testing.assert_array_equal(back.columns["Hops"], columns["Hops"])
    assert back.header["protocol"] == "test"
    assert "'seed': 3" in back.header["settings"]


def test_equal_content_gives_equal_bytes(snapshot, tmp_path):
    structure, columns, file = snapshot
    again = tmp_path / "again.xyz.gz"
    write_snapshot(again, structure, columns, provenance("test", {"seed": 3}))
    assert again.read_bytes() == file.read_bytes()


def test_ovito_reads_it(snapshot):
    from ovito_glassml.adapter.files import open_trajectory

    structure, columns, file = snapshot
    data = open_trajectory(str(file)).compute()
    np.testing.assert_allclose(data.particles["Stiffness"], columns["Stiffness"], rtol=1e-5)
    np.testing.assert_allclose(data.cell[:, :3], structure.cell)
    names = [data.particles.particle_types.type_by_id(kind).name for kind in data.particles.particle_types]
    assert names == [structure.species_names[kind] for kind in structure.species]
    assert data.attributes["protocol"] == "test"


@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_file_is_an_error(snapshot, tenth):
    _, _, file = snapshot
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * tenth // 10])
    with pytest.raises(SimulationError, match="not a whole simulation snapshot"):
        read_snapshot(file)


def test_a_missing_row_is_an_error(snapshot):
    _, _, file = snapshot
    lines = gzip.decompress(file.read_bytes()).splitlines()
    file.write_bytes(gzip.compress(b"\n".join(lines[:-1])))
    with pytest.raises(SimulationError, match="wrong number of rows"):
        read_snapshot(file)


@pytest.fixture
def trajectory(snapshot, tmp_path):
    structure, columns, _ = snapshot
    file = tmp_path / "frames.xyz.gz"
    frames = []
    for number in range(3):
        tilted = np.array([[10.0, 0, 0], [0.5 * number, 11, 0], [0, 0, 12]])
        moved = Structure(structure.positions + 0.01 * number, structure.species, ("Cu", "Zr"), tilted, pbc=(True,) * 3)
        frames.append(Snapshot(moved, columns, {"number": number}))
    write_frames(file, frames)
    return frames, file


def test_frames_are_read_back_in_order(trajectory):
    frames, file = trajectory
    back = read_frames(file)
    assert [frame.header["number"] for frame in back] == ["0", "1", "2"]
    for frame, original in zip(back, frames, strict=True):
        np.testing.assert_allclose(frame.structure.positions, original.structure.positions, atol=6e-6)
        np.testing.assert_allclose(frame.structure.cell, original.structure.cell)


def test_ovito_reads_all_frames(trajectory):
    from ovito_glassml.adapter.files import open_trajectory

    frames, file = trajectory
    pipeline = open_trajectory(str(file))
    assert pipeline.num_frames == 3
    data = pipeline.compute(2)
    np.testing.assert_allclose(data.cell[:, :3].T, frames[2].structure.cell)
    np.testing.assert_allclose(data.particles["Stiffness"], frames[2].columns["Stiffness"], rtol=1e-5)


def test_several_frames_are_no_single_structure(trajectory):
    with pytest.raises(SimulationError, match="holds 3 frames"):
        read_snapshot(trajectory[1])


@pytest.mark.parametrize("tenth", range(10))
def test_a_truncated_trajectory_is_an_error(trajectory, tenth):
    _, file = trajectory
    whole = file.read_bytes()
    file.write_bytes(whole[: len(whole) * tenth // 10])
    with pytest.raises(SimulationError, match="not a whole simulation snapshot"):
        read_frames(file)


def test_species_are_read_in_the_one_order(tmp_path):
    """That of the adapter too: names that are no elements by alphabet, elements by atomic number."""
    for names in (("A", "B"), ("Al", "Cu", "Zr")):
        structure = Structure(np.zeros((len(names), 3)), range(len(names)), names, np.eye(3))
        write_frames(tmp_path / "one.xyz.gz", [Snapshot(structure, {}, {})])
        assert read_snapshot(tmp_path / "one.xyz.gz").structure.species_names == names


def test_a_fresh_ovito_takes_a_long_header_for_no_other_format(snapshot, tmp_path):
    structure, columns, _ = snapshot
    file = tmp_path / "long.xyz.gz"
    write_snapshot(file, structure, columns, {"numbers": "7 " * 700, **provenance("test", {"atoms": 30})})
    script = "import sys; from ovito.io import import_file; print(import_file(sys.argv[1]).compute().particles.count)"
    read = subprocess.run([sys.executable, "-c", script, file], capture_output=True, text=True, check=False)
    assert read.stdout.strip() == "30", read.stderr[-500:]
    assert read_snapshot(file).header["numbers"] == "7 " * 700
