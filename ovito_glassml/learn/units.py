"""Units of training data on a card: what the data or the user state, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass

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


#: Of data about which nobody has said anything.
UNSTATED = Units()

#: Of the metals that this package has models of.
METAL = Units("angstrom", "eV")
