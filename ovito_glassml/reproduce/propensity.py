"""Trains and judges the shipped model of who moves how far in the Kob-Andersen mixture.

Run again whenever there are more archives::

    python -m ovito_glassml.reproduce.propensity KOB_ANDERSEN_ARCHIVES FOLDER ovito_glassml/models

The archives are a third party's (h3-Open-BDEC/pyg_botan, Apache-2.0) and not part of this package; minimised
structures are kept in FOLDER, for this machine alone. Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.propensity.data import PropensitySample, propensity_sample
from ovito_glassml.learn.propensity.evaluate import group_table, left_out_table, shell_table
from ovito_glassml.learn.propensity.train import PropensityDesign, describe, leave_out, train_propensity
from ovito_glassml.progress import Report, printed
from ovito_glassml.reproduce.activity import number_of_archive
from ovito_glassml.reproduce.activity_data import minimised
from ovito_glassml.simulate.material import load_material
from ovito_glassml.structure import Structure

__all__ = ["archive_samples", "make_propensity_model"]

#: Largest force (ε/σ) on what is left of minimising starts, which models are judged by, and ends.
START_TOLERANCE, END_TOLERANCE = 1e-7, 3e-3

_LIMITS = (
    "Trained on inherent structures; minimise thermal snapshots first.",
    "One temperature and one density. How much a whole configuration moves is known from few: trust differences "
    "between the atoms of one structure, and the mean only as far as the table's bias says.",
    "Displacements are those of one time, the structural relaxation time.",
    "The number of radial functions, their range and the radii of the averages were chosen with the same ten "
    "configurations that the tables judge by: on new ones R may be a little lower.",
    "The wider average reaches nearly to half the box of these configurations, and matters most; larger boxes were not "
    "tried. The error is one number for all atoms and does not tell hard configurations from easy ones.",
)
_REFERENCES = (
    "h3-Open-BDEC/pyg_botan (Apache-2.0): the isoconfigurational runs.",
    "A. Widmer-Cooper, P. Harrowell, H. Fynewever, How reproducible are dynamic heterogeneities in a supercooled "
    "liquid?, Phys. Rev. Lett. 93, 135701 (2004).",
    "R. Drautz, Atomic cluster expansion for accurate and transferable interatomic potentials, "
    "Phys. Rev. B 99, 014104 (2019): the radial functions are those of ACE.",
)


def archive_samples(source: Path, folder: Path) -> Iterator[PropensitySample]:
    """The structure that an archive's runs began with, and those they ended with, as inherent structures.

    From its end a run leads back to where it began with the velocities reversed, and that is as likely: the
    displacement belongs to both structures. Ends thus teach more than a few starts can.
    """
    archive = np.load(source)
    edge, number = float(archive["box_length"]), number_of_archive(source)
    begin, ends = (archive[name].astype(np.float64) for name in ("initial_positions", "final_positions"))
    moved = ends - begin
    moved = np.linalg.norm(moved - edge * np.round(moved / edge), axis=2)
    material = load_material("kob-andersen")
    for run in range(-1, len(ends)):
        kept = folder / f"{number}-{run}.npy"
        kinds = archive["types"].astype(np.int64)
        positions = np.load(kept) if kept.exists() else begin if run < 0 else ends[run]
        positions = positions - np.floor(positions / edge) * edge
        structure = Structure(positions, kinds, material.species, np.eye(3) * edge, pbc=(True,) * 3)
        if not kept.exists():
            structure = minimised(structure, material, START_TOLERANCE if run < 0 else END_TOLERANCE)
            np.save(kept, structure.positions)
        yield propensity_sample(structure, moved.T if run < 0 else moved[run], f"ka-{number}", judged=run < 0)


def make_propensity_model(archives: Path, folder: Path, output: Path, progress: Report) -> Path:
    """Train on all archives; every table is of configurations left out."""
    sources = sorted(archives.glob("*.npz"), key=number_of_archive)
    samples = [sample for source in sources for sample in archive_samples(source, folder)]
    descriptor = ACEDescriptors(("A", "B"), cutoff=5.0, nearest=1.0, order=1, n_max=14)
    summary = (
        "Expected displacement of A atoms of the Kob-Andersen mixture in many runs from one structure with different "
        "velocities, after the structural relaxation time. Ridge regression on radial functions of an atom's "
        "neighbours, and on averages of those of the A and of the B atoms around it. Learned from the structures that "
        "runs began with, and from those they ended with: played backwards, a run from there is as likely."
    )
    title = "how far atoms will move: Kob-Andersen mixture"
    design = PropensityDesign(title, summary, descriptor, "A", length_unit="sigma")
    how = (
        "isoconfigurational runs of the Kob-Andersen mixture at T = 0.44 and density 1.2, 4096 atoms, 32 runs of "
        "t = 4120 each, published as h3-Open-BDEC/pyg_botan (Apache-2.0); inherent structures by minimisation"
    )
    model, data, left_out = train_propensity(samples, design, training={"how": how}, progress=progress)
    starts = [sample for sample in samples if sample.judged]
    few = describe(starts, design)
    only = left_out_table(few, leave_out(few))
    only = ResultTable("The same learned from the beginnings of runs only", only.columns, only.rows[-2:])
    tables = (left_out_table(data, left_out), only, group_table(data, left_out, design), shell_table(model))
    header = replace(model.header, results=tables, limits=_LIMITS, references=_REFERENCES, licence="MIT")
    path = output / "propensity-ka.safetensors"
    save_with_card(path, header, model.tensors())
    return path


def main(arguments: Sequence[str]) -> None:
    """See the module's docstring."""
    archives, folder, output = map(Path, arguments)
    folder.mkdir(parents=True, exist_ok=True)
    print(make_propensity_model(archives, folder, output, printed))


if __name__ == "__main__":
    main(sys.argv[1:])
