"""Files that users have: one glass, written by others in many formats, gives the same numbers from all of them.

ASE, LAMMPS and OVITO write; coordinates have three decimals, which every text format holds exactly.
"""

import ctypes
import gzip
import struct
from dataclasses import replace

import ase
import ase.io
import numpy as np
import pytest
from conformance_cases import CUBE, computed, glass, installed_cases, pipeline, telling_frame, written
from conformance_checks import assert_same
from ovito.io import export_file

from ovito_glassml import (
    BesselDescriptorsModifier,
    LaSCAModifier,
    PredictedActivityModifier,
    PredictedStiffnessModifier,
    RDFDescriptorsModifier,
)
from ovito_glassml.adapter.files import FileError, annotate, check_rows, open_trajectory
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.simulate.engine import open_lammps
from ovito_glassml.workflow.sample_data import sample_file

#: As LAMMPS wants it, so that nothing needs to be turned.
LEANING = np.array([[14.0, 0.0, 0.0], [-5.0, 13.5, 0.0], [4.0, -6.0, 15.0]])

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning:ase")


#: File names that are no trouble to a shell with quotes.
NAMES = ("a b.dump", "50%20.dump", "#1.dump", "[2].dump", "what?.dump", "ü.dump")


def three_decimals(cell, frames=1):
    sample = glass(cell, frames=frames)
    return replace(sample, positions=np.round(sample.positions, 3), ids=np.arange(1, len(sample.kinds) + 1))


def atoms_of(sample):
    symbols = [sample.names[kind] for kind in sample.kinds]
    return ase.Atoms(symbols, sample.positions[0], cell=sample.cell, pbc=True)


def zstandard(content):
    """A frame of stored blocks, as the format allows; Python cannot compress it before version 3.14."""
    return (
        b"\x28\xb5\x2f\xfd\xa0"
        + struct.pack("<I", len(content))
        + (len(content) << 3 | 1).to_bytes(3, "little")
        + content
    )


@pytest.fixture(scope="module")
def glasses():
    """Cell shape → sample."""
    return {"leaning": three_decimals(LEANING), "cube": three_decimals(CUBE)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, glasses):
    """One file a format."""
    place = tmp_path_factory.mktemp("formats")
    write_with_ase(atoms_of(glasses["leaning"]), place)
    write_with_lammps(place)
    write_with_ovito(atoms_of(glasses["cube"]), place)
    for name in ("ase.extxyz", "ase.poscar", "masses.data", "custom.dump"):
        content = (place / name).read_bytes()
        (place / f"{name}.gz").write_bytes(gzip.compress(content))
        (place / f"{name}.zst").write_bytes(zstandard(content))
        (place / f"windows-{name}").write_bytes(content.replace(b"\n", b"\r\n"))
    for name in NAMES:
        (place / name).write_bytes((place / "custom.dump").read_bytes())
    return place


def write_with_ase(atoms, place):
    ase.io.write(place / "ase.extxyz", atoms)
    comment, lattice = (place / "ase.extxyz").read_text().split("\n", 2)[1], 'pbc="T T T"'
    assert lattice in comment
    (place / "no-pbc.xyz").write_text((place / "ase.extxyz").read_text().replace(lattice, ""))
    ase.io.write(place / "ase.poscar", atoms[atoms.numbers.argsort(kind="stable")], format="vasp")
    ase.io.write(place / "scaled.poscar", atoms, format="vasp", direct=True)
    ase.io.write(place / "CONFIG", atoms, format="dlp4")
    ase.io.write(place / "ase.cif", atoms)
    ase.io.write(place / "ase.xsf", atoms)
    for name, masses in (("plain.data", False), ("masses.data", True)):
        ase.io.write(place / name, atoms, format="lammps-data", specorder=["Cu", "Zr"], masses=masses)


#: Files of LAMMPS: style and columns of a dump.
DUMPS = {
    "custom.dump": "custom id type x y z",
    "scaled.dump": "custom id type xs ys zs",
    "unwrapped.dump": "custom id type xu yu zu",
    "scaled-unwrapped.dump": "custom id type xsu ysu zsu",
    "images.dump": "custom type x y z ix iy iz id",
    "element.dump": "custom id element x y z",
    "both.dump": "custom id type element x y z",
    "velocities.dump": "custom id type mass x y z vx vy vz",
    "lammps.dump.gz": "custom/gz id type x y z",
    "lammps.bin": "custom id type x y z",
    "atom.lammpstrj": "atom",
    "lammps.yaml": "yaml id type x y z",
}


def write_with_lammps(place):
    """From the data file of ASE, after a run has put the atoms into another order and on other images."""
    lammps = open_lammps()
    commands = ["units metal", "atom_style atomic", "box tilt large", f"read_data {place}/plain.data"]
    commands += ["mass 1 63.546", "mass 2 91.224", "pair_style zero 6", "pair_coeff * *"]
    commands += ["displace_atoms all move 28.0 -13.5 0.0 units box", "run 0"]
    for name, columns in DUMPS.items():
        style, *rest = columns.split()
        named = " modify element Cu Zr" if "element" in rest else ""
        commands.append(f"write_dump all {style} {place}/{name} {' '.join(rest)}{named}")
    commands += [
        f"write_data {place}/written.data",
        "labelmap atom 1 Cu 2 Zr",
        f"write_data {place}/labels.data nocoeff",
    ]
    try:
        for command in commands:
            lammps.command(command)
    finally:
        lammps.close()


def write_with_ovito(atoms, place):
    ase.io.write(place / "cube.extxyz", atoms)
    line = open_trajectory(str(place / "cube.extxyz"))
    columns = ["Particle Identifier", "Particle Type", "Position.X", "Position.Y", "Position.Z"]
    export_file(line, str(place / "ovito.gsd"), "gsd/hoomd")
    export_file(line, str(place / "ovito.data"), "lammps/data")
    export_file(line, str(place / "ovito.imd"), "imd", columns=columns)


#: Formats that round coordinates: largest error in Å. LAMMPS writes six digits of fractions; GSD holds 32 bits.
ROUNDED = {"scaled.dump": 2e-5, "scaled-unwrapped.dump": 1e-4, "atom.lammpstrj": 2e-5, "ovito.gsd": 2e-6}

#: Files that do not name their types. LAMMPS data files with masses do not either: OVITO knows elements by mass.
UNNAMED = {"plain.data", "ovito.imd", *DUMPS} - {"element.dump", "both.dump"}

FILES = ["ase.extxyz", "no-pbc.xyz", "ase.poscar", "scaled.poscar", "CONFIG", "ase.cif", "ase.xsf"]
FILES += ["plain.data", "masses.data", "written.data", "labels.data", "ovito.gsd", "ovito.data", "ovito.imd", *DUMPS]

#: The same bytes in other clothes, and the file they were.
CLOTHED = {
    f"{name}{ending}": name for name in ("ase.extxyz", "ase.poscar", "masses.data") for ending in (".gz", ".zst")
}
CLOTHED |= {f"custom.dump{ending}": "custom.dump" for ending in (".gz", ".zst")}
CLOTHED |= {f"windows-{name}": name for name in ("ase.extxyz", "ase.poscar", "masses.data", "custom.dump")}
CLOTHED |= dict.fromkeys(NAMES, "custom.dump")


def chain(species=""):
    """What looks at single frames in different ways: a histogram, sums with angles, two models, neighbours."""
    return [
        RDFDescriptorsModifier(partial=True, species=species),
        BesselDescriptorsModifier(species=species),
        PredictedStiffnessModifier(model="stiffness-cuzr", species=species),
        PredictedActivityModifier(species=species),
        LaSCAModifier(max_cutoff="3.6"),
    ]


def read(file, species=""):
    """What the modifiers write, in the order of the identifiers if there are any."""
    line = open_trajectory(file)
    check_rows(file)
    for modifier in chain(species):
        line.modifiers.append(modifier)
    data = line.compute()
    identifiers = data.particles.identifiers
    order = slice(None) if identifiers is None else np.argsort(identifiers[...])
    return {name: values[order] for name, values in written(data).items() if "Signature" not in name}


@pytest.fixture(scope="module")
def expected(glasses):
    """The same without any file, for both cell shapes."""

    def outputs(sample):
        data = pipeline(sample.frames(), *chain()).compute(0)
        return {name: values for name, values in written(data).items() if "Signature" not in name}

    return {shape: outputs(sample) for shape, sample in glasses.items()}


@pytest.mark.parametrize("name", FILES)
def test_every_format_gives_the_same_numbers(folder, glasses, expected, name):
    found = read(folder / name, "Cu,Zr" if name in UNNAMED else "")
    shape = "cube" if name.startswith("ovito") else "leaning"
    order = np.argsort(glasses[shape].kinds, kind="stable") if name == "ase.poscar" else slice(None)
    error = ROUNDED.get(name, 0.0)
    for key, values in expected[shape].items():
        if error and key == "RDF Descriptors":  # a pair may move to the next bin
            continue
        scale = np.nanmax(np.abs(values))
        np.testing.assert_allclose(found[key], values[order], rtol=0, atol=(1e-6 + 40 * error) * scale, err_msg=key)


@pytest.mark.parametrize("name", CLOTHED)
def test_compression_line_ends_and_names_change_nothing(folder, name):
    data, same = (open_trajectory(folder / file).compute() for file in (name, CLOTHED[name]))
    check_rows(folder / name)
    for key in ("Position", "Particle Type"):
        np.testing.assert_array_equal(data.particles[key], same.particles[key])
    np.testing.assert_array_equal(data.cell[...], same.cell[...])


@pytest.mark.parametrize("name", ["plain.data", "custom.dump", "lammps.bin", "lammps.yaml", "ovito.imd"])
def test_unnamed_types_are_refused_in_one_sentence_with_the_remedy(folder, name, tmp_path):
    with pytest.raises(FileError) as refused:
        annotate([folder / name], [PredictedStiffnessModifier()], tmp_path / "out.xyz")
    sentence = str(refused.value)
    assert sentence.isprintable()
    assert f"{name}, frame 0: Particle types [1, 2] have no names, " in sentence
    assert sentence.endswith("set species to the names in type order, such as Cu,Zr (--species Cu,Zr).")
    assert not list(tmp_path.iterdir())


@pytest.fixture(scope="module")
def moving(tmp_path_factory):
    """A trajectory, and the dump that LAMMPS makes of it: no names, scaled coordinates, another order of atoms."""
    sample = three_decimals(LEANING, frames=12)
    place = tmp_path_factory.mktemp("moving")
    ase.io.write(place / "start.data", atoms_of(sample), format="lammps-data", specorder=["Cu", "Zr"])
    lammps = open_lammps()
    commands = ["units metal", "atom_style atomic", "atom_modify map array", "box tilt large"]
    commands += [f"read_data {place}/start.data", "mass * 60", "pair_style zero 6", "pair_coeff * *", "run 0"]
    lammps.commands_list(commands)
    for frame, positions in enumerate(sample.positions):
        lammps.scatter_atoms("x", 1, 3, (ctypes.c_double * positions.size)(*positions.ravel()))
        lammps.command(f"reset_timestep {frame}")
        options = "modify sort off append yes format float %.15g"
        lammps.command(f"write_dump all custom/gz {place}/appended.dump.gz id type xsu ysu zsu {options}")
    lammps.close()
    (place / "moving.dump.gz").write_bytes(gzip.compress(gzip.decompress((place / "appended.dump.gz").read_bytes())))
    return sample, place / "moving.dump.gz"


@pytest.mark.parametrize("case", [case for case in installed_cases() if not case.compares], ids=str)
def test_every_modifier_reads_what_lammps_writes(moving, case):
    sample, file = moving
    modifier = case.make(**({"species": "Cu,Zr"} if case.has("species") else {}))
    line = open_trajectory(file)
    line.modifiers.append(modifier)
    data = line.compute(telling_frame(modifier))
    order = np.argsort(data.particles.identifiers[...])
    assert_same(written(computed(case.make(), sample)), {name: values[order] for name, values in written(data).items()})


def test_a_compressed_dump_that_was_appended_to_is_refused(moving, tmp_path):
    """OVITO would show the first of its twelve frames as if there were no others."""
    file = moving[1].with_name("appended.dump.gz")
    assert open_trajectory(file).num_frames == 1
    assert open_trajectory(moving[1]).num_frames == 12
    with pytest.raises(FileError, match=r"appended.dump.gz has been appended to .* gzip -dc OLD.gz \| gzip > NEW.gz$"):
        annotate([file], [LaSCAModifier()], tmp_path / "out.xyz")
    check_rows(moving[1])


# Free surfaces.


def in_vacuum(data, vacuum=100.0):
    """All atoms in the cell, which ends in vacuum above."""
    wrapped = data.particles.positions[...] @ np.linalg.inv(data.cell[:, :3]).T
    data.particles_.positions_[...] = (wrapped % 1) @ data.cell[:, :3].T
    data.cell_[2, 2] += vacuum


@pytest.fixture(scope="module")
def bulk():
    """A real glass of 4000 atoms, 41 Å wide."""
    return open_trajectory(str(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz"))).compute()


@pytest.mark.parametrize("open_above", [False, True])
def test_deep_below_a_surface_nothing_changes(bulk, open_above):
    """Neither for vacuum in a periodic cell nor for an open one; only g(r) needs to be told the density."""
    slab = bulk.clone()
    in_vacuum(slab)
    slab.cell_.pbc = (True, True, not open_above)
    height, width = slab.particles.positions[:, 2], bulk.cell[2, 2]
    deep, shallow = np.abs(height - width / 2) < 2.0, np.abs(height - width / 2) > width / 2 - 3.0
    density = bulk.particles.count / bulk.cell.volume
    for modifier in (
        RDFDescriptorsModifier(number_density=density),
        PredictedStiffnessModifier(),
        PredictedStiffnessModifier(model="stiffness-cuzr-rdf40", number_density=density),
        PredictedActivityModifier(),
        LaSCAModifier(max_cutoff="3.7"),
    ):
        inside, cut = bulk.clone(), slab.clone()
        inside.apply(modifier)
        cut.apply(modifier)
        unlike = [name for name in written(cut) if name.endswith("Extrapolation")]
        assert_same(
            {name: values[deep] for name, values in written(inside).items() if "Signature" not in name},
            {name: values[deep] for name, values in written(cut).items() if "Signature" not in name},
            rtol=1e-4,  # averages over neighbours of neighbours reach far, but hardly weigh anything there
        )
        for name in unlike:
            known = np.isfinite(written(cut)[name])
            assert (written(cut)[name][shallow & known] > 1).mean() > 0.9
            assert (written(cut)[name][deep & known] > 1).mean() < 0.1


def test_a_density_that_counts_vacuum_scales_the_rdf(bulk):
    """N/V of a slab is too small by the share of vacuum, which the attribute shows."""
    slab = bulk.clone()
    in_vacuum(slab, vacuum=bulk.cell[2, 2])
    told = slab.clone()
    density = bulk.particles.count / bulk.cell.volume
    slab.apply(RDFDescriptorsModifier())
    told.apply(RDFDescriptorsModifier(number_density=density))
    assert slab.attributes["RDFDescriptors.number_density"] == pytest.approx(density / 2)
    name = "RDF Descriptors"
    np.testing.assert_allclose(slab.particles[name], 2 * told.particles[name][...], rtol=1e-5)


@pytest.mark.parametrize("open_cell", [False, True])
def test_an_xyz_file_without_cell_is_a_particle_in_vacuum(tmp_path, glasses, open_cell):
    file = tmp_path / "particle.xyz"
    atoms = atoms_of(glasses["cube"])
    atoms.pbc = False
    if not open_cell:
        atoms.cell = None
    ase.io.write(file, atoms, format="extxyz" if open_cell else "xyz")
    data = open_trajectory(file).compute()
    structure = structure_from_data(data)
    assert not any(structure.pbc)
    wide = replace(glasses["cube"], cell=CUBE * 5)
    if not open_cell:
        with pytest.raises(FileError, match=r"particle.xyz, frame 0: .*no simulation cell.*give number_density"):
            annotate([file], [RDFDescriptorsModifier()], tmp_path / "out.xyz")
    for make in (PredictedStiffnessModifier, PredictedActivityModifier, LaSCAModifier):
        alone = data.clone()
        alone.apply(make())
        assert_same(written(computed(make(), wide)), written(alone))


# Snapshots.


def test_models_of_snapshots_and_of_inherent_structures_say_when_they_are_shown_the_other(bulk, capfd):
    file = sample_file("stiffness/snapshots/300K-vibrations-cu50zr50-1e12-1.xyz.gz")
    snapshot = open_trajectory(str(file)).compute()
    warned = {}
    for data, temperature in ((bulk, 0), (snapshot, 300)):
        for model in ("stiffness-cuzr", "stiffness-cuzr-300k"):
            data.clone().apply(PredictedStiffnessModifier(model=model))
            said = capfd.readouterr().out
            warned[temperature, model] = "unlike the training data" in said or "all values may be off" in said
    assert warned == {
        (0, "stiffness-cuzr"): False,
        (0, "stiffness-cuzr-300k"): True,
        (300, "stiffness-cuzr"): True,
        (300, "stiffness-cuzr-300k"): False,
    }
