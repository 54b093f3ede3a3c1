"""Frames of files, what they are, and what every modifier makes of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, DataTable
from ovito.pipeline import Pipeline

from ovito_glassml.adapter.files import FileError, check_rows, open_trajectory, outcome
from ovito_glassml.adapter.input import particle_column, plain_name, structure_from_data
from ovito_glassml.errors import GlassMLError
from ovito_glassml.learn.format import read_header
from ovito_glassml.modifiers.registry import MODIFIERS, Modifier, View, by_name
from ovito_glassml.progress import Report, nth_of, span_of
from ovito_glassml.simulate.local_forces import is_embedded_atom
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.material_header import stated
from ovito_glassml.workflow.report.facts import Facts, facts_of, with_elasticity

__all__ = ["Collected", "Refusal", "Result", "Shot", "Table", "Wishes", "collect"]

#: Frames of a trajectory that are shown, unless a step is given.
MOST_FRAMES = 8
#: Frames of a file that are drawn, however many are shown in curves.
MOST_PICTURES = 12
#: Atoms of which the harmonic limit takes some seconds, where second derivatives are known.
FEW_FOR_HARMONIC = 1500
#: Share of the time for a structure that its elastic constants take.
STRAINING = 0.8
#: What makes atoms rearrange, in words.
ACTIVATIONS = {"thermal": "in heat", "shear": "under shear"}
#: Properties that a picture needs.
DRAWN = {"Position", "Particle Type", "Color"}


@dataclass(frozen=True)
class Wishes:
    """What a user asks for.

    Attributes
    ----------
    modifiers : sequence of str
        Short names; none: all that answer a question.
    every : int
        Step from frame to frame; 0: so that few are shown.
    species, material, atom_style : str
    temperature : float
        Of the simulation, for measured stiffness; 0: not known.
    elastic : bool
        Elastic constants of what is shown in full; of 2 000 atoms they take about a minute.
    """

    modifiers: Sequence[str] = ()
    every: int = 0
    species: str = ""
    material: str = ""
    atom_style: str = ""
    temperature: float = 0.0
    elastic: bool = False


@dataclass(frozen=True, eq=False)
class Shot:
    """A frame of a file.

    Attributes
    ----------
    file : str
    name : str
        Of the file on the page.
    frame, frames : int
        Number, and how many the file has.
    is_main, is_drawn : bool
        Shown in full, as the last one of its file, and shown in pictures.
    facts : Facts
    """

    file: str
    name: str
    frame: int
    frames: int
    is_main: bool
    is_drawn: bool
    facts: Facts

    @property
    def title(self) -> str:
        return self.name if self.frames == 1 else f"{self.name}, frame {self.frame}"


@dataclass(frozen=True, eq=False)
class Table:
    """A table of a modifier, as plain arrays and names.

    Attributes
    ----------
    kind : {'histogram', 'bars', 'lines'}
    x : label, and numbers or names; of a histogram the two ends
    columns : mapping of label to numbers or names
    y : str
        What the main columns are.
    main : sequence of str
        Those that are plotted.
    """

    identifier: str
    title: str
    kind: str
    x: tuple[str, Sequence[Any]]
    columns: Mapping[str, Sequence[Any]]
    y: str
    main: Sequence[str]


@dataclass(frozen=True, eq=False)
class Result:
    """What a modifier made of a shot.

    Attributes
    ----------
    modifier : Modifier
    view : View
    shot : Shot
    attributes : mapping
        Without what their names begin with.
    tables : sequence of Table
    notes : sequence of str
        What it printed.
    scores : mapping
        Of a comparison with measured values that the file holds.
    expected_error : float or None
        Mean of the errors that the modifier expects of the atoms, if it does.
    drawn : DataCollection or None
        Positions, types and the property that is shown, or colours, of shots that are drawn.
    """

    modifier: Modifier
    view: View
    shot: Shot
    attributes: Mapping[str, Any]
    tables: Sequence[Table]
    notes: Sequence[str]
    scores: Mapping[str, Any]
    expected_error: float | None
    drawn: DataCollection | None

    @property
    def scene(self) -> DataCollection:
        """`drawn`, for shots that are."""
        assert self.drawn is not None
        return self.drawn

    @cached_property
    def values(self) -> NDArray[np.float64]:
        """Of the property that is shown; none where colours are."""
        return particle_column(self.scene, self.view.shown, "shown") if self.view.shown else np.zeros(0)


@dataclass(frozen=True)
class Refusal:
    """Why there is no result: of which file, which modifier and view."""

    name: str
    title: str
    sentence: str


@dataclass(eq=False)
class Collected:
    """Everything a page shows, in order."""

    shots: list[Shot] = field(default_factory=list)
    results: list[Result] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    unread: list[Refusal] = field(default_factory=list)

    @property
    def main(self) -> list[Shot]:
        return [shot for shot in self.shots if shot.is_main]

    def views(self) -> list[tuple[Modifier, View]]:
        """Those with a result, in the order of the registry."""
        return [
            (modifier, view)
            for modifier, view in views_of(MODIFIERS)
            if any(one.modifier is modifier and one.view == view for one in self.results)
        ]

    def of(self, modifier: Modifier, view: View) -> list[Result]:
        return [one for one in self.results if one.modifier is modifier and one.view == view]


def views_of(modifiers: Sequence[Modifier]) -> list[tuple[Modifier, View]]:
    """Every view of these modifiers; where one shows nothing of its own, that of the example."""
    return [
        (
            modifier,
            view if view.shown else replace(view, shown=modifier.example.shown, meaning=modifier.example.meaning),
        )
        for modifier in modifiers
        for view in modifier.views
    ]


def collect(files: Sequence[Path | str], wishes: Wishes, report: Report) -> Collected:
    """Read all files and run all modifiers.

    Raises
    ------
    FileError
        If none of the files can be used, with the reasons.
    SimulationError
        If the material does not exist.
    """
    if wishes.material:
        load_material(wishes.material)
    found = Collected()
    names = _names(files)
    for number, file in enumerate(files):
        _collect_file(found, file, names[number], wishes, nth_of(report, number, len(files), f"{names[number]}: "))
    if not found.shots:
        raise FileError(" ".join(f"{one.name}: {one.sentence}" for one in found.unread))
    return found


def _names(files: Sequence[Path | str]) -> list[str]:
    """Names without endings, with their folder or number where two are alike."""
    stems = [Path(file).name.split(".")[0] or Path(file).name for file in files]
    if max(Counter(stems).values()) > 1:
        stems = [f"{Path(file).resolve().parent.name}/{stem}" for file, stem in zip(files, stems, strict=True)]
    alike = Counter(stems)
    return [f"{stem} ({number})" if alike[stem] > 1 else stem for number, stem in enumerate(stems, start=1)]


def _collect_file(found: Collected, file: Path | str, name: str, wishes: Wishes, report: Report) -> None:
    report(0.0, "reading")
    try:
        pipeline = open_trajectory(file, wishes.atom_style)
        check_rows(file)
    except (GlassMLError, OSError) as error:
        found.unread.append(Refusal(name, "", str(error)))
        return
    frames = _chosen(pipeline.num_frames, wishes.every)
    drawn = {*_spread(frames, MOST_PICTURES)}
    shots, results = len(found.shots), len(found.results)
    for number, frame in enumerate(reversed(frames)):  # the last one that can be used is shown in full
        telling = nth_of(report, number, len(frames), f"frame {frame}, " if len(frames) > 1 else "")
        is_main = len(found.shots) == shots
        straining = None
        if is_main and wishes.elastic:
            straining, telling = span_of(telling, 0.0, STRAINING), span_of(telling, STRAINING, 1.0)
        try:
            data, _ = outcome(pipeline, [], frame)
            facts = _facts(data, wishes, straining)
        except (GlassMLError, OSError) as error:
            found.unread.append(Refusal(name if len(frames) == 1 else f"{name}, frame {frame}", "", str(error)))
            continue
        shot = Shot(str(file), name, frame, pipeline.num_frames, is_main, is_main or frame in drawn, facts)
        found.shots.append(shot)
        _run_all(found, pipeline, data, shot, wishes, telling)
    found.shots[shots:] = found.shots[shots:][::-1]
    found.results[results:] = sorted(found.results[results:], key=lambda one: one.shot.frame)


def _chosen(frames: int, every: int) -> list[int]:
    """Numbers of the frames that are shown."""
    if every:
        return list(range(0, frames, every))
    return _spread(range(frames), MOST_FRAMES)


def _spread(frames: Sequence[int], most: int) -> list[int]:
    """At most so many of them, the first and the last included."""
    places = np.linspace(0, len(frames) - 1, min(len(frames), most)).round().astype(int)
    return [frames[place] for place in np.unique(places).tolist()]


def _facts(data: DataCollection, wishes: Wishes, straining: Report | None) -> Facts:
    """With elastic constants where somebody hears how far they are."""
    structure = structure_from_data(data, species=wishes.species, names_needed=False)
    if not len(structure):
        raise FileError("There are no atoms in it; give a file with atoms.")
    facts = facts_of(structure, dict(data.attributes), wishes.material)
    return with_elasticity(facts, structure, straining) if straining else facts


def _run_all(
    found: Collected, pipeline: Pipeline, before: DataCollection, shot: Shot, wishes: Wishes, report: Report
) -> None:
    """Every modifier that is asked for, or that answers a question, on one shot."""
    named = by_name()
    chosen = [named[name] for name in wishes.modifiers] or [one for one in MODIFIERS if not one.describes]
    views = views_of([one for one in chosen if one.name != "evaluate"])
    for number, (modifier, view) in enumerate(views):
        report(number / len(views), modifier.title.lower())
        if view.once and not shot.is_main:
            continue
        try:
            found.results.append(_result(pipeline, before, modifier, view, shot, wishes))
        except (GlassMLError, OSError) as error:
            _refuse(found, shot, modifier, view, str(error))


def _refuse(found: Collected, shot: Shot, modifier: Modifier, view: View, sentence: str) -> None:
    """Once for each file and view."""
    title = f"{modifier.title}, {view.title}" if view.title else modifier.title
    refusal = Refusal(shot.name, title, sentence)
    if shot.is_main and refusal not in found.refusals:
        found.refusals.append(refusal)


def _result(
    pipeline: Pipeline, before: DataCollection, modifier: Modifier, view: View, shot: Shot, wishes: Wishes
) -> Result:
    if sentence := _unasked(modifier, shot, wishes):
        raise FileError(sentence)
    instance = _fitted(modifier, view, shot, wishes)
    data, notes = outcome(pipeline, [instance], shot.frame)
    prefix = f"{modifier.class_name.removesuffix('Modifier')}."
    attributes = {name.removeprefix(prefix): one for name, one in data.attributes.items() if name.startswith(prefix)}
    _check_activation(view, attributes)
    tables = [_table(one) for name, one in data.tables.items() if name not in before.tables]
    scores = _scores(pipeline, before, view, shot, instance)
    return Result(
        modifier,
        view,
        shot,
        attributes,
        tables,
        notes,
        scores,
        _expected_error(data, view),
        _scene(data, view) if shot.is_drawn else None,
    )


def _expected_error(data: DataCollection, view: View) -> float | None:
    if (name := f"{view.shown} Error") not in data.particles:
        return None
    errors = np.asarray(data.particles[name], dtype=np.float64)
    return float(np.nanmean(errors)) if np.isfinite(errors).any() else None


def _check_activation(view: View, attributes: Mapping[str, Any]) -> None:
    """A modifier takes the model of another activation where there is no other; the view has a title, though."""
    wanted = view.parameters.get("activation")
    if wanted and "model" in attributes:
        known = read_header(str(attributes["model"])).training.get("activation", wanted)
        if known != wanted:
            raise FileError(
                f"{attributes['model']} is about atoms that rearrange {ACTIVATIONS.get(known, known)}; no model of "
                f"this glass is about those that do {ACTIVATIONS.get(wanted, wanted)}."
            )


def _unasked(modifier: Modifier, shot: Shot, wishes: Wishes) -> str:
    """Why a modifier does not run unless more is said."""
    if modifier.name == "vibrations" and shot.frames > 1 and not wishes.temperature:
        return "The stiffness follows from the temperature of the simulation; give it, as in --temperature 300."
    if modifier.name == "nonaffine" and shot.is_main and shot.frame == 0 and shot.frames > 1:
        return "It compares with the first frame, and no other is shown."
    if modifier.name == "harmonic" and modifier.name not in wishes.modifiers:
        if shot.facts.mechanics is None:
            return shot.facts.missing["potential"]
        if shot.facts.atoms > FEW_FOR_HARMONIC or not is_embedded_atom(shot.facts.mechanics.material):
            return (
                f"For {shot.facts.atoms} atoms in this potential it takes minutes, so that it runs when asked for, as "
                "in --modifiers harmonic."
            )
    return ""


def _fitted(modifier: Modifier, view: View, shot: Shot, wishes: Wishes) -> Any:
    """An instance with what is known of the structure."""
    instance = modifier.load()()
    known = set(instance.editable_traits())
    settings = dict(view.parameters)
    if "species" in known and wishes.species:
        settings["species"] = wishes.species
    if not view.shown and "color_by_result" in known:
        settings["color_by_result"] = True
    if modifier.name == "vibrations" and wishes.temperature:
        settings["temperature"] = wishes.temperature
    if modifier.name == "harmonic" and shot.facts.mechanics is not None:
        settings["material"] = wishes.material or shot.facts.mechanics.material.name
    if modifier.name == "nonaffine" and shot.facts.pairs is not None:  # its defaults, in any unit of length
        settings |= {"cutoff": 2.5 * shot.facts.pairs.peak, "threshold": 0.6 * shot.facts.pairs.peak**2}
    for name, value in settings.items():
        setattr(instance, name, value)
    return instance


def _scores(pipeline: Pipeline, before: DataCollection, view: View, shot: Shot, instance: Any) -> dict[str, Any]:
    """How well the prediction agrees with measured values that the file holds; empty without them."""
    there = {plain_name(name) for name in before.particles}
    kind = stated(before.attributes).get("activation")
    if not view.truth or plain_name(view.truth) not in there:
        return {}
    if kind is not None and view.parameters.get("activation", kind) != kind:
        return {}
    judge = by_name()["evaluate"].load()(predicted=view.shown, true=view.truth, **view.judged_by)
    try:
        data, _ = outcome(pipeline, [instance, judge], shot.frame)
    except GlassMLError:
        return {}
    prefix = "EvaluatePrediction."
    return {name.removeprefix(prefix): one for name, one in data.attributes.items() if name.startswith(prefix)}


def _scene(data: DataCollection, view: View) -> DataCollection:
    """Only what a picture needs."""
    scene = data.clone()
    for name in list(scene.particles):
        if name not in {*DRAWN, view.shown.partition(".")[0]}:
            if not view.shown and scene.particles[name].types:  # type: ignore[union-attr]
                continue  # what the colours mean
            del scene.particles_[name]
    if scene.particles.bonds is not None:
        scene.particles_.bonds = None  # type: ignore[misc, assignment]
    return scene


def _table(table: DataTable) -> Table:
    kinds = {DataTable.PlotMode.Histogram: "histogram", DataTable.PlotMode.BarChart: "bars"}
    kind = kinds.get(table.plot_mode, "lines")
    columns: dict[str, Sequence[Any]] = {}
    main: list[str] = []
    for name, column in table.items():
        if table.x is not None and name == table.x.name:
            continue
        values = np.asarray(column)
        parts = {name: values} if values.ndim == 1 else dict(zip(column.component_names, values.T, strict=True))
        columns |= {part: _named(column, one) for part, one in parts.items()}
        if table.y is not None and name == table.y.name:
            main += parts
    if kind == "histogram":
        x: tuple[str, Sequence[Any]] = (table.axis_label_x, list(table.interval))
    else:
        x = (table.x.name, _named(table.x, np.asarray(table.x)))  # type: ignore[union-attr]
    return Table(table.identifier, table.title, kind, x, columns, table.y.name if table.y else "", main)


def _named(column: Any, values: NDArray) -> Sequence[Any]:
    """Numbers, or the names that they stand for."""
    names = {kind.id: kind.name for kind in column.types}
    return [names.get(int(value), str(value)) for value in values] if names else list(values)
