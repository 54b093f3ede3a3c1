"""Parts of the labelled atoms that are left out in turn."""

import numpy as np

from ovito_glassml.learn.stiffness import data as stiffness_data
from ovito_glassml.learn.stiffness.data import FOLDS


def test_one_sample_is_cut_into_slabs_and_many_are_kept_whole(spring_glasses):
    cut = stiffness_data._folds(spring_glasses[:1])[0]
    heights = spring_glasses[0].structure.positions[:, 0]
    for fold in range(FOLDS - 1):
        assert heights[cut == fold].max() <= heights[cut == fold + 1].min()
    assert np.ptp(np.bincount(cut)) <= 1
    whole = stiffness_data._folds([spring_glasses[0]] * 7)
    assert [set(folds) for folds in whole] == [{0}, {1}, {2}, {3}, {4}, {0}, {1}]
