"""Options of a command come from the fields of a settings class."""

from dataclasses import dataclass

import pytest
import typer
from typer.testing import CliRunner

from ovito_glassml.cli.options import with_options_of


@dataclass(frozen=True)
class Settings:
    """What is asked for.

    Attributes
    ----------
    element : str
        The element that is meant.
    rates : tuple of float
        Several numbers,
        on two lines.
    atoms : int
        How many.
    temperature : float
        Follows from the material.
    """

    element: str
    rates: tuple[float, ...] = (1.0, 2.5)
    atoms: int = 100
    temperature: float = float("nan")


def run(*words):
    app, got = typer.Typer(), []

    @app.command()
    @with_options_of(Settings)
    def command(settings: Settings, name: str) -> None:
        got.append((settings, name))

    return CliRunner().invoke(app, words), got


def test_defaults_are_those_of_the_class():
    result, ((settings, name),) = run("glass", "--element", "Cu")
    assert result.exit_code == 0
    assert (settings.element, settings.rates, settings.atoms, name) == ("Cu", (1.0, 2.5), 100, "glass")
    assert settings.temperature != settings.temperature


def test_given_values_reach_the_command():
    _, ((settings, _),) = run("glass", "--element", "Zr", "--rates", "3,4e1", "--atoms", "7", "--temperature", "300")
    assert settings == Settings("Zr", (3.0, 40.0), 7, 300.0)


def test_a_field_without_a_default_has_to_be_given():
    result, got = run("glass")
    assert result.exit_code == 2
    assert "--element" in result.output
    assert not got


@pytest.mark.parametrize("text", ["The element that is meant.", "Several numbers, on two lines.", "[required]"])
def test_help_is_what_the_class_says(text):
    result, _ = run("--help")
    assert text in " ".join(result.output.replace("│", " ").split())
