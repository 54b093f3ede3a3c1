##### Glass ML: Nonaffine activity #####
#
# Find the atoms that have rearranged since a reference frame. They are those
# whose neighbourhoods are far from any linear deformation. Choose the reference
# and what counts as active.

"""Non-affine squared displacement of every atom, and labels of active and inactive atoms made from it."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, Enum, HasStrictTraits, Range, Str

from ovito_glassml.adapter.colors import ColorRange
from ovito_glassml.adapter.input import parse_species, structure_from_data
from ovito_glassml.adapter.notices import note_foreign_unit, note_missing_cell
from ovito_glassml.adapter.output import (
    color_by,
    histogram_range,
    mean_and_spread,
    write_attributes,
    write_property,
    write_table,
)
from ovito_glassml.adapter.progress import part_of, with_progress
from ovito_glassml.adapter.trajectory import (
    Motion,
    identifiers_of,
    keep_per_atom,
    motion_between,
    recall_per_atom,
    reference_file,
)
from ovito_glassml.labels.activity import ACTIVE, INACTIVE, NEITHER, label_by_quantile, label_by_threshold
from ovito_glassml.labels.nonaffine import local_deformation
from ovito_glassml.structure import StructureError

__all__ = ["NonaffineActivityModifier"]

MAIN, SPREAD = "Nonaffine Squared Displacement", "Nonaffine Squared Displacement Spread"

#: Number of neighbours, −1 for atoms missing in a frame; kept, not shown.
NEIGHBOURS = "Neighbours"

#: Names of OVITO's options.
AFFINE_MAPPINGS = ("Off", "ToReference", "ToCurrent")

#: Bins of the histogram.
BINS = 100


class NonaffineActivityModifier(HasStrictTraits, ModifierInterface):
    """Find the atoms that have rearranged since a reference frame.

    They are those whose neighbourhoods are far from any linear deformation. Choose the reference and what counts as
    active.

    D²min_i = min_F Σ_j |r'_ij − F r_ij|² over the neighbours j that atom i has in the reference
    frame: what is left of the motion of its neighbourhood when the best linear deformation is
    taken out (Falk and Langer, Phys. Rev. E 57, 7192, 1998). The parameters of the reference have the
    names that they have in OVITO's own modifier Atomic strain, and so has the result. Unlike there,
    atoms with too few neighbours get no value, cells may be smaller than the cutoff, the selection
    stays as it is, and a periodic cell may be flipped, reduced or turned between the frames: the
    vectors that belong together are those in which the atoms move alike.

    Atoms are matched by identifier. They are labelled *active* and *inactive* by a threshold on
    D²min or by its largest and smallest values. Lengths are in the unit of the file; the
    defaults are for metallic glasses in Å, 2.5 nearest-neighbour distances of 2.7 Å and 0.6 times
    their square. In Lennard-Jones units use a cutoff of 2.5 and a threshold of 0.6.

    Two minimised frames, before and after a step of strain, show a plastic event. In thermal
    motion D²min also contains vibrations. Its mean over many runs from one start is what the
    structure can tell: with `isoconfigurational`, frame 0 is the start and every further frame the
    end of one run, and all frames show the same values, which are computed once. Two frames, before
    and after an event, label the structure before it in this way.

    Outputs:

    * ``Nonaffine Squared Displacement``: particle property, D²min in the square of the length unit;
      NaN for other species than the active ones and for atoms without a value.
    * ``Nonaffine Squared Displacement Spread``: particle property, only with `isoconfigurational`:
      the standard deviation between runs, NaN for a single run.
    * ``Activity``: particle property, 1 active, 0 inactive, −1 neither.
    * ``nonaffine-histogram``: table of the logarithm of D²min, with one curve for active, inactive
      and other atoms: they part at the cut. Atoms that have not moved at all are in the first bin.
    * ``NonaffineActivity.threshold``: attribute, the smallest D²min of an active atom; with labels
      by threshold the threshold itself.
    * ``NonaffineActivity.inactive_threshold``: attribute, the largest D²min of an inactive atom; with
      labels by threshold the threshold itself.
    * ``NonaffineActivity.active``, ``NonaffineActivity.inactive``: attributes, numbers of atoms.
    * ``NonaffineActivity.color_low``, ``NonaffineActivity.color_high``: attributes, with `color_by_result`: the
      values at the two ends of the colors.
    * ``NonaffineActivity.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``NonaffineActivity.foreign_unit``: attribute, 1 if atoms are too dense for lengths in Å and those of this
      modifier keep their defaults in Å, which is said in a line. Else 0.
    * ``NonaffineActivity.undefined``: attribute, the number of atoms without D²min: other species,
      atoms missing in one of the frames, and those with too few neighbours.
    * ``NonaffineActivity.too_few_neighbours``: attribute, the number of atoms with less than 4
      neighbours within the cutoff or with all of them in a plane.
    * ``NonaffineActivity.mean``: attribute, mean D²min.
    * ``NonaffineActivity.replicas``: attribute, the number of runs averaged over; 1 without
      `isoconfigurational`.

    Errors are raised for a reference that does not exist or has other particles, a trajectory of one
    frame, an unknown species, shares that overlap, jumps across boundaries that are neither
    unwrapped nor undone by the minimum image convention, and frames that no deformation of one solid
    connects: atoms that moved anywhere in the cell, a cell stretched more than 6 times or to less than
    half or more than twice the volume.
    """

    reference = reference_file(label="Reference file", ovito_group="Reference")
    """
    File with the reference configuration, if it is not in the trajectory itself: the name of the
    file, or `modifier.reference.load(name)` as in OVITO's own modifiers.

    :Default: none, the reference is a frame of the trajectory.
    """

    reference_frame = Range(low=0, value=0, label="Reference frame", ovito_group="Reference")
    """
    Frame of the trajectory, or of the reference file, that all frames are compared with.

    :Default: ``0``
    """

    use_frame_offset = Bool(False, label="Relative to current frame", ovito_group="Reference")
    """
    Compare every frame with the one at `frame_offset` from it.

    :Default: ``False``
    """

    frame_offset = Range(low=-1_000_000, high=1_000_000, value=-1, label="Frame offset", ovito_group="Reference")
    """
    Frame of the reference relative to the current frame.

    :Default: ``-1``, the frame before; the first frame then has no reference.
    """

    affine_mapping = Enum(*AFFINE_MAPPINGS, label="Affine mapping", ovito_group="Reference")
    """
    Cell in which displacements are measured, as in OVITO: with ``"ToReference"`` that of the reference,
    else the current one. D²min changes as squared lengths do from one cell to the other, and not
    otherwise, since it leaves out linear deformations anyway.

    :Default: ``"Off"``
    """

    minimum_image_convention = Bool(True, label="Use minimum image convention", ovito_group="Reference")
    """
    Take the shortest of all displacements to periodic images. Switched off, nothing is undone, and frames in
    which particles move by more than half a cell, as they seem to where they cross a boundary, are refused.

    :Default: ``True``
    """

    isoconfigurational = Bool(False, label="Frames are runs from frame 0", ovito_group="Reference")
    """
    Average over runs with new velocities: frame 0 is the start, every further frame the end of
    one. The other parameters of the reference frame are then ignored.

    :Default: ``False``
    """

    cutoff = Range(low=0.0, value=6.75, exclude_low=True, label="Cutoff (length)", ovito_group="Nonaffine activity")
    """
    Atoms nearer than this in the reference frame are neighbours, in the length unit of the file.

    :Default: ``6.75``, 2.5 nearest-neighbour distances of 2.7 Å in Cu-Zr.
    """

    per_neighbour = Bool(False, label="Divide by number of neighbours", ovito_group="Nonaffine activity")
    """
    Mean over neighbours in place of the sum. Thresholds then are smaller by the number of neighbours.

    :Default: ``False``, the sum, as in the literature and in OVITO.
    """

    labels = Enum(
        "threshold",
        "quantile",
        label="Labels by",
        ovito_group="Labels",
        ovito_invalidate_cache=False,
    )
    """
    ``"threshold"``: above `threshold` active, all others inactive. ``"quantile"``: the largest and
    smallest values.

    :Default: ``"threshold"``
    """

    threshold = Range(
        low=0.0,
        value=4.374,
        exclude_low=True,
        label="Threshold (length²)",
        ovito_group="Labels by threshold",
        ovito_invalidate_cache=False,
    )
    """
    D²min above which an atom is active, in the square of the length unit.

    :Default: ``4.374``, 0.6 squares of the nearest-neighbour distance in Cu-Zr.
    """

    active_share = Range(
        low=0.0,
        high=1.0,
        value=0.05,
        exclude_low=True,
        label="Active (share of atoms)",
        ovito_group="Labels by quantile",
        ovito_invalidate_cache=False,
    )
    """
    Share of the atoms, those with the largest D²min, that labels by quantile call active.

    :Default: ``0.05``, few enough to be clear cases and enough to learn from.
    """

    inactive_share = Range(
        low=0.0,
        high=1.0,
        value=0.05,
        exclude_low=True,
        label="Inactive (share of atoms)",
        ovito_group="Labels by quantile",
        ovito_invalidate_cache=False,
    )
    """
    Share of the atoms, those with the smallest D²min, that labels by quantile call inactive.

    :Default: ``0.05``
    """

    active_species = Str("", label="Species to label (empty = all)", ovito_group="Labels", ovito_invalidate_cache=False)
    """
    Names such as ``"A"`` or ``"Cu,Zr"``. All atoms count as neighbours, but the others get no value,
    and shares refer to these species only.

    :Default: ``""``, all species.
    """

    species = Str("", label="Species of unnamed types", ovito_group="Labels", ovito_invalidate_cache=False)
    """
    Names in the order of the numeric types, such as ``"Cu,Zr"``; only `active_species` needs them.

    :Default: ``""``: the names in the data.
    """

    color_by_result = Bool(
        False, label="Color particles by displacement", ovito_group="Colors", ovito_invalidate_cache=False
    )
    """
    Color the particles by ``Nonaffine Squared Displacement`` with OVITO's own color coding.

    :Default: ``False``, the colors stay as they are.
    """

    color_range = ColorRange(ovito_invalidate_cache=False)
    """
    Values at the two ends of the colors, such as ``"0.5, 1.1"``, to compare frames or pictures.

    :Default: ``""``, the 2nd and the 98th percentile of each frame, so that single odd atoms do not take the
              contrast from the others.
    """

    def __getstate__(self) -> dict[str, Any]:
        state: dict[str, Any] = super().__getstate__()  # type: ignore[assignment]
        if not self._has_file():
            state.pop("reference", None)  # which only OVITO itself can store
        return state

    def input_caching_hints(self, frame: int, **kwargs: Any) -> dict[str, list[int]]:
        """Keep the reference frame in memory while the current one changes."""
        if self.isoconfigurational:
            return {"upstream": [frame], "reference": []}
        wanted = [max(0, self._wanted_frame(frame))]
        if self._has_file():
            return {"upstream": [frame], "reference": wanted}
        return {"upstream": [frame, *wanted], "reference": []}

    def modify(
        self,
        data: DataCollection,
        *,
        frame: int,
        input_slots: dict[str, ModifierInterface.InputSlot],
        data_cache: DataCollection,
        **kwargs: Any,
    ) -> Generator[str | float, None, None]:
        eligible = self._eligible(data)
        note_missing_cell(data, data_cache, self)
        note_foreign_unit(data, data_cache, self, "cutoff", *(("threshold",) if self.labels == "threshold" else ()))
        self._label(np.empty(0))  # refuses impossible shares before the work
        if self.isoconfigurational:
            replicas = input_slots["upstream"].num_frames - 1
            if data_cache.particles is None:
                yield from self._average(input_slots["upstream"], replicas, data_cache)
            columns = recall_per_atom(data_cache, data)
        else:
            replicas = 1
            yield "Reading the reference"
            motion = self._motion(self._reference_data(frame, input_slots), data)
            yield "Computing displacements"
            columns = yield from self._measure(motion, motion.end_rows, data.particles.count)
        yield "Writing properties"
        self._write(data, columns, eligible)
        write_attributes(data, "NonaffineActivity", {"replicas": replicas})

    def _eligible(self, data: DataCollection) -> NDArray[np.bool_]:
        """Atoms of the species to label."""
        wanted = parse_species(self.active_species)
        structure = structure_from_data(data, species=self.species, names_needed=bool(wanted))
        names = structure.species_names
        unknown = [name for name in wanted if name not in names]
        if unknown and len(structure):
            raise StructureError(
                f"No particle is of the species {', '.join(unknown)}; choose active_species from {', '.join(names)}, "
                "or leave it empty for all."
            )
        numbers = [number for number, name in enumerate(names) if not wanted or name in wanted]
        return np.isin(structure.species, numbers)

    def _has_file(self) -> bool:
        return self.reference is not None and self.reference.num_frames > 0

    def _wanted_frame(self, frame: int) -> int:
        return int(frame + self.frame_offset if self.use_frame_offset else self.reference_frame)

    def _reference_data(self, frame: int, input_slots: dict[str, ModifierInterface.InputSlot]) -> DataCollection:
        """The frame to compare with."""
        wanted = self._wanted_frame(frame)
        if self._has_file():
            slot, name = input_slots["reference"], "reference file"
        else:
            slot, name = input_slots["upstream"], "trajectory"
            if slot.num_frames < 2:
                raise StructureError(
                    "A single frame shows no displacements; load a trajectory of more frames or set a reference file."
                )
        if not 0 <= wanted < slot.num_frames:
            raise StructureError(
                f"Frame {frame} would be compared with frame {wanted} of the {name}, which has frames 0 to "
                f"{slot.num_frames - 1}; change the reference frame or its offset, or choose other frames."
            )
        return slot.compute(wanted)

    def _motion(self, reference: DataCollection, data: DataCollection) -> Motion:
        return motion_between(reference, data, self.minimum_image_convention)

    def _measure(
        self, motion: Motion, rows: NDArray[np.int64], count: int
    ) -> Generator[float | str, None, dict[str, NDArray]]:
        """D²min and number of neighbours of `count` atoms, of which those at `rows` took part in the motion."""
        moves = motion.displacements
        if self.affine_mapping != "ToReference":
            moves = np.einsum("ij,kj->ik", moves, motion.deformation)  # as long as they are in the current cell
        fit = yield from with_progress(lambda report: local_deformation(motion.start, moves, self.cutoff, report))
        squares = fit.squares / np.maximum(fit.neighbours, 1) if self.per_neighbour else fit.squares
        columns = {MAIN: np.full(count, np.nan), NEIGHBOURS: np.full(count, -1)}
        columns[MAIN][rows], columns[NEIGHBOURS][rows] = squares, fit.neighbours
        return columns

    def _average(
        self, upstream: ModifierInterface.InputSlot, replicas: int, data_cache: DataCollection
    ) -> Generator[str | float, None, None]:
        """Mean and spread over all runs, into the cache."""
        if replicas < 1:
            raise StructureError(
                "Isoconfigurational runs are a trajectory of at least 2 frames, the start and one end, and this has "
                f"{replicas + 1}; load the ends of the runs as further frames."
            )
        start = upstream.compute(0)
        count = start.particles.count if start.particles is not None else 0
        mean, scatter, neighbours = np.zeros(count), np.zeros(count), np.full(count, np.iinfo(np.int64).max)
        for replica in range(1, replicas + 1):
            yield f"Run {replica} of {replicas}"
            motion = self._motion(start, upstream.compute(replica))
            run = self._measure(motion, motion.start_rows, count)
            columns = yield from part_of(run, (replica - 1) / replicas, replica / replicas)
            change = columns[MAIN] - mean
            mean += change / replica
            scatter += change * (columns[MAIN] - mean)
            neighbours = np.minimum(neighbours, columns[NEIGHBOURS])
        spread = np.sqrt(scatter / (replicas - 1)) if replicas > 1 else np.full(count, np.nan)
        keep_per_atom(data_cache, identifiers_of(start.particles), {MAIN: mean, SPREAD: spread, NEIGHBOURS: neighbours})

    def _label(self, values: NDArray[np.float64]) -> NDArray[np.int8]:
        if self.labels == "threshold":
            return label_by_threshold(values, self.threshold)
        labels = label_by_quantile(values, self.active_share, self.inactive_share)
        least, most = _limits(values, labels)
        # Where the most and the least active moved equally, as in the reference itself, nothing tells them apart.
        return np.full_like(labels, NEITHER) if least <= most else labels

    def _write(self, data: DataCollection, columns: dict[str, NDArray], eligible: NDArray[np.bool_]) -> None:
        """Label the atoms of the current frame and add everything to it."""
        values = np.where(eligible, columns[MAIN], np.nan)
        labels = self._label(values)
        write_property(data, MAIN, values)
        if SPREAD in columns:
            write_property(data, SPREAD, np.where(eligible, columns[SPREAD], np.nan))
        write_property(data, "Activity", labels)
        _write_histogram(data, values, labels)
        limits = (self.threshold, self.threshold) if self.labels == "threshold" else _limits(values, labels)
        statistics = {
            "threshold": limits[0],
            "inactive_threshold": limits[1],
            "active": int((labels == ACTIVE).sum()),
            "inactive": int((labels == INACTIVE).sum()),
            "undefined": int(np.isnan(values).sum()),
            "too_few_neighbours": int((np.isnan(values) & eligible & (columns[NEIGHBOURS] >= 0)).sum()),
            "mean": mean_and_spread(values)[0],
        }
        write_attributes(data, "NonaffineActivity", statistics)
        if self.color_by_result:
            color_by(data, MAIN, self.color_range, "NonaffineActivity")


def _limits(values: NDArray, labels: NDArray) -> tuple[float, float]:
    """Smallest value of an active and largest of an inactive atom, NaN where there is none."""
    active, inactive = values[labels == ACTIVE], values[labels == INACTIVE]
    least = float(active.min()) if len(active) else float("nan")
    return least, float(inactive.max()) if len(inactive) else float("nan")


def _write_histogram(data: DataCollection, values: NDArray, labels: NDArray) -> None:
    """Number of atoms of each label over log₁₀ D²min."""
    edges = np.linspace(*histogram_range(np.log10(values[values > 0]), BINS), BINS + 1)
    places = np.clip(np.log10(np.maximum(values, np.finfo(np.float64).tiny)), edges[0], edges[-1])
    kinds = {"Active": ACTIVE, "Inactive": INACTIVE, "Neither": NEITHER}
    known = np.isfinite(values)
    curves = {name: np.histogram(places[known & (labels == kind)], edges)[0] for name, kind in kinds.items()}
    axis = "log10 of D²min (in squared length units)", (edges[1:] + edges[:-1]) / 2
    write_table(data, "nonaffine-histogram", "Histogram of D²min", x=axis, y=curves, y_label="Atoms")
