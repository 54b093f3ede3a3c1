"""Rate of the selection of unique environments, and time of the barcode modifier's numerics beside SOAP alone.

Run ``python tests/benchmarks/ule.py --model FILE`` with a barcode model for Cu and Zr; ``--million`` takes a million
atoms. On a machine that is busy with other work ``--single`` gives one thread and counts processor time.
"""

from __future__ import annotations

import argparse
import resource
import time

import density
import numpy as np
from rdf import glass_like
from threadpoolctl import threadpool_limits

from ovito_glassml.descriptors.soap import SOAPDescriptors
from ovito_glassml.learn.barcode.environments import select_environments
from ovito_glassml.learn.barcode.model import UleModel
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import stiffness_samples


def soap_alone(descriptor: SOAPDescriptors, structure: Structure) -> None:
    """All rows, block by block, and nothing done with them."""
    with threadpool_limits(1, "blas"):
        for _ in descriptor.iterate_blocks(structure):
            pass


def selection() -> None:
    """Environments compared a second in two shipped glasses."""
    structures = [read_snapshot(file).structure for file in stiffness_samples()[0]]
    descriptor = SOAPDescriptors(("Cu", "Zr"))
    select_environments(structures[:1], descriptor, share=1.0)
    start = density.clock()
    found = select_environments(structures, descriptor, share=1.0)
    seconds = density.clock() - start
    atoms = sum(map(len, structures))
    print(f"{atoms} environments, {len(found)} of them unique: {atoms / seconds:.0f} a second", flush=True)


def modifier(model: UleModel, count: int) -> None:
    """Barcode and rows alone, in turns, and the memory that the barcode adds."""
    structure = glass_like(count)
    model.predict(glass_like(4000))
    alone, whole = [], []
    for _ in range(2 if count > 100_000 else 5):
        start = density.clock()
        soap_alone(model.descriptor, structure)
        alone.append(density.clock() - start)
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        start = density.clock()
        model.predict(structure)
        whole.append(density.clock() - start)
        after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    times = 1e6 * np.array([min(alone), min(whole)]) / len(structure)
    print(f"{len(structure)} atoms: SOAP {times[0]:.1f} µs an atom, barcode {times[1]:.1f}: {times[1] / times[0]:.2f}")
    print(f"peak memory {after / 1e6:.2f} GB, {(after - before) / 1e6:.2f} GB more than before the barcode", flush=True)


def main() -> None:
    """Everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--single", action="store_true")
    options = parser.parse_args()
    if options.single:
        density.use_one_thread()
    print("processor time" if options.single else "wall time", time.strftime("%Y-%m-%d"))
    selection()
    modifier(UleModel.load(options.model), 1_000_000 if options.million else 40_000)


if __name__ == "__main__":
    main()
