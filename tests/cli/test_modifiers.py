"""`glassml modifiers` lists the modifiers and prints the reference of each."""

from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.cli.common import UsageError
from ovito_glassml.modifiers.registry import MODIFIERS


def test_all_modifiers_are_listed():
    run = CliRunner().invoke(app, ["modifiers"])
    assert run.exit_code == 0
    for modifier in MODIFIERS:
        assert f" {modifier.name} " in run.output
        assert modifier.title in run.output


def test_the_reference_of_one_is_printed():
    run = CliRunner().invoke(app, ["modifiers", "show", "stiffness"])
    assert run.exit_code == 0
    assert run.output.startswith("Predicted stiffness\n===")
    assert "mean and\n    standard deviation of K in eV/Å²." in run.output
    assert "  coarse_graining_radius: Coarse-graining radius (Å)  (above 0)\n" in run.output
    assert "      Default: 6.0, about the third shell" in run.output


def test_an_unknown_one_is_refused_with_the_known_ones():
    run = CliRunner().invoke(app, ["modifiers", "show", "stifness"])
    assert isinstance(run.exception, UsageError)
    assert "no modifier 'stifness'; choose from rdf, " in str(run.exception)
