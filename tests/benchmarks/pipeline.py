"""What a user waits for in OVITO, and the memory it takes.

Run ``python tests/benchmarks/pipeline.py``: for every modifier that predicts, on 10 000 atoms or some more, the time
from the change of a parameter to the result, once everything is compiled. With ``--million [NAMES]``, a million atoms
through every modifier that needs one frame, or those named, each in a process of its own: processor time an atom beside
that of a tenth of the atoms, and the memory of the whole process beyond the result. SOAP and ACE go block by block.
"""

from __future__ import annotations

import argparse
import math
import os
import resource
import subprocess
import sys
import time

import numpy as np
from ovito.data import DataCollection
from ovito.io import import_file
from ovito.modifiers import ReplicateModifier
from ovito.pipeline import ModifierInterface, Pipeline

from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.modifiers.registry import by_name
from ovito_glassml.workflow.sample_data import sample_file

METALLIC, LENNARD_JONES = "stiffness/vibrations-cu50zr50-1e13-1.xyz.gz", "activity/shear-kob-andersen-1.xyz.gz"
#: Short name of the modifier: parameters, the parameter that changes, its values in turn, and the sample.
CASES = {
    "stiffness": [({}, "coarse_graining_radius", (5.9, 6.0), METALLIC)],
    "activity": [
        ({"model": "activity-cuzr-shear"}, "color_by_result", (True, False), METALLIC),
        ({"model": "activity-ka-thermal"}, "color_by_result", (True, False), LENNARD_JONES),
    ],
    "lasca": [({}, "max_cutoff", ("3.6", "3.7"), METALLIC)],
    "scnn": [({}, "color_by_result", (True, False), METALLIC)],
    "ule": [({}, "color_by_result", (True, False), METALLIC)],
}


def pipeline_of(sample: str, atoms: int, modifier: ModifierInterface) -> Pipeline:
    """At least `atoms` atoms, copies of a shipped glass, through the modifier."""
    pipeline = import_file(sample_file(sample))
    copies = math.ceil(atoms / pipeline.compute().particles.count)
    side = round(copies ** (1 / 3))
    pipeline.modifiers.append(ReplicateModifier(num_x=side, num_y=side, num_z=math.ceil(copies / side**2)))
    pipeline.modifiers.append(modifier)
    return pipeline


def cases() -> list[tuple]:
    """Modifier, its name, the parameter that changes, its values and the sample, for all that are there."""
    found = []
    for short, entry in by_name().items():
        for parameters, parameter, values, sample in CASES.get(short, []):
            modifier = entry.load()(**parameters)
            found.append((modifier, " ".join([short, *parameters.values()]), parameter, values, sample))
    return found


def time_changes(atoms: int = 10_000, rounds: int = 5) -> None:
    """Print the best and the worst time of several changes."""
    print(f"{'modifier':32} {'atoms':>8} {'best (s)':>9} {'worst (s)':>9}")
    for modifier, name, parameter, values, sample in cases():
        pipeline = pipeline_of(sample, atoms, modifier)
        count = pipeline.compute().particles.count
        times = []
        for turn in range(rounds):
            setattr(modifier, parameter, values[turn % 2])
            start = time.perf_counter()
            pipeline.compute()
            times.append(time.perf_counter() - start)
        print(f"{name:32} {count:8} {min(times):9.2f} {max(times):9.2f}")


#: What goes block by block, as its rows are larger than memory.
BY_BLOCKS = {"soap by blocks": SOAPDescriptors, "ace by blocks": ACEDescriptors}
#: Further rows of the table of a million: modifier, its parameters and the sample.
FURTHER = {
    "propensity": ("activity", {"model": "propensity-ka"}, LENNARD_JONES),
    "propensity with angles": ("activity", {"model": "propensity-ka-angles"}, LENNARD_JONES),
}
MILLION = ("rdf", "bessel", *BY_BLOCKS, *CASES, *FURTHER)


def one(name: str, atoms: int) -> None:
    """Print number of atoms, processor seconds, and gigabytes of the result and of the process beyond it."""
    short, parameters, sample = name.split(" ", 1)[0], {}, METALLIC
    if short in CASES:
        parameters, _, _, sample = CASES[short][0]
    if name in FURTHER:
        short, parameters, sample = FURTHER[name]
    pipeline = pipeline_of(sample, atoms, by_name()[short].load()(**parameters))
    modifier = pipeline.modifiers.pop()
    small = import_file(sample_file(sample)).compute()
    apply(name, modifier, small)  # everything is compiled
    data = pipeline.compute()
    before = set(data.particles)
    start = time.process_time()
    apply(name, modifier, data)
    spent = time.process_time() - start
    new = set(data.particles) - before
    result = sum(np.asarray(data.particles[column]).nbytes for column in new)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print("took", data.particles.count, spent, result / 1e9, (peak - result) / 1e9)


def apply(name: str, modifier: ModifierInterface, data: DataCollection) -> None:
    """The modifier, or the rows of its descriptor block by block."""
    if name not in BY_BLOCKS:
        data.apply(modifier)
        return
    structure = structure_from_data(data)
    for _ in BY_BLOCKS[name](structure.species_names).iterate_blocks(structure):
        pass


def million(names: list[str]) -> None:
    """Print time and memory of a million atoms, every modifier in a process of its own."""
    titles = ("modifier", "atoms", "us an atom", "a tenth", "ratio", "result (GB)", "beyond (GB)")
    print("".join(f"{title:>{22 if k == 0 else 12}}" for k, title in enumerate(titles)))
    for name in names or MILLION:
        found = []
        for atoms in (100_000, 1_000_000):
            command = [sys.executable, __file__, "--one", name, "--atoms", str(atoms)]
            lines = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ).stdout
            found.append(
                [float(word) for line in lines.splitlines() if line[:5] == "took " for word in line.split()[1:]]
            )
        (few, short, *_), (count, spent, result, beyond) = found
        times = 1e6 * spent / count, 1e6 * short / few
        print(
            f"{name:>22}{count:12.0f}{times[0]:12.1f}{times[1]:12.1f}{times[0] / times[1]:12.2f}{result:12.2f}"
            f"{beyond:12.2f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", nargs="*", metavar="NAME", help="a million atoms: time and memory")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    parser.add_argument("--atoms", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.one:
        one(arguments.one, arguments.atoms)
    elif arguments.million is not None:
        million(arguments.million)
    else:
        time_changes()
