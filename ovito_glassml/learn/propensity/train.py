"""Training of models of propensity: ridge regression within configurations, judged on configurations left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.blocks import species_columns
from ovito_glassml.descriptors.species_averages import species_averages
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.extrapolation import fit_extrapolation
from ovito_glassml.learn.format import ModelHeader
from ovito_glassml.learn.propensity.data import PropensitySample, configurations
from ovito_glassml.learn.propensity.model import KIND, LinearPropensity, PropensityModel
from ovito_glassml.learn.units import NOT_STATED
from ovito_glassml.neighbours import build_cell_list
from ovito_glassml.progress import Report, silent
from ovito_glassml.structure import Structure, combined_species
from ovito_glassml.threads import one_blas_thread

__all__ = ["PropensityDesign", "PropensityRows", "describe", "fitting_design", "leave_out", "train_propensity"]

#: Strengths of Tikhonov regularisation that configurations left out choose from, per standardised atom.
STRENGTHS = tuple(10.0**exponent for exponent in np.arange(-5, 0.1, 0.5))
#: Radii of the averages in nearest-neighbour distances: the first two shells, and half a box of 4 000 atoms.
RADII = (2.9, 7.0)
#: Runs after which the scatter between runs is as large as what structure explains (Kob-Andersen mixture: 5.2).
RUNS = 5.0
#: Regions over which novelty is measured, in nearest-neighbour distances.
REGION = 3.0
#: Fewer say nothing about the next.
FEWEST = 3


@dataclass(frozen=True)
class PropensityDesign:
    """What a model looks at.

    Attributes
    ----------
    title, summary : str
        For the card.
    descriptor : ACEDescriptors
        Of order 1.
    active_species : str
        The species whose atoms are predicted.
    radii : tuple of float
        Of the averages, in nearest-neighbour distances.
    length_unit : str
    """

    title: str
    summary: str
    descriptor: ACEDescriptors
    active_species: str
    radii: tuple[float, ...] = RADII
    length_unit: str = NOT_STATED

    @property
    def groups(self) -> tuple[str, ...]:
        """What each block of features is: the atom's own shells, then averages by radius and species."""
        averages = [f"{name} within {r:g}" for r in self.radii for name in self.descriptor.species]
        return ("own shells", *averages)


def fitting_design(
    samples: Sequence[PropensitySample],
    active_species: str,
    nearest: float,
    title: str,
    *,
    summary: str = "",
    cutoff: float = 5.0,
    n_max: int = 12,
    length_unit: str = NOT_STATED,
) -> PropensityDesign:
    """A design for these samples: their species, and averages that fit into their boxes.

    Parameters
    ----------
    samples : sequence of PropensitySample
    active_species : str
        The species whose atoms are predicted.
    nearest : float
        Nearest-neighbour distance.
    title, summary : str
        For the card.
    cutoff : float
        Range of the radial functions, in nearest-neighbour distances.
    n_max : int
        Radial functions of each species.
    length_unit : str
    """
    structures = [sample.structure for sample in samples]
    descriptor = ACEDescriptors(combined_species(structures), cutoff * nearest, nearest, order=1, n_max=n_max)
    half = min(map(_half_box, structures), default=np.inf) / nearest
    radii = tuple(sorted({min(radius, float(f"{half:.3g}")) for radius in RADII}))
    return PropensityDesign(title, summary, descriptor, active_species, radii, length_unit)


def _half_box(structure: Structure) -> float:
    """Farther out, an average meets atoms again in their images and becomes the same number for all of a box."""
    if structure.cell is None or not any(structure.pbc):
        return float("inf")
    heights = 1 / np.linalg.norm(np.linalg.inv(structure.cell), axis=0)
    return float(heights[list(structure.pbc)].min() / 2)


class PropensityRows(NamedTuple):
    """Features of the active atoms of the judged samples, and sums over all samples for regression.

    `moments` and `products` (C, Z, Z) and (C, Z) are, for each configuration, sums of products of standardised
    features with each other and with the displacement, both relative to the mean of their structure.
    """

    rows: list[NDArray[np.float32]]
    targets: list[NDArray[np.float64]]
    runs: list[NDArray[np.float64]]
    moments: NDArray[np.float64]
    products: NDArray[np.float64]
    scale: NDArray[np.float64]
    centre: NDArray[np.float64]
    names: tuple[str, ...]
    width: int

    def columns(self, chosen: NDArray) -> PropensityRows:
        """With fewer features."""
        return self._replace(
            rows=[table[:, chosen] for table in self.rows],
            moments=self.moments[:, chosen][:, :, chosen],
            products=self.products[:, chosen],
            scale=self.scale[chosen],
        )


class LeftOut(NamedTuple):
    """Predictions for each configuration by weights that have not seen it, and the strengths they were made with."""

    predicted: list[NDArray[np.float64]]
    strengths: list[float]


def describe(
    samples: Sequence[PropensitySample], design: PropensityDesign, progress: Report | None = None
) -> PropensityRows:
    """Features and their sums.

    Raises
    ------
    TrainingError
        For fewer than three configurations, and samples without atoms of a species.
    """
    names = configurations([sample for sample in samples if sample.judged])
    _check(samples, names, design)
    report = progress or silent
    judged = [sample for sample in samples if sample.judged]
    centre = _centre(judged, design.descriptor)
    rows = [features(sample, design, centre) for sample in judged]
    scale = np.sqrt(np.mean([table.var(axis=0, dtype=np.float64) for table in rows], axis=0))
    scale = np.where(scale > 1e-6 * scale.max(), scale, np.inf)  # what never varies has no weight
    width = len(scale)
    moments, products = np.zeros((len(names), width, width)), np.zeros((len(names), width))
    ready = iter(rows)
    for number, sample in enumerate(samples):
        report(number / len(samples), f"describing {sample.configuration}")
        table = next(ready) if sample.judged else features(sample, design, centre)
        standard = ((table - table.mean(axis=0)) / scale).astype(np.float64)
        target = sample.propensity[_active(sample, design)]
        count = sample.displacement.shape[1]
        weight = count / (count + RUNS)
        place = names.index(sample.configuration)
        moments[place] += weight * (standard.T @ standard)
        products[place] += weight * (standard.T @ (target - target.mean()))
    targets = [sample.propensity[_active(sample, design)] for sample in judged]
    runs = [sample.displacement[_active(sample, design)] for sample in judged]
    return PropensityRows(rows, targets, runs, moments, products, scale, centre, names, len(design.descriptor.labels))


def features(sample: PropensitySample, design: PropensityDesign, centre: NDArray) -> NDArray[np.float32]:
    """(M, F + K S F) features of the active atoms: own rows, then their averages by radius and species."""
    structure, descriptor = sample.structure, design.descriptor
    rows = descriptor.compute(replace(structure, mask=None))
    columns = _columns(sample, descriptor)
    rows = np.ascontiguousarray(rows - centre[columns], dtype=np.float32)
    active = _active(sample, design)
    place = np.cumsum(active) - 1
    radii = [radius * descriptor.nearest for radius in design.radii]
    parts = [rows[active]]
    cells = build_cell_list(structure, max(radii))
    for radius in radii:
        part = np.empty((int(active.sum()), len(descriptor.species) * rows.shape[1]), dtype=np.float32)
        for indices, averages in species_averages(cells, rows, columns, len(descriptor.species), radius, active):
            part[place[indices]] = averages.reshape(len(indices), -1)
        parts.append(part)
    return np.hstack(parts)


def leave_out(data: PropensityRows) -> LeftOut:
    """Predict every configuration from the others, with a strength chosen by leaving out one of those in turn."""
    every = range(len(data.names))
    predicted, strengths = [], []
    with one_blas_thread():
        for left in every:
            others = [k for k in every if k != left]
            strengths.append(_strength(data, others))
            weights = _solve(data, others, (strengths[-1],))[:, 0]
            predicted.append(data.rows[left] @ weights + _offset(data, others, weights))
    return LeftOut(predicted, strengths)


def train_propensity(
    samples: Sequence[PropensitySample],
    design: PropensityDesign,
    *,
    training: dict[str, Any] | None = None,
    progress: Report | None = None,
) -> tuple[PropensityModel, PropensityRows, LeftOut]:
    """Train a model of the displacement to expect of every active atom.

    Ridge regression on differences *within* structures: which configuration moves more as a whole is known of few,
    and would be learned as if it were known of every atom.

    Parameters
    ----------
    samples : sequence of PropensitySample
        From at least three configurations, one judged sample of each.
    design : PropensityDesign
    training : mapping, optional
        How the data were made, for the card.
    progress : callable, optional
        Called with the fraction done and a text.

    Returns
    -------
    model, rows, left out
        The last two for `evaluate`.

    Raises
    ------
    TrainingError
        As `describe`.
    """
    data = describe(samples, design, progress)
    left_out = leave_out(data)
    every = range(len(data.names))
    strength = _strength(data, every)
    weights = _solve(data, every, (strength,))[:, 0]
    wrong = np.concatenate([np.abs(p - t) for p, t in zip(left_out.predicted, data.targets, strict=True)])
    species, radii = len(design.descriptor.species), np.array(design.radii) * design.descriptor.nearest
    linear = LinearPropensity(
        radii,
        data.centre,
        weights[: data.width],
        weights[data.width :].reshape(len(radii), species, data.width),
        np.array(_offset(data, every, weights)),
        np.array(np.quantile(wrong, 0.68)),
    )
    judged = [sample for sample in samples if sample.judged]
    header = _header(judged, design, data, strength, len(samples), training or {})
    score = _novelty(judged, design)
    return PropensityModel(header, design.descriptor, linear, score), data, left_out


def _check(samples: Sequence[PropensitySample], names: tuple[str, ...], design: PropensityDesign) -> None:
    if len(names) < FEWEST:
        raise TrainingError(
            f"There are {len(names)} configurations; give at least {FEWEST}: two to learn from and one to judge by."
        )
    judged = sum(sample.judged for sample in samples)
    if judged != len(names):
        raise TrainingError(
            f"There are {judged} structures to judge by and {len(names)} configurations; give one structure of each."
        )
    if design.descriptor.order != 1:
        raise TrainingError(f"The descriptor has order {design.descriptor.order}; propensity is learned with order 1.")
    for sample in samples:
        missing = [name for name in design.descriptor.species if name not in sample.structure.shares]
        if missing or design.active_species not in sample.structure.shares:
            absent = missing[0] if missing else design.active_species
            raise TrainingError(f"{sample.configuration} has no atoms of {absent}; give structures with all species.")
        if sample.configuration not in names:
            raise TrainingError(f"{sample.configuration} has no structure to judge by; give the one it began with.")


def _columns(sample: PropensitySample, descriptor: ACEDescriptors) -> NDArray[np.int64]:
    return species_columns(sample.structure, descriptor.species)[sample.structure.species]


def _active(sample: PropensitySample, design: PropensityDesign) -> NDArray[np.bool_]:
    return sample.structure.of_species(design.active_species)


def _centre(samples: Sequence[PropensitySample], descriptor: ACEDescriptors) -> NDArray[np.float64]:
    """Mean rows of the atoms of each species."""
    sums = np.zeros((len(descriptor.species), len(descriptor.labels)))
    counts = np.zeros(len(descriptor.species))
    for sample in samples:
        rows, columns = descriptor.compute(replace(sample.structure, mask=None)), _columns(sample, descriptor)
        np.add.at(sums, columns, rows)
        counts += np.bincount(columns, minlength=len(counts))
    return sums / counts[:, None]


def _solve(data: PropensityRows, chosen: Sequence[int], strengths: Sequence[float]) -> NDArray[np.float64]:
    """(Z, A) weights of features for each strength, from some of the configurations."""
    total, product = data.moments[list(chosen)].sum(axis=0), data.products[list(chosen)].sum(axis=0)
    variances, axes = np.linalg.eigh(total)
    unit = np.trace(total) / len(total)
    along = axes.T @ product
    weights = [axes @ (along / (np.maximum(variances, 0) + strength * unit)) for strength in strengths]
    return np.column_stack(weights) / data.scale[:, None]


def _strength(data: PropensityRows, chosen: Sequence[int]) -> float:
    """The strength whose predictions of these configurations, each left out in turn, correlate best."""
    scores = np.zeros(len(STRENGTHS))
    for left in chosen:
        weights = _solve(data, [k for k in chosen if k != left], STRENGTHS)
        scores += [pearson(values, data.targets[left]) for values in (data.rows[left] @ weights).T]
    return STRENGTHS[int(scores.argmax())]


def _offset(data: PropensityRows, chosen: Sequence[int], weights: NDArray) -> float:
    return float(np.mean([data.targets[k].mean() - data.rows[k].mean(axis=0) @ weights for k in chosen]))


def _novelty(samples: Sequence[PropensitySample], design: PropensityDesign) -> Any:
    tables, members, parts = [], [], []
    for number, sample in enumerate(samples):
        tables.append(design.descriptor.compute(replace(sample.structure, mask=None)))
        members.append({design.active_species: np.flatnonzero(_active(sample, design))})
        parts.append(np.full(len(sample.structure), number))
    radius = REGION * design.descriptor.nearest
    return fit_extrapolation([sample.structure for sample in samples], tables, members, parts, radius=radius)


def _header(
    samples: Sequence[PropensitySample],
    design: PropensityDesign,
    data: PropensityRows,
    strength: float,
    structures: int,
    training: dict[str, Any],
) -> ModelHeader:
    descriptor = design.descriptor
    atoms = sum(len(sample.structure) for sample in samples)
    shares = {
        name: sum(sample.structure.shares[name] * len(sample.structure) for sample in samples) / atoms
        for name in descriptor.species
    }
    return ModelHeader(
        kind=KIND,
        title=design.title,
        summary=design.summary,
        species=descriptor.species,
        cutoff=float(descriptor.cutoff + max(design.radii) * descriptor.nearest),
        descriptor=asdict(descriptor),
        architecture={
            "active_species": design.active_species,
            "method": "ridge regression",
            "strength": strength,
            "features": len(data.scale),
            "extrapolation_radius": REGION * descriptor.nearest,
        },
        output={"property": "Predicted Propensity", "unit": design.length_unit},
        training={
            "activation": "thermal",
            "composition": {name: round(share, 4) for name, share in shares.items()},
            **training,
            "atoms": atoms,
            "structures": structures,
            "runs_behind_a_label": int(np.median([table.shape[1] for table in data.runs])),
            "samples": list(data.names),
        },
        length_unit=design.length_unit,
    )
