"""What a user chooses of a classifier of activity."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RADIUS", "ActivitySettings"]

#: Radius of the averages in nearest-neighbour distances: of 1.6 to 4 the best for Kob-Andersen's mixture and Cu50Zr50.
RADIUS = 4.0


@dataclass(frozen=True)
class ActivitySettings:
    """What is learned, and from what.

    Attributes
    ----------
    active_species : str
        The species that is labelled.
    nearest : float
        Nearest-neighbour distance, in the unit of the files.
    cutoff : float
        Range of the descriptors, in nearest-neighbour distances.
    order : int
        Neighbours in a correlation, 1 to 3. Angles add little where averages are formed.
    average_radius : float
        Radius within which the descriptors of neighbours are averaged, in nearest-neighbour distances; half of the
        smallest box at most, 0 for none. What is soft around an atom says more than the atom itself.
    method : str
        logistic, svm or ard.
    activation : str
        What moved the atoms, for the card: thermal or shear; by default what the files say.
    """

    active_species: str
    nearest: float
    cutoff: float = 3.0
    order: int = 1
    average_radius: float = RADIUS
    method: str = "logistic"
    activation: str = ""
