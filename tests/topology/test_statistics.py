"""Frequencies of a made-up result, counted by hand."""

import numpy as np
import pytest

from ovito_glassml.topology.signature import label_number, parse_signature
from ovito_glassml.topology.standard_clusters import LaSCAResult
from ovito_glassml.topology.statistics import cluster_statistics

Z12, Z14 = label_number("Z12"), label_number("Z14")


@pytest.fixture
def result():
    """Six atoms with three signatures, two of them spelled out, the last atom without neighbours."""
    return LaSCAResult(
        coordination=np.array([12, 12, 12, 14, 13, 0], dtype=np.int32),
        cutoffs=np.full(6, 3.5),
        capped=np.zeros(6, dtype=bool),
        fractions=np.array([[1, 0], [1, 0], [1, 0], [0.5, 0.5], [0.25, 0.75], [0, 0]], dtype=np.float32),
        labels=np.array([Z14, Z12, Z12, Z14, Z12, 0], dtype=np.int32),
        signature_indices=np.array([0, 0, 0, 1, 2, 2], dtype=np.int32),
        counts=np.array([3, 1, 2]),
        numbers=np.array([1, 2, 3], dtype=np.int32),
        signatures=(parse_signature("[12/555]"), parse_signature("[12/555, 2/666]")),
        max_cutoff=4.0,
    )


def test_of_all_atoms(result):
    found = cluster_statistics(result)
    assert found.names == ("all atoms",)
    assert found.sizes.tolist() == [6]
    np.testing.assert_allclose(found.signature_shares, [[3 / 6], [1 / 6]])
    assert found.label_numbers.tolist() == [Z12, Z14]  # the most frequent first, none left out
    np.testing.assert_allclose(found.label_shares, [[3 / 6], [2 / 6]])
    np.testing.assert_allclose(found.subcluster_fractions, [[3.75 / 5], [1.25 / 5]])  # of five atoms with neighbours


def test_of_groups_beside_all_atoms(result):
    found = cluster_statistics(result, np.array([0, 0, 1, 1, 7, 2]), ("surface", "bulk", "alone", "empty"))
    assert found.names == ("all atoms", "surface", "bulk", "alone", "empty")
    assert found.sizes.tolist() == [6, 2, 2, 1, 0]
    np.testing.assert_allclose(found.signature_shares, [[3 / 6, 1, 0.5, 0, 0], [1 / 6, 0, 0.5, 0, 0]])
    np.testing.assert_allclose(found.label_shares, [[3 / 6, 0.5, 0.5, 0, 0], [2 / 6, 0.5, 0.5, 0, 0]])
    nan = np.nan
    np.testing.assert_allclose(found.subcluster_fractions, [[0.75, 1, 0.75, nan, nan], [0.25, 0, 0.25, nan, nan]])
