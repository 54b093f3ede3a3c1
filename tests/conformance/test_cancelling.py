"""OVITO stops a modifier when its input or a parameter changes: what it computes next is right."""

import numpy as np
import pytest
from conformance_cases import computed, direct, glass, installed_cases, pipeline, telling_frame, written
from conformance_checks import assert_same
from ovito.data import DataCollection


@pytest.mark.parametrize("case", installed_cases(), ids=str)
def test_stopped_anywhere_the_next_result_is_right(case):
    """At every one of the first yields and at some later ones; what is written by then is right, too."""
    sample = glass()
    modifier = case.make()
    expected = written(computed(case.make(), sample))
    start = direct(modifier, sample)
    chance = np.random.default_rng(7)
    for stop in (0, 1, 2, 3, *chance.integers(4, 12, 4)):
        data = sample.frames()[telling_frame(modifier)]
        work = start(data)
        for _ in range(stop):
            if next(work, None) is None:
                break
        work.close()
        for name, values in written(data).items():
            np.testing.assert_array_equal(values, expected[name], err_msg=name)
    assert_same(expected, written(computed(modifier, sample)), rtol=0)


@pytest.mark.parametrize("case", installed_cases(), ids=str)
def test_a_cache_that_is_half_filled_is_not_taken_for_whole(case):
    """The cache of a pipeline node outlives a cancelled evaluation."""
    sample = glass()
    frames, cache, modifier = sample.frames(), DataCollection(), case.make()
    number = telling_frame(modifier)

    class Slot:
        num_frames = len(frames)

        @staticmethod
        def compute(frame):
            return frames[frame].clone()

    def work_on(data):
        return modifier.modify(data, frame=number, input_slots={"upstream": Slot}, data_cache=cache, pipeline_node=None)

    for stop in (1, 2, 4, 7):
        work = work_on(frames[number].clone())
        for _ in range(stop):
            if next(work, None) is None:
                break
        work.close()
    data = frames[number].clone()
    list(work_on(data))
    assert_same(written(computed(case.make(), sample)), written(data), rtol=0)
    assert_same(written(pipeline(frames, case.make()).compute(number)), written(data), rtol=0)
