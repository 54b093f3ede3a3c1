##### Glass ML: Atomic stiffness #####
#
# Measure how stiffly every atom is held: K_i = k_B T / u_i². Set the
# temperature of the simulation. Atoms that move to another site during the
# window are counted.

"""Vibrational mean-squared displacement and stiffness of every atom of a trajectory."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Range

from ovito_glassml.adapter.colors import ColorRange
from ovito_glassml.adapter.notices import note_foreign_unit, note_missing_cell
from ovito_glassml.adapter.output import color_by, mean_and_spread, write_attributes, write_histogram, write_property
from ovito_glassml.adapter.trajectory import TrajectoryFollower, frame_window, keep_per_atom, recall_per_atom
from ovito_glassml.labels.vibrations import VibrationAccumulator, stiffness_from_msd

__all__ = ["AtomicStiffnessModifier"]

#: Blocks of the window between which hops are looked for, if there are frames enough.
MOST_BLOCKS = 50

#: A mean over fewer frames does not tell an atom's site from its vibration.
FRAMES_PER_BLOCK = 5

#: Atoms evaluated between two signs of life.
BLOCK_SIZE = 4096

#: What a stiffness is where lengths are no ångströms.
_IN_OTHER_UNITS = ", and read Stiffness as k_B T in eV over u² in that unit"

#: Attribute: atoms whose image flags are wrong.
IGNORED_FLAGS = "ignored_image_flags"


class AtomicStiffnessModifier(HasStrictTraits, ModifierInterface):
    """Measure how stiffly every atom is held: K_i = k_B T / u_i².

    Set the temperature of the simulation. Atoms that move to another site during the window are counted.

    u_i² is the mean-squared displacement of atom i about its mean position over a window of
    frames of a simulation at constant temperature. Crossings of periodic boundaries are
    undone by the nearest image from one frame to the next, atoms are matched by identifier, and the
    drift of the whole is removed. So is the breathing of a cell under a barostat: displacements are
    those in the mean cell, and the cell may be flipped. Lengths are in Å. The
    window should be 100 ps long and have a few hundred frames: a short one misses slow motion
    and gives too large a stiffness.

    An atom that hops to another site has a large u² that describes neither site. The window is
    divided into up to 50 blocks of at least 5 frames; a block whose mean position is further
    than `hop_distance` from the site begins a new site, and the hop-corrected values leave out
    the blocks at the change. With fewer than 10 frames hops are not detected.

    Inherent structures do not vibrate: use the modifier Predicted stiffness for them.

    Outputs:

    * ``Vibrational MSD``: particle property, u² in Å², hops included.
    * ``Stiffness``: particle property, K in eV/Å².
    * ``Hop Corrected MSD``, ``Hop Corrected Stiffness``: the same about the mean position of
      each site.
    * ``Hops``: particle property, number of changes of site.
    * ``stiffness-histogram``: table.
    * ``AtomicStiffness.mean``, ``AtomicStiffness.std``, ``AtomicStiffness.hop_corrected_mean``:
      attributes, mean and standard deviation of K in eV/Å².
    * ``AtomicStiffness.hopping_fraction``: attribute, the fraction of atoms that hopped.
    * ``AtomicStiffness.frames``: attribute, the number of frames averaged over.
    * ``AtomicStiffness.ignored_image_flags``: attribute, the number of atoms whose property Periodic
      Image tells of another step than to the nearest image. Image flags of coordinates that are
      already unwrapped do, and those that are not kept up. They are not used, and one line says so.
    * ``AtomicStiffness.color_low``, ``AtomicStiffness.color_high``: attributes, with `color_by_result`: the
      values at the two ends of the colors.
    * ``AtomicStiffness.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``AtomicStiffness.foreign_unit``: attribute, 1 if atoms are too dense for lengths in Å and `hop_distance` is
      as it was, which is said in a line. Else 0.
    * ``AtomicStiffness.undefined``: attribute, the number of atoms without a stiffness: those
      missing in a frame of the window (NaN, and −1 hops) and those that never moved.

    Every frame shows the same values, which are computed once. Errors are raised for fewer than
    two frames, for atoms that cannot be followed or change their type, and for a cell that drifts by
    more than 0.5 % in the window.
    """

    temperature = Range(
        low=0.0,
        value=300.0,
        exclude_low=True,
        label="Temperature (K)",
        ovito_group="Atomic stiffness",
        ovito_invalidate_cache=False,
    )
    """
    Temperature of the simulation in K.

    :Default: ``300.0``, room temperature, the highest at which the labels of the models were measured.
    """

    first_frame = Range(low=0, value=0, label="First frame", ovito_group="Window")
    """
    Frame that the window begins with; leave out frames in which the system comes to equilibrium.

    :Default: ``0``
    """

    number_of_frames = Range(low=0, value=0, label="Number of frames (0 = to the end)", ovito_group="Window")
    """
    Length of the window, in frames of the trajectory.

    :Default: ``0``, to the end of the trajectory.
    """

    every_nth_frame = Range(low=1, value=1, label="Use every nth frame", ovito_group="Window")
    """
    Use only every nth frame of the window, to save time. No atom may move by half a cell relative to
    the others between the frames that are used.

    :Default: ``1``
    """

    hop_distance = Range(low=0.0, value=0.6, exclude_low=True, label="Hop distance (Å)", ovito_group="Atomic stiffness")
    """
    Distance in Å between the mean positions in two blocks beyond which they are different sites.

    :Default: ``0.6``, three times the root of u² at 300 K in a Cu-Zr glass.
    """

    color_by_result = Bool(
        False, label="Color particles by stiffness", ovito_group="Colors", ovito_invalidate_cache=False
    )
    """
    Color the particles by ``Stiffness`` with OVITO's own color coding.

    :Default: ``False``, the colors stay as they are.
    """

    color_range = ColorRange(ovito_invalidate_cache=False)
    """
    Values at the two ends of the colors, such as ``"0.5, 1.1"``, to compare frames or pictures.

    :Default: ``""``, the 2nd and the 98th percentile of each frame, so that single odd atoms do not take the
              contrast from the others.
    """

    def modify(
        self,
        data: DataCollection,
        *,
        input_slots: dict[str, ModifierInterface.InputSlot],
        data_cache: DataCollection,
        **kwargs: Any,
    ) -> Generator[str | float, None, None]:
        upstream = input_slots["upstream"]
        limits = int(self.first_frame), int(self.number_of_frames), int(self.every_nth_frame)
        window = frame_window(upstream.num_frames, *limits)
        if data_cache.particles is None:
            yield f"Averaging over {len(window)} frames"
            yield from self._measure(upstream, window, data_cache)
        yield "Writing properties"
        self._write(data, data_cache)
        note_missing_cell(data, data_cache, self)
        note_foreign_unit(data, data_cache, self, "hop_distance", beside=_IN_OTHER_UNITS)
        ignored = data_cache.attributes[IGNORED_FLAGS]
        write_attributes(data, "AtomicStiffness", {"frames": len(window), IGNORED_FLAGS: ignored})

    def _measure(
        self, upstream: ModifierInterface.InputSlot, window: range, data_cache: DataCollection
    ) -> Generator[str | float, None, None]:
        """Follow the atoms through the window and keep the result in the cache."""
        follower = TrajectoryFollower(upstream.compute(window[0]))
        blocks = min(MOST_BLOCKS, len(window) // FRAMES_PER_BLOCK)
        vibrations = VibrationAccumulator(follower.reference, len(window), blocks, self.hop_distance)
        for done, frame in enumerate(window, start=1):
            vibrations.add(follower.follow(upstream.compute(frame)))
            yield done / len(window)
        yield "Looking for hops"
        count = len(follower.reference)
        msd, corrected, hops = np.empty(count), np.empty(count), np.empty(count, dtype=np.int32)
        for first in range(0, count, BLOCK_SIZE):
            atoms = slice(first, first + BLOCK_SIZE)
            result = vibrations.result(atoms)
            msd[atoms], corrected[atoms], hops[atoms] = result.msd, result.hop_corrected_msd, result.hops
            yield min(1.0, (first + BLOCK_SIZE) / count)
        area = follower.mean_scale() ** 2
        columns = {
            "Vibrational MSD": np.where(follower.complete, msd * area, np.nan),
            "Hop Corrected MSD": np.where(follower.complete, corrected * area, np.nan),
            "Hops": np.where(follower.complete, hops, -1).astype(np.int32),
        }
        ignored = int(follower.contradicted.sum())
        if ignored:
            print(
                f"Atomic stiffness: the image flags of {ignored} of {count} atoms do not belong to their positions; "
                "they are not used, and atoms are followed to the nearest image."
            )
        data_cache.attributes[IGNORED_FLAGS] = ignored
        keep_per_atom(data_cache, follower.ids, columns)

    def _write(self, data: DataCollection, data_cache: DataCollection) -> None:
        """Give the kept amplitudes to the atoms of the current frame."""
        columns = recall_per_atom(data_cache, data)
        stiffness = stiffness_from_msd(columns["Vibrational MSD"], self.temperature)
        corrected = stiffness_from_msd(columns["Hop Corrected MSD"], self.temperature)
        columns |= {"Stiffness": stiffness, "Hop Corrected Stiffness": corrected}
        for name, values in columns.items():
            write_property(data, name, values)
        write_histogram(data, "stiffness-histogram", "Histogram of stiffness", stiffness, "Stiffness (eV/Å²)")
        followed = columns["Hops"] >= 0
        mean, spread = mean_and_spread(stiffness)
        statistics = {
            "mean": mean,
            "std": spread,
            "hop_corrected_mean": mean_and_spread(corrected)[0],
            "hopping_fraction": float((columns["Hops"][followed] > 0).mean()) if followed.any() else np.nan,
            "undefined": int(np.isnan(stiffness).sum()),
        }
        write_attributes(data, "AtomicStiffness", statistics)
        if self.color_by_result:
            color_by(data, "Stiffness", self.color_range, "AtomicStiffness")
