"""Times of the density-expansion descriptors beside DScribe, featomic, mdescriptor and OVITO, and their scaling.

Run ``python tests/benchmarks/density.py`` (``--picture FILE.png`` draws the scaling curve, ``--million``
adds a million atoms). All codes see the same atoms, in random order, on the same cores; the best of several
rounds counts. On a machine that is busy with other work ``--single`` gives every code one thread and counts
processor time instead.
"""

from __future__ import annotations

import argparse
import os
import resource
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from rdf import glass_like, ovito_data

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure

Descriptor = SOAPDescriptors | BesselDescriptors | ACEDescriptors

SPECIES = ("Cu", "Zr")
SAMPLE = Path(__file__).parents[2] / "sample_data" / "stiffness" / "vibrations-cu50zr50-1e13-1.xyz.gz"
CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


#: Replaced by processor time for busy machines.
clock = time.perf_counter


def best(run: Callable[[], object], rounds: int = 3) -> float:
    """Shortest time of several calls, in seconds."""
    times = []
    for _ in range(rounds):
        start = clock()
        run()
        times.append(clock() - start)
    return min(times)


def use_one_thread() -> None:
    """Restrict every code to one thread of this process and count its processor time."""
    global clock, CORES
    clock, CORES = time.process_time, 1
    os.environ["NUMBA_NUM_THREADS"] = "1"
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    os.environ["RAYON_NUM_THREADS"] = "1"


def reduced_rows(descriptor: Descriptor, structure: Structure) -> NDArray:
    """Sum over atoms, one block at a time: what a model does that needs no rows."""
    return sum(rows.sum(axis=0, dtype=np.float64) for _, rows in descriptor.iterate_blocks(structure))


def dscribe(structure: Structure) -> Callable[[], object]:
    """DScribe's SOAP on all cores, with the radial basis that it computes fastest."""
    from ase import Atoms
    from dscribe.descriptors import SOAP

    soap = SOAP(species=SPECIES, r_cut=5.0, n_max=11, l_max=12, sigma=0.5, rbf="gto", periodic=True, dtype="float32")
    symbols = [structure.species_names[kind] for kind in structure.species]
    atoms = Atoms(symbols, structure.positions, cell=structure.cell, pbc=True)
    atoms.wrap()
    if CORES == 1:
        return lambda: soap.create(atoms)
    # One job per core, each with a part of the atoms.
    centres = np.array_split(np.arange(len(structure)), CORES)
    return lambda: soap.create([atoms] * CORES, centers=[list(part) for part in centres], n_jobs=CORES)


def featomic(structure: Structure) -> Callable[[], object]:
    """featomic's SOAP power spectrum with the same numbers of functions and the same range of neighbours."""
    from ase import Atoms
    from featomic import SoapPowerSpectrum

    calculator = SoapPowerSpectrum(
        cutoff={"radius": SOAPDescriptors(SPECIES).reach, "smoothing": {"type": "Step"}},
        density={"type": "Gaussian", "width": 0.5},
        basis={"type": "TensorProduct", "max_angular": 12, "radial": {"type": "Gto", "max_radial": 10}},
    )
    symbols = [structure.species_names[kind] for kind in structure.species]
    atoms = Atoms(symbols, structure.positions, cell=structure.cell, pbc=True)
    atoms.wrap()
    return lambda: calculator.compute(atoms)


def mdescriptor(structure: Structure) -> Callable[[], object]:
    """mdescriptor's SOAP with the same settings as DScribe's."""
    from ase import Atoms
    from ase.data import atomic_numbers
    from mdescriptor import ExecutionOptions, OutputOptions
    from mdescriptor.descriptors.standalone.soap import SOAP

    soap = SOAP(
        species=[atomic_numbers[name] for name in SPECIES],
        r_cut=5.0,
        n_max=11,
        l_max=12,
        sigma=0.5,
        average="off",
        execution=ExecutionOptions(num_threads=CORES),
        output=OutputOptions(dtype="float32"),
    )
    symbols = [structure.species_names[kind] for kind in structure.species]
    atoms = Atoms(symbols, structure.positions, cell=structure.cell, pbc=True)
    return lambda: soap.compute(atoms)


def steinhardt(structure: Structure) -> Callable[[], object]:
    """OVITO's Steinhardt parameters with their default settings."""
    from ovito.modifiers import SteinhardtParametersModifier

    data = ovito_data(structure)
    return lambda: data.clone().apply(SteinhardtParametersModifier())


def report(name: str, seconds: float, atoms: int, reference: float | None = None, target: str = "") -> None:
    """Print one line of the table."""
    ratio = "" if reference is None else f"   {seconds / reference:6.2f} x {target}"
    print(f"  {name:42s} {seconds / atoms * 1e3:8.4f} ms an atom{ratio}", flush=True)


def shipped_glass(repeat: tuple[int, int, int] = (2, 2, 1)) -> Structure:
    """Periodic repetitions of a shipped Cu50Zr50 glass of 4000 atoms, in random order."""
    glass = read_snapshot(SAMPLE).structure
    shifts = np.array(list(np.ndindex(repeat))) @ glass.cell
    positions = (glass.positions + shifts[:, None, :]).reshape(-1, 3)
    order = np.random.default_rng(1).permutation(len(positions))
    return Structure(
        positions[order],
        np.tile(glass.species, len(shifts))[order],
        glass.species_names,
        glass.cell * np.array(repeat)[:, None],
        glass.origin,
        glass.pbc,
    )


def compare() -> None:
    """The table of all codes."""
    structure = shipped_glass()
    count = len(structure)
    warm = glass_like(500)
    descriptors = {
        "SOAP, float32": SOAPDescriptors(SPECIES),
        "SOAP, float64": SOAPDescriptors(SPECIES, dtype="float64"),
        "Bessel, 264": BesselDescriptors(SPECIES),
        "ACE, degree 10": ACEDescriptors(SPECIES),
    }
    for descriptor in descriptors.values():
        descriptor.compute(warm)
    cores = f"{CORES} cores" if CORES > 1 else "1 core"
    print(f"{count} atoms of a Cu50Zr50 glass in random order, {cores}, best of several rounds:")
    soap = best(lambda: descriptors["SOAP, float32"].compute(structure))
    report("SOAP, float32", soap, count)
    report("SOAP, float64", best(lambda: descriptors["SOAP, float64"].compute(structure)), count, soap, "SOAP")
    ace = best(lambda: descriptors["ACE, degree 10"].compute(structure))
    report("ACE, degree 10, float32", ace, count, soap, "SOAP (at most 1)")
    peers = (("DScribe", dscribe, 20), ("featomic", featomic, 60), ("mdescriptor", mdescriptor, 15))
    for name, code, wanted in peers:
        try:
            run = code(structure)
        except ImportError:
            print(f"  {name} is not installed")
            continue
        report(f"{name}, {cores}", best(run, 2), count, soap, f"SOAP (at least {wanted})")
    bessel = best(lambda: descriptors["Bessel, 264"].compute(structure))
    modifier = best(steinhardt(structure))
    report("OVITO SteinhardtParametersModifier", modifier, count)
    report("Bessel, 264", bessel, count, modifier, "Steinhardt (at most 0.13)")


def scaling(counts: list[int], picture: Path | None) -> None:
    """Time an atom with a reducing sink against the number of atoms, and the working memory of the largest."""
    descriptors = {
        "SOAP, 3289 features": SOAPDescriptors(SPECIES),
        "ACE, 574 features": ACEDescriptors(SPECIES),
        "Bessel, 264 features": BesselDescriptors(SPECIES),
    }
    times: dict[str, list[float]] = {name: [] for name in descriptors}
    for count in counts:
        structure = glass_like(count)
        held = int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
        for name, descriptor in descriptors.items():
            run = partial(reduced_rows, descriptor, structure)
            times[name].append(best(run, 3 if count < 100_000 else 1) / count * 1e6)
            print(f"  {name}: {count} atoms, {times[name][-1]:.2f} µs an atom", flush=True)
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
        print(f"  working memory up to {count} atoms: {(peak - held) / 1e9:.2f} GB", flush=True)
    if picture is not None:
        draw(counts, times, picture)


def draw(counts: list[int], times: dict[str, list[float]], picture: Path) -> None:
    """Scaling curve as a PNG."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(5, 3.4), layout="constrained")
    for name, values in times.items():
        axes.plot(counts, values, "o-", label=name)
    axes.set(xscale="log", xlabel="atoms", ylabel=f"µs an atom ({CORES} cores)", ylim=(0, None))
    axes.legend()
    figure.savefig(picture, dpi=160)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--picture", type=Path)
    parser.add_argument("--single", action="store_true")
    options = parser.parse_args()
    if options.single:
        use_one_thread()
    compare()
    print("Scaling with a reducing sink:")
    scaling([1_000, 10_000, 100_000] + ([1_000_000] if options.million else []), options.picture)
