"""The figures behind the barcode: energies, barcodes, environments, correlations, strain, SHAP values, learning."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from numpy.typing import NDArray
from scipy.spatial import Voronoi

from ovito_glassml.errors import TrainingError
from ovito_glassml.files import write_atomically
from ovito_glassml.learn.barcode.data import BarcodeTable, UleSample
from ovito_glassml.learn.barcode.evaluate import energy_score, group_fractions
from ovito_glassml.learn.barcode.model import UleModel, heterogeneity, is_icosahedron
from ovito_glassml.learn.barcode.train import PUBLISHED_TREES, cross_validate
from ovito_glassml.progress import Report, span_of
from ovito_glassml.reproduce.figures.stiffness import coloured_atoms
from ovito_glassml.structure import Structure
from ovito_glassml.workflow.plotting import COLOURS, Columns, new_axes, save_figure, save_table

__all__ = ["Barcodes", "Sheared", "draw_ule_figures", "read_barcodes"]


#: Blue for Kasper environments, red for the others.
GROUP_COLOURS = {1: COLOURS[0], 2: COLOURS[1]}
GROUP_NAMES = {1: "Group 1 (Kasper)", 2: "Group 2"}
#: Thickness of the slab of strain maps, Å.
SLAB = 6.0
#: Environments in the figures of SHAP values.
SHOWN = 20
#: Parts of the samples in the learning curve.
PARTS = (0.1, 0.2, 0.4, 0.7, 1.0)


class Sheared(NamedTuple):
    """A sheared sample and the von Mises strain of its atoms."""

    name: str
    structure: Structure
    strain: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Barcodes:
    """What a model says of S samples.

    Attributes
    ----------
    model : UleModel
    counts : (S, K) array
        Atoms in each environment.
    energies, predicted : (S,) arrays
        eV/atom.
    contributions : (S, K) array
        SHAP values, eV/atom.
    kinds, runs : (S,) arrays of str
    """

    model: UleModel
    counts: NDArray[np.int64]
    energies: NDArray[np.float64]
    predicted: NDArray[np.float64]
    contributions: NDArray[np.float64]
    kinds: NDArray[np.str_]
    runs: NDArray[np.str_]

    @property
    def fractions(self) -> NDArray[np.float64]:
        """Shares of the matched atoms."""
        return self.counts / self.counts.sum(axis=1, keepdims=True)

    def members(self) -> dict[str, NDArray[np.bool_]]:
        """Samples of each kind, by its name."""
        return {kind or "samples": self.kinds == kind for kind in dict.fromkeys(self.kinds)}


def read_barcodes(model: UleModel, samples: Sequence[UleSample], progress: Report) -> Barcodes:
    """Predict all samples.

    Raises
    ------
    TrainingError
        For fewer than three samples, and samples without any atom that matches.
    """
    if len(samples) < 3:
        raise TrainingError(f"There are {len(samples)} samples; give at least three structures with their energies.")
    predictions = []
    for number, sample in enumerate(samples):
        progress(number / len(samples), f"Reading {sample.run}")
        predictions.append(model.predict(sample.structure))
        if not predictions[-1].counts.any():
            raise TrainingError(
                f"No atom of a sample of {sample.run} is similar to an environment; draw structures like those "
                "that the model was trained on."
            )
    return Barcodes(
        model,
        np.array([one.counts for one in predictions]),
        np.array([sample.energy for sample in samples]),
        np.array([one.energy for one in predictions]),
        np.array([one.contributions for one in predictions]),
        np.array([sample.kind for sample in samples]),
        np.array([sample.run for sample in samples]),
    )


def draw_ule_figures(
    model: UleModel,
    samples: Sequence[UleSample],
    folder: Path,
    progress: Report,
    *,
    sheared: Sequence[Sheared] = (),
    tables: Mapping[str, BarcodeTable] | None = None,
) -> tuple[list[Path], list[str]]:
    """Draw all figures as PNG with their numbers beside them as CSV.

    Parameters
    ----------
    model : UleModel
    samples : sequence of UleSample
        With their energies.
    folder : Path
        Made if it is not there.
    progress : callable
        Fraction and text.
    sheared : sequence of Sheared
        For strain maps.
    tables : mapping of number of environments to BarcodeTable, optional
        Annealed samples for the learning curves; without, these are left out.

    Returns
    -------
    written : list of Path
    report : list of str
        Lines to print.
    """
    folder.mkdir(parents=True, exist_ok=True)
    barcodes = read_barcodes(model, samples, span_of(progress, 0.0, 0.6))
    progress(0.6, "Drawing")
    written, report = draw_parity(barcodes, folder)
    for draw in (draw_barcodes, draw_correlations, draw_deviations, draw_sums, draw_contributions):
        written += draw(barcodes, folder)
    progress(0.7, "Environments")
    written += draw_environments(model, folder)
    if sheared:
        progress(0.75, "Strain")
        written += draw_strain(model, sheared, folder)
    if tables:
        written += draw_learning(model, tables, folder, span_of(progress, 0.8, 1.0))
    return written, report


def draw_parity(barcodes: Barcodes, folder: Path) -> tuple[list[Path], list[str]]:
    """Predicted against true energy, and the distribution of errors."""
    error, bias, explained = energy_score(barcodes.predicted, barcodes.energies)
    figure, (left, right) = new_axes(8.6, 4.2, 1, 2)
    for colour, (kind, chosen) in zip(_cycle(), barcodes.members().items(), strict=False):
        left.plot(barcodes.energies[chosen], barcodes.predicted[chosen], "o", ms=3, color=colour, label=kind)
    left.axline((barcodes.energies.mean(),) * 2, slope=1, color="0.6", lw=1, zorder=0)
    left.set(xlabel="energy (eV/atom)", ylabel="predicted energy (eV/atom)", title=f"R² = {explained:.2f}")
    left.legend(frameon=False, fontsize="small", handletextpad=0.1)
    differences = 1000 * (barcodes.predicted - barcodes.energies)
    right.hist(differences, bins=min(40, max(5, len(differences) // 4)), color=COLOURS[0])
    right.set(xlabel="error (meV/atom)", ylabel="samples", title=f"RMSE {error:.2f} meV/atom")
    columns = {
        "run": barcodes.runs.tolist(),
        "kind": barcodes.kinds.tolist(),
        "energy_eV_per_atom": barcodes.energies.tolist(),
        "predicted_eV_per_atom": barcodes.predicted.tolist(),
    }
    files = [save_figure(figure, folder / "energies.png"), save_table(columns, folder / "energies.csv")]
    line = f"{len(differences)} samples: RMSE {error:.3f} meV/atom, bias {bias:+.3f} meV/atom, R² {explained:.3f}"
    return files, [line]


def draw_barcodes(barcodes: Barcodes, folder: Path) -> list[Path]:
    """Mean shares of the environments in the fifths of samples with the lowest and the highest energy."""
    order = np.argsort(barcodes.energies)
    part = max(1, len(order) // 5)
    ends = {"lowest fifth": order[:part], "highest fifth": order[-part:]}
    figure, axes = new_axes(11.0, 5.4, 2, 1, sharex=True, sharey=True)
    columns: dict[str, list[Any]] = {"environment": list(barcodes.model.names)}
    for axis, (name, chosen) in zip(axes, ends.items(), strict=True):
        shares = 100 * barcodes.fractions[chosen].mean(axis=0)
        _bars(axis, shares, barcodes.model)
        axis.set(ylabel="share of matched atoms (%)", title=f"{name}, {barcodes.energies[chosen].mean():.4f} eV/atom")
        columns[f"{name.replace(' ', '_')}_percent"] = shares.tolist()
    _name_environments(axes[-1], barcodes.model)
    return [save_figure(figure, folder / "barcodes.png"), save_table(columns, folder / "barcodes.csv")]


def draw_correlations(barcodes: Barcodes, folder: Path) -> list[Path]:
    """Correlation of each fraction with the energy; icosahedra are hatched."""
    values = correlations(barcodes)
    model, marked = barcodes.model, is_icosahedron(barcodes.model.voronoi)
    figure, axis = new_axes(11.0, 4.0)
    bars = _bars(axis, values, model)
    for bar, icosahedral in zip(bars, marked, strict=True):
        bar.set_hatch("///" if icosahedral else "")
    _name_environments(axis, model)
    axis.axhline(0, color="0.3", lw=0.8)
    axis.set(ylabel="correlation of share and energy (R)", title="Icosahedra are hatched")
    columns = {
        "environment": list(model.names),
        "group": model.groups.tolist(),
        "icosahedron": marked.astype(int).tolist(),
        "R": values.tolist(),
    }
    return [save_figure(figure, folder / "correlations.png"), save_table(columns, folder / "correlations.csv")]


def correlations(barcodes: Barcodes) -> NDArray[np.float64]:
    """Pearson correlation of each fraction with the energy; NaN for one that never varies."""
    fractions = barcodes.fractions - barcodes.fractions.mean(axis=0)
    energies = barcodes.energies - barcodes.energies.mean()
    lengths = np.linalg.norm(fractions, axis=0) * np.linalg.norm(energies)
    return np.divide(energies @ fractions, lengths, out=np.full(len(lengths), np.nan), where=lengths > 0)


def draw_deviations(barcodes: Barcodes, folder: Path) -> list[Path]:
    """Mean deviation of each fraction from thermal samples of the same energy, and heterogeneity beside it, by kind."""
    model = barcodes.model
    expected = [model.reference.at(energy) for energy in barcodes.energies]
    deviations = 100 * (barcodes.fractions - np.array([shares for shares, _ in expected]))
    members = model.groups == 2
    z = np.array([heterogeneity(n, *one, members)[0] for n, one in zip(barcodes.counts, expected, strict=True)])
    figure, (left, right) = new_axes(12.0, 4.4, 1, 2, width_ratios=(3, 1))
    columns: dict[str, list[Any]] = {"environment": list(model.names), "group": model.groups.tolist()}
    kinds = barcodes.members()
    for number, (colour, (kind, chosen)) in enumerate(zip(_cycle(), kinds.items(), strict=False)):
        mean = deviations[chosen].mean(axis=0)
        left.plot(mean, "o-", ms=3, lw=0.8, color=colour)
        right.plot(np.full(chosen.sum(), number), z[chosen], "o", ms=3, color=colour)
        columns[f"{kind.replace(' ', '_')}_deviation_percent"] = mean.tolist()
    left.axhline(0, color="0.3", lw=0.8)
    left.set(ylabel="share above thermal reference (%)")
    _name_environments(left, model)
    right.set(ylabel="heterogeneity (z-score of Group 2)")
    right.set_xticks(range(len(kinds)), kinds, rotation=90)
    table = {"run": barcodes.runs.tolist(), "kind": barcodes.kinds.tolist(), "z": z.tolist()}
    return [
        save_figure(figure, folder / "deviations.png"),
        save_table(columns, folder / "deviations.csv"),
        save_table(table, folder / "heterogeneity.csv"),
    ]


def draw_sums(barcodes: Barcodes, folder: Path) -> list[Path]:
    """Sums of fractions over the groups and over icosahedra against energy."""
    model = barcodes.model
    sums = group_fractions(barcodes.fractions, model.voronoi, model.groups)
    figure, axes = new_axes(4.0 * len(sums), 3.8, 1, len(sums))
    columns: dict[str, list[Any]] = {"energy_eV_per_atom": barcodes.energies.tolist()}
    for axis, (name, values) in zip(axes, sums.items(), strict=True):
        for colour, chosen in zip(_cycle(), barcodes.members().values(), strict=False):
            axis.plot(barcodes.energies[chosen], 100 * values[chosen], "o", ms=3, color=colour)
        varies = values.std() > 0
        text = f"R = {np.corrcoef(values, barcodes.energies)[0, 1]:.2f}" if varies else "constant"
        axis.set(xlabel="energy (eV/atom)", ylabel="sum of shares (%)", title=f"{name}, {text}")
        columns[f"{name.replace(' ', '_')}_percent"] = (100 * values).tolist()
    return [save_figure(figure, folder / "sums.png"), save_table(columns, folder / "sums.csv")]


def draw_contributions(barcodes: Barcodes, folder: Path) -> list[Path]:
    """SHAP values: a beeswarm over all samples, and waterfalls of those with the lowest and the highest energy."""
    import shap

    values = 1000 * barcodes.contributions
    names = list(barcodes.model.names)
    base = 1000 * (barcodes.predicted - barcodes.contributions.sum(axis=1))
    explained = shap.Explanation(values, base, np.round(100 * barcodes.fractions, 2), feature_names=names)
    with _drawn_by_shap(written := folder / "contributions.png") as axis_of:
        shap.plots.beeswarm(explained, max_display=SHOWN, show=False, color_bar_label="share of the environment")
        axis_of().set_xlabel("SHAP value (meV/atom)")
    pictures = [written]
    for end, sample in (("lowest", barcodes.energies.argmin()), ("highest", barcodes.energies.argmax())):
        pictures.append(folder / f"contributions-{end}.png")
        with _drawn_by_shap(pictures[-1]) as axis_of:
            shap.plots.waterfall(explained[int(sample)], max_display=SHOWN, show=False)
            axis_of().set_title(f"Sample with the {end} energy f(x) (meV/atom); grey: shares (%)", pad=30)
    columns = {name: values[:, number].tolist() for number, name in enumerate(names)}
    return [*pictures, save_table(columns, folder / "contributions.csv")]


@contextmanager
def _drawn_by_shap(file: Path) -> Iterator[Callable[[], Axes]]:
    """Saves what SHAP draws with pyplot, in a figure that no window shows; yields what gives its first axes."""
    from matplotlib import pyplot

    pyplot.switch_backend("agg")
    figure = pyplot.figure()
    try:
        yield lambda: figure.axes[0]
        figure.savefig(packed := io.BytesIO(), dpi=150, format="png", bbox_inches="tight")
    finally:
        pyplot.close(figure)
    write_atomically(file, packed.getvalue())


def draw_environments(model: UleModel, folder: Path) -> list[Path]:
    """Every environment with the atoms that share a face with it, seen along its longest axis."""
    rows = -(-len(model) // 8)
    figure, axes = new_axes(12.0, 1.75 * rows, rows, 8)
    axes = axes.ravel()
    columns = Columns()
    for number, (axis, kernel) in enumerate(zip(axes, model.kernels, strict=False)):
        shell = np.concatenate([[0], shell_of(kernel)])
        places = _seen_flat(kernel.positions[shell])
        names = [kernel.species_names[kind] for kind in kernel.species[shell]]
        _spheres(axis, places, kernel.species[shell])
        axis.set_title(model.names[number], fontsize=7, color=GROUP_COLOURS[int(model.groups[number])])
        along = {f"{axis}_A": place for axis, place in zip("xyz", places.T, strict=True)}
        about = {"environment": model.names[number], "group": int(model.groups[number]), "centre": names[0]}
        columns.add(**about, species=names, **along)
    for axis in axes:
        axis.axis("off")
    hues = ("orange", "blue")
    species = ", ".join(f"{name} {hues[kind % 2]}" for kind, name in enumerate(model.header.species))
    figure.suptitle(f"Atoms that share a Voronoi face with the centre (black); {species}. Kasper titles are blue")
    return [save_figure(figure, folder / "environments.png"), save_table(columns, folder / "environments.csv")]


def shell_of(kernel: Structure) -> NDArray[np.int64]:
    """Atoms of an open cluster whose Voronoi cells share a face with that of the first."""
    pairs = Voronoi(kernel.positions).ridge_points
    touching = pairs[(pairs == 0).any(axis=1)]
    return np.sort(touching.sum(axis=1)).astype(np.int64)  # the other index, since the first atom is 0


def _seen_flat(vectors: NDArray) -> NDArray[np.float64]:
    """Coordinates along the principal axes, the shortest one towards the eye."""
    _, _, axes = np.linalg.svd(vectors, full_matrices=False)
    return vectors @ axes.T


def _spheres(axis: Axes, places: NDArray, species: NDArray) -> None:
    """Circles from back to front, the centre in black, and lines to it."""
    order = np.argsort(places[:, 2])
    for index in order:
        axis.plot(*zip(places[index, :2], (0, 0), strict=True), color="0.7", lw=0.6, zorder=1)
    colours = [COLOURS[(4, 5)[int(kind) % 2]] for kind in species]
    for rank, index in enumerate(order):
        colour, size = ("black", 30) if index == 0 else (colours[index], 70 + 30 * int(species[index]))
        axis.scatter(
            places[index, 0], places[index, 1], s=size, color=colour, edgecolors="0.2", linewidths=0.4, zorder=2 + rank
        )
    axis.set_aspect("equal")
    axis.set(xlim=(-4.6, 4.6), ylim=(-4.6, 4.6))


def draw_strain(model: UleModel, sheared: Sequence[Sheared], folder: Path) -> list[Path]:
    """Slab of each sheared sample coloured by von Mises strain, beside its barcode."""
    figure, pairs = new_axes(12.0, 3.6 * len(sheared), len(sheared), 2, width_ratios=(1, 2.4), squeeze=False)
    highest = max(float(np.nanquantile(one.strain, 0.98)) for one in sheared)
    columns: dict[str, list[Any]] = {"environment": list(model.names)}
    for (left, right), one in zip(pairs, sheared, strict=True):
        heights = one.structure.positions[:, 2]
        chosen = (np.abs(heights - np.median(heights)) < SLAB / 2) & np.isfinite(one.strain)
        coloured_atoms(left, one.structure.positions[chosen, :2], one.strain[chosen], Normalize(0, highest))
        left.set(xlabel="x (Å)", ylabel="y (Å)", title=one.name)
        figure.colorbar(left.collections[0], ax=left, label="von Mises strain")
        prediction = model.predict(one.structure)
        shares = 100 * prediction.fractions
        _bars(right, shares, model)
        right.set(ylabel="share of matched atoms (%)", title=f"heterogeneity z = {prediction.heterogeneity:.1f}")
        _name_environments(right, model)
        columns[f"{one.name}_percent"] = shares.tolist()
    return [save_figure(figure, folder / "strain.png"), save_table(columns, folder / "strain.csv")]


def draw_learning(model: UleModel, tables: Mapping[str, BarcodeTable], folder: Path, progress: Report) -> list[Path]:
    """Cross-validated error of trees on fractions against the number of environments and of samples.

    Beside it, if the model's card has it, that of similarities with the environments.
    """
    sizes, errors = [], []
    for number, (size, table) in enumerate(tables.items()):
        progress(0.5 * number / len(tables), f"{size} environments")
        sizes.append(int(size))
        errors.append(_validated(table))
    largest = tables["40"] if "40" in tables else list(tables.values())[-1]
    counts, by_count = [], []
    order = np.random.default_rng(1).permutation(len(largest))
    for number, part in enumerate(PARTS):
        progress(0.5 + 0.5 * number / len(PARTS), f"{part:.0%} of the samples")
        chosen = np.sort(order[: max(2, round(part * len(largest)))])
        counts.append(len(chosen))
        by_count.append(_validated(largest.of(chosen)))
    figure, (left, right) = new_axes(8.6, 4.0, 1, 2, sharey=True)
    known = [table.rows for table in model.header.results if table.title == "Number of environments"]
    similar = [(int(row[0]), float(row[1])) for rows in known for row in rows]
    left.semilogx(sizes, errors, "o-", color=COLOURS[0], label="trees on fractions")
    if similar:
        left.semilogx(*zip(*similar, strict=True), "o-", color=COLOURS[1], label="similarities")
    left.set(xlabel="environments", ylabel="cross-validated RMSE (meV/atom)")
    left.legend(frameon=False)
    right.semilogx(counts, by_count, "o-", color=COLOURS[0])
    right.set(xlabel=f"samples, trees on {largest.counts.shape[1]} environments")
    right.set_xticks(counts, [str(count) for count in counts])
    right.minorticks_off()
    left.set_ylim(bottom=0)
    columns = Columns()
    columns.add(varied="environments", number=sizes, RMSE_meV_per_atom=errors)
    columns.add(varied="samples", number=counts, RMSE_meV_per_atom=by_count)
    for count, error in similar:
        columns.add(varied="environments, similarities", number=count, RMSE_meV_per_atom=error)
    return [save_figure(figure, folder / "learning.png"), save_table(columns, folder / "learning.csv")]


def _validated(table: BarcodeTable) -> float:
    """Error (meV/atom) of the published trees, each run predicted by the others."""
    folds = min(5, len(set(table.runs)))
    return 1000 * cross_validate(table, PUBLISHED_TREES, folds).error(table.energies)


def _bars(axis: Axes, values: NDArray, model: UleModel) -> Any:
    colours = [GROUP_COLOURS[int(group)] for group in model.groups]
    bars = axis.bar(np.arange(len(model)), values, color=colours)
    for group, colour in GROUP_COLOURS.items():
        axis.bar([0], [0], color=colour, label=GROUP_NAMES[group])
    axis.legend(frameon=False)
    return bars


def _name_environments(axis: Axes, model: UleModel) -> None:
    axis.set_xticks(np.arange(len(model)), model.names, rotation=90, fontsize=6)
    axis.set_xlabel("environment ⟨faces with 3, 4, 5, 6 edges⟩")


def _cycle() -> list[str]:
    """Colours enough for every kind."""
    return list(COLOURS) * 10
