"""Labels of the larger plastic events, which are there to learn from though not to judge by."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.labels.activity import NEITHER
from ovito_glassml.simulate.material_header import material_of_header
from ovito_glassml.simulate.protocols.shear_aqs import label_events
from ovito_glassml.simulate.snapshots import Snapshot, made_with

__all__ = ["LEARNED_AVALANCHE_SHARE", "labels_of_larger_events"]

#: Events of sheared glasses in which at most this share of the atoms is active are learned from, if not judged by.
#: Beyond the protocol's tenth this raises what is recognised in local events (balanced accuracy, 20 radial features
#: up to 4 nearest-neighbour distances: Cu50Zr50 0.64 to 0.68, polymer 0.70 to 0.73, Kob-Andersen 0.73 to 0.78,
#: Wahnström 0.65 to 0.67); twice as much changes little.
LEARNED_AVALANCHE_SHARE = 0.3


def labels_of_larger_events(frames: Sequence[Snapshot]) -> NDArray[np.int64]:
    """(events, N) labels of the events that the protocol left without, by its own rule."""
    labels = np.full((len(frames), len(frames[0].structure)), NEITHER)
    larger = [number for number, frame in enumerate(frames) if str(frame.header.get("avalanche")) == "1"]
    if not larger:
        return labels
    settings = made_with(frames[0].header)
    material = material_of_header(frames[0].header)
    if material is None:
        raise SimulationError("The frames do not say what material they are of; collect files of glassml simulate.")
    length = material.nearest_neighbour_distance
    moved, largest = (
        np.array([frames[number].columns[name] for number in larger]) / length**2
        for name in ("Nonaffine_Squared_Displacement", "Largest_Nonaffine_Squared_Displacement")
    )
    strain = np.array([float(str(frames[number].header["strain"])) for number in larger])
    # Blocks end where a step ends; the middle of the step lies safely inside.
    middle = strain - settings["discarded_strain"] + settings["step"] / 2
    _, place, block = np.unique((middle / settings["block"]).astype(int), return_index=True, return_inverse=True)
    eligible = frames[0].structure.of_species(material.active_species)
    limits = settings["threshold"], LEARNED_AVALANCHE_SHARE, settings["seed"]
    labels[larger] = label_events(moved, block, largest[place], eligible, *limits)
    return labels
