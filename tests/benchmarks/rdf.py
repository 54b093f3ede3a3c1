"""Time and memory of `RDFDescriptors` beside OVITO's own radial distribution function.

Run ``python tests/benchmarks/rdf.py``. Both see the same 100 000 atoms in random order on the
same cores, in turns; the best of several rounds counts. A million atoms follow in a fresh
process, whose peak memory is compared with what it held before the computation (Linux).
"""

from __future__ import annotations

import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.structure import Structure

#: Atoms per Å³ of Cu50Zr50 glass.
DENSITY = 0.058


def glass_like(count: int) -> Structure:
    """`count` atoms in random order at the density of a metallic glass, on a jittered grid so that none overlap."""
    rng = np.random.default_rng(1)
    side = (count / DENSITY) ** (1 / 3)
    per_axis = int(np.ceil(count ** (1 / 3)))
    spacing = side / per_axis
    sites = rng.permutation(per_axis**3)[:count]
    positions = np.column_stack(np.unravel_index(sites, (per_axis,) * 3)) * spacing
    positions = positions + rng.uniform(-0.3, 0.3, (count, 3)) * spacing
    return Structure(positions, rng.integers(0, 2, count), ("Cu", "Zr"), np.eye(3) * side, pbc=(True, True, True))


def seconds(run: Callable[[], object]) -> float:
    """Wall time of one call."""
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def ovito_data(structure: Structure) -> Any:
    """The atoms of a structure as OVITO holds them."""
    from ovito.data import DataCollection

    data = DataCollection()
    data.create_cell(np.column_stack([structure.cell.T, structure.origin]), pbc=structure.pbc)
    data.create_particles(count=len(structure)).create_property("Position", data=structure.positions)
    return data


def compare_with_ovito(count: int = 100_000, rounds: int = 3) -> None:
    """Print both times and their ratio."""
    from ovito.modifiers import RadialDistributionFunctionModifier

    structure = glass_like(count)
    data = ovito_data(structure)
    descriptor = RDFDescriptors()
    descriptor.compute(structure)  # compiles
    ours, ovito = [], []
    for _ in range(rounds):
        ours.append(seconds(lambda: descriptor.compute(structure)))
        modifier = RadialDistributionFunctionModifier(cutoff=descriptor.cutoff, number_of_bins=50)
        ovito.append(seconds(lambda modifier=modifier: data.clone().apply(modifier)))
    print(f"RDF to {descriptor.cutoff:g} Å of {count} atoms in random order, best of {rounds}:")
    print(f"  RDFDescriptors                     {min(ours):.2f} s")
    print(f"  RadialDistributionFunctionModifier {min(ovito):.2f} s")
    print(f"  ratio                              {min(ours) / min(ovito):.2f}   (at most 0.6)")


def measure_memory(count: int = 1_000_000) -> None:
    """Print the growth of peak memory while one big structure is computed."""
    RDFDescriptors().compute(glass_like(1000))
    structure = glass_like(count)
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    elapsed = seconds(lambda: RDFDescriptors().compute(structure))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"RDF to 10 Å of {count} atoms: {elapsed:.1f} s, working memory {(peak - before) / 1e9:.2f} GB,")
    print(f"  output of {count * 160 / 1e9:.2f} GB included   (at most 3 GB)")


if __name__ == "__main__":
    if sys.argv[1:] == ["memory"]:
        measure_memory()
    else:
        compare_with_ovito()
        subprocess.run([sys.executable, __file__, "memory"], check=True)
