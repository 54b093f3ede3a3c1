"""Training of stiffness models on labelled structures. Needs the extra `train`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.learn.expected_error import ExpectedError, coverage_table, expected_error, stated_by_others
from ovito_glassml.learn.extrapolation import fit_extrapolation
from ovito_glassml.learn.format import ModelHeader, ResultTable
from ovito_glassml.learn.model import ANY_SPECIES
from ovito_glassml.learn.stiffness.data import (
    BY_SPECIES,
    CAGE_LABEL,
    FOLDS,
    PUBLISHED,
    RADIAL_POINTS,
    STIFFNESS_LABEL,
    DescribedSamples,
    LabelledSample,
    ModelDesign,
    describe_samples,
    features_of,
)
from ovito_glassml.learn.stiffness.model import (
    ALSO,
    CAGE_STIFFNESS,
    KIND,
    STIFFNESS,
    Head,
    NeighbourStiffness,
    StiffnessModel,
    StiffnessPrediction,
)
from ovito_glassml.learn.stiffness.shells import gaussians
from ovito_glassml.learn.torch_threads import one_torch_thread
from ovito_glassml.progress import Report, nth_of, silent, span_of, with_time_left
from ovito_glassml.structure import Structure
from ovito_glassml.threads import one_blas_thread

__all__ = ["ENOUGH_SAMPLES", "leave_samples_out", "scan_networks", "train", "with_expected_errors"]

#: With fewer samples that have a label, how wrong a prediction is for the next is not known.
ENOUGH_SAMPLES = 10

#: Strengths of ridge regression that cross-validation chooses from, per training atom.
RIDGE_STRENGTHS = tuple(10.0**exponent for exponent in np.arange(-5, 0.1, 0.5))
#: Relative increase of the squared error that weaker regularisation is worth.
RIDGE_TOLERANCE = 0.02
#: Centres of the first and the last function that weighs neighbours, as fractions of their cutoff.
NEIGHBOUR_CENTRES = (0.42, 0.92)


# Many small products, for which more threads are slower.
@one_blas_thread()
def train(
    samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]],
    *,
    design: ModelDesign = BY_SPECIES,
    seed: int = 1,
    training: Mapping[str, Any] | None = None,
    results: Sequence[ResultTable] = (),
    progress: Report | None = None,
) -> StiffnessModel:
    """Train a stiffness model.

    Five members are trained, each on four fifths of the data and stopped when the last fifth is
    predicted best; the model is their mean. The fifths are whole samples where there are at least
    five, otherwise slabs of every sample, so that few neighbours are shared.

    Parameters
    ----------
    samples : sequence of LabelledSample or (Structure, stiffness, name)
        Stiffness in energy/length² for every atom; NaN where unknown. Samples that have a cage stiffness teach it, too,
        by further heads on the same inputs.
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
    report = with_time_left(progress or silent)
    data = describe_samples(samples, design, report)
    neighbours, inputs = _add_neighbours(data, report)
    heads = {
        label: _train_heads(data, inputs, label, seed, nth_of(span_of(report, 0.3, 0.95), number, len(data.labels)))
        for number, label in enumerate(data.labels)
    }
    report(0.95, "measuring where the training data lie")
    structures, radius = [sample.structure for sample in data.samples], data.design.extrapolation_radius
    score = fit_extrapolation(structures, data.rows, data.members, data.sample_folds, radius=radius)
    header = _header(data, training or {}, results)
    report(1.0, "done")
    both = heads[STIFFNESS_LABEL], score, heads.get(CAGE_LABEL, {})
    return StiffnessModel(header, features_of(data.design, data.species), neighbours, *both)


def leave_samples_out(
    samples: Sequence[LabelledSample],
    *,
    design: ModelDesign = BY_SPECIES,
    seed: int = 1,
    progress: Report | None = None,
) -> list[StiffnessPrediction]:
    """Predict every sample by a model that has not seen it: trained on four fifths of the samples at a time.

    Parameters
    ----------
    samples : sequence of LabelledSample
        At least five.
    design, seed, progress
        As `train`.
    """
    predictions: dict[int, StiffnessPrediction] = {}
    for fold in range(FOLDS):
        part = nth_of(progress or silent, fold, FOLDS, f"samples left out, part {fold + 1} of {FOLDS}: ")
        others = [sample for number, sample in enumerate(samples) if number % FOLDS != fold]
        model = train(others, design=design, seed=seed, progress=part)
        for number in range(fold, len(samples), FOLDS):
            predictions[number] = model.predict(samples[number].structure)
    return [predictions[number] for number in range(len(samples))]


def with_expected_errors(
    model: StiffnessModel, samples: Sequence[LabelledSample], left_out: Sequence[StiffnessPrediction]
) -> tuple[StiffnessModel, list[ResultTable]]:
    """A model that says how wrong it is to be expected, from predictions of samples left out.

    Parameters
    ----------
    model : StiffnessModel
        Trained on all of them.
    samples : sequence of LabelledSample
    left_out : sequence of StiffnessPrediction
        See `leave_samples_out`.

    Returns
    -------
    model : StiffnessModel
        With errors of those labels that at least `ENOUGH_SAMPLES` samples have.
    tables : list of ResultTable
        Whether the errors hold, for the card.
    """
    errors: dict[str, dict[str, ExpectedError]] = {}
    tables = []
    for label, quantity in ((STIFFNESS_LABEL, STIFFNESS), (CAGE_LABEL, CAGE_STIFFNESS)):
        both = [
            (sample.structure, getattr(prediction, label), getattr(sample, label))
            for sample, prediction in zip(samples, left_out, strict=True)
            if sample.known(label).any()
        ]
        title = f"Do stated errors of the {quantity.lower()} hold?"
        if len(both) < ENOUGH_SAMPLES:
            if both:
                why = f"not calibrated: {len(both)} samples have it and {ENOUGH_SAMPLES} are needed"
                tables.append(ResultTable(title, ("stated error",), ((why,),)))
            continue
        of_heads = {name: _of_head(both, name) for name in model.heads}
        errors[label] = {name: expected_error(*values) for name, values in of_heads.items()}
        stated = [stated_by_others(*values) for values in of_heads.values()]
        wrong = [[np.abs(p - m) for p, m in zip(*values, strict=True)] for values in of_heads.values()]
        tables.append(coverage_table(_joined(stated), _joined(wrong), quantity.lower(), title))
    return replace(model, errors=errors.get(STIFFNESS_LABEL, {}), cage_errors=errors.get(CAGE_LABEL, {})), tables


def _joined(of_heads: Sequence[Sequence[NDArray]]) -> list[NDArray]:
    """One array for each sample from those of its heads."""
    return [np.concatenate(parts) for parts in zip(*of_heads, strict=True)]


def _of_head(both: Sequence[tuple[Structure, NDArray, NDArray]], name: str) -> tuple[list[NDArray], list[NDArray]]:
    """Predicted and measured values of the atoms of one head in every sample, where both are known."""
    predicted, measured = [], []
    for structure, values, labels in both:
        own = np.isfinite(values) & np.isfinite(labels)
        if name != ANY_SPECIES:
            own &= structure.of_species(name)
        predicted.append(values[own])
        measured.append(labels[own])
    return predicted, measured


def scan_networks(
    samples: Sequence[LabelledSample | tuple[Structure, NDArray, str]],
    *,
    seed: int = 1,
    progress: Report | None = None,
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
    report = with_time_left(progress or silent)
    data = describe_samples(samples, PUBLISHED, report)
    inputs, targets, folds = data.gathered(data.rows, ANY_SPECIES)
    variants = [("ReLU", 1, width) for width in (25, 50, 100, 200, 400)]
    variants += [("sigmoid", 1, 200), ("tanh", 1, 200), ("ReLU", 2, 200), ("ReLU", 3, 200)]
    rows = []
    for number, (activation, layers, width) in enumerate(variants):
        report(0.3 + 0.7 * number / len(variants), f"{layers} x {width} {activation}")
        scores = []
        mean, scale = _standardisation(inputs)
        for fold in range(FOLDS):
            held = folds == fold
            network = _fit_network((inputs - mean) / scale, targets, held, (activation, layers, width), seed + fold)
            scores.append(np.corrcoef(network((inputs[held] - mean) / scale), targets[held])[0, 1])
        rows.append((f"{activation}, {layers} hidden", width, float(np.mean(scores))))
    report(1.0, "done")
    return ResultTable(
        "Networks on the species-blind RDF, cross-validated R",
        ("network", "width", "R"),
        tuple(rows),
        f"Mean of {FOLDS} folds of {', '.join(sample.name for sample in data.samples)}.",
    )


def _add_neighbours(data: DescribedSamples, report: Report) -> tuple[NeighbourStiffness | None, Sequence[NDArray]]:
    """Fit the bare stiffness and append its sums over neighbours to the inputs.

    For training, an atom's bare stiffness comes from a fit that has not seen its fold. It is that of the cage where
    samples have it: sums of it predict the published stiffness as well, and the means of samples better (off by
    2.6 instead of 3.1 % over eleven glasses of Cu-Zr left out in turn).
    """
    cutoff = data.design.neighbour_cutoff
    if cutoff is None:
        return None, data.rows
    report(0.2, "fitting the bare stiffness")
    label = data.labels[-1]
    coefficients = {}
    bare = [np.zeros(len(sample.structure)) for sample in data.samples]
    for name in data.species:
        inputs, targets, folds = data.gathered(data.rows, name, label)
        mean, scale = _standardisation(inputs)
        strength = _ridge_strength((inputs - mean) / scale, targets, folds)
        weights = _ridge((inputs - mean) / scale, targets, strength)
        coefficients[name] = _unstandardised(weights, mean, scale)
        by_fold = [_ridge((inputs - mean) / scale, targets, strength, folds != fold) for fold in range(FOLDS)]
        places = zip(bare, data.rows, data.members, data.folds[label], strict=True)
        for values, table, members, fold in places:
            chosen = members[name]
            values[chosen] = ((table[chosen] - mean) / scale) @ weights[0]
            for number, held_out in enumerate(by_fold):
                held = chosen[fold[chosen] == number]
                values[held] = ((table[held] - mean) / scale) @ held_out[0]
    radii = np.linspace(0, cutoff, RADIAL_POINTS)
    centres = cutoff * np.linspace(*NEIGHBOUR_CENTRES, data.design.neighbour_functions)
    table = gaussians(radii, centres, 0.6 * (centres[1] - centres[0]), cutoff)
    neighbours = NeighbourStiffness(cutoff, table, coefficients)
    inputs_by_sample = []
    for number, (sample, rows, values) in enumerate(zip(data.samples, data.rows, bare, strict=True)):
        report(0.22 + 0.08 * number / len(data.samples), f"neighbours in {sample.name}")
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


def _train_heads(
    data: DescribedSamples, inputs: Sequence[NDArray], label: str, seed: int, report: Report
) -> dict[str, Head]:
    """A head for each species, or one for all."""
    names = tuple(data.members[0])
    return {
        name: _train_head(data, inputs, (name, label), seed, nth_of(report, number, len(names)))
        for number, name in enumerate(names)
    }


def _train_head(
    data: DescribedSamples, inputs: Sequence[NDArray], part: tuple[str, str], seed: int, report: Report
) -> Head:
    """One member for each fold: linear part, then a network for what is left; `part` is species and label."""
    design, (name, label) = data.design, part
    rows, targets, folds = data.gathered(inputs, name, label)
    mean, scale = _standardisation(rows)
    standard = (rows - mean) / scale
    strength = _ridge_strength(standard, targets, folds) if design.linear else 0.0
    members: list[dict[str, NDArray]] = []
    linear, offset = np.zeros(standard.shape[1]), 0.0
    for fold in range(FOLDS):
        report(fold / FOLDS, f"training member {fold + 1} of {FOLDS} for species {name}")
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


def _header(data: DescribedSamples, training: Mapping[str, Any], results: Sequence[ResultTable]) -> ModelHeader:
    design = data.design
    features = features_of(design, data.species)
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
            "extrapolation_radius": design.extrapolation_radius,
            "nearest_neighbour_distance": data.spacing,
        },
        output={
            "property": STIFFNESS,
            "unit": design.units.stiffness,
            **({ALSO: CAGE_STIFFNESS} if CAGE_LABEL in data.labels else {}),
        },
        training={
            "composition": _composition(data),
            "atoms": int(sum((fold >= 0).sum() for fold in data.sample_folds)),
            "samples": [sample.name for sample in data.samples],
            **training,
        },
        results=tuple(results),
        limits=(
            "Knows structures like its training samples and no others; the extrapolation score marks what is unlike.",
        ),
        references=REFERENCES,
        length_unit=design.units.length,
    )


def _composition(data: DescribedSamples) -> dict[str, float | list[float]]:
    """Share of each species in the samples, the least and the largest where they differ."""
    shares = [sample.structure.shares for sample in data.samples]
    of_species = {name: sorted({round(share.get(name, 0.0), 4) for share in shares}) for name in data.species}
    return {name: [found[0], found[-1]] if len(found) > 1 else found[0] for name, found in of_species.items()}


#: Of the method; what the data come from is for those to say who have made them.
REFERENCES = (
    "Z.-H. Peng, Z.-Y. Yang, Y.-J. Wang, Extreme Mechanics Letters 48, 101446 (2021), "
    "doi:10.1016/j.eml.2021.101446: stiffness from the radial distribution function.",
)
