"""Descriptor rows of the prototype network: own species, radial sums, angular power spectra, averaged over shells.

The published 264 parameters do not know the atom's own species, mix the species in their angular
part and look two shells far. A row of `EnvironmentDescriptors` has what they lack. Its power
spectrum is projected to a few components before it is averaged over neighbours: averaging is
linear, so the result is that of averaging first, and no wide row is ever stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.blocks import assemble, species_columns
from ovito_glassml.descriptors.shells import Averaged, iterate_averages
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.learn.lengths import SHARPNESS
from ovito_glassml.neighbours import CellList, sort_in_space
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure

__all__ = ["EnvironmentDescriptors", "fit_environments"]

#: Standard deviations below this share of the largest are raised to it: such features are noise.
SMALLEST_SPREAD = 1e-3
#: Few atoms cannot teach how much many components matter. With 4 000 labelled atoms, 32 or 40 components rank atoms of
#: other glasses better than 64 or 16; with 48 000, 128 do better than 64 and those better than 32.
ATOMS_PER_COMPONENT = 100
FEWEST_COMPONENTS, MOST_COMPONENTS = 16, 128


@dataclass(frozen=True, eq=False)
class EnvironmentDescriptors:
    """Rows (own species, radial sums)⁰ … ⁴, (angular components)⁰ … ²; the exponent counts shell averages.

    Attributes
    ----------
    radial : BesselDescriptors
        Gives the radial sums B by neighbour species; its cutoff is that of the averages.
    angular : SOAPDescriptors
        Gives the power spectrum, with its radial matrix.
    mean, scale : (P,) arrays
        Standardise the power spectrum.
    projection : (P, C) array
        Components of the standardised power spectrum.
    radial_shells, angular_shells : int
        How often each part is averaged over neighbours.
    dtype : {'float32', 'float64'}
        Precision of the computation and of the rows.
    """

    radial: BesselDescriptors
    angular: SOAPDescriptors
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    projection: NDArray[np.float64]
    radial_shells: int = 4
    angular_shells: int = 2
    dtype: str = "float32"

    @property
    def cutoff(self) -> float:
        """Of sums and of one average."""
        return self.radial.cutoff

    @property
    def species(self) -> tuple[str, ...]:
        """Names of the species, in the order of the columns."""
        return self.radial.species

    @property
    def reach(self) -> float:
        """Distance beyond which no atom matters."""
        step = self.radial.cutoff
        return max(step * (1 + self.radial_shells), step * self.angular_shells + self.angular.reach)

    @property
    def feature_names(self) -> tuple[str, ...]:
        """One name per column; the digit counts averages."""
        own = [f"own_{name}" for name in self.species[1:]]
        radial = [f"B_{name}_n{n}" for name in self.species for n in range(1, self.radial.n_max + 1)]
        angular = [f"P_{number}" for number in range(1, self.projection.shape[1] + 1)]
        names = [f"{name}_{shell}" for shell in range(self.radial_shells + 1) for name in own + radial]
        return tuple(names + [f"{name}_{shell}" for shell in range(self.angular_shells + 1) for name in angular])

    @property
    def fingerprint(self) -> str:
        """Equal for descriptors that give equal rows."""
        digest = hashlib.sha256(repr((self.radial, self.angular, self.radial_shells, self.angular_shells)).encode())
        for array in (self.angular.orthonormalization(), self.mean, self.scale, self.projection):
            digest.update(np.ascontiguousarray(array, dtype=np.float64).tobytes())
        return f"{digest.hexdigest()} {self.dtype}"

    def in_double_precision(self) -> EnvironmentDescriptors:
        """The same descriptors, for reproducing numbers rather than for speed."""
        return replace(
            self,
            radial=replace(self.radial, dtype="float64"),
            angular=replace(self.angular, dtype="float64"),
            dtype="float64",
        )

    def compute(self, structure: Structure, progress: Progress | None = None) -> NDArray:
        """Rows for the selected atoms of a structure, in their order.

        Parameters
        ----------
        structure : Structure
        progress : callable, optional
            Called with the fraction done; may raise to stop.

        Returns
        -------
        (M, F) array
        """
        return assemble(structure, len(self.feature_names), self.dtype, self.iterate_blocks(structure, progress))

    def iterate_blocks(
        self, structure: Structure, progress: Progress | None = None
    ) -> Iterator[tuple[NDArray[np.int64], NDArray]]:
        """Yield (atom indices, rows) for blocks of selected atoms in space order.

        Beside one block of rows this holds about two hundred numbers for every atom of a layer, see
        `iterate_averages`.

        Parameters
        ----------
        structure : Structure
        progress : callable, optional
            Called with the fraction done; may raise to stop.

        Raises
        ------
        StructureError
            As `build_cell_list`, and for atoms of other species.
        """
        if not len(structure):
            return
        ordered, order, cells = sort_in_space(structure, max(self.radial.cutoff, self.angular.reach))
        width = len(self.species) - 1 + self.radial.radial_count
        matrix = (self.projection / self.scale[:, None]).astype(self.dtype)
        components = self.angular.components_of(ordered, cells, self.mean.astype(self.dtype), matrix)
        parts = (
            Averaged(self._radial(ordered, cells), width, self.radial_shells),
            Averaged(components, self.projection.shape[1], self.angular_shells),
        )
        averages = iterate_averages(cells, self.radial.cutoff, parts, ordered.mask, self.dtype, progress)
        for indices, (radial, angular) in averages:
            yield order[indices], np.hstack(radial + angular)

    def _radial(self, structure: Structure, cells: CellList) -> Callable[[NDArray[np.int64]], NDArray]:
        """What gives own species and radial sums of a block of entries of the cell list."""
        own = np.eye(len(self.species), dtype=self.dtype)[species_columns(structure, self.species)][:, 1:]
        parameters = self.radial.parameters_of(structure, cells)

        def rows(block: NDArray[np.int64]) -> NDArray:
            return np.hstack([own[cells.grid.species[block]], parameters(block)[:, : self.radial.radial_count]])

        return rows


def fit_environments(
    structures: Sequence[Structure],
    species: tuple[str, ...],
    *,
    cutoff: float,
    n_radial: int = 8,
    n_angular: int = 4,
    l_max: int = 6,
    components: int | None = None,
) -> EnvironmentDescriptors:
    """Choose the components of the power spectrum in which the environments of training structures differ most.

    Parameters
    ----------
    structures : sequence of Structure
        Training structures.
    species : tuple of str
        Order of the species.
    cutoff : float
        In the unit of the structures, such as that of the first two shells.
    n_radial : int
        Radial sums for each species.
    n_angular, l_max : int
        Of the power spectrum: radial functions, highest degree. Its Gaussians are a tenth of the cutoff wide.
    components : int, optional
        Principal components kept; by default one for every 100 atoms of the structures, 16 to 128.

    Returns
    -------
    EnvironmentDescriptors
    """
    radial = BesselDescriptors(species, cutoff, n_radial, l_max=1, shells=0)
    angular = SOAPDescriptors(species, cutoff, n_angular, l_max, SHARPNESS * cutoff)
    angular = replace(angular, radial_matrix=angular.orthonormalization())
    width = angular.feature_count
    count, total, products = 0, np.zeros(width), np.zeros((width, width))
    for structure in structures:
        for _, block in angular.iterate_blocks(replace(structure, mask=None)):
            rows = block.astype(np.float64)
            count += len(rows)
            total += rows.sum(axis=0)
            products += rows.T @ rows
    mean = total / count
    covariance = products / count - np.outer(mean, mean)
    spread = np.sqrt(np.maximum(np.diag(covariance), 0))
    scale = np.maximum(spread, SMALLEST_SPREAD * spread.max())
    _, axes = np.linalg.eigh(covariance / np.outer(scale, scale))
    if components is None:
        components = int(np.clip(count // ATOMS_PER_COMPONENT, FEWEST_COMPONENTS, MOST_COMPONENTS))
    return EnvironmentDescriptors(radial, angular, mean, scale, np.ascontiguousarray(axes[:, : -components - 1 : -1]))
