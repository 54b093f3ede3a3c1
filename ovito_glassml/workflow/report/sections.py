"""What stands on the page about structures and about each view of a modifier: texts, charts and pictures, in order."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from ovito_glassml.modifiers.registry import Modifier, View
from ovito_glassml.simulate.elastic import STRAINS
from ovito_glassml.workflow.report import charts
from ovito_glassml.workflow.report.collect import Collected, Result, Shot, Table
from ovito_glassml.workflow.report.facts import Facts, is_glassy
from ovito_glassml.workflow.report.numbers import percent, rounded, with_error
from ovito_glassml.workflow.report.pictures import SMALL, Camera, Picture, colour_limits, kinds_shown
from ovito_glassml.workflow.report.trust import Trust, trust_in

__all__ = ["fact_rows", "frame_charts", "pair_charts", "section", "summary_rows", "view_title"]

#: Rows of a bar chart, and of a table.
MOST_BARS, MOST_ROWS = 12, 100
BINS = 60
#: Attributes that stand for a view, those that matter most first.
KEY = ("mean", "energy_per_atom", "mean_probability", "z12_fraction", "active")
HEADLINES = {
    "mean_probability": "mean probability", "active": "active atoms", "z12_fraction": "icosahedra (Z12)",
    "energy_per_atom": "energy",
}  # fmt: skip
#: Units of attributes, ``main`` being that of the property that is shown.
UNITS = {
    "mean": "main", "std": "main", "hop_corrected_mean": "main", "cage_mean": "main", "mean_error": "main",
    "energy_per_atom": "eV/atom", "base_energy": "eV/atom", "energy_from_absent": "eV/atom",
    "threshold": "{length}²", "inactive_threshold": "{length}²", "max_cutoff": "{length}", "shell": "{length}",
    "number_density": "1/{length}³", "largest_force": "{energy}/{length}",
}  # fmt: skip


def view_title(modifier: Modifier, view: View) -> str:
    return f"{modifier.title}, {view.title}" if view.title else modifier.title


# ---------------------------------------------------------------------- structures


def fact_rows(shots: Sequence[Shot]) -> list[tuple[str, list[str]]]:
    """Rows of the table of what each structure is; those that no structure has are left out."""
    rows: dict[str, Callable[[Facts], str]] = {
        "Atoms": lambda facts: rounded(facts.atoms),
        "Composition": lambda facts: facts.composition,
        "Density": _density,
        "Cell": _cell,
        "State": _state,
        "In crystals": _crystals,
        "First peak of g(r)": lambda facts: f"{rounded(facts.pairs.peak)} {facts.length}" if facts.pairs else "",
        "First shell ends at": lambda facts: f"{rounded(facts.pairs.minimum)} {facts.length}" if facts.pairs else "",
        "Neighbours in the first shell": lambda facts: _listed(facts.pairs.neighbours, "{:.2f}") if facts.pairs else "",
        "Warren-Cowley order": lambda facts: _listed(facts.order or {}, "{:+.3f}"),
        "Energy per atom": lambda facts: _mechanics(facts, "energy"),
        "Largest force": lambda facts: _mechanics(facts, "largest_force"),
        "Pressure, without heat": lambda facts: _mechanics(facts, "pressure"),
        "Bulk modulus": _bulk_modulus,
        "Shear modulus": _shear_modulus,
        "Poisson's ratio": _poissons_ratio,
        "Moduli are those of": _strained,
        "Potential": _potential,
    }
    table = [(name, [text(shot.facts) for shot in shots]) for name, text in rows.items()]
    return [(name, cells) for name, cells in table if any(cells)]


def _density(facts: Facts) -> str:
    if facts.number_density is None:
        return ""
    text = f"{rounded(facts.number_density)} atoms/{_cubed(facts)}"
    text += "" if facts.mass_density is None else f" ({rounded(facts.mass_density)} g/cm³)"
    return text if all(facts.pbc) else f"{text}, of the cell with what is empty in it; g(r) is relative to it"


def _cubed(facts: Facts) -> str:
    return f"{facts.length}³"


def _cell(facts: Facts) -> str:
    if facts.cell is None:
        return "none: open in all directions"
    lengths = np.linalg.norm(facts.cell, axis=1)
    cosines = [facts.cell[a] @ facts.cell[b] / (lengths[a] * lengths[b]) for a, b in ((1, 2), (0, 2), (0, 1))]
    text = " × ".join(rounded(one, 4) for one in lengths.tolist()) + f" {facts.length}"
    if max(abs(one) for one in cosines) > 1e-6:
        text += ", angles " + ", ".join(f"{math.degrees(math.acos(one)):.1f}°" for one in cosines)
    periodic = [axis for axis, flag in zip("abc", facts.pbc, strict=True) if flag]
    return f"{text}, periodic" if len(periodic) == 3 else f"{text}, periodic in {', '.join(periodic) or 'no direction'}"


def _state(facts: Facts) -> str:
    names = {"inherent": "at rest (inherent structure)", "thermal": "at temperature, not minimised"}
    return f"{names[facts.state]}, {facts.why}" if facts.state else "not known"


def _crystals(facts: Facts) -> str:
    if facts.crystals is None:
        return ""
    kinds = [f"{name} {percent(share)}" for name, share in facts.crystals.items() if share and name != "total"]
    return percent(facts.crystals["total"]) + (f" ({', '.join(kinds)})" if kinds else "")


def _potential(facts: Facts) -> str:
    if facts.mechanics is None:
        return ""
    name = facts.mechanics.material.name
    if facts.mechanics.is_stated or facts.mechanics.at_rest:
        return name
    return f"{name}, chosen by the species: if the structure is of another, what follows from it is not its own"


def _listed(values: Any, form: str) -> str:
    return ", ".join(f"{pair} {form.format(value)}" for pair, value in values.items()).replace("-0", "−0")


def _mechanics(facts: Facts, name: str) -> str:
    if facts.mechanics is None or not math.isfinite(value := getattr(facts.mechanics, name)):
        return ""
    units = {"energy": facts.energy, "largest_force": f"{facts.energy}/{facts.length}", "pressure": _stress_unit(facts)}
    digits = {"energy": 5, "largest_force": 2, "pressure": 2}
    return f"{rounded(value, digits[name])} {units[name]}"


def _stress_unit(facts: Facts) -> str:
    return "GPa" if facts.length == "Å" else f"{facts.energy}/{_cubed(facts)}"


def _bulk_modulus(facts: Facts) -> str:
    return f"{rounded(facts.elasticity.bulk_modulus)} {_stress_unit(facts)}" if facts.elasticity else ""


def _shear_modulus(facts: Facts) -> str:
    """With what a crystal differs by in its directions, or how far a glass is known."""
    if (found := facts.elasticity) is None:
        return ""
    text = rounded(found.shear_modulus)
    if is_glassy(facts):
        text = with_error(found.shear_modulus, found.shear_error, sign=False)
    soft, stiff = (rounded(one) for one in found.shear_range)
    return (
        f"{text} {_stress_unit(facts)}, from {soft} to {stiff} by direction; "
        f"{rounded(found.affine_shear_modulus)} if the atoms only followed the cell"
    )


def _poissons_ratio(facts: Facts) -> str:
    if (found := facts.elasticity) is None:
        return ""
    if is_glassy(facts):
        return with_error(found.poissons_ratio, found.poissons_ratio_error, sign=False)
    return rounded(found.poissons_ratio)


def _strained(facts: Facts) -> str:
    """What was strained, and what is wrong with it."""
    if (found := facts.elasticity) is None or facts.mechanics is None:
        return ""
    text = "the structure at zero temperature" if facts.mechanics.at_rest else "the energy minimum below the structure"
    if not is_glassy(facts):
        text += ", as averages over the directions of a crystal (Voigt)"
    if found.rearranging:
        text += (
            f"; in {found.rearranging} of 6 directions atoms rearrange, or forces jump, even at a strain of "
            f"{rounded(STRAINS[-1])}, so that they are wrong"
        )
    return text


def pair_charts(shots: Sequence[Shot]) -> list[tuple[str, str]]:
    """Titles and charts of g(r): one with all pairs of a single structure, else one of each pair with all of them."""
    known = [shot for shot in shots if shot.facts.pairs is not None]
    if not known:
        return []
    label = f"r ({known[0].facts.length})"
    if len(known) == 1:
        pairs = known[0].facts.pairs
        assert pairs is not None
        series = {"all": (pairs.radii, pairs.total)}
        if len(pairs.by_pair) > 1:
            series |= {name: (pairs.radii, curve) for name, curve in pairs.by_pair.items()}
        return [("", charts.curves(series, label, "g(r)"))]
    drawn = []
    names = dict.fromkeys(name for shot in known for name in shot.facts.pairs.by_pair)  # type: ignore[union-attr]
    for name in [*(["all"] if len(names) > 1 else []), *names]:
        series, colours = {}, []
        for shot in known:
            pairs = shot.facts.pairs
            assert pairs is not None
            curve = pairs.total if name == "all" else pairs.by_pair.get(name)
            if curve is not None:
                series[shot.title] = (pairs.radii, curve)
                colours.append(shots.index(shot))
        drawn.append((name if name != "all" else "all pairs", charts.curves(series, label, "g(r)", colours=colours)))
    return drawn


# ---------------------------------------------------------------------- views


def summary_rows(found: Collected) -> list[tuple[str, str, list[dict[str, str]]]]:
    """For each view its title, anchor, and a cell for each structure: the number that stands for it, and the trust."""
    rows = []
    for modifier, view in found.views():
        cells = []
        for shot in found.main:
            one = next((one for one in found.of(modifier, view) if one.shot is shot), None)
            if one is None:
                cells.append({"text": "does not apply", "level": "", "verdict": ""})
                continue
            trust = trust_in(one, unit_of(view, shot.facts))
            cells.append({"text": _headline(one), "level": trust.level, "verdict": trust.verdict})
        rows.append((view_title(modifier, view), anchor(modifier, view), cells))
    return rows


def anchor(modifier: Modifier, view: View) -> str:
    return re.sub("[^a-z]+", "-", f"{modifier.name} {view.title}".strip().lower())


def section(found: Collected, modifier: Modifier, view: View, camera: Camera) -> dict[str, Any]:
    """Everything about one view."""
    results = found.of(modifier, view)
    main = [one for one in results if one.shot.is_main]
    limits = colour_limits(main) if view.shown and main else (0.0, 1.0)
    return {
        "title": view_title(modifier, view),
        "anchor": anchor(modifier, view),
        "answers": modifier.answers,
        "meaning": _meaning(view, main[0].shot.facts) if main else "",
        "scale": [rounded(one, 3) for one in limits] if view.shown else None,
        "kinds": kinds_shown(main[0]) if main and not view.shown else [],
        "cards": [_card(one, limits, _histogram_ends(main), camera) for one in main],
        "frames": _frame_pictures(found, results, limits, camera),
        "curves": _attribute_curves(results),
    }


def _meaning(view: View, facts: Facts) -> str:
    return view.meaning.format(length=facts.length, energy=facts.energy)


def unit_of(view: View, facts: Facts) -> str:
    """Of the property that is shown, as its meaning says in brackets at the end."""
    found = re.search(r"\(([^()]*)\)$", _meaning(view, facts))
    return found[1] if found else ""


def _histogram_ends(results: Sequence[Result]) -> tuple[float, float] | None:
    """One axis for the histograms of all structures."""
    values = np.concatenate([one.values for one in results])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else None


def _card(
    result: Result, limits: tuple[float, float], ends: tuple[float, float] | None, camera: Camera
) -> dict[str, Any]:
    facts, view = result.shot.facts, result.view
    trust: Trust = trust_in(result, unit_of(view, facts))
    pictures: list[tuple[str, Picture]] = [("slice", camera.slice(result, limits))]
    if everything := camera.everything(result, limits):
        pictures.append(("all atoms", everything))
    return {
        "title": result.shot.title,
        "headline": _headline(result),
        "model": str(result.attributes.get("model", "")),
        "trust": trust,
        "notes": [note for note in result.notes if not _is_said(note)],
        "pictures": pictures,
        "histogram": _histogram(result, ends),
        "charts": [(table.title, _chart(table)) for table in result.tables if table.kind != "histogram"],
        "tables": [_rows(table) for table in result.tables if table.kind == "bars"],
        "numbers": [(_spoken(name), *_number(name, value, result)) for name, value in result.attributes.items()],
    }


def _is_said(note: str) -> bool:
    """Lines of a modifier that the words about trust say as well."""
    return "are unlike the training data of" in note or "the sample as a whole is unlike" in note


def _headline(result: Result) -> str:
    name = next((name for name in KEY if name in result.attributes), None)
    if name is None:
        return ""
    text, _ = _number(name, result.attributes[name], result)
    return f"{HEADLINES.get(name, _spoken(name)) if name != 'mean' else _mean_of(result.view)} {text}"


def _mean_of(view: View) -> str:
    return "mean probability" if view.meaning.startswith("probability") else "mean"


def _spoken(name: str) -> str:
    return name.replace("_", " ")


def _number(name: str, value: Any, result: Result) -> tuple[str, str]:
    """An attribute for people, and as it is."""
    if isinstance(value, bool | int):
        return rounded(int(value)), str(int(value))
    if not isinstance(value, float):
        return str(value), ""
    if not math.isfinite(value):
        return "none", ""
    if name.endswith("_fraction") or name.startswith("share_"):
        return percent(value), repr(value)
    facts = result.shot.facts
    unit = UNITS.get(name, "").format(length=facts.length, energy=facts.energy)
    unit = unit_of(result.view, facts) if unit == "main" else unit
    digits = 5 if name == "energy_per_atom" else 3
    return f"{rounded(value, digits)} {unit}".rstrip(), repr(value)


def _histogram(result: Result, ends: tuple[float, float] | None) -> str:
    """Of the property that is shown: the modifier's own, or one made here."""
    if table := next((one for one in result.tables if one.kind == "histogram"), None):
        return charts.histogram(table.columns["Atoms"], table.x[1], table.x[0], ends)
    values = result.values[np.isfinite(result.values)]
    if not len(values) or any(one.kind == "lines" for one in result.tables):
        return ""
    counts, edges = np.histogram(values, BINS)
    return charts.histogram(counts, (edges[0], edges[-1]), _meaning(result.view, result.shot.facts), ends)


def _chart(table: Table) -> str:
    if table.kind == "lines":
        curves = {name: (table.x[1], table.columns[name]) for name in table.main}
        return charts.curves(curves, table.x[0], table.y)
    first = np.nan_to_num(np.asarray(table.columns[table.main[0]], dtype=np.float64))
    order = np.arange(len(first)) if len(first) <= MOST_BARS else np.argsort(-np.abs(first), kind="stable")[:MOST_BARS]
    names = [str(table.x[1][row]) for row in order]
    return charts.bars(names, {name: np.asarray(table.columns[name])[order] for name in table.main}, table.y)


def _rows(table: Table) -> dict[str, Any]:
    """A table with its first rows."""
    columns = [(name if name not in table.main or len(table.main) > 1 else table.y) for name in table.columns]
    cells = [
        [str(name), *(_cell_text(column[row]) for column in table.columns.values())]
        for row, name in enumerate(table.x[1][:MOST_ROWS])
    ]
    return {"title": table.title, "columns": [table.x[0], *columns], "rows": cells, "all": len(table.x[1])}


def _cell_text(value: Any) -> str:
    return str(value) if isinstance(value, str) else rounded(value.item() if isinstance(value, np.generic) else value)


# ---------------------------------------------------------------------- frames


def _frame_pictures(
    found: Collected, results: Sequence[Result], limits: tuple[float, float], camera: Camera
) -> list[tuple[str, Picture]]:
    """Slices of the frames of trajectories on the same scale."""
    several = [one for one in results if one.shot.is_drawn and _shown_frames(found, one.shot) > 1 and not one.view.once]
    alone = len({one.shot.name for one in several}) == 1
    return [
        (f"frame {one.shot.frame}" if alone else one.shot.title, camera.slice(one, limits, SMALL)) for one in several
    ]


def _shown_frames(found: Collected, shot: Shot) -> int:
    return sum(one.file == shot.file and one.name == shot.name for one in found.shots)


def _attribute_curves(results: Sequence[Result]) -> list[str]:
    """Numbers that change from frame to frame."""
    names = [
        name
        for name in dict.fromkeys((*KEY, *(results[0].attributes if results else ())))
        if len({one.attributes.get(name) for one in results if isinstance(one.attributes.get(name), int | float)}) > 1
    ]
    wanted = [name for name in names if name in (*KEY, "extrapolating_fraction", "sample_extrapolation", "std")]
    drawn = []
    for name in wanted:
        series = _by_file(results, lambda one, name=name: (one.shot, one.attributes.get(name, math.nan)))  # type: ignore[misc]
        if series:
            unit = UNITS.get(name, "").format(length=results[0].shot.facts.length, energy=results[0].shot.facts.energy)
            unit = unit_of(results[0].view, results[0].shot.facts) if unit == "main" else unit
            label = f"{_spoken(name)} ({unit})" if unit else _spoken(name)
            drawn.append(charts.curves(series, "frame", label, marked=True))
    return drawn


def _by_file(items: Sequence[Any], point: Callable[[Any], tuple[Shot, float]]) -> dict[str, tuple[list, list]]:
    """Frames and numbers of every file that has several."""
    series: dict[str, tuple[list, list]] = {}
    for shot, value in map(point, items):
        frames, values = series.setdefault(shot.name, ([], []))
        frames.append(shot.frame)
        values.append(value)
    return {name: both for name, both in series.items() if len(both[0]) > 1 and np.isfinite(both[1]).any()}


def frame_charts(found: Collected) -> Iterator[str]:
    """What the structures are, over frames: density, energy, pressure, crystals."""
    facts = found.shots[0].facts
    energy = facts.energy
    for label, number in (
        (f"density (1/{_cubed(facts)})", lambda one: one.number_density),
        (f"energy per atom ({energy})", lambda one: one.mechanics and one.mechanics.energy),
        ("share in crystals (%)", lambda one: one.crystals and 100 * one.crystals["total"]),
    ):
        series = _by_file(found.shots, lambda shot, number=number: (shot, _or_nan(number(shot.facts))))  # type: ignore[misc]
        changing = {name: both for name, both in series.items() if _changes(both[1])}
        if changing:
            yield charts.curves(changing, "frame", label, marked=True)


def _changes(values: list[float]) -> bool:
    """By more than rounding errors."""
    return float(np.nanmax(values) - np.nanmin(values)) > 1e-6 * float(np.nanmax(np.abs(values)))


def _or_nan(value: float | None) -> float:
    return math.nan if value is None else value
