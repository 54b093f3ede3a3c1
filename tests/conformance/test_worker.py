"""A model is loaded and code runs in the one worker thread, whatever else the process does."""

import os
import subprocess
import sys

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
