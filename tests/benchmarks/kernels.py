"""What the kernels of SOAP, ACE and Bessel descriptors reach of the processor's peak, and how they compare with before.

Run ``python tests/benchmarks/kernels.py [OLD]``, OLD being the folder of another checkout, which is then measured in
alternation. Every process runs on one core and counts its thread's time; medians of `--rounds` processes count, of
the shortest of many calls each. The peak is what a plain loop of fused multiply-adds reaches in the same process.

Operations are counted by these formulas, with N neighbours, T = (l_max + 1)² harmonics, n radial functions of each of
L degrees (L = 1 where all share them); a multiply-add is two:

- look-up 12 N n L; harmonics N (2 (l_max + 1)(l_max + 2) + T), four for each l and m >= 0 and one product for each m
- SOAP: density 2 N T n; spectrum 2 T (n z)(n z + 1) / 2 for z species
- Bessel: density 2 N T n; sums 2 N n and squares 2 T n
- ACE: radial functions 4 N n instead of the look-up, and N for each product of them; density 2 N Σ_l (2l + 1) c_l
  with c_l columns; 4 for each term
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

KINDS = ("float32", "float64")
ATOMS = 512


def shortest(run: Callable[[], object], rounds: int = 40) -> float:
    """Shortest time of this thread in seconds."""
    times = []
    run()
    for _ in range(rounds):
        start = time.thread_time()
        run()
        times.append(time.thread_time() - start)
    return min(times)


def peak(kind: str) -> float:
    """Operations a second of fused multiply-adds on twelve vectors of 32 bytes that stay in registers."""
    import numba
    from llvmlite import ir
    from numba.extending import intrinsic

    @intrinsic
    def multiply(typing_context, count, value):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            vector = ir.VectorType(arguments[1].type, 256 // value.bitwidth)
            factor = ir.Constant(vector, ir.Undefined)
            for lane in range(vector.count):
                factor = builder.insert_element(factor, arguments[1], ir.Constant(ir.IntType(32), lane))
            before, loop, done = builder.block, builder.append_basic_block(), builder.append_basic_block()
            builder.branch(loop)
            builder.position_at_end(loop)
            turn, one = builder.phi(arguments[0].type), ir.Constant(arguments[0].type, 1)
            sums = [builder.phi(vector) for _ in range(12)]
            flags = ("contract",)
            following = [builder.fadd(builder.fmul(s, factor, flags=flags), factor, flags=flags) for s in sums]
            after = builder.add(turn, one)
            for phi, first, later in zip((turn, *sums), (one, *[factor] * 12), (after, *following), strict=True):
                phi.add_incoming(first, before)
                phi.add_incoming(later, loop)
            builder.cbranch(builder.icmp_signed("<", after, arguments[0]), loop, done)
            builder.position_at_end(done)
            total = following[0]
            for term in following[1:]:
                total = builder.fadd(total, term)
            return builder.extract_element(total, ir.Constant(ir.IntType(32), 0))

        return value(count, value), generate

    @numba.njit(nogil=True)
    def loop(count, value):  # type: ignore[no-untyped-def]
        return multiply(count, value)

    turns = 100_000
    return turns * 12 * 2 * (32 // np.dtype(kind).itemsize) / shortest(lambda: loop(turns, np.dtype(kind).type(0.5)))


def harmonics(neighbours: float, l_max: int) -> float:
    """Operations of harmonics, by the formula above."""
    return neighbours * (2 * (l_max + 1) * (l_max + 2) + (l_max + 1) ** 2)


def measure() -> dict[str, Any]:
    """Seconds an atom, operations an atom and operations a second, of the package that Python finds."""
    from density import SPECIES, shipped_glass

    from ovito_glassml.descriptors.ace import ACEDescriptors
    from ovito_glassml.descriptors.bessel import BesselDescriptors
    from ovito_glassml.descriptors.soap import SOAPDescriptors
    from ovito_glassml.neighbours import build_cell_list, neighbour_counts
    from ovito_glassml.threads import limit_threads

    structure = shipped_glass((1, 1, 1))

    def neighbours(cutoff: float) -> float:
        return float(neighbour_counts(build_cell_list(structure, cutoff)).mean())

    def parameters(bessel: BesselDescriptors) -> None:
        cells = build_cell_list(structure, bessel.cutoff)
        block_parameters = bessel.parameters_of(structure, cells)
        for block in cells.blocks():
            block_parameters(block)

    results: dict[str, Any] = {}
    for kind in KINDS:
        results[f"peak {kind}"] = peak(kind)
        soap = SOAPDescriptors(SPECIES, dtype=kind)
        ace = ACEDescriptors(SPECIES, dtype=kind)
        bessel = BesselDescriptors(SPECIES, dtype=kind)
        with limit_threads(1):
            for name, descriptor in (("SOAP", soap), ("ACE", ace)):
                _, fill = next(iter(descriptor._blocks(structure)))
                kernel, _, *arguments = fill.args  # type: ignore[attr-defined]
                width = len(descriptor.feature_names)
                rows, places = np.zeros((ATOMS, width), dtype=kind), np.arange(ATOMS)

                def run(kernel: Any = kernel, tail: tuple = (*arguments, places, rows)) -> None:
                    for begin in range(0, ATOMS, 256):
                        kernel(begin, begin + 256, *tail)

                results[f"{name} {kind}"] = shortest(run) / ATOMS
            results[f"Bessel {kind}"] = shortest(lambda d=bessel: parameters(d), 10) / len(structure)
            averaged = shortest(lambda d=bessel: d.compute(structure), 10)
            results[f"Bessel with averages {kind}"] = averaged / len(structure)
            results[f"density {kind}"], results[f"spectrum {kind}"] = contractions(soap, structure)
    n, l_max, near = soap.n_max, soap.l_max, neighbours(soap.reach)
    terms, all_functions = (l_max + 1) ** 2, soap.n_max * len(SPECIES)
    results["density operations"] = 2 * near * terms * n
    results["spectrum operations"] = terms * all_functions * (all_functions + 1)
    results["SOAP operations"] = 12 * (near + 1) * n * (l_max + 1) + harmonics(near + 1, l_max)
    results["SOAP operations"] += 2 * (near + 1) * terms * n + results["spectrum operations"]
    n, l_max, near = bessel.n_max, bessel.l_max, neighbours(bessel.cutoff)
    terms = (l_max + 1) ** 2
    results["Bessel operations"] = 12 * near * n + harmonics(near, l_max) + 2 * near * n * (terms + 1) + 2 * terms * n
    results["ACE operations"] = ace_operations(ace, neighbours(ace.cutoff))
    return results


def contractions(soap: Any, structure: Any) -> tuple[float, float]:
    """Seconds an atom of the two products alone: functions × harmonics, and densities with each other."""
    from kernels_alone import repeat_products

    grid, block, expansion, prefactors = next(iter(soap._expansions(structure)))
    row = np.zeros(soap.feature_count + 16, dtype=soap.dtype)
    times = {}
    for count in ((1, 1), (9, 1), (1, 9)):
        arguments = (grid, block, expansion, soap.n_max, prefactors, row, *count)
        times[count] = shortest(lambda a=arguments: repeat_products(0, 64, *a)) / 64
    return (times[9, 1] - times[1, 1]) / 8, (times[1, 9] - times[1, 1]) / 8


def ace_operations(ace: Any, near: float) -> float:
    """Operations of ACE, by the formula above."""
    from ovito_glassml.descriptors.ace import _polynomials

    polynomials = _polynomials(len(ace.species), ace.order, ace.n_max, ace.degree, ace.degree_weight, ace.purified)
    need: dict[tuple[int, ...], int] = {(n,): 0 for n in range(1, ace.n_max + 1)}
    for _, angular, _, product in polynomials.entries:
        need[product] = max(need.get(product, 0), angular)
    l_max = max(need.values())
    columns = sum((angular + 1) ** 2 for angular in need.values())
    products = sum(len(product) > 1 for product in need)
    return (
        4 * near * ace.n_max
        + harmonics(near, l_max)
        + near * (products + 2 * columns)
        + 4 * len(polynomials.coefficients)
    )


def in_process(tree: Path, compiled: str) -> dict[str, Any]:
    """Measure the package of a checkout in a process of its own, on one core; machine code is kept in a folder."""
    here = Path(__file__).parent
    paths = os.pathsep.join([str(tree), str(here)])
    environment = {**os.environ, "PYTHONPATH": paths, "NUMBA_CACHE_DIR": compiled}
    command = [sys.executable, str(here / "kernels.py"), "--measure"]
    return json.loads(subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout)


def main(old: Path | None, rounds: int) -> None:
    """Measure in alternation and print the table."""
    trees = {"now": Path(__file__).parents[2], **({"before": old} if old else {})}
    runs: dict[str, list[dict[str, Any]]] = {name: [] for name in trees}
    with tempfile.TemporaryDirectory() as room:
        for _ in range(rounds):
            for name, tree in trees.items():
                runs[name].append(in_process(tree, str(Path(room, name))))
    medians = {name: {key: median(run[key] for run in all_) for key in all_[0]} for name, all_ in runs.items()}
    now = medians["now"]
    print("peak: " + ", ".join(f"{now[f'peak {kind}'] / 1e9:.0f} GFLOP/s in {kind}" for kind in KINDS))
    for what in ("SOAP", "density", "spectrum", "ACE", "Bessel", "Bessel with averages"):
        for kind in KINDS:
            key, line = f"{what} {kind}", f"{what + ', ' + kind:30s} {now[f'{what} {kind}'] * 1e6:6.2f} µs an atom"
            if f"{what} operations" in now:
                share = now[f"{what} operations"] / now[key] / now[f"peak {kind}"]
                line += f", {now[f'{what} operations'] / 1e3:4.0f} thousand operations, {share:4.0%} of the peak"
            if old:
                before = median(b[key] / a[key] for a, b in zip(runs["now"], runs["before"], strict=True))
                line += f", {before:.2f} x as fast as before"
            print(line)
    print(f"SOAP, float32 {now['SOAP float64'] / now['SOAP float32']:.2f} x as fast as float64")
    print(f"ACE {now['ACE float32'] / now['SOAP float32']:.2f} x SOAP")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", nargs="?", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--measure", action="store_true", help="print the numbers of one process as JSON")
    options = parser.parse_args()
    if options.measure:
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
        print(json.dumps(measure()))
    else:
        main(options.old, options.rounds)
