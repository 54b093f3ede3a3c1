"""What a user chooses of a stiffness model."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["StiffnessSettings"]


@dataclass(frozen=True)
class StiffnessSettings:
    """What the model sees, and how its training begins.

    Attributes
    ----------
    design : str
        species (the default model) or rdf40 (the published one).
    seed : int
        Of the networks' first weights.
    """

    design: str = "species"
    seed: int = 1
