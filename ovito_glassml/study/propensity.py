"""What decides how far atoms move: R on configurations left out against what a model of propensity sees and learns.

Every number is about configurations that the weights, and the choice of their strength, have not seen. Needs no extra.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.stats import sem

from ovito_glassml.errors import TrainingError
from ovito_glassml.labels.reliability import split_half_reliability
from ovito_glassml.learn.evaluation import pearson
from ovito_glassml.learn.propensity.data import PropensitySample
from ovito_glassml.learn.propensity.train import (
    FEWEST,
    PropensityDesign,
    PropensityRows,
    describe,
    fitting_design,
    leave_out,
    predict_from,
)
from ovito_glassml.progress import Report
from ovito_glassml.study.steps import Numbers, Step
from ovito_glassml.threads import one_blas_thread

__all__ = ["Ensemble", "PropensityStudy", "findings", "propensity_steps"]

#: Sets of configurations that a point of the learning curve is averaged over.
DRAWS = 3
#: Range of the angles, in nearest-neighbour distances.
ANGLE_CUTOFF = 2.5


class Ensemble(NamedTuple):
    """Structures with displacements under one name, such as those of one time.

    `thermal` are the same with the positions at temperature, if these are known.
    """

    name: str
    samples: list[PropensitySample]
    thermal: list[PropensitySample] | None
    digest: str


@dataclass(frozen=True)
class PropensityStudy:
    """What is varied, and what stays the same.

    Attributes
    ----------
    active_species : str
    nearest : float
        Nearest-neighbour distance.
    cutoffs : tuple of float
        Of the radial functions, in nearest-neighbour distances.
    cutoff : float
        The one at which everything else is studied.
    n_max : int
        Radial functions of each species.
    """

    active_species: str
    nearest: float
    cutoffs: tuple[float, ...] = (2.0, 3.0, 4.0, 5.0)
    cutoff: float = 5.0
    n_max: int = 12

    def __post_init__(self) -> None:
        object.__setattr__(self, "cutoffs", tuple(sorted({*self.cutoffs, self.cutoff})))

    def design(
        self, samples: Sequence[PropensitySample], cutoff: float | None = None, angle_cutoff: float = 0.0
    ) -> PropensityDesign:
        """By default of distances alone; averages fit into the boxes."""
        return fitting_design(
            samples, self.active_species, self.nearest, "",
            cutoff=cutoff or self.cutoff, n_max=self.n_max, angle_cutoff=angle_cutoff,
        )  # fmt: skip


def propensity_steps(study: PropensityStudy, ensembles: Sequence[Ensemble]) -> list[Step]:
    """All parts of the study, for `run_steps`; the first ensemble is studied, others are compared with it.

    Raises
    ------
    TrainingError
        For fewer than three configurations.
    """
    first = ensembles[0]
    if len(first.samples) < FEWEST:
        raise TrainingError(
            f"There are {len(first.samples)} configurations; give at least {FEWEST}: two to learn from and one to "
            "judge by."
        )
    bench = _Bench(study, first.samples)
    most = max(sample.displacement.shape[1] for sample in first.samples)

    def step(name: str, compute: Callable[[], Numbers], effort: float, *inputs: object) -> Step:
        given = {"data": first.digest, "species": study.active_species, "nearest": study.nearest, "n_max": study.n_max}
        further = {"cutoff": study.cutoff, "further": list(inputs)}
        return Step(name, given | further, partial(_counted, compute), effort)

    steps = [step("base", bench.groups, 2.0)]
    steps += [step(f"cutoff-{c:g}", partial(bench.at_cutoff, c), 1.0, c) for c in study.cutoffs]
    steps += [step("angles", bench.with_angles, 6.0), step("configurations", bench.learning_curve, 2.0)]
    if most > 1:
        steps.append(step("runs", bench.fewer_runs, 3.0))
    if first.thermal is not None:
        steps.append(step("thermal", partial(bench.other_positions, first.thermal), 2.0))
    steps += [
        step(f"label-{other.name}", partial(bench.other_label, other.samples), 1.0, other.digest)
        for other in ensembles[1:]
    ]
    return steps


def _counted(compute: Callable[[], Numbers], report: Report) -> Numbers:
    report(0.0, "computing")
    with one_blas_thread():
        return compute()


class _Bench:
    """The first ensemble, described once."""

    def __init__(self, study: PropensityStudy, samples: list[PropensitySample]) -> None:
        self.study, self.samples = study, samples

    @cached_property
    def design(self) -> PropensityDesign:
        return self.study.design(self.samples)

    @cached_property
    def data(self) -> PropensityRows:
        return describe(self.samples, self.design)

    def scores(self, data: PropensityRows, predicted: Sequence[NDArray] | None = None) -> NDArray[np.float64]:
        """R of every configuration with the full label of the ensemble."""
        given = leave_out(data, self.design.tolerance).predicted if predicted is None else predicted
        return np.array([pearson(p, t) for p, t in zip(given, self.data.targets, strict=True)])

    def groups(self) -> Numbers:
        """All features, each group left out, and averages taken away from the widest on."""
        names, widths = zip(*self.design.groups, strict=True)
        place = np.repeat(np.arange(len(widths)), widths)
        without = [self.scores(self.data.columns(place != number)) for number in range(len(widths))]
        per_radius = len(self.design.descriptor.species)
        kept = [1 + per_radius * count for count in range(len(self.design.radii) + 1)]
        generations = [self.scores(self.data.columns(place < count)) for count in kept]
        trust = [split_half_reliability(r, splits=20) if r.shape[1] > 1 else np.nan for r in self.data.runs]
        return {
            "names": np.array(names), "r": self.scores(self.data), "without": np.array(without),
            "averages": np.arange(len(kept)), "generations": np.array(generations),
            "radii": np.array(self.design.radii), "reliability": np.array(trust),
        }  # fmt: skip

    def at_cutoff(self, cutoff: float) -> Numbers:
        return {"r": self.scores(describe(self.samples, self.study.design(self.samples, cutoff)))}

    def with_angles(self) -> Numbers:
        data = describe(self.samples, self.study.design(self.samples, angle_cutoff=ANGLE_CUTOFF))
        return {"r": self.scores(data, leave_out(data, 0.0).predicted), "features": np.array(len(data.scale))}

    def learning_curve(self) -> Numbers:
        """R of every configuration by a few of the others."""
        count = len(self.data.names)
        sizes = sorted({2, 3, 5, 8, 12, 20, 40, count - 1} & set(range(2, count)))
        random, found = np.random.default_rng(1), []
        for size in sizes:
            row = []
            for left in range(count):
                others = [k for k in range(count) if k != left]
                draws = [sorted(random.choice(others, size, replace=False).tolist()) for _ in range(DRAWS)]
                predicted = [predict_from(self.data, left, draw, self.design.tolerance)[0] for draw in draws]
                row.append(np.mean([pearson(values, self.data.targets[left]) for values in predicted]))
            found.append(row)
        return {"sizes": np.array(sizes), "r": np.array(found)}

    def fewer_runs(self) -> Numbers:
        """R with the full label after learning from the first runs only."""
        most = min(sample.displacement.shape[1] for sample in self.samples)
        counts = sorted({1, 2, 4, 8, 16, 32, most} & set(range(1, most + 1)))
        found = []
        for count in counts:
            fewer = [sample._replace(displacement=sample.displacement[:, :count]) for sample in self.samples]
            found.append(
                self.scores(self.data, leave_out(describe(fewer, self.design), self.design.tolerance).predicted)
            )
        return {"counts": np.array(counts), "r": np.array(found)}

    def other_positions(self, thermal: list[PropensitySample]) -> Numbers:
        return {"r": self.scores(describe(thermal, self.design))}

    def other_label(self, samples: list[PropensitySample]) -> Numbers:
        """R of another label by itself, with this one's predictions, and of the two labels with each other."""
        data = describe(samples, self.design)
        own = leave_out(self.data, self.design.tolerance).predicted
        itself = leave_out(data, self.design.tolerance).predicted
        pairs = {
            "r": (itself, data.targets),
            "by_first": (own, data.targets),
            "labels": (self.data.targets, data.targets),
        }
        return {
            name: np.array([pearson(p, t) for p, t in zip(one, other, strict=True)])
            for name, (one, other) in pairs.items()
        }


def findings(study: PropensityStudy, ensembles: Sequence[Ensemble], results: Mapping[str, Numbers]) -> str:
    """What the numbers say, in words. Differences count if they exceed twice their standard error."""
    base, first = results["base"], ensembles[0]
    trust = float(np.mean(base["reliability"]))
    lines = [
        f"# How far {study.active_species} atoms move",
        "",
        f"{len(first.samples)} configurations, label {first.name}. R: Pearson's correlation over the atoms of a "
        "configuration that was left out, mean over the configurations with its standard error. Differences are paired "
        "by configuration and count if they exceed twice their error.",
        "",
        f"- All features: R = {_mean(base['r'])}."
        + (f" A perfect prediction would reach {np.sqrt(trust):.3f}, as the label is noisy." if trust > 0 else ""),
    ]
    order = np.argsort([-np.mean(base["r"] - row) for row in base["without"]])
    lost = [f"{base['names'][k]} {_gain(base['r'] - base['without'][k])}" for k in order]
    lines.append(f"- R lost without a group of features: {'; '.join(lost)}.")
    steps = [f"{count} {_mean(row)}" for count, row in zip(base["averages"], base["generations"], strict=True)]
    radii = ", ".join(f"{radius:g}" for radius in base["radii"])
    lines.append(f"- By the number of averages (radii {radii} nearest-neighbour distances): {'; '.join(steps)}.")
    lines.append(f"- By the cutoff of the radial functions: {_by_cutoff(study, results)}.")
    angles = results["angles"]
    lines.append(f"- Angles, in all {int(angles['features'])} features: {_gain(angles['r'] - base['r'])}.")
    curve = results["configurations"]
    points = [f"{size} {_mean(row)}" for size, row in zip(curve["sizes"], curve["r"], strict=True)]
    lines.append(f"- By the number of configurations to learn from: {'; '.join(points)}.")
    if "runs" in results:
        lines.append(f"- {_runs(results['runs'], trust)}")
    if "thermal" in results:
        gain = _gain(results["thermal"]["r"] - base["r"])
        lines.append(f"- Thermal positions in place of inherent ones, learned and judged: {gain}.")
    for other in ensembles[1:]:
        found = results[f"label-{other.name}"]
        lines.append(
            f"- Label {other.name}: by itself {_mean(found['r'])}, by what was learned for {first.name} "
            f"{_mean(found['by_first'])}; the labels themselves correlate by {_mean(found['labels'])}."
        )
    return "\n".join(lines) + "\n"


def _by_cutoff(study: PropensityStudy, results: Mapping[str, Numbers]) -> str:
    scores = {cutoff: results[f"cutoff-{cutoff:g}"]["r"] for cutoff in study.cutoffs}
    return "; ".join(f"{cutoff:g} {_mean(row)}" for cutoff, row in scores.items())


def _runs(numbers: Numbers, trust: float) -> str:
    """Learning from labels of few runs; R² falls by a part in proportion to 1 / runs, which is extrapolated to none."""
    points = [f"{count} {_mean(row)}" for count, row in zip(numbers["counts"], numbers["r"], strict=True)]
    text = f"By the number of runs behind the labels learned from: {'; '.join(points)}"
    mean = numbers["r"].mean(axis=1)
    if len(mean) > 2 and (mean > 0).all():
        many = np.polyfit(1 / numbers["counts"], mean**-2.0, 1)[1]
        if many > 0:
            text += f"; extrapolated to many runs {many**-0.5:.3f}"
            text += f", and judged by many runs, too, {(many * trust) ** -0.5:.3f}" if trust > 0 else ""
    return f"{text}."


def _mean(values: NDArray) -> str:
    return f"{np.mean(values):.3f} ± {sem(values):.3f}"


def _gain(differences: NDArray) -> str:
    mean, error = float(np.mean(differences)), float(sem(differences))
    return f"{mean:+.3f} ± {error:.3f}" + ("" if abs(mean) > 2 * error else " (no difference)")
