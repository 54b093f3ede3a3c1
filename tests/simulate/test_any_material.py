"""Every protocol takes any material: Cu-Zr, a Lennard-Jones mixture of three species, an alloy of three elements."""

import math

import numpy as np
import pytest
from simulate import three_species

from ovito_glassml.errors import SimulationError, UnfitMaterialError
from ovito_glassml.simulate import material_check
from ovito_glassml.simulate.atoms import create_atoms, lammps_frame
from ovito_glassml.simulate.crystals import check_glassy
from ovito_glassml.simulate.engine import energy_per_atom, gather, open_lammps
from ovito_glassml.simulate.material import load_material, material_of
from ovito_glassml.simulate.material_check import check_material, kink
from ovito_glassml.simulate.material_header import material_of_header, stated
from ovito_glassml.simulate.material_report import costs, described, written
from ovito_glassml.simulate.protocols.isoconfigurational import IsoconfigurationalSettings, isoconfigurational
from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench
from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings, shear_aqs
from ovito_glassml.simulate.protocols.shear_md import ShearMDSettings, shear_md
from ovito_glassml.simulate.protocols.vibrations import VibrationSettings, vibrations
from ovito_glassml.simulate.snapshots import read_frames, read_snapshot
from ovito_glassml.structure import Structure


def silent(fraction, text):
    pass


@pytest.fixture(scope="module", params=["cu-zr", "mixture", "alloy"])
def made(request, tmp_path_factory):
    """A material, and its quenched glass of 120 atoms."""
    folder = tmp_path_factory.mktemp("a folder with blanks")
    builder = {"mixture": three_species.mixture, "alloy": three_species.alloy}.get(request.param)
    material = load_material(builder(folder) if builder else request.param)
    rates = dict.fromkeys(("cooling_rate", "fast_rate"), 0.5 if material.units == "lj" else 1e15)
    file = folder / "glass.xyz.gz"
    quench(material, QuenchSettings(120, seed=3, melt_time=0.3, **rates), file, silent)
    return material, file, folder


def test_a_quench_gives_a_glass_of_the_composition_at_rest(made):
    material, file, _ = made
    snapshot = read_snapshot(file)
    names = np.array(snapshot.structure.species_names)[snapshot.structure.species]
    shares = [np.mean(names == name) for name in material.species]
    assert shares == pytest.approx(material.fractions, abs=0.01)
    lammps = open_lammps()
    create_atoms(lammps, snapshot.structure, material)
    lammps.command("run 0 post no")
    assert np.abs(gather(lammps, "f")).max() < 2e-2  # positions are written with 1e-5
    assert energy_per_atom(lammps, material) == pytest.approx(snapshot.columns["Potential_Energy"].mean(), abs=1e-5)
    lammps.close()


def test_its_header_tells_units_and_the_hash_of_the_potential(made):
    material, file, folder = made
    header = read_snapshot(file).header
    assert stated(header)["energy_unit"] == ("epsilon" if material.units == "lj" else "eV")
    told = material_of_header(header, folder)
    assert told == material.fingerprinted()
    assert all(len(one.sha256) == 64 for one in told.potentials)


def test_vibrations_are_those_of_a_solid(made):
    material, file, folder = made
    labels, settings = folder / "labels.xyz.gz", VibrationSettings(window=1.0, equilibration=0.4)
    vibrations(material, read_snapshot(file).structure, settings, labels, silent)
    columns = read_snapshot(labels).columns
    temperatures = settings.filled_in(material).temperatures
    assert max(temperatures) == pytest.approx(3 / 7 * material.glass_temperature, rel=1e-3)
    expected = (material.boltzmann * np.array(temperatures) / columns["Vibrational_MSD"]).mean(axis=1)
    np.testing.assert_allclose(columns["Stiffness"], expected, rtol=1e-4)
    # By Lindemann's rule atoms vibrate by some percent of their distance below the transition.
    vibrating = np.sqrt(np.median(columns["Vibrational_MSD"], axis=0)) / material.nearest_neighbour_distance
    assert 0.005 < vibrating[0] < vibrating[-1] < 0.2


def test_shear_by_steps_finds_an_elastic_solid(made):
    material, _, folder = made
    settings = ShearAQSSettings(
        120, 2, 0.4, 0.8, discarded_strain=0.0, strain=4e-3, step=1e-3, search_step=2e-3, block=4e-3
    )
    shear_aqs(material, settings, folder / "events.xyz.gz", silent)
    strain, stress, _ = np.loadtxt(folder / "events.curve.csv", delimiter=",").T
    modulus = np.ptp(stress) / np.ptp(strain)
    assert (np.diff(stress) > 0).all()
    # GPa; in reduced units, twenty to forty times the thermal energy of the transition, less where a few atoms yield.
    assert (1 < modulus < 80) if material.units == "lj" else (5 < modulus < 120)
    assert len(read_frames(folder / "events.xyz.gz")[0].structure) == 120


def test_replicas_begin_alike_and_part(made):
    material, _, folder = made
    settings = IsoconfigurationalSettings(120, 1, 0.4, 0.6, 0.3, 0.5, 2)
    isoconfigurational(material, settings, folder / "replicas.xyz.gz", silent)
    start, first, second = read_frames(folder / "replicas.xyz.gz")
    assert np.abs(first.structure.positions - second.structure.positions).max() > 0.01
    assert float(start.header["temperature"]) == material.studied_temperature
    np.testing.assert_array_equal(start.structure.cell, second.structure.cell)


def triclinic(structure):
    """The same glass in a sheared, turned cell."""
    cell = np.asarray(structure.cell)
    other = np.array([[1, 0, 0], [1, 1, 0], [-1, 1, 1]]) @ cell
    turn, _ = np.linalg.qr(np.random.default_rng(4).normal(size=(3, 3)))
    if np.linalg.det(turn) < 0:
        turn[:, 0] *= -1
    return Structure(
        structure.positions @ turn, structure.species, structure.species_names, other @ turn, pbc=(True,) * 3
    )


def test_a_tilted_and_turned_cell_has_the_same_forces(made):
    material, file, _ = made
    straight = read_snapshot(file).structure
    shaken = Structure(
        straight.positions + np.random.default_rng(1).normal(scale=0.02, size=(120, 3)),
        straight.species,
        straight.species_names,
        straight.cell,
        pbc=straight.pbc,
    )
    energies, forces = [], []
    for structure in (shaken, triclinic(shaken)):
        lammps = open_lammps()
        create_atoms(lammps, structure, material)
        lammps.command("run 0 post no")
        energies.append(energy_per_atom(lammps, material))
        _, turn = lammps_frame(structure)
        forces.append(gather(lammps, "f") if turn is None else gather(lammps, "f") @ turn.T)
        lammps.close()
    assert energies[0] == pytest.approx(energies[1], rel=1e-9)
    lengths = np.linalg.norm(forces, axis=2)
    np.testing.assert_allclose(lengths[0], lengths[1], atol=1e-6 * lengths.max())


def test_vibrations_and_shear_take_a_tilted_cell(made):
    material, file, folder = made
    glass = triclinic(read_snapshot(file).structure)
    labels = folder / "tilted.xyz.gz"
    low = 0.05 * material.glass_temperature
    vibrations(material, glass, VibrationSettings((low,), window=1.0, equilibration=0.4), labels, silent)
    usual = math.sqrt(np.median(read_snapshot(labels).columns["Vibrational_MSD"]))
    assert 0.005 < usual / material.nearest_neighbour_distance < 0.1  # not thrown by a cell's edge
    rate = 0.05 if material.units == "lj" else 1e11
    settings = ShearMDSettings(shear_rate=rate, strain=0.05, structures=1, equilibration=0.2)
    shear_md(material, glass, settings, folder / "sheared.xyz.gz", silent)
    strains = [float(frame.header["strain"]) for frame in read_frames(folder / "sheared.xyz.gz")]
    assert strains == pytest.approx([0.0, 0.05], abs=1e-3)


# ---------------------------------------------------------------------- the check


@pytest.fixture
def quick(monkeypatch):
    monkeypatch.setattr(material_check, "TEMPERATURES", 12)
    monkeypatch.setattr(material_check, "STEPS", 200)
    monkeypatch.setattr(material_check, "MELTING", 400)


def test_a_check_measures_what_a_bare_file_leaves_out(quick, tmp_path):
    bare = load_material(three_species.mixture(tmp_path, measured=""))
    report = check_material(bare, silent, atoms=150)
    complete = report.material.check_complete()
    assert report.filled == material_check.MEASURED
    assert 0.002 <= complete.time_step <= 0.008
    assert 0.8 < complete.nearest_neighbour_distance < 1.1
    assert 0.9 < complete.number_density < 1.4
    assert 0.2 < complete.glass_temperature < complete.melt_temperature < 4
    assert report.force_error < 1e-3
    assert report.largest_force < 1e-5
    assert report.crystalline["total"] < 0.2
    file = tmp_path / "complete.toml"
    file.write_text(written(report, file), encoding="utf-8")
    again = load_material(file)
    assert again == complete
    assert dict(described(report))["Material"] == "mixture, A50B30C20, 150 atoms"
    assert all(0 < hours[0] < hours[1] for hours in costs(report).values())


def test_what_the_file_says_is_kept(quick, tmp_path):
    material = load_material(three_species.mixture(tmp_path))
    report = check_material(material, silent, atoms=150)
    assert report.filled == ()
    assert report.material == material


def test_a_checked_file_elsewhere_still_finds_its_potential(tmp_path):
    material = load_material(three_species.alloy(tmp_path))
    report = material_check.MaterialReport(
        material, (), 100, 0.0, 0.06, 0.06, 2.7, 2.7, material_check.Kink(1.0, 0.1), 1.0, {}, np.zeros((3, 3)),
        np.zeros((3, 3)), material.species, 0.0, 1.0, (np.zeros(1), np.zeros(1)),
    )  # fmt: skip
    other = tmp_path / "other folder"
    other.mkdir()
    file = other / "alloy.toml"
    file.write_text(written(report, file), encoding="utf-8")
    again = load_material(file)
    assert again.potential_paths().popitem()[1] == tmp_path / "three species.eam.alloy"
    assert again.potentials[0].sha256 == material.fingerprinted().potentials[0].sha256


def test_the_kink_of_a_broken_line_is_found_and_its_error_is_honest():
    temperatures = np.linspace(2000, 100, 26)
    rng = np.random.default_rng(2)
    found = []
    for _ in range(8):
        energies = -4.9 + 8e-5 * np.maximum(temperatures - 720, 0) + rng.normal(scale=2e-3, size=26)
        found.append(kink(temperatures, energies, samples=30))
    places = np.array([one.temperature for one in found])
    assert places.mean() == pytest.approx(720, abs=50)
    assert 0.3 < np.mean([one.error for one in found]) / places.std() < 5


LENNARD_JONES = {"name": "argon", "species": ["A"], "units": "lj"}
ARGON = ["pair_style lj/cut 2.5", "pair_modify shift yes", "pair_coeff * * 1 1"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"commands": ["pair_style lj/cut 2.5", "pair_coeff 1 2 1 1"]}, "LAMMPS stops: .*change its commands"),
        ({"commands": ["pair_style lj/cute 2.5", "pair_coeff * * 1 1"]}, "Unrecognized pair style.*built without it"),
        ({"commands": ["pair_style soft 1.0", "pair_coeff * * 1"]}, "do not hold each other"),
        (
            {"commands": ARGON, "melt_temperature": 0.1},
            "does not melt at 0.1 ε/k_B: .*raise melt_temperature",
        ),
        (
            {"commands": ARGON, "melt_temperature": 9},
            "evaporates at 9 ε/k_B.*lower melt_temperature",
        ),
        (
            {"species": ["Cu", "W"], "units": "metal", "fractions": [0.5, 0.5],
             "commands": ["pair_style eam/alloy", "pair_coeff * * CuTa.eam.alloy Cu W"]},
            "the potential lacks a species",
        ),
        (
            {"species": ["Cu", "Ta"], "units": "lj", "fractions": [0.5, 0.5],
             "commands": ["pair_style eam/alloy", "pair_coeff * * CuTa.eam.alloy Cu Ta"]},
            "units.*write the unit system of the potential",
        ),
    ],
)  # fmt: skip
def test_a_check_refuses_in_one_sentence(changes, message, quick):
    with pytest.raises(SimulationError, match=message) as caught:
        check_material(material_of({**LENNARD_JONES, **changes}), silent, atoms=200)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(("occupied", "crystal"), [(1.0, "fcc"), (0.3, None)])
def test_what_has_crystallised_is_refused_by_name(occupied, crystal):
    corners = np.mgrid[0:5, 0:5, 0:5].reshape(3, -1).T[:, None]
    basis = np.array([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    positions = 3.6 * (corners + basis).reshape(-1, 3)
    rng = np.random.default_rng(1)
    shaken = positions[:, 2] > occupied * 18  # of this part no atom is in a crystal
    positions[shaken] += rng.normal(scale=0.5, size=(np.count_nonzero(shaken), 3))
    structure = Structure(positions, rng.integers(2, size=500), ["Cu", "Zr"], 18 * np.eye(3), pbc=(True,) * 3)
    material = load_material("cu-zr")
    if crystal is None:
        check_glassy(structure, material)
        return
    with pytest.raises(
        SimulationError, match=f"has crystallised: .* of the atoms are in crystals, most of them {crystal}"
    ):
        check_glassy(structure, material)


def test_a_quench_that_crystallises_writes_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("ovito_glassml.simulate.crystals.MOST_CRYSTALLINE", -1.0)
    rates = dict.fromkeys(("cooling_rate", "fast_rate"), 5.0)
    material = load_material(three_species.mixture(tmp_path))
    with pytest.raises(SimulationError, match="has crystallised"):
        quench(material, QuenchSettings(100, melt_time=0.1, **rates), tmp_path / "glass.xyz.gz", silent)
    assert [path.name for path in tmp_path.glob("*.gz")] == []
    assert [path.name for path in tmp_path.glob("*.csv")] == []


def test_a_protocol_asks_for_a_check_where_the_file_says_too_little(tmp_path):
    bare = load_material(three_species.mixture(tmp_path, measured=""))
    with pytest.raises(SimulationError, match=r"lacks melt_temperature.*glassml material check"):
        quench(bare, QuenchSettings(120), tmp_path / "glass.xyz.gz", silent)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["mixture.toml"]


def test_a_potential_that_lacks_an_element_or_is_missing_leaves_nothing_half_written(tmp_path):
    told = {**LENNARD_JONES, "species": ["Cu", "W"], "units": "metal", "fractions": [0.5, 0.5]}
    known = {
        "melt_temperature": 3000.0,
        "glass_temperature": 900.0,
        "liquid_density": 0.06,
        "time_step": 0.002,
        "nearest_neighbour_distance": 2.7,
    }
    for file, message in (("CuTa.eam.alloy", "lacks a species"), ("CuW.eam.alloy", "needs the potential file")):
        commands = ["pair_style eam/alloy", f"pair_coeff * * {file} Cu W"]
        material = material_of({**told, **known, "commands": commands}, tmp_path)
        with pytest.raises(SimulationError, match=message):
            quench(material, QuenchSettings(120), tmp_path / "glass.xyz.gz", silent)
        assert not list(tmp_path.iterdir())


KNOWN_ARGON = {
    "glass_temperature": 0.4,
    "liquid_density": 0.7,
    "number_density": 0.95,
    "nearest_neighbour_distance": 1.1,
    "time_step": 0.005,
    "melt_temperature": 1.5,
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"melt_temperature": 0.2, "glass_temperature": 0.1}, "does not melt at 0.2 ε/k_B: .*raise melt_temperature"),
        ({"melt_temperature": 9.0}, "evaporates at 9 ε/k_B.*lower melt_temperature"),
        ({"time_step": 0.2}, "atoms fly apart.*smaller time_step"),
    ],
)
def test_a_quench_of_what_is_no_melt_stops_and_leaves_nothing(changes, message, tmp_path):
    material = material_of({**LENNARD_JONES, "commands": ARGON, **KNOWN_ARGON, **changes})
    rates = dict.fromkeys(("cooling_rate", "fast_rate"), 5.0)
    with pytest.raises(UnfitMaterialError, match=message):
        quench(material, QuenchSettings(200, melt_time=20.0, **rates), tmp_path / "glass.xyz.gz", silent)
    assert not list(tmp_path.iterdir())


def test_a_negative_temperature_is_refused_with_its_name():
    with pytest.raises(SimulationError, match="melt_temperature is -1; it must be positive"):
        material_of({**LENNARD_JONES, "commands": ARGON, **KNOWN_ARGON, "melt_temperature": -1.0})
