"""What the README says is so: parameters, scores, commands and links."""

import re
from pathlib import Path

import pytest
import typer
from ovito.pipeline import FileSource

from ovito_glassml.cli import app
from ovito_glassml.learn.format import list_models, read_header
from ovito_glassml.modifiers.registry import MODIFIERS

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"(?ms)^```\w*\n(.*?)^```$", TEXT)
COMMANDS = [
    line.strip()
    for block in BLOCKS
    for line in block.replace("\\\n", " ").splitlines()
    if line.strip().startswith("glassml ")
]
#: Two decimals of a number that the card has with three.
ROUNDED = 0.0051


def section(heading):
    """Text below a heading, up to the next one of the same level."""
    level = heading.split(" ")[0]
    return TEXT.split(f"\n{heading}", 1)[1].split(f"\n{level} ", 1)[0]


def rows(text):
    """Cells of all table rows."""
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]


def numbers(cell):
    """All numbers of a table cell."""
    return [float(number) for number in re.findall(r"[\d.]+", cell)]


@pytest.mark.parametrize("entry", MODIFIERS, ids=lambda entry: entry.name)
def test_every_parameter_is_listed_with_its_label_and_default(entry):
    modifier = entry.load()()
    (heading,) = re.findall(rf"(?m)^(### .*\(`{entry.class_name}`, `{entry.name}`\))$", TEXT)
    listed = {cells[1].strip("`"): cells for cells in rows(section(heading)) if len(cells) == 4}
    for name in modifier.editable_traits():
        assert listed[name][0] == modifier.trait(name).label, name
        default = listed[name][3].split(":")[0].strip("`").replace("'", '"')
        value = getattr(modifier, name)
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        assert default == ("none" if isinstance(value, FileSource) else shown), name


def test_the_scores_of_activity_models_are_those_of_their_cards():
    scores = {cells[0].strip("`"): cells for cells in rows(section("## Models")) if cells[0].startswith("`activity-")}
    assert set(scores) == {name for name in list_models() if name.startswith("activity-")}
    for name, (_, made_from, accuracy, auc) in scores.items():
        header = read_header(name)
        (own,) = [table for table in header.results if "kept aside, inherent" in table.title]
        (left_out,) = [table for table in header.results if table.title.startswith("All ")]
        assert numbers(accuracy) == pytest.approx([float(cell) for cell in left_out.rows[0][2:4]], abs=ROUNDED), name
        assert numbers(auc) == pytest.approx([float(own.rows[-1][4])], abs=ROUNDED), name
        assert int(re.search(r"\d+", made_from)[0]) == len(header.training["samples"]), name


def test_the_scores_of_stiffness_models_are_those_of_their_cards():
    found = [cells for cells in rows(section("## Models")) if cells[0].startswith("`stiffness-")]
    assert {re.match("`(.*?)`", cells[0])[1] for cells in found} <= set(list_models())
    for name, shown, by_atom, coarse, mean in found:
        header = read_header(re.match("`(.*?)`", name)[1])
        state = "300 K" if "300 K" in shown else "inherent"
        (table,) = [table for table in header.results if "kept aside" in table.title and state in table.title]
        assert numbers(by_atom) == pytest.approx([float(row[1]) for row in table.rows], abs=ROUNDED)
        assert numbers(coarse) == pytest.approx([float(row[2]) for row in table.rows], abs=ROUNDED)
        assert mean == ", ".join(str(row[3]).replace("-", "−") for row in table.rows)


def test_the_errors_of_energies_are_those_of_the_card():
    title = "Energies of annealed runs never trained on"
    (table,) = (one for one in read_header("ule-zr44cu56").results if one.title == title)
    listed = {cells[0].split(" (")[0]: cells for cells in rows(section("## Models")) if len(cells) == 3}
    for method, error, _, explained in table.rows:
        _, shown_error, shown_explained = listed[method]
        assert numbers(shown_error) == pytest.approx([error], abs=ROUNDED), method
        assert float(shown_explained.replace("−", "-")) == pytest.approx(explained, abs=ROUNDED), method


def test_the_correlation_of_energies_of_atoms_is_that_of_the_card():
    (table,) = (one for one in read_header("ule-zr44cu56").results if one.title.startswith("Energies of atoms"))
    (shown,) = re.findall(r"Energies of single atoms have a correlation of (0\.\d+)", section("## Models"))
    for row in table.rows:
        assert float(shown) == pytest.approx(row[-1], abs=ROUNDED)


def test_the_scores_of_prototype_models_are_those_of_their_cards():
    found = {cells[0].split(" ")[0].strip("`"): cells for cells in rows(section("## Models")) if "`scnn-" in cells[0]}
    assert set(found) == {name for name in list_models() if name.startswith("scnn-")}
    for name, (_, _, aside, left_out, plain) in found.items():
        tables = {table.title: table.rows for table in read_header(name).results}
        own, mean = tables["This model on samples kept aside"], tables["Every sample left out in turn"][-1]
        assert numbers(aside) == pytest.approx([float(row[1]) for row in own], abs=ROUNDED), name
        assert numbers(left_out) + numbers(plain) == pytest.approx([float(cell) for cell in mean[1:3]], abs=ROUNDED)


def test_there_are_commands_to_check():
    assert len(COMMANDS) > 15


@pytest.mark.parametrize("line", COMMANDS)
def test_commands_exist_with_the_options_given(line):
    command, words = typer.main.get_command(app), line.split("#")[0].split()[1:]
    while words and hasattr(command, "commands"):
        command = command.commands[words.pop(0)]
    options = {option for parameter in command.params for option in parameter.opts}
    for word in words:
        if word.startswith("-") and not re.fullmatch(r"-?\d.*", word):
            assert word in options, word


def test_links_lead_somewhere():
    anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", TEXT)}
    for target in re.findall(r"\]\((?!http)([^)]+)\)", TEXT):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (ROOT / target).exists(), target
