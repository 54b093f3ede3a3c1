"""What a user chooses of a prototype network."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["ScnnSettings"]


@dataclass(frozen=True)
class ScnnSettings:
    """What the network sees, and how its training begins.

    Attributes
    ----------
    design : str
        environment (the default model) or bessel (the published 264).
    seed : int
        Of the network's first weights.
    """

    design: str = "environment"
    seed: int = 1
