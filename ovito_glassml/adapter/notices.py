"""What a user has to know about the input of a run: said once, and an attribute in every frame."""

from __future__ import annotations

from weakref import WeakKeyDictionary

import numpy as np
from ovito.data import DataCollection
from traits.api import HasTraits

__all__ = ["is_without_cell", "note_foreign_unit", "note_missing_cell", "note_other_model", "say_once"]

#: Atoms in the cube of a unit of length: more than any material has in a cubic ångström. Diamond, the densest,
#: has 0.18; Lennard-Jones liquids have about 1.
MOST_PER_CUBIC_ANGSTROM = 0.25

#: Fewer atoms in open space have no density worth the name.
FEWEST_FOR_DENSITY = 100


#: What was said for which modifier: OVITO may drop a data cache between two frames.
_SAID: WeakKeyDictionary[HasTraits, set[str]] = WeakKeyDictionary()

#: Models that a modifier took for the frames that it has seen.
_TAKEN: WeakKeyDictionary[HasTraits, set[str]] = WeakKeyDictionary()


def say_once(cache: DataCollection, subject: str, sentence: str, modifier: HasTraits | None = None) -> None:
    """Print a sentence, unless one on this subject was printed before for the same modifier in the same pipeline.

    Parameters
    ----------
    cache : DataCollection
        The data cache that OVITO hands to the modifier; it forgets when a parameter or the input changes.
    subject, sentence : str
    modifier : HasTraits, optional
        Remembers as well what was said on a subject.
    """
    said = _SAID.setdefault(modifier, set()) if modifier is not None else set()
    if f"said: {subject}" not in cache.attributes and subject not in said:
        print(sentence)
    cache.attributes[f"said: {subject}"] = 1
    said.add(subject)


def is_without_cell(data: DataCollection) -> bool:
    """Whether a frame has no cell, or one that stands for none: flat and open, or all zeros, which may say periodic.

    GROMACS writes zeros for what it simulated without a box.
    """
    if data.cell is None:
        return True
    vectors = np.array(data.cell[:, :3], dtype=np.float64)
    flat = np.isfinite(vectors).all() and np.linalg.matrix_rank(vectors) < 3
    return bool(flat and not (any(data.cell.pbc) and vectors.any()))


def note_missing_cell(data: DataCollection, cache: DataCollection, modifier: HasTraits) -> None:
    """Say that data have no simulation cell, for modifiers to which neighbours matter, in the attribute ``no_cell``."""
    missing = is_without_cell(data)
    data.attributes[f"{_prefix(modifier)}.no_cell"] = int(missing)
    if missing:
        say_once(
            cache,
            f"cell of {data.attributes.get('SourceFile')}",
            f"{_prefix(modifier)}: there is no simulation cell, so all boundaries are open and atoms at the surface "
            "lack neighbours; if the file should have a cell, it is written in a way that OVITO does not read.",
            modifier,
        )


def note_other_model(cache: DataCollection, modifier: HasTraits, name: str) -> None:
    """Say that frames take different models, where a modifier chooses them; the attribute is ``model``."""
    taken = _TAKEN.setdefault(modifier, set())
    taken.add(name)
    if others := sorted(taken - {name}):
        say_once(
            cache,
            "models",
            f"{_prefix(modifier)}: this frame looks most like the training data of {name}, others like those of "
            f"{' and '.join(others)}; {_prefix(modifier)}.model says which model a frame got, and values of different "
            "models do not compare: set model to have one for all.",
            modifier,
        )


def note_foreign_unit(
    data: DataCollection, cache: DataCollection, modifier: HasTraits, *lengths: str, beside: str = ""
) -> None:
    """Say that lengths are hardly ångströms while parameters keep defaults in Å, in the attribute ``foreign_unit``.

    Parameters
    ----------
    data, cache : DataCollection
    modifier : HasTraits
    *lengths : str
        Its parameters with a default in Å; without any the modifier knows no other unit.
    beside : str
        What else to do, after the lengths.
    """
    usual = not lengths or any(getattr(modifier, name) == modifier.trait(name).default for name in lengths)
    density = _density(data)
    foreign = usual and density > MOST_PER_CUBIC_ANGSTROM
    data.attributes[f"{_prefix(modifier)}.foreign_unit"] = int(foreign)
    if foreign:
        remedy = f"set {' and '.join(lengths)} in the unit of the file" if lengths else "scale the coordinates to Å"
        remedy += beside
        say_once(
            cache,
            f"unit of {data.attributes.get('SourceFile')}",
            f"{_prefix(modifier)}: there are {density:.2g} atoms in the cube of a unit of length, more than any "
            f"material has in a cubic Å, so the lengths of this modifier, which are in Å, cannot fit; {remedy}.",
            modifier,
        )


def _prefix(modifier: HasTraits) -> str:
    """What the names of a modifier's attributes begin with."""
    return type(modifier).__name__.removesuffix("Modifier")


def _density(data: DataCollection) -> float:
    """Atoms by volume, of the cell or of what they take up in open space; 0 where that has no meaning."""
    count = data.particles.count if data.particles is not None else 0
    volume = data.cell.volume if data.cell is not None else 0.0
    if (data.cell is None or not all(data.cell.pbc)) and count >= FEWEST_FOR_DENSITY:
        # Atoms at the surface stick out of the box around the centres, by half a spacing.
        edge = count ** (1 / 3)
        around = float(np.prod(np.ptp(data.particles.positions[...], axis=0) * edge / (edge - 1)))
        volume = min(volume, around) if volume > 0 else around
    return count / volume if volume > 0 else 0.0
