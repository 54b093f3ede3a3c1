"""The figures behind LaSCA: frequencies of clusters, sub-clusters by group, pictures of clusters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Circle
from numpy.typing import NDArray

from ovito_glassml.errors import GlassMLError
from ovito_glassml.simulate.snapshots import made_with, read_snapshot
from ovito_glassml.structure import Structure
from ovito_glassml.topology.signature import (
    cluster_label,
    format_signature,
    format_subcluster,
    label_name,
    parse_signature,
    signature_number,
)
from ovito_glassml.topology.standard_clusters import SUBCLUSTERS, Cluster, LaSCA, LaSCAResult
from ovito_glassml.topology.statistics import cluster_statistics
from ovito_glassml.workflow.plotting import COLOURS, Columns, grouped_bars, new_axes, save_figure, save_table

__all__ = [
    "PUBLISHED_SHARES",
    "Glass",
    "draw_clusters",
    "draw_frequencies",
    "draw_lasca_figures",
    "draw_subclusters",
    "mean_by_label",
    "read_barriers",
    "read_glass",
    "share_of",
]

#: Shares in % of the ten most frequent close-packed clusters, in six Cu-Zr glasses of other
#: compositions and histories (the paper on self-explaining prototypes, its Table 3).
PUBLISHED_SHARES = {
    "[12/555]": 8.57,
    "[2/433, 2/544, 8/555]": 5.54,
    "[1/444, 10/555, 2/666]": 2.18,
    "[2/444, 8/555, 2/666]": 1.79,
    "[3/444, 6/555, 4/666]": 1.51,
    "[12/555, 4/666]": 1.26,
    "[1/433, 3/544, 9/555, 2/666]": 1.25,
    "[2/422, 2/433, 2/544, 6/555]": 1.21,
    "[2/444, 8/555, 1/666]": 1.11,
    "[1/421, 3/433, 3/544, 5/555]": 1.07,
}

#: The clusters that are pictured.
PICTURED = ("[12/555]", "[2/444, 8/555, 2/666]", "[3/444, 6/555, 4/666]", "[2/433, 2/544, 8/555]")

_BOND_COLOURS = {"555": "#E69F00", "444": "#0072B2", "666": "#CC79A7", "433": "#009E73", "544": "#56B4E9"}
_ATOM_COLOURS = {"Cu": "#D98C5F", "Zr": "#9FB7C9"}
_ATOM_RADII = {"Cu": 0.42, "Zr": 0.52}  # Å, a third of the atoms' own


@dataclass(frozen=True, eq=False)
class Glass:
    """A structure with its name and, where known, one value for every atom to sort it by."""

    name: str
    structure: Structure
    values: NDArray[np.float64] | None = None


def read_glass(file: Path) -> Glass:
    """A shipped sample with its measured stiffness, named by its composition and cooling rate."""
    snapshot = read_snapshot(file)
    settings = made_with(snapshot.header, "input_settings")
    name = f"{settings['composition']}, {settings['cooling_rate']:.0e} K/s" if settings else file.name.split(".")[0]
    return Glass(name.replace("e+", "e"), snapshot.structure, snapshot.columns.get("Stiffness"))


def read_barriers(folder: Path) -> list[Glass]:
    """Cu64Zr36 glasses with a mean energy barrier for every atom, from ``config*.npz``.

    Raises
    ------
    GlassMLError
        If the folder has no such files.
    """
    files = sorted(folder.glob("config*.npz"))
    if not files:
        raise GlassMLError(f"{folder} has no files config*.npz; give the folder of the barrier data.")
    glasses = []
    for file in files:
        with np.load(file) as data:
            box = np.asarray(data["box"], dtype=float)
            positions, types = data["positions"].astype(float), data["types"]
            structure = Structure(
                positions, types - 1, ("Cu", "Zr"), np.diag(box), origin=-box / 2, pbc=(True, True, True)
            )
            glasses.append(Glass(f"Cu64Zr36 {file.stem}", structure, data["energy_barrier"].astype(float)))
    return glasses


def draw_lasca_figures(
    glasses: Sequence[Glass], folder: Path, progress: Callable[[float, str], None], barriers: Sequence[Glass] = ()
) -> tuple[list[Path], list[str]]:
    """Draw all figures as PNG with their numbers beside them as CSV.

    Parameters
    ----------
    glasses : sequence of Glass
        Shipped samples; groups and pictures come from the last one.
    folder : Path
        Made if it is not there.
    progress : callable
        Fraction and text.
    barriers : sequence of Glass
        Further glasses with energy barriers, shown as one in the comparison of frequencies.

    Returns
    -------
    written : list of Path
    report : list of str
        Lines to print: frequencies side by side, and mean barriers by label.
    """
    folder.mkdir(parents=True, exist_ok=True)
    everything = [*glasses, *barriers]
    results = []
    for index, glass in enumerate(everything):
        progress(0.7 * index / len(everything), f"Looking for clusters in {glass.name}")
        results.append(LaSCA().compute(glass.structure))
    own, foreign = results[: len(glasses)], results[len(glasses) :]
    columns = {glass.name: [result] for glass, result in zip(glasses, own, strict=True)}
    if foreign:
        columns["Cu64Zr36, seven histories"] = foreign
    progress(0.7, "Drawing")
    written, report = draw_frequencies(columns, folder)
    written += draw_subclusters(glasses[-1], own[-1], folder)
    written += draw_clusters(glasses[-1], own[-1], folder)
    for name, of_column in columns.items():
        report += ["", f"most frequent in {name}:", *_most_frequent(of_column)]
    if foreign:
        report += ["", *_barrier_lines(mean_by_label(barriers, foreign))]
    return written, report


def share_of(text: str, results: Sequence[LaSCAResult]) -> float:
    """Share in % of a signature among the atoms of several results."""
    number = signature_number(parse_signature(text))
    found = sum(int(result.counts[result.numbers == number].sum()) for result in results)
    return 100 * found / sum(len(result.coordination) for result in results)


def _most_frequent(results: Sequence[LaSCAResult], most: int = 10) -> list[str]:
    """The signatures that most atoms have, with label and share."""
    texts = {format_signature(signature) for result in results for signature in result.signatures}
    shares = sorted(((share_of(text, results), text) for text in texts), reverse=True)[:most]
    return [f"{text:40s} {cluster_label(parse_signature(text)):6s} {share:.2f} %" for share, text in shares]


def draw_frequencies(columns: Mapping[str, Sequence[LaSCAResult]], folder: Path) -> tuple[list[Path], list[str]]:
    """The published frequencies beside those of glasses; also as lines of text."""
    texts = list(PUBLISHED_SHARES)
    shares = {"published": list(PUBLISHED_SHARES.values())}
    shares |= {name: [share_of(text, results) for text in texts] for name, results in columns.items()}
    labels = [cluster_label(parse_signature(text)) for text in texts]
    figure, axis = new_axes(10.0, 5.6)
    grouped_bars(axis, shares, ("0.35", *COLOURS))
    ticks = [f"{label}\n{text}" for label, text in zip(labels, texts, strict=True)]
    axis.set_xticks(np.arange(len(texts)), ticks, rotation=35, ha="right", rotation_mode="anchor", fontsize=9)
    axis.set(ylabel="share of atoms (%)", title="The ten most frequent close-packed clusters of the literature")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    table: dict[str, Sequence[Any]] = {"signature": texts, "label": labels}
    table |= {f"{name} (%)": values for name, values in shares.items()}
    report = [f"{'signature':30s} {'label':6s} " + "  ".join(shares)]
    for row, (text, label) in enumerate(zip(texts, labels, strict=True)):
        numbers = "  ".join(f"{values[row]:{len(name)}.2f}" for name, values in shares.items())
        report.append(f"{text:30s} {label:6s} {numbers}")
    return [save_figure(figure, folder / "frequencies.png"), save_table(table, folder / "frequencies.csv")], report


def draw_subclusters(glass: Glass, result: LaSCAResult, folder: Path) -> list[Path]:
    """Mean fractions of sub-clusters about each element, and about the softest and stiffest atoms."""
    groups = {name: glass.structure.species == index for index, name in enumerate(glass.structure.species_names)}
    if glass.values is not None:
        low, high = np.nanpercentile(glass.values, [10, 90])
        groups |= {"softest tenth": glass.values <= low, "stiffest tenth": glass.values >= high}
    # A group at a time, since an atom belongs to an element and perhaps to a tenth.
    means = [cluster_statistics(result, members.astype(int) - 1, ("in",)) for members in groups.values()]
    names = [f"S{format_subcluster(kind)}" for kind in SUBCLUSTERS] + ["other"]
    fractions = {name: one.subcluster_fractions[:, 1] for name, one in zip(groups, means, strict=True)}
    figure, axis = new_axes(9.0, 4.6)
    grouped_bars(axis, {name: 100 * values for name, values in fractions.items()}, COLOURS)
    axis.set_xticks(np.arange(len(names)), names)
    axis.set(ylabel="mean fraction of sub-clusters (%)", title=f"Sub-clusters by group of atoms, {glass.name}")
    axis.legend(frameon=False)
    axis.spines[["top", "right"]].set_visible(False)
    table: dict[str, Any] = {"subcluster": names, **fractions}
    return [save_figure(figure, folder / "subclusters.png"), save_table(table, folder / "subclusters.csv")]


def draw_clusters(glass: Glass, result: LaSCAResult, folder: Path) -> list[Path]:
    """Pictures of an icosahedron, a B12, a C13 and an icosahedron with a bond missing."""
    figure, axes = new_axes(10.0, 10.4, 2, 2)
    rows = Columns()
    for axis, text in zip(axes.ravel(), PICTURED, strict=True):
        of_atoms = result.numbers[result.signature_indices]
        found = np.flatnonzero(of_atoms == signature_number(parse_signature(text)))
        if not len(found):
            raise GlassMLError(f"{glass.name} has no cluster {text} to draw; take a larger glass.")
        # The one that grew least is the most regular.
        atom = int(found[np.argmin(result.cutoffs[found])])
        cluster = LaSCA().cluster(glass.structure, atom, result.max_cutoff)
        element = glass.structure.species_names[glass.structure.species[atom]]
        label = label_name(int(result.labels[atom]))
        _picture(axis, glass.structure, cluster)
        axis.set_title(f"{label}   {format_signature(cluster.signature)}\nabout {element}", fontsize=12)
        numbers = {"atom": glass.structure.ids[atom], "element": element, "cutoff": result.cutoffs[atom]}
        rows.add(signature=text, label=label, **numbers)
    handles: list[Any] = [
        Line2D([], [], color=colour, lw=4, label=f"centre to neighbour, S{kind}")
        for kind, colour in _BOND_COLOURS.items()
    ]
    handles.append(Line2D([], [], color="0.75", lw=2, label="bond of the shell"))
    handles += [
        Line2D([], [], marker="o", ls="", ms=11, mfc=colour, mec="0.2", label=name)
        for name, colour in _ATOM_COLOURS.items()
        if name in glass.structure.species_names
    ]
    figure.legend(handles=handles, loc="outside lower center", ncols=4, frameon=False)
    return [save_figure(figure, folder / "clusters.png"), save_table(rows, folder / "clusters.csv")]


def _picture(axis: Axes, structure: Structure, cluster: Cluster) -> None:
    """Balls and sticks, the far ones first."""
    places = np.vstack([_turned(cluster.vectors), np.zeros(3)])
    names = [structure.species_names[structure.species[atom]] for atom in (*cluster.neighbours, cluster.center)]
    radii = [_ATOM_RADII.get(name, 0.45) for name in names]
    center = len(cluster.neighbours)
    sticks = [(int(a), int(b), "0.75", 2.0) for a, b in cluster.shell_bonds]
    for a, kind in enumerate(cluster.subclusters):
        sticks.append((center, a, _BOND_COLOURS.get(format_subcluster(kind), "0.3"), 5.0))
    for a, b, colour, width in sticks:
        length = np.linalg.norm(places[b] - places[a])
        # From surface to surface, in steps that each know what is in front of them.
        steps = np.linspace(radii[a] / length, 1 - radii[b] / length, 9)
        points = places[a] + steps[:, None] * (places[b] - places[a])
        for first, second in pairwise(points):
            depth = 100 + first[2] + second[2]
            axis.plot(*zip(first[:2], second[:2], strict=True), color=colour, lw=width, zorder=depth)
    for place, radius, name in zip(places, radii, names, strict=True):
        depth = 100 + 2 * place[2]
        fill = _ATOM_COLOURS.get(name, "0.6")
        axis.add_patch(Circle(place[:2], radius, fc=fill, ec="0.15", lw=1, zorder=depth))
        shine = place[:2] + 0.3 * radius * np.array([-1, 1])
        axis.add_patch(Circle(shine, 0.25 * radius, fc="white", ec="none", alpha=0.6, zorder=depth + 1e-3))
    reach = np.abs(places[:, :2]).max() + max(radii) + 0.1
    axis.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")
    axis.axis("off")


def _turned(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The cluster seen along a direction in which no neighbour hides another, chosen among many."""
    rng = np.random.default_rng(1)
    best, widest = np.eye(3), -1.0
    for _ in range(400):
        rotation, _ = np.linalg.qr(rng.normal(size=(3, 3)))
        flat = np.vstack([np.zeros(2), (vectors @ rotation)[:, :2]])
        distances = np.linalg.norm(flat[:, None] - flat, axis=-1)
        narrowest = distances[np.triu_indices(len(flat), 1)].min()
        if narrowest > widest:
            best, widest = rotation, narrowest
    return vectors @ best


def mean_by_label(glasses: Sequence[Glass], results: Sequence[LaSCAResult]) -> list[tuple[str, int, float, float]]:
    """Label, number of atoms, mean of their values and its standard error, the most frequent label first.

    Atoms without label come as ``"none"``.
    """
    values = np.concatenate([glass.values for glass in glasses if glass.values is not None])
    labels = np.concatenate([result.labels for result in results])
    numbers, counts = np.unique(labels, return_counts=True)
    rows = []
    for number, count in sorted(zip(numbers.tolist(), counts.tolist(), strict=True), key=lambda pair: -pair[1]):
        chosen = values[labels == number]
        rows.append((label_name(number) or "none", count, float(chosen.mean()), float(chosen.std() / np.sqrt(count))))
    return rows


def _barrier_lines(rows: Sequence[tuple[str, int, float, float]], most: int = 15) -> list[str]:
    lines = ["label   atoms  mean energy barrier (eV), standard error"]
    return lines + [f"{label:6s} {count:6d}  {mean:.3f} ± {error:.3f}" for label, count, mean, error in rows[:most]]
