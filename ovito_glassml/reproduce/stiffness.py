"""Trains and judges the shipped stiffness models, from simulated samples to model files with cards.

Run again whenever the samples change::

    python -m ovito_glassml.reproduce.stiffness sample_data/stiffness ovito_glassml/models

Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.stiffness.data import BY_SPECIES, PUBLISHED, LabelledSample, ModelDesign
from ovito_glassml.learn.stiffness.evaluate import (
    label_reliability,
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
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import made_with, provenance, read_snapshot, write_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.sample_data import SLOWEST_SAMPLE, TEST_SAMPLES

__all__ = ["RECIPES", "Recipe", "cooling_rate", "leave_one_out", "make_models", "read_samples", "transfer"]


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


_ONE_MATERIAL = (
    "Trained on one composition, one potential and cooling rates of 10^12 and 10^13 K/s. Crystals, liquids and other "
    "compositions are unknown to it; the extrapolation score marks them."
)
_REST = (
    "Trained on inherent structures. On snapshots at 300 K it ranks atoms less well and its values are too low, see "
    "the tables: minimise the structure first where you can."
)
_MEANS = (
    "Means of whole samples are predicted to a few percent only: glasses of this size made alike differ by 5 % in "
    "their measured mean at equal density and energy, and two samples do not average that out."
)

RECIPES = {
    "stiffness-cuzr": Recipe(BY_SPECIES, True, (_REST, _ONE_MATERIAL, _MEANS)),
    "stiffness-cuzr-rdf40": Recipe(PUBLISHED, True, (_REST, _ONE_MATERIAL, _MEANS)),
    "stiffness-cuzr-300k": Recipe(
        # An inherent structure lies inside what thermal noise covers; shorter averages hardly tell them apart.
        replace(BY_SPECIES, title="vibrational stiffness from a snapshot at 300 K", extrapolation_radius=3.5),
        False,
        (
            "For snapshots at 300 K that cannot be minimised; inherent structures belong to stiffness-cuzr, "
            "which is better.",
            _ONE_MATERIAL,
            _MEANS,
        ),
    ),
}


def read_samples(folder: Path) -> list[LabelledSample]:
    """Samples ``vibrations-*.xyz.gz`` of a folder, sorted by name.

    Raises
    ------
    TrainingError
        If there are none.
    """
    samples = []
    for path in sorted(Path(folder).glob("vibrations-*.xyz.gz")):
        snapshot = read_snapshot(path)
        name = path.name.removesuffix(".xyz.gz")
        samples.append(LabelledSample(snapshot.structure, snapshot.columns["Stiffness"], name))
    if not samples:
        raise TrainingError(f"{folder} holds no vibrations-*.xyz.gz; make them with: glassml simulate campaign")
    return samples


def cooling_rate(name: str) -> str:
    """``vibrations-cu50zr50-1e12-3`` → ``1e12 K/s``."""
    found = re.search(r"-(\d+e\d+)-", name)
    return f"{found.group(1)} K/s" if found else "unknown rate"


def leave_one_out(
    samples: Sequence[LabelledSample],
    snapshots: Mapping[str, Structure],
    design: ModelDesign,
    progress: Report,
) -> list[ResultTable]:
    """Every sample predicted by a model trained on all the others; at rest and at 300 K.

    Parameters
    ----------
    samples : sequence of LabelledSample
        Two or more.
    snapshots : mapping of sample name to Structure
        Thermal snapshots; may be empty.
    design : ModelDesign
    progress : callable
        Fraction and text.

    Returns
    -------
    list of ResultTable
        Scores at rest, at 300 K, and the difference between the cooling rates.
    """
    at_rest, hot = [], []
    for number, sample in enumerate(samples):
        progress(number / len(samples), f"leaving out {sample.name}")
        model = train([other for other in samples if other is not sample], design=design)
        at_rest.append(score_sample(model, sample))
        if sample.name in snapshots:
            hot.append(score_sample(model, sample, snapshots[sample.name]))
    tables = [score_table("Leave one sample out, inherent structures", at_rest, units=METAL)]
    if hot:
        tables.append(score_table("Leave one sample out, snapshots at 300 K", hot, units=METAL))
    groups = {sample.name: cooling_rate(sample.name) for sample in samples}
    if len(set(groups.values())) > 1:
        tables.append(rate_differences(at_rest, groups))
    return tables


def transfer(samples: Sequence[LabelledSample], design: ModelDesign) -> ResultTable:
    """Mean scores of models trained on one cooling rate only, on the samples of the other rates."""
    by_rate: dict[str, list[LabelledSample]] = {}
    for sample in samples:
        by_rate.setdefault(cooling_rate(sample.name), []).append(sample)
    rows = []
    for rate, trained_on in by_rate.items():
        model = train(trained_on, design=design)
        for other, tested_on in by_rate.items():
            if other == rate:
                continue
            scores = [score_sample(model, sample) for sample in tested_on]
            rows.append(
                (
                    rate,
                    other,
                    sum(score.correlation for score in scores) / len(scores),
                    sum(score.coarse for score in scores) / len(scores),
                    f"{100 * sum(score.bias for score in scores) / len(scores):+.1f} %",
                )
            )
    return ResultTable("Transfer over cooling rates", ("trained at", "tested at", "R", "R coarse", "bias"), tuple(rows))


def make_models(folder: Path, output: Path, progress: Report, *, names: Sequence[str] = tuple(RECIPES)) -> list[Path]:
    """Train the shipped models on all samples but `TEST_SAMPLES` and write files and cards.

    No model learns from `SLOWEST_SAMPLE`, not even one that leaves another sample out.

    Parameters
    ----------
    folder : Path
        Samples; thermal snapshots and foreign structures are kept in its folders ``snapshots``
        and ``foreign``. The latter also holds labelled glasses of other compositions.
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
    snapshots = {sample.name: _snapshot(sample, folder / "snapshots") for sample in samples}
    known_rates = [sample for sample in samples if sample.name != SLOWEST_SAMPLE]
    foreign = foreign_structures(known_rates[0].structure, folder / "foreign", silent)
    others = read_samples(folder / "foreign")
    paths = []
    for number, name in enumerate(names):
        part = nth_of(progress, number, len(names), f"{name}: ")
        recipe = RECIPES[name]
        shown = {sample.name: sample.structure for sample in samples} if recipe.at_rest else snapshots
        learned = [s._replace(structure=shown[s.name]) for s in samples if s.name not in TEST_SAMPLES]
        tested = [s for s in samples if s.name in TEST_SAMPLES]
        how, design = _how_made(folder, recipe, learned), replace(recipe.design, units=METAL)
        model = train(learned, design=design, training=how, progress=span_of(part, 0, 0.2))
        results = _judge(model, tested, snapshots, [shown[sample.name] for sample in tested], foreign)
        results.append(_other_compositions(model, others, folder / "snapshots", recipe.at_rest))
        if recipe.at_rest:
            results += leave_one_out(known_rates, snapshots, recipe.design, span_of(part, 0.2, 0.7))
            part(0.7, "transfer over cooling rates")
            results.append(transfer(known_rates, recipe.design))
        results.append(_ceiling(folder))
        if recipe.design is PUBLISHED:
            results.append(scan_networks(learned[:1], progress=span_of(part, 0.8, 1.0)))
        path = output / f"{name}.safetensors"
        references = (*model.header.references, load_material("cu-zr").reference)
        header = replace(
            model.header, results=tuple(results), limits=recipe.limits, references=references, licence="MIT"
        )
        save_with_card(path, header, model.tensors())
        paths.append(path)
    progress(1.0, "done")
    return paths


def _judge(
    model: StiffnessModel,
    tested: Sequence[LabelledSample],
    snapshots: Mapping[str, Structure],
    glasses: Sequence[Structure],
    foreign: Mapping[str, Structure],
) -> list[ResultTable]:
    """Scores of the shipped model itself on the samples kept aside, at rest and hot."""
    hot = [score_sample(model, sample, snapshots[sample.name]) for sample in tested]
    rest = [score_sample(model, sample) for sample in tested]
    rates = {sample.name: cooling_rate(sample.name) for sample in tested}
    return [
        score_table("This model on samples kept aside, inherent structures", rest, units=METAL),
        rate_differences(rest, rates),
        score_table(
            "This model on samples kept aside, snapshots at 300 K",
            hot,
            "Positions after 4 ps at 300 K; the labels are the same.",
            units=METAL,
        ),
        separation_table(model, glasses, foreign),
    ]


def _other_compositions(
    model: StiffnessModel, samples: Sequence[LabelledSample], snapshots: Path, at_rest: bool
) -> ResultTable:
    """Scores on glasses of elements that the model knows, in proportions that it does not."""
    scores = [score_sample(model, one, None if at_rest else _snapshot(one, snapshots)) for one in samples]
    shown = "inherent structures" if at_rest else "snapshots at 300 K"
    return score_table(f"This model on other compositions, {shown}", scores, units=METAL)


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
    for path in sorted(Path(folder).glob("vibrations-*.xyz.gz")):
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
    return {
        name: seconds + timings[name.replace("vibrations", "quench")]
        for name, seconds in timings.items()
        if name.startswith("vibrations") and name.replace("vibrations", "quench") in timings
    }


def _how_made(folder: Path, recipe: Recipe, learned: Sequence[LabelledSample]) -> dict[str, Any]:
    """The protocol of the training data, from the files themselves."""
    snapshot = read_snapshot(sorted(Path(folder).glob("vibrations-*.xyz.gz"))[0])
    vibrations = made_with(snapshot.header, "settings")
    quench = made_with(snapshot.header, "input_settings")
    temperatures = ", ".join(f"{value:g}" for value in vibrations["temperatures"])
    return {
        "how": (
            f"Molecular dynamics of {quench['composition']} with the potential of Mendelev et al. (2007), LAMMPS "
            f"{snapshot.header['lammps']}; {quench['atoms']} atoms a sample, cooled at the rate in the sample's name "
            f"between {quench['slow_from']:g} and {quench['slow_to']:g} K and relaxed with the cell at zero pressure"
        ),
        "shown": "inherent structures" if recipe.at_rest else "the same samples after 4 ps at 300 K and zero pressure",
        "label": (
            f"mean over {temperatures} K of k_B T / u², u² over {vibrations['window']:g} ps of NVT "
            "at the zero-pressure cell, hops included"
        ),
        "core_hours": core_hours({sample.name: len(sample.structure) for sample in learned}, _with_quenches()),
        "preset": "laptop (sample_data/campaign.toml)",
        "kept_aside": ", ".join(TEST_SAMPLES),
    }


if __name__ == "__main__":
    make_models(Path(sys.argv[1]), Path(sys.argv[2]), printed)
