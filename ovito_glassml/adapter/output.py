"""From arrays to OVITO's data: properties, tables, attributes and colours."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

import numpy as np
from numpy.typing import ArrayLike, NDArray
from ovito.data import DataCollection, DataTable, ElementType, Particles, Property
from ovito.modifiers import ColorByTypeModifier, ColorCodingModifier

from ovito_glassml.adapter.colors import limits_of, robust_range
from ovito_glassml.memory import check_memory
from ovito_glassml.structure import Structure

__all__ = [
    "NO_VALUE",
    "color_by",
    "color_by_type",
    "histogram_range",
    "mean_and_spread",
    "new_rows",
    "scatter",
    "selection_guard",
    "write_attributes",
    "write_bar_chart",
    "write_histogram",
    "write_property",
    "write_table",
    "write_typed_property",
]

#: Colour of particles without a value, which no colour map in use has.
NO_VALUE = (0.85, 0.85, 0.85)

# OVITO takes the *dtype* int64 for Python's int and stores 32 bits; the scalar types it takes at their word.
_OVITO_TYPES = (np.float32, np.float64, np.int8, np.int32, np.int64)


def scatter(structure: Structure, rows: NDArray, fill: float) -> NDArray:
    """Spread rows of the selected atoms over all atoms.

    Parameters
    ----------
    structure : Structure
    rows : (M,) or (M, k) array
        One row for each of ``structure.selected``, in that order.
    fill : float
        Value of the other atoms: NaN for measured quantities, −1 for classes.

    Returns
    -------
    (N,) or (N, k) array of the dtype of `rows`
    """
    if structure.mask is None:
        return rows
    values = np.full((len(structure), *rows.shape[1:]), fill, dtype=rows.dtype)
    values[structure.selected] = rows
    return values


def write_property(
    data: DataCollection, name: str, values: NDArray, components: Sequence[str] | None = None
) -> Property:
    """Add a particle property, or replace the one of this name whatever its shape.

    Files know names without spaces, readers change capitals, and LAMMPS dumps hold each component in a column of
    its own: what an earlier run of the same analysis left in such a form is replaced too.

    Parameters
    ----------
    data : DataCollection
    name : str
        Without ``.``, ``/`` and ``:``, which OVITO forbids.
    values : (N,) or (N, k) array
        Stored with their own precision; types OVITO does not know become 64-bit.
    components : sequence of str, optional
        Names of the k columns.
    """
    values = np.asarray(values)
    dtype: type = values.dtype.type
    if dtype not in _OVITO_TYPES:
        dtype = np.float64 if values.dtype.kind == "f" else np.int64
    particles = data.particles_
    for old in _earlier_values(particles, name, components, values.ndim > 1):
        del particles[old]
    if values.ndim == 1:
        return particles.create_property(name, dtype=dtype, data=values)
    columns = list(components) if components is not None else values.shape[1]
    return particles.create_property(name, dtype=dtype, components=columns, data=values)


@contextmanager
def new_rows(
    data: DataCollection, name: str, dtype: str, components: Sequence[str], mask: NDArray[np.bool_] | None
) -> Iterator[NDArray]:
    """The memory of a new particle property (N, k), so that wide rows are computed where OVITO keeps them.

    As `write_property`, whatever an earlier run has left is replaced, once the work inside has ended well; if it has
    not, the particles are as before. Rows of atoms outside of the mask hold NaN.

    Raises
    ------
    StructureError
        If they would not fit into the machine's memory.
    """
    particles = data.particles_
    shape = particles.count, len(components)
    check_memory(*shape, dtype)
    if _earlier_values(particles, name, components, True):
        values = np.empty(shape, dtype=dtype)
        _leave_out(values, mask)
        yield values
        write_property(data, name, values, components)
        return
    written = particles.create_property(name, dtype=np.dtype(dtype).type, components=list(components))
    try:
        with written:  # type: ignore[attr-defined]
            rows = np.asarray(written).reshape(shape)
            _leave_out(rows, mask)
            yield rows
    except BaseException:
        del data.particles_[name]
        raise


def _leave_out(rows: NDArray, mask: NDArray[np.bool_] | None) -> None:
    if mask is not None:
        rows[~mask] = np.nan


def _earlier_values(particles: Particles, name: str, components: Sequence[str] | None, vector: bool) -> list[str]:
    """Names of the properties that hold what a property held before, as it or as a file has them.

    Columns of a dump belong to a vector if they are numbered from 0 or 1 on, or called as its components are but
    for numbers and the element in front, which depend on settings.
    """
    stem = _in_file(name)
    parts = {old: _in_file(old).removeprefix(stem) for old in particles if _in_file(old).startswith(stem)}
    found = [old for old, part in parts.items() if not part]
    parts = {old: part.strip("._[]") for old, part in parts.items() if part}
    if not vector or not parts:
        return found
    types = particles.particle_types
    elements = [kind.name for kind in types.types if kind.name] if types is not None else []
    shapes = {_shape(component, elements) for component in components or ()}
    numbers = {old: int(part) for old, part in parts.items() if re.fullmatch("[0-9]{1,9}", part)}
    first = min(numbers.values(), default=0)
    if len(numbers) > 1 and first < 2 and sorted(numbers.values()) == list(range(first, first + len(numbers))):
        found += numbers
    return found + [old for old, part in parts.items() if old not in numbers and _shape(part, elements) in shapes]


def _in_file(name: str) -> str:
    """A name as it may come back: files have no spaces, readers of dumps no capitals."""
    return name.replace(" ", "").lower()


def _shape(component: str, elements: Sequence[str]) -> str:
    """The name of a component without the element in front and without numbers: ``Cu_r2_1`` and ``r10`` are alike."""
    known = "|".join(re.escape(_in_file(element)) for element in sorted(elements, key=len, reverse=True))
    bare = re.sub(f"^(?:{known})_?", "", _in_file(component)) if known else _in_file(component)
    return re.sub("[0-9]+(_[0-9]+)*", "#", bare)


def write_typed_property(
    data: DataCollection,
    name: str,
    values: NDArray,
    types: Mapping[int, str],
    colors: Mapping[int, tuple[float, float, float]] | None = None,
) -> Property:
    """Add a particle property whose integers are named classes.

    Parameters
    ----------
    data : DataCollection
    name : str
    values : (N,) integer array
        −1 for particles without a class.
    types : mapping of int to str
        Name of every class.
    colors : mapping of int to RGB, optional
        Colours (0 to 1) of the classes; the others keep OVITO's default.
    """
    written = write_property(data, name, np.asarray(values, dtype=np.int32))
    for number, title in types.items():
        kind = ElementType(id=int(number), name=title)
        if colors and number in colors:
            kind.color = colors[number]
        written.types.append(kind)
    return written


def mean_and_spread(values: NDArray) -> tuple[float, float]:
    """Mean and standard deviation of the finite values; NaN if there are none."""
    finite = values[np.isfinite(values)]
    if not len(finite):
        return float("nan"), float("nan")
    return float(finite.mean(dtype=np.float64)), float(finite.std(dtype=np.float64))


def write_attributes(data: DataCollection, prefix: str, values: Mapping[str, float | int | str]) -> None:
    """Add global attributes ``prefix.key``."""
    for key, value in values.items():
        data.attributes[f"{prefix}.{key}"] = value


def write_table(
    data: DataCollection,
    identifier: str,
    title: str,
    *,
    x: tuple[str, ArrayLike],
    y: Mapping[str, ArrayLike],
    y_label: str,
) -> DataTable:
    """Add a line chart, or replace the one of this identifier.

    Parameters
    ----------
    data : DataCollection
    identifier, title : str
        Key in ``data.tables``, and heading.
    x : (label, values)
        The axis label carries the unit, as in ``"r (Å)"``.
    y : mapping of str to array
        One column for each curve.
    y_label : str
        Axis label with its unit; like all names of columns without ``/``, so ``eV Å⁻²``.
    """
    table = _new_table(data, identifier, title, DataTable.PlotMode.Line)
    label, positions = x
    table.x = table.create_property(label, data=np.asarray(positions))
    curves = [np.asarray(curve, dtype=np.float64) for curve in y.values()]
    if len(curves) == 1:
        table.y = table.create_property(y_label, data=curves[0])
    else:
        table.y = table.create_property(y_label, components=list(y), data=np.column_stack(curves))
    return table


def write_bar_chart(
    data: DataCollection,
    identifier: str,
    title: str,
    *,
    x: tuple[str, Sequence[str]],
    y: Mapping[str, ArrayLike],
    y_label: str,
) -> DataTable:
    """Add a bar chart, or replace the one of this identifier.

    Parameters
    ----------
    data : DataCollection
    identifier, title : str
        Key in ``data.tables``, and heading.
    x : (label, names)
        What the bars stand for, with its unit, and one name for each place.
    y : mapping of str to array
        Bars of one kind each, side by side.
    y_label : str
        Axis label with its unit.
    """
    label, names = x
    positions = np.arange(len(names), dtype=np.int32)
    table = write_table(data, identifier, title, x=(label, positions), y=y, y_label=y_label)
    table.plot_mode = DataTable.PlotMode.BarChart
    for number, name in enumerate(names):
        table.x.types.append(ElementType(id=number, name=name))  # type: ignore[union-attr]
    return table


def write_histogram(
    data: DataCollection, identifier: str, title: str, values: NDArray, label: str, bins: int = 100
) -> DataTable:
    """Add a histogram of the finite values, or replace the one of this identifier.

    Parameters
    ----------
    data : DataCollection
    identifier, title : str
        Key in ``data.tables``, and heading.
    values : (N,) array
    label : str
        Label of the horizontal axis, with the unit.
    bins : int
        Number of equal bins between the smallest and the largest value.
    """
    finite = np.asarray(values, dtype=np.float64)
    finite = finite[np.isfinite(finite)]
    counts, edges = np.histogram(finite, bins=bins, range=histogram_range(finite, bins))
    table = _new_table(data, identifier, title, DataTable.PlotMode.Histogram)
    table.y = table.create_property("Atoms", data=counts)
    table.interval = (float(edges[0]), float(edges[-1]))
    table.axis_label_x = label
    return table


def histogram_range(values: NDArray[np.float64], bins: int) -> tuple[float, float]:
    """Smallest and largest value, further apart where rounding errors are all that tells them apart."""
    if not len(values):
        return 0.0, 1.0
    low, high = float(values.min()), float(values.max())
    smallest = 2 * bins * float(np.spacing(max(abs(low), abs(high))))
    return (low, high) if high - low > smallest else (low - max(0.5, smallest), high + max(0.5, smallest))


def _new_table(data: DataCollection, identifier: str, title: str, plot_mode: DataTable.PlotMode) -> DataTable:
    """An empty table; OVITO alone would hand back the old one with its columns."""
    if identifier in data.tables:
        del data.tables[identifier]  # type: ignore[attr-defined]
    return data.tables.create(identifier=identifier, title=title, plot_mode=plot_mode)


@contextmanager
def selection_guard(data: DataCollection) -> Iterator[None]:
    """Give the particles their selection back, or none, after OVITO's own modifiers have run."""
    before = data.particles.selection
    kept = None if before is None else np.array(before[...])
    try:
        yield
    finally:
        if kept is not None:
            data.particles_.create_property("Selection", data=kept)
        elif data.particles.selection is not None:
            del data.particles_["Selection"]


def color_by_type(data: DataCollection, name: str) -> None:
    """Colour the particles by a typed property with OVITO's own colouring by type."""
    with selection_guard(data):
        data.apply(ColorByTypeModifier(property=name, clear_selection=False))


def color_by(data: DataCollection, name: str, wanted: str = "", prefix: str = "") -> None:
    """Colour the particles by a scalar property with OVITO's own colour coding (Viridis).

    Particles without a value are grey, since OVITO would give them the colour of the smallest. Without any finite
    value the colours stay as they were.

    Parameters
    ----------
    data : DataCollection
    name : str
        Particle property.
    wanted : str
        A `ColorRange`; by default a `robust_range` of the values.
    prefix : str
        With it the range is told in the attributes ``prefix.color_low`` and ``prefix.color_high``.
    """
    values = np.asarray(data.particles[name])
    known = np.isfinite(values)
    if not known.any():
        return
    low, high = limits_of(wanted) or robust_range(values)
    gradient = ColorCodingModifier.Viridis()
    data.apply(ColorCodingModifier(property=name, gradient=gradient, start_value=low, end_value=high))
    data.particles_["Color_"][~known] = NO_VALUE
    if prefix:
        write_attributes(data, prefix, {"color_low": low, "color_high": high})
