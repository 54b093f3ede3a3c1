"""Tasks on all threads, with the same result on any number; one thread for linear algebra while anybody wants it."""

import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
import scipy.linalg.cython_blas  # noqa: F401  is loaded here and not on the way
from threadpoolctl import threadpool_info, threadpool_limits

from ovito_glassml import threads
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.structure import Structure
from ovito_glassml.threads import LARGE_TASK_SIZE, TASK_SIZE, limit_threads, one_blas_thread, run_tasks, thread_count


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


def record(begin, end, ranges):
    ranges.append((begin, end))


def test_tasks_cover_everything_once_whatever_the_number_of_threads():
    for count in (0, 1, TASK_SIZE, TASK_SIZE + 1, 4096, 10_000):
        expected = [(begin, min(begin + TASK_SIZE, count)) for begin in range(0, count, TASK_SIZE)]
        for number in (1, 2, 5):
            ranges = []
            with limit_threads(number):
                run_tasks(record, count, ranges)
            assert sorted(ranges) == expected


def test_tasks_are_of_the_size_asked_for():
    ranges = []
    run_tasks(record, 2500, ranges, size=LARGE_TASK_SIZE)
    assert sorted(ranges) == [(0, 1024), (1024, 2048), (2048, 2500)]


def test_several_threads_work_at_the_same_time():
    meeting = threading.Barrier(3, timeout=60)
    with limit_threads(3):
        run_tasks(lambda begin, end: meeting.wait() and None, 3 * TASK_SIZE)


def test_callers_side_by_side_and_within_a_task_do_not_wait_for_each_other():
    def outer(begin, end, ranges):
        run_tasks(record, 1000, ranges)

    lists = [[] for _ in range(4)]
    callers = [threading.Thread(target=run_tasks, args=(outer, 2000, ranges)) for ranges in lists]
    with limit_threads(2):
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join()
    assert {len(ranges) for ranges in lists} == {8 * 4}


@pytest.mark.parametrize("count", [1, 3])
def test_an_error_in_a_task_ends_the_others_and_is_raised(count):
    ranges = []

    def fail(begin, end):
        ranges.append(begin)
        if begin == 5 * TASK_SIZE:
            raise ZeroDivisionError

    with limit_threads(count), pytest.raises(ZeroDivisionError):
        run_tasks(fail, 1000 * TASK_SIZE)
    assert len(ranges) < 900
    ended = len(ranges)
    with limit_threads(count):  # nothing is left behind
        run_tasks(record, 3 * TASK_SIZE, ranges)
    assert len(ranges) == ended + 3


@pytest.mark.parametrize("count", [1, 2])
def test_progress_rises_to_one_and_may_stop_between_tasks(count):
    fractions, ranges = [], []
    with limit_threads(count):
        run_tasks(record, 10 * TASK_SIZE, ranges, progress=fractions.append)
        assert fractions == sorted(fractions)
        assert fractions[-1] == 1.0
        if count == 1:
            np.testing.assert_allclose(fractions, np.arange(1, 11) / 10)

        def stop(fraction):
            raise InterruptedError

        ranges.clear()
        with pytest.raises(InterruptedError):
            run_tasks(lambda *task: time.sleep(0.001) or record(*task), 1000 * TASK_SIZE, ranges, progress=stop)
    assert 1 <= len(ranges) < 900


def test_the_number_of_threads_obeys_the_variable_and_the_processors(monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", "7")
    assert thread_count() == 7
    with limit_threads(3):
        assert thread_count() == 3
    for unset in ("", "0", "many"):
        monkeypatch.setenv("NUMBA_NUM_THREADS", unset)
        assert 1 <= thread_count() <= os.cpu_count()
    monkeypatch.delenv("NUMBA_NUM_THREADS")
    monkeypatch.setattr(threads, "_processors", lambda: 64)
    monkeypatch.setattr(threads, "_granted", lambda: 2.5)
    assert thread_count() == 3
    monkeypatch.setattr(threads, "_granted", lambda: 0.3)
    assert thread_count() == 1


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="Linux")
def test_processors_taken_away_meanwhile_are_not_used(monkeypatch):
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert thread_count() == 1
    finally:
        os.sched_setaffinity(0, before)


def test_control_groups_grant_the_least_of_all_levels(tmp_path):
    def system(name, groups, **quotas):
        root = tmp_path / name
        for group, quota in quotas.items():
            folder = root / "sys/fs/cgroup" / group.replace("_", "/")
            folder.mkdir(parents=True)
            (folder / "cpu.max").write_text(quota)
        (root / "proc/self").mkdir(parents=True)
        (root / "proc/self/cgroup").write_text(groups)
        return threads._granted(root)

    assert system("outer", "0::/slice/job\n", slice="250000 100000\n", slice_job="max 100000\n") == 2.5
    assert system("inner", "1:cpu:/\n0::/slice/job\n", slice="400000 100000\n", slice_job="150000 100000\n") == 1.5
    assert system("free", "0::/\n") == np.inf
    assert threads._granted(tmp_path / "no such system") == np.inf


FORK = """
import os, numpy as np
from ovito_glassml.neighbours import build_cell_list, neighbour_counts
from ovito_glassml.structure import Structure
from ovito_glassml.threads import limit_threads, one_blas_thread
rng = np.random.default_rng(1)
structure = Structure(rng.uniform(0, 40, (3000, 3)), cell=40 * np.eye(3), pbc=(True,) * 3)
cells = build_cell_list(structure, 5.0)
with limit_threads(4):
    before = neighbour_counts(cells)
    child = os.fork()
    if child == 0:
        with one_blas_thread():
            os._exit(0 if (neighbour_counts(cells) == before).all() else 3)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), (neighbour_counts(cells) == before).all())
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_forked_child_makes_threads_of_its_own():
    """With those of its parent, which it does not have, it would wait for ever."""
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout.split() == ["0", "True"]


SIDE_BY_SIDE = """
import sys, threading, numpy as np
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.structure import Structure
from ovito_glassml.topology.standard_clusters import LaSCA
rng = np.random.default_rng(1)
grid = np.stack(np.meshgrid(*[np.arange(12)] * 3), axis=-1).reshape(-1, 3)
structure = Structure(grid * 2.6 + rng.normal(0, 0.1, grid.shape), np.arange(1728) % 2, ("Cu", "Zr"), 31.2 * np.eye(3))
found = []
def predict():
    for _ in range(5):
        rows = SOAPDescriptors(("Cu", "Zr"), n_max=3, l_max=3).compute(structure)
        found.append((rows.tobytes(), LaSCA().compute(structure).cutoffs.tobytes()))
callers = [threading.Thread(target=predict) for _ in range(2)]
[caller.start() for caller in callers]
[caller.join() for caller in callers]
from numba.np.ufunc import parallel
print(len(found), len(set(found)), parallel._is_initialized)
"""


def test_two_threads_compute_at_once_on_any_system():
    """Numba's own layer of threads, `workqueue` where nothing better is there, ends the process then."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    done = subprocess.run(
        [sys.executable, "-c", SIDE_BY_SIDE], capture_output=True, text=True, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["10", "1", "False"]
