"""The figures behind the prototype network, from labelled samples: how good it is and what its prototypes are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.evaluation import area_under_roc, parity, roc_curve
from ovito_glassml.learn.prototypes.data import ENVIRONMENT, BarrierSample, ScnnDesign, TrainingData, describe_samples
from ovito_glassml.learn.prototypes.evaluate import balanced_calibration, compare_quadruples, highest, shares
from ovito_glassml.learn.prototypes.model import PROTOTYPES, ScnnModel, ScnnPrediction, centre_of
from ovito_glassml.learn.prototypes.network import TrainingSettings
from ovito_glassml.learn.prototypes.train import train_plain, train_scnn
from ovito_glassml.progress import Report, span_of, with_text
from ovito_glassml.reproduce.figures.stiffness import SLAB_WIDTH, coloured_atoms
from ovito_glassml.reproduce.figures.viscosity import draw_viscosity
from ovito_glassml.topology.signature import format_signature, format_subcluster, label_name
from ovito_glassml.topology.standard_clusters import SUBCLUSTERS, LaSCA
from ovito_glassml.topology.statistics import cluster_statistics
from ovito_glassml.workflow.plotting import COLOURS, Columns, grouped_bars, new_axes, save_figure, save_table

__all__ = ["Judged", "draw_scnn_figures", "judge"]


#: Blue shades for low, red ones for high barriers.
PROTOTYPE_COLOURS = ("#2166AC", "#67A9CF", "#EF8A62", "#B2182B")
NAMES = ("0, low", "1, low", "2, high", "3, high")
#: Random quadruples that the prototypes' raw descriptors are compared with.
QUADRUPLES = 1000


@dataclass(frozen=True, eq=False)
class Judged:
    """A model, a sample that it has not seen, and what it and a plain network say of the labelled atoms.

    Attributes
    ----------
    model : ScnnModel
    data : TrainingData
        Rows of all samples.
    learned : (L,) int array
        Rows learned from.
    sample : BarrierSample
        The one to be judged by.
    tested : (M,) int array
        Its rows.
    prediction : ScnnPrediction
        For all atoms of the sample.
    plain : (M,) array
        Logit of the plain network.
    """

    model: ScnnModel
    data: TrainingData
    learned: NDArray[np.int64]
    sample: BarrierSample
    tested: NDArray[np.int64]
    prediction: ScnnPrediction
    plain: NDArray[np.float64]

    @property
    def atoms(self) -> NDArray[np.int64]:
        """The labelled atoms of the sample."""
        return self.data.atom[self.tested]

    @property
    def barrier(self) -> NDArray[np.float64]:
        """Their barriers, eV."""
        return self.data.barrier[self.tested]


def judge(
    samples: Sequence[BarrierSample],
    progress: Report,
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seed: int = 1,
) -> Judged:
    """Train on all samples but the last, which is for judging.

    Raises
    ------
    TrainingError
        For fewer than two samples, and as `train_scnn`.
    """
    if len(samples) < 2:
        raise TrainingError(f"There are {len(samples)} labelled samples; give two: to learn from and to judge by.")
    last = len(samples) - 1
    numbers = list(range(last))

    data = describe_samples(samples, design, learned=numbers, progress=span_of(progress, 0.0, 0.3))
    parts = data.divided(numbers)
    model = train_scnn(data, *parts, design=design, settings=settings, seed=seed, progress=span_of(progress, 0.3, 0.7))
    progress(0.7, "training the plain network")
    plain = train_plain(data, *parts, design=design, settings=settings, seed=seed)
    tested = data.of_samples([last])
    progress(0.9, "predicting")
    prediction = model.predict(data.samples[last].structure)
    return Judged(model, data, parts[0], data.samples[last], tested, prediction, plain.predict(data.rows[tested]))


def draw_scnn_figures(
    samples: Sequence[BarrierSample],
    folder: Path,
    progress: Report,
    *,
    design: ScnnDesign = ENVIRONMENT,
    settings: TrainingSettings | None = None,
    seed: int = 1,
    quadruples: int = QUADRUPLES,
) -> tuple[list[Path], list[str]]:
    """Draw all figures as PNG with their numbers beside them as CSV.

    Parameters
    ----------
    samples : sequence of BarrierSample
        Two or more, see `judge`.
    folder : Path
        Made if it is not there.
    progress : callable
        Fraction and text.
    design, settings, seed
        As for `train_scnn`.
    quadruples : int
        Random ones to compare the prototypes' raw descriptors with.

    Returns
    -------
    written : list of Path
    report : list of str
        Lines to print.
    """
    folder.mkdir(parents=True, exist_ok=True)
    judged = judge(samples, span_of(progress, 0.0, 0.6), design=design, settings=settings, seed=seed)
    progress(0.6, "Drawing")
    written, report = draw_roc(judged, folder)
    for draw in (draw_calibration, draw_scatter, draw_maps, draw_embeddings, draw_cosines, draw_similarities):
        written += draw(judged, folder)
    written += draw_barriers(judged, folder)
    progress(0.65, "Clusters")
    files, lines = draw_clusters(judged, folder)
    written, report = written + files, report + lines
    files, lines = draw_viscosity(judged.sample, folder)
    written, report = written + files, report + lines
    files, lines = draw_quadruples(
        judged, folder, quadruples, with_text(span_of(progress, 0.7, 1.0), "Random quadruples")
    )
    return written + files, report + lines


def draw_roc(judged: Judged, folder: Path) -> tuple[list[Path], list[str]]:
    """Receiver operating characteristic of the prototype network and of the plain one."""
    high = highest(judged.barrier)
    figure, axis = new_axes(4.8, 4.6)
    columns = Columns()
    report = []
    values = {"prototypes": judged.prediction.logit[judged.atoms], "plain network": judged.plain}
    for colour, (name, logits) in zip(COLOURS, values.items(), strict=False):
        curve = roc_curve(high, logits)
        curve = {key: curve[key] for key in ("false_positive_rate", "true_positive_rate")}
        area = area_under_roc(logits[~high], logits[high])
        axis.plot(*curve.values(), color=colour, label=f"{name}, AUC {area:.3f}")
        columns.add(network=name, **curve)
        report.append(f"{judged.sample.name}: AUC of the highest fifth, {name}: {area:.3f}")
    axis.plot([0, 1], [0, 1], color="0.7", lw=1)
    axis.set(xlabel="false positive rate", ylabel="true positive rate", title="Highest fifth of the barriers")
    axis.legend(frameon=False, loc="lower right")
    return [save_figure(figure, folder / "roc.png"), save_table(columns, folder / "roc.csv")], report


def draw_calibration(judged: Judged, folder: Path) -> list[Path]:
    """Frequency of high barriers against the probability, both classes weighing the same."""
    threshold = np.quantile(judged.data.barrier[judged.learned], 0.8)
    curves = {
        "highest fifth of the sample": highest(judged.barrier),
        "class of the training": judged.barrier > threshold,
    }
    probability = judged.prediction.probability[judged.atoms]
    figure, axis = new_axes(4.8, 4.6)
    columns = Columns()
    for colour, (name, high) in zip(COLOURS, curves.items(), strict=False):
        if high.all() or not high.any():
            continue
        predicted, observed = balanced_calibration(probability, high)
        axis.plot(predicted, observed, "o-", color=colour, label=name)
        columns.add(high=name, predicted=predicted, observed=observed)
    axis.plot([0, 1], [0, 1], color="0.7", lw=1)
    axis.set(
        xlabel="high activation probability (50 % prevalence)", ylabel="frequency of high barriers (50 % prevalence)"
    )
    axis.legend(frameon=False)
    return [save_figure(figure, folder / "calibration.png"), save_table(columns, folder / "calibration.csv")]


def draw_scatter(judged: Judged, folder: Path) -> list[Path]:
    """Mean barrier against mean logit of 100 atoms each, sorted by logit."""
    bins = parity(judged.prediction.logit[judged.atoms], judged.barrier)
    figure, axis = new_axes(5.0, 4.4)
    axis.errorbar(bins["predicted"], bins["measured"], bins["standard_error"], fmt="o", ms=4, color=COLOURS[0])
    axis.set(xlabel="mean SCNN logit (high − low)", ylabel="mean activation energy (eV)", title="100 atoms a point")
    table: dict[str, Any] = {
        "logit": bins["predicted"],
        "barrier_eV": bins["measured"],
        "standard_error_eV": bins["standard_error"],
    }
    return [save_figure(figure, folder / "scatter.png"), save_table(table, folder / "scatter.csv")]


def draw_maps(judged: Judged, folder: Path) -> list[Path]:
    """A slice coloured by barrier and by probability."""
    structure = judged.sample.structure
    heights = structure.positions[:, 2]
    middle = (heights.min() + heights.max()) / 2
    shown = np.flatnonzero(np.abs(heights - middle) < SLAB_WIDTH / 2)
    panels = {
        "mean activation energy (eV)": judged.sample.barrier[shown],
        "high activation probability": judged.prediction.probability[shown],
    }
    figure, axes = new_axes(10.4, 4.8, 1, 2, sharex=True, sharey=True)
    for axis, (name, values) in zip(axes, panels.items(), strict=True):
        limits = Normalize(*np.nanpercentile(values, [2, 98]))
        coloured_atoms(axis, structure.positions[shown, :2], values, limits)
        figure.colorbar(ScalarMappable(limits, "viridis"), ax=axis, extend="both").set_label(name)
        axis.set(xlabel="x (Å)", ylabel="y (Å)")
    table: dict[str, Any] = {
        "id": structure.ids[shown],
        **{f"{axis}_A": structure.positions[shown, k] for k, axis in enumerate("xyz")},
        "barrier_eV": judged.sample.barrier[shown],
        "probability": judged.prediction.probability[shown],
        "prototype": judged.prediction.prototype[shown],
    }
    return [save_figure(figure, folder / "maps.png"), save_table(table, folder / "maps.csv")]


def draw_embeddings(judged: Judged, folder: Path) -> list[Path]:
    """Directions of the embeddings in the plane of their first two principal components, with the prototypes."""
    network = judged.model.network
    embeddings = network.embed(judged.data.rows[judged.tested]).astype(np.float64)
    units = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    marks = network.prototypes / np.linalg.norm(network.prototypes, axis=1, keepdims=True)
    centre = units.mean(axis=0)
    variances, axes = np.linalg.eigh(np.cov(units.T))
    plane = axes[:, :-3:-1]
    places, marked = (units - centre) @ plane, (marks - centre) @ plane
    explained = variances[:-3:-1] / variances.sum()
    figure, axis = new_axes(6.0, 4.8)
    order = np.random.default_rng(1).permutation(len(places))
    points = axis.scatter(places[order, 0], places[order, 1], c=judged.barrier[order], s=3, cmap="viridis")
    figure.colorbar(points, ax=axis).set_label("mean activation energy (eV)")
    for place, colour, name in zip(marked, PROTOTYPE_COLOURS, NAMES, strict=True):
        axis.plot(*place, "*", ms=16, color=colour, mec="black", label=f"prototype {name}")
    axis.set(
        xlabel=f"first component ({100 * explained[0]:.0f} % of the variance)",
        ylabel=f"second component ({100 * explained[1]:.0f} %)",
        title="Directions of the embeddings",
    )
    axis.margins(y=0.3)
    axis.legend(frameon=False, ncols=2, loc="upper center")
    table: dict[str, Any] = {
        "prototype": [*judged.prediction.prototype[judged.atoms], *range(PROTOTYPES)],
        "is_prototype": [0] * len(places) + [1] * PROTOTYPES,
        "first": np.concatenate([places[:, 0], marked[:, 0]]),
        "second": np.concatenate([places[:, 1], marked[:, 1]]),
    }
    return [save_figure(figure, folder / "embeddings.png"), save_table(table, folder / "embeddings.csv")]


def draw_cosines(judged: Judged, folder: Path) -> list[Path]:
    """Cosines of the prototypes with each other."""
    return _heat_map(judged.model.network.cosines(), "Cosines of the prototypes", folder / "cosines.png")


def _heat_map(cosines: NDArray, title: str, file: Path) -> list[Path]:
    figure, axis = new_axes(4.8, 4.2)
    image = axis.imshow(cosines, cmap="RdBu_r", vmin=-1, vmax=1)
    for row, column in np.ndindex(cosines.shape):
        value = cosines[row, column]
        axis.text(column, row, f"{value:.2f}", ha="center", va="center", color="white" if abs(value) > 0.6 else "black")
    axis.set_xticks(range(PROTOTYPES), NAMES)
    axis.set_yticks(range(PROTOTYPES), NAMES)
    axis.set(xlabel="prototype", ylabel="prototype", title=title)
    figure.colorbar(image, ax=axis).set_label("cosine")
    table: dict[str, Any] = {"prototype": NAMES, **{f"cosine_{k}": cosines[:, k] for k in range(PROTOTYPES)}}
    return [save_figure(figure, file), save_table(table, file.with_suffix(".csv"))]


def draw_similarities(judged: Judged, folder: Path) -> list[Path]:
    """Distribution of the similarity to each prototype, of atoms with high barriers and of the others."""
    high = highest(judged.barrier)
    similarity = judged.prediction.similarity[judged.atoms]
    edges = np.linspace(-1, 1, 61)
    figure, axes = new_axes(9.6, 5.6, 2, 2, sharex=True)
    table: dict[str, Any] = {"cosine": (edges[1:] + edges[:-1]) / 2}
    for number, axis in enumerate(axes.ravel()):
        for colour, (name, members) in zip(COLOURS, {"highest fifth": high, "others": ~high}.items(), strict=False):
            density = np.histogram(similarity[members, number], edges, density=True)[0]
            axis.stairs(density, edges, color=colour, fill=True, alpha=0.5, label=name)
            table[f"prototype_{number}_{name.replace(' ', '_')}"] = density
        axis.set_title(f"prototype {NAMES[number]}")
        axis.set_ylabel("density of atoms")
    axes[0, 0].legend(frameon=False)
    for axis in axes[1]:
        axis.set_xlabel("similarity (cosine)")
    return [save_figure(figure, folder / "similarities.png"), save_table(table, folder / "similarities.csv")]


def draw_barriers(judged: Judged, folder: Path) -> list[Path]:
    """Distribution of the barriers of the atoms nearest to each prototype."""
    nearest = judged.prediction.prototype[judged.atoms]
    lowest, highest_shown = np.percentile(judged.barrier, [0.1, 99.9])
    edges = np.linspace(lowest, highest_shown, 26)
    figure, axis = new_axes(6.0, 4.4)
    table: dict[str, Any] = {"barrier_eV": (edges[1:] + edges[:-1]) / 2}
    for number, share in enumerate(shares(nearest)):
        chosen = judged.barrier[nearest == number]
        counts = np.histogram(chosen, edges)[0]
        density = counts / max(counts.sum(), 1) / np.diff(edges)
        mean = f", mean {chosen.mean():.2f} eV" if len(chosen) else ""
        label = f"{NAMES[number]}: {100 * share:.0f} % of atoms{mean}"
        axis.stairs(density, edges, color=PROTOTYPE_COLOURS[number], lw=2, label=label)
        table[f"prototype_{number}_per_eV"] = density
    axis.set(xlabel="mean activation energy (eV)", ylabel="density of atoms (1/eV)", title="By nearest prototype")
    axis.legend(frameon=False)
    return [save_figure(figure, folder / "barriers.png"), save_table(table, folder / "barriers.csv")]


def draw_clusters(judged: Judged, folder: Path) -> tuple[list[Path], list[str]]:
    """Mean fractions of sub-clusters of the atoms nearest to each prototype; clusters of the prototypes themselves."""
    result = LaSCA().compute(judged.sample.structure)
    statistics = cluster_statistics(result, judged.prediction.prototype, NAMES)
    names = [f"S{format_subcluster(kind)}" for kind in SUBCLUSTERS] + ["other"]
    figure, axis = new_axes(9.0, 4.6)
    fractions = 100 * statistics.subcluster_fractions[:, 1:].T
    bars = {f"prototype {name}": values for name, values in zip(NAMES, fractions, strict=True)}
    grouped_bars(axis, bars, PROTOTYPE_COLOURS)
    axis.set_xticks(np.arange(len(names)), names)
    axis.set(ylabel="mean fraction of sub-clusters (%)", title="Sub-clusters by nearest prototype")
    axis.legend(frameon=False)
    columns = dict(zip(statistics.names, statistics.subcluster_fractions.T, strict=True))
    report, rows = _prototype_clusters(judged)
    written = [
        save_figure(figure, folder / "clusters.png"),
        save_table({"subcluster": names, **columns}, folder / "clusters.csv"),
        save_table(rows, folder / "prototypes.csv"),
    ]
    five = fractions[:, names.index("S555")]
    shown = ", ".join(f"{name} {value:.1f} %" for name, value in zip(NAMES, five, strict=True))
    return written, [*report, f"mean fraction of S555 by nearest prototype: {shown}"]


def _prototype_clusters(judged: Judged) -> tuple[list[str], Columns]:
    """Lines and table: what each prototype atom is."""
    rows, report = Columns(), []
    for name, prototype in zip(NAMES, judged.model.prototypes, strict=True):
        environment = prototype.environment
        cluster = LaSCA().compute(centre_of(environment))
        element = environment.species_names[environment.species[0]]
        signature, label = format_signature(cluster.signatures[0]), label_name(int(cluster.labels[0]))
        atom = {"sample": prototype.sample, "atom": prototype.atom, "element": element, "barrier_eV": prototype.barrier}
        rows.add(prototype=name, **atom, signature=signature, label=label)
        report.append(
            f"prototype {name}: {element} atom {prototype.atom} of {prototype.sample}, {prototype.barrier:.2f} eV, "
            f"{signature} {label}".rstrip()
        )
    return report, rows


def draw_quadruples(
    judged: Judged, folder: Path, quadruples: int, progress: Callable[[float], None]
) -> tuple[list[Path], list[str]]:
    """Do the raw descriptors of the prototype atoms classify better than those of four random atoms?"""
    data = judged.data
    high = data.barrier[judged.learned] > np.quantile(data.barrier[judged.learned], 0.8)
    rows = np.concatenate([judged.model.descriptor.compute(centre_of(p.environment)) for p in judged.model.prototypes])
    area, random = compare_quadruples(
        data.rows[judged.learned],
        high,
        data.rows[judged.tested],
        highest(judged.barrier),
        rows,
        quadruples=quadruples,
        progress=progress,
    )
    limit = float(np.quantile(random, 0.95))
    figure, axis = new_axes(6.0, 4.2)
    axis.hist(random, bins=40, color="0.7", label=f"{quadruples} random quadruples")
    axis.axvline(limit, color="black", ls="--", label=f"their 95th percentile, {limit:.3f}")
    axis.axvline(area, color=COLOURS[1], lw=2, label=f"the four prototypes, {area:.3f}")
    axis.set(xlabel="AUC of a head on cosines of raw descriptors", ylabel="quadruples")
    axis.margins(y=0.35)
    axis.legend(frameon=False)
    written = [
        save_figure(figure, folder / "quadruples.png"),
        save_table({"random_AUC": random.tolist()}, folder / "quadruples.csv"),
    ]
    files, lines = _draw_raw(judged, rows, folder)
    verdict = "means something" if area > limit else "means nothing"
    line = f"raw descriptors of the prototypes: AUC {area:.3f}, 95th percentile of random atoms {limit:.3f}: {verdict}"
    return written + files, [*lines, line]


def _draw_raw(judged: Judged, prototypes: NDArray, folder: Path) -> tuple[list[Path], list[str]]:
    """Cosines of the raw descriptors of the prototype atoms, and the clusters of atoms nearest to each."""
    learned = judged.data.rows[judged.learned]
    mean, scale = learned.mean(axis=0), np.maximum(learned.std(axis=0), 1e-6)

    def directions(table: NDArray) -> NDArray:
        standard = (table - mean) / scale
        return standard / np.linalg.norm(standard, axis=1, keepdims=True)

    marks = directions(prototypes)
    nearest = (directions(judged.data.rows[judged.tested]) @ marks.T).argmax(axis=1)
    texts = []
    for name, number in zip(NAMES, range(PROTOTYPES), strict=True):
        members = nearest == number
        barrier = f"{judged.barrier[members].mean():.2f} eV" if members.any() else "no atoms"
        texts.append(f"{name}: {100 * members.mean():.0f} % of atoms, {barrier}")
    title = "Cosines of raw descriptors"
    report = ["clusters by raw descriptors: " + "; ".join(texts)]
    return _heat_map((marks @ marks.T).astype(np.float64), title, folder / "raw_cosines.png"), report
