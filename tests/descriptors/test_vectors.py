"""Vectors in compiled functions do what the formula does for each number."""

import numba
import numpy as np
import pytest

from ovito_glassml.descriptors.vectors import (
    VECTOR_BYTES,
    lanes,
    larger,
    load,
    magnitude,
    narrowed,
    root,
    smaller,
    spread,
    store,
    whole,
)


@numba.njit
def formula(x, y, out, rounded):
    one = spread(out.dtype.type(1), out)
    for j in range(0, len(out), lanes(out)):
        a, b = load(x, j, out), load(y, j, out)
        value = root(a * a + b * b) / (a + one) - b
        value += magnitude(b) * out.dtype.type(2)
        value *= one
        store(out, j, larger(smaller(value, spread(out.dtype.type(3), out)), one))
        store(rounded, j, whole(value))


@numba.njit
def converted(x, out):
    for j in range(0, len(out), lanes(out)):
        store(out, j, narrowed(load(x, j, out) * 2.0, out))


@pytest.mark.parametrize("kind", [np.float32, np.float64])
def test_vectors_follow_the_formula(kind):
    rng = np.random.default_rng(5)
    count = 3 * VECTOR_BYTES // np.dtype(kind).itemsize
    x, y = rng.uniform(0, 4, count).astype(kind), rng.normal(size=count).astype(kind)
    out, rounded = np.empty(count, dtype=kind), np.empty(count, dtype=np.int32)
    formula(x, y, out, rounded)
    value = np.sqrt(x * x + y * y) / (x + 1) - y + 2 * np.abs(y)
    np.testing.assert_allclose(out, np.clip(value, 1, 3), rtol=10 * np.finfo(kind).eps)
    np.testing.assert_array_equal(rounded, np.floor(value))


def test_double_precision_is_kept_until_a_vector_is_narrowed():
    x = 1 + np.arange(32) * 1e-9
    out = np.empty(32, dtype=np.float32)
    converted(x, out)
    np.testing.assert_array_equal(out, (2 * x).astype(np.float32))


def test_numbers_of_two_types_do_not_mix_unseen():
    """A constant in double precision would otherwise slow a formula in single precision down to its speed."""

    @numba.njit
    def mixed(x):
        store(x, 0, load(x, 0, x) * 0.5)

    with pytest.raises(numba.TypingError):
        mixed(np.ones(16, dtype=np.float32))
