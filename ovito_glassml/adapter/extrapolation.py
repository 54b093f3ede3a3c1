"""Whether a prediction can be trusted: extrapolation scores of atoms and sample as property, attributes and words."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection

from ovito_glassml.adapter.output import write_attributes, write_property

__all__ = ["WARNING_FRACTION", "Predicted", "write_extrapolation"]

#: Above this fraction of extrapolating atoms the result as a whole is doubtful.
WARNING_FRACTION = 0.1


class Predicted(NamedTuple):
    """What was predicted, and by what.

    Attributes
    ----------
    title : str
        How messages begin, such as ``Predicted stiffness``.
    prefix : str
        Of the attributes, such as ``PredictedStiffness``.
    output : str
        Main particle property.
    model : str
        Name or path.
    """

    title: str
    prefix: str
    output: str
    model: str


def write_extrapolation(data: DataCollection, predicted: Predicted, atoms: NDArray, sample: float) -> None:
    """Write ``<output> Extrapolation`` and two attributes, and warn where the training data lie far away.

    Parameters
    ----------
    data : DataCollection
    predicted : Predicted
    atoms : (N,) array
        Score of every atom; NaN for atoms without a prediction.
    sample : float
        Score of the sample; NaN where there is none.
    """
    scored = np.isfinite(atoms)
    fraction = float((atoms[scored] > 1).mean()) if scored.any() else 0.0
    write_property(data, f"{predicted.output} Extrapolation", atoms)
    write_attributes(data, predicted.prefix, {"extrapolating_fraction": fraction, "sample_extrapolation": sample})
    if fraction > WARNING_FRACTION:
        print(
            f"{predicted.title}: {fraction:.0%} of the atoms are unlike the training data of {predicted.model}; read "
            f"its card and trust the result only where {predicted.output} Extrapolation is below 1."
        )
    if sample > 1:
        print(
            f"{predicted.title}: the sample as a whole is unlike those that {predicted.model} was trained on (score "
            f"{sample:.2g}, those have at most 1), so all values may be off together, those of familiar atoms too; "
            "read its card, and minimise the structure or choose another model."
        )
