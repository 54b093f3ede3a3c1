"""Scores of prototype networks on labelled glasses, one whole sample left out at a time.

Run ``python tests/benchmarks/scnn.py FOLDER`` on a folder of barrier data, ``config*.npz`` or snapshots
``*.xyz.gz`` with a column ``Activation_Energy``. ``--design bessel`` takes the published 264
parameters, ``--leave 0,3`` only some samples, ``--seeds`` adds the spread over five seeds,
``--atoms`` the published division by atom, ``--printed`` the loss as it is printed. One core, minutes.
``--million`` trains nothing: it says which share of the processor time of a million atoms the shipped network takes.
"""

from __future__ import annotations

import argparse
import itertools
import math
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from ovito_glassml.learn.card import table_markdown
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.prototypes.data import ENVIRONMENT, PUBLISHED, BarrierSample, TrainingData, describe_samples
from ovito_glassml.learn.prototypes.evaluate import area_on_atoms, fold_tables, leave_one_out, seed_table
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.learn.prototypes.network import LossWeights, TrainingSettings
from ovito_glassml.learn.prototypes.train import FittedPrototypes
from ovito_glassml.reproduce.figures.lasca import read_barriers
from ovito_glassml.simulate.snapshots import read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.topology.signature import format_signature, label_name
from ovito_glassml.topology.standard_clusters import LaSCA

DESIGNS = {"environment": ENVIRONMENT, "bessel": PUBLISHED}
SHIPPED = {"environment": "scnn-cuzr", "bessel": "scnn-cuzr-264"}


def samples_of(folder: Path) -> list[BarrierSample]:
    """Labelled samples of a folder, in the order of their names."""
    snapshots = sorted(folder.glob("*.xyz.gz"))
    if not snapshots:
        return [BarrierSample(glass.structure, np.asarray(glass.values), glass.name) for glass in read_barriers(folder)]
    read = [(read_snapshot(file), file.name.split(".")[0]) for file in snapshots]
    return [BarrierSample(snapshot.structure, snapshot.columns["Activation_Energy"], name) for snapshot, name in read]


def environments_of(data: TrainingData, fits: list[FittedPrototypes]) -> ResultTable:
    """Element, barrier and largest standard cluster of the prototypes, one network a row."""
    rows = []
    for seed, fitted in enumerate(fits, start=1):
        cells: list[object] = [f"seed {seed}"]
        for place in fitted.places:
            structure, atom = data.samples[data.sample[place]].structure, data.atom[place]
            cluster = LaSCA().compute(replace(structure, mask=np.arange(len(structure)) == atom))
            kind = label_name(int(cluster.labels[0])) or format_signature(cluster.signatures[0])
            element = structure.species_names[structure.species[atom]]
            cells.append(f"{element} {data.barrier[place]:.2f} eV {kind}")
        rows.append(tuple(cells))
    return ResultTable("Prototypes by seed", ("network", "0 low", "1 low", "2 high", "3 high"), tuple(rows))


def million(structure: Structure, model: ScnnModel, atoms: int = 1_000_000) -> None:
    """Processor time of copies of a glass, and of the network alone on as many rows."""
    side = math.ceil((atoms / len(structure)) ** (1 / 3))
    shifts = np.array(list(itertools.product(range(side), repeat=3))) @ structure.cell
    positions = (structure.positions + shifts[:, None]).reshape(-1, 3)
    species = np.tile(structure.species, len(shifts))
    copies = Structure(
        positions, species, structure.species_names, side * structure.cell, structure.origin, structure.pbc
    )
    model.predict(structure)  # compiles
    begin = time.process_time()
    model.predict(copies)
    whole = time.process_time() - begin
    rows = model.describe(structure)
    begin = time.process_time()
    with threadpool_limits(1, "blas"):
        for _ in shifts:
            model.network.logits(model.network.similarities(model.network.embed(rows)))
    network = time.process_time() - begin
    print(f"{len(positions)} atoms: {whole:.1f} s, network {network:.1f} s, {network / whole:.1%}", flush=True)


def show(table: ResultTable) -> None:
    """Print a table as Markdown."""
    print(table_markdown(table) + "\n", flush=True)


def main() -> None:
    """Everything that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--design", choices=DESIGNS, default="environment")
    parser.add_argument("--leave", default="")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seeds", action="store_true")
    parser.add_argument("--atoms", action="store_true")
    parser.add_argument("--million", action="store_true")
    parser.add_argument("--printed", action="store_true")
    parser.add_argument("--weights", type=float, nargs=5, metavar="λ")
    options = parser.parse_args()
    samples, design = samples_of(options.folder), DESIGNS[options.design]
    if options.million:
        million(samples[0].structure, ScnnModel.load(SHIPPED[options.design]))
        return
    settings = TrainingSettings()
    if options.weights:
        settings = replace(settings, weights=LossWeights(*options.weights))
    if options.printed:
        settings = replace(settings, separation="min", unit_prototypes=False, own_class=False)
    chosen = [int(number) for number in options.leave.split(",")] if options.leave else list(range(len(samples)))
    start, done = time.perf_counter(), []
    for number in chosen:
        done += leave_one_out(samples, design, settings, seed=options.seed, numbers=[number])
        seconds = time.perf_counter() - start
        score = done[-1]
        print(f"{score.name}: AUC {score.prototypes:.3f}, plain {score.plain:.3f}, R {score.regression:.3f}", end="")
        print(f", shares {np.round(score.shares, 2)}, {seconds:.0f} s", flush=True)
    for table in fold_tables(done, f"Whole samples left out, {options.design}"):
        show(table)
    if options.atoms:
        prototypes, plain = area_on_atoms(describe_samples(samples, design), design, settings, seed=options.seed)
        print(f"Divided by atom, as published: AUC {prototypes:.3f}, plain {plain:.3f}", flush=True)
    if options.seeds:
        last = len(samples) - 1
        data = describe_samples(samples, design, learned=range(last))
        parts = *data.divided(range(last)), data.of_samples([last])
        table, fits = seed_table(data, *parts, design=design, settings=settings)
        show(table)
        show(environments_of(data, fits))


if __name__ == "__main__":
    main()
