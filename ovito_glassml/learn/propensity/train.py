"""Training of models of propensity: ridge regression within configurations, judged on configurations left out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import sem

from ovito_glassml.descriptors.ace import ACEDescriptors
from ovito_glassml.descriptors.blocks import species_columns
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.averaged_sum import (
    AveragedSum,
    LinearPart,
    averaged_features,
    mean_rows,
    radii_that_fit,
    weights_by_radius,
)
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.expected_error import expected_error
from ovito_glassml.learn.extrapolation import fit_extrapolation
from ovito_glassml.learn.format import ModelHeader
from ovito_glassml.learn.propensity.data import PropensitySample, configurations
from ovito_glassml.learn.propensity.model import KIND, PropensityModel
from ovito_glassml.learn.units import NOT_STATED
from ovito_glassml.progress import Report, silent
from ovito_glassml.structure import combined_species
from ovito_glassml.threads import one_blas_thread

__all__ = [
    "LeftOut",
    "PropensityDesign",
    "PropensityRows",
    "describe",
    "fitting_design",
    "leave_out",
    "predict_from",
    "train_propensity",
]

#: Strengths of Tikhonov regularisation that configurations left out choose from, per standardised atom.
STRENGTHS = tuple(10.0**exponent for exponent in np.arange(-7, 0.1, 0.5))
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
    angles : ACEDescriptors, optional
        Of higher order, for what triples of atoms say beyond distances; averaged over the smallest of the radii.
    label : str
        What was learned, for the card.
    tolerance : float
        Standard errors by which R may be lower for the sake of smaller weights, which one can read.
    """

    title: str
    summary: str
    descriptor: ACEDescriptors
    active_species: str
    radii: tuple[float, ...] = RADII
    length_unit: str = NOT_STATED
    angles: ACEDescriptors | None = None
    label: str = "mean displacement over runs from the same structure"
    tolerance: float = 1.0

    @property
    def descriptors(self) -> tuple[ACEDescriptors, ...]:
        """Of all parts."""
        return (self.descriptor,) if self.angles is None else (self.descriptor, self.angles)

    def radii_of(self, part: int) -> tuple[float, ...]:
        """Radii of the averages of one part, which are the smallest of all."""
        return self.radii if part == 0 else self.radii[:1]

    @property
    def groups(self) -> tuple[tuple[str, int], ...]:
        """Name and number of features of each block: an atom's own rows, then averages by radius and species."""
        groups = []
        for part, (descriptor, what) in enumerate(zip(self.descriptors, ("shells", "angles"), strict=False)):
            averages = [f"{what} of {name} within {r:g}" for r in self.radii_of(part) for name in descriptor.species]
            groups += [(name, len(descriptor.labels)) for name in (f"own {what}", *averages)]
        return tuple(groups)


def fitting_design(
    samples: Sequence[PropensitySample],
    active_species: str,
    nearest: float,
    title: str,
    *,
    summary: str = "",
    cutoff: float = 5.0,
    n_max: int = 12,
    angle_cutoff: float = 0.0,
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
    angle_cutoff : float
        Range of angles in the same unit; 0 for distances alone.
    length_unit : str
    """
    structures = [sample.structure for sample in samples]
    names = combined_species(structures)
    descriptor = ACEDescriptors(names, cutoff * nearest, nearest, order=1, n_max=n_max)
    angles = ACEDescriptors(names, angle_cutoff * nearest, nearest, order=2) if angle_cutoff else None
    radii = radii_that_fit(structures, nearest, RADII)
    return PropensityDesign(title, summary, descriptor, active_species, radii, length_unit, angles)


class PropensityRows(NamedTuple):
    """Features of the active atoms of the judged samples, and sums over all samples for regression.

    `moments` and `products` (C, Z, Z) and (C, Z) are, for each configuration, sums of products of standardised
    features with each other and with the displacement, both relative to the mean of their structure. `described` has
    for every part of the design the rows of all atoms of the judged samples, and `centres` their means by species.
    """

    samples: list[PropensitySample]
    described: list[list[NDArray[np.float32]]]
    rows: list[NDArray[np.float32]]
    targets: list[NDArray[np.float64]]
    runs: list[NDArray[np.float64]]
    moments: NDArray[np.float64]
    products: NDArray[np.float64]
    scale: NDArray[np.float64]
    centres: list[NDArray[np.float64]]
    names: tuple[str, ...]

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
    described = [_described(sample, design) for sample in judged]
    centres = _centres(judged, described, design)
    rows = [_features(sample, design, centres, parts) for sample, parts in zip(judged, described, strict=True)]
    scale = np.sqrt(np.mean([table.var(axis=0, dtype=np.float64) for table in rows], axis=0))
    scale = np.where(scale > 1e-6 * scale.max(), scale, np.inf)  # what never varies has no weight
    width = len(scale)
    moments, products = np.zeros((len(names), width, width)), np.zeros((len(names), width))
    ready = iter(rows)
    for number, sample in enumerate(samples):
        report(number / len(samples), f"describing {sample.configuration}")
        table = next(ready) if sample.judged else _features(sample, design, centres, _described(sample, design))
        standard = ((table - table.mean(axis=0)) / scale).astype(np.float64)
        target = sample.propensity[_active(sample, design)]
        count = sample.displacement.shape[1]
        weight = count / (count + RUNS)
        place = names.index(sample.configuration)
        moments[place] += weight * (standard.T @ standard)
        products[place] += weight * (standard.T @ (target - target.mean()))
    targets = [sample.propensity[_active(sample, design)] for sample in judged]
    runs = [sample.displacement[_active(sample, design)] for sample in judged]
    return PropensityRows(judged, described, rows, targets, runs, moments, products, scale, centres, names)


def _described(sample: PropensitySample, design: PropensityDesign) -> list[NDArray[np.float32]]:
    """Rows of all atoms, for each part of the design."""
    structure = replace(sample.structure, mask=None)
    return [descriptor.compute(structure) for descriptor in design.descriptors]


def _features(
    sample: PropensitySample,
    design: PropensityDesign,
    centres: Sequence[NDArray],
    parts: Sequence[NDArray[np.float32]],
) -> NDArray[np.float32]:
    """(M, Z) features of the active atoms: of each part own rows, then their averages by radius and species."""
    columns, mask = _columns(sample, design.descriptor), _active(sample, design)
    nearest = design.descriptor.nearest
    return np.hstack(
        [
            averaged_features(
                sample.structure, rows, columns, centre, [nearest * radius for radius in design.radii_of(number)], mask
            )
            for number, (rows, centre) in enumerate(zip(parts, centres, strict=True))
        ]
    )


def leave_out(data: PropensityRows, tolerance: float) -> LeftOut:
    """Predict every configuration from the others, with a strength chosen by leaving out one of those in turn."""
    every = range(len(data.names))
    with one_blas_thread():
        found = [predict_from(data, left, [k for k in every if k != left], tolerance) for left in every]
    return LeftOut([predicted for predicted, _ in found], [strength for _, strength in found])


def predict_from(
    data: PropensityRows, left: int, others: Sequence[int], tolerance: float
) -> tuple[NDArray[np.float64], float]:
    """Prediction for one configuration from some others, and the strength that was chosen by these."""
    strength = _strength(data, others, tolerance)
    weights = _solve(data, others, (strength,))[:, 0]
    return data.rows[left] @ weights + _offset(data, others, weights), strength


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
    left_out = leave_out(data, design.tolerance)
    every = range(len(data.names))
    strength = _strength(data, every, design.tolerance)
    weights = _solve(data, every, (strength,))[:, 0]
    radii, offset = np.array(design.radii) * design.descriptor.nearest, np.array(_offset(data, every, weights))
    linear = AveragedSum(design.active_species, radii, _parts(weights, data, design), offset)
    error = expected_error(left_out.predicted, data.targets)
    header = _header(data, design, strength, len(samples), training or {})
    return PropensityModel(header, linear, error, _novelty(data, design)), data, left_out


def _parts(weights: NDArray, data: PropensityRows, design: PropensityDesign) -> tuple[LinearPart, ...]:
    parts, begin, species = [], 0, len(design.descriptor.species)
    for number, (descriptor, centre) in enumerate(zip(design.descriptors, data.centres, strict=True)):
        width, averages = centre.shape[1], len(design.radii_of(number))
        end = begin + width * (1 + averages * species)
        own, known = weights_by_radius(weights[begin:end], width, species)
        averaged = np.zeros((len(design.radii), species, width))
        averaged[:averages], begin = known, end
        parts.append(LinearPart(descriptor, centre, own, averaged))
    return tuple(parts)


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
        raise TrainingError(
            f"The descriptor of shells has order {design.descriptor.order}; give one of order 1, and angles apart."
        )
    if list(design.radii) != sorted(design.radii) or not design.radii:
        raise TrainingError(f"The radii of the averages are {design.radii}; give at least one, the smallest first.")
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


def _centres(
    samples: Sequence[PropensitySample], described: Sequence[Sequence[NDArray]], design: PropensityDesign
) -> list[NDArray[np.float64]]:
    """Mean rows of the atoms of each species, for each part of the design."""
    columns = [_columns(sample, design.descriptor) for sample in samples]
    count = len(design.descriptor.species)
    return [mean_rows(tables, columns, count) for tables in zip(*described, strict=True)]


def _solve(data: PropensityRows, chosen: Sequence[int], strengths: Sequence[float]) -> NDArray[np.float64]:
    """(Z, A) weights of features for each strength, from some of the configurations."""
    total, product = data.moments[list(chosen)].sum(axis=0), data.products[list(chosen)].sum(axis=0)
    variances, axes = np.linalg.eigh(total)
    unit = np.trace(total) / len(total)
    along = axes.T @ product
    weights = [axes @ (along / (np.maximum(variances, 0) + strength * unit)) for strength in strengths]
    return np.column_stack(weights) / data.scale[:, None]


def _strength(data: PropensityRows, chosen: Sequence[int], tolerance: float) -> float:
    """The largest strength that is as good as the best for these configurations, each left out in turn.

    As good: worse by no more than `tolerance` times the standard error of the difference. R hardly depends on the
    strength, but weights that hardly matter for it grow without bound when it falls, and then nobody can read them.
    """
    scores = np.empty((len(chosen), len(STRENGTHS)))
    for row, left in zip(scores, chosen, strict=True):
        weights = _solve(data, [k for k in chosen if k != left], STRENGTHS)
        row[:] = [pearson(values, data.targets[left]) for values in (data.rows[left] @ weights).T]
    lost = scores[:, [scores.mean(axis=0).argmax()]] - scores
    as_good = lost.mean(axis=0) <= tolerance * sem(lost)
    return max(strength for strength, good in zip(STRENGTHS, as_good, strict=True) if good)


def _offset(data: PropensityRows, chosen: Sequence[int], weights: NDArray) -> float:
    return float(np.mean([data.targets[k].mean() - data.rows[k].mean(axis=0) @ weights for k in chosen]))


def _novelty(data: PropensityRows, design: PropensityDesign) -> Any:
    structures = [sample.structure for sample in data.samples]
    members = [{design.active_species: np.flatnonzero(_active(sample, design))} for sample in data.samples]
    tables = [parts[0] for parts in data.described]
    parts = [np.full(len(structure), number) for number, structure in enumerate(structures)]
    return fit_extrapolation(structures, tables, members, parts, radius=REGION * design.descriptor.nearest)


def _header(
    data: PropensityRows, design: PropensityDesign, strength: float, structures: int, training: dict[str, Any]
) -> ModelHeader:
    descriptor = design.descriptor
    atoms = sum(len(sample.structure) for sample in data.samples)
    shares = {
        name: sum(sample.structure.shares[name] * len(sample.structure) for sample in data.samples) / atoms
        for name in descriptor.species
    }
    further = {"further_descriptors": [asdict(design.angles)]} if design.angles else {}
    return ModelHeader(
        kind=KIND,
        title=design.title,
        summary=design.summary,
        species=descriptor.species,
        cutoff=float(max(d.cutoff for d in design.descriptors) + max(design.radii) * descriptor.nearest),
        descriptor=asdict(descriptor),
        architecture={
            "active_species": design.active_species,
            "method": "ridge regression",
            "strength": strength,
            "features": len(data.scale),
            "extrapolation_radius": REGION * descriptor.nearest,
            **further,
        },
        output={"property": "Predicted Propensity", "unit": design.length_unit, "label": design.label},
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
