"""Small matrix products in vector registers agree with plain loops."""

import numba
import numpy as np
import pytest

from ovito_glassml.descriptors.products import PADDING_BYTES, padded, plain_row_product, row_product


@numba.njit
def fast(out, *arguments):
    row_product(out, *arguments)


@numba.njit
def plain(out, *arguments):
    plain_row_product(out, *arguments)


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vector_code_agrees_with_plain_loops_and_with_numpy(kind):
    rng = np.random.default_rng(3)
    for rows, count, columns in [(1, 1, 1), (5, 0, 8), (6, 7, 9), (7, 30, 12), (13, 64, 17), (25, 3, 40)]:
        width = padded(columns, np.dtype(kind).itemsize)
        a = rng.normal(size=(count, rows)).astype(kind)  # as the harmonics are read: a step of one between rows
        b = rng.normal(size=(count, width)).astype(kind)
        results = np.full((2, 3 + rows * (width + 4)), 7, dtype=kind)
        settings = (3, width + 4, a.ravel(), 0, 1, rows, b.ravel(), 0, width, rows, count, width)
        fast(results[0], *settings)
        plain(results[1], *settings)
        tolerance = 20 * np.finfo(kind).eps * max(count, 1)
        np.testing.assert_allclose(results[0], results[1], rtol=tolerance, atol=tolerance)
        product = results[0][3:].reshape(rows, width + 4)
        np.testing.assert_allclose(product[:, :width], a.T @ b, rtol=tolerance, atol=tolerance)
        assert (product[:, width:] == 7).all()
        assert (results[0][:3] == 7).all()


def test_rows_are_padded_to_whole_vectors():
    assert PADDING_BYTES == 32
    assert [padded(count, 4) for count in (1, 8, 9)] == [8, 8, 16]
    assert [padded(count, 8) for count in (1, 4, 5)] == [4, 4, 8]
