"""Where the first shell of neighbours is, in any unit: the radial distribution function's first peak and minimum."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.neighbours import CellList, Progress, block_stages, build_cell_list, neighbour_counts
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.threads import TASK_SIZE, run_tasks
from ovito_glassml.topology.kernels import pair_histogram

__all__ = ["first_minimum", "first_peak", "nearest_neighbour_distance"]

#: Bins in a factor e of the distance: half a per cent each.
_BINS_PER_FACTOR = 200

#: Bins reach down to the search radius over this.
_RANGE = 20.0

#: The peak is that of the function smeared by 5 % of the distance, which makes one peak of the
#: three that an alloy's pairs of species have.
_SMEARING = 0.05

#: The first peak lies within this many nearest-neighbour distances, the second beyond.
_PEAK_WITHIN = 1.6

#: Search radius in nearest-neighbour distances: the peak's far side must be seen as well.
_SEARCH = 2.0

#: The first minimum lies within this many distances of the first peak: silica's second peak is at 1.63, and a
#: crystal's second shell at 1.41 or more. For it, the search goes on to where its far side is seen.
_MINIMUM_WITHIN, _SEARCH_ON = 1.6, 2.6

#: Neighbours in the first shell: 2.7 in silica, 12-14 in metals. Chance neighbours in a gas are less than one.
_FEWEST_AROUND = 1.5


def first_peak(structure: Structure, progress: Progress | None = None) -> float | None:
    """Position of the first peak of the radial distribution function of all atoms.

    The function is taken on a logarithmic axis, smeared by 5 %, so that the result scales exactly
    with the length unit and does not depend on a choice of bins. It needs no density and works
    for surfaces and clusters, too.

    Parameters
    ----------
    structure : Structure
        The mask is ignored.
    progress : callable, optional
        Called with the fraction done between blocks; may raise to stop.

    Returns
    -------
    float or None
        In the structure's length unit, rounded to four digits. None if no atom has a neighbour.

    Raises
    ------
    StructureError
        As `build_cell_list`.
    """
    spacing, cells = _nearest_distance(structure)
    return None if spacing is None else _peak(structure, spacing, progress, cells)


def nearest_neighbour_distance(structure: Structure, progress: Progress | None = None) -> float:
    """`first_peak` of a structure that must have one: the unit of lengths that hold for any material.

    Raises
    ------
    StructureError
        If there is no first shell, as in a gas or of two atoms; and as `build_cell_list`.
    """
    spacing, cells = _nearest_distance(structure)
    if spacing is None:
        raise StructureError("No atom has a neighbour, so there is no distance of neighbours; give a liquid or solid.")
    around = float(neighbour_counts(build_cell_list(structure, _minimum(structure, spacing))).mean())
    if around < _FEWEST_AROUND:
        raise StructureError(
            f"The atoms have no first shell, only {around:.2g} neighbours within the first peak of g(r) on average; "
            "give a liquid or solid."
        )
    return _peak(structure, spacing, progress, cells)


def first_minimum(structure: Structure, progress: Progress | None = None) -> float | None:
    """Position of the first minimum of the radial distribution function of all atoms, where the first shell ends.

    Of the same smeared function as `first_peak`, with the same argument and errors, rounded in the same way; None if
    no atom has a neighbour.
    """
    spacing, _ = _nearest_distance(structure)
    return None if spacing is None else _minimum(structure, spacing, progress)


def _peak(structure: Structure, spacing: float, progress: Progress | None, cells: CellList | None) -> float:
    radii, density = _smeared_density(structure, _SEARCH * spacing, progress, cells)
    top = int(np.argmax(np.where(radii < _PEAK_WITHIN * spacing, density, 0.0)))
    return _rounded(radii, density, top)


def _minimum(structure: Structure, spacing: float, progress: Progress | None = None) -> float:
    radii, density = _smeared_density(structure, _SEARCH_ON * spacing, progress)
    top = int(np.argmax(np.where(radii < _PEAK_WITHIN * spacing, density, 0.0)))
    between = (radii > radii[top]) & (radii < _MINIMUM_WITHIN * radii[top])
    return _rounded(radii, -density, int(np.argmin(np.where(between, density, np.inf))))


def _smeared_density(
    structure: Structure, reach: float, progress: Progress | None, cells: CellList | None = None
) -> tuple[NDArray, NDArray]:
    """Distances and, up to a factor, the smeared radial distribution function there."""
    counts, _ = _histogram(structure, reach, progress, cells=cells)
    radii = reach / _RANGE * np.exp((np.arange(len(counts)) + 0.5) / _BINS_PER_FACTOR)
    # A bin of constant ratio holds a volume proportional to r³.
    return radii, _smeared(counts / radii**3, _SMEARING * _BINS_PER_FACTOR)


def _rounded(radii: NDArray, values: NDArray, top: int) -> float:
    """Where the maximum near the place `top` lies."""
    return float(f"{radii[top] * np.exp(_vertex(values[top - 1 : top + 2]) / _BINS_PER_FACTOR):.4g}")


def _smeared(values: NDArray, width: float) -> NDArray:
    """Convolution with a Gaussian of this standard deviation, in places of the array."""
    reach = int(4 * width)
    weights = np.exp(-0.5 * (np.arange(-reach, reach + 1) / width) ** 2)
    return np.convolve(values, weights, mode="same")


def _vertex(values: NDArray) -> float:
    """Offset from the middle one of three equidistant values to the top of the parabola through them."""
    if len(values) < 3 or values[1] < max(values[0], values[2]) or values[0] == values[1] == values[2]:
        return 0.0
    return float(0.5 * (values[0] - values[2]) / (values[0] - 2 * values[1] + values[2]))


def _nearest_distance(structure: Structure) -> tuple[float | None, CellList | None]:
    """Median distance to the nearest neighbour in a part of the structure, None if nobody has one, and a cell list."""
    if not len(structure):
        return None, None
    extent = np.ptp(structure.positions, axis=0)
    largest = float(np.linalg.norm(extent))
    if structure.cell is not None and any(structure.pbc):
        largest = max(largest, float(np.linalg.norm(structure.cell, axis=1).max()))
    volume = structure.volume if all(structure.pbc) else float(np.prod(np.maximum(extent, 1e-3 * largest)))
    reach = 1.3 * (volume / len(structure)) ** (1 / 3)
    # Of most structures, the peak is found with the same list.
    cells = build_cell_list(structure, _SEARCH / 1.3 * reach) if reach > 0 else None
    # Vacuum in the cell makes this too long a search, clumps and planes too short a one.
    while reach > 0:
        _, nearest = _histogram(structure, reach, only_first_block=True, cells=cells)
        if np.isfinite(np.median(nearest)):
            return float(np.median(nearest)), cells
        if reach > 2 * largest:  # an atom alone
            break
        reach *= 1.5
    return None, None


def _histogram(
    structure: Structure,
    reach: float,
    progress: Progress | None = None,
    only_first_block: bool = False,
    cells: CellList | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Neighbours in logarithmic bins up to `reach`, and the distance to the nearest one of every atom."""
    if cells is None or cells.cutoff < reach:
        cells = build_cell_list(structure, reach)
    bins = int(np.log(_RANGE) * _BINS_PER_FACTOR)
    total = np.zeros(bins, dtype=np.int64)
    nearest: list[NDArray[np.float64]] = []
    binning = (reach, _BINS_PER_FACTOR, reach / _RANGE)
    for block, share in block_stages(cells.blocks(), len(structure), progress):
        counts = np.zeros((-(-len(block) // TASK_SIZE), bins), dtype=np.int64)
        nearest.append(np.empty(len(block)))
        run_tasks(pair_histogram, len(block), cells.grid, block, *binning, counts, nearest[-1], progress=share)
        total += counts.sum(axis=0)
        if only_first_block:
            break
    return total, np.concatenate(nearest)
