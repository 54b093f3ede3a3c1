"""Trains and judges the shipped models of who moves how far in supercooled liquids.

Run again whenever there are more configurations::

    python -m ovito_glassml.reproduce.propensity kob-andersen ARCHIVES FOLDER ovito_glassml/models
    python -m ovito_glassml.reproduce.propensity wahnstrom sample_data/activity ovito_glassml/models
    python -m ovito_glassml.reproduce.propensity polymer sample_data/activity ovito_glassml/models

The archives of the Kob-Andersen mixture are a third party's (h3-Open-BDEC/pyg_botan, Apache-2.0) and not part of this
package; minimised structures are kept in FOLDER, for this machine alone. Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.propensity.data import PropensitySample, propensity_sample
from ovito_glassml.learn.propensity.evaluate import gain_table, left_out_table, result_tables
from ovito_glassml.learn.propensity.model import PropensityModel
from ovito_glassml.learn.propensity.train import (
    LeftOut,
    PropensityDesign,
    PropensityRows,
    describe,
    leave_out,
    train_propensity,
)
from ovito_glassml.neighbours import build_cell_list, neighbour_counts
from ovito_glassml.progress import Report, printed
from ovito_glassml.reproduce.activity import number_of_archive
from ovito_glassml.reproduce.activity_data import (
    NEIGHBOURHOOD,
    minimised,
    replica_displacements,
    thermal_snapshot_of,
)
from ovito_glassml.reproduce.costs import core_hours, shipped_timings
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.snapshots import read_frames
from ovito_glassml.structure import Structure

__all__ = ["LIQUIDS", "Liquid", "archive_samples", "make_kob_andersen_models", "make_liquid_model", "nonaffine_sample"]

#: Largest force (ε/σ) on what is left of minimising starts, which models are judged by, and ends.
START_TOLERANCE, END_TOLERANCE = 1e-7, 3e-3

_LIMITS = (
    "Trained on inherent structures; minimise thermal snapshots first.",
    "One temperature and one density. How much a whole configuration moves is known from few: trust differences "
    "between the atoms of one structure, and the mean only as far as the stated error of the mean says.",
    "Where all atoms are predicted to move alike, R within the structure is low (see the expected R) though errors are "
    "not larger.",
)
_KOB_ANDERSEN_LIMITS = (
    "Displacements are those of one time, the structural relaxation time.",
    "The number of radial functions, their range and the radii of the averages were chosen with the same ten "
    "configurations that the tables judge by: on new ones R may be a little lower.",
    "The wider average reaches nearly to half the box of these configurations, and matters most; larger boxes were not "
    "tried.",
)
_NONAFFINE_LIMITS = (
    "What is predicted is not the atom's own displacement, of which the files keep the mean over runs only, but how "
    "far neighbours move relative to it; the two are correlated.",
    "1 000 atoms a configuration: averages reach half the box.",
)


@dataclass(frozen=True)
class Liquid:
    """A liquid with isoconfigurational ensembles in the sample data.

    Attributes
    ----------
    system : str
        In the names of files and models, and of its material.
    title : str
        For people.
    temperature : float
    limits : tuple of str
        Beside those of all.
    angles : ACEDescriptors, optional
    """

    system: str
    title: str
    temperature: float
    limits: tuple[str, ...]
    angles: ACEDescriptors | None = None


LIQUIDS = (
    Liquid(
        "wahnstrom",
        "Wahnström mixture",
        0.58,
        ("Distances only: angles made R smaller (0.72, not 0.75), there are too few atoms to learn them from.",),
    ),
    Liquid(
        "polymer",
        "bead-spring polymer",
        0.47,
        (
            "The weakest of these models: R is 0.73 of what a perfect prediction would reach. Distances alone come to "
            "0.67 to 0.72 with other numbers of radial functions and other averages, angles of two neighbours within 2 "
            "σ to 0.72. It sees where beads are, not which are bonded.",
        ),
        # Three bodies beside the bead within the bonds and first contacts: how the chain bends.
        ACEDescriptors(("A",), cutoff=1.5, nearest=1.0, order=3, degree=10),
    ),
)
_ARCHIVES = "h3-Open-BDEC/pyg_botan (Apache-2.0): the isoconfigurational runs."
_REFERENCES = (
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
        structure = _structure(archive, np.load(kept) if kept.exists() else begin if run < 0 else ends[run])
        if not kept.exists():
            structure = minimised(structure, material, START_TOLERANCE if run < 0 else END_TOLERANCE)
            np.save(kept, structure.positions)
        yield propensity_sample(structure, moved.T if run < 0 else moved[run], f"ka-{number}", judged=run < 0)


def _structure(archive: Mapping[str, NDArray], positions: NDArray | None = None) -> Structure:
    """Of an archive, by default with the positions that its runs began with."""
    edge = float(archive["box_length"])
    given = archive["initial_positions"].astype(np.float64) if positions is None else positions
    inside = given - np.floor(given / edge) * edge
    species, cell = load_material("kob-andersen").species, np.eye(3) * edge
    return Structure(inside, archive["types"].astype(np.int64), species, cell, pbc=(True,) * 3)


def make_kob_andersen_models(archives: Path, folder: Path, output: Path, progress: Report) -> Iterator[Path]:
    """Train on all archives, by distances alone and with angles; every table is of configurations left out."""
    sources = sorted(archives.glob("*.npz"), key=number_of_archive)
    samples = [sample for source in sources for sample in archive_samples(source, folder)]
    shells = ACEDescriptors(("A", "B"), cutoff=5.0, nearest=1.0, order=1, n_max=14)
    summary = (
        "Expected displacement of A atoms of the Kob-Andersen mixture in many runs from one structure with different "
        "velocities, after the structural relaxation time. Ridge regression on radial functions of an atom's "
        "neighbours, and on averages of those of the A and of the B atoms around it. Learned from the structures that "
        "runs began with, and from those they ended with: played backwards, a run from there is as likely."
    )
    title = "how far atoms will move: Kob-Andersen mixture"
    design = PropensityDesign(title, summary, shells, "A", length_unit="sigma")
    how = (
        "isoconfigurational runs of the Kob-Andersen mixture at T = 0.44 and density 1.2, 4096 atoms, 32 runs of "
        "t = 4120 each, published as h3-Open-BDEC/pyg_botan (Apache-2.0); inherent structures by minimisation"
    )
    references = (_ARCHIVES, *_REFERENCES)
    trained = train_propensity(samples, design, training={"how": how}, progress=progress)
    limits = (*_LIMITS, thermal_limit(trained[0], sources, trained[1]), *_KOB_ANDERSEN_LIMITS)
    few = describe([sample for sample in samples if sample.judged], design)
    only = left_out_table(few, leave_out(few, design.tolerance))
    only = ResultTable("The same learned from the beginnings of runs only", only.columns, only.rows[-2:])
    yield _saved(output / "propensity-ka.safetensors", trained, design, limits, references, [only])

    angles = ACEDescriptors(("A", "B"), cutoff=2.5, nearest=1.0, order=2)
    looks = "Beside distances it looks at angles between neighbours: too many weights to read, chosen for R alone."
    larger = replace(design, title=f"{title}, with angles", summary=f"{summary} {looks}", angles=angles, tolerance=0.0)
    with_angles = train_propensity(samples, larger, training={"how": how}, progress=progress)
    gain = gain_table(trained[1], trained[2], with_angles[2], "propensity-ka")
    yield _saved(output / "propensity-ka-angles.safetensors", with_angles, larger, limits, references, [gain])


def thermal_limit(model: PropensityModel, sources: Sequence[Path], data: PropensityRows) -> str:
    """What becomes of R where structures are not at rest, as a sentence for the card."""
    scores, marked = [], []
    for source, target in zip(sources, data.targets, strict=True):
        prediction = model.predict(_structure(np.load(source)))
        known = np.isfinite(prediction.propensity)
        scores.append(pearson(prediction.propensity[known], target))
        marked.append((prediction.extrapolation[known] > 1).mean())
    return (
        f"On the thermal positions that the same runs began with R is {np.mean(scores):.2f}, although the model has "
        f"learned from what they relax to; {np.mean(marked):.0%} of their atoms are marked as extrapolated."
    )


def make_liquid_model(liquid: Liquid, samples: Path, output: Path, progress: Report) -> Path:
    """Train on the isoconfigurational ensembles of the sample data."""
    material = load_material(liquid.system)
    beads = "A atom" if len(material.species) > 1 else "bead"
    design = PropensityDesign(
        f"how far neighbours will move apart: {liquid.title}",
        f"How far the neighbours of each {beads} of the {liquid.title} will move relative to it, beyond what a linear "
        "deformation explains: the root of D²min per neighbour, on average over many runs from one structure with "
        "different velocities. Ridge regression on radial functions of an atom's neighbours, and on averages of those "
        "of the atoms of each species around it.",
        ACEDescriptors(material.species, cutoff=4.0, nearest=1.0, order=1, n_max=10),
        "A", radii=(2.9, 4.5), length_unit="sigma", angles=liquid.angles,
        label=f"root of D²min per neighbour within {NEIGHBOURHOOD} σ, mean over runs from the same structure",
    )  # fmt: skip
    files = sorted(samples.glob(f"thermal-{liquid.system}-*.xyz.gz"), key=lambda file: (len(file.name), file.name))
    learned = [nonaffine_sample(file, material) for file in files]
    runs = [sample.displacement.shape[1] for sample in learned]
    how = (
        f"glassml simulate isoconfigurational: {liquid.title} at T = {liquid.temperature:g}, 1000 atoms, {min(runs)} "
        f"runs of t = 300 each ({max(runs)} from one structure)"
    )
    cost = core_hours({sample.configuration: 1000 for sample in learned}, shipped_timings())
    trained = train_propensity(learned, design, training={"how": how, "core_hours": cost}, progress=progress)
    limits = (*_LIMITS, *_NONAFFINE_LIMITS, *liquid.limits)
    return _saved(output / f"propensity-{liquid.system}.safetensors", trained, design, limits, _REFERENCES, [])


def nonaffine_sample(file: Path, material: Material) -> PropensitySample:
    """A thermal file of the sample data with the root of D²min per neighbour in every run."""
    (frame,) = read_frames(file)
    reach = NEIGHBOURHOOD * material.nearest_neighbour_distance
    neighbours = neighbour_counts(build_cell_list(thermal_snapshot_of(file), reach))
    relative = np.sqrt(replica_displacements(frame) / neighbours[:, None])
    return propensity_sample(frame.structure, relative, file.name.removesuffix(".xyz.gz"))


def _saved(
    path: Path,
    trained: tuple[PropensityModel, PropensityRows, LeftOut],
    design: PropensityDesign,
    limits: tuple[str, ...],
    references: tuple[str, ...],
    further: Sequence[ResultTable],
) -> Path:
    model, data, left_out = trained
    first, *others = result_tables(model, data, left_out, design)
    tables = (first, *further, *others)
    header = replace(model.header, results=tables, limits=limits, references=references, licence="MIT")
    save_with_card(path, header, model.tensors())
    return path


def main(arguments: Sequence[str]) -> None:
    """See the module's docstring."""
    system, *folders = arguments
    for liquid in LIQUIDS:
        if liquid.system == system:
            samples, output = map(Path, folders)
            print(make_liquid_model(liquid, samples, output, printed))
            return
    archives, folder, output = map(Path, folders)
    folder.mkdir(parents=True, exist_ok=True)
    for path in make_kob_andersen_models(archives, folder, output, printed):
        print(path)


if __name__ == "__main__":
    main(sys.argv[1:])
