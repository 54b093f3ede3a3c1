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

    def build(positions, shuffle=None, present=lambda frame: slice(None), cells=None, flags=None):
        """`flags` makes positions and image flags of the wrapped ones and of the whole numbers taken from them."""
        frames = []
        for number, coordinates in enumerate(positions):
            cell = CELL if cells is None else cells[number]
            images = np.floor(coordinates @ np.linalg.inv(cell))
            inside = coordinates - images @ cell
            order = np.arange(len(inside)) if shuffle is None else shuffle.permutation(len(inside))
            order = order[present(number)]
            structure = Structure(inside[order], order % 2, ("Cu", "Zr"), cell, pbc=(True,) * 3, ids=order + 1)
            data = as_data(structure)
            written = (inside, None) if flags is None else flags(number, inside, images, cell)
            data.particles_.positions_[...] = written[0][order]
            if written[1] is not None:
                data.particles_.create_property("Periodic Image", data=written[1][order].astype(int))
            frames.append(data)
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


WRITTEN = {
    "wrapped, with flags": lambda number, inside, images, cell: (inside, images),
    "wrapped": lambda number, inside, images, cell: (inside, None),
    "unwrapped": lambda number, inside, images, cell: (inside + images @ cell, None),
    "unwrapped, with flags": lambda number, inside, images, cell: (inside + images @ cell, images),
    "flags all zero": lambda number, inside, images, cell: (inside, 0 * images),
    "flags frozen": lambda number, inside, images, cell: (inside, 0 * images + [1, 0, -2]),
    "flags in some frames": lambda number, inside, images, cell: (inside, images if number % 3 else None),
    "wrong flags in some frames": lambda number, inside, images, cell: (inside, 0 * images if number % 3 else None),
}


@pytest.mark.parametrize("name", WRITTEN)
def test_image_flags_that_do_not_belong_to_the_positions_are_not_used(trajectory, oscillators, name, capsys):
    drifting = oscillators[:300] + np.linspace(0, 1, 300)[:, None, None] * [25.0, -20.0, 18.0]
    expected = computed(trajectory(drifting)).particles["Vibrational MSD"][...]
    pipeline = trajectory(drifting, flags=WRITTEN[name])
    result = computed(pipeline)
    np.testing.assert_allclose(result.particles["Vibrational MSD"][...], expected, rtol=1e-7)
    assert result.attributes["AtomicStiffness.hopping_fraction"] == 0
    ignored = result.attributes["AtomicStiffness.ignored_image_flags"]
    assert (ignored > 0) == (name in list(WRITTEN)[3:6] or name.startswith("wrong"))
    assert pipeline.compute(7).attributes["AtomicStiffness.ignored_image_flags"] == ignored
    said = capsys.readouterr().out
    assert said.count("image flags") == (ignored > 0)
    assert f"image flags of {ignored} of {ATOMS} atoms" in said or not ignored


def test_flags_that_the_wrapping_modifier_leaves_behind(trajectory, oscillators):
    from ovito.modifiers import WrapPeriodicImagesModifier

    expected = computed(trajectory(oscillators[:100])).particles["Vibrational MSD"][...]
    unwrapped = trajectory(oscillators[:100], flags=WRITTEN["unwrapped"])
    unwrapped.modifiers.append(WrapPeriodicImagesModifier())
    np.testing.assert_allclose(computed(unwrapped).particles["Vibrational MSD"][...], expected, rtol=1e-7)


def test_identifiers_that_change_their_type_are_refused(trajectory, oscillators):
    """All of them, so that every second atom would be of the other species, or two that are exchanged."""
    everyone, two = np.roll(np.arange(ATOMS), 1), np.arange(ATOMS)
    two[:2] = 1, 0
    for order in (everyone, two):

        def renumber(frame, data, order=order):
            if frame > 5:
                data.particles_.identifiers_[...] = data.particles.identifiers[...][order]

        pipeline = trajectory(oscillators[:20])
        pipeline.modifiers.append(renumber)
        with pytest.raises(StructureError, match="other types than in the reference"):
            computed(pipeline)


# --- cells that change ----------------------------------------------------------------------------


def breathing(size, frames=400, period=20):
    """Cell of every frame."""
    swing = size * np.sin(2 * np.pi * np.arange(frames) / period + 0.4)
    return CELL * (1 + swing[:, None, None])


def in_cells(positions, cells):
    return np.array([frame @ np.linalg.solve(CELL, cell) for frame, cell in zip(positions, cells, strict=True)])


def test_breathing_of_the_cell_is_no_vibration(trajectory, oscillators):
    """1 % of a cell of 12 Å is as much as the atoms vibrate."""
    still = oscillators[:400]
    expected = computed(trajectory(still)).particles["Vibrational MSD"][...]
    cells = breathing(0.01)
    result = computed(trajectory(in_cells(still, cells), cells=cells))
    np.testing.assert_allclose(result.particles["Vibrational MSD"][...], expected, rtol=1e-4)
    assert result.attributes["AtomicStiffness.hopping_fraction"] == 0


def test_lengths_are_those_of_the_mean_cell(trajectory, oscillators):
    """Whatever the first frame's cell happens to be."""
    still = oscillators[:100]
    expected = computed(trajectory(still)).particles["Vibrational MSD"][...]
    cells = np.array([CELL * 1.03, *[CELL] * 99])
    result = computed(trajectory(in_cells(still, cells), cells=cells), hop_distance=1.0)
    np.testing.assert_allclose(result.particles["Vibrational MSD"][...], expected, rtol=2e-3)


@pytest.mark.parametrize("gradient", [np.eye(3), [[0, 0, 0], [1, 0, 0], [0, 0, 0]]], ids=["dilated", "sheared"])
def test_a_drift_of_the_cell_is_refused(trajectory, oscillators, gradient):
    ramp = np.linspace(0, 1, 200)[:, None, None] * np.array(gradient)
    for size in (0.004, 0.006):
        cells = CELL @ (np.eye(3) + size * ramp)
        pipeline = trajectory(in_cells(oscillators[:200], cells), cells=cells)
        if size < 0.005:
            computed(pipeline)
        else:
            with pytest.raises(StructureError, match=r"drifts by 0\.6 % in the window"):
                computed(pipeline)


def test_flips_of_the_cell_do_not_matter(trajectory, oscillators):
    expected = computed(trajectory(oscillators[:100])).particles["Vibrational MSD"][...]
    bases = [np.eye(3), [[1, 0, 0], [-1, 1, 0], [0, 0, 1]], [[0, 1, 0], [1, 0, 0], [1, -1, 1]]]
    cells = [np.array(bases[frame // 7 % 3]) @ CELL for frame in range(100)]
    for flags in ("wrapped", "wrapped, with flags"):
        result = computed(trajectory(oscillators[:100], cells=cells, flags=WRITTEN[flags]))
        np.testing.assert_allclose(result.particles["Vibrational MSD"][...], expected, rtol=1e-7)
        assert result.attributes["AtomicStiffness.ignored_image_flags"] == 0


def test_another_cell_is_refused(trajectory, oscillators):
    cells = [CELL, 1.3 * CELL]
    with pytest.raises(StructureError, match="The cell differs by 30 % from that of the first frame"):
        computed(trajectory(in_cells(oscillators[:2], cells), cells=cells))


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
