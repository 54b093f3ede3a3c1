"""What looks at a stage of molecular dynamics while it runs."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.simulate.engine import scale_cell

__all__ = ["AverageCell"]


class AverageCell:
    """Rescales the cell to its average over the second half of a stage at constant pressure."""

    def __init__(self, steps: int, sample_every: int) -> None:
        self.skip = steps // sample_every // 2
        self.seen, self.total = 0, 0.0

    def begin(self, lammps: Any) -> None:
        self.seen, self.total = 0, 0.0

    def sample(self, lammps: Any) -> None:
        self.seen += 1
        if self.seen > self.skip:
            low, high = lammps.extract_box()[:2]
            self.total += high[0] - low[0]

    def finish(self, lammps: Any) -> None:
        low, high = lammps.extract_box()[:2]
        scale_cell(lammps, self.total / (self.seen - self.skip) / (high[0] - low[0]))

    def state(self) -> dict[str, NDArray]:
        return {"seen": np.array(self.seen), "total": np.array(self.total)}

    def restore(self, state: dict[str, NDArray]) -> None:
        self.seen, self.total = int(state["seen"]), float(state["total"])
