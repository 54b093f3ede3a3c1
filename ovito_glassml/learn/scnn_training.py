"""Training of the structural constraint neural network on energy barriers. Needs the extra `train`.

Stages: (1) initialise; (2) train all but the head; (3) replace each prototype by the embedding of
the most similar training atom of its class; (4) train the head alone. Stages 2 to 4 are repeated
until the area under the ROC curve on validation atoms stops improving; states in which a prototype
is the nearest of hardly any atom, or resembles one of the other class, are kept only for want of better.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.bessel import BesselDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.environments import fit_environments
from ovito_glassml.learn.evaluation import area_under_roc
from ovito_glassml.learn.extrapolation import ExtrapolationScore, fit_extrapolation
from ovito_glassml.learn.model_file import ModelHeader, ResultTable
from ovito_glassml.learn.scnn import (
    CLASSES,
    KIND,
    PROTOTYPES,
    Prototype,
    PrototypeNetwork,
    RowDescriptors,
    ScnnModel,
    centre_of,
    descriptor_settings,
    in_double_precision,
    reach,
)
from ovito_glassml.learn.stiffness import ANY_SPECIES
from ovito_glassml.neighbours import build_cell_list
from ovito_glassml.structure import Structure, combined_species

__all__ = [
    "ENVIRONMENT",
    "PUBLISHED",
    "BarrierSample",
    "FittedPrototypes",
    "LossWeights",
    "Pass",
    "PlainNetwork",
    "ScnnDesign",
    "TrainingData",
    "TrainingSettings",
    "balanced",
    "balanced_logistic",
    "cut_out",
    "describe_samples",
    "fit_prototypes",
    "train_plain",
    "train_scnn",
]

#: Rows of one step of training.
BATCH = 512
WEIGHT_DECAY = 1e-2
#: Directions of the rows with less than this share of a feature's variance are not blown up to unit variance.
VARIANCE_FLOOR = 1e-3
#: Head before it is trained: one for prototypes of its own class, minus a half for the others.
FIRST_HEAD = np.where(np.arange(2)[:, None] == CLASSES, 1.0, -0.5)
HEAD_STEPS, HEAD_RATE = 200, 0.02
CLUSTERING_STEPS = 20
#: A prototype that is the nearest of a smaller share of atoms explains little.
SMALLEST_SHARE = 0.05
#: Two prototypes of one class with a larger cosine are one.
MOST_ALIKE = 0.95
#: Novelty is measured against training data cut into this many slabs if there is only one sample.
SLABS = 5

Progress = Callable[[float, str], None]


class BarrierSample(NamedTuple):
    """A structure, the mean activation energy of its atoms (eV, NaN where unknown) and a name."""

    structure: Structure
    barrier: NDArray[np.float64]
    name: str


@dataclass(frozen=True)
class ScnnDesign:
    """What a model looks at and how large it is.

    Attributes
    ----------
    title, summary : str
        For the card.
    descriptors : {'environment', 'bessel'}
        `EnvironmentDescriptors`, or the published 264 parameters.
    hidden, embedding : int
        Widths of the two layers. The embedding is published, 32; the hidden layer is not.
    activation : {'tanh', 'relu'}
        tanh by default: embeddings without negative components have no negative cosines.
    """

    title: str
    summary: str
    descriptors: str
    hidden: int = 128
    embedding: int = 32
    activation: str = "tanh"


#: The default: descriptors with species-resolved angles, the own species and longer averages.
ENVIRONMENT = ScnnDesign(
    title="activation energy, explained by four atoms",
    summary=(
        "Tells atoms with a high mean activation energy from others by the similarity of their environment to those "
        "of four training atoms, two of each class. Sees the atom's own species, radial sums with four averages "
        "over shells, and components of the species-resolved angular power spectrum with two."
    ),
    descriptors="environment",
)

#: The published descriptors: 264 Bessel and orientation parameters.
PUBLISHED = ScnnDesign(
    title="activation energy, explained by four atoms, from 264 parameters",
    summary=(
        "Tells atoms with a high mean activation energy from others by the similarity of their environment to those "
        "of four training atoms, two of each class. Sees the published 264 Bessel and orientation parameters; kept "
        "for comparison with the literature."
    ),
    descriptors="bessel",
)


@dataclass(frozen=True)
class LossWeights:
    """Weights λ of the terms that are added to the cross-entropy; none is published.

    Attributes
    ----------
    cluster : float
        λ₁, pulls embeddings to the nearest prototype of their class.
    separation : float
        λ₂, pushes them from the nearest prototype of the other class.
    orthogonality : float
        λ₃, keeps the two prototypes of a class apart.
    subspace : float
        λ₄, turns the planes of the two classes away from each other.
    sparsity : float
        λ₅, of the head's weights on prototypes of the other class.
    """

    cluster: float = 0.1
    separation: float = 0.1
    orthogonality: float = 0.005
    subspace: float = 0.001
    sparsity: float = 0.01


class Pass(NamedTuple):
    """Epochs of one pass over the data, and the highest learning rate in it; it falls to zero at the end."""

    epochs: int
    rate: float


@dataclass(frozen=True)
class TrainingSettings:
    """How a model learns.

    Attributes
    ----------
    weights : LossWeights
    separation : {'max', 'min'}
        Which prototype of the other class L_sep takes, the nearest or, as the paper prints, the farthest.
    unit_prototypes : bool
        Whether the losses take directions of the prototypes; the paper normalises embeddings only.
    own_class : bool
        Whether a prototype is replaced by an atom of its own class, or, as published, by any atom.
    high_fraction : float
        Share of the training atoms, those with the highest barriers, that are the class "high".
    fixed_others : bool
        Compare them with one choice of as many other atoms, as published, and not a new one each epoch.
    starts : int
        How often the whole is tried with other random numbers as long as the prototypes explain too little.
    first : Pass
        Stage 1, and the plain networks.
    cycle : Pass
        Stage 2; the learning rate is divided by the number of the cycle.
    most_cycles, patience : int
        Repetitions of stages 2 to 4, and how many without improvement end the training.
    dropout : float
        Share of hidden units left out in a step of training.
    """

    weights: LossWeights = field(default_factory=LossWeights)
    separation: str = "max"
    unit_prototypes: bool = True
    own_class: bool = True
    high_fraction: float = 0.2
    fixed_others: bool = False
    starts: int = 3
    first: Pass = field(default_factory=lambda: Pass(6, 3e-3))
    cycle: Pass = field(default_factory=lambda: Pass(3, 1e-3))
    most_cycles: int = 4
    patience: int = 2
    dropout: float = 0.4


@dataclass(frozen=True, eq=False)
class TrainingData:
    """Descriptor rows of the labelled atoms of all samples, for as many models as wanted.

    Attributes
    ----------
    samples : tuple of BarrierSample
    descriptor : BesselDescriptors or EnvironmentDescriptors
    rows : (M, F) float32 array
    barrier : (M,) array
        eV.
    sample, atom : (M,) int array
        Which atom of which sample a row is.
    left_out : int
        Atoms without a label or without a complete row.
    """

    samples: tuple[BarrierSample, ...]
    descriptor: RowDescriptors
    rows: NDArray[np.float32]
    barrier: NDArray[np.float64]
    sample: NDArray[np.int64]
    atom: NDArray[np.int64]
    left_out: int

    def of_samples(self, numbers: Sequence[int]) -> NDArray[np.int64]:
        """Rows of the samples with these numbers."""
        return np.flatnonzero(np.isin(self.sample, numbers))


def describe_samples(
    samples: Sequence[BarrierSample | tuple[Structure, NDArray, str]],
    design: ScnnDesign = ENVIRONMENT,
    *,
    learned: Sequence[int] | None = None,
    progress: Progress | None = None,
) -> TrainingData:
    """Compute the descriptor rows of labelled samples.

    Parameters
    ----------
    samples : sequence of (Structure, barrier, name)
        Mean activation energy in eV for every atom; NaN where unknown.
    design : ScnnDesign
    learned : sequence of int, optional
        Numbers of the samples that the components of the power spectrum may be fitted to: all by
        default, which is right for training. Leave out those that are kept for testing.
    progress : callable, optional
        Called with the fraction done and a text.

    Raises
    ------
    TrainingError
        For no samples, or labels that do not fit.
    """
    report = progress or _ignore
    checked = tuple(_checked(sample) for sample in samples)
    if not checked:
        raise TrainingError("There are no labelled structures to train on; give at least one file with labels.")
    species = combined_species([sample.structure for sample in checked])
    report(0.0, "fitting the descriptors")
    chosen = range(len(checked)) if learned is None else learned
    descriptor: RowDescriptors
    if design.descriptors == "bessel":
        descriptor = BesselDescriptors(species)
    else:
        descriptor = fit_environments([checked[number].structure for number in chosen], species)
    rows, atoms, barriers, left_out = [], [], [], 0
    for number, sample in enumerate(checked):
        report(0.4 + 0.6 * number / len(checked), f"describing {sample.name}")
        table = descriptor.compute(sample.structure)
        kept = np.flatnonzero(np.isfinite(sample.barrier) & np.isfinite(table).all(axis=1))
        left_out += len(table) - len(kept)
        rows.append(table[kept])
        atoms.append(kept)
        barriers.append(sample.barrier[kept])
    counts = [len(kept) for kept in atoms]
    report(1.0, "described")
    return TrainingData(
        checked,
        descriptor,
        np.concatenate(rows),
        np.concatenate(barriers),
        np.repeat(np.arange(len(checked)), counts),
        np.concatenate(atoms),
        left_out,
    )


def _checked(sample: BarrierSample | tuple[Structure, NDArray, str]) -> BarrierSample:
    structure, barrier, name = sample
    labels = np.asarray(barrier, dtype=np.float64)
    if labels.shape != (len(structure),):
        raise TrainingError(
            f"{name} has labels of shape {labels.shape} for {len(structure)} atoms; give one barrier per atom."
        )
    return BarrierSample(replace(structure, mask=None), labels, name)


@dataclass(frozen=True, eq=False)
class _Rows:
    """Whitened rows and classes, as torch tensors, of the atoms to learn from and of those to stop by."""

    inputs: Any
    high: NDArray[np.bool_]
    barrier: NDArray[np.float64]
    atoms: NDArray[np.int64]  # places in the training data
    unseen: Any
    unseen_high: NDArray[np.bool_]
    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    whitening: NDArray[np.float64]
    threshold: float


def _split(
    data: TrainingData, learned: NDArray[np.int64], validated: NDArray[np.int64], settings: TrainingSettings
) -> _Rows:
    """Classes and whitened rows; the threshold comes from the atoms to learn from."""
    import torch

    barrier = data.barrier[learned]
    if len(barrier) < PROTOTYPES:
        raise TrainingError(f"There are {len(barrier)} labelled atoms; {PROTOTYPES} prototypes need more than that.")
    threshold = float(np.quantile(barrier, 1 - settings.high_fraction))
    high, unseen_high = barrier > threshold, data.barrier[validated] > threshold
    for name, classes in (("training", high), ("validation", unseen_high)):
        fewest = min(np.count_nonzero(classes), np.count_nonzero(~classes))
        if fewest == 0:
            raise TrainingError(
                f"The labels of the {name} atoms are all of one class (barriers {barrier.min():.3g} to "
                f"{barrier.max():.3g} eV); give samples with atoms on both sides of {threshold:.3g} eV."
            )
        if fewest < PROTOTYPES // 2:
            raise TrainingError(
                f"There is {fewest} {name} atom of one class; {PROTOTYPES} prototypes need at least two of each."
            )
    rows = data.rows[learned].astype(np.float64)
    spread = rows.std(axis=0)
    mean, scale = rows.mean(axis=0), np.maximum(spread, 1e-6 * spread.max() + 1e-300)
    variances, axes = np.linalg.eigh(np.cov(((rows - mean) / scale).T))
    whitening = axes / np.sqrt(np.maximum(variances, 0) + VARIANCE_FLOOR)

    def whitened(chosen: NDArray) -> Any:
        return torch.as_tensor((data.rows[chosen] - mean) / scale @ whitening, dtype=torch.float32)

    return _Rows(
        whitened(learned), high, barrier, learned, whitened(validated), unseen_high, mean, scale, whitening, threshold
    )


def _encoder(inputs: int, design: ScnnDesign, dropout: float) -> Any:
    """W_f and W_g with their activations; dropout, active in training only, in between."""
    from torch import nn

    activation = {"tanh": nn.Tanh, "relu": nn.ReLU}[design.activation]
    first, second = nn.Linear(inputs, design.hidden), nn.Linear(design.hidden, design.embedding)
    return nn.Sequential(first, activation(), nn.Dropout(dropout), second, activation())


def balanced(high: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.int64]:
    """Places of all atoms of the rarer class and of as many others."""
    members = [np.flatnonzero(~high), np.flatnonzero(high)]
    count = min(len(chosen) for chosen in members)
    return np.concatenate([rng.choice(chosen, count, replace=False) for chosen in members])


def _fit(
    parameters: Any, loss: Callable[[NDArray], Any], choose: Callable[[], NDArray], part: Pass,
    rng: np.random.Generator, report: Callable[[float], None],
) -> None:  # fmt: skip
    """Minimise `loss` of batches of the rows chosen for each epoch."""
    import torch

    optimiser = torch.optim.AdamW(parameters, lr=part.rate, weight_decay=WEIGHT_DECAY)
    steps = part.epochs * -(-len(choose()) // BATCH)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, part.rate, total_steps=steps + 1, pct_start=0.1)
    for epoch in range(part.epochs):
        report(epoch / part.epochs)
        order = rng.permutation(choose())
        for first in range(0, len(order), BATCH):
            optimiser.zero_grad()
            loss(order[first : first + BATCH]).backward()
            optimiser.step()
            schedule.step()


def _chooser(rows: _Rows, settings: TrainingSettings, rng: np.random.Generator) -> Callable[[], NDArray]:
    """As many atoms of one class as of the other, the same or new ones in each epoch."""
    fixed = balanced(rows.high, rng) if settings.fixed_others else None
    return lambda: balanced(rows.high, rng) if fixed is None else fixed


def _regress(
    encoder: Any, design: ScnnDesign, rows: _Rows, settings: TrainingSettings, rng: np.random.Generator
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
    _fit(parameters, loss, lambda: everything, settings.first, rng, lambda fraction: None)
    return line


class _Scnn:
    """The torch side of a network under training."""

    def __init__(self, rows: _Rows, design: ScnnDesign, settings: TrainingSettings) -> None:
        import torch

        self.rows, self.settings = rows, settings
        self.encoder = _encoder(rows.inputs.shape[1], design, settings.dropout)
        self.prototypes = torch.nn.Parameter(torch.zeros(PROTOTYPES, design.embedding))
        self.head = torch.nn.Parameter(torch.as_tensor(FIRST_HEAD, dtype=torch.float32))
        self.classes = torch.as_tensor(CLASSES)
        self.high = torch.as_tensor(rows.high)
        self.chosen = np.full(PROTOTYPES, -1)

    def embed(self, inputs: Any) -> Any:
        """Embeddings without dropout and without gradients."""
        import torch

        self.encoder.eval()
        with torch.no_grad():
            return torch.cat([self.encoder(part) for part in inputs.split(8192)])

    def cosines(self, embeddings: Any) -> Any:
        from torch.nn.functional import normalize

        return normalize(embeddings) @ normalize(self.prototypes).T

    def start(self, choose: Callable[[], NDArray], rng: np.random.Generator) -> None:
        """Stage 1: an encoder that knows the classes, and two clusters of typical atoms of each as prototypes.

        Typical are those that a plain logit puts on the side of their class. From a random encoder the
        second prototype of a class mostly ends where there are no atoms.
        """
        import torch
        from torch.nn.functional import normalize

        line = torch.nn.Linear(self.prototypes.shape[1], 1)
        network = torch.nn.Sequential(self.encoder, line)
        self.encoder.train()
        _fit(
            network.parameters(), _entropy(network, self.rows), choose, self.settings.first, rng, lambda fraction: None
        )
        embeddings = self.embed(self.rows.inputs)
        with torch.no_grad():
            looks_high = (line(embeddings)[:, 0] > 0).numpy()
        for number in (0, 1):
            own = self.rows.high == bool(number)
            typical = own & (looks_high == bool(number))
            chosen = np.flatnonzero(typical if np.count_nonzero(typical) >= 2 else own)
            self.prototypes.data[self.classes == number] = _two_clusters(normalize(embeddings[chosen]), rng)

    def loss(self, batch: NDArray) -> Any:
        """Cross-entropy and the four losses on directions, for one batch."""
        from torch.nn.functional import cross_entropy, normalize

        weights, settings = self.settings.weights, self.settings
        self.encoder.train()
        units = normalize(self.encoder(self.rows.inputs[batch]))
        directions = normalize(self.prototypes)
        targets = self.high[batch].long()
        total = cross_entropy(units @ directions.T @ self.head.T, targets)
        vectors = directions if settings.unit_prototypes else self.prototypes
        closeness = units @ vectors.T
        own = self.classes == targets[:, None]
        worst = -np.inf if settings.separation == "max" else np.inf
        other = closeness.masked_fill(own, worst)
        nearest_other = other.amax(dim=1) if settings.separation == "max" else other.amin(dim=1)
        total = total - weights.cluster * closeness.masked_fill(~own, -np.inf).amax(dim=1).mean()
        total = total + weights.separation * nearest_other.mean()
        low, high = vectors[self.classes == 0], vectors[self.classes == 1]
        return total + weights.orthogonality * _not_orthogonal(low, high) + weights.subspace * _same_plane(low, high)

    def become_atoms(self) -> None:
        """Stage 3: each prototype becomes the embedding of the most similar atom, no two the same one."""
        embeddings = self.embed(self.rows.inputs)
        closeness = self.cosines(embeddings).detach().numpy()
        taken: list[int] = []
        for number in range(PROTOTYPES):
            values = closeness[:, number].copy()
            if self.settings.own_class:
                values[self.rows.high != bool(CLASSES[number])] = -np.inf
            values[taken] = -np.inf
            taken.append(int(values.argmax()))
        self.chosen = np.array(taken)
        self.prototypes.data.copy_(embeddings[taken])

    def fit_head(self, chosen: NDArray) -> None:
        """Stage 4: cross-entropy of the chosen rows and sparsity, over the head alone."""
        import torch

        similarities = self.cosines(self.embed(self.rows.inputs[chosen])).detach()
        targets = self.high[chosen].long()
        foreign = self.classes != torch.arange(2)[:, None]
        optimiser = torch.optim.Adam([self.head], lr=HEAD_RATE)
        for _ in range(HEAD_STEPS):
            optimiser.zero_grad()
            loss = torch.nn.functional.cross_entropy(similarities @ self.head.T, targets)
            (loss + self.settings.weights.sparsity * self.head[foreign].abs().sum()).backward()
            optimiser.step()

    def logits(self, inputs: Any) -> NDArray[np.float64]:
        """High minus low."""
        similarities = self.cosines(self.embed(inputs)).detach()
        return (similarities @ (self.head[1] - self.head[0]).detach()).numpy().astype(np.float64)

    def is_sound(self) -> bool:
        """Whether the prototypes explain: each the nearest of enough atoms to learn from, the classes opposed."""
        nearest = self.cosines(self.embed(self.rows.inputs)).argmax(dim=1).numpy()
        counts = np.bincount(nearest, minlength=PROTOTYPES)
        cosines = self.cosines(self.prototypes).detach().numpy()
        opposed = cosines[np.ix_(CLASSES == 0, CLASSES == 1)].max() < 0
        within = cosines[[0, 2], [1, 3]]
        distinct = within.min() >= 0 and within.max() < MOST_ALIKE
        return bool((counts >= SMALLEST_SHARE * len(nearest)).all() and opposed and distinct)

    def state(self) -> dict[str, Any]:
        """A copy of everything that training changes."""
        return copy.deepcopy({"encoder": self.encoder.state_dict(), "prototypes": self.prototypes.data,
                              "head": self.head.data, "chosen": self.chosen})  # fmt: skip


def _two_clusters(units: Any, rng: np.random.Generator) -> Any:
    """Directions of two clusters of directions."""
    import torch
    from torch.nn.functional import normalize

    centres = units[rng.choice(len(units), 2, replace=False)]
    for _ in range(CLUSTERING_STEPS):
        nearest = (units @ centres.T).argmax(dim=1)
        sums = torch.stack([units[nearest == k].sum(dim=0) for k in (0, 1)])
        centres = torch.where(sums.norm(dim=1, keepdim=True) > 0, normalize(sums), centres)
    return centres


def _entropy(network: Any, rows: _Rows) -> Callable[[NDArray], Any]:
    """Cross-entropy of one plain logit."""
    import torch

    targets = torch.as_tensor(rows.high, dtype=torch.float32)
    measure = torch.nn.functional.binary_cross_entropy_with_logits
    return lambda batch: measure(network(rows.inputs[batch])[:, 0], targets[batch])


def _not_orthogonal(low: Any, high: Any) -> Any:
    """L_orth: sum over the classes of ‖S_cᵀ S_c − I‖²."""
    import torch

    return sum(((vectors @ vectors.T - torch.eye(len(vectors))) ** 2).sum() for vectors in (low, high))


def _same_plane(low: Any, high: Any) -> Any:
    """L_sub: −(1/√2) ‖S₀ S₀ᵀ − S₁ S₁ᵀ‖²."""
    return -((low.T @ low - high.T @ high) ** 2).sum() / np.sqrt(2)


def train_scnn(
    data: TrainingData,
    learned: NDArray[np.int64],
    validated: NDArray[np.int64],
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seed: int = 1,
    training: Mapping[str, Any] | None = None,
    results: Sequence[ResultTable] = (),
    progress: Progress | None = None,
) -> ScnnModel:
    """Train a prototype network.

    Parameters
    ----------
    data : TrainingData
        What `describe_samples` returned for the same design.
    learned, validated : int arrays
        Rows to learn from, and rows that stop the training and calibrate the probability; best
        those of other samples.
    design : ScnnDesign
    settings : TrainingSettings, optional
        The defaults were chosen by validation.
    seed : int
        Of weights, order and the choice of atoms. Fixed beforehand, never tuned.
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
    settings, report = settings or TrainingSettings(), progress or _ignore
    fitted = fit_prototypes(data, learned, validated, design=design, settings=settings, seed=seed, progress=report)
    report(0.9, "measuring where the training data lie")
    samples = np.unique(data.sample[learned])
    prototypes = tuple(_prototype(data, int(place)) for place in fitted.places)
    network = _with_exact_prototypes(fitted.network, data.descriptor, prototypes)
    score = _extrapolation(data, samples)
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
    progress: Progress | None = None,
) -> FittedPrototypes:
    """The network alone, as `train_scnn` makes it: all that comparisons on descriptor rows need."""
    settings = settings or TrainingSettings()
    rows = _split(data, learned, validated, settings)
    scnn, cycles, calibration = _train(rows, design, settings, seed, progress or _ignore)
    return FittedPrototypes(_network(scnn, rows, design, calibration), rows.atoms[scnn.chosen], rows.threshold, cycles)


def _train(
    rows: _Rows, design: ScnnDesign, settings: TrainingSettings, seed: int, report: Progress
) -> tuple[_Scnn, int, NDArray[np.float64]]:
    """Stages 1 to 4; the network of the best cycle, the number of that and its calibration."""
    import torch

    best: tuple[tuple[bool, float], _Scnn, int, NDArray[np.float64]] | None = None
    for start in range(settings.starts):

        def part(fraction: float, text: str, start: int = start) -> None:
            report(0.9 * (start + fraction) / settings.starts, f"start {start + 1}, {text}")

        with torch.random.fork_rng(devices=[]), _one_thread():
            torch.manual_seed(1000 * seed + start)
            found = _train_once(rows, design, settings, np.random.default_rng((seed, start)), part)
        if best is None or found[0] > best[0]:
            best = found
        if best[0][0]:
            break
    return best[1:]  # type: ignore[index]


def _train_once(
    rows: _Rows, design: ScnnDesign, settings: TrainingSettings, rng: np.random.Generator, report: Progress
) -> tuple[tuple[bool, float], _Scnn, int, NDArray[np.float64]]:
    """One start and its cycles; whether the best one is sound, with its area, comes first."""
    choose = _chooser(rows, settings, rng)
    scnn = _Scnn(rows, design, settings)
    report(0.0, "initialising")
    scnn.start(choose, rng)
    best, best_cycle, best_state = (False, -1.0), 0, scnn.state()
    calibration = np.array([1.0, 0.0])
    for cycle in range(settings.most_cycles):
        report((cycle + 1) / (settings.most_cycles + 1), f"cycle {cycle + 1}, best validation AUC {best[1]:.3f}")
        scnn.head.requires_grad_(False)
        step = settings.cycle._replace(rate=settings.cycle.rate / (1 + cycle))
        _fit([*scnn.encoder.parameters(), scnn.prototypes], scnn.loss, choose, step, rng, lambda fraction: None)
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


def _network(scnn: _Scnn, rows: _Rows, design: ScnnDesign, calibration: NDArray[np.float64]) -> PrototypeNetwork:
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


def cut_out(structure: Structure, atom: int, radius: float, species: tuple[str, ...]) -> Structure:
    """An atom, which comes first, and all atoms within a radius, nearest first, as an open cluster around the origin.

    Parameters
    ----------
    structure : Structure
    atom : int
    radius : float
        May be larger than the cell, whose atoms then appear several times.
    species : tuple of str
        Order of the species of the cluster.
    """
    cells = build_cell_list(structure, radius)
    grid = cells.grid
    centre = cells.order[grid.atom[cells.order] == atom][0]
    vectors = np.column_stack([axis - axis[centre] for axis in (grid.x, grid.y, grid.z)])
    distances = np.linalg.norm(vectors, axis=1)
    near = np.flatnonzero(distances < radius)
    near = near[np.argsort(distances[near], kind="stable")]
    members = grid.atom[near]
    names = [structure.species_names[kind] for kind in structure.species[members]]
    return Structure(vectors[near], [species.index(name) for name in names], species)


def _with_exact_prototypes(
    network: PrototypeNetwork, descriptor: RowDescriptors, prototypes: Sequence[Prototype]
) -> PrototypeNetwork:
    """The network with prototypes embedded in double precision, so that anybody finds the same numbers."""
    exact = in_double_precision(descriptor)
    rows = [exact.compute(centre_of(prototype.environment)) for prototype in prototypes]
    return replace(network, prototypes=network.embed(np.concatenate(rows)))


def _extrapolation(data: TrainingData, samples: NDArray[np.int64]) -> ExtrapolationScore:
    """Where the rows of the training samples lie; a single sample is cut into slabs."""
    structures = [data.samples[number].structure for number in samples]
    rows, parts = [], []
    for number, structure in zip(samples, structures, strict=True):
        rows.append(data.descriptor.compute(structure).astype(np.float64))
        if len(samples) > 1:
            parts.append(np.full(len(structure), number))
        else:
            heights = structure.positions[:, 0]
            parts.append(np.argsort(np.argsort(heights, kind="stable")) * SLABS // len(structure))
    members = [{ANY_SPECIES: np.arange(len(structure))} for structure in structures]
    return fit_extrapolation(structures, rows, members, parts)


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
            "high_barrier": f"above {fitted.threshold:.4g} eV, the highest {100 * settings.high_fraction:g} % of all",
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
    )


REFERENCES = (
    "Structural constraint neural network: prototypes that are real atoms, 264 Bessel and orientation parameters, "
    "metallic glasses.",
    "M. I. Mendelev, D. J. Sordelet, M. J. Kramer, J. Appl. Phys. 102, 043501 (2007): the interatomic potential.",
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
    rows = _split(data, learned, validated, settings)
    rng = np.random.default_rng(seed)
    with torch.random.fork_rng(devices=[]), _one_thread():
        torch.manual_seed(seed)
        encoder = _encoder(rows.inputs.shape[1], design, settings.dropout)
        if regression:
            network = torch.nn.Sequential(encoder, _regress(encoder, design, rows, settings, rng))
        else:
            network = _classify(encoder, design, rows, settings, rng)
        network.eval()
    spread, mean = (float(rows.barrier.std()), float(rows.barrier.mean())) if regression else (1.0, 0.0)

    def predict(table: NDArray) -> NDArray[np.float64]:
        inputs = torch.as_tensor((table - rows.mean) / rows.scale @ rows.whitening, dtype=torch.float32)
        with torch.no_grad(), _one_thread():
            return network(inputs)[:, 0].numpy().astype(np.float64) * spread + mean

    return PlainNetwork(predict)


def _classify(
    encoder: Any, design: ScnnDesign, rows: _Rows, settings: TrainingSettings, rng: np.random.Generator
) -> Any:
    """Encoder and one plain logit, trained in the same cycles as a prototype network."""
    import torch

    choose = _chooser(rows, settings, rng)
    network = torch.nn.Sequential(encoder, torch.nn.Linear(design.embedding, 1))
    best, best_state = -1.0, copy.deepcopy(network.state_dict())
    for cycle in range(settings.most_cycles):
        network.train()
        step = settings.first._replace(rate=settings.first.rate / (1 + cycle))
        _fit(network.parameters(), _entropy(network, rows), choose, step, rng, lambda fraction: None)
        network.eval()
        with torch.no_grad():
            logits = network(rows.unseen)[:, 0].numpy().astype(np.float64)
        area = area_under_roc(logits[~rows.unseen_high], logits[rows.unseen_high])
        if area <= best:
            break
        best, best_state = area, copy.deepcopy(network.state_dict())
    network.load_state_dict(best_state)
    return network


@contextmanager
def _one_thread() -> Iterator[None]:
    """Small networks are faster, and equal on every machine, on one thread."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _ignore(fraction: float, text: str) -> None:
    """Stand in for a progress callback."""
