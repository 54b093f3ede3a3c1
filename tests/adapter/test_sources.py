"""What users give as a structure: compressed files, patterns, addresses, standard input, data files without a style."""

import bz2
import csv
import gc
import lzma
import os
import subprocess
import sys
from pathlib import Path

import ase.io
import numpy as np
import pytest

from ovito_glassml import LaSCAModifier
from ovito_glassml.adapter.files import FileError, annotate, check_rows, open_trajectory, read_columns
from ovito_glassml.adapter.sources import location_of
from ovito_glassml.batch import annotate_in_ranges

PACK = {".xz": lzma.compress, ".bz2": bz2.compress}

XYZ = """3
Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:Stiffness:R:1
Cu 1 1 {z} 0.5
Zr 2 2 2 0.75
Zr 3 4 2 0.75
"""

POSCAR = "Glass\n1.0\n9 0 0\n0 9 0\n0 0 9\nCu Zr\n1 1\nCartesian\n1 1 1\n3 3 3\n"

HEADER = """LAMMPS

2 atoms
2 atom types
0 10 xlo xhi
0 10 ylo yhi
0 10 zlo zhi

Atoms

"""

#: Rows of two atoms in each style.
STYLES = {
    "charge": "1 1 0.5 1.0 2.0 3.0\n2 2 0.5 4.0 5.0 6.0\n",
    "molecular": "1 7 1 1.0 2.0 3.0\n2 7 2 4.0 5.0 6.0\n",
    "full": "1 7 1 0.5 1.0 2.0 3.0\n2 7 2 0.5 4.0 5.0 6.0\n",
    "hybrid molecular charge": "1 1 1.0 2.0 3.0 7 0.5\n2 2 4.0 5.0 6.0 7 0.5\n",
}


@pytest.fixture(params=PACK)
def packed(request, tmp_path):
    """Two frames, compressed, and the same plain."""
    plain = tmp_path / "two.xyz"
    plain.write_text(XYZ.format(z=1) + XYZ.format(z=4))
    file = tmp_path / f"two.xyz{request.param}"
    file.write_bytes(PACK[request.param](plain.read_bytes()))
    return file


@pytest.mark.parametrize("run", [annotate, annotate_in_ranges])
def test_compressed_files_give_the_same_as_plain_ones(packed, tmp_path, run):
    files = {"packed": packed, "plain": packed.with_suffix("")}
    for name, file in files.items():
        run([file], [LaSCAModifier()], tmp_path / f"{name}.out.xyz", attributes=tmp_path / f"{name}.csv")
    assert (tmp_path / "packed.out.xyz").read_bytes() == (tmp_path / "plain.out.xyz").read_bytes()
    rows = list(csv.DictReader((tmp_path / "packed.csv").open()))
    assert [row["file"] for row in rows] == [str(packed)] * 2
    assert [row["SourceFile"] for row in rows] == [str(packed)] * 2


@pytest.mark.parametrize("ending", PACK)
def test_formats_known_by_their_name_and_patterns_of_names_may_be_compressed(tmp_path, ending):
    (tmp_path / f"POSCAR{ending}").write_bytes(PACK[ending](POSCAR.encode()))
    assert open_trajectory(tmp_path / f"POSCAR{ending}").compute().particles.count == 2
    for number in (1, 2, 10):
        (tmp_path / f"run[1].{number}.xyz{ending}").write_bytes(PACK[ending](XYZ.format(z=number / 2).encode()))
    pipeline = open_trajectory(tmp_path / f"run[1].*.xyz{ending}")
    assert [pipeline.compute(k).particles.positions[0, 2] for k in range(pipeline.num_frames)] == [0.5, 1.0, 5.0]


def test_a_compressed_file_is_unpacked_once_until_it_changes(packed):
    first = location_of(packed)
    assert location_of(packed) == first
    packed.write_bytes(PACK[packed.suffix](XYZ.format(z=2).encode()))
    assert open_trajectory(packed).num_frames == 1
    assert open_trajectory(packed).compute().particles.positions[0, 2] == 2


def test_what_was_unpacked_lasts_as_long_as_the_process(packed, tmp_path):
    source = open_trajectory(packed).source
    gc.collect()
    assert source.compute(1).particles.count == 3
    program = (
        "import sys; from ovito_glassml.adapter.files import open_trajectory\n"
        "assert open_trajectory(sys.argv[1]).num_frames == 2"
    )
    place = tmp_path / "a place"
    place.mkdir()
    environment = {**os.environ, "TMPDIR": str(place)}
    subprocess.run([sys.executable, "-c", program, str(packed)], check=True, env=environment)
    assert list(place.iterdir()) == []


def test_damage_in_a_compressed_file_is_named(packed):
    content = packed.read_bytes()
    packed.write_bytes(content[: len(content) // 2])
    with pytest.raises(FileError, match=rf"two\.xyz\{packed.suffix} is damaged \(.*\); write it again\."):
        open_trajectory(packed)
    packed.write_bytes(PACK[packed.suffix]((XYZ.format(z=1) + "Cu 1 1 1 1\n").encode()))
    with pytest.raises(FileError, match=rf"two\.xyz\{packed.suffix} has more atoms than its headers count \(line 6\)"):
        check_rows(packed)
    packed.unlink()
    for name in (packed, packed.with_name(f"two.*{packed.suffix}")):
        with pytest.raises(FileError, match="does not exist; check the path"):
            open_trajectory(name)


@pytest.mark.parametrize("ending", [".xyz.xz", ".dump.bz2"])
def test_results_are_compressed_as_gz_only(packed, tmp_path, ending):
    with pytest.raises(FileError, match=r"has no known ending; use \.xyz, .* \(also with \.gz\)"):
        annotate([packed], [LaSCAModifier()], tmp_path / f"out{ending}")


@pytest.mark.parametrize(
    ("given", "taken"),
    [
        ("https://host.org/a/b.xyz", "https://host.org/a/b.xyz"),
        ("https://host.org//a/./b.xyz?from=http://c", "https://host.org//a/./b.xyz?from=http://c"),
        ("HTTP://host.org/b.xyz", "http://host.org/b.xyz"),
        ("sftp://user@host.org/home/b.*.dump", "sftp://user@host.org/home/b.*.dump"),
        (Path("https://host.org/a/b.xyz"), "https://host.org/a/b.xyz"),
        (Path("sftp://user@host.org/b.dump.gz"), "sftp://user@host.org/b.dump.gz"),
    ],
)
def test_addresses_reach_ovito_as_they_were_written(given, taken):
    """Also those that a `Path` has taken a slash out of."""
    assert location_of(given) == taken


@pytest.mark.parametrize("address", ["http://127.0.0.1:9/a.xyz", "https://127.0.0.1:9/a.xyz"])
@pytest.mark.parametrize("run", [annotate, annotate_in_ranges])
def test_an_address_that_does_not_answer_is_named_in_a_sentence(tmp_path, address, run):
    for given in (address, Path(address)):
        with pytest.raises(FileError) as refused:
            run([given], [LaSCAModifier()], tmp_path / "out.xyz")
        assert str(refused.value).startswith(f"{address} cannot be read: ")
        assert str(refused.value).isprintable()
    assert list(tmp_path.iterdir()) == []


def test_after_an_address_that_does_not_answer_other_files_have_all_their_frames(tmp_path):
    """OVITO alone then finds one frame of several, now and then."""
    file = tmp_path / "many.xyz"
    file.write_text("".join(XYZ.format(z=number / 10) for number in range(20)))
    with pytest.raises(FileError):
        open_trajectory("http://127.0.0.1:9/a.xyz")
    assert [open_trajectory(file).num_frames for _ in range(20)] == [20] * 20


def test_readers_written_in_python_work_too(tmp_path):
    frames = [ase.Atoms("Cu", [[0, 0, z]], cell=[9, 9, 9], pbc=True) for z in range(3)]
    ase.io.write(tmp_path / "three.traj", frames)
    assert open_trajectory(tmp_path / "three.traj").num_frames == 3


def test_standard_input_and_pipes_are_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for file in ("-", Path("-"), "/dev/stdin", "/dev/null", tmp_path / "pipe"):
        with pytest.raises(FileError, match="can be read only once; save its content in a file and give the name"):
            open_trajectory(file)


def data_file(folder, style):
    file = folder / "no style.data"
    file.write_text(HEADER + STYLES[style])
    return file


@pytest.mark.parametrize("style", STYLES)
@pytest.mark.parametrize("run", [annotate, annotate_in_ranges])
def test_the_style_of_a_data_file_can_be_given(tmp_path, style, run):
    file = data_file(tmp_path, style)
    with pytest.raises(FileError, match=r"style.* Write it into the file, as in 'Atoms # full', or give it, as in --"):
        run([file], [LaSCAModifier()], tmp_path / "out.xyz")
    run([file], [LaSCAModifier()], tmp_path / "out.xyz", atom_style=style)
    data = open_trajectory(tmp_path / "out.xyz").compute()
    np.testing.assert_array_equal(data.particles.positions, [[1, 2, 3], [4, 5, 6]])
    np.testing.assert_array_equal(data.particles.particle_types, [1, 2])


@pytest.mark.parametrize(("name", "style"), [("two.xyz", "charge"), ("no style.data", "chrage")])
def test_a_style_that_cannot_be_is_refused(tmp_path, name, style):
    data_file(tmp_path, "charge")
    (tmp_path / "two.xyz").write_text(XYZ.format(z=1))
    with pytest.raises(FileError, match=f"{name} cannot be read with atom style '{style}': "):
        open_trajectory(tmp_path / name, style)


def test_a_column_of_the_very_name_comes_before_one_that_looks_like_it(tmp_path):
    file = tmp_path / "both.xyz"
    file.write_text(
        '1\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:Stiffness:R:1:stiffness:R:1\nCu 1 1 1 5 6\n'
    )
    for label, value in (("Stiffness", 5), ("stiffness", 6)):
        assert next(read_columns(file, (label,)))[1][label] == [value]
