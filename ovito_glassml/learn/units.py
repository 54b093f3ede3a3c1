"""Units of training data on a card: what the data or the user state, and nothing else."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ovito_glassml.errors import TrainingError

__all__ = ["METAL", "NOT_STATED", "UNSTATED", "Units"]

#: Stands on a card where nobody has said it.
NOT_STATED = "not stated"

_SYMBOLS = {"angstrom": "Å", "sigma": "σ", "epsilon": "ε"}


@dataclass(frozen=True)
class Units:
    """Units of structures and labels.

    Attributes
    ----------
    length, energy : str
        Such as ``angstrom`` and ``eV``, or ``sigma`` and ``epsilon``.
    """

    length: str = NOT_STATED
    energy: str = NOT_STATED

    @classmethod
    def of_files(cls, said: Sequence[Mapping[str, str]], length: str = "", energy: str = "") -> Units:
        """Those that a user gives, otherwise those that all files state.

        Parameters
        ----------
        said : sequence of dict
            For every file ``length_unit`` and ``energy_unit``, where it states them.
        length, energy : str
            What the user says; empty for nothing.

        Raises
        ------
        TrainingError
            If files state different units and the user does not say which.
        """
        return cls(length or _common(said, "length_unit"), energy or _common(said, "energy_unit"))

    @property
    def stiffness(self) -> str:
        """Of energy per squared length."""
        return "unit not stated" if NOT_STATED in (self.length, self.energy) else f"{self._energy}/{self._length}²"

    @property
    def barrier(self) -> str:
        """Of an energy, behind the number."""
        return "(unit not stated)" if self.energy == NOT_STATED else self._energy

    @property
    def energy_per_atom(self) -> str:
        """Of the energy of a structure."""
        return "unit not stated" if self.energy == NOT_STATED else f"{self._energy}/atom"

    @property
    def small_energy(self) -> str:
        """A thousandth of that, in which errors are told."""
        if self.energy == NOT_STATED:
            return "thousandths per atom, unit not stated"
        return f"m{self._energy}/atom" if self.energy == "eV" else f"10⁻³ {self._energy}/atom"

    @property
    def _length(self) -> str:
        return _SYMBOLS.get(self.length, self.length)

    @property
    def _energy(self) -> str:
        return _SYMBOLS.get(self.energy, self.energy)


def _common(said: Sequence[Mapping[str, str]], name: str) -> str:
    values = sorted({one[name] for one in said if name in one})
    if len(values) > 1:
        unit, different = name.replace("_", " "), " and ".join(values)
        raise TrainingError(f"The files state different {unit}s, {different}; learn from files in one unit.")
    return values[0] if values and all(name in one for one in said) else NOT_STATED


#: Of data about which nobody has said anything.
UNSTATED = Units()

#: Of the metals that this package has models of.
METAL = Units("angstrom", "eV")
