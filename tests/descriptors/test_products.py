"""Small matrix products in vector registers agree with NumPy's."""

import numba
import numpy as np
import pytest

from ovito_glassml.descriptors.products import (
    PADDING_BYTES,
    SHARED,
    block_product,
    block_sums,
    padded,
    row_product,
)
from ovito_glassml.descriptors.vectors import VECTOR_BYTES


@numba.njit
def by_rows(out, *arguments):
    row_product(out, *arguments)


@numba.njit
def by_blocks(out, *arguments):
    block_product(out, *arguments)


@numba.njit
def sums(out, *arguments):
    block_sums(out, *arguments)


def in_blocks(a):
    """The same (rows, count) array, zeros added to fill the last block, as blocks (block, row, lane)."""
    lanes = VECTOR_BYTES // a.itemsize
    blocks = -(-a.shape[1] // lanes)
    filled = np.zeros((len(a), blocks * lanes), dtype=a.dtype)
    filled[:, : a.shape[1]] = a
    return np.ascontiguousarray(filled.reshape(len(a), blocks, lanes).transpose(1, 0, 2))


SIZES = [(1, 1, 1), (5, 0, 8), (6, 7, 9), (7, 30, 12), (13, 64, 17), (25, 3, 40), (7, 9, 11), (9, 5, 28), (3, 2, 13)]


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vector_code_agrees_with_numpy(kind):
    rng = np.random.default_rng(3)
    for rows, count, columns in SIZES:
        width = padded(columns, np.dtype(kind).itemsize)
        a = rng.normal(size=(rows, count)).astype(kind)
        b = rng.normal(size=(count, width)).astype(kind)
        blocks = in_blocks(a)
        tolerance = 20 * np.finfo(kind).eps * max(count, 1)
        for product, first, step in (
            (by_rows, np.ascontiguousarray(a.T), rows),
            (by_blocks, blocks, blocks[:1].size),
        ):
            out = np.full(3 + rows * (width + 4), 7, dtype=kind)
            product(out, 3, width + 4, first.ravel(), 0, step, b.ravel(), 0, width, rows, count, width)
            result = out[3:].reshape(rows, width + 4)
            np.testing.assert_allclose(result[:, :width], a @ b, rtol=tolerance, atol=tolerance)
            assert (result[:, width:] == 7).all()
            assert (out[:3] == 7).all()


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_sums_over_blocks_agree_with_numpy(kind):
    rng = np.random.default_rng(4)
    for rows, count in [(1, 1), (5, 16), (6, 33), (7, 70), (13, 64), (68, 150)]:
        a, b = rng.normal(size=(rows, count)).astype(kind), rng.normal(size=(2, count)).astype(kind)
        first, second = in_blocks(a), in_blocks(b)
        out = np.full(rows + 2, 7, dtype=kind)
        lanes = first.shape[2]
        sums(out, 1, first.ravel(), 0, rows * lanes, second.ravel(), lanes, 2 * lanes, rows, len(first))
        tolerance = 20 * np.finfo(kind).eps * count
        np.testing.assert_allclose(out[1:-1], a @ b[1], rtol=tolerance, atol=tolerance)
        assert out[0] == out[-1] == 7


def test_rows_are_padded_to_whole_parts_of_vectors():
    assert (16 if SHARED else 32) == PADDING_BYTES
    assert [padded(count, 4) for count in (1, 8, 9)] == [8, 8, 12 if SHARED else 16]
    assert [padded(count, 8) for count in (1, 4, 5)] == [4, 4, 6 if SHARED else 8]
