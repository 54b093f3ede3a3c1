"""What the README and the pages behind it say is so: parameters, scores, commands and links."""

import csv
import re
from pathlib import Path

import numpy as np
import pytest
import typer
from ovito.pipeline import FileSource

from ovito_glassml.cli import app
from ovito_glassml.learn.choice import BY_NAME, CHOSEN
from ovito_glassml.learn.format import list_models, read_header
from ovito_glassml.modifiers.registry import MODIFIERS

ROOT = Path(__file__).parents[1]
PAGES = {
    file.relative_to(ROOT).as_posix(): file.read_text(encoding="utf-8")
    for file in [ROOT / "README.md", *sorted((ROOT / "ovito_glassml" / "docs").glob("*.md"))]
}
README = PAGES["README.md"]
MODELS = PAGES["ovito_glassml/docs/models.md"]
COMMANDS = sorted(
    {
        line.strip()
        for text in PAGES.values()
        for block in re.findall(r"(?ms)^```\w*\n(.*?)^```$", text)
        for line in block.replace("\\\n", " ").splitlines()
        if line.strip().startswith("glassml ")
    }
)
#: A kilobyte as file managers count it.
KILOBYTE = 1000
#: How tables of stiffness models begin whose scores are in the page.
TITLES = ("This model on samples kept aside", "Held-out samples")
#: Two decimals of a number that the card has with three.
ROUNDED = 0.0051


def rows(text):
    """Cells of all table rows."""
    lines = [line.strip("|") for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)] for line in lines]


def of_kind(kind):
    """Name and cells of each row about a model in the page of all models."""
    named = ((re.match(r"\[`(.*?)`\]", cells[0]), cells) for cells in rows(MODELS))
    return [(name[1], cells) for name, cells in named if name and name[1].startswith(f"{kind}-")]


def numbers(cell):
    """All numbers of a table cell."""
    return [float(number) for number in re.findall(r"[\d.]+", cell)]


@pytest.mark.parametrize("entry", MODIFIERS, ids=lambda entry: entry.name)
def test_every_parameter_is_listed_with_its_label_and_default(entry):
    modifier, text = entry.load()(), PAGES[f"ovito_glassml/docs/{entry.name}.md"]
    assert text.startswith(f"# {entry.title} (`{entry.class_name}`, `{entry.name}`)\n")
    listed = {cells[1].strip("`"): cells for cells in rows(text) if len(cells) == 5}
    assert set(listed) == {*modifier.editable_traits(), "In Python, `--set", "---"}
    for name in modifier.editable_traits():
        assert listed[name][0] == modifier.trait(name).label, name
        default = listed[name][2].replace("`", "").replace("'", '"')
        value = getattr(modifier, name)
        shown = "none" if isinstance(value, FileSource) else f'"{value}"' if isinstance(value, str) else str(value)
        assert re.match(rf"{re.escape(shown)}($|[,:]| [(])", default), name


def test_the_readme_names_every_modifier_and_stays_short():
    for entry in MODIFIERS:
        assert (
            f"| [{entry.title}](ovito_glassml/docs/{entry.name}.md) | `{entry.name}` | `{entry.class_name}` |" in README
        )
    assert len(README.encode()) <= 15 * KILOBYTE


def test_the_scores_of_the_readme_are_medians_and_worst_of_all_samples_kept_aside():
    """In the state that a model was made for; recomputed from the file of scores."""
    with open(ROOT / "ovito_glassml" / "reproduce" / "scores.csv", newline="", encoding="utf-8") as file:
        judged = [row for row in csv.DictReader(file) if row["expected"] == "yes"]
    by_name = {name for name in list_models() if read_header(name).training.get(CHOSEN) == BY_NAME}
    stored = [row for row in judged if row["model"] not in by_name]
    listed = {cells[0]: cells for cells in rows(README) if len(cells) == 7}
    columns = {
        "Predicted stiffness": ("stiffness-", "correlation"),
        "Predicted cage stiffness": ("stiffness-", "correlation"),
        "Predicted activity": ("activity-", "accuracy"),
        "Prototype similarity": ("scnn-", "auc"),
        "ULE barcode": ("ule-", "correlation"),
    }
    for method, (prefix, column) in columns.items():
        own = [row for row in stored if row["model"].startswith(prefix)]
        if prefix == "stiffness-":
            own = [row for row in own if row["predicts"].capitalize() == method]
        _, _, models, samples, median, worst, at_true_rate = listed[method]
        assert int(models) == len({row["model"] for row in own})
        assert int(samples) == len({row["sample"] for row in own})
        least = min(own, key=lambda row: float(row[column]))
        assert float(median) == pytest.approx(np.median([float(row[column]) for row in own]), abs=ROUNDED)
        assert numbers(worst.partition(" (")[0]) == pytest.approx([float(least[column])], abs=ROUNDED)
        assert least["model"] in worst
        assert least["composition"] in worst
        if own[0]["mcc"]:
            wanted = [
                np.median([float(row[name]) for row in own])
                for name in ("precision", "average_precision", "events", "mcc")
            ]
            assert numbers(at_true_rate)[:4] == pytest.approx(wanted, abs=ROUNDED)


def test_the_scores_of_activity_models_are_those_of_their_cards():
    scores = dict(of_kind("activity"))
    assert set(scores) == {name for name in list_models() if name.startswith("activity-")}
    for name, (_, _, made_from, accuracy, auc, rate, *at_true_rate) in scores.items():
        header = read_header(name)
        (own,) = [table for table in header.results if "kept aside, inherent" in table.title]
        (left_out,) = [table for table in header.results if table.title.startswith("All ")]
        assert numbers(accuracy) == pytest.approx([float(cell) for cell in left_out.rows[0][2:4]], abs=ROUNDED), name
        mean = dict(zip(own.columns, own.rows[-1], strict=True))
        assert numbers(auc) + numbers(rate) == pytest.approx([mean["AUC"], mean["rate of events"]], abs=ROUNDED), name
        wanted = [mean[column] for column in ("precision", "average precision", "MCC")]
        assert [float(cell) for cell in at_true_rate] == pytest.approx(wanted, abs=ROUNDED), name
        assert int(re.search(r"\d+", made_from)[0]) == len(header.training["samples"]), name


def test_the_scores_of_stiffness_models_are_those_of_their_cards():
    found = of_kind("stiffness")
    assert {name for name, _ in found} == {name for name in list_models() if name.startswith("stiffness-")}
    for name, (_, what, shown, glasses, by_atom, coarse, mean) in found:
        tables = [table for table in read_header(name).results if table.title.startswith(TITLES)]
        (table,) = [
            table
            for table in tables
            if ("cage" in table.title) == ("cage" in what) and ("300 K" in table.title) == ("300 K" in shown)
        ]
        assert int(glasses) == len(table.rows)
        for cell, column in ((by_atom, 1), (coarse, 2)):
            values = [float(row[column]) for row in table.rows]
            assert numbers(cell) == pytest.approx([np.mean(values), min(values)], abs=ROUNDED)
        off = [abs(float(str(row[3]).removesuffix(" %"))) for row in table.rows]
        assert numbers(mean) == pytest.approx([np.mean(off), max(off)], abs=0.051)


def test_the_errors_of_energies_are_those_of_the_card():
    title = "Energies of annealed runs never trained on"
    (table,) = (one for one in read_header("ule-zr44cu56").results if one.title == title)
    listed = {cells[0]: cells for cells in rows(MODELS.split("## ULE barcode")[1])}
    for method, error, _, explained in table.rows:
        _, shown_error, _, shown_explained = listed[method]
        assert numbers(shown_error) == pytest.approx([error], abs=ROUNDED), method
        assert float(shown_explained.replace("−", "-")) == pytest.approx(explained, abs=ROUNDED), method


def test_the_correlation_of_energies_of_atoms_is_that_of_the_card():
    (table,) = (one for one in read_header("ule-zr44cu56").results if one.title.startswith("Energies of atoms"))
    (shown,) = re.findall(r"Energies of single atoms have a correlation of (0\.\d+ for Cu and 0\.\d+) for Zr", MODELS)
    assert numbers(shown) == pytest.approx([row[-1] for row in table.rows], abs=ROUNDED)


def test_the_scores_of_prototype_models_are_those_of_their_cards():
    found = dict(of_kind("scnn"))
    assert set(found) == {name for name in list_models() if name.startswith("scnn-")}
    for name, (_, aside, precision, matthews, left_out, plain) in found.items():
        tables = {table.title: table.rows for table in read_header(name).results}
        own, mean = tables["This model on samples kept aside"], tables["Every sample left out in turn"][-1]
        assert numbers(aside) == pytest.approx([float(row[1]) for row in own], abs=ROUNDED), name
        assert numbers(precision) + numbers(matthews) == pytest.approx([r[k] for k in (3, 4) for r in own], abs=ROUNDED)
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


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    text, folder = PAGES[page], (ROOT / page).parent
    anchors = {re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-") for line in re.findall(r"(?m)^#+ (.*)$", text)}
    for target in re.findall(r"\]\((?!http)([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in anchors, target
        else:
            assert (folder / target).exists(), target
