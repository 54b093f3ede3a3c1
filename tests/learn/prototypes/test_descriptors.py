"""Environment rows: averages of the full power spectrum, taken after the projection."""

from dataclasses import replace

import numpy as np
import pytest

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.learn.prototypes.descriptors import fit_environments
from ovito_glassml.neighbours import neighbour_lists


@pytest.fixture(scope="module")
def structure(spring_glasses):
    return spring_glasses[0].structure


@pytest.fixture(scope="module")
def descriptor(structure):
    return fit_environments([structure], ("Cu", "Zr"), cutoff=5.0, components=6)


@pytest.mark.parametrize(("samples", "expected"), [(1, 16), (8, 27), (40, 128)])
def test_more_atoms_give_more_components(structure, samples, expected):
    """343 atoms a sample: one component for 100 atoms, within limits."""
    assert fit_environments([structure] * samples, ("Cu", "Zr"), cutoff=5.0).projection.shape[1] == expected


def column(descriptor, rows, name):
    return rows[:, descriptor.feature_names.index(name)]


def shell_average(structure):
    """Averages over neighbours nearer than 5 with weights exp(-r / 5), which every atom here has."""
    lists = neighbour_lists(structure, 5.0)
    weights = np.exp(-lists.distances.astype(np.float64) / 5.0)[:, None]

    def average(rows):
        sums = np.add.reduceat(weights * rows[lists.indices], lists.offsets[:-1])
        return sums / np.add.reduceat(weights, lists.offsets[:-1])

    return average


def test_projecting_first_equals_averaging_first(descriptor, structure):
    rows = descriptor.compute(structure)
    average = shell_average(structure)
    spectrum = descriptor.angular.compute(structure).astype(np.float64)
    for shell in range(3):
        components = (spectrum - descriptor.mean) / descriptor.scale @ descriptor.projection
        for number in range(6):
            found = column(descriptor, rows, f"P_{number + 1}_{shell}")
            np.testing.assert_allclose(found, components[:, number], atol=2e-4 * np.abs(components).max())
        spectrum = average(spectrum)


def test_radial_sums_and_own_species_are_averaged_four_times(descriptor, structure):
    rows = descriptor.compute(structure)
    average = shell_average(structure)
    own = (structure.species == 1).astype(np.float64)[:, None]
    sums = BesselDescriptors(("Cu", "Zr"), shells=0).compute(structure)[:, :16].astype(np.float64)
    for shell in range(5):
        np.testing.assert_allclose(column(descriptor, rows, f"own_Zr_{shell}"), own[:, 0], atol=1e-5)
        np.testing.assert_allclose(column(descriptor, rows, f"B_Zr_n8_{shell}"), sums[:, 15], atol=1e-4)
        own, sums = average(own), average(sums)


def test_components_are_those_of_largest_variance_and_uncorrelated(descriptor, structure):
    spectrum = descriptor.angular.compute(structure).astype(np.float64)
    components = (spectrum - descriptor.mean) / descriptor.scale @ descriptor.projection
    covariance = np.cov(components.T)
    assert (np.diff(np.diag(covariance)) < 0).all()
    assert np.abs(covariance - np.diag(np.diag(covariance))).max() < 1e-3 * covariance.max()


def test_selected_atoms_have_the_rows_of_the_whole(descriptor, structure):
    mask = np.arange(len(structure)) == 17
    part = descriptor.compute(replace(structure, mask=mask))
    np.testing.assert_allclose(part, descriptor.compute(structure)[mask], rtol=1e-4, atol=1e-4)


def test_nothing_beyond_the_reach_matters(descriptor, structure):
    assert descriptor.reach == 25.0
    assert replace(descriptor, radial_shells=0, angular_shells=0).reach == pytest.approx(descriptor.angular.reach)


def test_fingerprints_tell_descriptors_apart(descriptor, structure):
    assert descriptor.fingerprint == fit_environments([structure], ("Cu", "Zr"), cutoff=5.0, components=6).fingerprint
    others = [
        replace(descriptor, radial_shells=3),
        replace(descriptor, projection=-descriptor.projection),
        descriptor.in_double_precision(),
    ]
    assert len({descriptor.fingerprint, *(other.fingerprint for other in others)}) == 4


def test_double_precision_has_more_digits_of_the_same_numbers(descriptor, structure):
    single, double = descriptor.compute(structure), descriptor.in_double_precision().compute(structure)
    assert (single.dtype, double.dtype) == (np.float32, np.float64)
    np.testing.assert_allclose(single, double, atol=2e-4 * np.abs(double).max())
    assert np.abs(double - double.astype(np.float32)).max() > 0


def test_progress_goes_from_nothing_to_all_and_can_stop(descriptor, structure):
    seen = []
    descriptor.compute(structure, seen.append)
    assert seen == sorted(seen)
    assert 0 < seen[0] < 0.5
    assert seen[-1] == 1.0

    def stop(fraction):
        raise InterruptedError

    with pytest.raises(InterruptedError):
        descriptor.compute(structure, stop)
