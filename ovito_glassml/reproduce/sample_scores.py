"""Gives a trained model the score of whole samples, if it was made before there was one; its predictions stay.

The structures must be like those that it learned from; each file is a sample, its frames are that sample at several
times. The shipped ones were made by::

    python -m ovito_glassml.reproduce.sample_scores stiffness-cuzr sample_data/stiffness/vibrations-*.xyz.gz
    python -m ovito_glassml.reproduce.sample_scores ule-zr44cu56 CAMPAIGN/short-anneal-zr44cu56-*.xyz.gz

Only files whose names end like those of the model's own training samples are learned from.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.card import write_card
from ovito_glassml.learn.extrapolation import with_sample_score
from ovito_glassml.learn.format import model_path, save_model
from ovito_glassml.learn.model import LearnedModel, load_model
from ovito_glassml.simulate.snapshots import read_frames
from ovito_glassml.structure import Structure

__all__ = ["give_sample_score", "novelty_rows"]

Model = TypeVar("Model", bound=LearnedModel)


def novelty_rows(model: LearnedModel, structure: Structure) -> tuple[NDArray, Mapping[str, NDArray]]:
    """What a model measures novelty in: (N, F) rows, and the atoms that each head is for."""
    found = list(model.novelty_blocks(structure))
    rows = np.zeros((len(structure), found[0][2].shape[1]))
    members: dict[str, list[NDArray]] = {}
    for name, indices, block in found:
        rows[indices] = block
        members.setdefault(name, []).append(indices)
    return rows, {name: np.sort(np.concatenate(members[name])) for name in model.score.axes}


def give_sample_score(model: Model, samples: Mapping[str, Sequence[Structure]]) -> Model:
    """The model with a score for samples, learned from structures like those of its training.

    Parameters
    ----------
    model : LearnedModel
    samples : mapping of name to structures
        Each sample at one time or several.

    Raises
    ------
    TrainingError
        For no structures.
    """
    structures = [structure for frames in samples.values() for structure in frames]
    runs = [name for name, frames in samples.items() for _ in frames]
    if not structures:
        raise TrainingError("No structure is left to learn from; name files of the model's own training samples.")
    rows, members = zip(*(novelty_rows(model, structure) for structure in structures), strict=True)
    score = with_sample_score(model.score, structures, rows, members, runs)
    training = {**model.header.training, "sample_score_from": sorted(samples)}
    return replace(model, header=replace(model.header, training=training), score=score)  # type: ignore[type-var]


def _main(name: str, files: Sequence[str]) -> None:
    model = load_model(name)
    known = tuple(model.header.training["samples"])
    chosen = {Path(file).name.removesuffix(".xyz.gz"): file for file in files}
    samples = {
        sample: [frame.structure for frame in read_frames(Path(file))]
        for sample, file in chosen.items()
        if sample.endswith(known)
    }
    scored = give_sample_score(model, samples)
    path = model_path(name)
    save_model(path, scored.header, scored.tensors())
    print(f"{path}: unit {scored.score.sample.unit:.3g} from {', '.join(samples)}")  # type: ignore[union-attr]
    write_card(path)


if __name__ == "__main__":
    _main(sys.argv[1], sys.argv[2:])
