"""Time and memory of `LaSCA` beside OVITO's Voronoi analysis.

Run ``python tests/benchmarks/lasca.py``. Both see the same 100 000 atoms, 25 copies of a shipped
glass shaken as at room temperature, in random order, on the same cores, in turns; the best of
several rounds counts. A million atoms follow in a fresh process, whose peak memory is compared with
what it held before the computation (Linux).
"""

from __future__ import annotations

import itertools
import resource
import subprocess
import sys
from pathlib import Path

import numpy as np
from rdf import ovito_data, seconds

from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.topology.standard_clusters import LaSCA
from ovito_glassml.workflow.sample_data import sample_file


def glass(copies: tuple[int, int, int]) -> Structure:
    """Copies of a glass of 4000 atoms, each atom displaced by 0.1 Å in every direction."""
    sample = read_snapshot(sample_file("stiffness/vibrations-cu50zr50-1e13-1.xyz.gz")).structure
    rng = np.random.default_rng(1)
    shifts = np.array(list(itertools.product(*map(range, copies)))) @ sample.cell
    positions = (shifts[:, None, :] + sample.positions).reshape(-1, 3)
    positions += rng.normal(0, 0.1, positions.shape)
    cell = sample.cell * np.array(copies)[:, None]
    return Structure(rng.permutation(positions), cell=cell, origin=sample.origin, pbc=sample.pbc)


def compare_with_ovito(rounds: int = 5) -> None:
    """Print the times and their ratios."""
    from ovito.modifiers import VoronoiAnalysisModifier

    structure = glass((5, 5, 1))
    data = ovito_data(structure)
    analyses = {"LaSCA, max cutoff": LaSCA(), "LaSCA, no obtuse triangle": LaSCA(stop="no obtuse triangle")}
    times: dict[str, list[float]] = {"VoronoiAnalysisModifier": [], **{name: [] for name in analyses}}
    for analysis in analyses.values():
        analysis.compute(structure)  # compiles
    for _ in range(rounds):
        times["VoronoiAnalysisModifier"].append(seconds(lambda: data.clone().apply(VoronoiAnalysisModifier())))
        for name, analysis in analyses.items():
            times[name].append(seconds(lambda analysis=analysis: analysis.compute(structure)))
    print(f"{len(structure)} atoms in random order, best of {rounds}:")
    for name, values in times.items():
        ratio = min(values) / min(times["VoronoiAnalysisModifier"])
        print(f"  {name:25s} {min(values):.2f} s, ratio {ratio:.2f}   (at most 2)")


def measure_memory() -> None:
    """Print the growth of peak memory while one big structure is analysed."""
    LaSCA().compute(glass((1, 1, 1)))
    structure = glass((10, 5, 5))
    before = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
    elapsed = seconds(lambda: LaSCA().compute(structure))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(f"{len(structure)} atoms: {elapsed:.1f} s, working memory {(peak - before) / 1e9:.2f} GB   (at most 2 GB)")


if __name__ == "__main__":
    if sys.argv[1:] == ["memory"]:
        measure_memory()
    else:
        compare_with_ovito()
        subprocess.run([sys.executable, __file__, "memory"], check=True)
