"""The prototype network under training: its losses and its stages, in torch. Needs the extra `train`."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.prototypes.data import ScnnDesign, TrainingData
from ovito_glassml.learn.prototypes.model import CLASSES, PROTOTYPES
from ovito_glassml.progress import silent

__all__ = [
    "FIRST_HEAD",
    "LossWeights",
    "Pass",
    "PrototypesInTraining",
    "TrainingSettings",
    "WhitenedRows",
    "balanced",
    "chooser",
    "encoder_of",
    "entropy",
    "fit",
    "split",
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
    """Steps of one pass, a batch each, and the highest learning rate in it; it falls to zero at the end.

    Steps and not epochs, so that a small set of data is learned from as long as a large one.
    """

    steps: int
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
    starts: int = 5
    first: Pass = field(default_factory=lambda: Pass(200, 3e-3))
    cycle: Pass = field(default_factory=lambda: Pass(100, 1e-3))
    most_cycles: int = 4
    patience: int = 2
    dropout: float = 0.4


@dataclass(frozen=True, eq=False)
class WhitenedRows:
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


def split(
    data: TrainingData, learned: NDArray[np.int64], validated: NDArray[np.int64], settings: TrainingSettings
) -> WhitenedRows:
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

    return WhitenedRows(
        whitened(learned), high, barrier, learned, whitened(validated), unseen_high, mean, scale, whitening, threshold
    )


def encoder_of(inputs: int, design: ScnnDesign, dropout: float) -> Any:
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


def fit(
    parameters: Any, loss: Callable[[NDArray], Any], choose: Callable[[], NDArray], part: Pass,
    rng: np.random.Generator, report: Callable[[float], None],
) -> None:  # fmt: skip
    """Minimise `loss` of batches of the rows, chosen anew whenever all have been seen."""
    import torch

    optimiser = torch.optim.AdamW(parameters, lr=part.rate, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, part.rate, total_steps=part.steps + 1, pct_start=0.1)
    batches: list[NDArray] = []
    for step in range(part.steps):
        if not batches:
            report(step / part.steps)
            order = rng.permutation(choose())
            batches = [order[first : first + BATCH] for first in range(0, len(order), BATCH)]
        optimiser.zero_grad()
        loss(batches.pop(0)).backward()
        optimiser.step()
        schedule.step()


def chooser(rows: WhitenedRows, settings: TrainingSettings, rng: np.random.Generator) -> Callable[[], NDArray]:
    """As many atoms of one class as of the other, the same or new ones in each epoch."""
    fixed = balanced(rows.high, rng) if settings.fixed_others else None
    return lambda: balanced(rows.high, rng) if fixed is None else fixed


class PrototypesInTraining:
    """The torch side of a network under training."""

    def __init__(self, rows: WhitenedRows, design: ScnnDesign, settings: TrainingSettings) -> None:
        import torch

        self.rows, self.settings = rows, settings
        self.encoder = encoder_of(rows.inputs.shape[1], design, settings.dropout)
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
        fit(network.parameters(), entropy(network, self.rows), choose, self.settings.first, rng, silent)
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


def entropy(network: Any, rows: WhitenedRows) -> Callable[[NDArray], Any]:
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
