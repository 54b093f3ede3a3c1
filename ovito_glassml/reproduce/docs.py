"""What is made from docstrings, parameters and model cards: pages in ``docs``, tables of the README, help in OVITO.

``python -m ovito_glassml.reproduce.docs`` writes them; a test holds them against the code.
"""

from __future__ import annotations

import inspect
import re
import statistics
import textwrap
from collections.abc import Callable, Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from typer.main import get_command

from ovito_glassml.files import write_atomically
from ovito_glassml.learn.card import table_markdown
from ovito_glassml.learn.choice import BY_NAME, CHOSEN
from ovito_glassml.learn.format import ModelHeader, ResultTable, list_models, read_header
from ovito_glassml.learn.stiffness.model import CAGE_STIFFNESS, STIFFNESS
from ovito_glassml.modifiers.registry import MODIFIERS, OVERLAYS, Entry, Modifier, Overlay, by_name
from ovito_glassml.reproduce.scored import Scored, read_scores, scores_page
from ovito_glassml.workflow.reference import Block, help_text, markdown, parameters_of, read_blocks, with_help

__all__ = ["DOCS", "README", "pages", "sources", "with_tables", "write"]

DOCS = Path(__file__).resolve().parents[1] / "docs"
#: Of a checkout; an installed package has none.
README = DOCS.parents[1] / "README.md"
COMMAND = "python -m ovito_glassml.reproduce.docs"
MADE_BY = f"*Written from the code by `{COMMAND}`.*\n"
#: From the pages to the top of a checkout.
UP = "../.."
PICTURES = 3

#: Pages written by hand, and what is in them.
BY_HAND = {
    "limits": "How far to trust a prediction, method by method",
    "materials": "Simulate your own glass with any LAMMPS potential",
    "training": "Train models on your own data, make the data, and study which structure matters",
    "trajectories": "Long trajectories, clusters, and how fast everything is",
    "extending": "Add a modifier of your own",
    "changelog": "What has changed, and what to do if you have used an earlier state",
}
FROM_CODE = {
    "commands": "All commands, with an example of each",
    "models": "All models with their scores on samples that they were not trained on",
    "scores": "Every model on every sample kept aside, in one table",
    "numerics": "The numbers without OVITO: structures, descriptors and models in Python",
    "legend": "A legend on the picture: colors, mean, model and how far to trust it",
}

#: The numeric interface, in the order of its page.
NUMERICS = (
    "structure:Structure",
    "adapter.input:structure_from_data",
    "learn.model:load_model",
    "learn.model:LearnedModel",
    "learn.model:Prediction",
    "learn.stiffness.model:StiffnessPrediction",
    "learn.activity.model:ActivityPrediction",
    "learn.prototypes.model:ScnnPrediction",
    "learn.barcode.model:UlePrediction",
    "descriptors.rdf:RDFDescriptors",
    "descriptors.bessel:BesselDescriptors",
    "descriptors.soap:SOAPDescriptors",
    "descriptors.ace:ACEDescriptors",
    "topology.standard_clusters:LaSCA",
    "labels.nonaffine:local_deformation",
)
#: Methods whose docstrings belong there, too.
METHODS = ("load", "compute", "predict")

#: A second picture on the page of a modifier: file and caption.
ALSO_SHOWN = {
    "lasca": (
        "clusters.png",
        "Standard clusters of a Cu50Zr50 glass, bonds coloured by sub-cluster. Drawn by `glassml figures lasca`.",
    )
}

#: Kind of a model → its modifier.
MODIFIER_OF = {"stiffness": "stiffness", "activity": "activity", "scnn": "scnn", "ule": "ule"}
#: What the one number is that stands for a sample in the README: kind, quantity, column of `Scored`, and words.
SCORE = (
    (
        "stiffness",
        STIFFNESS,
        "correlation",
        "Pearson R with the measured stiffness, atom by atom, in the state of the model",
    ),
    ("stiffness", CAGE_STIFFNESS, "correlation", "the same for the stiffness against the first shell"),
    ("activity", "", "accuracy", "balanced accuracy, clearly active against clearly inactive atoms (0.5 is a coin)"),
    ("scnn", "", "auc", "AUC, the highest fifth of the barriers (0.5 is a coin, about 0.96 the best possible)"),
    ("ule", "", "correlation", "Pearson R with the energies of atoms, less the mean of the species"),
)
EXPLAINED = {
    "stiffness": """
        Glasses of Cu-Zr from 35 to 80 % copper are kept aside, cooled at 10^11 (no model learned from a rate as low),
        10^12 and 10^13 K/s. R is the Pearson correlation of predicted and measured values, atom by atom and of averages
        within 6 Å, in the mean over the glasses and of the worst; the last column is how far the mean of a glass is
        off. The published stiffness was measured for few glasses, since it takes core-hours; the cage stiffness for
        all. `stiffness-cuzr` is the default, `stiffness-cuzr-300k` is for snapshots at 300 K, and
        `stiffness-cuzr-rdf40` is the network as published, taken only by name.""",
    "activity": """
        How many of the active and inactive atoms are recognised (balanced accuracy; half is a coin), every
        configuration judged by a classifier that has not seen it, with standard error, all judged atoms pooled; and the
        AUC on the configurations kept aside. These are about clear cases, of which there are as many active as inactive
        ones. The last four columns are about all atoms of the species in the configurations kept aside: which share of
        them is active, and, with as many atoms called active as there are, how many of these are, by precision, average
        precision (chance gives the rate) and Matthews correlation (chance gives 0). Most atoms of a glass are neither,
        and who of them will move is told far less well.

        The labels of 8 runs are noisy themselves: judged by them, a Kob-Andersen model that gets 0.95 gets 0.89.
        Liquids differ, too: of the two kept aside, `activity-wahnstrom-thermal` has an AUC of 0.98 in one and of 0.68
        in the other. Behind each atom of `activity-ka-thermal` are 32 runs, behind those of the other thermal models 8.
        It was trained on data of h3-Open-BDEC/pyg_botan (Apache-2.0).""",
    "scnn": """
        How well the atoms with the highest fifth of the barriers of a glass are told from the others (AUC; half is a
        coin, labels without noise would allow 1, these allow 0.95 to 0.97); average precision and Matthews correlation
        of the same, with a fifth of the atoms called high (chance: 0.2 and 0). Trained on a glass each of Cu50Zr50,
        Cu64Zr36 and Cu80Zr20 with 1 200 atoms; second glasses are kept aside, in this order. `scnn-cuzr`, the default,
        sees the atom's own species, species-resolved angles and five shells; `scnn-cuzr-264` sees the published 264
        parameters.""",
    "ule": """
        The model learned from 1 120 inherent structures of 32 runs of Zr44Cu56. It is the row *40 environments*; the
        others are other ways to find the energy from the same structures.

        The published way, trees on the fractions of environments, follows the energy along a run but hardly tells one
        run from another, so the shipped model uses similarities. It knows 40 environments, which half of the atoms
        resemble.""",
}


def pages() -> dict[str, str]:
    """All pages that are made from the code: file name → content."""
    made = {f"{entry.name}.md": _modifier_page(entry) for entry in MODIFIERS}
    made |= {f"{entry.name}.md": _overlay_page(entry) for entry in OVERLAYS}
    others = {
        "commands": _commands_page,
        "models": _models_page,
        "numerics": _numerics_page,
        "scores": lambda: f"{scores_page(read_scores())}\n\n{MADE_BY}",
    }
    return made | {"README.md": _index(), **{f"{name}.md": page() for name, page in others.items()}}


def with_tables(readme: str) -> str:
    """The README with its tables made anew, between the marks ``<!-- NAME -->`` and ``<!-- end -->``."""
    for name, table in (("modifiers", _modifier_table("ovito_glassml/docs/")), ("scores", _score_table())):
        before, mark, rest = readme.partition(f"<!-- {name} -->\n")
        after = rest.partition("<!-- end -->")[2]
        readme = f"{before}{mark}\n{table}\n\n<!-- end -->{after}"
    return readme


def sources() -> dict[Path, str]:
    """The files of modifiers and viewport layers with the help that OVITO's panel shows."""
    files = {Path(inspect.getfile(entry.load())): help_text(entry) for entry in (*MODIFIERS, *OVERLAYS)}
    return {file: with_help(file.read_text(encoding="utf-8"), text) for file, text in files.items()}


def write() -> None:
    """Write the pages, help into the sources, and the tables into the README where there is one."""
    DOCS.mkdir(exist_ok=True)
    for file, source in sources().items():
        write_atomically(file, source.encode())
    for name, text in pages().items():
        write_atomically(DOCS / name, text.encode())
    if README.is_file():
        write_atomically(README, with_tables(README.read_text(encoding="utf-8")).encode())


def _modifier_page(entry: Modifier) -> str:
    picture = f"{UP}/sample_data/pictures/gallery/{entry.name}.png"
    session = f"{UP}/sample_data/sessions/{entry.name}.ovito"
    use = [
        f"- in OVITO Pro: *Glass ML: {entry.title}*; a session with it at work: [{entry.name}.ovito]({session})",
        f"- in Python: `from ovito_glassml import {entry.class_name}`",
        f"- on the command line: `glassml apply FILE --modifier {entry.name} -o OUTPUT`",
    ]
    parts = [
        f"# {entry.title} (`{entry.class_name}`, `{entry.name}`)",
        f"Tells {entry.answers}.",
        f"![{entry.title}]({picture})",
        "\n".join(use),
        markdown(read_blocks(entry.load().__doc__ or "")),
        *(
            f"![{text.partition(',')[0]}]({UP}/sample_data/pictures/{file})\n\n*{text}*"
            for file, text in _also_shown(entry)
        ),
        "## Parameters",
        _parameter_table(entry),
        f"[All modifiers](README.md) · [models and their scores](models.md) · [how far to trust them](limits.md)\n\n"
        f"{MADE_BY}",
    ]
    return "\n\n".join(parts)


def _overlay_page(entry: Overlay) -> str:
    session, shown = f"{UP}/sample_data/sessions/{entry.name}.ovito", by_name()[entry.shown_with].title
    code = [
        "from ovito.vis import PythonViewportOverlay",
        f"from ovito_glassml import {entry.class_name}",
        "",
        f"viewport.overlays.append(PythonViewportOverlay(delegate={entry.class_name}()))",
    ]
    use = [
        f"- in OVITO Pro: the layer *Glass ML: {entry.title}* of a viewport; a session with it and *{shown}*: "
        f"[{entry.name}.ovito]({session})",
        "- in Python:",
    ]
    parts = [
        f"# {entry.title} (`{entry.class_name}`)",
        f"Tells {entry.answers}.",
        f"![{entry.title}]({UP}/sample_data/pictures/gallery/{entry.name}.png)",
        "\n".join(use),
        "\n".join(["```python", *code, "```"]),
        markdown(read_blocks(entry.load().__doc__ or "")),
        "## Parameters",
        _parameter_table(entry),
        f"[All modifiers](README.md)\n\n{MADE_BY}",
    ]
    return "\n\n".join(parts)


def _also_shown(entry: Modifier) -> list[tuple[str, str]]:
    return [ALSO_SHOWN[entry.name]] if entry.name in ALSO_SHOWN else []


def _parameter_table(entry: Entry) -> str:
    rows = [("In OVITO", "In Python, `--set`", "Default", "Allowed", "What it is"), ("---",) * 5]
    for one in parameters_of(entry):
        rows.append((one.label, f"`{one.name}`", one.default, one.values or "", one.text))
    return _table(rows)


def _table(rows: Sequence[tuple[str, ...]]) -> str:
    cells = [[cell.replace("``", "`").replace("|", "\\|") for cell in row] for row in rows]
    return "\n".join("| " + " | ".join(row) + " |" for row in cells)


def _modifier_table(folder: str) -> str:
    rows: list[tuple[str, ...]] = [("modifier", "short name", "class", "tells"), ("---",) * 4]
    for one in _descriptors_last():
        rows.append((f"[{one.title}]({folder}{one.name}.md)", f"`{one.name}`", f"`{one.class_name}`", one.answers))
    return _table(rows)


def _descriptors_last() -> list[Modifier]:
    return sorted(MODIFIERS, key=lambda one: one.module.endswith("_descriptors"))


def _index() -> str:
    """The list of pages, with a picture of every modifier."""
    pictures = [
        f"![{one.title}]({UP}/sample_data/pictures/gallery/{one.name}.png)<br>[{one.title}]({one.name}.md)"
        for one in _descriptors_last()
    ]
    grid = [tuple(pictures[first : first + PICTURES]) for first in range(0, len(pictures), PICTURES)]
    shown = (
        "Slices of two layers of atoms: a Cu50Zr50 glass, a Zr44Cu56 glass (barcode), a plastic event in a sheared "
        "Kob-Andersen glass as predicted from the structure before it and as it came, and 100 ps of molecular dynamics "
        "at 300 K. All drawn, with their numbers as CSV, by `glassml figures gallery --output figures`."
    )
    layers = [
        f"![{one.title}]({UP}/sample_data/pictures/gallery/{one.name}.png)\n\n[{one.title}]({one.name}.md): "
        f"{one.answers}."
        for one in OVERLAYS
    ]
    listed = "\n".join(f"- [{text}]({name}.md)" for name, text in (FROM_CODE | BY_HAND).items())
    parts = [
        "# Reference of ovito-glassml",
        f"[Back to the first page]({UP}/README.md). The same in a terminal: `glassml modifiers show NAME`.",
        listed,
        "## Modifiers",
        _modifier_table(""),
        "## What they show",
        shown,
        _table([("",) * PICTURES, ("---",) * PICTURES, *grid]),
        "## Viewport layers",
        *layers,
        MADE_BY,
    ]
    return "\n\n".join(parts)


def _headers(kind: str) -> dict[str, ModelHeader]:
    return {name: header for name in list_models() if (header := read_header(name)).kind == kind}


def _tables(header: ModelHeader, *words: str) -> list[ResultTable]:
    """Those of a card whose titles contain all the words."""
    return [table for table in header.results if all(word in table.title for word in words)]


def _score_table() -> str:
    """For each method the median and the worst of the samples kept aside."""
    heads = ("method", "score", "models", "samples", "median", "worst", "at the true rate of events")
    rows: list[tuple[str, ...]] = [heads, ("---",) * len(heads)]
    for kind, quantity, column, words in SCORE:
        names = {name for name, header in _headers(kind).items() if header.training.get(CHOSEN) != BY_NAME}
        judged = [row for row in read_scores() if row.model in names and row.expected == "yes"]
        chosen = [row for row in judged if quantity in ("", row.predicts)]
        values = [getattr(row, column) for row in chosen]
        worst = chosen[values.index(min(values))]
        shown = f"{min(values):.2f} (`{worst.model}`, {worst.composition})"
        count = len({row.sample for row in chosen}), len({row.model for row in chosen})
        method = quantity.capitalize() or by_name()[MODIFIER_OF[kind]].title
        rate = _at_true_rate(chosen)
        rows.append((method, words, str(count[1]), str(count[0]), f"{statistics.median(values):.2f}", shown, rate))
    return _table(rows)


def _at_true_rate(rows: Sequence[Scored]) -> str:
    """Medians of the scores that do not flatter rare events."""
    columns = ("events", "precision", "average_precision", "mcc")
    values = [[value for row in rows if (value := getattr(row, column)) is not None] for column in columns]
    if not values[0]:
        return ""
    rate, precision, average, matthews = (f"{statistics.median(column):.2f}" for column in values)
    return f"precision {precision}, average precision {average} (chance {rate}), MCC {matthews} (chance 0)"


def _models_page() -> str:
    parts = [
        "# Models and their scores",
        "All scores are for whole samples that a model was not trained on. `glassml models` lists the models, "
        "`glassml models show NAME` prints the card of one: how its data were made, all scores, limits, references. "
        "What the numbers mean for your own glass is in [How far to trust a prediction](limits.md).",
    ]
    for kind, table in _MODEL_TABLES.items():
        headers, entry = _headers(kind), by_name()[MODIFIER_OF[kind]]
        paragraphs = inspect.cleandoc(EXPLAINED[kind]).split("\n\n")
        parts += [f"## {entry.title}", f"Modifier: [{entry.title}]({entry.name}.md)."]
        parts += [" ".join(paragraphs[0].split()), table(headers)]
        parts += [" ".join(paragraph.split()) for paragraph in paragraphs[1:]]
        if kind == "stiffness":
            parts.append(f"![Measured against predicted stiffness]({UP}/sample_data/pictures/parity.png)")
            parts.append("*The three glasses kept aside. Drawn by `glassml figures stiffness`.*")
    return "\n\n".join([*parts, MADE_BY])


def _card(name: str) -> str:
    return f"[`{name}`](../models/{name}.md)"


def _two(values: list[float]) -> str:
    return ", ".join(f"{value:.2f}" for value in values)


def _stiffness_table(headers: dict[str, ModelHeader]) -> str:
    heads = ("model", "predicts", "shown", "glasses", "R by atom, worst", "R within 6 Å, worst", "mean off by, worst")
    rows: list[tuple[str, ...]] = [heads, ("---",) * len(heads)]
    for name, header in headers.items():
        for table in [*_tables(header, "This model on samples kept aside"), *_tables(header, "Held-out samples")]:
            what = "cage stiffness" if "cage" in table.title else "stiffness"
            shown = "snapshots at 300 K" if "300 K" in table.title else "inherent structures"
            by_atom, coarse = ([row[column] for row in table.rows] for column in (1, 2))
            off = [abs(float(str(row[3]).removesuffix(" %"))) for row in table.rows]
            scores = (_two([statistics.mean(values), min(values)]) for values in (by_atom, coarse))
            means = f"{statistics.mean(off):.1f} %, {max(off):.1f} %"
            rows.append((_card(name), what, shown, str(len(off)), *scores, means))
    return _table(rows)


def _activity_table(headers: dict[str, ModelHeader]) -> str:
    names = ("AUC", "rate of events", "precision", "average precision", "MCC")
    heads = ("model", "tells", "trained on", "balanced accuracy", *names)
    rows: list[tuple[str, ...]] = [heads, ("---",) * len(heads)]
    for name, header in headers.items():
        *_, accuracy, error = _tables(header, "left out in turn")[0].rows[0]
        aside = _tables(header, "kept aside, inherent")[0]
        mean = dict(zip(aside.columns, aside.rows[-1], strict=True))
        samples = f"{len(header.training['samples'])} configurations"
        numbers = (f"{mean[column]:.2f}" for column in names)
        rows.append((_card(name), header.title, samples, f"{accuracy:.2f} ± {error:.2f}", *numbers))
    return _table(rows)


def _prototype_table(headers: dict[str, ModelHeader]) -> str:
    others = "every glass left out in turn", "a network without prototypes"
    heads = ("model", "kept aside", "average precision", "MCC", *others)
    rows: list[tuple[str, ...]] = [heads, ("---",) * len(heads)]
    for name, header in headers.items():
        aside = _tables(header, "This model on samples kept aside")[0]
        scores = (
            _two([row[aside.columns.index(column)] for row in aside.rows])
            for column in ("AUC", "average precision", "MCC")
        )
        mean = _tables(header, "left out in turn")[0].rows[-1]
        rows.append((_card(name), *scores, f"{mean[1]:.2f}", f"{mean[2]:.2f}"))
    return _table(rows)


def _energy_table(headers: dict[str, ModelHeader]) -> str:
    ((name, header),) = headers.items()
    (energies,) = _tables(header, "Energies of annealed runs")
    (atoms,) = _tables(header, "Energies of atoms")
    correlation = " and ".join(f"{row[-1]:.2f} for {row[0]}" for row in atoms.rows)
    return (
        f"{_card(name)}\n\n{table_markdown(energies)}\n\nEnergies of single atoms have a correlation of {correlation} "
        "with those that the potential gives them."
    )


_MODEL_TABLES: dict[str, Callable[[dict[str, ModelHeader]], str]] = {
    "stiffness": _stiffness_table,
    "activity": _activity_table,
    "scnn": _prototype_table,
    "ule": _energy_table,
}


def _numerics_page() -> str:
    parts = [
        "# Numbers without OVITO",
        "Every method is a function of a `Structure`: positions, species and cell, checked once. Results are NumPy "
        "arrays with one row for each selected atom. The examples can be typed one after the other, in a checkout of "
        "the repository; a test does.",
        *(_object_page(place) for place in NUMERICS),
        MADE_BY,
    ]
    return "\n\n".join(parts)


#: What holds for every command.
_COMMANDS = """\
All options of a command are shown by `--help` behind its name, and `--quiet` leaves its bar out, as for a log.
A command that is stopped by Ctrl-C says whether the same command goes on where it was. `glassml --install-completion`
teaches your shell to complete commands and options."""


def _commands_page() -> str:
    parts = ["# Commands", _COMMANDS]
    app = import_module("ovito_glassml.cli").app  # by name, since the commands stand above what they call
    for name, command in _commands("glassml", get_command(app)):
        first, *others = (inspect.getdoc(command.callback) or "").split("\n\n")
        examples = [text.removeprefix("Example: ") for text in others if text.startswith("Example: ")]
        parts += [f"## `{name}`", " ".join(first.split())]
        parts += [f"```\n{' '.join(example.split())}\n```" for example in examples]
    return "\n\n".join([*parts, MADE_BY])


def _commands(name: str, command: Any) -> Iterator[tuple[str, Any]]:
    """A command and those below it, without groups that do nothing themselves."""
    below = getattr(command, "commands", {})
    if not below or command.invoke_without_command:
        yield name, command
    for word, inner in below.items():
        yield from _commands(f"{name} {word}", inner)


def _object_page(place: str) -> str:
    """Signature and docstring of a class or function, and of a class's main methods."""
    module, _, name = place.partition(":")
    thing = getattr(import_module(f"ovito_glassml.{module}"), name)
    parts = [f"## `{name}`", f"`from ovito_glassml.{module} import {name}`", *_sections(thing.__doc__ or "")]
    for method in METHODS if inspect.isclass(thing) else ():
        if method in vars(thing):
            parts += [f"### `{name}.{method}`", *_sections(getattr(thing, method).__doc__ or "")]
    return "\n\n".join(parts)


def _sections(docstring: str) -> Iterator[str]:
    """A docstring in NumPy's style as Markdown."""
    first, *others = re.split(r"(?m)^(\w[\w ]*)\n-+\n", inspect.cleandoc(docstring))
    yield markdown(_prose(first))
    for title, body in zip(others[::2], others[1::2], strict=True):
        yield f"**{title}**"
        yield markdown(_prose(body) if title in ("Examples", "Notes", "References") else list(_entries(body)))


def _prose(text: str) -> list[Block]:
    return [block for block in read_blocks(text.strip()) if block.text.strip(":")]


def _entries(body: str) -> Iterator[Block]:
    """Entries ``name : type`` with a text below."""
    for entry in re.split(r"(?m)^(?=\S)", body.strip()):
        if entry.strip():
            head, _, text = entry.partition("\n")
            name, _, kind = head.partition(" : ")
            said = " ".join(textwrap.dedent(text).split())
            is_sentence = not kind and head.endswith(".")
            title = f"`{name}`" + (f" ({kind})" if kind else "")
            yield Block("text", head) if is_sentence else Block("item", title + (f": {said}" if said else ""))


def main(*arguments: Any) -> None:
    """Write everything."""
    write()
    print(f"Wrote {len(pages())} pages to {DOCS}.")


if __name__ == "__main__":
    main()
