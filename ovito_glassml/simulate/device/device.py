"""Many glasses at once on a graphics processor, a block of threads each: memory, launches, tables of the potential.

One glass of some thousand atoms cannot fill a card, and neither can a hundred of them if every step is a
launch of its own. Where a block of threads keeps one glass to itself and goes through thousands of steps
in one launch, a hundred glasses take as long as one. What all kernels share is in ``block_forces.cu``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.local_forces import INTERVALS, PotentialTables

__all__ = ["ROOM", "SKIN", "THREADS", "Device", "GraphicsProcessor", "Tables", "packed", "shared_bytes"]

#: Threads a block, powers of two, by file of kernels: two blocks then fit on one multiprocessor, and in a
#: search about as many atoms move.
THREADS = {"many_glasses": 512, "many_saddles": 256}
#: Å; with it lists last for some tens of steps in a glass and still fit into ROOM.
SKIN = 0.6
#: Neighbours that a list can hold: all within 8.2 Å in crystalline copper, and a third more.
ROOM = 256

Precision = Literal["single", "double"]

_REAL = {
    "single": "typedef float real; typedef float4 real4;\n",
    "double": "typedef double real; struct __align__(16) real4 { double x, y, z, w; };\n",
}

_POTENTIAL = np.dtype(
    [
        ("pairs", np.uint64), ("embedding", np.uint64), ("per_density", "f8"), ("per_square", "f8"),
        ("reach", "f8"), ("near_reach", "f8"), ("intervals", "i4"), ("rows", "i4"),
    ],
    align=True,
)  # fmt: skip


class Device(Protocol):
    """Where kernels run."""

    def array(self, values: NDArray) -> Any:
        """A copy in the memory of the device."""

    def host(self, values: Any) -> NDArray:
        """A copy in our memory."""

    def pointer(self, values: Any) -> int:
        """Address of an array on the device."""

    def multiprocessors(self) -> int:
        """How many blocks of large size run side by side."""

    def launch(
        self, file: str, precision: Precision, kernel: str, blocks: int, shared: int, arguments: tuple[Any, ...]
    ) -> None:
        """Run a kernel of ``file.cu`` with so many bytes of shared memory a block."""


class GraphicsProcessor:
    """An NVIDIA card through CuPy.

    Raises
    ------
    SimulationError
        If CuPy is missing or finds no card.
    """

    def __init__(self) -> None:
        try:
            import cupy

            self._properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.runtime.getDevice())
        except Exception as error:  # CuPy raises errors of its own, of many kinds
            raise SimulationError(
                f"No CUDA card can be used ({error}); install CuPy for your CUDA, or simulate on processors."
            ) from error
        self._cupy = cupy
        self._modules: dict[tuple[str, Precision], Any] = {}

    def array(self, values: NDArray) -> Any:
        return self._cupy.asarray(values)

    def host(self, values: Any) -> NDArray:
        return self._cupy.asnumpy(values)

    def pointer(self, values: Any) -> int:
        return int(values.data.ptr)

    def multiprocessors(self) -> int:
        return int(self._properties["multiProcessorCount"])

    def launch(
        self, file: str, precision: Precision, kernel: str, blocks: int, shared: int, arguments: tuple[Any, ...]
    ) -> None:
        if (file, precision) not in self._modules:
            source = _REAL[precision] + "".join(
                (Path(__file__).parent / f"{name}.cu").read_text(encoding="utf-8") for name in ("block_forces", file)
            )
            self._modules[file, precision] = self._cupy.RawModule(code=source, options=("-std=c++17",))
        function = self._modules[file, precision].get_function(kernel)
        function.max_dynamic_shared_size_bytes = shared
        function((blocks,), (THREADS[file],), arguments, shared_mem=shared)


def packed(device: Device, layout: np.dtype, arrays: dict[str, Any], **values: Any) -> Any:
    """A structure of the kernels in the memory of the device: addresses of `arrays`, and `values`."""
    structure = np.zeros((), dtype=layout)
    for name, array in arrays.items():
        structure[name] = device.pointer(array)
    for name, value in values.items():
        structure[name] = value
    return device.array(np.frombuffer(structure.tobytes(), dtype=np.uint8).copy())


class Tables:
    """A potential on the device; `structure` is what kernels take.

    Parameters
    ----------
    tables : PotentialTables
        Of two species, with one density function for both directions of the mixed pair.
    device : Device
    atoms : int
        Of a glass; at most 65 535.
    lengths : (G,) array
        Edges of the cells, Å.

    Raises
    ------
    SimulationError
        For another kind of potential, too many atoms, or cells too small for one image of each pair.
    """

    def __init__(self, tables: PotentialTables, device: Device, atoms: int, lengths: NDArray) -> None:
        _check(tables, atoms, lengths)
        knots = _pair_knots(tables)
        # Kept, because the structure only holds addresses.
        self.arrays = {"pairs": device.array(knots), "embedding": device.array(np.ascontiguousarray(tables.embedding))}
        self.knots = knots.shape[0] * knots.shape[1]
        end = tables.cutoff**2 * (1 - 1e-6)  # a little less, so that rounding cannot lead past the end of the table
        self.structure = packed(
            device,
            _POTENTIAL,
            self.arrays,
            per_density=tables.per_density,
            per_square=tables.per_square * (knots.shape[1] - 1) / INTERVALS,
            reach=end,
            near_reach=min(tables.density_reach.max() ** 2, end),
            intervals=knots.shape[1] - 1,
            rows=tables.embedding.shape[1],
        )


def shared_bytes(tables: Tables, atoms: int, file: str, precision: Precision) -> int:
    """Shared memory of a block: table of pairs, places and slopes of the atoms, and scratch."""
    real = {"single": 4, "double": 8}[precision]
    return 16 * tables.knots + 5 * real * atoms + 8 * THREADS[file]


def _check(tables: PotentialTables, atoms: int, lengths: NDArray) -> None:
    density = _by_pair(tables)[:, :, :, 1] if tables.species == 2 else None
    if density is None or not np.array_equal(density[0, 1], density[1, 0]):
        raise SimulationError("Many glasses at once need two species whose mixed density is the same both ways.")
    if atoms >= 2**16:
        raise SimulationError(f"Glasses of {atoms} atoms are too large here; give fewer than 65 536.")
    smallest = 2 * (tables.cutoff + SKIN)
    if min(lengths) < smallest:
        raise SimulationError(f"A cell is only {min(lengths):.1f} Å wide; {smallest:.1f} Å are needed.")


def _by_pair(tables: PotentialTables) -> NDArray[np.float64]:
    """Coefficients (species, species, interval, function, power)."""
    return tables.pairs.reshape(tables.species, tables.species, INTERVALS, 3, 4)


def _pair_knots(tables: PotentialTables, coarser: int = 2) -> NDArray[np.float32]:
    """Energy, slope, density, slope (3, intervals + 1, 4) of the pairs 00, 01, 11 at every second knot."""
    every = _by_pair(tables)[:, :, ::coarser]
    knots = np.zeros((3, every.shape[2] + 1, 4), dtype=np.float32)
    for row, pair in enumerate(((0, 0), (0, 1), (1, 1))):
        knots[row, :-1, 0::2] = every[pair][:, :2, 0]
        knots[row, :-1, 1::2] = coarser * every[pair][:, :2, 1]
    return knots
