"""Vibrational mean-squared displacement and stiffness of every atom, accumulated frame by frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["BOLTZMANN_EV", "VibrationAccumulator", "VibrationResult", "stiffness_from_msd"]

#: Boltzmann constant in eV/K (exact in the 2019 SI).
BOLTZMANN_EV = 8.617333262e-5

#: Displacements smaller than this share of the coordinates are rounding errors.
ROUNDING = 1e-13


def stiffness_from_msd(msd: NDArray, temperature: float | NDArray, boltzmann: float = BOLTZMANN_EV) -> NDArray:
    """Stiffness K = k_B T / u², in eV/Å² or the units of `boltzmann`.

    Parameters
    ----------
    msd : array
        Mean-squared displacement u² about the mean position (all three components), in Å².
    temperature : float or array
        Temperature in K, broadcast against `msd`.
    boltzmann : float
        Boltzmann constant, in eV/K unless the material is in other units.

    Returns
    -------
    array
        K; NaN where u² is zero or NaN, since an atom that never moved has no finite stiffness.
    """
    msd = np.asarray(msd, dtype=np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(msd > 0, boltzmann * temperature / msd, np.nan)


@dataclass(frozen=True)
class VibrationResult:
    """What one trajectory window says about every atom.

    Attributes
    ----------
    msd : (N,) array
        u², mean-squared displacement about the mean position over the whole window, hops included.
    hop_corrected_msd : (N,) array
        u² about the mean position of the site the atom is on, blocks around a hop left out;
        equal to `msd` for atoms that did not hop, NaN for an atom without one undisturbed block.
    hops : (N,) integer array
        Number of moves to another site; at least 1 where any block was disturbed.
    """

    msd: NDArray[np.float64]
    hop_corrected_msd: NDArray[np.float64]
    hops: NDArray[np.int32]


class VibrationAccumulator:
    """Mean-squared displacement about the mean position, one frame at a time.

    The window is divided into blocks. A block's mean position is where the atom sat; a site
    change between two blocks is a hop. Memory is ``4 * blocks`` numbers an atom however many
    frames there are.

    Parameters
    ----------
    reference : (N, 3) array
        Unwrapped positions of the first frame; displacements are counted from here.
    frames : int
        Number of frames that will be added, at least 2.
    blocks : int
        Number of blocks, at most `frames`. Fifty blocks of a 100 ps window are 2 ps long: several
        vibration periods, and short against the time between hops in a glass.
    hop_distance : float
        A block whose mean position lies further than this from the running mean of its site
        begins a new site. 0.6 Å is about three times the r.m.s. vibration at 300 K in Cu-Zr.
    """

    def __init__(self, reference: NDArray, frames: int, blocks: int = 50, hop_distance: float = 0.6) -> None:
        if frames < 2:
            raise ValueError(f"A vibration amplitude needs at least 2 frames, got {frames}; give a longer trajectory.")
        self.reference = np.array(reference, dtype=np.float64)
        self.frames = int(frames)
        self.blocks = max(1, min(int(blocks), self.frames // 2))
        self.hop_distance = float(hop_distance)
        count = len(self.reference)
        self.added = 0
        self.sums = np.zeros((self.blocks, count, 3))
        self.squares = np.zeros((self.blocks, count))
        self.block_frames = np.zeros(self.blocks, dtype=np.int64)

    def add(self, unwrapped: NDArray) -> None:
        """Add one frame of unwrapped positions (N, 3), atoms in the order of the reference."""
        if self.added >= self.frames:
            raise ValueError(f"More than the announced {self.frames} frames were added; announce the right number.")
        displacement = np.asarray(unwrapped, dtype=np.float64) - self.reference
        displacement -= displacement.mean(axis=0)  # rigid drift is no vibration
        block = self.added * self.blocks // self.frames
        self.sums[block] += displacement
        self.squares[block] += np.einsum("ij,ij->i", displacement, displacement)
        self.block_frames[block] += 1
        self.added += 1

    def state(self) -> dict[str, NDArray]:
        """Arrays from which `restore` continues, for checkpoints."""
        return {
            "reference": self.reference,
            "added": np.array(self.added),
            "sums": self.sums,
            "squares": self.squares,
            "block_frames": self.block_frames,
        }

    def restore(self, state: dict[str, NDArray]) -> None:
        """Continue from what `state` returned."""
        self.reference = np.array(state["reference"])
        self.added = int(state["added"])
        self.sums = np.array(state["sums"])
        self.squares = np.array(state["squares"])
        self.block_frames = np.array(state["block_frames"])

    def result(self, atoms: slice = slice(None)) -> VibrationResult:
        """Evaluate the frames added so far, for all atoms or for a range of them.

        Ranges keep the memory small and let a caller report progress between them.
        """
        if self.added < 2:
            raise ValueError("Fewer than 2 frames were added; a vibration amplitude needs a trajectory.")
        sums, squares = self.sums[:, atoms], self.squares[:, atoms]
        total = self.block_frames.sum()
        mean = sums.sum(axis=0) / total
        msd = squares.sum(axis=0) / total - np.einsum("ij,ij->i", mean, mean)
        corrected, hops = self._by_site(sums, squares)
        corrected = np.where(hops > 0, corrected, msd)
        noise = (ROUNDING * np.abs(self.reference).max(initial=0.0)) ** 2
        msd, corrected = (np.where(values <= noise, 0.0, values) for values in (msd, corrected))
        return VibrationResult(msd, corrected, hops)

    def _by_site(self, sums: NDArray, block_squares: NDArray) -> tuple[NDArray, NDArray]:
        """Within-site mean-squared displacement and number of site changes."""
        used = np.flatnonzero(self.block_frames)
        means = sums[used] / self.block_frames[used, None, None]
        weights = self.block_frames[used].astype(np.float64)
        site = _site_labels(means, weights, self.hop_distance)
        disturbed = np.zeros_like(site, dtype=bool)
        change = site[1:] != site[:-1]
        disturbed[1:] |= change
        disturbed[:-1] |= change

        count = site.shape[1]
        atoms = np.arange(count)
        n_sites = int(site.max()) + 1
        site_frames = np.zeros((n_sites, count))
        site_sums = np.zeros((n_sites, count, 3))
        squares = np.zeros(count)
        for index, block in enumerate(used):
            weight = np.where(disturbed[index], 0.0, weights[index])
            site_frames[site[index], atoms] += weight
            site_sums[site[index], atoms] += weight[:, None] * means[index]
            squares += np.where(disturbed[index], 0.0, block_squares[block])
        # A block caught between two sites is a passage, not a site of its own.
        settled = (site_frames > 0).sum(axis=0)
        hops = np.where(change.any(axis=0), np.maximum(settled - 1, 1), 0).astype(np.int32)
        frames = site_frames.sum(axis=0)
        with np.errstate(divide="ignore", invalid="ignore"):
            between = np.nansum(np.einsum("sij,sij->si", site_sums, site_sums) / site_frames, axis=0)
            corrected = np.where(frames > 0, np.maximum(squares - between, 0.0) / frames, np.nan)
        return corrected, hops


def _site_labels(means: NDArray, weights: NDArray, hop_distance: float) -> NDArray[np.int32]:
    """Label of the site each atom sits on in each block, (blocks, N), from 0 in order of visits."""
    labels = np.zeros(means.shape[:2], dtype=np.int32)
    site_sum = means[0] * weights[0]
    site_weight = np.full(means.shape[1], weights[0])
    for block in range(1, len(means)):
        distance = np.linalg.norm(means[block] - site_sum / site_weight[:, None], axis=1)
        left = distance > hop_distance
        labels[block] = labels[block - 1] + left
        contribution = means[block] * weights[block]
        site_sum = np.where(left[:, None], contribution, site_sum + contribution)
        site_weight = np.where(left, weights[block], site_weight + weights[block])
    return labels
