"""Molecular dynamics and relaxation of many glasses at once, a block of threads of a graphics processor each."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.device.device import ROOM, SKIN, Device, GraphicsProcessor, Tables, packed, shared_bytes
from ovito_glassml.simulate.local_forces import PotentialTables

__all__ = ["ManyGlasses"]

#: Thermostats in a chain.
CHAIN = 3
#: Thermostat's period in time steps, as in `engine`.
DAMP = 50
#: Å/ps², of 1 g/mol under 1 eV/Å; eV/K.
ATOMIC_ACCELERATION, BOLTZMANN = 9648.5332, 8.617333262e-5

_GLASSES = np.dtype(
    [
        ("positions", np.uint64), ("velocities", np.uint64), ("forces", np.uint64), ("listed_at", np.uint64),
        ("neighbours", np.uint64), ("counts", np.uint64), ("kinds", np.uint64), ("lengths", np.uint64),
        ("masses", "f8", 2), ("skin", "f8"), ("atoms", "i4"), ("room", "i4"),
    ],
    align=True,
)  # fmt: skip


class ManyGlasses:
    """Glasses of equally many atoms in cubic periodic cells of their own.

    Parameters
    ----------
    tables : PotentialTables
        Of two species, with one density function for both directions of the mixed pair.
    masses : sequence of two floats
        g/mol.
    positions : (G, N, 3) array
        Å.
    kinds : (G, N) array of 0 and 1
    lengths : (G,) array
        Edges of the cells, Å.
    device : Device, optional
        Default: the graphics processor.

    Raises
    ------
    SimulationError
        For another kind of potential, more than 65 535 atoms, or cells too small for one image of each pair.
    """

    def __init__(
        self,
        tables: PotentialTables,
        masses: tuple[float, ...],
        positions: NDArray,
        kinds: NDArray,
        lengths: NDArray,
        device: Device | None = None,
    ) -> None:
        self.device = device or GraphicsProcessor()
        self.count, self.atoms = positions.shape[:2]
        self.masses = np.asarray(masses, dtype=np.float64)[kinds]
        self._tables = Tables(tables, self.device, self.atoms, lengths)
        make = self.device.array
        self._arrays = {
            "positions": make(np.ascontiguousarray(positions, dtype=np.float64)),
            "velocities": make(np.zeros((self.count, self.atoms, 3))),
            "forces": make(np.zeros((self.count, self.atoms, 3), dtype=np.float32)),
            "listed_at": make(np.zeros((self.count, self.atoms, 4), dtype=np.float32)),
            "neighbours": make(np.zeros((self.count, ROOM, self.atoms), dtype=np.uint16)),
            "counts": make(np.zeros((self.count, self.atoms, 2), dtype=np.int32)),
            "kinds": make(np.ascontiguousarray(kinds, dtype=np.uint8)),
            "lengths": make(np.asarray(lengths, dtype=np.float64)),
        }
        self._rates = make(np.zeros((self.count, CHAIN)))
        sizes = {"atoms": self.atoms, "room": ROOM, "skin": SKIN}
        self._glasses = packed(self.device, _GLASSES, self._arrays, masses=np.asarray(masses), **sizes)

    @property
    def positions(self) -> NDArray[np.float64]:
        """(G, N, 3), Å, with periodic images undone."""
        return self.device.host(self._arrays["positions"])

    @positions.setter
    def positions(self, values: NDArray) -> None:
        self._arrays["positions"][...] = self.device.array(np.ascontiguousarray(values, dtype=np.float64))

    @property
    def velocities(self) -> NDArray[np.float64]:
        """(G, N, 3), Å/ps."""
        return self.device.host(self._arrays["velocities"])

    @property
    def forces(self) -> NDArray[np.float32]:
        """(G, N, 3), eV/Å, of the last step."""
        return self.device.host(self._arrays["forces"])

    @property
    def temperatures(self) -> NDArray[np.float64]:
        """(G,), K."""
        twice = (self.masses[..., None] * self.velocities**2).sum(axis=(1, 2)) / ATOMIC_ACCELERATION
        return twice / ((3 * self.atoms - 3) * BOLTZMANN)

    def give_velocities(self, temperatures: ArrayLike, seeds: ArrayLike) -> None:
        """Maxwell's distribution at rest as a whole, scaled to the temperatures (G,) in K; thermostats at zero."""
        deviation = np.sqrt(BOLTZMANN * ATOMIC_ACCELERATION / self.masses)
        velocities = np.empty((self.count, self.atoms, 3))
        for glass, seed in enumerate(np.broadcast_to(seeds, self.count)):
            velocities[glass] = (
                np.random.default_rng(int(seed)).normal(size=(self.atoms, 3)) * deviation[glass, :, None]
            )
            mass = self.masses[glass, :, None]
            velocities[glass] -= (mass * velocities[glass]).sum(axis=0) / mass.sum()
        self._arrays["velocities"][...] = self.device.array(velocities)
        factor = np.sqrt(np.broadcast_to(temperatures, self.count) / self.temperatures)
        self._arrays["velocities"][...] = self.device.array(velocities * factor[:, None, None])
        self._rates[...] = 0.0

    def run(
        self, steps: int, start: ArrayLike, stop: ArrayLike, timestep: float, first: int = 0, total: int | None = None
    ) -> None:
        """Constant volume, Nosé-Hoover chains.

        Parameters
        ----------
        steps : int
            Number of steps now.
        start, stop : (G,) arrays or floats
            K, temperatures at both ends of a ramp over `total` steps, of which `first` are already done.
        timestep : float
            ps.
        first, total : int
            `total` None: this run is the whole ramp.
        """
        ends = [
            self.device.array(np.array(np.broadcast_to(value, self.count), dtype=np.float64)) for value in (start, stop)
        ]
        arguments = (
            np.int32(steps), np.float64(timestep), np.float64(DAMP * timestep), *ends, np.int32(first),
            np.int32(first + steps if total is None else total), self._rates,
        )  # fmt: skip
        self._launch("dynamics", arguments)

    def relax(self, force_tolerance: float, steps: int = 20000) -> NDArray[np.float32]:
        """Move every glass to the minimum below it; velocities are lost.

        Returns
        -------
        (G,) array
            Largest force that is left on any atom, eV/Å; above the tolerance where the steps did not suffice.
        """
        left = self.device.array(np.zeros(self.count, dtype=np.float32))
        self._launch("relaxation", (np.int32(steps), np.float32(force_tolerance), left))
        return self.device.host(left)

    def _launch(self, kernel: str, arguments: tuple) -> None:
        longest = self.device.array(np.zeros(self.count, dtype=np.int32))
        shared = shared_bytes(self._tables, self.atoms, "many_glasses", "single")
        arguments = (self._glasses, self._tables.structure, *arguments, longest)
        self.device.launch("many_glasses", "single", kernel, self.count, shared, arguments)
        found = int(self.device.host(longest).max())
        if found >= ROOM - 8:
            raise SimulationError(f"An atom has {found} neighbours or more; this is no glass, look at its density.")
        if not np.isfinite(self.positions).all():
            raise SimulationError("Atoms flew apart; relax the starting arrangement or take a shorter time step.")
