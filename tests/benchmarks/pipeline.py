"""What a user waits for in OVITO, and the memory it takes.

Run ``python tests/benchmarks/pipeline.py``: for every modifier that predicts, on 10 000 atoms or some more, the time
from the change of a parameter to the result, once everything is compiled. With ``--million``, a million atoms
through all of them in one process, with the time and the largest memory of the process so far (Linux).
"""

from __future__ import annotations

import argparse
import math
import resource
import sys
import time

from ovito.io import import_file
from ovito.modifiers import ReplicateModifier
from ovito.pipeline import ModifierInterface, Pipeline

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


def million() -> None:
    """Print time and memory of a million atoms, all modifiers in this process."""
    print(f"{'modifier':32} {'atoms':>8} {'time (s)':>9} {'memory so far (GB)':>19}")
    for modifier, name, _, _, sample in cases():
        pipeline = pipeline_of(sample, 1_000_000, modifier)
        start = time.perf_counter()
        count = pipeline.compute().particles.count
        spent = time.perf_counter() - start
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1 if sys.platform == "darwin" else 1024) / 1e3
        print(f"{name:32} {count:8} {spent:9.1f} {peak:19.2f}", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--million", action="store_true", help="a million atoms: time and memory")
    if parser.parse_args().million:
        million()
    else:
        time_changes()
