"""Which of the shipped and installed models fits a structure.

Species and composition come first, then what the caller wants of a model. If several still fit, such as one for
glasses at rest and one for snapshots at temperature, the structure itself decides: a sample of its atoms is compared
with the training data of each, as a whole and by how the atoms scatter, and the most familiar model is taken. The same
structure always gets the same model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.format import ModelError, ModelHeader, list_installed, list_models, read_header, remembered
from ovito_glassml.learn.model import LearnedModel
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = ["BY_NAME", "CHOSEN", "Choice", "choose_model", "headers_of", "unfamiliarity"]

#: Compositions that differ by less, summed over the species, are the same: a few atoms of a small sample.
SAME_COMPOSITION = 0.02
#: Models to which the atoms are unfamiliar by scores within this factor are told apart by the sample as a whole: where
#: they know many compositions, the blur of a snapshot is little beside what compositions scatter.
AS_FAMILIAR = 1.1
#: What `training` of the header says of models that are kept for comparison and never chosen for a structure.
CHOSEN, BY_NAME = "chosen", "by name only"
#: Atoms that are compared with training data: their mean is as good as that of all, within a few percent.
COMPARED_ATOMS = 1000

#: Asked for at every frame of a trajectory.
_header = remembered(read_header, count=256)


@dataclass(frozen=True)
class Choice:
    """A model that was chosen.

    Attributes
    ----------
    name : str
        Of the shipped or installed model.
    scores : mapping of name to float
        How unfamiliar the structure is to each model that it was compared with; empty where one alone fitted.
    unusable : tuple of str
        Why files of models were passed over, a sentence each.
    """

    name: str
    scores: Mapping[str, float] = field(default_factory=dict)
    unusable: tuple[str, ...] = ()


def choose_model(
    structure: Structure,
    kind: str,
    load: Callable[[str], LearnedModel],
    wanted: Mapping[str, str] | None = None,
) -> Choice:
    """Choose a model of one kind for a structure.

    Parameters
    ----------
    structure : Structure
        Its selected atoms decide whether it is familiar, all of them the composition.
    kind : str
        Such as ``stiffness``.
    load : callable
        Gives the model of a name; is asked only for those that may be chosen, and best remembers them.
    wanted : mapping, optional
        What `training` of the header should say, such as the activation; counts if any model of this glass does.

    Returns
    -------
    Choice

    Raises
    ------
    ModelError
        If no model knows all species.
    StructureError
        As predictions, if several models have to be compared.
    """
    headers, unusable = headers_of(kind)
    present = structure.shares
    candidates = {
        name: header
        for name, header in headers.items()
        if set(present) <= set(header.species) and header.training.get(CHOSEN) != BY_NAME
    }
    if not candidates:
        raise ModelError(_nothing_fits(kind, present, headers, unusable))
    while True:
        fitting = _one_of_each(_nearest(candidates, present, wanted or {}))
        models, errors = _loaded(fitting, load)
        if not errors:
            break
        candidates = {name: header for name, header in candidates.items() if name not in errors}
        unusable += tuple(str(error) for error in errors.values())
        if not candidates:
            raise next(iter(errors.values()))
    if len(fitting) == 1:
        return Choice(fitting[0], unusable=unusable)
    sample = _sample(structure)
    of_each = {model.novelty_key: model for model in models.values()}
    with one_blas_thread():
        seen = {key: list(model.novelty_blocks(sample)) for key, model in of_each.items()}
        scores = {name: unfamiliarity(model, seen[model.novelty_key]) for name, model in models.items()}
        limit = AS_FAMILIAR * min((score for score in scores.values() if np.isfinite(score)), default=np.inf)
        near = {name: model for name, model in models.items() if not scores[name] > limit}
        of_sample = {name: _sample_score(model, seen[model.novelty_key]) for name, model in near.items()}
    best = min(near, key=lambda name: (_rounded(of_sample[name]), _rounded(scores[name])))
    return Choice(best, scores, unusable)


def _sample_score(model: LearnedModel, blocks: Iterable[tuple[str, NDArray, NDArray]]) -> float:
    """`sample_extrapolation` of these atoms; NaN for models that do not know."""
    parts = [model.score.embed(name, rows) for name, _, rows in blocks]
    return model.score.evaluate_sample(np.concatenate(parts)) if parts else float("nan")


def headers_of(kind: str = "") -> tuple[dict[str, ModelHeader], tuple[str, ...]]:
    """Headers of the shipped and then the installed models of a kind, or of all, and why others cannot be read."""
    headers, unusable = {}, []
    for name in (*list_models(), *list_installed()):
        try:
            header = _header(name)
        except (ModelError, OSError) as error:
            unusable.append(str(error))
            continue
        if kind in ("", header.kind):
            headers[name] = header
    return headers, tuple(unusable)


def unfamiliarity(model: LearnedModel, blocks: Iterable[tuple[str, NDArray, NDArray]]) -> float:
    """How unlike the training atoms of a model the atoms of its `novelty_blocks` scatter; NaN without any.

    The Kullback-Leibler divergence of the normal distribution of the training atoms from that of these atoms, per
    descriptor, the mean of all heads. What a structure at rest lacks of the blur of a snapshot counts fully, and what
    atoms scatter beyond the training, as those of another composition do, by its logarithm. Distances from the training
    atoms, as in `sample_extrapolation`, would not do: where the composition is another, they are nearly all distance in
    composition, and least for the model that has seen the widest scatter.
    """
    rows: dict[str, list[NDArray]] = {}
    for name, _, block in blocks:
        rows.setdefault(name, []).append(model.score.uncorrelated(name, block))
    known = [table for blocks in rows.values() if len(table := np.concatenate(blocks))]
    if not known:
        return float("nan")
    return float(np.average([_divergence(table) for table in known], weights=[len(table) for table in known]))


def _rounded(score: float) -> float:
    """Smaller differences mean nothing, as those between models that see a perfect crystal; then the first is taken."""
    return round(score, 3) if np.isfinite(score) else np.inf


def _divergence(rows: NDArray) -> float:
    """Of rows (M, F) whose training atoms have mean 0 and unit covariance."""
    atoms, width = rows.shape
    # As many training atoms as there are descriptors are added: a few atoms say little of how they scatter.
    moments = (rows.T @ rows).astype(np.float64) + width * np.eye(width)
    variances = np.linalg.eigvalsh(moments / (atoms + width))
    return float((1 / variances + np.log(variances) - 1).mean()) / 2


def _sample(structure: Structure) -> Structure:
    """The structure with some of its selected atoms: the same at every call, of each species its share."""
    selected = structure.selected
    if len(selected) <= COMPARED_ATOMS:
        return structure
    mask = np.zeros(len(structure), dtype=np.bool_)
    for kind in range(len(structure.species_names)):
        own = selected[structure.species[selected] == kind]
        count = -(-len(own) * COMPARED_ATOMS // len(selected))
        # Every tenth atom, say, would take one sublattice of a crystal.
        mask[np.random.default_rng(kind).choice(own, count, replace=False)] = True
    return replace(structure, mask=mask)


def _nearest(
    candidates: Mapping[str, ModelHeader], present: Mapping[str, float], wanted: Mapping[str, str]
) -> dict[str, ModelHeader]:
    """Those of the closest composition, and of them those that say what is wanted, if any does."""
    distances = {name: _distance(present, header) for name, header in candidates.items()}
    limit = min(distances.values()) + SAME_COMPOSITION
    near = {name: header for name, header in candidates.items() if distances[name] <= limit}
    as_wanted = {
        name: header for name, header in near.items() if wanted.items() <= _texts(header.training, wanted).items()
    }
    return as_wanted or near


def _distance(present: Mapping[str, float], header: ModelHeader) -> float:
    """How far shares of species are outside those of the training data; 0 for models that do not state them."""
    stated = header.training.get("composition")
    if not isinstance(stated, Mapping):
        return 0.0
    outside = 0.0
    for name, entry in stated.items():
        low, high = _range(entry)
        outside += max(low - present.get(name, 0.0), present.get(name, 0.0) - high, 0.0)
    return outside


def _range(entry: Any) -> tuple[float, float]:
    """Lowest and highest share; a header may hold anything, which then excludes nothing."""
    try:
        low, high = np.broadcast_to(np.asarray(entry, dtype=np.float64), 2)
    except (TypeError, ValueError):
        return 0.0, 1.0
    return float(low), float(high)


def _texts(training: Mapping[str, Any], names: Iterable[str]) -> dict[str, str]:
    return {name: str(training.get(name, "")) for name in names}


def _one_of_each(candidates: Mapping[str, ModelHeader]) -> list[str]:
    """The first of all models that were made from the same data: nothing about a structure could tell them apart."""
    firsts: dict[object, str] = {}
    for name, header in candidates.items():
        training = header.training
        told = training.get("data_sha256") or [training.get(key) for key in ("samples", "shown", "atoms")]
        firsts.setdefault(repr(told) if training.get("samples") else name, name)
    return list(firsts.values())


def _loaded(
    names: Iterable[str], load: Callable[[str], LearnedModel]
) -> tuple[dict[str, LearnedModel], dict[str, ModelError | OSError]]:
    models: dict[str, LearnedModel] = {}
    errors: dict[str, ModelError | OSError] = {}
    for name in names:
        try:
            models[name] = load(name)
        except (ModelError, OSError) as error:
            errors[name] = error
    return models, errors


def _nothing_fits(
    kind: str, present: Iterable[str], headers: Mapping[str, ModelHeader], unusable: tuple[str, ...]
) -> str:
    by_species: dict[str, list[str]] = {}
    for name, header in headers.items():
        by_species.setdefault("-".join(header.species), []).append(name)
    known = "; ".join(f"for {species} {', '.join(names)}" for species, names in by_species.items())
    return (
        f"No {kind} model knows {', '.join(present)} (there are {known or 'none at all'}); train one on labelled "
        f"structures with `glassml train {kind}` and install it with `glassml models add FILE`, or name the particle "
        "types with `species` if these are not their names" + "".join(f"; passed over: {why}" for why in unusable) + "."
    )
