"""D²min of known motions, against OVITO and brute force; labels, references, replicas and refusals."""

import itertools
import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ovito.modifiers import AtomicStrainModifier

from ovito_glassml import NonaffineActivityModifier
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.errors import GlassMLError
from ovito_glassml.labels.nonaffine import nonaffine_squared_displacement
from ovito_glassml.structure import Structure

SAMPLE_DATA = Path(__file__).parents[2] / "sample_data" / "activity"
MAIN = "Nonaffine Squared Displacement"
CUTOFF = 5.0
SHEAR = np.array([[1.0, 0, 0], [0.12, 0.95, 0], [0, -0.05, 1.02]])


@pytest.fixture
def rng():
    return np.random.default_rng(11)


@pytest.fixture
def trajectory(as_data, as_pipeline):
    """Function: a pipeline over structures."""
    return lambda *structures: as_pipeline([as_data(structure) for structure in structures])


def moved(structure, displacements):
    return replace(structure, positions=structure.positions + displacements)


def deformed(structure, gradient):
    """All vectors, rows, multiplied by a matrix."""
    cell = None if structure.cell is None else structure.cell @ gradient
    return replace(structure, positions=structure.positions @ gradient, cell=cell, origin=structure.origin @ gradient)


def wrapped(structure):
    fractions = (structure.positions - structure.origin) @ np.linalg.inv(structure.cell)
    return replace(structure, positions=structure.positions - np.floor(fractions) @ structure.cell)


def shuffled(structure, rng):
    order = rng.permutation(len(structure))
    return Structure(
        structure.positions[order],
        structure.species[order],
        structure.species_names,
        structure.cell,
        structure.origin,
        structure.pbc,
        structure.ids[order],
    )


def part(structure, atoms):
    return replace(
        structure,
        positions=structure.positions[atoms],
        species=structure.species[atoms],
        ids=structure.ids[atoms],
    )


def computed(pipeline, frame=1, **parameters):
    pipeline.modifiers.append(NonaffineActivityModifier(**{"cutoff": CUTOFF} | parameters))
    return pipeline.compute(frame)


def values(data):
    return data.particles[MAIN][...]


# --- what is measured -----------------------------------------------------------------------------


@pytest.mark.parametrize("mapping", ["Off", "ToReference", "ToCurrent"])
def test_a_linear_deformation_is_no_rearrangement(trajectory, triclinic, mapping):
    result = computed(trajectory(triclinic, deformed(triclinic, SHEAR)), affine_mapping=mapping)
    assert (values(result) == 0).all()
    assert (result.particles["Activity"][...] == 0).all()


def test_a_turned_cluster_has_not_rearranged(trajectory, cluster):
    turn = np.array([[0.6, 0.8, 0], [-0.8, 0.6, 0], [0, 0, 1]])
    result = computed(trajectory(cluster, deformed(cluster, turn)), cutoff=10.0)
    assert (values(result) == 0).all()


def test_one_atom_that_jumps(trajectory, fcc):
    """With 12 neighbours at distance R, Σ r rᵀ = 4 R²: u² is left of 12 bonds at the atom, ¾ u² at its neighbours."""
    jump = np.zeros((len(fcc), 3))
    jump[17] = [0.3, -0.4, 1.2]
    result = computed(trajectory(fcc, moved(fcc, jump)), cutoff=3.5, threshold=1.0)
    square = 1.3**2
    expected = np.zeros(len(fcc))
    bonds = fcc.positions - fcc.positions[17]
    bonds -= np.rint(bonds / 16) * 16
    expected[np.isclose(np.linalg.norm(bonds, axis=1), 8**0.5)] = 0.75 * square
    expected[17] = 12 * square
    np.testing.assert_allclose(values(result), expected, rtol=1e-9)
    np.testing.assert_array_equal(result.particles["Activity"], expected > 1)
    assert result.attributes["NonaffineActivity.active"] == 13
    per_neighbour = computed(trajectory(fcc, moved(fcc, jump)), cutoff=3.5, per_neighbour=True)
    np.testing.assert_allclose(values(per_neighbour), expected / 12, rtol=1e-9)


@pytest.mark.parametrize("name", ["triclinic", "small_periodic", "mixed_boundaries", "cluster", "three_species"])
def test_it_is_the_sum_over_neighbours_by_definition(trajectory, request, rng, name):
    start, cutoff = request.getfixturevalue(name), 10.0 if name == "cluster" else CUTOFF
    displacements = rng.normal(0, 0.3, (len(start), 3))
    result = computed(trajectory(start, shuffled(moved(start, displacements), rng)), cutoff=cutoff)
    expected = nonaffine_squared_displacement(start, displacements, cutoff)
    order = [list(start.ids).index(number) for number in result.particles.identifiers]
    known = np.isfinite(values(result))
    assert known.sum() >= 0.9 * len(start)
    np.testing.assert_allclose(values(result)[known], expected[order][known], rtol=1e-4)


@pytest.mark.parametrize("mapping", ["Off", "ToReference", "ToCurrent"])
@pytest.mark.parametrize("reference", [{"reference_frame": 2}, {"use_frame_offset": True, "frame_offset": -2}])
def test_ovito_finds_the_same_with_the_same_parameters(trajectory, triclinic, rng, mapping, reference):
    shears = [np.linalg.matrix_power(SHEAR, n) for n in range(4)]
    frames = [wrapped(deformed(moved(triclinic, rng.normal(0, 0.2, (70, 3))), shear)) for shear in shears]
    result = computed(trajectory(*frames), 3, affine_mapping=mapping, **reference)
    pipeline = trajectory(*frames)
    atomic_strain = AtomicStrainModifier(cutoff=CUTOFF, output_nonaffine_squared_displacements=True, **reference)
    atomic_strain.affine_mapping = getattr(AtomicStrainModifier.AffineMapping, mapping)
    pipeline.modifiers.append(atomic_strain)
    expected = values(pipeline.compute(3))
    assert (expected > 0.1).all()
    np.testing.assert_allclose(values(result), expected, rtol=1e-9)


def test_too_few_neighbours_give_no_value(trajectory):
    """Four bonds are the least that a linear map cannot follow whatever happens; a plane does not define one."""
    corner = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])
    plane = np.array([[0.0, 0, 0], [1, 0, 0], [0, 1, 0], [1, 1, 0], [0.5, 0.4, 0]]) + 20
    five = np.vstack([corner, [[0.6, 0.6, 0.6]]]) + 40
    start = Structure(np.vstack([corner, plane, five, [[60.0, 0, 0]]]))
    data = computed(trajectory(start, moved(start, np.sin(7.0 * start.positions) / 4)), cutoff=2.0)
    np.testing.assert_array_equal(np.isfinite(values(data)), [False] * 9 + [True] * 5 + [False])
    np.testing.assert_array_equal(data.particles["Activity"][...] == -1, np.isnan(values(data)))
    assert data.attributes["NonaffineActivity.too_few_neighbours"] == 10
    assert data.attributes["NonaffineActivity.undefined"] == 10


def test_atoms_that_are_in_one_frame_only_are_left_out(trajectory, triclinic, rng):
    end = moved(triclinic, rng.normal(0, 0.3, (70, 3)))
    first, last = np.arange(5, 70), np.arange(60)
    result = computed(trajectory(part(triclinic, first), part(end, last)))
    both = np.arange(5, 60)
    expected = values(computed(trajectory(part(triclinic, both), part(end, both))))
    np.testing.assert_allclose(values(result)[5:], expected, rtol=1e-9)
    assert np.isnan(values(result)[:5]).all()
    assert result.attributes["NonaffineActivity.undefined"] == 5
    assert result.attributes["NonaffineActivity.too_few_neighbours"] == 0


# --- boundaries -----------------------------------------------------------------------------------


def test_crossings_of_boundaries_and_drift_do_not_matter(trajectory, triclinic, rng):
    end = moved(triclinic, rng.normal(0, 0.3, (70, 3)))
    expected = values(computed(trajectory(triclinic, end), minimum_image_convention=False))
    assert (expected > 0).all()
    for shift in ([0, 0, 0], [5.5, 0.25, -0.35], [100.0, -31.0, 7.0]):
        drifted = moved(end, np.array(shift))
        result = computed(trajectory(wrapped(triclinic), wrapped(drifted)))
        np.testing.assert_allclose(values(result), expected, rtol=1e-9)
        unwrapped = computed(trajectory(triclinic, drifted), minimum_image_convention=False)
        np.testing.assert_allclose(values(unwrapped), expected, rtol=1e-9)


def test_jumps_across_boundaries_are_refused_without_the_minimum_image(trajectory, triclinic, rng):
    start = wrapped(triclinic)
    frames = start, wrapped(moved(start, rng.normal(0, 0.3, (70, 3))))
    with pytest.raises(GlassMLError, match=r"\d+ particles move by more than half .* minimum_image_convention on or"):
        computed(trajectory(*frames), minimum_image_convention=False)


def flipped(structure, *vectors):
    """The same atoms in the same lattice of images, written with other cell vectors."""
    return wrapped(replace(structure, cell=np.array(vectors) @ structure.cell))


@pytest.fixture
def sheared(triclinic, rng):
    """A path of growing shear in which atoms rearrange, and the same path with cells flipped on the way."""
    noise = np.cumsum(rng.normal(0, 0.2, (5, 70, 3)), axis=0)
    path = [deformed(moved(triclinic, noise[k]), np.array([[1, 0, 0], [0.4 * k, 1, 0], [0, 0, 1.0]])) for k in range(5)]
    bases = [np.eye(3), [[1, 0, 0], [-1, 1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [1, 0, 1]]]
    return path, [flipped(frame, *bases[k % 3]) for k, frame in enumerate(path)]


@pytest.mark.parametrize("mapping", ["Off", "ToReference", "ToCurrent"])
@pytest.mark.parametrize("reference", [{}, {"use_frame_offset": True}, {"reference_frame": 3}])
def test_flips_of_the_cell_do_not_matter(trajectory, sheared, mapping, reference):
    """To a strain of 1.6 against the first frame, where the cell has come back to itself once."""
    plain, bent = (trajectory(*frames) for frames in sheared)
    for frame in range(1, 5):
        expected, result = (values(computed(one, frame, affine_mapping=mapping, **reference)) for one in (plain, bent))
        np.testing.assert_allclose(result, expected, rtol=1e-7)


def test_flips_between_the_start_and_the_ends_of_runs_do_not_matter(trajectory, triclinic, runs):
    bent = [runs[0], *(flipped(end, [0, 1, 0], [1, 0, 0], [1, -1, 1]) for end in runs[1:])]
    expected = computed(trajectory(*runs), 0, isoconfigurational=True)
    result = computed(trajectory(*bent), 0, isoconfigurational=True)
    np.testing.assert_allclose(values(result), values(expected), rtol=1e-7)


def test_a_sheared_lattice_is_taken_as_its_atoms_went(trajectory, sheared):
    """By definition, from displacements that were never wrapped."""
    (start, *_, end), bent = sheared
    result = computed(trajectory(bent[0], bent[4]), affine_mapping="ToReference")
    back = np.linalg.solve(end.cell, start.cell)
    expected = nonaffine_squared_displacement(start, end.positions @ back - start.positions, CUTOFF)
    np.testing.assert_allclose(values(result), expected, rtol=1e-4)


def test_frames_that_no_deformation_connects_are_refused(trajectory, triclinic, rng):
    with pytest.raises(GlassMLError, match="do not follow any deformation of the periodic cell"):
        computed(trajectory(triclinic, replace(triclinic, positions=rng.uniform(0, 12, (70, 3)))))
    with pytest.raises(GlassMLError, match=r"stretched by factors from 0\.1 to 0\.1"):
        computed(trajectory(triclinic, deformed(triclinic, 0.1 * np.eye(3))))


# --- labels ---------------------------------------------------------------------------------------


@pytest.fixture
def event(triclinic, rng):
    """Two frames between which a third of the atoms moves much."""
    size = np.where(np.arange(70) < 25, 1.0, 0.05)
    return triclinic, moved(triclinic, size[:, None] * rng.normal(0, 0.5, (70, 3)))


def test_labels_by_threshold(trajectory, event):
    result = computed(trajectory(*event), threshold=3.0)
    np.testing.assert_array_equal(result.particles["Activity"], values(result) > 3.0)
    assert result.attributes["NonaffineActivity.threshold"] == 3.0
    assert result.attributes["NonaffineActivity.active"] == (values(result) > 3.0).sum()
    assert result.attributes["NonaffineActivity.inactive"] == (values(result) <= 3.0).sum()
    assert result.attributes["NonaffineActivity.mean"] == pytest.approx(values(result).mean())


def test_labels_by_quantile(trajectory, event):
    result = computed(trajectory(*event), labels="quantile", active_share=0.1, inactive_share=0.3)
    activity, ranks = result.particles["Activity"][...], np.argsort(np.argsort(values(result)))
    np.testing.assert_array_equal(activity == 1, ranks >= 63)
    np.testing.assert_array_equal(activity == 0, ranks < 21)
    ordered = np.sort(values(result))
    assert result.attributes["NonaffineActivity.threshold"] == ordered[63]
    assert result.attributes["NonaffineActivity.inactive_threshold"] == ordered[20]
    assert result.attributes["NonaffineActivity.undefined"] == 0


def test_only_chosen_species_are_labelled(trajectory, event):
    everyone = values(computed(trajectory(*event)))
    result = computed(trajectory(*event), labels="quantile", active_species="Zr", active_share=0.2, inactive_share=0.2)
    other = event[0].species == 0
    assert np.isnan(values(result)[other]).all()
    assert (result.particles["Activity"][other] == -1).all()
    np.testing.assert_array_equal(values(result)[~other], everyone[~other])
    assert result.attributes["NonaffineActivity.active"] == 7
    assert result.attributes["NonaffineActivity.undefined"] == other.sum()
    both = computed(trajectory(*event), active_species="Zr, Cu")
    np.testing.assert_array_equal(values(both), everyone)


def test_what_has_not_moved_is_not_ranked(trajectory, event):
    result = computed(trajectory(*event), 0, labels="quantile")
    assert (values(result) == 0).all()
    assert (result.particles["Activity"][...] == -1).all()
    assert np.isnan(result.attributes["NonaffineActivity.threshold"])
    assert result.tables["nonaffine-histogram"].y[...].sum() == 70


def test_the_histogram_shows_the_cut(trajectory, event):
    result = computed(trajectory(*event), threshold=3.0)
    table = result.tables["nonaffine-histogram"]
    assert table.y.component_names == ("Active", "Inactive", "Neither")
    active, inactive, neither = table.y[...].T
    assert active.sum() == result.attributes["NonaffineActivity.active"]
    assert inactive.sum() == result.attributes["NonaffineActivity.inactive"]
    assert not neither.any()
    width = np.diff(table.x[...])[0]
    assert table.x[active > 0].min() > np.log10(3.0) - width
    assert table.x[inactive > 0].max() < np.log10(3.0) + width


# --- references -----------------------------------------------------------------------------------


def test_a_reference_file(trajectory, event, tmp_path, as_data):
    from ovito.io import export_file

    file = tmp_path / "start.dump"
    columns = ["Particle Identifier", "Particle Type", "Position.X", "Position.Y", "Position.Z"]
    export_file(as_data(event[0]), str(file), "lammps/dump", columns=columns, precision=15)
    expected = values(computed(trajectory(*event)))
    named = computed(trajectory(event[1]), 0, reference=str(file))
    np.testing.assert_allclose(values(named), expected, rtol=1e-6)
    modifier = NonaffineActivityModifier(cutoff=CUTOFF)
    modifier.reference.load(str(file))
    data = as_data(event[1])
    data.apply(modifier)
    np.testing.assert_array_equal(values(data), values(named))


def test_a_copy_can_be_made_after_use(trajectory, event):
    pipeline = trajectory(*event)
    computed(pipeline, threshold=2.5)
    assert pickle.loads(pickle.dumps(pipeline.modifiers[0].delegate)).threshold == 2.5


@pytest.mark.parametrize(
    ("parameters", "frame", "reason"),
    [
        ({"reference_frame": 2}, 1, "frame 2 of the trajectory, which has frames 0 to 1"),
        ({"use_frame_offset": True}, 0, "frame -1 of the trajectory"),
        ({"active_species": "Al"}, 1, "No particle is of the species Al; choose active_species from Cu, Zr"),
        ({"labels": "quantile", "active_share": 0.6, "inactive_share": 0.5}, 1, "overlap"),
        ({"cutoff": 500.0}, 1, "lower the cutoff"),
    ],
)
def test_parameters_that_cannot_be_met(trajectory, event, parameters, frame, reason):
    with pytest.raises(GlassMLError, match=reason):
        computed(trajectory(*event), frame, **parameters)


def test_a_cutoff_of_zero_is_refused():
    with pytest.raises(Exception, match="cutoff"):
        NonaffineActivityModifier(cutoff=0.0)


def test_a_missing_reference_file_is_refused():
    with pytest.raises(GlassMLError, match="does not exist"):
        NonaffineActivityModifier(reference="no-such-file.dump")


def test_a_single_frame_is_refused(as_data, triclinic):
    with pytest.raises(GlassMLError, match="load a trajectory of more frames or set a reference file"):
        as_data(triclinic).apply(NonaffineActivityModifier())
    with pytest.raises(GlassMLError, match="load the ends of the runs as further frames"):
        as_data(triclinic).apply(NonaffineActivityModifier(isoconfigurational=True))


def test_frames_of_other_particles_are_refused(trajectory, triclinic, cluster, as_data, as_pipeline):
    others = replace(triclinic, ids=triclinic.ids + 100_000)
    with pytest.raises(GlassMLError, match="None of the 70 particles is in the reference"):
        computed(trajectory(triclinic, others))
    exchanged = replace(triclinic, species=np.roll(triclinic.species, 3) ^ (np.arange(70) < 9))
    with pytest.raises(GlassMLError, match="other types than in the reference"):
        computed(trajectory(triclinic, exchanged))
    swapped = replace(triclinic, species=1 - triclinic.species)  # all of them, consistently
    with pytest.raises(GlassMLError, match="other types than in the reference"):
        computed(trajectory(triclinic, swapped))
    renamed = replace(triclinic, species_names=("type 1", "type 2"))  # as in a file without names
    assert np.isfinite(values(computed(trajectory(renamed, triclinic)))).all()
    with pytest.raises(GlassMLError, match="Only one of the two frames has a simulation cell"):
        computed(trajectory(replace(triclinic, cell=None), triclinic))
    anonymous = [as_data(triclinic), as_data(part(triclinic, np.arange(69)))]
    for data in anonymous:
        del data.particles_["Particle Identifier"]
    with pytest.raises(GlassMLError, match="number of atoms changes from 70 to 69 and they have no identifiers"):
        computed(as_pipeline(anonymous))


# --- isoconfigurational runs ----------------------------------------------------------------------


@pytest.fixture
def runs(triclinic, rng):
    """A start and the ends of four runs."""
    return [triclinic, *(moved(triclinic, rng.normal(0, 0.3, (70, 3))) for _ in range(4))]


def test_runs_are_averaged_over(trajectory, runs, rng):
    single = np.array([values(computed(trajectory(runs[0], end))) for end in runs[1:]])
    frames = [runs[0], *(shuffled(end, rng) for end in runs[1:])]
    result = computed(trajectory(*frames), 0, isoconfigurational=True, labels="quantile")
    np.testing.assert_allclose(values(result), single.mean(axis=0), rtol=1e-9)
    np.testing.assert_allclose(result.particles[f"{MAIN} Spread"], single.std(axis=0, ddof=1), rtol=1e-9)
    assert result.attributes["NonaffineActivity.replicas"] == 4
    later = computed(trajectory(*frames), 3, isoconfigurational=True, labels="quantile")
    order = [list(runs[0].ids).index(number) for number in later.particles.identifiers]
    np.testing.assert_array_equal(values(later), values(result)[order])
    np.testing.assert_array_equal(later.particles["Activity"], result.particles["Activity"][order])


def test_a_single_run_has_no_spread(trajectory, runs):
    result = computed(trajectory(*runs[:2]), 0, isoconfigurational=True)
    assert np.isnan(result.particles[f"{MAIN} Spread"]).all()
    np.testing.assert_array_equal(values(result), values(computed(trajectory(*runs[:2]))))


def test_atoms_missing_at_the_end_of_a_run_have_no_mean(trajectory, runs):
    result = computed(trajectory(*runs[:3], part(runs[3], np.arange(3, 70))), 0, isoconfigurational=True)
    assert np.flatnonzero(np.isnan(values(result))).tolist() == [0, 1, 2]
    assert result.attributes["NonaffineActivity.undefined"] == 3


def test_labels_change_without_reading_the_runs_again(trajectory, runs):
    pipeline, reads = trajectory(*runs), []
    pipeline.modifiers.append(lambda frame, data: reads.append(frame))
    modifier = NonaffineActivityModifier(cutoff=CUTOFF, isoconfigurational=True, threshold=3.0)
    pipeline.modifiers.append(modifier)
    first = pipeline.compute(0)
    assert set(reads) == set(range(5))
    reads.clear()
    modifier.labels, modifier.active_share, modifier.active_species = "quantile", 0.2, "Cu"
    second = pipeline.compute(0)
    assert set(reads) <= {0}
    copper = runs[0].species == 0
    np.testing.assert_array_equal(values(second)[copper], values(first)[copper])
    assert second.attributes["NonaffineActivity.active"] == 7
    modifier.cutoff = 4.0
    assert (values(pipeline.compute(0))[copper] < values(first)[copper]).any()


def test_simulated_runs_give_the_labels_by_definition(tmp_path):
    from ovito_glassml.labels.activity import label_by_quantile
    from ovito_glassml.simulate.material import load_material
    from ovito_glassml.simulate.protocols.isoconfigurational import IsoconfigurationalSettings, isoconfigurational
    from ovito_glassml.simulate.snapshots import read_frames

    times = {"melt_time": 5.0, "cooling_time": 5.0, "equilibration": 2.0, "duration": 5.0}
    file = tmp_path / "runs.xyz.gz"
    settings = IsoconfigurationalSettings(150, replicas=2, **times)
    isoconfigurational(load_material("wahnstrom"), settings, file, lambda fraction, text: None)
    start, *ends = (frame.structure for frame in read_frames(file))
    moves = [nonaffine_squared_displacement(start, end.positions - start.positions, 2.5) for end in ends]
    expected = np.mean(moves, axis=0)
    # Atoms did leave the cell: without unwrapped positions this would fail.
    assert np.abs(ends[0].positions - wrapped(ends[0]).positions).max() > 1
    result = computed(
        open_trajectory(str(file)), 0, isoconfigurational=True, cutoff=2.5, labels="quantile", active_species="A"
    )
    eligible = start.species == 0
    np.testing.assert_allclose(values(result)[eligible], expected[eligible], rtol=1e-4)
    labels = label_by_quantile(expected, 0.05, 0.05, eligible)
    np.testing.assert_array_equal(result.particles["Activity"], labels)


def test_frames_before_two_events_show_the_first():
    """Between the minima before two plastic events lie the first event and elastic strain, which D²min leaves out."""
    file = SAMPLE_DATA / "shear-kob-andersen-1.xyz.gz"
    pipeline = open_trajectory(str(file))
    recorded = [pipeline.compute(frame) for frame in range(pipeline.num_frames)]
    modifier = NonaffineActivityModifier(use_frame_offset=True, cutoff=2.5, threshold=0.6, active_species="A")
    pipeline.modifiers.append(modifier)
    known = found = claimed = 0
    for frame, (before, after) in enumerate(itertools.pairwise(recorded), start=1):
        if after.attributes["event"] == before.attributes["event"] + 1:
            active = pipeline.compute(frame).particles["Activity"][...] == 1
            label = before.particles["Learned_Activity"][...] == 1
            known, found, claimed = known + label.sum(), found + (active & label).sum(), claimed + active.sum()
    assert known > 30
    assert found > 0.9 * known
    assert claimed < 1.5 * known
