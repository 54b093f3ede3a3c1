"""Labels say who moved most and who moved least, and nothing about those in between."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from ovito_glassml.labels.activity import LabelError, label_by_quantile, label_by_threshold

DISPLACEMENT = np.array([0.1, 0.9, np.nan, 0.6, 0.7])


def test_active_is_above_the_threshold():
    assert label_by_threshold(DISPLACEMENT, 0.6).tolist() == [0, 1, -1, 0, 1]


def test_other_species_get_no_label():
    eligible = np.array([True, False, True, True, True])
    assert label_by_threshold(DISPLACEMENT, 0.6, eligible).tolist() == [0, -1, -1, 0, 1]
    assert label_by_quantile(DISPLACEMENT, 0.34, 0.34, eligible).tolist() == [0, -1, -1, -1, 1]


def test_quantiles_are_shares_of_the_eligible_atoms():
    values = np.random.default_rng(1).permutation(1000).astype(float)
    labels = label_by_quantile(values, 0.05, 0.1)
    assert (labels == 1).sum() == 50
    assert (labels == 0).sum() == 100
    assert values[labels == 1].min() == 950
    assert values[labels == 0].max() == 99


def test_by_default_they_are_one_atom_in_twenty():
    values = np.arange(200.0)
    assert label_by_quantile(values).tolist() == [0] * 10 + [-1] * 180 + [1] * 10


def test_of_equal_values_the_first_atoms_count_as_smaller():
    values = np.repeat([1.0, 0.0], 50)
    labels = label_by_quantile(values, 0.1, 0.1)
    assert np.flatnonzero(labels == 0).tolist() == list(range(50, 60))
    assert np.flatnonzero(labels == 1).tolist() == list(range(40, 50))


@given(arrays(float, st.integers(0, 40), elements=st.floats(0, 1)), st.floats(0.01, 0.5), st.floats(0.01, 0.5))
def test_no_inactive_atom_moved_more_than_an_active_one(values, active, inactive):
    labels = label_by_quantile(values, active, inactive)
    assert values[labels == 0].max(initial=0) <= values[labels == 1].min(initial=1)


@pytest.mark.parametrize(("active", "inactive"), [(0.6, 0.5), (0, 0.1), (0.1, -0.1), (float("nan"), 0.1)])
def test_shares_that_make_no_sense_are_refused(active, inactive):
    with pytest.raises(LabelError, match=r"overlap|positive"):
        label_by_quantile(DISPLACEMENT, active, inactive)


@pytest.mark.parametrize("threshold", [0.0, -1.0, float("nan"), float("inf")])
def test_a_threshold_is_a_positive_number(threshold):
    with pytest.raises(LabelError, match="threshold"):
        label_by_threshold(DISPLACEMENT, threshold)
