"""A long trajectory in three ways: python tests/benchmarks/long_trajectory.py [--frames 2000] [--atoms 20000]

One process, ``--jobs 2``, and a Dask scheduler of whose workers two are killed under way, all with every modifier that
predicts for Cu-Zr. Prints time, the memory of all processes in each fifth of the run, and whether the bytes are those
of the first way. The Dask run needs the extra cluster. Killing by SIGKILL: not on Windows.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.workflow.sample_data import sample_file

CHAIN = [word for name in ("stiffness", "activity", "scnn", "ule", "lasca") for word in ("-m", name)]

#: Seconds between two looks at the memory.
LOOK = 0.5


def write_trajectory(file: Path, frames: int, atoms: int) -> None:
    """A shipped glass of 4 000 atoms, as many side by side as are needed, or a slice of it, vibrating."""
    shipped = open_trajectory(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz")).compute()
    glass = structure_from_data(shipped)
    copies = -(-atoms // len(glass))
    shifts = np.arange(copies)[:, None, None] * glass.cell[0]
    sites = (glass.positions + shifts).reshape(-1, 3)
    kinds = np.tile(glass.species + 1, copies)
    cell = glass.cell * [[copies], [1], [1]]
    lattice = " ".join(f"{value:.6f}" for value in cell.ravel())
    comment = f'Lattice="{lattice}" pbc="T T T" Properties=species:S:1:pos:R:3'
    names = np.array(glass.species_names)[kinds - 1]
    with open(file, "w") as sink:
        for frame in range(frames):
            moved = sites + np.random.default_rng(frame).normal(0, 0.02, sites.shape)
            sink.write(f"{len(sites)}\n{comment}\n")
            sink.writelines(f"{name} {x:.4f} {y:.4f} {z:.4f}\n" for name, (x, y, z) in zip(names, moved, strict=True))


def family(parent: int) -> list[int]:
    """A process and all that it has started."""
    listing = subprocess.run(["ps", "ax", "-o", "pid=,ppid="], capture_output=True, text=True, check=True).stdout
    started: dict[int, list[int]] = {}
    for line in listing.splitlines():
        pid, of = map(int, line.split())
        started.setdefault(of, []).append(pid)
    found = [parent]
    for pid in found:
        found += started.get(pid, [])
    return found


def memory(parents: list[int]) -> float:
    """MiB of some processes and all that they have started; what they share counts once."""
    total = 0
    for pid in {pid for parent in parents for pid in family(parent)}:
        try:
            text = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:  # has ended
            continue
        total += sum(int(value) for value in re.findall(r"^Pss:\s+(\d+)", text, re.MULTILINE))
    return total / 1024


def timed(command: list[str], parents: list[int], at_moments: list) -> tuple[float, list[float]]:
    """Seconds of a command, and the largest memory in each fifth of them; `at_moments` are called on the way."""
    begin, seen = time.monotonic(), []
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        said: list[str] = []
        reader = threading.Thread(target=lambda: said.append(running.stderr.read()))
        reader.start()
        while running.poll() is None:
            seen.append(memory([running.pid, *parents]))
            if at_moments and at_moments[0](time.monotonic() - begin):
                at_moments.pop(0)
            time.sleep(LOOK)
        reader.join()
    if running.returncode:
        raise SystemExit(f"{' '.join(command)}\n{said[0]}")
    parts = np.array_split(np.array(seen), 5)
    return time.monotonic() - begin, [float(part.max()) for part in parts if len(part)]


def killer(workers: dict, output: Path, least: int):
    """Function that kills a worker at work once so many ranges are done; True when that is done."""

    def strike(seconds: float) -> bool:
        if len(list(output.with_name(f".{output.name}.parts").glob("*.json"))) < least:
            return False
        victim = next(pid for pid in (worker.pid for worker in workers.values()) if pid and len(family(pid)) > 1)
        os.kill(victim, signal.SIGKILL)
        print(f"  worker {victim} killed after {seconds:.0f} s with {least} ranges done", flush=True)
        return True

    return strike


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=2000)
    parser.add_argument("--atoms", type=int, default=20000)
    parser.add_argument("--ways", nargs="*", default=["alone", "jobs", "dask"])
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder, digests = Path(place), {}
        write_trajectory(folder / "long.xyz", options.frames, options.atoms)
        for way in options.ways:
            output = folder / f"{way}.xyz.gz"
            command = [sys.executable, "-m", "ovito_glassml", "apply", str(folder / "long.xyz"), *CHAIN]
            command += ["-o", str(output), "--attributes", str(folder / f"{way}.csv"), "--quiet"]
            parents, moments = [], []
            if way == "jobs":
                command += ["--jobs", "2"]
            if way == "dask":
                from distributed import LocalCluster

                cluster = stack.enter_context(
                    LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None, silence_logs=50)
                )
                parents = [os.getpid()]
                command += ["--scheduler", cluster.scheduler_address]
                moments = [killer(cluster.workers, output, done) for done in (2, 8)]
            seconds, used = timed(command, parents, moments)
            files = [output, folder / f"{way}.csv"]
            digests[way] = [hashlib.sha256(file.read_bytes()).hexdigest() for file in files]
            same = digests[way] == digests[options.ways[0]]
            shown = ", ".join(f"{value:.0f}" for value in used)
            print(
                f"{way:6s} {seconds:7.1f} s   MiB by fifths: {shown}   bytes {'same' if same else 'DIFFER'}", flush=True
            )
            if not same:
                raise SystemExit(1)


if __name__ == "__main__":
    main()
