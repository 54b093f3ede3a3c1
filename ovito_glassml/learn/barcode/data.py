"""Samples of a glass with their energies, and what is left of them once their atoms have environments: barcodes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.files import load_arrays, save_atomically
from ovito_glassml.learn.barcode.environments import UniqueEnvironments, rows_by_identifier
from ovito_glassml.learn.barcode.model import is_icosahedron
from ovito_glassml.progress import Report
from ovito_glassml.structure import Structure

__all__ = ["BarcodeTable", "UleSample", "Visit", "describe_samples", "load_tables", "save_tables"]


class UleSample(NamedTuple):
    """An inherent structure with its energy.

    `energy` is in eV/atom. Samples of one `run` descend from the same melt and stay together whenever
    data are divided. `kind` says what was done to it, such as ``500K`` or ``sheared 300K``. `atom_energies`
    (N,) are the atoms' shares of the energy in eV, where known.
    """

    structure: Structure
    energy: float
    run: str
    kind: str = ""
    atom_energies: NDArray[np.float64] | None = None


#: Called with the number of a sample, indices of some of its atoms and their normalised rows.
Visit = Callable[[int, NDArray[np.int64], NDArray[np.float32]], None]


@dataclass(frozen=True, eq=False)
class BarcodeTable:
    """Barcodes of S samples in K environments, all that the training of an energy model needs.

    Attributes
    ----------
    counts : (S, K) int32 array
        Atoms in each environment.
    atoms : (S,) int64 array
        All atoms, matched or not.
    energies : (S,) array
        eV/atom.
    runs, kinds : (S,) arrays of str
    icosahedra : (S,) array
        Share of atoms with the Voronoi index ⟨0,0,12,0⟩: a baseline.
    mean_rows : (S, P) array
        Mean of the normalised SOAP rows, or its principal components: another baseline.
    """

    counts: NDArray[np.int32]
    atoms: NDArray[np.int64]
    energies: NDArray[np.float64]
    runs: NDArray[np.str_]
    kinds: NDArray[np.str_]
    icosahedra: NDArray[np.float64]
    mean_rows: NDArray[np.float32]

    def __len__(self) -> int:
        return len(self.counts)

    def of(self, chosen: NDArray) -> BarcodeTable:
        """Some of the samples."""
        return BarcodeTable(*(getattr(self, field.name)[chosen] for field in fields(self)))

    def joined(self, other: BarcodeTable) -> BarcodeTable:
        """These samples and others in the same environments."""
        pairs = ((getattr(self, field.name), getattr(other, field.name)) for field in fields(self))
        return BarcodeTable(*(np.concatenate(pair) for pair in pairs))

    @property
    def matched(self) -> NDArray[np.int64]:
        """Atoms that have an environment."""
        return self.counts.sum(axis=1)

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Shares of the matched atoms; 0 where there are none."""
        return self.counts / np.maximum(self.matched, 1)[:, None]

    def with_principal_rows(self, learned: NDArray[np.bool_], count: int = 256) -> BarcodeTable:
        """Mean rows reduced to the principal components of the samples learned from."""
        rows = self.mean_rows.astype(np.float64)
        mean = rows[learned].mean(axis=0)
        _, _, axes = np.linalg.svd(rows[learned] - mean, full_matrices=False)
        return replace(self, mean_rows=((rows - mean) @ axes[:count].T).astype(np.float32))


def describe_samples(
    samples: Sequence[UleSample],
    descriptor: SOAPDescriptors,
    sets: Sequence[UniqueEnvironments],
    voronoi: Callable[[Structure], NDArray] | None = None,
    progress: Report | None = None,
    visit: Visit | None = None,
) -> list[BarcodeTable]:
    """Barcodes of samples in several sets of environments, with one pass over all descriptor rows.

    Parameters
    ----------
    samples : sequence of UleSample
    descriptor : SOAPDescriptors
    sets : sequence of UniqueEnvironments
    voronoi : callable, optional
        Gives the faces of all atoms with 3 to 8 edges, (N, 6); without, the shares of icosahedra are NaN.
    progress : callable, optional
        Called with the fraction done and a text.
    visit : callable, optional
        Sees all rows on the way.

    Returns
    -------
    list of BarcodeTable
        One for each set.

    Raises
    ------
    TrainingError
        For no samples, and for energies that are not finite.
    """
    _check(samples)
    counts = [np.zeros((len(samples), len(one)), dtype=np.int32) for one in sets]
    means = np.zeros((len(samples), descriptor.feature_count), dtype=np.float32)
    icosahedra = np.full(len(samples), np.nan)
    for number, sample in enumerate(samples):
        total = np.zeros(descriptor.feature_count)
        for atoms, rows in rows_by_identifier(sample.structure, descriptor):
            if visit is not None:
                visit(number, atoms, rows)
            total += rows.sum(axis=0, dtype=np.float64)
            for table, environments in zip(counts, sets, strict=True):
                assigned = environments.assign(rows)
                table[number] += np.bincount(assigned[assigned >= 0], minlength=len(environments)).astype(np.int32)
        means[number] = total / len(sample.structure)
        if voronoi is not None:
            icosahedra[number] = is_icosahedron(voronoi(sample.structure)).mean()
        if progress is not None:
            progress((number + 1) / len(samples), f"assigning atoms of {sample.run}")
    return [
        BarcodeTable(
            table,
            np.array([len(sample.structure) for sample in samples]),
            np.array([sample.energy for sample in samples], dtype=np.float64),
            np.array([sample.run for sample in samples]),
            np.array([sample.kind for sample in samples]),
            icosahedra,
            means,
        )
        for table in counts
    ]


def _check(samples: Sequence[UleSample]) -> None:
    if not samples:
        raise TrainingError("There are no samples; give at least one structure with its energy.")
    for sample in samples:
        if not np.isfinite(sample.energy):
            raise TrainingError(f"A sample of {sample.run} has the energy {sample.energy}; give eV per atom.")
        if not len(sample.structure):
            raise TrainingError(f"A sample of {sample.run} has no atoms; leave it out.")


def save_tables(path: Path, tables: dict[str, BarcodeTable]) -> None:
    """Write several tables over the same samples to one compressed NumPy archive.

    What does not depend on the environments is stored once; counts in 16 bits, which hold samples of
    up to 65 535 atoms in one environment.
    """
    first = next(iter(tables.values()))
    arrays: dict[str, Any] = {name: getattr(first, name) for name in _COMMON}
    arrays |= {f"counts_{name}": table.counts.astype(np.uint16) for name, table in tables.items()}
    save_atomically(path, arrays, compressed=True)


def load_tables(path: Path) -> dict[str, BarcodeTable]:
    """Read what `save_tables` wrote.

    Raises
    ------
    TrainingError
        If the file is missing or something else.
    """
    arrays = load_arrays(path, "barcodes", "make it again", _COMMON)
    common = [arrays[name] for name in _COMMON]
    prefix = "counts_"
    return {
        name.removeprefix(prefix): BarcodeTable(values.astype(np.int32), *common)
        for name, values in arrays.items()
        if name.startswith(prefix)
    }


_COMMON = tuple(field.name for field in fields(BarcodeTable) if field.name != "counts")
