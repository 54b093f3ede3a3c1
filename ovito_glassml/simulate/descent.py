"""The way down to an energy minimum: limited-memory BFGS on the forces of a LAMMPS instance.

Source: J. Nocedal, Math. Comp. 35, 773 (1980); in the compact form of R. H. Byrd, J. Nocedal, R. B. Schnabel, Math.
Program. 63, 129 (1994).
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.linalg.lapack import dtrtrs

from ovito_glassml.threads import one_blas_thread

__all__ = ["LONGEST", "MOST_EVALUATIONS", "Move", "descend"]

#: Longest step along any coordinate, and the first one, of which no curvature is known; LAMMPS's own limit of 0.1.
LONGEST, FIRST = 0.1, 1e-3
#: Steps that are remembered. Fifty saved 4 % of the evaluations in Kob-Andersen glasses and none in their melt.
REMEMBERED = 20
#: Share of the expected gain that a step must bring, and share of the energy that is lost to rounding.
ENOUGH, ROUNDING = 1e-4, 1e-13
#: Trials along one direction.
TRIALS = 8
#: Evaluations in all; and how many may pass before the energy falls by this share or the largest force to half.
MOST_EVALUATIONS, PATIENCE, STALLED = 20_000, 200, 1e-11

#: Moves everything by a step (n,); gives the energy and its gradient (n,) there.
Move = Callable[[NDArray[np.float64]], tuple[float, NDArray[np.float64]]]


# Not scipy's L-BFGS-B, which has no limit for steps and took 1.2 to 1.8 times as long as a plain loop with one (2 000
# atoms of Cu-Zr from 500 and 1 500 K).
@one_blas_thread()
def descend(move: Move, size: int, tolerance: float, progress: Callable[[], None] = lambda: None) -> float:
    """Move downhill until no component of the gradient exceeds the tolerance.

    Or until neither the energy nor the gradient falls any more: at a kink of a tabulated potential the forces of a
    minimum do not vanish.

    Parameters
    ----------
    move : callable
        Moves by a step and gives the energy and its gradient.
    size : int
        Number of coordinates, scaled such that their curvatures are alike.
    tolerance : float
    progress : callable
        Called before each evaluation; may raise to stop.

    Returns
    -------
    float
        Largest component of the gradient that is left.
    """
    path = _Path(move, size, progress)
    memory = _Memory(size)
    while path.largest > tolerance and not path.stalled():
        if not path.advance(memory.downhill(path.gradient), memory):
            if not memory.count:
                break
            memory.forget()
    return path.largest


class _Path:
    """Where the descent is, and whether it still gains anything."""

    def __init__(self, move: Move, size: int, progress: Callable[[], None]) -> None:
        self.move, self.progress, self.evaluations = move, progress, 0
        self.energy, self.gradient = self._at(np.zeros(size))
        self.lowest, self.least, self.gained = self.energy, self.largest, 0

    @property
    def largest(self) -> float:
        return float(np.abs(self.gradient).max())

    def stalled(self) -> bool:
        return self.evaluations > min(self.gained + PATIENCE, MOST_EVALUATIONS) or not math.isfinite(self.energy)

    def _at(self, step: NDArray) -> tuple[float, NDArray[np.float64]]:
        self.progress()
        self.evaluations += 1
        return self.move(step)

    def advance(self, step: NDArray, memory: _Memory) -> bool:
        """Go as far along a step as the energy falls; False, and back to its start, if it does not."""
        slope = float(step @ self.gradient)
        gone, length = 0.0, 1.0
        for _ in range(TRIALS):
            energy, gradient = self._at((length - gone) * step)
            gone = length
            if energy <= self.energy + ENOUGH * length * slope + ROUNDING * abs(energy):
                memory.add(length * step, gradient - self.gradient)
                self.energy, self.gradient = energy, gradient
                self._note()
                return True
            # To where the slope vanishes, if it grows evenly.
            rise = float(step @ gradient) - slope
            length *= min(0.5, max(0.1, -slope / rise)) if rise > 0 else 0.3
        self._at(-gone * step)
        return False

    def _note(self) -> None:
        if self.energy < self.lowest - STALLED * abs(self.lowest) or self.largest < 0.5 * self.least:
            self.lowest, self.least, self.gained = self.energy, self.largest, self.evaluations


class _Memory:
    """The last steps and changes of the gradient, from which follows the curvature."""

    def __init__(self, size: int) -> None:
        self.rows = np.zeros((2, REMEMBERED, size))  # steps, changes of the gradient
        self.products = np.zeros((2, REMEMBERED, REMEMBERED))  # of steps, of changes with the later changes
        self.forget()

    def forget(self) -> None:
        self.count, self.order = 0, np.empty(0, dtype=np.int64)

    def add(self, step: NDArray, change: NDArray) -> None:
        """Unless the energy bends down along the step."""
        if not step @ change > 1e-10 * math.sqrt((step @ step) * (change @ change)):
            return
        place = self.count % REMEMBERED
        self.count += 1
        self.order = np.arange(max(0, self.count - REMEMBERED), self.count) % REMEMBERED
        self.rows[:, place] = step, change
        self.products[:, :, place] = self.rows @ change
        self.products[1, place] = self.products[1, :, place]

    def downhill(self, gradient: NDArray) -> NDArray[np.float64]:
        """The step to where the gradient would vanish, no longer than allowed."""
        if not self.count:
            return -FIRST / np.abs(gradient).max() * gradient
        known = self.order
        upper, among_changes = self.products[:, known[:, None], known]  # below its diagonal the former is not looked at
        ease = upper[-1, -1] / among_changes[-1, -1]
        steps, changes = (self.rows @ gradient)[:, known]
        inner = dtrtrs(upper, steps)[0]
        middle = np.diag(upper) * inner + ease * (among_changes @ inner - changes)
        shares = np.zeros((2, REMEMBERED))
        shares[:, known] = dtrtrs(upper, middle, trans=1)[0], -ease * inner
        step = -ease * gradient - shares.ravel() @ self.rows.reshape(2 * REMEMBERED, -1)
        if not step @ gradient < 0:  # rounding
            step = -ease * gradient
        return step * min(1.0, LONGEST / np.abs(step).max())
