"""The summary of a task: what the material is, how good the models are, and what to trust, with pictures."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from ovito.data import DataCollection

from ovito_glassml.adapter.files import annotate
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.files import write_atomically
from ovito_glassml.learn.card import table_markdown
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.format import ResultTable, read_header
from ovito_glassml.modifiers.registry import by_name
from ovito_glassml.progress import Report
from ovito_glassml.topology.length_scale import nearest_neighbour_distance
from ovito_glassml.workflow.comparison import Scene, draw_comparison
from ovito_glassml.workflow.learn.folder import Folder
from ovito_glassml.workflow.learn.methods import LEARNERS, Task, name_of
from ovito_glassml.workflow.plotting import COLOURS, new_axes, save_figure

__all__ = ["Made", "write_summary"]

#: Correlations from which a map of single atoms, and one of regions, is worth looking at.
GOOD, FAIR = 0.8, 0.6


@dataclass(frozen=True)
class Made:
    """A model of a task, what it learned from, its learning curve, and the core seconds of its training."""

    method: str
    model: Path
    task: Task
    curve: dict[str, list[float]]
    seconds: float


def write_summary(
    folder: Folder, name: str, found: dict[str, Any] | None, made: Sequence[Made], report: Report
) -> list[str]:
    """Write ``summary.md`` and its pictures; lines that tell a user what there is.

    Parameters
    ----------
    folder : Folder
    name : str
        Of the material.
    found : dict or None
        What its check found.
    made : sequence of Made
    report : callable
        Fraction and text.
    """
    folder.pictures.mkdir(exist_ok=True)
    sections = [f"# {name}: what was learned", _spent(folder, made), *_material(folder, found)]
    remarks: list[str] = []
    for number, one in enumerate(made):
        report(number / len(made), f"drawing {one.method}")
        data, file = _applied(folder, one)
        sections += [f"## {one.method.capitalize()}", *_tables(one), *_curve(folder, one)]
        sections += [*_parity(folder, one, data), *_picture(folder, one, data)]
        sections += ["**What to trust.** " + _trust(one, data)]
        sections += [f"Model: `{one.model.relative_to(folder.path)}`, its card beside it. The glass left out with what "
                     f"the model says of it: `{file.relative_to(folder.path)}`, to be opened in OVITO."]  # fmt: skip
        remarks.append(f"{one.method}: {_headline(one)}; model {one.model}")
    sections += ["## Use", f"`glassml models add {folder.path}` makes the models known to the modifiers in OVITO.",
                 "`glassml learn learn.toml -o NEW` repeats everything in another folder."]  # fmt: skip
    write_atomically(folder.summary, ("\n\n".join(sections) + "\n").encode())
    return [
        *remarks,
        f"Read {folder.summary}; its pictures lie in {folder.pictures}.",
        f"Make the models known to the modifiers in OVITO with: glassml models add {folder.path}",
    ]


def _spent(folder: Folder, made: Sequence[Made]) -> str:
    """Not on the cards: equal tasks make equal models."""
    timings = [json.loads(file.read_text()) for file in folder.data.glob("*.timing.json")]
    hours = sum(one["core_seconds"] for one in timings) / 3600
    training = sum(one.seconds for one in made) / 60
    return f"{len(timings)} simulations took {hours:.2g} core-hours, training {training:.2g} core-minutes."


def _material(folder: Folder, found: dict[str, Any] | None) -> list[str]:
    if found is None:
        return []
    rows = tuple((what, text) for what, text in found["found"])
    figure, axis = new_axes(5.2, 3.6)
    axis.plot(found["temperatures"], found["energies"], "o-", color=COLOURS[0])
    axis.axvline(found["transition"], color="0.5", linestyle="--", label="glass transition of this quench")
    axis.set(xlabel=f"temperature ({found['temperature_unit']})", ylabel=_of_minima(found["energy_unit"]))
    axis.legend(frameon=False)
    save_figure(figure, folder.pictures / "material.png")
    return ["## Material", table_markdown(ResultTable("Check of the material", ("what", "found"), rows)),
            "![Energy of inherent structures on the way down](pictures/material.png)"]  # fmt: skip


def _of_minima(unit: str) -> str:
    return f"energy of inherent structures ({unit}/atom)"


def _applied(folder: Folder, made: Made) -> tuple[DataCollection, Path]:
    """The glass left out, as OVITO shows it with the model, and the file that holds it."""
    entry = by_name()[LEARNERS[made.method].modifier]
    modifier = entry.load()(model=str(made.model), species=made.task.species)
    file = folder.path / f"left-out-{made.method}.xyz.gz"
    frames: list[DataCollection] = []
    with TemporaryDirectory() as scratch:
        source = made.task.aside[-1]
        if draws := LEARNERS[made.method].draws:
            source = Path(scratch) / f"{name_of(source)}.xyz.gz"
            draws(made.task, source)
        annotate([source], [modifier], file, frames=slice(-1, None),
                 on_frame=lambda done, total, data: frames.append(data))  # fmt: skip
    return frames[0], file


def _tables(made: Made) -> list[str]:
    return [table_markdown(table) for table in read_header(made.model).results]


def _curve(folder: Folder, made: Made) -> list[str]:
    scores = {name: values for name, values in made.curve.items() if name not in ("glasses", "atoms")}
    if not scores:
        return []
    figure, axis = new_axes(5.2, 3.6)
    for colour, (name, values) in zip(COLOURS, scores.items(), strict=False):
        axis.plot(made.curve["atoms"], values, "o-", color=colour, label=name)
    axis.set(xlabel="atoms learned from", ylabel="Pearson R on the glass left out", xscale="log")
    axis.legend(frameon=False)
    save_figure(figure, folder.pictures / f"{made.method}-curve.png")
    rows = tuple(zip(*made.curve.values(), strict=True))
    return [table_markdown(ResultTable("Learning curve", tuple(made.curve), rows)),
            f"![Learning curve](pictures/{made.method}-curve.png)"]  # fmt: skip


def _pairs(made: Made, data: DataCollection) -> list[tuple[str, str, str]]:
    """Measured column, predicted column and what they are, of all that were both measured and predicted."""
    panels = LEARNERS[made.method].panels
    if made.task.labels and LEARNERS[made.method].draws is None:
        panels = ((made.task.labels, panels[0][1], panels[0][2]), *panels[1:])
    there = set(data.particles)
    return [(true, seen, what) for true, seen, what in panels if true in there and seen in there]


def _parity(folder: Folder, made: Made, data: DataCollection) -> list[str]:
    pairs, unit = _pairs(made, data), read_header(made.model).output["unit"]
    if not pairs:
        return []
    figure, axes = new_axes(4.2 * len(pairs), 4.2, 1, len(pairs), squeeze=False)
    types = data.particles.particle_types
    for axis, (true, seen, what) in zip(axes[0], pairs, strict=True):
        measured, predicted = np.asarray(data.particles[true]), np.asarray(data.particles[seen])
        both = np.isfinite(measured) & np.isfinite(predicted)
        for colour, kind in zip(COLOURS, types.types, strict=False):
            chosen = both & (np.asarray(types) == kind.id)
            if chosen.any():
                axis.plot(measured[chosen], predicted[chosen], ".", markersize=3, color=colour, label=kind.name)
        ends = [np.min([measured[both], predicted[both]]), np.max([measured[both], predicted[both]])]
        axis.plot(ends, ends, color="0.4", linewidth=1)
        axis.set(xlabel=f"measured {what} ({unit})", ylabel=f"predicted {what} ({unit})",
                 title=f"R = {pearson(measured[both], predicted[both]):.2f}")  # fmt: skip
    axes[0, 0].legend(frameon=False, markerscale=4)
    save_figure(figure, folder.pictures / f"{made.method}-parity.png")
    return [f"![Predicted over measured, the glass left out](pictures/{made.method}-parity.png)"]


def _picture(folder: Folder, made: Made, data: DataCollection) -> list[str]:
    """The glass left out in colours: measured and predicted where both are known."""
    pairs, unit = _pairs(made, data), read_header(made.model).output["unit"]
    structure = structure_from_data(data, species=made.task.species)
    if pairs:
        true, seen, what = pairs[-1]
        panels = [(true, f"measured {what}"), (seen, f"predicted {what}")]
    else:
        _, seen, what = LEARNERS[made.method].panels[0]
        panels = [(seen, what)]
    length = "Å" if made.task.units.length == "angstrom" else "σ"
    scene = Scene(panels, f"{what} ({unit})", nearest_neighbour_distance(structure), length)
    draw_comparison(data, folder.pictures / f"{made.method}-glass.png", scene)
    return [f"![The glass left out, dark is low and bright is high](pictures/{made.method}-glass.png)"]


# ---------------------------------------------------------------------- words


def _scores_of(made: Made) -> dict[str, float]:
    """The last point of each learning curve."""
    return {name: values[-1] for name, values in made.curve.items() if name not in ("glasses", "atoms")}


def _headline(made: Made) -> str:
    if scores := _scores_of(made):
        return ", ".join(f"{name} {value:.2f}" for name, value in scores.items()) + " on the glass left out"
    table = read_header(made.model).results[-1 if made.method == "barcode" else 0]
    cells = zip(table.columns[1:], table.rows[0][1:], strict=True)
    return ", ".join(f"{name} {value:.2f}" for name, value in cells if isinstance(value, float))


def _trust(made: Made, data: DataCollection) -> str:
    said = []
    if scores := _scores_of(made):
        best = max(scores.values())
        if best >= GOOD:
            said.append("Maps of single atoms can be read: which are softer and which are stiffer is mostly right.")
        elif best >= FAIR:
            said.append("Read maps by regions of some ten atoms; single atoms are right more often than not.")
        else:
            said.append("Too little was learned to read a map; make more glasses with a larger --size or --budget.")
        said += [f"More glasses would still help: {text}." for text in _still_rising(made)]
    else:
        said.append("Judge by the scores above, on a glass that took no part.")
    prefix = by_name()[LEARNERS[made.method].modifier].prefix
    fraction = data.attributes.get(f"{prefix}.extrapolating_fraction")
    if fraction is not None:
        said.append(f"Of the atoms of the glass left out {fraction:.1%} are unlike those learned from.")
    said.append(
        f"The model knows this composition, {LEARNERS[made.method].knows} and structures at rest; elsewhere look at "
        "the extrapolation that the modifier writes, and trust what is below 1."
    )
    return " ".join(said)


def _still_rising(made: Made) -> list[str]:
    """Scores that the last step of the curve raised by more than a hundredth."""
    return [
        f"the last step raised the {name} by {values[-1] - values[-2]:.2f}"
        for name, values in made.curve.items()
        if name not in ("glasses", "atoms") and len(values) > 1 and values[-1] - values[-2] > 0.01
    ]
