"""What a user chooses of a model of propensity."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["PropensitySettings"]


@dataclass(frozen=True)
class PropensitySettings:
    """What is learned, and from what.

    Attributes
    ----------
    active_species : str
        The species whose atoms are predicted.
    nearest : float
        Nearest-neighbour distance, in the unit of the files.
    cutoff : float
        Range of the radial functions, in nearest-neighbour distances.
    n_max : int
        Radial functions of each species.
    angle_cutoff : float
        Range within which angles between neighbours are looked at, too, in nearest-neighbour distances, such as 2.5;
        0 for distances alone. Angles need some ten thousand atoms to learn from.
    """

    active_species: str
    nearest: float
    cutoff: float = 5.0
    n_max: int = 12
    angle_cutoff: float = 0.0
