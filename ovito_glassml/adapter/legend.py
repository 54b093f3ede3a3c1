"""What a legend says of a result that is in OVITO's data: its colours, its mean, its model and how far to trust it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ovito.data import DataCollection

from ovito_glassml.adapter.output import color_by
from ovito_glassml.adapter.prediction import trust_in_words

__all__ = ["ColorBar", "Legend", "color_table", "read_legend"]

#: Entries at most for the classes of atoms, the most frequent ones.
MOST_KINDS = 8
#: Colours of a bar.
STEPS = 128
#: Particles that are looked at to see whether their colours are still those of the result.
LOOKED_AT = 500

#: Attributes that sum up a result, with their words and digits; energies differ by little.
MEANS = {
    "mean": ("Mean", 3),
    "mean_probability": ("Mean probability of a high barrier", 3),
    "energy_per_atom": ("Energy per atom (eV)", 5),
    "z12_fraction": ("Share of icosahedra (Z12)", 2),
}

#: Labels with a unit where no histogram has one.
LABELS = {"Nonaffine Squared Displacement": "D²min (length²)"}

Colour = tuple[float, float, float]


@dataclass(frozen=True)
class ColorBar:
    """Values that the colours run between, and what they are, with the unit."""

    label: str
    low: float
    high: float


@dataclass(frozen=True)
class Legend:
    """What can be said of a result.

    Attributes
    ----------
    title : str
    bar : ColorBar or None
        If the particles are coloured by a number.
    kinds : sequence of (name, colour)
        If they are coloured by classes: those that occur, the most frequent first.
    lines : sequence of str
        Model, mean, trust; what is not known is left out.
    """

    title: str
    bar: ColorBar | None
    kinds: tuple[tuple[str, Colour], ...]
    lines: tuple[str, ...]


def read_legend(data: DataCollection, prefix: str, results: Sequence[str]) -> Legend | None:
    """What the modifier with these attributes has left in the data; None if that is nothing.

    Parameters
    ----------
    data : DataCollection
    prefix : str
        Of its attributes, such as ``PredictedStiffness``.
    results : sequence of str
        Its main particle properties, of which it writes one.
    """
    present = [name for name in data.particles or () if name in results]
    told = {
        key.removeprefix(f"{prefix}."): data.attributes[key] for key in data.attributes if key.startswith(f"{prefix}.")
    }
    if not present or not told:
        return None
    name = present[-1]  # the last one written
    if told.get("undefined") == data.particles.count:
        told.pop("extrapolating_fraction", None)  # of no atom
    values: Any = data.particles[name]
    label = _label(data, name)
    bar = _bar(data, values, label, told.get("color_low"), told.get("color_high"))
    model = [f"Model: {told['model']}"] if "model" in told else []
    lines = [*model, *_means(told, _unit(label)), *trust_in_words(told, *_errors(data, name))]
    return Legend(name, bar, _kinds(data, values), tuple(lines))


def color_table(count: int = STEPS) -> NDArray[np.float64]:
    """The colours (count, 3) of a bar, from the lowest value to the highest."""
    return _colors_of(np.linspace(0.0, 1.0, count), 0.0, 1.0)


def _colors_of(values: ArrayLike, low: float, high: float) -> NDArray[np.float64]:
    data = DataCollection()
    particles = data.create_particles(count=len(np.asarray(values)))
    particles.create_property("Position")
    particles.create_property("Value", data=np.asarray(values, dtype=np.float64))
    color_by(data, "Value", f"{low!r}, {high!r}")
    return np.array(data.particles["Color"])


def _bar(data: DataCollection, values: Any, label: str, low: Any, high: Any) -> ColorBar | None:
    """The bar of the colours, unless something else has coloured the particles since."""
    numbers = [isinstance(limit, int | float) for limit in (low, high)]
    if not all(numbers) or "Color" not in data.particles or values.types:
        return None
    known = np.flatnonzero(np.isfinite(values))
    shown = known[:: max(1, len(known) // LOOKED_AT)]
    if not len(shown):
        return None
    expected = _colors_of(np.asarray(values)[shown], low, high)
    return ColorBar(label, low, high) if _alike(data, shown, expected) else None


def _kinds(data: DataCollection, values: Any) -> tuple[tuple[str, Colour], ...]:
    """Name and colour of the classes, under the same condition."""
    if not values.types or "Color" not in data.particles:
        return ()
    numbers, first, counts = np.unique(np.asarray(values), return_index=True, return_counts=True)
    types = {kind.id: kind for kind in values.types}
    order = [place for place in np.argsort(-counts, kind="stable") if int(numbers[place]) in types]
    kinds = [types[int(numbers[place])] for place in order]
    if not kinds or not _alike(data, first[order], np.array([kind.color for kind in kinds])):
        return ()
    return tuple((kind.name, (*kind.color,)) for kind in kinds[:MOST_KINDS])


def _alike(data: DataCollection, particles: NDArray, expected: NDArray) -> bool:
    return bool(np.allclose(np.asarray(data.particles["Color"])[particles], expected, atol=0.02))


def _label(data: DataCollection, name: str) -> str:
    """Name and unit of a property, as its histogram has them."""
    table = data.tables.get(f"{name.lower().replace(' ', '-')}-histogram")
    return table.axis_label_x if table is not None and table.axis_label_x else LABELS.get(name, name)


def _unit(label: str) -> str:
    found = re.search(r"\((\S+)\)$", label)
    return f" {found[1]}" if found else ""


def _means(told: dict[str, Any], unit: str) -> list[str]:
    lines = []
    for key, (words, digits) in MEANS.items():
        value = told.get(key)
        if isinstance(value, int | float) and np.isfinite(value):
            spread = told.get("std") if key == "mean" else None
            more = f", spread {spread:.3g}{unit}" if isinstance(spread, float) and np.isfinite(spread) else ""
            lines.append(f"{words}: {value:.{digits}g}{unit if key == 'mean' else ''}{more}")
    return lines


def _errors(data: DataCollection, name: str) -> tuple[float, str]:
    """Mean of the errors that are stated for single atoms, NaN if none are, and their unit."""
    stated = data.particles.get(f"{name} Error")
    values = np.asarray(stated) if stated is not None else np.empty(0)
    values = values[np.isfinite(values)]
    return (float(values.mean()) if len(values) else float("nan")), _unit(_label(data, name))
