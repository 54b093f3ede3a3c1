"""What a user chooses of a classifier of activity."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ActivitySettings"]


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
        Neighbours in a correlation, 1 to 3.
    method : str
        logistic, svm or ard.
    activation : str
        What moved the atoms, for the card: thermal or shear; by default what the files say.
    """

    active_species: str
    nearest: float
    cutoff: float = 4.0
    order: int = 3
    method: str = "logistic"
    activation: str = ""
