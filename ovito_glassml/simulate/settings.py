"""Settings of protocols that a material fills in."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from ovito_glassml.errors import SimulationError

__all__ = ["FROM_MATERIAL", "MINIMUM_ATOMS", "check_atoms", "filled_in", "given", "rounded", "seed_of"]

Settings = TypeVar("Settings")

#: Default of a number that follows from the material; of several numbers it is ().
FROM_MATERIAL = math.nan

#: A smaller cell is narrower than twice the range of the forces.
MINIMUM_ATOMS = 100


def given(value: Any) -> bool:
    """Whether a setting says something of its own."""
    return value != () and not (isinstance(value, float) and math.isnan(value))


def filled_in(settings: Settings, values: Mapping[str, Any]) -> Settings:
    """The settings with `values` where they say nothing of their own.

    Raises
    ------
    SimulationError
        If settings and material do not fit each other.
    """
    missing = {name: value for name, value in values.items() if not given(getattr(settings, name))}
    return replace(settings, **missing)  # type: ignore[type-var]


def complete(settings: Any) -> bool:
    """Whether nothing is left to a material."""
    return all(given(getattr(settings, entry.name)) for entry in fields(settings))


def rounded(value: float) -> float:
    """Four digits, so that a share of a temperature is a number that people write."""
    return float(f"{value:.4g}")


def seed_of(temperature: float) -> int:
    """What is added to a seed so that runs at different temperatures differ, also where all are below one."""
    return round(temperature) if temperature >= 10 else round(1e4 * temperature)


def check_atoms(atoms: int) -> None:
    if atoms < MINIMUM_ATOMS:
        raise SimulationError(f"A glass of {atoms} atoms is smaller than twice the cutoff; give at least 100.")
