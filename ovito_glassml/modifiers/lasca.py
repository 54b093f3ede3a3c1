##### Glass ML: LaSCA #####
#
# Find the largest standard cluster of every atom and name it. Such as [12/555]
# for an icosahedron, with a label such as Z12 if the cluster is close-packed.
# Works in any unit of length. To look at one cluster, enter the identifier of
# its central particle under Show clusters of.

"""Largest standard clusters, common-neighbour sub-clusters and close-packed labels of all atoms."""

from __future__ import annotations

import re
from collections.abc import Generator, Sequence
from typing import Any, get_args

import numpy as np
from numpy.typing import NDArray
from ovito.data import BondType, DataCollection, DataObject, Particles, Property
from ovito.pipeline import ModifierInterface
from ovito.traits import PropertyReference
from traits.api import Bool, Enum, HasStrictTraits, Str

from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.notices import note_missing_cell
from ovito_glassml.adapter.output import (
    color_by_type,
    scatter,
    write_attributes,
    write_bar_chart,
    write_property,
    write_typed_property,
)
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.structure import Structure, StructureError
from ovito_glassml.topology.signature import (
    CRYSTALS,
    cluster_label,
    format_signature,
    format_subcluster,
    label_name,
    label_number,
)
from ovito_glassml.topology.standard_clusters import SUBCLUSTERS, Cluster, LaSCA, LaSCAResult, Stop
from ovito_glassml.topology.statistics import ClusterStatistics, cluster_statistics

__all__ = ["LaSCAModifier"]

#: Columns of the fractions of sub-clusters.
FRACTION_NAMES = (*(f"S{format_subcluster(kind)}" for kind in SUBCLUSTERS), "Other")

#: Beyond this the property is no classification, and its table no chart.
MOST_GROUPS = 20

#: Whole clusters that can be shown at a time without hiding each other.
MOST_SHOWN = 100

Colour = tuple[float, float, float]

_CRYSTAL_COLOURS: dict[str, Colour] = {"fcc": (0.4, 1.0, 0.4), "hcp": (1.0, 0.4, 0.4), "bcc": (0.4, 0.4, 1.0)}

#: One hue for each number of sub-clusters with four common neighbours.
_LETTER_COLOURS: tuple[Colour, ...] = (
    (0.95, 0.70, 0.10), (0.85, 0.35, 0.10), (0.75, 0.20, 0.45), (0.45, 0.25, 0.65),
    (0.20, 0.40, 0.70), (0.10, 0.55, 0.55), (0.15, 0.50, 0.25),
)  # fmt: skip
_NO_LABEL_COLOUR: Colour = (0.85, 0.85, 0.85)

_BOND_COLOURS: dict[str, Colour] = {
    "S555": (0.95, 0.70, 0.10), "S444": (0.20, 0.40, 0.70), "S666": (0.75, 0.20, 0.45),
    "S433": (0.10, 0.60, 0.55), "S544": (0.45, 0.75, 0.35), "shell": (0.80, 0.80, 0.80),
}  # fmt: skip
_OTHER_BOND_COLOUR: Colour = (0.4, 0.4, 0.4)

#: Type of the bonds between neighbours, which belong to no single sub-cluster.
_SHELL_BOND = -1


class _CutoffOrAuto(Str):
    """The text ``auto``, or a positive length given as a number or as text."""

    info_text = "'auto' or a positive length"
    fast_validate = None  # Str's own test, which would come first

    def validate(self, owner: Any, name: str, value: Any) -> str:
        text = str(value).strip()
        try:
            if text == "auto" or 0 < float(text) < np.inf:
                return text
        except ValueError:
            pass
        return self.error(owner, name, value)


def _is_classification(container: Any, candidate: Property) -> bool:
    return candidate.component_count == 1 and len(candidate.types) > 0


class LaSCAModifier(HasStrictTraits, ModifierInterface):
    """Find the largest standard cluster of every atom and name it.

    Such as [12/555] for an icosahedron, with a label such as Z12 if the cluster is close-packed. Works in any unit of
    length. To look at one cluster, enter the identifier of its central particle under *Show clusters of*.

    A cutoff r_c of its own for each atom decides which atoms are its neighbours and which of
    these are bonded to each other. The common neighbours of the centre and one neighbour, with
    the bonds among them, form the sub-cluster S_ijk of this neighbour: i common neighbours,
    j bonds, and k bonds in their longest chain. A sub-cluster is *standard* if no common
    neighbour has more than two of the bonds and if a ring, should there be one, contains all of
    them. r_c grows until one sub-cluster is not standard, or to `max_cutoff`. The *signature*
    counts the sub-clusters: [12/555] is an icosahedron.

    The label of a close-packed cluster (TCP: all faces of the shell are triangles) has a letter
    for the number of S444 (Z none, A one, B two ...) and the number of neighbours: Z12, Z16, A13,
    B12. A shell with one or two bonds missing is labelled as what it becomes when they are restored:
    1-Z12, 2-A14. [12/421], [6/421, 6/422] and [6/444, 8/666] are named fcc, hcp and bcc.

    Positions may be in any unit, species do not matter. In a snapshot of a Cu-Zr glass at 300 K the
    shares of labels are much as in its inherent structure (Z12: 5 % fewer), but single atoms are
    not: 57 % keep their label, 77 % of the icosahedra remain icosahedra.

    The rule is a reconstruction, since none is published in full. It reproduces the published labels
    and, for most clusters, their frequencies in Cu-Zr; Z16 comes out three times too rare.

    Outputs:

    * ``LaSC Coordination``: particle property, number of neighbours in the cluster.
    * ``LaSC Cutoff``: particle property, r_c where the growth ended, in the unit of the positions.
    * ``CNS Fractions``: particle property, fractions of S311, S322, S421, S422, S433, S444, S544,
      S555 and S666 among the sub-clusters, and of all others.
    * ``TCP Label``: particle property, typed: 0 without label, 1 fcc, 2 hcp, 3 bcc, else 10000
      times the missing bonds + 100 times the number of S444 + the neighbours (Z12 is 12, 1-B12 10212).
    * ``LaSC Signature``: particle property, typed: a number that always stands for the same
      signature; the hundred most frequent ones are named. 0 is an atom without neighbours.
    * ``lasc-signatures``: table of the hundred most frequent signatures, with share, number of
      atoms and label.
    * ``cns-fractions``: table of the mean fractions of sub-clusters.
    * ``tcp-labels``: table of the shares of labels.
    * ``LaSCA.z12_fraction``, ``LaSCA.tcp_fraction``, ``LaSCA.crystalline_fraction``: attributes,
      fractions of atoms labelled Z12, with any close-packed label, and fcc, hcp or bcc.
    * ``LaSCA.mean_five_fold_fraction``: attribute, mean of the fraction of S555.
    * ``LaSCA.max_cutoff``: attribute, the largest r_c allowed.
    * ``LaSCA.capped_fraction``: attribute, the fraction of atoms whose cluster would be standard
      beyond the r_c at which the stop ended its growth.
    * ``LaSCA.distinct_signatures``: attribute.
    * ``LaSCA.without_neighbours``: attribute, the number of atoms without any; their fractions are 0.
    * ``LaSCA.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``LaSCA.undefined``: attribute, the number of atoms without values: those not selected, and
      all if none has a neighbour to take the cutoff from.
    * Bonds of the clusters that `show_clusters_of` lists, with the bond property ``Sub-Cluster``,
      typed: 555 for S555 of the bond from the centre to a neighbour, -1 for a bond of the shell.

    Errors are raised for a `max_cutoff` in the wrong unit, and for two atoms in one place.

    Source: the labels and frequencies of X. Jiang, Z. Tian, K. Li, W. Hu, arXiv:2401.03743 (2024).
    """

    max_cutoff = _CutoffOrAuto("auto", label="Largest cutoff (length, or auto)", ovito_group="LaSCA")
    """
    No r_c grows beyond this, in the unit of the positions.

    :Default: ``"auto"``, 3.7 Å scaled by the position of the first peak of the radial
              distribution function relative to that of Cu64Zr36. The published frequencies are
              met best with it.
    """

    stop = Enum(*get_args(Stop), label="Growth stops at", ovito_group="LaSCA")
    """
    What ends the growth of a standard cluster: ``"max cutoff"``, or ``"no obtuse triangle"``, the
    first obtuse triangle of the centre and two bonded neighbours. The latter has no parameter;
    `max_cutoff` is not used then.

    :Default: ``"max cutoff"``
    """

    group_by = PropertyReference(
        container=DataObject.Ref(Particles),
        default_value="",
        mode=PropertyReference.Mode.Properties,
        filter=_is_classification,
        label="Statistics grouped by",
        ovito_group="LaSCA",
    )
    """
    Name of a typed particle property, such as ``"Particle Type"`` or ``"Prototype"``. The tables
    then have a column for each of its classes.

    :Default: ``""``, all atoms together.
    """

    show_clusters_of = Str(
        "", label="Show clusters of (particle identifiers)", ovito_group="LaSCA", ovito_placeholder="17, 205"
    )
    """
    Identifiers of particles whose clusters become bonds, each with its S_ijk. Without identifiers
    in the data particles are counted from 1.

    :Default: ``""``, no bonds are made.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="LaSCA")
    """
    Analyse selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles by TCP label", ovito_group="Colors")
    """
    Color the particles by ``TCP Label`` with OVITO's own coloring by type.

    :Default: ``False``, the colors stay as they are.
    """

    def modify(
        self, data: DataCollection, *, data_cache: DataCollection, **kwargs: Any
    ) -> Generator[str | float, None, None]:
        yield "Looking for clusters"
        structure = structure_from_data(data, only_selected=self.only_selected, names_needed=False)
        note_missing_cell(data, data_cache, self)
        groups, names = _groups(data, self.group_by)
        shown = _indices(structure, self.show_clusters_of)
        settings = LaSCA(None if self.max_cutoff == "auto" else float(self.max_cutoff), self.stop)
        result = yield from with_progress(lambda report: settings.compute(structure, report))
        yield "Writing properties"
        statistics = cluster_statistics(result, None if groups is None else groups[structure.selected], names)
        _write_properties(data, structure, result)
        _write_tables(data, result, statistics)
        _write_statistics(data, structure, result, statistics)
        if self.color_by_result:
            color_by_type(data, "TCP Label")
        if shown:
            yield "Making bonds"
            clusters = yield from with_progress(
                lambda report: [settings.cluster(structure, atom, result.max_cutoff) for atom in shown]
            )
            _write_bonds(data, structure, clusters)


def _groups(data: DataCollection, name: str) -> tuple[NDArray[np.int64] | None, tuple[str, ...]]:
    """For every particle the index of its class, and the names of the classes that occur."""
    if not name:
        return None, ()
    if data.particles is None or name not in data.particles:
        raise StructureError(f"There is no particle property {name!r} to group by; choose one that is there.")
    values: Any = data.particles[name]
    if values.ndim != 1 or values.dtype.kind not in "iu":
        raise StructureError(f"The property {name!r} has no classes to group by; choose a typed property.")
    classes, groups = np.unique(values[...], return_inverse=True)
    if len(classes) > MOST_GROUPS:
        raise StructureError(
            f"The property {name!r} has {len(classes)} classes; group by one that has at most {MOST_GROUPS}."
        )
    named = {kind.id: kind.name for kind in values.types}
    names = [_plain(named.get(number) or f"class {number}") for number in classes.tolist()]
    if len(set(names)) < len(names):
        names = [f"{name} ({number})" for name, number in zip(names, classes.tolist(), strict=True)]
    return groups.reshape(-1), tuple(names)


def _plain(name: str) -> str:
    """A name without what OVITO forbids in names of columns."""
    return re.sub(r"[./:]", "_", name)


def _indices(structure: Structure, text: str) -> list[int]:
    """Indices of the particles whose identifiers a text lists."""
    entries = [entry for entry in re.split(r"[,;\s]+", text) if entry]
    if len(entries) > MOST_SHOWN:
        raise StructureError(f"Clusters of {len(entries)} particles are to be shown; list at most {MOST_SHOWN}.")
    indices = []
    for entry in entries:
        found = structure.ids == (int(entry) if re.fullmatch(r"-?\d{1,18}", entry) else np.nan)
        if not found.any():
            raise StructureError(
                f"There is no particle with the identifier {entry!r} to show the cluster of; give an existing one."
            )
        indices.append(int(found.argmax()))
    return indices


def _write_properties(data: DataCollection, structure: Structure, result: LaSCAResult) -> None:
    write_property(data, "LaSC Coordination", scatter(structure, result.coordination, -1))
    write_property(data, "LaSC Cutoff", scatter(structure, result.cutoffs, np.nan))
    write_property(data, "CNS Fractions", scatter(structure, result.fractions, np.nan), FRACTION_NAMES)
    labels = {0: "none", **{number: label_name(number) for number in np.unique(result.labels).tolist() if number}}
    colours = {number: _label_colour(number) for number in labels}
    write_typed_property(data, "TCP Label", scatter(structure, result.labels, -1), labels, colours)
    numbers = result.numbers[result.signature_indices]
    spelled = zip(result.numbers.tolist(), result.signatures, strict=False)
    signatures = {0: "unknown", **{number: format_signature(signature) for number, signature in spelled if number}}
    write_typed_property(data, "LaSC Signature", scatter(structure, numbers, -1), signatures)


def _label_colour(number: int) -> Colour:
    """Hue by the number of S444, paler for each missing bond."""
    if number == 0:
        return _NO_LABEL_COLOUR
    name = label_name(number)
    if name in _CRYSTAL_COLOURS:
        return _CRYSTAL_COLOURS[name]
    white = 0.3 * (number // 10000)
    red, green, blue = ((1 - white) * part + white for part in _LETTER_COLOURS[number // 100 % 100])
    return red, green, blue


def _write_tables(data: DataCollection, result: LaSCAResult, statistics: ClusterStatistics) -> None:
    names = [format_signature(signature) for signature in result.signatures]
    table = write_bar_chart(
        data,
        "lasc-signatures",
        "LaSC signatures",
        x=("Signature (count and ijk)", names),
        y=dict(zip(statistics.names, 100 * statistics.signature_shares.T, strict=True)),
        y_label="Share (%)",
    )
    table.create_property("Atoms", data=result.counts[: len(names)].astype(np.int32))
    labels = [cluster_label(signature) for signature in result.signatures]
    column = table.create_property("TCP Label", data=np.array([label_number(label) for label in labels], np.int32))
    for label in sorted(set(labels)):
        column.add_type_id(label_number(label), table, name=label or "none")
    write_bar_chart(
        data,
        "cns-fractions",
        "Sub-cluster fractions",
        x=("Sub-cluster (ijk)", FRACTION_NAMES),
        y=dict(zip(statistics.names, 100 * statistics.subcluster_fractions.T, strict=True)),
        y_label="Mean fraction (%)",
    )
    write_bar_chart(
        data,
        "tcp-labels",
        "TCP labels",
        x=("TCP label (letter and neighbours)", [label_name(number) for number in statistics.label_numbers.tolist()]),
        y=dict(zip(statistics.names, 100 * statistics.label_shares.T, strict=True)),
        y_label="Share (%)",
    )


def _write_statistics(
    data: DataCollection, structure: Structure, result: LaSCAResult, statistics: ClusterStatistics
) -> None:
    count = len(result.labels)
    crystalline = np.isin(result.labels, list(CRYSTALS.values()))
    attributes: dict[str, float | int | str] = {
        "z12_fraction": np.count_nonzero(result.labels == label_number("Z12")) / max(count, 1),
        "tcp_fraction": np.count_nonzero((result.labels > 0) & ~crystalline) / max(count, 1),
        "crystalline_fraction": np.count_nonzero(crystalline) / max(count, 1),
        "mean_five_fold_fraction": float(statistics.subcluster_fractions[SUBCLUSTERS.index((5, 5, 5)), 0]),
        "max_cutoff": result.max_cutoff,
        "capped_fraction": np.count_nonzero(result.capped) / max(count, 1),
        "distinct_signatures": len(result.counts),
        "without_neighbours": int(np.count_nonzero(result.coordination == 0)),
        "undefined": len(structure) - int(np.count_nonzero(np.isfinite(result.cutoffs))),
    }
    write_attributes(data, "LaSCA", attributes)


def _write_bonds(data: DataCollection, structure: Structure, clusters: Sequence[Cluster]) -> None:
    """Add the bonds of the clusters to those that are there already."""
    bonds = data.particles_.create_bonds()
    before = bonds.count
    numbers: list[int] = []
    for cluster in clusters:
        images = _images(structure, cluster)
        for neighbour, image, (i, j, k) in zip(cluster.neighbours, images, cluster.subclusters, strict=True):
            bonds.add_bond(cluster.center, int(neighbour), pbcvec=image.tolist())
            numbers.append(100 * i + 10 * j + k)
        for a, b in cluster.shell_bonds:
            first, second = cluster.neighbours[[a, b]].tolist()
            bonds.add_bond(first, second, pbcvec=(images[b] - images[a]).tolist())
            numbers.append(_SHELL_BOND)
    names = {
        100 * i + 10 * j + k: f"S{format_subcluster((i, j, k))}" for one in clusters for i, j, k in one.subclusters
    }
    kinds = bonds.create_property("Sub-Cluster", dtype=np.int32)
    colours = bonds.create_property("Color")
    kinds[before:] = numbers
    known = {kind.id for kind in kinds.types}
    for number, name in sorted({_SHELL_BOND: "shell", **names}.items()):
        colour = _BOND_COLOURS.get(name, _OTHER_BOND_COLOUR)
        colours[before + np.flatnonzero(np.equal(numbers, number))] = colour
        if number not in known:
            kinds.types.append(BondType(id=number, name=name, color=colour))


def _images(structure: Structure, cluster: Cluster) -> NDArray[np.int64]:
    """Cell vectors to add to every neighbour to come to the one that the cluster contains."""
    if structure.cell is None:
        return np.zeros((len(cluster.neighbours), 3), dtype=np.int64)
    places = structure.positions[cluster.center] + cluster.vectors
    shifts = (places - structure.positions[cluster.neighbours]) @ np.linalg.inv(structure.cell)
    return np.round(shifts).astype(np.int64)
