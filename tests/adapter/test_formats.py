"""Output files as others read them: LAMMPS dumps with the plain header and the names of the types."""

import itertools

import ase.io
import MDAnalysis
import numpy as np
import pytest

from ovito_glassml import RDFDescriptorsModifier
from ovito_glassml.adapter import formats
from ovito_glassml.adapter.files import FileError, annotate, open_trajectory
from ovito_glassml.adapter.formats import FormatError, formatted
from ovito_glassml.simulate.engine import open_lammps

CUBOID = np.diag([9.0, 10.0, 12.5])
LEANING = np.array([[14.0, 0.0, 0.0], [-5.0, 13.5, 0.0], [4.0, -6.0, 15.0]])
STEEP = np.array([[9.0, 0.0, 0.0], [8.0, 10.0, 0.0], [-7.0, 9.0, 12.0]])
TURNED = np.array([[9.0, 1.0, 0.0], [0.0, 10.0, 2.0], [1.0, 0.0, 12.0]])
UPSIDE_DOWN = np.diag([9.0, 10.0, -12.5])
EXCHANGED = CUBOID[[1, 0, 2]]

ORIGIN = np.array([1.0, -2.0, 0.5])
FRACTIONS = np.random.default_rng(0).random((20, 3))
NUMBERS = np.arange(20, 0, -1)
KINDS = np.arange(20) % 2 + 1


@pytest.fixture
def make(make_data):
    """A frame whose atoms are not in the order of their numbers."""

    def frame(cell, pbc=(True, True, True), names=("Cu", "Zr")):
        positions = FRACTIONS @ cell + ORIGIN
        data = make_data(positions, cell, pbc, ORIGIN, KINDS, dict(enumerate(names, 1)), NUMBERS)
        data.particles_.create_property("Predicted Stiffness", data=FRACTIONS[:, 0])
        return data

    return frame


def dump_of(data, folder):
    file = folder / "frame.dump"
    file.write_bytes(formatted(data, "lammps/dump"))
    return file


def header_of(file):
    return next(line for line in file.read_text().splitlines() if line.startswith("ITEM: BOX BOUNDS"))


@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)))
def test_cells_have_the_header_that_every_program_knows(make, tmp_path, pbc):
    flags = " ".join("pp" if periodic else "ff" for periodic in pbc)
    assert header_of(dump_of(make(CUBOID, pbc), tmp_path)) == f"ITEM: BOX BOUNDS {flags}"
    assert header_of(dump_of(make(LEANING, pbc), tmp_path)) == f"ITEM: BOX BOUNDS xy xz yz {flags}"


@pytest.mark.parametrize("cell", [CUBOID, LEANING, STEEP])
def test_ase_reads_cell_positions_and_elements(make, tmp_path, cell):
    atoms = ase.io.read(dump_of(make(cell, (True, False, True)), tmp_path), format="lammps-dump-text")
    np.testing.assert_allclose(atoms.cell[...], cell, atol=1e-7)
    np.testing.assert_allclose(atoms.get_celldisp().ravel(), ORIGIN, atol=1e-7)
    assert atoms.pbc.tolist() == [True, False, True]
    order = np.argsort(NUMBERS)
    np.testing.assert_allclose(atoms.positions, (FRACTIONS @ cell + ORIGIN)[order], atol=1e-7)
    assert atoms.get_chemical_symbols() == [("Cu", "Zr")[kind - 1] for kind in KINDS[order]]


@pytest.mark.parametrize("cell", [CUBOID, LEANING])
@pytest.mark.filterwarnings("ignore")
def test_mdanalysis_reads_cell_and_positions(make, tmp_path, cell):
    universe = MDAnalysis.Universe(
        str(dump_of(make(cell), tmp_path)), format="LAMMPSDUMP", topology_format="LAMMPSDUMP"
    )
    lengths = np.linalg.norm(cell, axis=1)
    np.testing.assert_allclose(universe.dimensions[:3], lengths, rtol=1e-6)
    cosines = [cell[a] @ cell[b] / (lengths[a] * lengths[b]) for a, b in ((1, 2), (0, 2), (0, 1))]
    np.testing.assert_allclose(np.cos(np.radians(universe.dimensions[3:])), cosines, atol=1e-6)
    expected = (FRACTIONS @ cell)[np.argsort(NUMBERS)]
    np.testing.assert_allclose(
        universe.atoms.positions - expected,
        np.broadcast_to((universe.atoms.positions - expected)[0], expected.shape),
        atol=1e-4,
    )


@pytest.mark.parametrize("cell", [CUBOID, LEANING])
def test_lammps_reads_positions(make, tmp_path, cell):
    """`read_dump` moves atoms that stand elsewhere to where the dump has them, and takes its cell."""
    file = dump_of(make(cell), tmp_path)
    lammps = open_lammps()
    try:
        commands = ["units metal", "atom_style atomic", "atom_modify map array", "box tilt large"]
        commands += [f"region all {'prism' if cell[1, 0] else 'block'} 0 9 0 10 0 12 {'0 0 0' if cell[1, 0] else ''}"]
        commands += ["create_box 2 all", "mass * 60"]
        commands += ["pair_style zero 2", "pair_coeff * *"]
        commands += [f"read_dump {file} 0 x y z box yes purge yes add keep replace no"]
        for command in commands:
            lammps.command(command)
        assert lammps.get_natoms() == 20
        low, high, xy, yz, xz, *_ = lammps.extract_box()
        np.testing.assert_allclose(np.array(high) - low, cell.diagonal(), atol=1e-7)
        np.testing.assert_allclose((xy, xz, yz), (cell[1, 0], cell[2, 0], cell[2, 1]), atol=1e-7)
        found = np.array(lammps.gather_atoms("x", 1, 3)).reshape(-1, 3)
        kinds = np.array(lammps.gather_atoms("type", 0, 1))
    finally:
        lammps.close()
    order = np.argsort(NUMBERS)
    np.testing.assert_allclose(found, (FRACTIONS @ cell + ORIGIN)[order], atol=1e-7)
    assert kinds.tolist() == KINDS[order].tolist()


def test_rounding_errors_do_not_make_a_cell_general(make, tmp_path):
    noisy = CUBOID + np.array([[0, 1e-12, -1e-13], [1e-14, 0, 3e-12], [0, 0, 0]])
    data = make(noisy)
    assert header_of(dump_of(data, tmp_path)) == "ITEM: BOX BOUNDS xy xz yz pp pp pp"
    np.testing.assert_array_equal(data.cell[:, :3].T, noisy)


@pytest.mark.parametrize("cell", [TURNED, UPSIDE_DOWN, EXCHANGED])
def test_other_cells_are_written_as_they_are_and_it_is_said(make, tmp_path, cell, capsys):
    """Turning them would have to turn forces, displacements and whatever vectors a user has."""
    file = dump_of(make(cell, (True, False, True)), tmp_path)
    assert header_of(file) == "ITEM: BOX BOUNDS abc origin pp ff pp"
    assert "general header 'abc origin'" in capsys.readouterr().out
    back = open_trajectory(str(file)).compute()
    np.testing.assert_allclose(back.cell[...], np.column_stack([cell.T, ORIGIN]), atol=1e-7)
    np.testing.assert_allclose(back.particles.positions, FRACTIONS @ cell + ORIGIN, atol=1e-7)


def test_a_frame_without_cell_cannot_become_a_dump(make_data):
    data = make_data(FRACTIONS, types=KINDS)
    with pytest.raises(FormatError, match=r"no simulation cell, which the LAMMPS dump format needs; write \.xyz"):
        formatted(data, "lammps/dump")
    assert formatted(data, "xyz").startswith(b"20\n")


@pytest.mark.parametrize("names", [("Cu", "Zr"), ("A", "B"), ("glass former", "Cu")])
def test_types_keep_numbers_and_names(make, tmp_path, names):
    back = open_trajectory(str(dump_of(make(CUBOID, names=names), tmp_path))).compute().particles.particle_types
    assert {kind.id: kind.name for kind in back.types} == {1: names[0].replace(" ", "_"), 2: names[1]}
    assert back[...].tolist() == KINDS.tolist()


@pytest.mark.parametrize("names", [("", ""), ("Cu", ""), ("1", "2")])
def test_without_names_there_is_no_column_of_them(make, tmp_path, names):
    text = dump_of(make(CUBOID, names=names), tmp_path).read_text()
    assert "ITEM: ATOMS id type x y z PredictedStiffness" in text


def test_text_would_keep_everybody_from_reading_a_dump_and_is_left_out(make, tmp_path, capsys):
    data = make(CUBOID)
    data.particles_.create_property("Site", dtype=str, data=["hollow"] * 20)
    file = dump_of(data, tmp_path)
    assert "Left out, since a LAMMPS dump holds numbers only: Site; .xyz holds text too." in capsys.readouterr().out
    assert "ITEM: ATOMS id type element x y z PredictedStiffness\n" in file.read_text()
    assert "Site" in data.particles
    assert b"hollow" in formatted(data, "xyz")


def test_what_is_said_about_a_file_names_it_once(make, tmp_path, capsys):
    source = tmp_path / "turned.xyz"
    source.write_bytes(2 * formatted(make(TURNED), "xyz"))
    annotate([source], [RDFDescriptorsModifier()], tmp_path / "out.dump")
    lines = [line for line in capsys.readouterr().out.splitlines() if "general header" in line]
    assert len(lines) == 1
    assert lines[0].startswith(f"{source}, frame 0: The cell does not lie as LAMMPS has it")


def test_a_frame_without_cell_is_named(tmp_path):
    source = tmp_path / "cluster.xyz"
    source.write_text("2\nno cell\nCu 1 1 1\nZr 3 3 3\n")
    modifier = RDFDescriptorsModifier(number_density=0.05)
    with pytest.raises(FileError, match=r"cluster\.xyz, frame 0: there is no simulation cell"):
        annotate([source], [modifier], tmp_path / "out.dump")
    assert list(tmp_path.iterdir()) == [source]


@pytest.mark.parametrize("style", ["xyz", "lammps/dump"])
@pytest.mark.parametrize("left", [0, 1, 400, -1])
def test_what_a_full_disk_cuts_off_is_noticed(make, monkeypatch, style, left):
    """OVITO reports nothing where the last kilobytes find no room."""
    export = formats.export_file

    def cut(data, file, *arguments, **options):
        export(data, file, *arguments, **options)
        with open(file, "r+b") as written:
            written.truncate(left if left >= 0 else written.seek(0, 2) + left)

    monkeypatch.setattr(formats, "export_file", cut)
    with pytest.raises(FormatError, match=r"temporary files .* \(it was cut off\); make room there, .* TMPDIR"):
        formatted(make(CUBOID), style)


def test_a_frame_is_noticed_to_lack_its_last_atom(make, monkeypatch):
    export = formats.export_file

    def short(data, file, *arguments, **options):
        export(data, file, *arguments, **options)
        with open(file, "rb") as written:
            lines = written.readlines()
        with open(file, "wb") as written:
            written.writelines(lines[:-1])

    monkeypatch.setattr(formats, "export_file", short)
    with pytest.raises(FormatError, match="cut off"):
        formatted(make(CUBOID), "xyz")


def test_what_ovito_cannot_write_says_where(make, monkeypatch):
    def refuse(*arguments, **options):
        raise RuntimeError("Failed to write output file '/tmp/frame': Unknown error")

    monkeypatch.setattr(formats, "export_file", refuse)
    with pytest.raises(FormatError, match=r"Unknown error\); make room there"):
        formatted(make(CUBOID), "xyz")
