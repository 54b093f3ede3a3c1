"""Stiffness of atoms on springs that are known, through boundaries, shuffles, drift and hops."""

import numpy as np
import pytest

from ovito_glassml import AtomicStiffnessModifier
from ovito_glassml.labels.vibrations import BOLTZMANN_EV
from ovito_glassml.structure import Structure, StructureError

CELL = np.array([[12.0, 0.0, 0.0], [3.0, 11.0, 0.0], [-2.0, 4.0, 13.0]])
SPRING = np.array([2.0, 8.0])  # eV/Å², of the two species
TEMPERATURE = 250.0
ATOMS, FRAMES = 40, 600


@pytest.fixture(scope="module")
def rng():
    return np.random.default_rng(8)


@pytest.fixture(scope="module")
def oscillators(rng):
    """Unwrapped positions (frames, atoms, 3) of independent oscillators, every other atom stiffer."""
    spread = np.sqrt(BOLTZMANN_EV * TEMPERATURE / SPRING)[np.arange(ATOMS) % 2]
    sites = rng.uniform(0, 1, (ATOMS, 3)) @ CELL
    return sites + rng.normal(0, 1, (FRAMES, ATOMS, 3)) * spread[:, None]


@pytest.fixture
def trajectory(as_data, as_pipeline):
    """Function: a pipeline over unwrapped positions, wrapped into the cell and optionally shuffled."""

    def build(positions, shuffle=None, present=lambda frame: slice(None)):
        frames = []
        for number, coordinates in enumerate(positions):
            inside = coordinates - np.floor(coordinates @ np.linalg.inv(CELL)) @ CELL
            order = np.arange(len(inside)) if shuffle is None else shuffle.permutation(len(inside))
            order = order[present(number)]
            structure = Structure(inside[order], order % 2, ("Cu", "Zr"), CELL, pbc=(True,) * 3, ids=order + 1)
            frames.append(as_data(structure))
        return as_pipeline(frames)

    return build


def computed(pipeline, frame=0, **parameters):
    pipeline.modifiers.append(AtomicStiffnessModifier(**{"temperature": TEMPERATURE} | parameters))
    return pipeline.compute(frame)


def test_the_springs_are_recovered(trajectory, oscillators):
    result = computed(trajectory(oscillators))
    stiffness = result.particles["Stiffness"][...]
    # u² has three components, so K is a third of the spring constant.
    np.testing.assert_allclose(stiffness[::2].mean(), SPRING[0] / 3, rtol=0.05)
    np.testing.assert_allclose(stiffness[1::2].mean(), SPRING[1] / 3, rtol=0.05)
    np.testing.assert_allclose(stiffness * result.particles["Vibrational MSD"], BOLTZMANN_EV * TEMPERATURE)
    assert result.attributes["AtomicStiffness.mean"] == pytest.approx(stiffness.mean())
    assert result.attributes["AtomicStiffness.std"] == pytest.approx(stiffness.std())
    assert result.attributes["AtomicStiffness.frames"] == FRAMES
    assert result.attributes["AtomicStiffness.hopping_fraction"] == 0
    assert result.attributes["AtomicStiffness.undefined"] == 0
    assert result.tables["stiffness-histogram"].y[...].sum() == ATOMS


def test_order_boundaries_and_drift_do_not_matter(trajectory, oscillators, rng):
    plain = computed(trajectory(oscillators)).particles["Stiffness"][...]
    drift = np.linspace(0, 1, FRAMES)[:, None, None] * [30.0, -20.0, 40.0]
    result = computed(trajectory(oscillators + drift, shuffle=rng), frame=17)
    order = np.argsort(result.particles.identifiers)
    np.testing.assert_allclose(result.particles["Stiffness"][order], plain, rtol=1e-9)


def test_a_window_is_the_trajectory_it_cuts_out(trajectory, oscillators):
    whole = computed(trajectory(oscillators[100:400:3])).particles["Vibrational MSD"][...]
    window = computed(trajectory(oscillators), first_frame=100, number_of_frames=300, every_nth_frame=3)
    np.testing.assert_allclose(window.particles["Vibrational MSD"][...], whole, rtol=1e-12)
    assert window.attributes["AtomicStiffness.frames"] == 100


def test_hops_are_counted_and_corrected(trajectory, oscillators):
    moved = oscillators.copy()
    moved[300:, 0] += [1.5, 0, 0]
    moved[150:450, 3] += [0, 2.0, 0]
    result = computed(trajectory(moved))
    assert result.particles["Hops"][:5].tolist() == [1, 0, 0, 2, 0]
    assert result.attributes["AtomicStiffness.hopping_fraction"] == pytest.approx(2 / ATOMS)
    still = computed(trajectory(oscillators)).particles["Stiffness"][...]
    hopped = result.particles["Stiffness"][...]
    corrected = result.particles["Hop Corrected Stiffness"][...]
    assert hopped[3] < 0.1 * still[3]
    np.testing.assert_allclose(corrected[[0, 3]], still[[0, 3]], rtol=0.15)
    staying = np.delete(np.arange(ATOMS), [0, 3])
    np.testing.assert_array_equal(corrected[staying], hopped[staying])


def test_temperature_scales_without_reading_the_trajectory_again(trajectory, oscillators):
    pipeline = trajectory(oscillators)
    reads = []
    pipeline.modifiers.append(lambda frame, data: reads.append(frame))
    modifier = AtomicStiffnessModifier(temperature=TEMPERATURE)
    pipeline.modifiers.append(modifier)
    first = pipeline.compute(0).particles["Stiffness"][...]
    assert len(set(reads)) == FRAMES
    reads.clear()
    np.testing.assert_array_equal(pipeline.compute(5).particles["Stiffness"][...], first)
    modifier.temperature = 2 * TEMPERATURE
    np.testing.assert_allclose(pipeline.compute(5).particles["Stiffness"][...], 2 * first)
    assert set(reads) <= {0, 5}
    modifier.every_nth_frame = 2
    assert pipeline.compute(5).attributes["AtomicStiffness.frames"] == FRAMES // 2


def test_a_change_upstream_is_noticed(trajectory, oscillators):
    pipeline = trajectory(oscillators[:50])
    before = computed(pipeline).particles["Vibrational MSD"][...]

    def shrink(frame, data):
        data.cell_[...] = data.cell[...] / 2
        data.particles_.positions_[...] = data.particles.positions[...] / 2

    pipeline.modifiers.insert(0, shrink)
    np.testing.assert_allclose(pipeline.compute(0).particles["Vibrational MSD"][...], before / 4, rtol=1e-9)


def test_atoms_missing_in_a_frame_have_no_stiffness(trajectory, oscillators):
    vanished = trajectory(oscillators, present=lambda frame: slice(2, None) if frame == 30 else slice(None))
    result = computed(vanished)
    assert np.isnan(result.particles["Stiffness"][:2]).all()
    assert result.particles["Hops"][:2].tolist() == [-1, -1]
    assert result.attributes["AtomicStiffness.undefined"] == 2
    others = computed(trajectory(oscillators)).particles["Stiffness"][2:]
    np.testing.assert_allclose(result.particles["Stiffness"][2:], others, rtol=0.05)


def test_latecomers_have_no_stiffness(trajectory, oscillators):
    late = trajectory(oscillators, present=lambda frame: slice(None) if frame else slice(5, None))
    result = computed(late, frame=10)
    assert result.attributes["AtomicStiffness.undefined"] == 5
    assert np.isnan(result.particles["Stiffness"][:5]).all()


def test_atoms_that_never_move_have_no_finite_stiffness(trajectory, oscillators):
    result = computed(trajectory(oscillators[[0] * 20]))
    assert np.isnan(result.particles["Stiffness"]).all()
    assert not result.particles["Vibrational MSD"][...].any()
    assert result.attributes["AtomicStiffness.undefined"] == ATOMS


def test_a_single_frame_is_refused(as_data, triclinic, trajectory, oscillators):
    with pytest.raises(StructureError, match="load a trajectory with more frames"):
        as_data(triclinic).apply(AtomicStiffnessModifier())
    with pytest.raises(StructureError, match="shorten the window"):
        computed(trajectory(oscillators), first_frame=FRAMES - 1, number_of_frames=2)


def test_a_first_frame_without_atoms_is_refused(trajectory, oscillators):
    empty = trajectory(oscillators[:5], present=lambda frame: slice(None) if frame else slice(0))
    with pytest.raises(StructureError, match="begin the window at a later frame"):
        computed(empty)


def test_colours_are_changed_only_on_request(trajectory, oscillators):
    assert computed(trajectory(oscillators[:20])).particles.colors is None
    colors = computed(trajectory(oscillators[:20]), color_by_result=True).particles.colors
    assert len(np.unique(colors, axis=0)) > 10
