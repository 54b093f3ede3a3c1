"""One way to write any prediction into OVITO's data: its columns, and in attributes and words how far to trust it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection

from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.adapter.notices import note_missing_cell, note_other_model, say_once
from ovito_glassml.adapter.output import mean_and_spread, write_attributes, write_histogram, write_property
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.structure import Structure

__all__ = ["WARNING_FRACTION", "Output", "predict_particles", "trust_in_words", "write_prediction"]

Model = TypeVar("Model")
Result = TypeVar("Result")

#: Above this fraction of extrapolating atoms the result as a whole is doubtful.
WARNING_FRACTION = 0.1


class Chosen(Protocol):
    """A model that was chosen by its name, and why files of others were passed over."""

    @property
    def name(self) -> str: ...
    @property
    def unusable(self) -> tuple[str, ...]: ...


class Scored(Protocol):
    """A prediction: scores of the atoms, NaN where there is none, and of the sample, NaN where the model has none."""

    @property
    def extrapolation(self) -> NDArray[np.float64]: ...
    @property
    def sample_extrapolation(self) -> float: ...


@dataclass(frozen=True)
class Output:
    """How a modifier calls what it predicts.

    Attributes
    ----------
    title : str
        How messages begin, such as ``Predicted stiffness``.
    doing : str
        What is said while it is computed.
    prefix : str
        Of the attributes, such as ``PredictedStiffness``.
    main : str
        Main particle property.
    axis : str
        Label with unit of the histogram of the main property; none without it.
    """

    title: str
    doing: str
    prefix: str
    main: str
    axis: str = ""


def predict_particles(
    data: DataCollection,
    data_cache: DataCollection,
    modifier: Any,
    output: Output,
    choose: Callable[[Structure], Chosen],
    load: Callable[[str], Model],
    predict: Callable[[Model, Structure, Callable[[float], None]], Result],
) -> Generator[str | float, None, tuple[str, Model, Result]]:
    """Choose and load a model and predict for the particles of a frame, yielding progress.

    Parameters
    ----------
    data, data_cache : DataCollection
        What OVITO hands to a modifier.
    modifier : modifier
        Whose parameters `model`, `species` and `only_selected` count.
    output : Output
    choose : callable
        Gives the model for a structure where the parameter is empty. Runs in the worker like `load` and `predict`:
        parallel code must not run in two threads at once.
    load : callable
        Gives the model of a name or path.
    predict : callable
        Takes model, structure and a callback for the fraction done.

    Returns
    -------
    name, model, prediction
    """
    structure = structure_from_data(data, species=modifier.species, only_selected=modifier.only_selected)
    note_missing_cell(data, data_cache, modifier)
    name = modifier.model
    if not name:
        yield "Choosing the model"
        choice = yield from with_progress(lambda report: choose(structure))
        name = choice.name
        for why in choice.unusable:
            say_once(data_cache, why, f"{output.title}: {why}", modifier)
        note_other_model(data_cache, modifier, name)
    yield "Loading the model"
    model = yield from with_progress(lambda report: load(name))
    yield output.doing
    prediction = yield from with_progress(lambda report: predict(model, structure, report))
    yield "Writing properties"
    return name, model, prediction


def write_prediction(
    data: DataCollection,
    output: Output,
    model: str,
    prediction: Scored,
    columns: Mapping[str, NDArray],
    statistics: Mapping[str, float | int | str],
) -> None:
    """Write particle properties, attributes and a histogram, and warn where the training data lie far away.

    Parameters
    ----------
    data : DataCollection
    output : Output
    model : str
        Name or path, for the attribute ``model`` and the warnings.
    prediction : Scored
    columns : mapping of property to (N,) array
    statistics : mapping
        Attributes without their prefix, beside ``model``, ``extrapolating_fraction`` and ``sample_extrapolation``;
        with a histogram also ``mean``, ``std`` and ``undefined`` of the main property.
    """
    atoms, sample = prediction.extrapolation, prediction.sample_extrapolation
    for name, values in {**columns, f"{output.main} Extrapolation": atoms}.items():
        write_property(data, name, values)
    scored = np.isfinite(atoms)
    fraction = float((atoms[scored] > 1).mean()) if scored.any() else 0.0
    if output.axis:
        main = columns[output.main]
        name = output.main.lower()
        write_histogram(data, f"{name.replace(' ', '-')}-histogram", f"Histogram of {name}", main, output.axis)
        mean, spread = mean_and_spread(main)
        statistics = {"mean": mean, "std": spread, **statistics, "undefined": int(np.isnan(main).sum())}
    told: dict[str, float | int | str] = {"extrapolating_fraction": fraction, "sample_extrapolation": sample}
    told["model"] = Path(model).name.removesuffix(".safetensors")
    write_attributes(data, output.prefix, {**statistics, **told})
    if fraction > WARNING_FRACTION:
        print(
            f"{output.title}: {fraction:.0%} of the atoms are unlike the training data of {model}; read "
            f"its card and trust the result only where {output.main} Extrapolation is below 1."
        )
    if sample > 1:
        print(
            f"{output.title}: the sample as a whole is unlike those that {model} was trained on (score "
            f"{sample:.2g}, those have at most 1), so all values may be off together, those of familiar atoms too; "
            "read its card, and minimise the structure or choose another model."
        )


def trust_in_words(told: Mapping[str, Any], error: float = float("nan"), unit: str = "") -> list[str]:
    """How far to trust a prediction, in short sentences; what is not known is left out.

    Parameters
    ----------
    told : mapping
        The attributes of `write_prediction` without their prefix.
    error : float
        Mean of the errors to expect of single atoms.
    unit : str
        Of the error, with the space before it.
    """
    fraction, sample, correlation, of_mean = (
        float(told.get(name, "nan"))
        for name in ("extrapolating_fraction", "sample_extrapolation", "expected_correlation", "mean_error")
    )
    lines = []
    if fraction >= 0:
        some = "Less than 1%" if fraction < 0.01 else f"{fraction:.0%}"
        share = f"{some} of the atoms are" if fraction else "No atom is"
        lines.append(f"{share} unlike the training" + (": doubtful" if fraction > WARNING_FRACTION else ""))
    if sample > 1:
        lines.append(f"The sample is unlike the training (score {sample:.2g}, above 1): all values may be off")
    elif sample >= 0:
        lines.append(f"The sample is like the training (score {sample:.2g}, at most 1)")
    if error >= 0:
        mean = f", {of_mean:.2g}{unit} of the mean" if of_mean >= 0 else ""
        lines.append(f"Error to expect: {error:.2g}{unit} of an atom{mean}")
    if np.isfinite(correlation):
        lines.append(f"Correlation to expect with the truth: {correlation:.2f}")
    return lines
