"""Parts of the labelled atoms that are left out in turn."""

import numpy as np

from ovito_glassml.learn.stiffness import data as stiffness_data
from ovito_glassml.learn.stiffness.data import CAGE_LABEL, FOLDS, STIFFNESS_LABEL


def test_one_sample_is_cut_into_slabs_and_many_are_kept_whole(spring_glasses):
    cut = stiffness_data._folds(spring_glasses[:1], STIFFNESS_LABEL)[0]
    heights = spring_glasses[0].structure.positions[:, 0]
    for fold in range(FOLDS - 1):
        assert heights[cut == fold].max() <= heights[cut == fold + 1].min()
    assert np.ptp(np.bincount(cut)) <= 1
    whole = stiffness_data._folds([spring_glasses[0]] * 7, STIFFNESS_LABEL)
    assert [set(folds) for folds in whole] == [{0}, {1}, {2}, {3}, {4}, {0}, {1}]


def test_samples_without_a_label_take_no_fold_of_those_with_it(spring_glasses):
    """Or a fold would be empty where only every fifth sample has the label."""
    sample = spring_glasses[0]
    without = sample._replace(stiffness=np.full(len(sample.structure), np.nan), cage=sample.stiffness)
    mixed = [sample, without] * 5
    of_stiffness = stiffness_data._folds(mixed, STIFFNESS_LABEL)
    assert [set(fold) for fold in of_stiffness] == [{k // 2 if k % 2 == 0 else -1} for k in range(10)]
    of_cage = stiffness_data._folds(mixed, CAGE_LABEL)
    assert [set(fold) for fold in of_cage] == [{k // 2 if k % 2 else -1} for k in range(10)]
