"""From OVITO's data to `Structure`: species names, cell, identifiers and selection."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, Particles
from ovito.pipeline import ModifierInterface

from ovito_glassml.adapter.notices import is_without_cell, say_once
from ovito_glassml.dimension import check_three_dimensional
from ovito_glassml.errors import GlassMLError
from ovito_glassml.structure import Structure, StructureError, chemical_order

__all__ = [
    "declared_species",
    "parse_species",
    "particle_column",
    "particles_of",
    "plain_name",
    "species_of_run",
    "structure_from_data",
]

#: Type numbers that span more than this are sorted: counting takes memory for each.
MOST_COUNTED = 1_000_000

#: Name of the single species of particles that have no types.
UNTYPED = "X"


def parse_species(species: str | Sequence[str]) -> tuple[str, ...]:
    """Names in type order from text such as ``"Cu,Zr"`` or from a sequence; empty means none given."""
    if isinstance(species, str):
        return tuple(name for name in re.split(r"[,;\s]+", species) if name)
    return tuple(str(name).strip() for name in species)


def particles_of(data: DataCollection) -> Particles:
    """The particles of a data collection that a three-dimensional analysis can take.

    Raises
    ------
    StructureError
        If there are no particles, or the cell is two-dimensional.
    """
    particles = data.particles
    if particles is None or particles.positions is None:
        raise StructureError("The data contains no particles; load a particle file or insert this modifier after one.")
    if data.cell is not None and data.cell.is2D:
        raise StructureError(
            "The simulation cell is two-dimensional and this analysis needs three dimensions; "
            "switch off the cell's 2D flag if that is a mistake."
        )
    return particles


def structure_from_data(
    data: DataCollection,
    *,
    species: str | Sequence[str] = "",
    only_selected: bool = False,
    names_needed: bool = True,
) -> Structure:
    """Positions, species, cell and selection of one frame as a `Structure`.

    Parameters
    ----------
    data : DataCollection
        One frame of OVITO's pipeline.
    species : str or sequence of str
        Names of the numeric particle types 1, 2 and so on, as ``"Cu,Zr"``, whether the frame has them or not;
        or of any numbers, as ``"0=Cu,7=Zr"``. Needed where the file does not name its types; where it does, these
        names take their place, unless they are the same names for other types.
    only_selected : bool
        Ask for results of the selected particles only; the others remain neighbours.
    names_needed : bool
        Whether the analysis knows species by name. If not, types without names are numbered
        (``"type 1"``) instead of being refused.

    Returns
    -------
    Structure
        Species in canonical order, only those present. A cell without volume and without
        periodic directions, or all of zeros, as files of isolated particles have, counts as no cell.

    Raises
    ------
    StructureError
        For data without particles, two-dimensional data (see `check_three_dimensional`), non-finite
        coordinates, unnamed types where names are needed, names that contradict those in the data, or
        `only_selected` without a selection.

    Examples
    --------
    From any file that OVITO reads:

    >>> from ovito.io import import_file
    >>> from ovito_glassml.adapter.input import structure_from_data
    >>> pipeline = import_file("sample_data/stiffness/vibrations-cu50zr50-1e12-1.xyz.gz")
    >>> glass = structure_from_data(pipeline.compute())
    >>> len(glass), glass.species_names
    (4000, ('Cu', 'Zr'))
    """
    particles = particles_of(data)
    kinds, names = _species_of(particles, parse_species(species), names_needed)
    cell, origin, pbc = _cell_of(data)
    identifiers = particles.identifiers
    structure = Structure(
        particles.positions[...],
        kinds,
        names,
        cell,
        origin,
        pbc,
        ids=None if identifiers is None else identifiers[...],
        mask=_selection_mask(particles) if only_selected else None,
    )
    check_three_dimensional(structure)
    return structure


def declared_species(
    data: DataCollection, species: str | Sequence[str] = "", names_needed: bool = True
) -> tuple[str, ...]:
    """Names of all particle types of a frame, present or not, in canonical order: those given, or else those declared.

    Parameters as for `structure_from_data`. Unlike the species of a `Structure`, these do not
    change when the last atom of a kind leaves, so columns made from them keep their meaning.
    """
    names = _type_names(particles_of(data), parse_species(species), names_needed)
    return chemical_order(name for name in names.values() if name)


def species_of_run(
    data: DataCollection,
    species: str,
    input_slots: Mapping[str, ModifierInterface.InputSlot],
    cache: DataCollection,
    names_needed: bool = True,
) -> tuple[str, ...]:
    """Names that make the same columns in every frame of a trajectory, in canonical order.

    Those given, or else those that this frame, the first and the last declare. A file may hold types in other frames
    that these three do not have; that is said, since this frame then has columns of its own.

    Parameters
    ----------
    data, species, names_needed
        As for `structure_from_data`.
    input_slots, cache
        What OVITO hands to a modifier. The first and the last frame are read once.
    """
    here = declared_species(data, species, names_needed)
    if parse_species(species):
        return here
    if "species" not in cache.attributes:
        upstream = input_slots["upstream"]
        ends = (0, upstream.num_frames - 1) if upstream.num_frames > 1 else ()
        names = {name for end in ends for name in _declared_in(upstream, end, names_needed)}
        cache.attributes["species"] = "\n".join(chemical_order(names))
    known = str(cache.attributes["species"]).split("\n")
    extra = [name for name in here if name not in known]
    if extra and any(known):
        say_once(
            cache,
            "species",
            f"Frames from here on may have other columns: neither the first nor the last frame has {', '.join(extra)}; "
            "give species with the names of all types to have the same columns in all frames.",
        )
    return chemical_order({*here, *filter(None, known)})


def _declared_in(upstream: ModifierInterface.InputSlot, frame: int, names_needed: bool) -> tuple[str, ...]:
    """As `declared_species`, for a frame that may have no particles or be of no use, which is then its own affair."""
    try:
        return declared_species(upstream.compute(frame), names_needed=names_needed)
    except (RuntimeError, GlassMLError):
        return ()


def plain_name(name: str) -> str:
    """A name without capitals, spaces and underscores, which file formats change."""
    return name.replace(" ", "").replace("_", "").lower()


def particle_column(
    data: DataCollection, name: str, parameter: str, component_names: Mapping[str, Sequence[str]] = MappingProxyType({})
) -> NDArray[np.float64]:
    """One number per particle: a property, or a component of one.

    Parameters
    ----------
    data : DataCollection
    name : str
        As OVITO writes it, such as ``"Stiffness"`` or ``"Prototype Similarity.Prototype 2"``; where there is no such
        property or component, one that `plain_name` makes the same. A component may also be given by a number:
        that in its name, as in ``"Prototype Similarity.2"``, or else its place, counted from 1 as OVITO does.
    parameter : str
        Of the modifier, for messages.
    component_names : mapping of str to sequence of str
        Names of the components of properties, by `plain_name`, for files that have lost them.

    Returns
    -------
    (N,) array
        NaN where integers are −1, which stands for no class or no value in this package.

    Raises
    ------
    StructureError
        If there is no such property or component, or the property has several.
    """
    particles = particles_of(data)
    wanted, _, component = name.partition(".")
    names = {plain_name(key): key for key in particles} | {key: key for key in particles}
    present = names.get(wanted, names.get(plain_name(wanted)))
    if present is None:
        known = component_names.get(plain_name(wanted), ())
        place = _place_of(component, known)
        # LAMMPS dumps have a column for each component, and no word about what belongs together.
        present, component = names.get(plain_name(wanted + (component if place is None else known[place]))), ""
    if present is None:
        raise StructureError(
            f"The particles have no property {wanted!r}; set {parameter} to one of {', '.join(particles)}, "
            "or put the modifier that makes it before this one."
        )
    values: Any = particles[present]
    column = np.array(values[...], dtype=np.float64)
    if values.dtype.kind in "iu":
        column[column == -1] = np.nan
    if column.ndim == 1 and not component:
        return column
    components = list(values.component_names) if column.ndim > 1 else []
    known = component_names.get(plain_name(present), ())
    if len(known) == len(components) == sum(text.isdigit() for text in components):
        components = list(known)
    place = _place_of(component, components)
    if place is None:
        have = f"components {', '.join(components)}" if components else "no components"
        example = f"{present}.{components[0]}" if components else present
        raise StructureError(f"{present} has {have}, but {name!r} is asked for; set {parameter} as in {example!r}.")
    return column[:, place]


def _place_of(component: str, names: Sequence[str]) -> int | None:
    """Index of a component given by name or number; None if there is no such component, or several."""
    numbers = [re.fullmatch(r"(\D*?)(\d+)", name) for name in names]
    if component.isdigit() and names and all(numbers) and len({found[1] for found in numbers if found}) == 1:
        places = [k for k, found in enumerate(numbers) if found and int(found[2]) == int(component)]
    elif component in names:
        places = [list(names).index(component)]
    elif component.isdigit():
        places = [int(component) - 1] if 0 < int(component) <= len(names) else []
    else:
        places = [k for k, name in enumerate(names) if component and plain_name(name) == plain_name(component)]
    return places[0] if len(places) == 1 else None


def _type_names(particles: Particles, given: tuple[str, ...], names_needed: bool) -> dict[int, str]:
    """Name of every numeric type, given, declared or used."""
    types = particles.particle_types
    if types is None and len(given) > 1 and particles.count:
        raise StructureError(
            f"The particles have no types, so species can name only one element, not {', '.join(given)}; "
            "read the types from the file, or give the name of that element."
        )
    used = [0] * min(particles.count, 1) if types is None else _distinct(types[...]).tolist()
    declared = dict.fromkeys(used, "")
    if types is not None:
        declared |= {kind.id: kind.name for kind in types.types}
    if given:
        names = {0: given[0]} if types is None and len(given) == 1 else _by_number(given)
        missing = [number for number in used if number not in names]
        if missing:
            known = ", ".join(f"{number} = {name}" for number, name in sorted(names.items()))
            raise StructureError(
                f"species names the types {known}, but there are particles of type {', '.join(map(str, missing))}; "
                f"give the names of types 1, 2 and so on, present or not, or with numbers, such as {missing[0]}=Cu."
            )
        _check_not_mixed_up(names, declared)
        return names
    if not names_needed:
        return {number: name or (UNTYPED if types is None else f"type {number}") for number, name in declared.items()}
    return declared


def _by_number(given: tuple[str, ...]) -> dict[int, str]:
    """Names of types 1, 2 and so on, or of the numbers that stand before them, as in ``0=Cu``."""
    names: dict[int, str] = {}
    for place, text in enumerate(given, start=1):
        number, _, name = text.rpartition("=")
        if not re.fullmatch(r"-?\d{1,10}|", number) or not name or int(number or place) in names:
            raise StructureError(
                f"species holds {text!r}, which names no type, or one that has a name; give the names of types 1, 2 "
                "and so on, such as Cu,Zr, or with their numbers, such as 0=Cu,7=Zr."
            )
        names[int(number or place)] = name
    return names


def _check_not_mixed_up(given: dict[int, str], declared: dict[int, str]) -> None:
    """Refuse names that the data has too, but for other types: readers number types as they come in the file."""
    for number, name in given.items():
        owners = [owner for owner, called in declared.items() if called == name]
        if owners and name not in [given.get(owner) for owner in owners]:
            known = ", ".join(f"{owner} = {called}" for owner, called in sorted(declared.items()))
            raise StructureError(
                f"species calls type {number} {name}, but in the data that is the name of type {owners[0]} ({known}); "
                "leave species empty, or give the names in the order of these numbers."
            )


def _species_of(
    particles: Particles, given: tuple[str, ...], names_needed: bool
) -> tuple[NDArray[np.int32], tuple[str, ...]]:
    """Species index of every particle, and the names in canonical order."""
    name_of = _type_names(particles, given, names_needed)
    types = particles.particle_types
    kinds = np.zeros(particles.count, dtype=np.int32) if types is None else types[...]
    present = _distinct(kinds)
    unnamed = [int(kind) for kind in present if not name_of[int(kind)]]
    if unnamed:
        what = "Particles have no types" if types is None else f"Particle types {unnamed} have no names"
        raise StructureError(
            f"{what}, but this analysis knows elements by name; set species to the names in type order, such as Cu,Zr "
            "(--species Cu,Zr)."
        )
    here = {name_of[int(kind)] for kind in present}
    names = tuple(name for name in chemical_order(filter(None, name_of.values())) if name in here)
    index = np.array([names.index(name_of[int(kind)]) for kind in present], dtype=np.int32)
    species = index[np.searchsorted(present, kinds)] if len(kinds) else np.zeros(0, dtype=np.int32)
    return species, names or (UNTYPED,)


def _distinct(kinds: NDArray) -> NDArray:
    """Sorted distinct type numbers; they are few, so counting beats sorting a million atoms."""
    if not len(kinds):
        return kinds
    lowest, highest = int(kinds.min()), int(kinds.max())
    if highest - lowest > MOST_COUNTED:
        return np.unique(kinds)
    return np.flatnonzero(np.bincount(kinds - lowest)) + lowest


def _cell_of(data: DataCollection) -> tuple[NDArray | None, NDArray, tuple[bool, ...]]:
    """Cell vectors as rows, origin and periodic flags."""
    if is_without_cell(data):
        return None, np.zeros(3), ()
    matrix = np.array(data.cell[...], dtype=np.float64)
    return matrix[:, :3].T, matrix[:, 3], tuple(bool(flag) for flag in data.cell.pbc)


def _selection_mask(particles: Particles) -> NDArray[np.bool_]:
    selection = particles.selection
    if selection is None:
        raise StructureError("only_selected is on but nothing is selected; select particles upstream or switch it off.")
    return selection[...] != 0
