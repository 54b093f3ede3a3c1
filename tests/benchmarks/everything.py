"""One run of all kernels beside their peers, and the table that a comparison needs: CSV and Markdown.

    python tests/benchmarks/everything.py [-o FOLDER] [--old CHECKOUT] [--million]

Everybody sees the same atoms, in random order, on the same cores. All take turns, several rounds of it; a ratio is the
median over rounds of the ratio within each. Peers that are not installed are left out
(``pip install dscribe featomic mdescriptor``). With ``--old``, predicted stiffness and first use are compared with
another checkout, see `first_use.py`. Meant for an idle machine.
"""

from __future__ import annotations

import argparse
import csv
import platform
import tempfile
from collections.abc import Callable
from dataclasses import astuple, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import density
import kernels
import lasca
import numba
import numpy as np
import rdf
from first_use import Warm
from numba.core.codegen import get_host_cpu_features
from rdf import seconds

from ovito_glassml.compile import kernel
from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.learn.model import load_model
from ovito_glassml.threads import limit_threads, run_tasks, thread_count
from ovito_glassml.topology.standard_clusters import LaSCA

ROUNDS = 5


@dataclass(frozen=True)
class Row:
    """One line of the table; `asked` is what this package wants of the ratio."""

    what: str
    microseconds_an_atom: float
    beside: str = ""
    ratio: float = float("nan")
    asked: str = ""


def in_turns(runs: dict[str, Callable[[], object]], rounds: int = ROUNDS) -> dict[str, list[float]]:
    """Times of all, one after the other in every round; what is compiled was compiled before."""
    for run in runs.values():
        run()
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(rounds):
        for name, run in runs.items():
            times[name].append(seconds(run))
    return times


def ratio(above: list[float], below: list[float]) -> float:
    """Median over rounds."""
    return median(a / b for a, b in zip(above, below, strict=True))


def rows_of(descriptor: Any, structure: Any, dtype: str) -> Callable[[], object]:
    """Writes all rows into memory that is there already."""
    out = np.zeros((len(structure), len(descriptor.feature_names)), dtype=dtype)
    return lambda: descriptor.compute(structure, None, out)


def descriptors() -> list[Row]:
    """Expansions of the density beside peers."""
    structure = density.shipped_glass()
    soap, ace, bessel = (kind(density.SPECIES) for kind in (SOAPDescriptors, ACEDescriptors, BesselDescriptors))
    double = SOAPDescriptors(density.SPECIES, dtype="float64")
    runs = {
        "SOAP, float32": rows_of(soap, structure, "float32"),
        "SOAP, float64": rows_of(double, structure, "float64"),
        "ACE, 574": rows_of(ace, structure, "float32"),
        "Bessel, 264": rows_of(bessel, structure, "float32"),
        "OVITO Steinhardt": density.steinhardt(structure),
    }
    asked = {"SOAP, float64": "at least 1.7", "ACE, 574": "at most 1.0"}
    for name, peer, wanted in (("DScribe", density.dscribe, 20), ("featomic", density.featomic, 60),
                               ("mdescriptor", density.mdescriptor, 15)):  # fmt: skip
        try:
            runs[name] = peer(structure)
        except ImportError:
            print(f"{name} is not installed", flush=True)
        asked[name] = f"at least {wanted}"
    times = in_turns(runs)
    table = [
        Row(name, micro(spent, structure), "SOAP, float32", ratio(spent, times["SOAP, float32"]), asked.get(name, ""))
        for name, spent in times.items()
        if name not in ("Bessel, 264", "OVITO Steinhardt")
    ]
    own, other = times["Bessel, 264"], times["OVITO Steinhardt"]
    return [*table, Row("Bessel, 264", micro(own, structure), "OVITO Steinhardt", ratio(own, other), "at most 0.13")]


def micro(spent: list[float], structure: Any) -> float:
    """Microseconds an atom, median."""
    return median(spent) / len(structure) * 1e6


def analyses() -> list[Row]:
    """RDF and LaSCA beside OVITO's own modifiers, and predicted stiffness."""
    from ovito.modifiers import RadialDistributionFunctionModifier, VoronoiAnalysisModifier

    structure, shaken = density.shipped_glass((3, 3, 3)), lasca.glass((5, 5, 1))

    def ovito(modifier: Callable[[], Any], seen: Any) -> Callable[[], object]:
        data = rdf.ovito_data(seen)
        return lambda: data.clone().apply(modifier())

    model = load_model("stiffness-cuzr")
    times = in_turns(
        {
            "RDF": rows_of(RDFDescriptors(), structure, "float32"),
            "OVITO RDF": ovito(lambda: RadialDistributionFunctionModifier(cutoff=10.0, number_of_bins=50), structure),
            "LaSCA, max cutoff": lambda: LaSCA().compute(shaken),
            "LaSCA, no obtuse triangle": lambda: LaSCA(stop="no obtuse triangle").compute(shaken),
            "OVITO Voronoi": ovito(VoronoiAnalysisModifier, shaken),
            "predicted stiffness": lambda: model.predict(structure),
        }
    )
    beside = {"RDF": ("OVITO RDF", "at most 0.6"), "predicted stiffness": ("OVITO RDF", "")}
    beside |= {name: ("OVITO Voronoi", "at most 0.5") for name in times if name.startswith("LaSCA")}
    return [
        Row(name, micro(times[name], shaken if "LaSCA" in name else structure), other, ratio(times[name], times[other]),
            wanted)
        for name, (other, wanted) in beside.items()
    ]  # fmt: skip


@kernel
def arithmetic(begin, end, turns, results):
    """Multiplies and adds without reading memory."""
    for t in range(begin, end):
        a, b, c, d = 1.0, 2.0, 3.0, 4.0
        for _ in range(turns):
            a, b = a * 0.999 + 0.1, b * 0.998 + 0.1
            c, d = c * 0.997 + 0.1, d * 0.996 + 0.1
        results[t] = a + b + c + d


def threads() -> list[Row]:
    """What all threads gain over one, beside what they gain for plain arithmetic."""
    count = thread_count()
    if count == 1:
        return []
    structure, results = density.shipped_glass(), np.zeros(20_000)
    soap, model = rows_of(SOAPDescriptors(density.SPECIES), structure, "float32"), load_model("stiffness-cuzr")
    work: dict[str, Callable[[], object]] = {
        "arithmetic": lambda: run_tasks(arithmetic, len(results), 20_000, results),
        "SOAP": soap,
        "predicted stiffness": lambda: model.predict(structure),
    }

    def on(threads: int, run: Callable[[], object]) -> Callable[[], None]:
        def limited() -> None:
            with limit_threads(threads):
                run()

        return limited

    times = in_turns({f"{name} {n}": on(n, run) for name, run in work.items() for n in (1, count)})
    gains = {name: ratio(times[f"{name} 1"], times[f"{name} {count}"]) for name in work}
    return [
        Row(f"{name}, gain of {count} threads", micro(times[f"{name} {count}"], structure), "plain arithmetic",
            gains[name] / gains["arithmetic"], "at least 0.93")
        for name in list(work)[1:]
    ]  # fmt: skip


def peaks() -> list[Row]:
    """Share of the peak of a plain loop of fused multiply-adds, one core, see `kernels.py`."""
    with tempfile.TemporaryDirectory() as room:
        found = kernels.in_process(Path(__file__).parents[2], room)
    table = []
    for what, wanted in (("SOAP", "at least 0.15"), ("density", "at least 0.40"), ("spectrum", ""), ("ACE", ""),
                         ("Bessel", "")):  # fmt: skip
        spent, operations = found[f"{what} float32"], found[f"{what} operations"]
        share = operations / spent / found["peak float32"]
        table.append(Row(f"{what} kernel, one core", spent * 1e6, "peak of one core", share, wanted))
    return table


def scaling(counts: list[int]) -> list[Row]:
    """Time an atom with nothing kept, beside that of ten thousand atoms."""
    kinds = {"SOAP": SOAPDescriptors, "ACE": ACEDescriptors, "Bessel": BesselDescriptors}
    made = {name: kind(density.SPECIES) for name, kind in kinds.items()}
    structures = {count: rdf.glass_like(count) for count in counts}
    table, spent = [], {}
    for count, structure in structures.items():
        for name, descriptor in made.items():
            run = [seconds(lambda d=descriptor, s=structure: density.reduced_rows(d, s)) for _ in range(3)]
            spent[name, count] = micro(run, structure)
    for (name, count), value in spent.items():
        wanted = "at most 1.1" if count > 10_000 else ""
        table.append(Row(f"{name}, {count} atoms", value, f"{name}, 10000 atoms", value / spent[name, 10_000], wanted))
    return table


def before(old: Path) -> list[Row]:
    """Predicted stiffness of another checkout and of this one, warm, each in a process of its own."""
    sample, atoms = "stiffness/vibrations-cu50zr50-1e13-2.xyz.gz", 108_000  # whole copies
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        sides = Warm(old.resolve(), first), Warm(Path(__file__).parents[2], second)
        times = [[side.call("PredictedStiffnessModifier", {}, sample, atoms) for side in sides]
                 for _ in range(ROUNDS + 1)][1:]  # fmt: skip
        for side in sides:
            side.process.kill()
    gain = median(new / past for past, new in times)
    return [Row("stiffness modifier", median(new for _, new in times) / atoms * 1e6, "before", gain, "at most 0.33")]


def machine() -> str:
    """Processor, cores and versions."""
    name = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line]
        name = names[0] if names else name
    target = get_host_cpu_features()
    wide = "AVX-512" if "+avx512f" in target else "AVX2" if "+avx2" in target else "no AVX2"
    return f"{name} ({wide}), {thread_count()} threads, Python {platform.python_version()}, Numba {numba.__version__}"


def main() -> None:
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks"))
    parser.add_argument("--old", type=Path)
    parser.add_argument("--million", action="store_true")
    options = parser.parse_args()
    counts = [1_000, 10_000, 100_000, *([1_000_000] if options.million else [])]
    parts: list[Callable[[], list[Row]]] = [descriptors, analyses, threads, peaks, lambda: scaling(counts)]
    if options.old is not None:
        parts.append(lambda: before(options.old))
    table = []
    for part in parts:
        for row in part():
            table.append(row)
            print(f"{row.what:36s} {row.microseconds_an_atom:9.2f} {row.ratio:8.3f} x {row.beside:20s} {row.asked}",
                  flush=True)  # fmt: skip
    options.output.mkdir(parents=True, exist_ok=True)
    titles = ("what", "µs an atom", "beside", "ratio", "asked")
    with (options.output / "benchmarks.csv").open("w", newline="") as file:
        csv.writer(file).writerows([titles, *map(astuple, table)])
    lines = [f"{machine()}.", "", f"| {' | '.join(titles)} |", "|---|---|---|---|---|"]
    lines += [f"| {r.what} | {r.microseconds_an_atom:.2f} | {r.beside} | {r.ratio:.3f} | {r.asked} |" for r in table]
    (options.output / "benchmarks.md").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
