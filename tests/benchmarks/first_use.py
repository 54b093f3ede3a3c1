"""Processor time of two checkouts side by side: first use, with nothing compiled, and warm calls.

    python tests/benchmarks/first_use.py OLD NEW
    python tests/benchmarks/first_use.py OLD NEW --warm --rounds 9

OLD and NEW are folders that hold the package. Time is that of a process and all its children, so that other work on
the machine hardly matters; the checkouts take turns.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

#: What is computed first, on which sample file.
FIRST_USE = {
    "stiffness": "stiffness/vibrations-cu50zr50-1e13-2.xyz.gz",
    "ule": "barcode/glass-zr44cu56.xyz.gz",
    "lasca": "stiffness/vibrations-cu50zr50-1e13-2.xyz.gz",
}

#: Modifiers whose warm calls are compared, with their parameters: all that need one frame only.
WARM = {
    "RDFDescriptorsModifier": {},
    "BesselDescriptorsModifier": {},
    "SOAPDescriptorsModifier": {"n_max": 6, "l_max": 6},
    "ACEDescriptorsModifier": {"cutoff": 5.4},
    "PredictedStiffnessModifier": {},
    "PrototypeSimilarityModifier": {},
    "ULEBarcodeModifier": {},
    "LaSCAModifier": {},
    "PredictedActivityModifier": {},
}


#: Sample files where it is not that of stiffness.
FILES = {
    "ULEBarcodeModifier": "barcode/glass-zr44cu56.xyz.gz",
    "PredictedActivityModifier": "activity/shear-kob-andersen-1.xyz.gz",
}


def processor_time() -> float:
    """Seconds of this process's children that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def first_use(checkout: Path, modifier: str, file: str) -> float:
    """Seconds that `glassml apply` takes with an empty cache of compiled code."""
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": f"{folder}/cache"}
        command = [sys.executable, "-m", "ovito_glassml", "apply", str(checkout / "sample_data" / file)]
        begin = processor_time()
        subprocess.run(
            [*command, "--modifier", modifier, "-o", f"{folder}/out.xyz"],
            env=environment, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        return processor_time() - begin


SERVER = """
import json, sys, time
import numpy as np
import ovito
from ovito.io import import_file
from ovito.modifiers import ReplicateModifier
from ovito.pipeline import Pipeline, StaticSource
import ovito_glassml
structures = {}
def replica(file, atoms):
    pipeline = import_file(file)
    count = pipeline.compute().particles.count
    copies = round((atoms / count) ** (1 / 3)) or 1
    pipeline.modifiers.append(ReplicateModifier(num_x=copies, num_y=copies, num_z=copies))
    return pipeline.compute()
for line in sys.stdin:
    name, parameters, file, atoms = json.loads(line)
    if file not in structures:
        structures[file] = replica(file, atoms)
    data = structures[file].clone()
    modifier = getattr(ovito_glassml, name)(**parameters)
    begin = time.process_time()
    data.apply(modifier)
    print("took", time.process_time() - begin, flush=True)
"""


class Warm:
    """A process of one checkout that applies modifiers when told to."""

    def __init__(self, checkout: Path, folder: str) -> None:
        environment = {**os.environ, "PYTHONPATH": str(checkout), "NUMBA_CACHE_DIR": folder}
        self.sample_data = checkout / "sample_data"
        self.process = subprocess.Popen(
            [sys.executable, "-c", SERVER],
            env=environment, cwd=folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip

    def call(self, name: str, parameters: dict, file: str, atoms: int) -> float:
        """Seconds of one call."""
        assert self.process.stdin
        assert self.process.stdout
        print(json.dumps([name, parameters, str(self.sample_data / file), atoms]), file=self.process.stdin, flush=True)
        for line in self.process.stdout:
            if line.startswith("took "):
                return float(line.split()[1])
        raise RuntimeError(f"{name} failed.")


def compare(label: str, old: list[float], new: list[float]) -> None:
    """Print medians and their ratio."""
    a, b = statistics.median(old), statistics.median(new)
    print(f"{label:32s} {a:8.2f} s {b:8.2f} s   ratio {b / a:.3f}", flush=True)


def main() -> None:
    """Compare two checkouts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", type=Path)
    parser.add_argument("new", type=Path)
    parser.add_argument("--warm", action="store_true", help="warm calls of every modifier instead of first use")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--atoms", type=int, default=100_000)
    parser.add_argument("--only", nargs="*", help="names of modifiers")
    options = parser.parse_args()
    old, new = options.old.resolve(), options.new.resolve()
    if not options.warm:
        for name, file in FIRST_USE.items():
            if not options.only or name in options.only:
                pairs = [(first_use(old, name, file), first_use(new, name, file)) for _ in range(options.rounds)]
                compare(f"first use of {name}", *map(list, zip(*pairs, strict=True)))
        return
    with tempfile.TemporaryDirectory() as first, tempfile.TemporaryDirectory() as second:
        servers = [Warm(old, first), Warm(new, second)]
        for name, parameters in WARM.items():
            if options.only and name not in options.only:
                continue
            arguments = (name, parameters, FILES.get(name, FIRST_USE["stiffness"]), options.atoms)
            for server in servers:
                server.call(*arguments)  # compiles
            pairs = [[server.call(*arguments) for server in servers] for _ in range(options.rounds)]
            compare(name, *map(list, zip(*pairs, strict=True)))


if __name__ == "__main__":
    main()
