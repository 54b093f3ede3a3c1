"""Trains and judges the shipped stiffness models, from simulated samples to model files with cards.

Run again whenever the samples change; the first adds harmonic and cage stiffness to glasses that lack them::

    python -m ovito_glassml.reproduce.stiffness label sample_data/stiffness/vibrations-*.xyz.gz
    python -m ovito_glassml.reproduce.stiffness train sample_data ovito_glassml/models

Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.choice import BY_NAME, CHOSEN
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.stiffness.data import (
    BY_SPECIES,
    CAGE_LABEL,
    PUBLISHED,
    STIFFNESS_LABEL,
    LabelledSample,
    ModelDesign,
)
from ovito_glassml.learn.stiffness.evaluate import (
    judged_by_leaving_out,
    label_reliability,
    mean_slope,
    rate_differences,
    score_sample,
    score_table,
    separation_table,
)
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.learn.stiffness.train import scan_networks, train
from ovito_glassml.learn.units import METAL
from ovito_glassml.progress import Report, nth_of, printed, silent, span_of
from ovito_glassml.reproduce.costs import core_hours, shipped_timings
from ovito_glassml.reproduce.foreign_structures import foreign_structures, thermal_snapshot
from ovito_glassml.simulate.harmonic import harmonic_limit, minimised
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import made_with, provenance, read_snapshot, write_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import is_kept_aside

__all__ = ["PLACES", "RECIPES", "Recipe", "add_harmonic_labels", "cooling_rate", "make_models", "read_samples"]

#: Cu-Zr glasses with labels, in `sample_data`.
PLACES = (
    "stiffness/vibrations-*",
    "stiffness/foreign/vibrations-*",
    "second/vibrations-*",
    "second/harmonic-cu??zr*",
    "second/quench-zr44cu56-*",
    "barriers/barriers-*",
    "barriers/quench-barriers-cu50zr50-3",  # the two others are those of stiffness/foreign
    "barcode/glass-zr44cu56",
)
HARMONIC_COLUMNS = ("Harmonic_Stiffness", "Cage_Stiffness")


@dataclass(frozen=True)
class Recipe:
    """What a shipped model is made from.

    Attributes
    ----------
    design : ModelDesign
    at_rest : bool
        Trained on inherent structures; otherwise on the same samples vibrating at 300 K.
    limits : tuple of str
        For the card.
    """

    design: ModelDesign
    at_rest: bool
    limits: tuple[str, ...]


_ONE_COMPOSITION = (
    "Trained on one composition, one potential and cooling rates of 10^12 and 10^13 K/s. Crystals, liquids and other "
    "compositions are unknown to it; the extrapolation score marks them."
)
_COMPOSITIONS = (
    "Trained on Cu-Zr with 35 to 80 % of copper, one potential, glasses as quenched at 10^12 and 10^13 K/s. Crystals "
    "and liquids are unknown to it; the extrapolation score marks them."
)
_REST = (
    "Trained on inherent structures. On snapshots at 300 K it ranks atoms less well and its values are too low, see "
    "the tables: minimise the structure first where you can, or use stiffness-cuzr-300k."
)
_MEANS = (
    "Means of the published stiffness of whole samples are predicted to a few percent only: glasses of this size made "
    "alike differ by 5 % in their measured mean at equal density and energy. The cage stiffness does not have this."
)
_TWO = (
    "Two quantities: the published stiffness k_B T / u² holds all motion, that of hops and of long waves too, and "
    "differs by a factor for all atoms between glasses made alike; the cage stiffness is that of the harmonic motion "
    "against the first shell, which the surroundings of an atom determine. Neither is the barrier to rearrange."
)

RECIPES = {
    "stiffness-cuzr": Recipe(BY_SPECIES, True, (_REST, _COMPOSITIONS, _TWO, _MEANS)),
    "stiffness-cuzr-rdf40": Recipe(PUBLISHED, True, (_REST, _ONE_COMPOSITION, _MEANS)),
    "stiffness-cuzr-300k": Recipe(
        # An inherent structure lies inside what thermal noise covers; shorter averages hardly tell them apart.
        replace(BY_SPECIES, title="vibrational stiffness from a snapshot at 300 K", extrapolation_radius=3.5),
        False,
        (
            "For snapshots at 300 K that cannot be minimised; inherent structures belong to stiffness-cuzr, "
            "which is better.",
            _COMPOSITIONS,
            _TWO,
            _MEANS,
        ),
    ),
}


def add_harmonic_labels(file: Path) -> None:
    """Write harmonic and cage stiffness into a Cu-Zr snapshot that lacks them."""
    snapshot = read_snapshot(file)
    if set(HARMONIC_COLUMNS) <= set(snapshot.columns):
        return
    material = load_material("cu-zr")
    motion = harmonic_limit(minimised(snapshot.structure, material), material).motion
    found = dict(zip(HARMONIC_COLUMNS, (motion.stiffness, motion.cage_stiffness), strict=True))
    write_snapshot(file, snapshot.structure, {**snapshot.columns, **found}, snapshot.header)


def read_samples(folder: Path, places: Sequence[str] = PLACES, *, label: str = "Stiffness") -> list[LabelledSample]:
    """Labelled glasses below a folder, with their published stiffness (or another column), cage stiffness or both.

    Where a glass has a file for each label, the sample has the name of the first.

    Raises
    ------
    TrainingError
        If there are none.
    """
    files = [file for place in places for file in sorted(Path(folder).glob(f"{place}.xyz.gz"))]
    samples: dict[str, LabelledSample] = {}
    for file in files:
        name = file.name.removesuffix(".xyz.gz")
        snapshot = read_snapshot(file)
        cage = snapshot.columns.get("Cage_Stiffness")
        twin = name.replace("harmonic", "vibrations")
        if name != twin and twin in samples:
            samples[twin] = samples[twin]._replace(cage=cage)
            continue
        unknown = np.full(len(snapshot.structure), np.nan)
        if cage is not None or label in snapshot.columns:
            stiffness = snapshot.columns.get(label, unknown)
            samples[name] = LabelledSample(snapshot.structure, stiffness, name, cage)
    if not samples:
        raise TrainingError(f"{folder} holds no labelled glasses; make them with: glassml simulate campaign")
    return list(samples.values())


def cooling_rate(name: str) -> str:
    """``vibrations-cu50zr50-1e12-3`` → ``1e12 K/s``."""
    found = re.search(r"-(\d+e\d+)-", name)
    return f"{found.group(1)} K/s" if found else "unknown rate"


class _Data(NamedTuple):
    """Everything that models learn from and are judged by."""

    folder: Path
    learned: list[LabelledSample]
    tested: list[LabelledSample]
    snapshots: Mapping[str, Structure]
    foreign: Mapping[str, Structure]


def make_models(folder: Path, output: Path, progress: Report, *, names: Sequence[str] = tuple(RECIPES)) -> list[Path]:
    """Train the shipped models on all samples that are not kept aside and write files and cards.

    Parameters
    ----------
    folder : Path
        Such as `sample_data`. Thermal snapshots and foreign structures are kept in its folders
        ``stiffness/snapshots`` and ``stiffness/foreign``.
    output : Path
        For the model files.
    progress : callable
        Fraction and text.
    names : sequence of str
        Which of `RECIPES`.

    Returns
    -------
    list of Path
        The model files.
    """
    samples = read_samples(folder)
    learned = [sample for sample in samples if not is_kept_aside(sample.name)]
    tested = [sample for sample in samples if is_kept_aside(sample.name)]
    snapshots = {sample.name: _snapshot(sample, folder / "stiffness" / "snapshots") for sample in samples}
    foreign = foreign_structures(tested[0].structure, folder / "stiffness" / "foreign", silent)
    data = _Data(folder, learned, tested, snapshots, foreign)
    paths = []
    for number, name in enumerate(names):
        header, tensors = _made(name, data, nth_of(progress, number, len(names), f"{name}: "))
        paths.append(output / f"{name}.safetensors")
        save_with_card(paths[-1], header, tensors)
    progress(1.0, "done")
    return paths


def _made(name: str, data: _Data, progress: Report) -> tuple[Any, dict[str, NDArray]]:
    """Header with all tables, and tensors."""
    recipe = RECIPES[name]
    published = recipe.design is PUBLISHED
    learned = _as_published(data.learned) if published else data.learned
    shown = [s if recipe.at_rest else s._replace(structure=data.snapshots[s.name]) for s in learned]
    design = replace(recipe.design, units=METAL)
    how = _how_made(data.folder, recipe, learned)
    model = train(shown, design=design, training=how, progress=span_of(progress, 0, 0.2))
    results = _judge(model, data, recipe)
    if published:
        results.append(scan_networks(learned[:1], progress=span_of(progress, 0.8, 1.0)))
    else:
        model, tables = judged_by_leaving_out(model, shown, design=design, progress=span_of(progress, 0.2, 0.9))
        results += tables
    results.append(_ceiling(data.folder))
    references = (*model.header.references, load_material("cu-zr").reference)
    header = replace(model.header, results=tuple(results), limits=recipe.limits, references=references, licence="MIT")
    return header, model.tensors()


def _as_published(samples: Sequence[LabelledSample]) -> list[LabelledSample]:
    """The glasses of one composition that the published network is trained on, with its label alone."""
    return [sample._replace(cage=None) for sample in samples if sample.name.startswith("vibrations-cu50zr50")]


def _judge(model: StiffnessModel, data: _Data, recipe: Recipe) -> list[ResultTable]:
    """Scores of the shipped model itself on the samples kept aside, at rest and hot."""
    tables = []
    for label in (STIFFNESS_LABEL, CAGE_LABEL) if model.cage_heads else (STIFFNESS_LABEL,):
        tested = [sample for sample in data.tested if sample.known(label).any()]
        what = "" if label == STIFFNESS_LABEL else ", cage stiffness"
        rest = [score_sample(model, sample, label=label) for sample in tested]
        hot = [score_sample(model, sample, data.snapshots[sample.name], label) for sample in tested]
        title = f"This model on samples kept aside{what}"
        tables.append(score_table(f"{title}, inherent structures", rest, mean_slope(rest), units=METAL))
        tables.append(score_table(f"{title}, snapshots at 300 K", hot, "Positions after 4 ps at 300 K.", units=METAL))
        if label == STIFFNESS_LABEL:
            rates = {sample.name: cooling_rate(sample.name) for sample in tested if "cu50zr50" in sample.name}
            tables.append(rate_differences([score for score in rest if score.name in rates], rates))
    glasses = [s.structure if recipe.at_rest else data.snapshots[s.name] for s in data.tested]
    return [*tables, separation_table(model, glasses, data.foreign)]


def _snapshot(sample: LabelledSample, folder: Path) -> Structure:
    """Thermal snapshot of a sample, made once and then kept."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"300K-{sample.name}.xyz.gz"
    if not path.exists():
        header = provenance("snapshot", {"of": sample.name, "temperature": 300.0})
        write_snapshot(path, thermal_snapshot(sample.structure, folder), {}, header)
    return read_snapshot(path).structure


def _ceiling(folder: Path) -> ResultTable:
    """What noise in the labels allows, for each sample."""
    rows = []
    for path in sorted(Path(folder).glob("*/vibrations-*.xyz.gz")):
        snapshot = read_snapshot(path)
        temperatures = made_with(snapshot.header, "settings")["temperatures"]
        name = path.name.removesuffix(".xyz.gz")
        rows.append((name, label_reliability(snapshot.columns["Vibrational_MSD"], temperatures)))
    return ResultTable(
        "Highest R that noise in the labels allows",
        ("sample", "R"),
        tuple(rows),
        "From the agreement of six simulations at six temperatures (root of Cronbach's alpha).",
    )


def _with_quenches() -> dict[str, float]:
    """Core-seconds of samples, that of the glass and that of its vibrations."""
    timings = shipped_timings()
    quenches = {name: re.sub("vibrations|harmonic", "quench", name) for name in timings}
    return {name: timings[name] + timings[made] for name, made in quenches.items() if made != name and made in timings}


def _how_made(folder: Path, recipe: Recipe, learned: Sequence[LabelledSample]) -> dict[str, Any]:
    """The protocol of the training data, from the files themselves."""
    snapshot = read_snapshot(sorted(Path(folder).glob("stiffness/vibrations-*.xyz.gz"))[0])
    vibrations = made_with(snapshot.header, "settings")
    quench = made_with(snapshot.header, "input_settings")
    temperatures = ", ".join(f"{value:g}" for value in vibrations["temperatures"])
    sizes = [len(sample.structure) for sample in learned]
    cage = "; cage stiffness from the inverse of the Hessian" if recipe.design is not PUBLISHED else ""
    return {
        "how": (
            "Molecular dynamics of the composition in the sample's name with the potential of Mendelev et al. (2007), "
            f"LAMMPS {snapshot.header['lammps']}; {min(sizes)} to {max(sizes)} atoms a sample, cooled at the rate in "
            f"the sample's name, 10^12 K/s where there is none, between {quench['slow_from']:g} and "
            f"{quench['slow_to']:g} K and relaxed with the cell at zero pressure"
        ),
        "shown": "inherent structures" if recipe.at_rest else "the same samples after 4 ps at 300 K and zero pressure",
        "label": (
            f"mean over {temperatures} K of k_B T / u², u² over {vibrations['window']:g} ps of NVT "
            f"at the zero-pressure cell, hops included{cage}"
        ),
        "core_hours": core_hours({sample.name: len(sample.structure) for sample in learned}, _with_quenches()),
        "preset": "laptop (sample_data/campaign.toml, campaign-second.toml)",
        "kept_aside": "the third glass at 10^13 K/s and the second at 10^12 K/s of each composition, the second and "
        "the first of Cu50Zr50, its glass of 10^11 K/s, all of Zr44Cu56, and the third glasses for barriers",
        **({CHOSEN: BY_NAME} if recipe.design is PUBLISHED else {}),
    }


def _main(task: str, *arguments: str) -> None:
    if task == "label":
        for file in arguments:
            add_harmonic_labels(Path(file))
    else:
        make_models(Path(arguments[0]), Path(arguments[1]), printed, names=arguments[2:] or tuple(RECIPES))


if __name__ == "__main__":
    _main(*sys.argv[1:])
