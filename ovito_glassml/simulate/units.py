"""What the unit systems of LAMMPS mean for results and settings."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["UNITS", "UnitSystem"]


@dataclass(frozen=True)
class UnitSystem:
    """One of LAMMPS's unit systems.

    Attributes
    ----------
    boltzmann : float
        Boltzmann constant in its units.
    length, energy, time, temperature : str
        Names, as results and help texts state them. `time` is that of settings: picoseconds also where LAMMPS counts
        in femtoseconds.
    times : float
        LAMMPS's time units in one of settings.
    rates : float
        Settings' time units in that of cooling and shear rates, which are quoted per second except in reduced units.
    stress : float
        One unit of LAMMPS's pressure in the unit in which stresses are written: GPa, or reduced.
    work : float
        That unit of stress times a unit of volume, in units of energy.
    cooling_rate, fast_rate : float
        Usual rates: through the glass transition, and above and below.
    shear_rate : float
        A usual shear rate.
    force_tolerance : float
        Largest force component on any atom of a minimised structure, in LAMMPS's units; loose enough for tabulated
        potentials.
    skin : float
        Of neighbour lists; small, because glasses hardly move.
    inertia : float
        The time √(mass/energy)·length of one unit each, in LAMMPS's time units.
    """

    boltzmann: float
    length: str
    energy: str
    time: str
    temperature: str
    times: float
    rates: float
    stress: float
    work: float
    cooling_rate: float
    fast_rate: float
    shear_rate: float
    force_tolerance: float
    skin: float
    inertia: float

    @property
    def cooling(self) -> str:
        """Unit of cooling rates."""
        return "K/s" if self.temperature == "K" else f"{self.temperature}/{self.time}"


#: LAMMPS's name → unit system.
UNITS = {
    "metal": UnitSystem(
        8.617333262e-5, "angstrom", "eV", "ps", "K", 1.0, 1e12, 1e-4, 6.241509e-3, 1e12, 2e13, 1e9, 1e-5, 0.5,
        0.010180505,
    ),
    "real": UnitSystem(
        1.987204259e-3, "angstrom", "kcal/mol", "ps", "K",
        1e3, 1e12, 1.01325e-4, 0.1439326, 1e12, 2e13, 1e9, 2e-4, 0.5, 48.88821,
    ),
    "lj": UnitSystem(1.0, "sigma", "epsilon", "τ", "ε/k_B", 1.0, 1.0, 1.0, 1.0, 5e-4, 1e-2, 1e-4, 1e-6, 0.3, 1.0),
}  # fmt: skip
