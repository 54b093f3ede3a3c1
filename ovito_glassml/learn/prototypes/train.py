"""Training of the structural constraint neural network on energy barriers. Needs the extra `train`.

Stages: (1) initialise; (2) train all but the head; (3) replace each prototype by the embedding of
the most similar training atom of its class; (4) train the head alone. Stages 2 to 4 are repeated
until the area under the ROC curve on validation atoms stops improving; states in which a prototype
is the nearest of hardly any atom, or resembles one of the other class, are kept only for want of better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.evaluation import area_under_roc
from ovito_glassml.learn.extrapolation import ExtrapolationScore, fit_extrapolation
from ovito_glassml.learn.format import ModelHeader, ResultTable
from ovito_glassml.learn.model import ANY_SPECIES
from ovito_glassml.learn.prototypes.data import ENVIRONMENT, ScnnDesign, TrainingData
from ovito_glassml.learn.prototypes.model import (
    KIND,
    Prototype,
    PrototypeNetwork,
    RowDescriptors,
    ScnnModel,
    centre_of,
    descriptor_settings,
    in_double_precision,
    reach,
)
from ovito_glassml.learn.prototypes.network import (
    PrototypesInTraining,
    TrainingSettings,
    WhitenedRows,
    chooser,
    encoder_of,
    entropy,
    fit,
    split,
)
from ovito_glassml.learn.torch_threads import one_torch_thread
from ovito_glassml.neighbours import cut_out
from ovito_glassml.progress import Report, nth_of, silent, span_of
from ovito_glassml.structure import Structure

__all__ = [
    "FittedPrototypes",
    "PlainNetwork",
    "balanced_logistic",
    "fit_prototypes",
    "train_plain",
    "train_scnn",
]

#: Novelty is measured against training data cut into this many slabs if there is only one sample.
SLABS = 5
#: Radius of the extrapolation score over the cutoff of the descriptors: the published cutoff of 5 Å gives 8.
REGION = 1.6


def train_scnn(
    data: TrainingData,
    learned: NDArray[np.int64],
    validated: NDArray[np.int64],
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seed: int = 1,
    familiar: Sequence[Structure] = (),
    training: Mapping[str, Any] | None = None,
    results: Sequence[ResultTable] = (),
    progress: Report | None = None,
) -> ScnnModel:
    """Train a prototype network.

    Parameters
    ----------
    data : TrainingData
        What `describe_samples` returned for the same design.
    learned, validated : int arrays
        Rows to learn from, and rows that stop the training and calibrate the probability, as
        `TrainingData.divided` gives.
    design : ScnnDesign
    settings : TrainingSettings, optional
        The defaults were chosen by validation.
    seed : int
        Of weights, order and the choice of atoms. Fixed beforehand, never tuned.
    familiar : sequence of Structure
        More structures like those of the data, without labels. The unit of the extrapolation score is how much samples
        differ; with one sample of each composition that would be how much compositions differ.
    training : mapping, optional
        How the data were made, for the card.
    results : sequence of ResultTable
        Held-out scores, for the card.
    progress : callable, optional
        Called with the fraction done and a text.

    Raises
    ------
    TrainingError
        For labels all of one class and fewer atoms than prototypes.
    """
    settings, report = settings or TrainingSettings(), progress or silent
    fitted = fit_prototypes(data, learned, validated, design=design, settings=settings, seed=seed, progress=report)
    report(0.9, "measuring where the training data lie")
    samples = np.unique(data.sample[learned])
    prototypes = tuple(_prototype(data, int(place)) for place in fitted.places)
    network = _with_exact_prototypes(fitted.network, data.descriptor, prototypes)
    score = _extrapolation(data, [data.samples[number].structure for number in samples] + list(familiar))
    header = _header(data, design, settings, seed, prototypes, samples, fitted, score.radius)
    made = {**header.training, "atoms": len(learned), **(training or {})}
    report(1.0, "done")
    return ScnnModel(
        replace(header, training=made, results=tuple(results)), data.descriptor, network, prototypes, score
    )


class FittedPrototypes(NamedTuple):
    """A trained network, the rows that its prototypes are, the barrier that divides the classes (eV), the cycles."""

    network: PrototypeNetwork
    places: NDArray[np.int64]
    threshold: float
    cycles: int


def fit_prototypes(
    data: TrainingData,
    learned: NDArray[np.int64],
    validated: NDArray[np.int64],
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seed: int = 1,
    progress: Report | None = None,
) -> FittedPrototypes:
    """The network alone, as `train_scnn` makes it: all that comparisons on descriptor rows need."""
    settings = settings or TrainingSettings()
    rows = split(data, learned, validated, settings)
    scnn, cycles, calibration = _train(rows, design, settings, seed, progress or silent)
    return FittedPrototypes(_network(scnn, rows, design, calibration), rows.atoms[scnn.chosen], rows.threshold, cycles)


def _train(
    rows: WhitenedRows, design: ScnnDesign, settings: TrainingSettings, seed: int, report: Report
) -> tuple[PrototypesInTraining, int, NDArray[np.float64]]:
    """Stages 1 to 4; the network of the best cycle, the number of that and its calibration."""
    import torch

    best: tuple[tuple[bool, float], PrototypesInTraining, int, NDArray[np.float64]] | None = None
    for start in range(settings.starts):
        part = nth_of(span_of(report, 0.0, 0.9), start, settings.starts, f"start {start + 1}, ")
        with torch.random.fork_rng(devices=[]), one_torch_thread():
            torch.manual_seed(1000 * seed + start)
            found = _train_once(rows, design, settings, np.random.default_rng((seed, start)), part)
        if best is None or found[0] > best[0]:
            best = found
        if best[0][0]:
            break
    return best[1:]  # type: ignore[index]


def _train_once(
    rows: WhitenedRows, design: ScnnDesign, settings: TrainingSettings, rng: np.random.Generator, report: Report
) -> tuple[tuple[bool, float], PrototypesInTraining, int, NDArray[np.float64]]:
    """One start and its cycles; whether the best one is sound, with its area, comes first."""
    choose = chooser(rows, settings, rng)
    scnn = PrototypesInTraining(rows, design, settings)
    report(0.0, "initialising")
    scnn.start(choose, rng)
    best, best_cycle, best_state = (False, -1.0), 0, scnn.state()
    calibration = np.array([1.0, 0.0])
    for cycle in range(settings.most_cycles):
        report((cycle + 1) / (settings.most_cycles + 1), f"cycle {cycle + 1}, best validation AUC {best[1]:.3f}")
        scnn.head.requires_grad_(False)
        step = settings.cycle._replace(rate=settings.cycle.rate / (1 + cycle))
        fit([*scnn.encoder.parameters(), scnn.prototypes], scnn.loss, choose, step, rng, silent)
        scnn.become_atoms()
        scnn.head.requires_grad_(True)
        scnn.fit_head(choose())
        logits = scnn.logits(rows.unseen)
        quality = scnn.is_sound(), area_under_roc(logits[~rows.unseen_high], logits[rows.unseen_high])
        if quality > best:
            best, best_cycle, best_state = quality, cycle, scnn.state()
            calibration = balanced_logistic(logits, rows.unseen_high)
        elif cycle - best_cycle >= settings.patience:
            break
    scnn.encoder.load_state_dict(best_state["encoder"])
    scnn.prototypes.data.copy_(best_state["prototypes"])
    scnn.head.data.copy_(best_state["head"])
    scnn.chosen = best_state["chosen"]
    return best, scnn, best_cycle + 1, calibration


def balanced_logistic(features: NDArray, high: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Coefficients of logistic regression, both classes given equal weight; the constant last.

    Parameters
    ----------
    features : (M,) or (M, p) array
    high : (M,) bool array
    """
    design = np.column_stack([features, np.ones(len(features))]).astype(np.float64)
    weights = np.where(high, 0.5 / high.mean(), 0.5 / (1 - high.mean())) / len(high)
    coefficients = np.zeros(design.shape[1])
    # A grain of ridge keeps classes that are perfectly separated from infinite slopes.
    ridge = 1e-6 * np.eye(design.shape[1])
    for _ in range(50):
        probability = 0.5 * (1 + np.tanh(0.5 * design @ coefficients))
        gradient = design.T @ (weights * (high - probability)) - ridge @ coefficients
        curvature = (design * (weights * probability * (1 - probability))[:, None]).T @ design + ridge
        step = np.clip(np.linalg.solve(curvature, gradient), -5, 5)
        coefficients = coefficients + step
        if np.abs(step).max() < 1e-9:
            break
    return coefficients


def _network(
    scnn: PrototypesInTraining, rows: WhitenedRows, design: ScnnDesign, calibration: NDArray[np.float64]
) -> PrototypeNetwork:
    """Weights for inference, with the whitening multiplied into the first layer."""
    first, second = scnn.encoder[0], scnn.encoder[3]

    def array(tensor: Any) -> NDArray:
        return tensor.detach().numpy().astype(np.float64)

    single = np.float32
    return PrototypeNetwork(
        rows.mean.astype(single),
        rows.scale.astype(single),
        (rows.whitening @ array(first.weight).T).astype(single),
        array(first.bias).astype(single),
        array(second.weight).T.astype(single),
        array(second.bias).astype(single),
        array(scnn.prototypes).astype(single),
        array(scnn.head).astype(single),
        calibration,
        design.activation,
    )


def _prototype(data: TrainingData, place: int) -> Prototype:
    """The atom of one row with everything around it that its row depends on."""
    sample, atom = data.samples[data.sample[place]], int(data.atom[place])
    environment = cut_out(sample.structure, atom, reach(data.descriptor), data.descriptor.species)
    return Prototype(sample.name, int(sample.structure.ids[atom]), float(data.barrier[place]), environment)


def _with_exact_prototypes(
    network: PrototypeNetwork, descriptor: RowDescriptors, prototypes: Sequence[Prototype]
) -> PrototypeNetwork:
    """The network with prototypes embedded in double precision, so that anybody finds the same numbers."""
    exact = in_double_precision(descriptor)
    rows = [exact.compute(centre_of(prototype.environment)) for prototype in prototypes]
    return replace(network, prototypes=network.embed(np.concatenate(rows)))


def _extrapolation(data: TrainingData, structures: Sequence[Structure]) -> ExtrapolationScore:
    """Where the rows of some samples lie; a single one is cut into slabs."""
    rows, parts = [], []
    for number, structure in enumerate(structures):
        rows.append(data.descriptor.compute(structure).astype(np.float64))
        if len(structures) > 1:
            parts.append(np.full(len(structure), number))
        else:
            heights = structure.positions[:, 0]
            parts.append(np.argsort(np.argsort(heights, kind="stable")) * SLABS // len(structure))
    members = [{ANY_SPECIES: np.arange(len(structure))} for structure in structures]
    radius = REGION * data.descriptor.cutoff
    return fit_extrapolation(structures, rows, members, parts, radius=radius)


def _header(
    data: TrainingData,
    design: ScnnDesign,
    settings: TrainingSettings,
    seed: int,
    prototypes: Sequence[Prototype],
    samples: NDArray[np.int64],
    fitted: FittedPrototypes,
    radius: float,
) -> ModelHeader:
    return ModelHeader(
        kind=KIND,
        title=design.title,
        summary=design.summary,
        species=data.descriptor.species,
        cutoff=max(reach(data.descriptor), radius),
        descriptor=descriptor_settings(data.descriptor),
        architecture={
            "hidden": design.hidden,
            "embedding": design.embedding,
            "activation": design.activation,
            "extrapolation_radius": radius,
            "prototypes": [
                {"sample": prototype.sample, "atom": prototype.atom, "barrier": prototype.barrier}
                for prototype in prototypes
            ],
        },
        output={"property": "High Activation Probability", "unit": "1, for equally frequent classes"},
        training={
            "samples": [data.samples[number].name for number in samples],
            "high_barrier": (
                f"above {fitted.threshold:.4g} {design.units.barrier}, "
                f"the highest {100 * settings.high_fraction:g} % of all"
            ),
            "atoms_without_label": data.left_out,
            "seed": seed,
            "cycles": fitted.cycles,
            "settings": asdict(settings),
        },
        limits=(
            "Knows structures like its training samples and no others; the extrapolation score marks what is unlike.",
            "The probability is that of a high barrier among as many high as other atoms, not among all atoms.",
        ),
        references=REFERENCES,
        length_unit=design.units.length,
    )


#: Of the method; what the data come from is for those to say who have made them.
REFERENCES = (
    "X. Jiang, Z. Tian, K. Li, W. Hu, Towards interpreting the thermally activated β dynamics in metallic glass with "
    "the structural constraint neural network, arXiv:2401.03743 (2024).",
)


class PlainNetwork(NamedTuple):
    """The same encoder with two plain logits on the embedding: what prototypes are compared with.

    `predict` maps descriptor rows to the difference of the logits, high − low.
    """

    predict: Callable[[NDArray], NDArray[np.float64]]


def train_plain(
    data: TrainingData,
    learned: NDArray[np.int64],
    validated: NDArray[np.int64],
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seed: int = 1,
    regression: bool = False,
) -> PlainNetwork:
    """Train a network without prototypes on the same rows, for comparison.

    Parameters
    ----------
    data, learned, validated, design, settings, seed
        As for `train_scnn`.
    regression : bool
        Predict the barrier itself, in eV, from all atoms, instead of its class.

    Raises
    ------
    TrainingError
        As `train_scnn`.
    """
    import torch

    settings = settings or TrainingSettings()
    rows = split(data, learned, validated, settings)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), one_torch_thread():
        torch.manual_seed(seed)
        encoder = encoder_of(rows.inputs.shape[1], design, settings.dropout)
        if regression:
            network = torch.nn.Sequential(encoder, _regress(encoder, design, rows, settings, rng))
        else:
            network = _classify(encoder, design, rows, settings, rng)
        network.eval()
    spread, mean = (float(rows.barrier.std()), float(rows.barrier.mean())) if regression else (1.0, 0.0)

    def predict(table: NDArray) -> NDArray[np.float64]:
        inputs = torch.as_tensor((table - rows.mean) / rows.scale @ rows.whitening, dtype=torch.float32)
        with torch.no_grad(), one_torch_thread():
            return network(inputs)[:, 0].numpy().astype(np.float64) * spread + mean

    return PlainNetwork(predict)


def _classify(
    encoder: Any, design: ScnnDesign, rows: WhitenedRows, settings: TrainingSettings, rng: np.random.Generator
) -> Any:
    """Encoder and one plain logit, trained in the same cycles as a prototype network."""
    import torch

    choose = chooser(rows, settings, rng)
    network = torch.nn.Sequential(encoder, torch.nn.Linear(design.embedding, 1))
    best, best_state = -1.0, copy.deepcopy(network.state_dict())
    for cycle in range(settings.most_cycles):
        network.train()
        step = settings.first._replace(rate=settings.first.rate / (1 + cycle))
        fit(network.parameters(), entropy(network, rows), choose, step, rng, silent)
        network.eval()
        with torch.no_grad():
            logits = network(rows.unseen)[:, 0].numpy().astype(np.float64)
        area = area_under_roc(logits[~rows.unseen_high], logits[rows.unseen_high])
        if area <= best:
            break
        best, best_state = area, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_state)
    return network


def _regress(
    encoder: Any, design: ScnnDesign, rows: WhitenedRows, settings: TrainingSettings, rng: np.random.Generator
) -> Any:
    """Train encoder and a line to predict the standardised barriers of all atoms; the line."""
    import torch

    line = torch.nn.Linear(design.embedding, 1)
    targets = torch.as_tensor((rows.barrier - rows.barrier.mean()) / rows.barrier.std(), dtype=torch.float32)
    everything = np.arange(len(targets))

    def loss(batch: NDArray) -> Any:
        return ((line(encoder(rows.inputs[batch]))[:, 0] - targets[batch]) ** 2).mean()

    encoder.train()
    parameters = [*encoder.parameters(), *line.parameters()]
    fit(parameters, loss, lambda: everything, settings.first, rng, silent)
    return line
