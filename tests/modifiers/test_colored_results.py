"""Modifiers that colour by a number take a range for it and tell the one in use; a legend reads every result."""

import numpy as np
import pytest
from conformance_cases import Case, computed, glass, installed_cases
from typer.testing import CliRunner

from ovito_glassml.adapter.legend import color_table, read_legend
from ovito_glassml.cli import app
from ovito_glassml.cli.common import UsageError
from ovito_glassml.modifiers.registry import MODIFIERS, by_name

CASES = [case for case in installed_cases() if case.has("color_by_result")]
NUMBERS = [case for case in CASES if case.has("color_range")]


def legend_of(case: Case, **parameters):
    data = computed(case.make(color_by_result=True, **parameters), glass())
    return data, read_legend(data, case.prefix.rstrip("."), by_name()[case.command].results)


@pytest.mark.parametrize("case", NUMBERS, ids=str)
def test_a_given_range_decides_the_colours(case):
    data, legend = legend_of(case, color_range="-3e9, -2e9")
    assert (legend.bar.low, legend.bar.high) == (-3e9, -2e9)
    assert legend.bar.label.endswith(")"), "no unit"
    known = np.isfinite(data.particles[legend.title][...])
    colours = data.particles.colors[...]
    np.testing.assert_allclose(colours[known], np.tile(color_table(2)[1], (known.sum(), 1)), atol=0.01)
    assert np.ptp(colours[~known], axis=1).sum() == 0


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_legend_of_a_coloured_result_has_its_colours(case):
    _, legend = legend_of(case)
    if case.has("color_range"):
        assert legend.bar.low < legend.bar.high
    else:
        assert legend.bar is None
        assert 0 < len(legend.kinds) <= 8


def test_what_colours_by_a_result_is_what_has_one():
    assert {case.command for case in CASES} == {entry.name for entry in MODIFIERS if entry.results}


def test_a_range_that_is_none_is_refused_by_the_command(tmp_path):
    (tmp_path / "a.xyz").write_text("1\n\nCu 0 0 0\n")
    command = [
        "apply",
        str(tmp_path / "a.xyz"),
        "-m",
        "stiffness",
        "--set",
        "color_range=2,1",
        "-o",
        str(tmp_path / "b.xyz"),
    ]
    result = CliRunner().invoke(app, command)
    assert isinstance(result.exception, UsageError)
    assert "two numbers, the smaller first" in str(result.exception)
