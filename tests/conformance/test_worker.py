"""Parallel code runs in the one worker thread: where it meets itself in another, some of its layers end the program."""

import os
import shutil
import subprocess
import sys
import threading

import pytest
from conformance_cases import computed, glass, installed_cases
from numba.core.registry import CPUDispatcher

from ovito_glassml.learn.format import SHIPPED_MODELS


def parallel_functions():
    """Module, name and function of all parallel compiled code, wherever it is imported."""
    for module in [module for name, module in sys.modules.items() if name.startswith("ovito_glassml.")]:
        for name, value in list(vars(module).items()):
            if isinstance(value, CPUDispatcher) and value.targetoptions.get("parallel"):
                yield module, name, value


@pytest.fixture
def threads(monkeypatch):
    """Names of the threads in which parallel code has run, by function."""
    seen = []

    def watched(function):
        def run(*arguments):
            seen.append((function.__name__, threading.current_thread().name))
            return function(*arguments)

        return run

    for module, name, function in list(parallel_functions()):
        monkeypatch.setattr(module, name, watched(function))
    return seen


def fresh_model(case, folder):
    """The default model from a file that no earlier test has loaded."""
    name = case.modifier().model if case.has("model") else ""
    if not name:
        return {}
    return {"model": shutil.copy(SHIPPED_MODELS / f"{name}.safetensors", folder)}


@pytest.mark.parametrize("case", installed_cases(), ids=str)
def test_parallel_code_runs_in_the_worker_only(case, threads, tmp_path):
    shown = {"show_clusters_of": "1, 2"} if case.has("show_clusters_of") else {}
    computed(case.make(**fresh_model(case, tmp_path), **shown), glass())
    assert {thread for _, thread in threads} <= {"ovito_glassml"}, threads


BESIDE_THE_WORKER = """
import sys, threading
import numpy as np
from ovito.data import DataCollection, ParticleType
from ovito_glassml import PrototypeSimilarityModifier
from ovito_glassml.adapter import progress
from ovito_glassml.neighbours import build_cell_list, neighbour_counts
from ovito_glassml.structure import Structure

positions = np.random.default_rng(1).uniform(0, 60, (20_000, 3))
structure = Structure(positions, np.zeros(20_000, int), ("Cu",), 60 * np.eye(3), pbc=(True, True, True))
cells = build_cell_list(structure, 4.0)
begun = threading.Event()

def work(report):
    while progress._worker.waiting.empty():  # until the next work is waiting
        neighbour_counts(cells)
        begun.set()

data = DataCollection()
data.create_cell(np.column_stack([60 * np.eye(3), np.zeros(3)]), pbc=(True, True, True))
data.create_particles(count=20_000).create_property("Position", data=positions)
types = data.particles_.create_property("Particle Type", data=np.ones(20_000, int))
types.types.append(ParticleType(id=1, name="Cu"))
first = progress.with_progress(work)
next(first)
begun.wait()
second = PrototypeSimilarityModifier().modify(data, data_cache=DataCollection())
while next(second) != "Comparing with prototypes":
    pass
second.close()
list(first)
print("alive")
"""


def test_models_are_loaded_beside_a_suspended_modifier_on_every_threading_layer():
    """OVITO may begin with a second pipeline before the first is done; the usual layer of macOS is workqueue."""
    environment = {**os.environ, "NUMBA_THREADING_LAYER": "workqueue", "NUMBA_NUM_THREADS": "2"}
    command = [sys.executable, "-c", BESIDE_THE_WORKER]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=500, check=False)
    assert done.stdout.strip() == "alive", done.stderr
