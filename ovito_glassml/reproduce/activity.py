"""Trains and judges the shipped activity models, from simulated configurations to model files with cards.

Run again whenever there are more configurations::

    python -m ovito_glassml.reproduce.activity collect CAMPAIGN sample_data/activity
    python -m ovito_glassml.reproduce.activity archives KOB_ANDERSEN_ARCHIVES FOLDER
    python -m ovito_glassml.reproduce.activity train ovito_glassml/models sample_data/activity FOLDER
    python -m ovito_glassml.reproduce.activity judge sample_data/activity FOLDER
    python -m ovito_glassml.reproduce.activity features sample_data/activity

The first command keeps of finished jobs what training needs. The second prepares a third party's thermal
Kob-Andersen ensembles (h3-Open-BDEC/pyg_botan, Apache-2.0), which are not part of this package. *judge* renews
the scores on the cards and leaves the predictions as they are; *features* prints how well several sets of features do
under shear in every glass left out in turn. Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.activity.data import EXTREME_SHARE, ActivitySample, configurations
from ovito_glassml.learn.activity.evaluate import (
    cross_validation_table,
    score_samples,
    score_table,
    simplest_as_good,
    trial_table,
    try_features,
)
from ovito_glassml.learn.activity.model import ActivityModel
from ovito_glassml.learn.activity.train import ActivityDesign, LabelledRows, describe, train_activity
from ovito_glassml.learn.averaged_sum import radii_that_fit
from ovito_glassml.learn.card import save_with_card, table_markdown
from ovito_glassml.learn.format import ResultTable, list_models, model_path
from ovito_glassml.progress import Report, nth_of, printed, silent, span_of
from ovito_glassml.reproduce.activity_data import (
    compact_shear,
    compact_thermal,
    read_shear,
    read_thermal,
    thermal_from_archive,
    thermal_snapshot_of,
)
from ovito_glassml.reproduce.costs import core_hours, shipped_timings
from ovito_glassml.simulate.snapshots import made_with, read_frames, read_header
from ovito_glassml.workflow.learn.events import LEARNED_AVALANCHE_SHARE

__all__ = [
    "GLASSES",
    "Glass",
    "collect",
    "judge_again",
    "kept_aside",
    "make_activity_models",
    "number_of_archive",
    "read_configurations",
]


@dataclass(frozen=True)
class Glass:
    """A glass former with activity models.

    Attributes
    ----------
    name : str
        In the names of models.
    system : str
        In the names of files.
    title : str
        For people.
    descriptor : ACEDescriptors
        The published settings; their cutoff and order are the starting point.
    length_unit : str
    activations : tuple of str
    """

    name: str
    system: str
    title: str
    descriptor: ACEDescriptors
    length_unit: str
    activations: tuple[str, ...] = ("thermal", "shear")

    @property
    def active_species(self) -> str:
        """The species whose atoms are classified."""
        return self.descriptor.species[0]


GLASSES = (
    Glass("ka", "kob-andersen", "Kob-Andersen mixture", ACEDescriptors.binary_mixture(("A", "B")), "sigma"),
    Glass("wahnstrom", "wahnstrom", "Wahnström mixture", ACEDescriptors.binary_mixture(("A", "B")), "sigma"),
    Glass("polymer", "polymer", "bead-spring polymer", ACEDescriptors.polymer(("A",)), "sigma"),
    Glass("cuzr", "cu50zr50", "Cu50Zr50", ACEDescriptors(("Cu", "Zr")), "angstrom", ("shear",)),
)

#: Cutoffs that cross-validation chooses from, in nearest-neighbour distances.
CUTOFFS = (2.0, 3.0, 4.0, 5.0)
#: Radii of averages likewise; the largest that fit into half a box.
AVERAGES = (2.0, 3.0, 4.0)
#: Orders of correlation likewise, pairs to four bodies.
ORDERS = (1, 2, 3)
#: Strengths of regularisation while features are chosen: decades, since the accuracy hardly depends on them.
CHOICE_STRENGTHS = (1e-4, 1e-3, 1e-2, 1e-1, 1.0)

#: Share of the atoms that thermal models learn as active, and as many as inactive. Wider than the extremes by which
#: they are judged: with few small configurations, more atoms teach more than clearer ones (Kob-Andersen, five of 1000
#: atoms: 0.925 ± 0.005 with a share of 0.05, 0.937 ± 0.005 with 0.2; ten of 3277: no difference).
LEARNED_SHARE = 0.2

#: One to judge by and two to validate by; with fewer configurations no model is shipped.
FEWEST_CONFIGURATIONS = 3

_REFERENCES = (
    "J. Rottler, C. Ortner, Analysis of local structure of mechanical and thermal rearrangements in glasses with the "
    "atomic cluster expansion, arXiv:2410.03216 (2024).",
    "R. Drautz, Atomic cluster expansion for accurate and transferable interatomic potentials, "
    "Phys. Rev. B 99, 014104 (2019).",
    "M. L. Falk, J. S. Langer, Phys. Rev. E 57, 7192 (1998).",
)
_ARCHIVE = (
    "isoconfigurational ensembles of the Kob-Andersen mixture at T = 0.44 and density 1.2, 4096 atoms and 32 runs "
    "of t = 4120 each, published as h3-Open-BDEC/pyg_botan (Apache-2.0); inherent structures by minimisation"
)
_REST = "Trained on inherent structures; minimise thermal snapshots first where you can, see the table on snapshots."
_EXTREMES = (
    "Probabilities are for atoms that are either clearly active or clearly inactive, both equally likely a priori; "
    "most atoms of a glass are neither."
)
_ONE_STATE = {
    "thermal": "One temperature and one density. Other state points are unknown to it.",
    "shear": (
        "One preparation and simple shear at zero temperature along one direction, after a strain of 10 %. "
        "Judged by plastic events in which at most a tenth of the atoms took part; learned from those with up to "
        f"{LEARNED_AVALANCHE_SHARE:.0%}, since few events are local in samples this small."
    ),
}


def collect(campaign: Path, folder: Path) -> list[Path]:
    """Make compact files of finished shear and thermal jobs, where there are none made with the same settings."""
    written = []
    for glass in GLASSES:
        for source in sorted(campaign.glob(f"*-{glass.system}-*.xyz.gz")):
            target = folder / source.name
            if not re.fullmatch(rf"(shear|thermal)-{glass.system}-\d+\.xyz\.gz", source.name):
                continue
            if target.exists() and made_with(read_header(target)) == made_with(read_header(source)):
                continue
            if source.name.startswith("shear"):
                compact_shear(source, target)
            else:
                compact_thermal(source, target, glass.descriptor.nearest)
            written.append(target)
    return written


def read_configurations(glass: Glass, activation: str, folders: Sequence[Path]) -> list[ActivitySample]:
    """All samples of one glass and kind, by number of the configuration."""
    samples = []
    for path in _files(glass, activation, folders):
        if activation == "shear":
            samples += read_shear(path)
        else:
            samples.append(read_thermal(path, glass.active_species, learned_share=LEARNED_SHARE))
    if not samples:
        raise TrainingError(
            f"There is no {activation}-{glass.system}-*.xyz.gz in {', '.join(map(str, folders))}; "
            "make them with: glassml simulate campaign"
        )
    return samples


def _files(glass: Glass, activation: str, folders: Sequence[Path]) -> list[Path]:
    found = [path for folder in folders for path in Path(folder).glob(f"{activation}-{glass.system}-*.xyz.gz")]
    return sorted(found, key=lambda path: int(path.name.removesuffix(".xyz.gz").rsplit("-", 1)[1]))


def kept_aside(names: Sequence[str]) -> tuple[str, ...]:
    """The first fifth of the configurations, at least one: never trained on."""
    return tuple(names[: max(1, len(names) // 5)])


def choose_features(
    glass: Glass, learned: Sequence[ActivitySample], progress: Report, orders: Sequence[int] = ORDERS
) -> tuple[ACEDescriptors, tuple[float, ...], ResultTable]:
    """The fewest features that are as good as the best in glasses left out, see `simplest_as_good`.

    Correlations around the atom itself, or distances with their averages over the neighbours within a radius. Only
    configurations that are trained on take part, so those kept aside judge the choice as well.

    Returns
    -------
    descriptor, radii of averages, table of what was tried
    """
    variants: dict[str, tuple[ACEDescriptors, tuple[float, ...]]] = {}
    trials = []
    for number, cutoff in enumerate(CUTOFFS):
        widest = replace(glass.descriptor, cutoff=cutoff * glass.descriptor.nearest, order=max(orders))
        data = describe(learned, widest)
        order_of_feature = np.array([len(label) for label in widest.labels])
        for order in orders:
            name = f"cutoff {cutoff:g}, {order + 1} bodies"
            progress((number + order / (max(orders) + 1)) / len(CUTOFFS), name)
            variants[name] = replace(widest, order=order), ()
            trials.append(try_features(name, data.columns(order_of_feature <= order), CHOICE_STRENGTHS))
        distances = replace(widest, order=1)
        radii = radii_that_fit((sample.structure for sample in learned), distances.nearest, AVERAGES)
        data, own = describe(learned, distances, radii=radii), np.arange(len(distances.feature_names))
        for radius, block in zip(radii, np.split(np.arange(len(own), data.rows.shape[1]), len(radii)), strict=True):
            name = f"cutoff {cutoff:g}, 2 bodies, averages within {radius:g}"
            variants[name] = distances, (radius,)
            trials.append(try_features(name, data.columns(np.concatenate([own, block])), CHOICE_STRENGTHS))
    table = trial_table("Choice of features; lengths in nearest-neighbour distances", trials)
    return *variants[simplest_as_good(trials).name], table


def make_activity_models(
    folders: Sequence[Path], output: Path, progress: Report, *, names: Sequence[str] | None = None
) -> list[Path]:
    """Train the shipped models on all configurations but those of `kept_aside`, and write files and cards.

    Parameters
    ----------
    folders : sequence of Path
        Compact files.
    output : Path
        For the model files.
    progress : callable
        Fraction and text.
    names : sequence of str, optional
        Such as ``activity-ka-shear``; by default all for which there are at least three configurations.
    """
    wanted = [
        (glass, activation)
        for glass in GLASSES
        for activation in glass.activations
        if (
            len(_files(glass, activation, folders)) >= FEWEST_CONFIGURATIONS
            if names is None
            else f"activity-{glass.name}-{activation}" in names
        )
    ]
    paths = []
    for number, (glass, activation) in enumerate(wanted):
        name = f"activity-{glass.name}-{activation}"
        part = nth_of(progress, number, len(wanted), f"{name}: ")
        model = _make_one(glass, activation, folders, part)
        path = output / f"{name}.safetensors"
        save_with_card(path, model.header, model.tensors())
        paths.append(path)
    progress(1.0, "done")
    return paths


def _make_one(glass: Glass, activation: str, folders: Sequence[Path], progress: Report) -> ActivityModel:
    samples = read_configurations(glass, activation, folders)
    aside = kept_aside(configurations(samples))
    learned = [sample for sample in samples if sample.configuration not in aside]
    descriptor, radii, choice = choose_features(glass, learned, span_of(progress, 0.0, 0.5))
    design = ActivityDesign(
        title=f"who rearranges {'in heat' if activation == 'thermal' else 'under shear'}: {glass.title}",
        summary=_summary(glass, activation, radii),
        descriptor=descriptor,
        active_species=glass.active_species,
        activation=activation,
        length_unit=glass.length_unit,
        radii=radii,
    )
    how = _how_made(glass, activation, folders) | {"kept_aside": list(aside)}
    model = train_activity(learned, design, training=how, progress=span_of(progress, 0.5, 0.8))
    progress(0.8, "judging")
    results = _kept_aside_tables(glass, activation, folders, model)
    results.append(_left_out(samples, design))
    results.append(choice)
    results += _on_the_other_kind(glass, activation, folders, model)
    count = len(configurations(learned))
    few = f"Trained on {count} configurations; the standard errors in the tables say how certain it is."
    limits = (_REST, _EXTREMES, _ONE_STATE[activation], few)
    header = replace(model.header, results=tuple(results), limits=limits, references=_REFERENCES, licence="MIT")
    return replace(model, header=header)


def _kept_aside_tables(
    glass: Glass, activation: str, folders: Sequence[Path], model: ActivityModel
) -> list[ResultTable]:
    """Scores on configurations that the model has not learned from, at rest and as they were at temperature."""
    samples = read_configurations(glass, activation, folders)
    aside = model.header.training["kept_aside"]
    tested = [sample for sample in samples if sample.configuration in aside]
    title = "This model on configurations kept aside"
    tables = [score_table(f"{title}, inherent structures", score_samples(model, tested))]
    if activation == "thermal":
        shown = [thermal_snapshot_of(path) for path in _files(glass, activation, folders)[: len(aside)]]
        note = "The positions at temperature from which the runs began; the labels are the same."
        tables.append(score_table(f"{title}, thermal snapshots", score_samples(model, tested, shown), note))
    return tables


def judge_again(path: Path, folders: Sequence[Path]) -> None:
    """Renew the scores of a shipped model on configurations kept aside, without changing what it predicts."""
    _, abbreviation, activation = path.stem.split("-")
    glass = next(one for one in GLASSES if one.name == abbreviation)
    model = ActivityModel.load(path)
    tables = _kept_aside_tables(glass, activation, folders, model)
    tables += _on_the_other_kind(glass, activation, folders, model)
    new = {table.title: table for table in tables}
    results = tuple(new.get(table.title, table) for table in model.header.results)
    save_with_card(path, replace(model.header, results=results), model.tensors())


def _left_out(samples: Sequence[ActivitySample], design: ActivityDesign) -> ResultTable:
    """Every configuration judged by classifiers of the same design that have not seen it."""
    data = describe(samples, design.descriptor, radii=design.radii)
    methods: list[tuple[str, LabelledRows, str]] = [("logistic regression", data, "logistic")]
    if data.rows.shape[1] <= 200:
        methods += [("linear support vectors", data, "svm"), ("ARD regression on log D²min", data, "ard")]
    return cross_validation_table(
        methods,
        f"All {len(data.names)} configurations, each left out in turn or in fifths",
        "Over all judged atoms pooled, so that glasses with many events decide; the error by leaving out one "
        "configuration after the other. The rows are ways to find the line, on the same features.",
    )


def _on_the_other_kind(
    glass: Glass, activation: str, folders: Sequence[Path], model: ActivityModel
) -> list[ResultTable]:
    """Does the model for thermal rearrangements know who moves under shear, and the other way round?"""
    others = [kind for kind in glass.activations if kind != activation]
    tables = []
    for other in others:
        if _files(glass, other, folders):
            scores = score_samples(model, read_configurations(glass, other, folders))
            tables.append(score_table(f"This {activation} model on {other} labels of the same glass", scores))
    return tables


def _summary(glass: Glass, activation: str, radii: Sequence[float]) -> str:
    moved = (
        f"the {EXTREME_SHARE:.0%} of the atoms whose neighbourhoods moved most, on average over many runs of the same "
        f"liquid with different velocities, against the {EXTREME_SHARE:.0%} that moved least (learned from the "
        f"{LEARNED_SHARE:.0%} that moved most and least)"
        if activation == "thermal"
        else "atoms with D²min > 0.6 r0² in a plastic event of athermal quasi-static shear, seen just before it, "
        "against those that moved least in the strain around it"
    )
    averages = "".join(f", and their averages over the atoms within {radius:g} neighbor distances" for radius in radii)
    return (
        f"Tells active from inactive {glass.active_species} atoms of the {glass.title}: {moved}. "
        f"Logistic regression on purified correlations of the neighbours (ACE){averages}."
    )


def _how_made(glass: Glass, activation: str, folders: Sequence[Path]) -> dict[str, Any]:
    """The protocol of the training data, from the files themselves."""
    files = _files(glass, activation, folders)
    firsts = [read_frames(path)[0] for path in files]
    headers = [first.header for first in firsts]
    if headers[0]["protocol"] == "archive":
        return {"how": _ARCHIVE}
    settings = [made_with(header) for header in headers]
    kept = []
    for key in settings[0]:
        values = dict.fromkeys(one[key] for one in settings)
        if key != "seed":
            kept.append(f"{key.replace('_', ' ')} {' or '.join(map(str, values))}")
    protocol, lammps = headers[0]["protocol"], headers[0]["lammps"]
    atoms = {path.name.removesuffix(".xyz.gz"): len(one.structure) for path, one in zip(files, firsts, strict=True)}
    return {
        "how": f"glassml simulate, protocol {protocol} with LAMMPS {lammps}: {', '.join(kept)}",
        "core_hours": core_hours(atoms, shipped_timings()),
    }


def number_of_archive(source: Path) -> int:
    """``isoconfig_N4096T0.44_10_tc07.npz`` → 10: a configuration keeps its number, whichever others are there."""
    found = re.search(r"_(\d+)_tc", source.name)
    if not found:
        raise TrainingError(f"{source} is not called isoconfig_…_NUMBER_tc….npz, as the published archives are.")
    return int(found[1])


def main(arguments: Sequence[str]) -> None:
    """Run one of the commands of the module's docstring."""
    command, *rest = arguments
    paths = [Path(text) for text in rest]
    if command == "collect":
        for path in collect(*paths):
            print(path)
    elif command == "archives":
        for source in sorted(paths[0].glob("*.npz")):
            thermal_from_archive(source, paths[1] / f"thermal-kob-andersen-{number_of_archive(source)}.xyz.gz")
    elif command == "train":
        make_activity_models(paths[1:], paths[0], printed)
    elif command == "judge":
        for name in list_models():
            if name.startswith("activity-"):
                judge_again(model_path(name), paths)
    elif command == "features":
        for glass in GLASSES:
            *_, table = choose_features(glass, read_configurations(glass, "shear", paths), silent, (1, 2))
            print(f"{glass.title}\n\n{table_markdown(table)}\n", flush=True)
    else:
        raise TrainingError(f"There is no command {command!r}; choose collect, archives, train, judge or features.")


if __name__ == "__main__":
    main(sys.argv[1:])
