"""Radial distribution function of every atom."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.blocks import Fill, fill_rows, separate_blocks, species_columns
from ovito_glassml.descriptors.radial_histogram import radial_histogram
from ovito_glassml.neighbours import Progress, build_cell_list
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import run_tasks

__all__ = ["RDFDescriptors"]


@dataclass(frozen=True)
class RDFDescriptors:
    """g_i(r) = n_i(r) / (4π r² ρ Δr), the radial distribution function about a single atom.

    n_i(r) is the number of neighbours whose distance lies in the bin of width Δr centred at r;
    bins are half open, so a neighbour on an edge belongs to the upper bin.

    Parameters
    ----------
    r_min, r_max : float
        Range of distances in the structure's length unit. The defaults, 2 to 10 Å, begin below
        the first peak of metallic glasses and end where their order has faded.
    bin_width : float
        Δr, by default 0.2 Å: 40 bins. The range must be a whole number of bins.
    partial : tuple of str, optional
        Names of species: one function for the neighbours of each, in this order, all divided by
        the *total* density, so that they add up to the function of all neighbours. None counts
        all neighbours alike.
    number_density : float, optional
        ρ in atoms per cubed length unit. None uses N/V, which is wrong for a structure with
        free surfaces and undefined without a cell.

    Raises
    ------
    StructureError
        For settings that make no range, and, when computing, for a structure without a cell if
        `number_density` is None or with species that `partial` does not name.

    Examples
    --------
    In the cubic crystal every atom has six neighbours at 2.5 Å, which are in the bin from 2.4 to 2.6 Å:

    >>> from ovito_glassml.descriptors.rdf import RDFDescriptors
    >>> descriptor = RDFDescriptors()
    >>> rows = descriptor.compute(crystal)
    >>> rows.shape, descriptor.feature_names[2]
    ((27, 40), 'r2_5')
    >>> float(round(rows[0, 2] * 4 * np.pi * 2.5**2 * 0.2 * crystal.number_density, 3))
    6.0
    """

    r_min: float = 2.0
    r_max: float = 10.0
    bin_width: float = 0.2
    partial: tuple[str, ...] | None = None
    number_density: float | None = None

    def __post_init__(self) -> None:
        if not (self.bin_width > 0 and 0 <= self.r_min < self.r_max < np.inf):
            raise StructureError(
                f"RDF bins of {self.bin_width} from {self.r_min} to {self.r_max} are no range; "
                "give 0 <= r_min < r_max and a positive bin_width."
            )
        if abs((self.r_max - self.r_min) / self.bin_width - self.bins) > 1e-6:
            raise StructureError(
                f"The range {self.r_min} to {self.r_max} is no whole number of bins of {self.bin_width}; adjust one."
            )
        if self.number_density is not None and not self.number_density > 0:
            raise StructureError(f"number_density is {self.number_density}; give atoms per volume, above 0.")

    @property
    def dtype(self) -> str:
        """Precision of the result; what is counted fits into it."""
        return "float32"

    @property
    def cutoff(self) -> float:
        """Distance up to which neighbours matter."""
        return self.r_max

    @property
    def bins(self) -> int:
        """Number of bins of one function."""
        return round((self.r_max - self.r_min) / self.bin_width)

    @property
    def radii(self) -> NDArray[np.float64]:
        """Bin centres."""
        return np.asarray(self.r_min + self.bin_width * (np.arange(self.bins) + 0.5), dtype=np.float64)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column: the bin centre with an underscore for the decimal point, as in `r2_1` or `Cu_r2_1`."""
        digits = max(2, int(np.ceil(-np.log10(self.bin_width))) + 1)
        centres = [f"r{radius:.{digits}f}".rstrip("0").rstrip(".").replace(".", "_") for radius in self.radii]
        if self.partial is None:
            return tuple(centres)
        return tuple(f"{name}_{centre}" for name in self.partial for centre in centres)

    @property
    def feature_count(self) -> int:
        """Number of columns."""
        return self.bins * (1 if self.partial is None else len(self.partial))

    def compute(
        self, structure: Structure, progress: Progress | None = None, out: NDArray | None = None
    ) -> NDArray[np.float32]:
        """Rows for the selected atoms of a structure, in their order.

        Parameters
        ----------
        structure : Structure
        progress : callable, optional
            Called with the fraction done between blocks; may raise to stop.
        out : (N, F) array, optional
            Of the descriptor's `dtype`, with a row for every atom: where to write those of the selected ones, each at
            its atom's index.

        Returns
        -------
        (M, F) float32 array
        """
        return fill_rows(structure, self.feature_count, self.dtype, self._blocks(structure), progress, out)

    def iterate_blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float32]]]:
        """Yield (atom indices, rows) for blocks of selected atoms in space order."""
        yield from separate_blocks(self.feature_count, self.dtype, self._blocks(structure))

    def _blocks(self, structure: Structure) -> Iterator[tuple[NDArray[np.int32], Fill]]:
        """Yield (atom indices, function that writes their rows)."""
        settings = self.settings(structure)
        if not len(structure):
            return
        cells = build_cell_list(structure, self.cutoff)
        for block in cells.blocks(structure.mask):
            yield cells.grid.atom[block], partial(run_tasks, radial_histogram, len(block), cells.grid, block, *settings)

    def settings(self, structure: Structure) -> tuple[float, float, float, NDArray[np.int64], NDArray[np.float64]]:
        """What `radial_histogram` takes between the atoms and the rows."""
        density = structure.number_density if self.number_density is None else self.number_density
        columns = np.zeros(len(structure.species_names), dtype=np.int64)
        if self.partial is not None:
            columns = species_columns(structure, self.partial)
        with np.errstate(divide="ignore"):  # no atoms, no density
            scale = 1 / (4 * np.pi * self.radii**2 * density * self.bin_width)
        return self.cutoff, self.r_min, 1 / self.bin_width, columns, scale
