"""What holds for all commands: found by walking through them."""

import inspect
import os
import subprocess
import sys

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from ovito_glassml.cli import app, common
from ovito_glassml.cli.common import progress_bar, two_bars
from ovito_glassml.modifiers import registry


def leaves(command, path=()):
    children = getattr(command, "commands", {})
    for name, child in children.items():
        yield from leaves(child, (*path, name))
    if not children:
        yield " ".join(path), command


COMMANDS = dict(leaves(get_command(app)))
every_command = pytest.mark.parametrize("name", COMMANDS)

#: They read a file or two and are done.
IMMEDIATE = {"modifiers show", "models list", "models show", "models add", "models remove"}
IMMEDIATE |= {"material list", "material show", "figures propensity"}

#: Functions that show a bar.
BARS = {"progress_bar", "two_bars", "_make", "_measure"}


@every_command
def test_help_begins_with_an_example_to_copy(name):
    printed = CliRunner().invoke(app, [*name.split(), "--help"], env={"COLUMNS": "60"}, terminal_width=60).output
    first, _, second = printed.splitlines()[:3]
    assert first.startswith(f"Example: glassml {name}")
    assert second.startswith("Usage: ")
    assert printed.count("Example: ") == 1


@every_command
def test_what_takes_long_has_a_bar(name):
    function = inspect.unwrap(COMMANDS[name].callback)
    assert (name in IMMEDIATE) != bool(BARS & set(function.__code__.co_names))


@every_command
def test_bars_can_be_left_out(name):
    assert "--quiet" in {text for parameter in COMMANDS[name].params for text in parameter.opts}


def test_quiet_is_for_one_command_and_not_for_the_next():
    assert CliRunner().invoke(app, ["models", "list", "--quiet"]).exit_code == 0
    assert common._show_bars
    assert CliRunner().invoke(app, ["compare", "none.xyz", "none.xyz", "--quiet"]).exit_code != 0
    assert common._show_bars


def test_a_quiet_run_prints_its_results_alone(tmp_path):
    (tmp_path / "one.xyz").write_text(
        '2\nLattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3\nCu 1 1 1\nCu 2 3 2\n'
    )
    command = [sys.executable, "-m", "ovito_glassml", "apply", "one.xyz", "-m", "rdf", "-o", "out.xyz"]
    loud, quiet = (
        subprocess.run([*command, *more], cwd=tmp_path, capture_output=True, text=True, check=True)
        for more in ([], ["--quiet"])
    )
    assert "Frame 1 of 1" in loud.stderr
    assert quiet.stderr == ""
    assert quiet.stdout == loud.stdout


@pytest.mark.parametrize("goes_on", [True, False])
def test_who_is_stopped_learns_how_to_go_on(goes_on, capsys):
    with pytest.raises(KeyboardInterrupt), progress_bar("Working", goes_on=goes_on):
        raise KeyboardInterrupt
    said = "goes on from here" if goes_on else "begins anew"
    assert capsys.readouterr().err.splitlines()[-1].startswith(f"Stopped. The same command {said}")


def test_a_chain_that_is_stopped_goes_on(capsys):
    with pytest.raises(KeyboardInterrupt), two_bars("All"):
        raise KeyboardInterrupt
    assert "Stopped. The same command goes on from here." in capsys.readouterr().err


def completed(line):
    """What a shell offers behind a line."""
    words = line.split(" ")
    asked = {"_GLASSML_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    code = "import sys; sys.argv = ['glassml']; from ovito_glassml.cli import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **asked}, capture_output=True, text=True, check=False
    )
    assert done.stderr == ""
    return done.stdout.split()


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("glassml sim", ["simulate"]),
        ("glassml simulate que", ["quench"]),  # of a group that is imported when it is asked for
        ("glassml simulate quench --cooling-r", ["--cooling-rate"]),
        ("glassml apply glass.xyz --modifier s", [name for name in registry.by_name() if name.startswith("s")]),
    ],
)
def test_a_shell_completes(line, offered):
    assert sorted(completed(line)) == sorted(offered)


def test_a_shell_learns_to_complete():
    code = "import sys; sys.argv = ['glassml', '--show-completion', 'bash']; from ovito_glassml.cli import main; main()"
    # Where no shell has started the process, as on a server, typer does not find out which one it is.
    asked = {**os.environ, "_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = subprocess.run([sys.executable, "-c", code], env=asked, capture_output=True, text=True, check=False)
    assert "_GLASSML_COMPLETE=complete_bash" in done.stdout
    assert "--install-completion" in CliRunner().invoke(app, ["--help"]).output


def test_completing_a_command_imports_neither_ovito_nor_numba():
    code = (
        "import sys; from ovito_glassml.cli import app; from typer.main import get_command; get_command(app);"
        "print([name for name in ('ovito', 'numba', 'numpy', 'torch') if name in sys.modules])"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
