"""Callbacks become yields, and closing the generator ends the work."""

import threading
import time

import pytest

from ovito_glassml.adapter.progress import COMPILING, part_of, with_progress
from ovito_glassml.compile import compile_clock


def exhaust(generator):
    """All yielded values, and the returned one."""
    yielded = []
    while True:
        try:
            yielded.append(next(generator))
        except StopIteration as end:
            return yielded, end.value


def steps(count, log, pause=0.02):
    def work(report):
        for step in range(count):
            time.sleep(pause)
            log.append((step, threading.current_thread()))
            report((step + 1) / count)
        return "done"

    return work


def test_the_result_comes_back_and_fractions_grow():
    log = []
    signs, result = exhaust(with_progress(steps(20, log)))
    fractions = [sign for sign in signs if not isinstance(sign, str)]  # a test before this one may just have compiled
    assert result == "done"
    assert len(fractions) >= 2
    assert fractions == sorted(fractions)
    assert 0 <= fractions[0] <= fractions[-1] <= 1
    assert all(thread is not threading.main_thread() for _, thread in log)


def test_errors_come_back():
    def work(report):
        raise ValueError("Wrong; do right.")

    with pytest.raises(ValueError, match="do right"):
        exhaust(with_progress(work))


def test_closing_ends_the_work_at_the_next_report():
    log = []
    generator = with_progress(steps(1000, log))
    next(generator)
    next(generator)
    begun = len(log)
    generator.close()
    done = len(log)
    assert done <= begun + 2  # the step that went on meanwhile
    time.sleep(0.1)
    assert len(log) == done


def test_two_works_take_turns():
    log = []
    first, second = with_progress(steps(5, log)), with_progress(steps(5, log))
    next(first)
    next(second)
    exhaust(second)
    exhaust(first)
    assert [step for step, _ in log] == [0, 1, 2, 3, 4] * 2


def test_work_that_has_not_begun_is_dropped():
    log, dropped = [], []
    first, second = with_progress(steps(5, log)), with_progress(steps(5, dropped))
    next(first)
    next(second)
    second.close()
    exhaust(first)
    assert len(log) == 5
    assert not dropped


def test_steps_of_longer_work_share_the_scale_and_return_their_results():
    def work():
        yield 0.5
        yield 1.0
        return "done"

    def both():
        first = yield from part_of(work(), 0.0, 0.4)
        second = yield from part_of(work(), 0.4, 1.0)
        return first + second

    fractions, result = exhaust(both())
    assert fractions == pytest.approx([0.2, 0.4, 0.7, 1.0])
    assert result == "donedone"


def test_compiling_is_said_and_its_end_too():
    """The first use of a modifier may take half a minute, in which no fraction grows."""

    def work(report):
        with compile_clock():
            time.sleep(1.0)
        time.sleep(0.8)
        return "done"

    signs, result = exhaust(part_of(with_progress(work), 0.5, 1.0))
    assert result == "done"
    assert [sign for sign in signs if isinstance(sign, str)] == [COMPILING, "Computing"]
    assert {sign for sign in signs if not isinstance(sign, str)} == {0.5}
