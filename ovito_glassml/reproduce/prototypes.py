"""Trains and judges the shipped prototype networks, from simulated barriers to model files with cards.

Run again whenever the samples change::

    python -m ovito_glassml.reproduce.prototypes FOLDER ovito_glassml/models
    python -m ovito_glassml.reproduce.prototypes judge FOLDER

The second renews the scores on the cards and leaves the predictions as they are.
FOLDER holds snapshots ``barriers-*.xyz.gz`` of ``glassml simulate barriers`` and more glasses of the same compositions,
``quench-barriers-*.xyz.gz``, that only show what is familiar. Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.reliability import auc_ceiling, split_half_reliability
from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.format import ResultTable, model_path
from ovito_glassml.learn.prototypes.data import (
    ENVIRONMENT,
    PUBLISHED,
    BarrierSample,
    ScnnDesign,
    TrainingData,
    describe_samples,
)
from ovito_glassml.learn.prototypes.evaluate import (
    by_atom_table,
    fold_tables,
    leave_one_out,
    score_model,
    score_tables,
    seed_table,
)
from ovito_glassml.learn.prototypes.model import ScnnModel
from ovito_glassml.learn.prototypes.train import train_scnn
from ovito_glassml.learn.units import METAL
from ovito_glassml.progress import Report, printed
from ovito_glassml.reproduce.costs import core_hours, shipped_timings
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.snapshots import read_header, read_snapshot

__all__ = ["RECIPES", "ceilings", "judge_again", "make_models", "read_samples"]

#: Designs of the shipped models.
RECIPES = {"scnn-cuzr": ENVIRONMENT, "scnn-cuzr-264": PUBLISHED}
#: Title of the table of what was not learned from.
KEPT_ASIDE = "This model on samples kept aside"
#: Column of the label, and of the single barriers behind it.
LABEL, BARRIERS = "Activation_Energy", "Barriers"


def read_samples(folder: Path) -> list[BarrierSample]:
    """Samples ``barriers-*.xyz.gz`` of a folder, sorted by name.

    Raises
    ------
    TrainingError
        If there are fewer than two: to learn from and to judge by.
    """
    samples = []
    for path in sorted(Path(folder).glob("barriers-*.xyz.gz")):
        snapshot = read_snapshot(path)
        samples.append(BarrierSample(snapshot.structure, snapshot.columns[LABEL], path.name.removesuffix(".xyz.gz")))
    if len(samples) < 2:
        raise TrainingError(
            f"{folder} holds {len(samples)} files barriers-*.xyz.gz and two are needed; "
            "make them with: glassml simulate barriers"
        )
    return samples


def ceilings(folder: Path) -> ResultTable:
    """What noise in the labels allows, for each sample."""
    rows = []
    for path in sorted(Path(folder).glob("barriers-*.xyz.gz")):
        columns = read_snapshot(path).columns
        if BARRIERS in columns and columns[BARRIERS].ndim == 2:
            reliability = split_half_reliability(columns[BARRIERS])
            rows.append((path.name.removesuffix(".xyz.gz"), reliability, auc_ceiling(max(0.0, min(1.0, reliability)))))
    return ResultTable(
        "Reliability of the labels, and the AUC that a perfect model would reach",
        ("sample", "reliability", "AUC"),
        tuple(rows),
        "From halves of the barriers of each atom (Spearman-Brown).",
    )


def make_models(
    folder: Path, output: Path, progress: Report, *, tested: Sequence[str] = (), names: Sequence[str] = tuple(RECIPES)
) -> list[Path]:
    """Train the shipped models on all samples but those kept aside and write files and cards.

    Parameters
    ----------
    folder : Path
        Samples.
    output : Path
        For the model files.
    progress : callable
        Fraction and text.
    tested : sequence of str
        Names of the samples kept aside; by default those that end in -2, or the last one if none does.
    names : sequence of str
        Which of `RECIPES`.

    Returns
    -------
    list of Path
        The model files.
    """
    samples = read_samples(folder)
    second = [sample.name for sample in samples if sample.name.endswith("-2")]
    aside = tested or second or [samples[-1].name]
    learned = [sample for sample in samples if sample.name not in aside]
    judges = [sample for sample in samples if sample.name in aside]
    if not learned or not judges:
        raise TrainingError(
            f"{len(learned)} samples are left to learn from and {len(judges)} to judge by; "
            "keep fewer aside, or name them as their files."
        )
    familiar = [read_snapshot(path).structure for path in sorted(Path(folder).glob("quench-barriers-*.xyz.gz"))]
    paths = []
    for number, name in enumerate(names):
        progress(number / len(names), f"{name}: training")
        design = replace(RECIPES[name], units=METAL)
        data = describe_samples(learned, design)
        parts = data.divided(range(len(learned)))
        model = train_scnn(data, *parts, design=design, familiar=familiar, training=_how_made(folder, learned, aside))
        results = score_tables([score_model(model, sample) for sample in judges], KEPT_ASIDE)
        progress((number + 0.3) / len(names), f"{name}: leaving out every sample in turn")
        results += fold_tables(leave_one_out(samples, design), "Every sample left out in turn")
        results += [_seeds(data, design, judges), by_atom_table(data, design), ceilings(folder)]
        path = output / f"{name}.safetensors"
        references = (*model.header.references, load_material("cu-zr").reference)
        header = replace(model.header, results=tuple(results), references=references, licence="MIT")
        save_with_card(path, header, model.tensors())
        paths.append(path)
    progress(1.0, "done")
    return paths


def judge_again(path: Path, folder: Path) -> None:
    """Renew the scores of a shipped model on samples kept aside, without changing what it predicts."""
    samples = {sample.name: sample for sample in read_samples(folder)}
    model = ScnnModel.load(path)
    aside = str(model.header.training["kept_aside"]).split(", ")
    scored, _ = score_tables([score_model(model, samples[one]) for one in aside], KEPT_ASIDE)
    results = tuple(scored if table.title == KEPT_ASIDE else table for table in model.header.results)
    save_with_card(path, replace(model.header, results=results), model.tensors())


def _seeds(data: TrainingData, design: ScnnDesign, judges: Sequence[BarrierSample]) -> ResultTable:
    """Five networks from other random numbers, on the first sample kept aside."""
    learned = range(len(data.samples))
    everything = describe_samples([*data.samples, judges[0]], design, learned=learned)
    parts = *everything.divided(learned), everything.of_samples([len(learned)])
    return replace(seed_table(everything, *parts, design=design)[0], title=f"Five seeds, judged by {judges[0].name}")


def _cost(folder: Path, learned: Sequence[BarrierSample]) -> str:
    """Core-hours of quenches and saddle searches, those on a device apart."""
    timings = shipped_timings()
    quenches = core_hours({f"quench-{sample.name}": len(sample.structure) for sample in learned}, timings)
    if all("engine" in read_header(folder / f"{sample.name}.xyz.gz") for sample in learned):
        return f"{quenches} for the quenches; the saddle searches ran on a CUDA device"
    searches = core_hours({sample.name: len(sample.structure) for sample in learned}, timings)
    return f"{quenches} for the quenches, {searches} for the saddle searches"


def _how_made(folder: Path, learned: Sequence[BarrierSample], aside: Sequence[str]) -> dict[str, str]:
    """The protocol of the training data, from the files themselves."""
    header = read_header(sorted(Path(folder).glob("barriers-*.xyz.gz"))[0])
    return {
        "core_hours": _cost(folder, learned),
        "how": f"Saddle searches around every atom of inherent structures, settings {header.get('settings', '')}",
        "label": "mean activation energy of the connected events of an atom, eV",
        "kept_aside": ", ".join(aside),
        "choices": "the number of components is the best of a few, tried by leaving out every sample in "
        "turn, those kept aside included, which flatters all scores a little; the seed was not chosen",
    }


if __name__ == "__main__":
    if sys.argv[1] == "judge":
        for recipe in RECIPES:
            judge_again(model_path(recipe), Path(sys.argv[2]))
    else:
        make_models(Path(sys.argv[1]), Path(sys.argv[2]), printed, tested=sys.argv[3:])
