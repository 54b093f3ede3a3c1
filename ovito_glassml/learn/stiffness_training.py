"""Training of stiffness models on labelled structures. Needs the extra `train`."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.angles import AngularSums
from ovito_glassml.learn.extrapolation import fit_extrapolation
from ovito_glassml.learn.model_file import ModelHeader, ResultTable
from ovito_glassml.learn.shells import gaussians
from ovito_glassml.learn.stiffness import (
    ANY_SPECIES,
    KIND,
    Head,
    LocalFeatures,
    NeighbourStiffness,
    StiffnessModel,
)
from ovito_glassml.learn.torch_threads import one_torch_thread
from ovito_glassml.structure import Structure, combined_species
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "BY_SPECIES",
    "PUBLISHED",
    "LabelledSample",
    "ModelDesign",
    "scan_networks",
    "train",
]

#: Strengths of ridge regression that cross-validation chooses from, per training atom.
RIDGE_STRENGTHS = tuple(10.0**exponent for exponent in np.arange(-5, 0.1, 0.5))
#: Relative increase of the squared error that weaker regularisation is worth.
RIDGE_TOLERANCE = 0.02
RADIAL_POINTS = 1601
#: Radial functions of the angular sums, as fractions of their cutoff: 2.6 and 3.2 Å for 4.5 Å.
ANGULAR_CENTRES = np.array([0.58, 0.71])
ANGULAR_WIDTH = 0.078
#: Number of cross-validation folds, as published.
FOLDS = 5

Progress = Callable[[float, str], None]


class LabelledSample(NamedTuple):
    """A structure, the measured stiffness of its atoms (eV/Å², NaN where unknown) and a name."""

    structure: Structure
    stiffness: NDArray[np.float64]
    name: str


@dataclass(frozen=True)
class ModelDesign:
    """What a model looks at and how large it is.

    Attributes
    ----------
    title, summary : str
        For the card.
    r_min, r_max, bin_width : float
        Range and bins of the radial histogram, Å.
    by_species : bool
        Partial histograms and one head for each species; otherwise all atoms are alike.
    spacing, width : float or None
        Distance between, and standard deviation of, the smooth functions that gather the fine
        bins, Å; None keeps the bins.
    angular_cutoff : float or None
        Å up to which the angles between bonds are inputs; None leaves them out.
    neighbour_cutoff : float or None
        Å up to which the bare stiffness of neighbours is an input; None leaves it out.
    neighbour_functions : int
        Number of radial functions that weight the neighbours' bare stiffness.
    hidden : int
        Width of the networks.
    linear : bool
        A linear part under the networks, which then learn what is left.
    extrapolation_radius : float
        Å over which the extrapolation score averages. The default, 8, holds some 120 atoms.
    """

    title: str
    summary: str
    r_min: float
    r_max: float
    bin_width: float
    by_species: bool
    spacing: float | None
    width: float | None
    angular_cutoff: float | None
    neighbour_cutoff: float | None
    neighbour_functions: int
    hidden: int
    linear: bool
    extrapolation_radius: float = 8.0


#: The published network: 40 species-blind values, 200 hidden units.
PUBLISHED = ModelDesign(
    title="vibrational stiffness from the radial distribution function",
    summary=(
        "Predicts the vibrational stiffness of every atom from its radial distribution function alone, "
        "40 values blind to species, with a network of one hidden layer. Kept for comparison with the "
        "literature; the model that sees species is much better."
    ),
    r_min=2.0,
    r_max=10.0,
    bin_width=0.2,
    by_species=False,
    spacing=None,
    width=None,
    angular_cutoff=None,
    neighbour_cutoff=None,
    neighbour_functions=0,
    hidden=200,
    linear=False,
)

#: The default: smooth partial radial functions, angles, the bare stiffness of the neighbours, a head for each species.
BY_SPECIES = ModelDesign(
    title="vibrational stiffness from structure and species",
    summary=(
        "Predicts the vibrational stiffness of every atom from its own species, smooth radial functions of its "
        "neighbours by species, the angles between its nearest bonds, and a first estimate of its neighbours' "
        "stiffness. A linear part and small networks for each species add up."
    ),
    r_min=1.6,
    r_max=10.0,
    bin_width=0.05,
    by_species=True,
    spacing=0.2,
    width=0.15,
    angular_cutoff=4.5,
    neighbour_cutoff=6.0,
    neighbour_functions=4,
    hidden=32,
    linear=True,
)


class _Data(NamedTuple):
    """Everything about the training samples that the steps of training share."""

    samples: Sequence[LabelledSample]
    species: tuple[str, ...]
    rows: list[NDArray]  # local inputs of all atoms, one array a sample
    members: list[dict[str, NDArray]]  # atoms of every head, one dictionary a sample
    folds: list[NDArray]  # cross-validation fold of every atom, -1 without a label


# Many small products, for which more threads are slower.
@one_blas_thread()
def train(
    samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]],
    *,
    design: ModelDesign = BY_SPECIES,
    seed: int = 1,
    training: Mapping[str, Any] | None = None,
    results: Sequence[ResultTable] = (),
    progress: Progress | None = None,
) -> StiffnessModel:
    """Train a stiffness model.

    Five members are trained, each on four fifths of the data and stopped when the last fifth is
    predicted best; the model is their mean. The fifths are whole samples where there are at least
    five, otherwise slabs of every sample, so that few neighbours are shared.

    Parameters
    ----------
    samples : sequence of (Structure, stiffness, name)
        Stiffness in eV/Å² for every atom; NaN where unknown.
    design : ModelDesign
        `BY_SPECIES` (default) or `PUBLISHED`, or one of your own.
    seed : int
        Of the networks' weights. Fixed beforehand, never tuned.
    training : mapping, optional
        How the data were made, for the card.
    results : sequence of ResultTable
        Held-out scores, for the card.
    progress : callable, optional
        Called with the fraction done and a text that says how much time is left.

    Returns
    -------
    StiffnessModel

    Raises
    ------
    TrainingError
        For no samples, labels that do not fit, or too few labelled atoms of a species.
    """
    clock = _Clock(progress)
    checked = _checked(samples)
    data = _prepare(checked, design, clock)
    neighbours, inputs = _add_neighbours(data, design, clock)
    heads = {}
    names = tuple(data.members[0])
    for number, name in enumerate(names):
        start = 0.3 + 0.65 * number / len(names)
        heads[name] = _train_head(data, inputs, name, design, seed, clock.part(start, start + 0.65 / len(names)))
    clock(0.95, "measuring where the training data lie")
    structures, radius = [sample.structure for sample in checked], design.extrapolation_radius
    score = fit_extrapolation(structures, data.rows, data.members, data.folds, radius=radius)
    header = _header(design, data, score.radius, training or {}, results)
    clock(1.0, "done")
    return StiffnessModel(header, _features(design, data.species), neighbours, heads, score)


def scan_networks(
    samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]],
    *,
    seed: int = 1,
    progress: Progress | None = None,
) -> ResultTable:
    """Cross-validated scores of other activations, depths and widths of the published network.

    Parameters
    ----------
    samples : sequence of (Structure, stiffness, name)
        Training samples.
    seed : int
        Of the networks' weights.
    progress : callable, optional
        Fraction and text.

    Returns
    -------
    ResultTable
        Pearson R of the fold that each network has not seen, mean over the folds.
    """
    clock = _Clock(progress)
    data = _prepare(_checked(samples), PUBLISHED, clock)
    inputs, targets, folds = _gathered(data, data.rows, ANY_SPECIES)
    variants = [("ReLU", 1, width) for width in (25, 50, 100, 200, 400)]
    variants += [("sigmoid", 1, 200), ("tanh", 1, 200), ("ReLU", 2, 200), ("ReLU", 3, 200)]
    rows = []
    for number, (activation, layers, width) in enumerate(variants):
        clock(0.3 + 0.7 * number / len(variants), f"{layers} x {width} {activation}")
        scores = []
        mean, scale = _standardisation(inputs)
        for fold in range(FOLDS):
            held = folds == fold
            network = _fit_network((inputs - mean) / scale, targets, held, (activation, layers, width), seed + fold)
            scores.append(np.corrcoef(network((inputs[held] - mean) / scale), targets[held])[0, 1])
        rows.append((f"{activation}, {layers} hidden", width, float(np.mean(scores))))
    clock(1.0, "done")
    return ResultTable(
        "Networks on the species-blind RDF, cross-validated R",
        ("network", "width", "R"),
        tuple(rows),
        f"Mean of {FOLDS} folds of {', '.join(sample.name for sample in data.samples)}.",
    )


def _checked(samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]]) -> list[LabelledSample]:
    if not samples:
        raise TrainingError("There are no labelled structures to train on; give at least one file with labels.")
    checked = []
    for structure, stiffness, name in samples:
        labels = np.asarray(stiffness, dtype=np.float64)
        if labels.shape != (len(structure),):
            raise TrainingError(
                f"{name} has labels of shape {labels.shape} for {len(structure)} atoms; give one stiffness per atom."
            )
        if np.isfinite(labels).sum() < 100:
            raise TrainingError(
                f"{name} has {int(np.isfinite(labels).sum())} atoms with a finite stiffness; "
                "leave this sample out, or give one with at least 100."
            )
        checked.append(LabelledSample(replace(structure, mask=None), labels, name))
    return checked


def _prepare(samples: list[LabelledSample], design: ModelDesign, clock: _Clock) -> _Data:
    """Descriptor rows, heads and folds."""
    species = combined_species([sample.structure for sample in samples])
    features = _features(design, species)
    rows, members = [], []
    for number, sample in enumerate(samples):
        clock(0.2 * number / len(samples), f"describing {sample.name}")
        table = np.empty((len(sample.structure), features.width))
        for indices, block in features.iterate_blocks(sample.structure):
            table[indices] = block
        rows.append(table)
        members.append(_members(sample.structure, species, design.by_species))
    data = _Data(samples, species, rows, members, _folds(samples))
    for name in members[0]:
        _, targets, folds = _gathered(data, rows, name)
        counts = np.bincount(folds, minlength=FOLDS)
        if counts.min() < 20:
            raise TrainingError(
                f"There are only {len(targets)} labelled atoms of species {name}; give at least 20 for each of "
                f"the {FOLDS} parts of cross-validation."
            )
    return data


def _features(design: ModelDesign, species: tuple[str, ...]) -> LocalFeatures:
    partial = species if design.by_species else None
    if design.spacing is None or design.width is None:
        return LocalFeatures(RDFDescriptors(design.r_min, design.r_max, design.bin_width, partial))
    # Numbers of neighbours do not depend on a density, so free surfaces need no extra care.
    descriptor = RDFDescriptors(design.r_min, design.r_max, design.bin_width, partial, number_density=1.0)
    radii = descriptor.radii
    centres = np.arange(2.0, design.r_max, design.spacing)
    neighbours_per_bin = 4 * np.pi * radii**2 * design.bin_width
    table = neighbours_per_bin[:, None] * gaussians(radii, centres, design.width, design.r_max)
    return LocalFeatures(descriptor, table, _angles(design, species))


def _angles(design: ModelDesign, species: tuple[str, ...]) -> AngularSums | None:
    """Angles between the bonds of the inner and the outer half of the first shell."""
    if design.angular_cutoff is None:
        return None
    centres = design.angular_cutoff * ANGULAR_CENTRES
    table = gaussians(
        np.linspace(0, design.angular_cutoff, RADIAL_POINTS),
        centres,
        design.angular_cutoff * ANGULAR_WIDTH,
        design.angular_cutoff,
    )
    return AngularSums(design.angular_cutoff, table, species)


def _members(structure: Structure, species: tuple[str, ...], by_species: bool) -> dict[str, NDArray]:
    if not by_species:
        return {ANY_SPECIES: np.arange(len(structure))}
    kind_of = {name: kind for kind, name in enumerate(structure.species_names)}
    return {name: np.flatnonzero(structure.species == kind_of.get(name, -1)) for name in species}


def _folds(samples: Sequence[LabelledSample]) -> list[NDArray]:
    """Fold of every atom: whole samples if there are enough, otherwise slabs across the longest cell vector."""
    folds = []
    for number, sample in enumerate(samples):
        fold = np.full(len(sample.structure), -1)
        labelled = np.flatnonzero(np.isfinite(sample.stiffness))
        if len(samples) >= FOLDS:
            fold[labelled] = number % FOLDS
        else:
            heights = sample.structure.positions[labelled] @ _longest_direction(sample.structure)
            order = labelled[np.argsort(heights, kind="stable")]
            fold[order] = np.arange(len(order)) * FOLDS // len(order)
        folds.append(fold)
    return folds


def _longest_direction(structure: Structure) -> NDArray:
    vectors = np.diag(np.ptp(structure.positions, axis=0)) if structure.cell is None else structure.cell
    lengths = np.linalg.norm(vectors, axis=1)
    return vectors[np.argmax(lengths)] / lengths.max()


def _gathered(data: _Data, tables: Sequence[NDArray], name: str) -> tuple[NDArray, NDArray, NDArray]:
    """Inputs, labels and folds of all labelled atoms of one head."""
    inputs, targets, folds = [], [], []
    for sample, table, members, fold in zip(data.samples, tables, data.members, data.folds, strict=True):
        chosen = members[name][fold[members[name]] >= 0]
        inputs.append(table[chosen])
        targets.append(sample.stiffness[chosen])
        folds.append(fold[chosen])
    return np.concatenate(inputs), np.concatenate(targets), np.concatenate(folds)


def _add_neighbours(
    data: _Data, design: ModelDesign, clock: _Clock
) -> tuple[NeighbourStiffness | None, Sequence[NDArray]]:
    """Fit the bare stiffness and append its sums over neighbours to the inputs.

    For training, an atom's bare stiffness comes from a fit that has not seen its fold.
    """
    if design.neighbour_cutoff is None:
        return None, data.rows
    clock(0.2, "fitting the bare stiffness")
    coefficients = {}
    bare = [np.zeros(len(sample.structure)) for sample in data.samples]
    for name in data.species:
        inputs, targets, folds = _gathered(data, data.rows, name)
        mean, scale = _standardisation(inputs)
        strength = _ridge_strength((inputs - mean) / scale, targets, folds)
        weights = _ridge((inputs - mean) / scale, targets, strength)
        coefficients[name] = _unstandardised(weights, mean, scale)
        by_fold = [_ridge((inputs - mean) / scale, targets, strength, folds != fold) for fold in range(FOLDS)]
        for values, table, members, fold in zip(bare, data.rows, data.members, data.folds, strict=True):
            chosen = members[name]
            values[chosen] = ((table[chosen] - mean) / scale) @ weights[0]
            for number, held_out in enumerate(by_fold):
                held = chosen[fold[chosen] == number]
                values[held] = ((table[held] - mean) / scale) @ held_out[0]
    radii = np.linspace(0, design.neighbour_cutoff, RADIAL_POINTS)
    centres = np.linspace(2.5, design.neighbour_cutoff - 0.5, design.neighbour_functions)
    table = gaussians(radii, centres, 0.6 * (centres[1] - centres[0]), design.neighbour_cutoff)
    neighbours = NeighbourStiffness(design.neighbour_cutoff, table, coefficients)
    inputs_by_sample = []
    for number, (sample, rows, values) in enumerate(zip(data.samples, data.rows, bare, strict=True)):
        clock(0.22 + 0.08 * number / len(data.samples), f"neighbours in {sample.name}")
        inputs_by_sample.append(np.concatenate([rows, neighbours.inputs(sample.structure, values)], axis=1))
    return neighbours, inputs_by_sample


def _standardisation(inputs: NDArray) -> tuple[NDArray, NDArray]:
    spread = inputs.std(axis=0)
    # A function that hardly ever sees a neighbour would blow up the few times it does.
    return inputs.mean(axis=0), np.maximum(spread, 0.1 * spread.max())


def _ridge(
    standard: NDArray, targets: NDArray, strength: float, chosen: NDArray | slice = slice(None)
) -> tuple[NDArray, float]:
    """Weights and constant of ridge regression on the chosen rows."""
    rows, values = standard[chosen], targets[chosen]
    centre, mean = rows.mean(axis=0), float(values.mean())
    rows = rows - centre
    gram = rows.T @ rows + strength * len(rows) * np.eye(rows.shape[1])
    weights = np.linalg.solve(gram, rows.T @ (values - mean))
    return weights, mean - float(centre @ weights)


def _ridge_strength(standard: NDArray, targets: NDArray, folds: NDArray) -> float:
    """The weakest strength whose cross-validated error is, within a tolerance, the smallest.

    Strong regularisation suppresses the small shifts that whole regions share, and with them the
    differences between averages over regions, long before the error of single atoms shows it.
    """
    errors = []
    for strength in RIDGE_STRENGTHS:
        error = 0.0
        for fold in range(FOLDS):
            weights, constant = _ridge(standard, targets, strength, folds != fold)
            held = folds == fold
            error += float(((standard[held] @ weights + constant - targets[held]) ** 2).sum())
        errors.append(error)
    good = np.flatnonzero(np.array(errors) <= min(errors) * (1 + RIDGE_TOLERANCE))
    return RIDGE_STRENGTHS[int(good[0])]


def _unstandardised(weights: tuple[NDArray, float], mean: NDArray, scale: NDArray) -> NDArray:
    """Coefficients for raw inputs whose result is the deviation from the mean; the constant last."""
    raw = weights[0] / scale
    return np.append(raw, -mean @ raw)


def _train_head(
    data: _Data, inputs: Sequence[NDArray], name: str, design: ModelDesign, seed: int, clock: _Clock
) -> Head:
    """One member for each fold: linear part, then a network for what is left."""
    rows, targets, folds = _gathered(data, inputs, name)
    mean, scale = _standardisation(rows)
    standard = (rows - mean) / scale
    strength = _ridge_strength(standard, targets, folds) if design.linear else 0.0
    members: list[dict[str, NDArray]] = []
    linear, offset = np.zeros(standard.shape[1]), 0.0
    for fold in range(FOLDS):
        clock(fold / FOLDS, f"training member {fold + 1} of {FOLDS} for species {name}")
        held = folds == fold
        constant = float(targets[~held].mean())
        weights = np.zeros_like(linear)
        if design.linear:
            weights, constant = _ridge(standard, targets, strength, ~held)
        rest = targets - standard @ weights - constant
        network = _fit_network(standard, rest, held, ("ReLU", 1, design.hidden), seed + fold)
        members.append(network.layers())
        linear += weights / FOLDS
        offset += constant / FOLDS
    stacked = {item: np.stack([member[item] for member in members]) for item in members[0]}
    return Head(mean, scale, linear, np.array(offset), **stacked)


#: Early stopping: rounds without improvement, and rounds at most.
PATIENCE, MAX_ROUNDS = 10, 100
BATCH = 256
LEARNING_RATE = 2e-3
WEIGHT_DECAY = 1e-3


class _Network:
    """A trained torch network of scaled targets."""

    def __init__(self, module: Any, scale: float) -> None:
        self.module, self.scale = module, scale

    def __call__(self, standard: NDArray) -> NDArray[np.float64]:
        import torch

        with torch.no_grad():
            result = self.module(torch.as_tensor(standard, dtype=torch.float32))
        return result[:, 0].numpy().astype(np.float64) * self.scale

    def layers(self) -> dict[str, NDArray]:
        """Weights of a network of one hidden layer, as `Head` stores them."""
        first, last = self.module[0], self.module[-1]
        return {
            "hidden": first.weight.detach().numpy().T.astype(np.float32),
            "hidden_bias": first.bias.detach().numpy().astype(np.float32),
            "output": (last.weight.detach().numpy()[0] * self.scale).astype(np.float32),
            "output_bias": np.float32(last.bias.detach().numpy()[0] * self.scale),
        }


def _fit_network(
    standard: NDArray, targets: NDArray, held: NDArray, shape: tuple[str, int, int], seed: int
) -> _Network:
    """Fit a network to the rows outside `held`; keep the round that predicts those in `held` best.

    The last layer starts at zero, so the network begins as the constant it is added to and can
    only improve on it.
    """
    import torch

    activation, layers, width = shape
    function = {"ReLU": torch.nn.ReLU, "sigmoid": torch.nn.Sigmoid, "tanh": torch.nn.Tanh}[activation]
    generator = torch.Generator().manual_seed(seed)
    scale = float(targets[~held].std()) or 1.0
    with torch.random.fork_rng(devices=[]), one_torch_thread():
        torch.manual_seed(seed)
        modules: list[Any] = []
        previous = standard.shape[1]
        for _ in range(layers):
            modules += [torch.nn.Linear(previous, width), function()]
            previous = width
        last = torch.nn.Linear(previous, 1)
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.zeros_(last.bias)
        module = torch.nn.Sequential(*modules, last)
        seen = torch.as_tensor(standard[~held], dtype=torch.float32)
        wanted = torch.as_tensor(targets[~held] / scale, dtype=torch.float32)[:, None]
        unseen = torch.as_tensor(standard[held], dtype=torch.float32)
        unseen_wanted = torch.as_tensor(targets[held] / scale, dtype=torch.float32)[:, None]
        optimiser = torch.optim.AdamW(module.parameters(), lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
        loss = torch.nn.MSELoss()
        best, best_round, best_state = np.inf, 0, {}
        for number in range(MAX_ROUNDS):
            with torch.no_grad():
                error = float(loss(module(unseen), unseen_wanted))
            if error < best:
                best, best_round = error, number
                best_state = {key: value.clone() for key, value in module.state_dict().items()}
            if number - best_round >= PATIENCE:
                break
            order = torch.randperm(len(seen), generator=generator)
            for chosen in order.split(BATCH):
                optimiser.zero_grad()
                loss(module(seen[chosen]), wanted[chosen]).backward()
                optimiser.step()
        module.load_state_dict(best_state)
    return _Network(module, scale)


def _header(
    design: ModelDesign,
    data: _Data,
    radius: float,
    training: Mapping[str, Any],
    results: Sequence[ResultTable],
) -> ModelHeader:
    features = _features(design, data.species)
    reach = features.descriptor.cutoff + (design.neighbour_cutoff or 0.0)
    return ModelHeader(
        kind=KIND,
        title=design.title,
        summary=design.summary,
        species=data.species,
        cutoff=reach,
        descriptor=asdict(features.descriptor),
        architecture={
            "heads": list(data.members[0]),
            "networks": FOLDS,
            "hidden": design.hidden,
            "linear_part": design.linear,
            "angular_cutoff": design.angular_cutoff,
            "neighbour_cutoff": design.neighbour_cutoff,
            "extrapolation_radius": radius,
        },
        output={"property": "Predicted Stiffness", "unit": "eV/Å²"},
        training={
            "atoms": int(sum((fold >= 0).sum() for fold in data.folds)),
            "samples": [sample.name for sample in data.samples],
            **training,
        },
        results=tuple(results),
        limits=(
            "Knows structures like its training samples and no others; the extrapolation score marks what is unlike.",
        ),
        references=REFERENCES,
    )


REFERENCES = (
    "Z.-H. Peng, Z.-Y. Yang, Y.-J. Wang, Extreme Mechanics Letters 48, 101446 (2021), "
    "doi:10.1016/j.eml.2021.101446: stiffness from the radial distribution function.",
    "M. I. Mendelev, D. J. Sordelet, M. J. Kramer, J. Appl. Phys. 102, 043501 (2007): the interatomic potential.",
)


class _Clock:
    """Reports the fraction done with the time left, for the whole or a part of the work."""

    def __init__(self, report: Progress | None, first: float = 0.0, last: float = 1.0, start: float | None = None):
        self.report = report
        self.first, self.last = first, last
        self.start = time.monotonic() if start is None else start

    def __call__(self, fraction: float, text: str) -> None:
        if self.report is None:
            return
        whole = self.first + (self.last - self.first) * fraction
        elapsed = time.monotonic() - self.start
        left = f", about {elapsed / whole * (1 - whole):.0f} s left" if 0.02 < whole < 1 else ""
        self.report(whole, text + left)

    def part(self, first: float, last: float) -> _Clock:
        span = self.last - self.first
        return _Clock(self.report, self.first + span * first, self.first + span * last, self.start)
