"""Colours run over most values, whatever a few odd atoms do, or over the range that is asked for."""

import numpy as np
import pytest
from ovito.data import DataCollection
from traits.api import HasStrictTraits, TraitError

from ovito_glassml.adapter.colors import ColorRange, limits_of, robust_range
from ovito_glassml.adapter.output import color_by, write_property

RNG = np.random.default_rng(5)


class Coloured(HasStrictTraits):
    range = ColorRange()


def coloured(values, *arguments):
    data = DataCollection()
    data.create_particles(count=len(values)).create_property("Position")
    write_property(data, "Q", np.asarray(values, dtype=float))
    color_by(data, "Q", *arguments)
    return data


def test_the_range_holds_all_but_two_percent_at_either_end():
    values = RNG.normal(size=10_001)
    low, high = robust_range(np.append(values, [np.nan, np.inf]))
    assert (values < low).mean() == pytest.approx(0.02, abs=1e-3)
    assert (values > high).mean() == pytest.approx(0.02, abs=1e-3)


def test_an_odd_atom_does_not_take_the_contrast_from_the_others():
    values = RNG.normal(size=1000)
    before = coloured(values).particles.colors[...]
    values[0] = 1e6
    after = coloured(values).particles.colors[...]
    assert np.abs(after - before)[1:].max() < 0.05


def test_where_nearly_all_values_are_alike_the_others_show():
    values = np.zeros(1000)
    values[7] = 3.0
    assert robust_range(values) == (0.0, 3.0)
    assert len(np.unique(coloured(values).particles.colors[...], axis=0)) == 2


def test_equal_values_lie_in_the_middle_of_a_range():
    assert robust_range([1.0, 1.0, np.nan]) == (0.5, 1.5)


def test_a_value_has_the_same_colour_in_all_frames_if_the_range_is_given():
    frames = [coloured([value, 0.7, 2.0], "0.5, 1.1", "Class") for value in (0.1, 0.9)]
    first, second = (frame.particles.colors[...] for frame in frames)
    np.testing.assert_array_equal(first[1:], second[1:])
    assert (first[0] != second[0]).any()
    for frame in frames:
        assert (frame.attributes["Class.color_low"], frame.attributes["Class.color_high"]) == (0.5, 1.1)


def test_the_range_in_use_is_told():
    values = RNG.normal(size=100)
    data = coloured(values, "", "Class")
    told = data.attributes["Class.color_low"], data.attributes["Class.color_high"]
    assert told == robust_range(values)


@pytest.mark.parametrize("given", ["0.5, 1.1", " 0.5,1.1", [0.5, 1.1], (0.5, 1.1)])
def test_a_range_is_two_numbers(given):
    assert limits_of(Coloured(range=given).range) == (0.5, 1.1)


def test_no_range_is_given_by_default():
    assert limits_of(Coloured().range) is None


@pytest.mark.parametrize("given", ["1", "1, 1", "2, 1", "a, b", "0, nan", "0, inf", "1, 2, 3", 5, [1], None, [0, "b"]])
def test_anything_else_is_refused_with_what_it_should_be(given):
    with pytest.raises(TraitError, match="two numbers, the smaller first"):
        Coloured(range=given)
