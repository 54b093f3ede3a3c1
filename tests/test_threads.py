"""One thread for linear algebra while anybody wants it, and as many as before afterwards."""

import os
import subprocess
import sys
import threading

import numpy as np
import pytest
import scipy.linalg.cython_blas  # noqa: F401  is loaded here and not on the way
from threadpoolctl import threadpool_info, threadpool_limits

from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread


def counts():
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


@pytest.fixture
def three_threads():
    with threadpool_limits(3, "blas"):
        if counts() != {3}:
            pytest.skip("this library has a fixed number of threads")
        yield


class Elsewhere:
    """A thread that asks for one BLAS thread until it is told to end."""

    def __init__(self):
        self.begun, self.ended = threading.Event(), threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)
        self.thread.start()
        self.begun.wait()

    def run(self):
        with one_blas_thread():
            self.begun.set()
            self.ended.wait()

    def end(self):
        self.ended.set()
        self.thread.join()


@pytest.mark.usefixtures("three_threads")
def test_the_number_of_before_comes_back_after_the_last_whatever_the_order():
    for order in ("first in, first out", "first in, last out"):
        first = Elsewhere()
        second = Elsewhere()
        leaving = (first, second) if order == "first in, first out" else (second, first)
        assert counts() == {1}
        leaving[0].end()
        assert counts() == {1}, order
        leaving[1].end()
        assert counts() == {3}, order


@pytest.mark.usefixtures("three_threads")
def test_errors_and_decorated_functions_put_it_back():
    @one_blas_thread()
    def fail():
        assert counts() == {1}
        with one_blas_thread():
            raise ZeroDivisionError

    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            fail()
        assert counts() == {3}


@pytest.mark.usefixtures("three_threads")
def test_predictions_side_by_side_leave_the_threads_as_they_were():
    rng = np.random.default_rng(1)
    structure = Structure(rng.uniform(0, 12, (60, 3)), rng.integers(0, 2, 60), ("A", "B"), 12 * np.eye(3))
    descriptor = SOAPDescriptors(("A", "B"), cutoff=3.0, n_max=3, l_max=2)
    matrix = np.ones((descriptor.feature_count, 2))
    other = Elsewhere()
    blocks = descriptor.iterate_products(structure, matrix)
    next(blocks)
    other.end()
    list(blocks)
    assert counts() == {3}


def test_a_library_that_is_loaded_meanwhile_is_limited_too():
    code = """
from threadpoolctl import threadpool_info
from ovito_glassml.threads import one_blas_thread
def counts():
    return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]
before = counts()
with one_blas_thread():
    import numpy, scipy.linalg
    loaded = counts()
    with one_blas_thread():
        print(len(before) < len(loaded), set(counts()) == {1})
print(counts() == loaded)
"""
    environment = {**os.environ, "OPENBLAS_NUM_THREADS": "3"}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert done.stdout.split() == ["True", "True", "True"]
