"""Vibration amplitudes against cases with a known answer."""

import numpy as np
import pytest

from ovito_glassml.labels.vibrations import BOLTZMANN_EV, VibrationAccumulator, stiffness_from_msd


def accumulate(frames, **settings):
    accumulator = VibrationAccumulator(frames[0], len(frames), **settings)
    for frame in frames:
        accumulator.add(frame)
    return accumulator.result()


@pytest.fixture
def rng():
    return np.random.default_rng(5)


@pytest.fixture
def thermal_spring(rng):
    """Independent samples of 400 Einstein oscillators, spring 3 eV/Å², 300 K."""
    spread = np.sqrt(BOLTZMANN_EV * 300.0 / 3.0)
    sites = rng.uniform(0, 30, (400, 3))
    return sites + rng.normal(0, spread, (1000, 400, 3))


def test_einstein_oscillators_have_a_third_of_their_spring_constant(thermal_spring):
    stiffness = stiffness_from_msd(accumulate(thermal_spring).msd, 300.0)
    assert stiffness.mean() == pytest.approx(1.0, rel=0.005)


def test_msd_is_the_plain_variance_when_nothing_hops(thermal_spring):
    centred = thermal_spring - (thermal_spring - thermal_spring[0]).mean(axis=1, keepdims=True)
    expected = centred.var(axis=0).sum(axis=1)
    result = accumulate(thermal_spring)
    np.testing.assert_allclose(result.msd, expected, rtol=1e-10)
    assert not result.hops.any()
    np.testing.assert_array_equal(result.hop_corrected_msd, result.msd)


def test_rigid_drift_is_no_vibration(thermal_spring):
    drift = np.linspace(0, 25, len(thermal_spring))[:, None, None] * np.array([1.0, -0.5, 0.2])
    np.testing.assert_allclose(accumulate(thermal_spring + drift).msd, accumulate(thermal_spring).msd, rtol=1e-8)


def test_a_hop_is_counted_and_corrected(thermal_spring):
    moved = thermal_spring.copy()
    moved[430:, 7, 0] += 2.0  # one site change in the middle of a block
    still, hopped = accumulate(thermal_spring), accumulate(moved)
    assert hopped.hops[7] == 1
    assert hopped.hops.sum() == 1
    # Two sites a distance d apart, visited for fractions p and 1 − p, add p(1 − p) d² to the variance.
    assert hopped.msd[7] - still.msd[7] == pytest.approx(0.43 * 0.57 * 4.0, rel=0.02)
    assert hopped.hop_corrected_msd[7] == pytest.approx(still.msd[7], rel=0.15)


def test_going_back_and_forth_counts_every_stay(thermal_spring):
    moved = thermal_spring.copy()
    moved[200:600, 3, 1] += 1.5
    result = accumulate(moved)
    assert result.hops[3] == 2
    assert result.hop_corrected_msd[3] == pytest.approx(accumulate(thermal_spring).msd[3], rel=0.15)


def test_blocks_of_unequal_length_and_three_sites(rng):
    """Against every frame on its own: blocks on both sides of a hop left out, the others about their site's mean."""
    frames = rng.normal(0, 0.1, (105, 60, 3))
    frames[24:61, 5] += (1.0, 0.5, 0.0)
    frames[61:, 5] += (-0.4, 1.2, 0.3)
    block = np.arange(105) * 10 // 105
    result = accumulate(frames, blocks=10)
    moved = (frames - frames[0] - (frames - frames[0]).mean(axis=1, keepdims=True))[:, 5]
    stays = [block < 1, (block > 2) & (block < 5), block > 6]  # the hops are in blocks 2 and 5
    lengths = [np.bincount(block)[chosen].sum() for chosen in ([0], [3, 4], [7, 8, 9])]
    assert lengths == [chosen.sum() for chosen in stays]
    assert len(set(np.bincount(block))) == 2
    squares = sum(((moved[chosen] - moved[chosen].mean(axis=0)) ** 2).sum() for chosen in stays)
    assert result.hops[5] == 2
    assert result.hop_corrected_msd[5] == pytest.approx(squares / sum(lengths), rel=1e-9)


def test_an_atom_that_never_moves_has_no_stiffness():
    assert np.isnan(stiffness_from_msd(np.array([0.0]), 300.0)).all()


def test_a_checkpoint_continues_bit_for_bit(thermal_spring):
    whole = accumulate(thermal_spring)
    first = VibrationAccumulator(thermal_spring[0], 1000)
    for frame in thermal_spring[:333]:
        first.add(frame)
    second = VibrationAccumulator(thermal_spring[0], 1000)
    second.restore(first.state())
    for frame in thermal_spring[333:]:
        second.add(frame)
    np.testing.assert_array_equal(second.result().msd, whole.msd)
    np.testing.assert_array_equal(second.result().hop_corrected_msd, whole.hop_corrected_msd)


def test_one_frame_is_refused():
    with pytest.raises(ValueError, match="at least 2 frames, got 1"):
        VibrationAccumulator(np.zeros((2, 3)), 1)


def test_more_frames_than_announced_are_refused():
    accumulator = VibrationAccumulator(np.zeros((2, 3)), 2)
    accumulator.add(np.zeros((2, 3)))
    accumulator.add(np.zeros((2, 3)))
    with pytest.raises(ValueError, match="announced 2 frames"):
        accumulator.add(np.zeros((2, 3)))


def test_a_range_of_atoms_has_the_same_result(rng):
    frames = rng.uniform(0, 30, (100, 3)) + rng.normal(0, 0.1, (60, 100, 3))
    frames[30:, 40:45] += 1.0
    accumulator = VibrationAccumulator(frames[0], len(frames), blocks=10)
    for frame in frames:
        accumulator.add(frame)
    whole, part = accumulator.result(), accumulator.result(slice(40, 60))
    assert whole.hops[40:60].tolist() == [1] * 5 + [0] * 15
    for name, values in vars(whole).items():
        np.testing.assert_allclose(getattr(part, name), values[40:60], rtol=1e-12, err_msg=name)


def test_rounding_errors_are_no_vibration():
    """An atom alone follows its own centre of mass; what is left would make it stiffer than anything."""
    accumulator = VibrationAccumulator(np.full((1, 3), 30.0), 40)
    for shift in np.random.default_rng(3).normal(0, 0.1, (40, 3)):
        accumulator.add(30.0 + np.tile(shift, (1, 1)))
    crystal = VibrationAccumulator(np.full((2, 3), 30.0), 40)
    for shift in np.random.default_rng(3).normal(0, 0.1, (40, 3)):
        crystal.add(30.0 + np.tile(shift / 3, (2, 1)) + 1e-15)
    for result in (accumulator.result(), crystal.result()):
        assert (result.msd == 0.0).all()
        assert (result.hop_corrected_msd == 0.0).all()
        assert np.isnan(stiffness_from_msd(result.msd, 300.0)).all()


def test_the_smallest_real_vibration_is_measured():
    motion = 1e-9 * np.random.default_rng(4).normal(size=(50, 2, 3))
    accumulator = VibrationAccumulator(np.full((2, 3), 30.0), 50)
    for frame in motion:
        accumulator.add(30.0 + frame)
    relative = motion - motion.mean(axis=1, keepdims=True)
    expected = ((relative - relative.mean(axis=0)) ** 2).sum(axis=2).mean(axis=0)
    np.testing.assert_allclose(accumulator.result().msd, expected, rtol=1e-4)
