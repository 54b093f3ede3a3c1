##### Glass ML: Predicted stiffness #####
#
# Predict the vibrational stiffness K_i of every atom from positions and
# species. Best on inherent structures. The command glassml models lists the
# models. Atoms whose extrapolation is above 1 are unlike those that the model
# was trained on.

"""Stiffness of every atom predicted from a single structure."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import replace
from typing import Any

from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Range, Str

from ovito_glassml.adapter.colors import ColorRange
from ovito_glassml.adapter.notices import say_once
from ovito_glassml.adapter.output import color_by
from ovito_glassml.adapter.prediction import Output, predict_particles, write_prediction
from ovito_glassml.learn.choice import Choice, choose_model
from ovito_glassml.learn.format import list_models, remembered
from ovito_glassml.learn.stiffness.model import CAGE_STIFFNESS, KIND, STIFFNESS, StiffnessModel, StiffnessPrediction
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure

__all__ = ["PredictedStiffnessModifier"]

OUTPUT = Output("Predicted stiffness", "Predicting stiffness", "PredictedStiffness", STIFFNESS)

_loaded = remembered(StiffnessModel.load)


class PredictedStiffnessModifier(HasStrictTraits, ModifierInterface):
    """Predict the vibrational stiffness K_i of every atom from positions and species.

    Best on inherent structures. The command ``glassml models`` lists the models. Atoms whose extrapolation is above 1
    are unlike those that the model was trained on.

    K_i is the mean of k_B T / u_i² over temperatures from 50 to 300 K, with u_i² the
    mean-squared displacement in 100 ps. The models were trained on inherent structures; thermal
    snapshots blur the distances that they look at. The card of a model
    (``glassml models show NAME``) has held-out scores for both, and says what the model was
    trained on. Lengths are in Å.

    Outputs:

    * ``Predicted Stiffness``: particle property, K in eV/Å². NaN for atoms without neighbours in the range of the
      model. Where the model comes to less than 0, as in hot liquids, it is led beyond its data and the value is 0,
      that of an atom which nothing holds: such atoms remain the softest in maps and means.
    * ``Predicted Cage Stiffness``: particle property, k_B T / u² of the motion relative to the atom's first shell in
      the harmonic limit, in the same unit. Only where the model was taught it: its card says so.
    * ``Predicted Stiffness Error``, ``Predicted Cage Stiffness Error``: particle properties, the absolute error to
      expect in the same unit: 68 % of the atoms with such a prediction had a smaller one in whole glasses that were
      left out. Atoms unlike those of the training may be wrong by more. Only of models that learned from at least ten
      glasses.
    * ``Predicted Stiffness Coarse``: particle property, mean of K over all atoms within
      `coarse_graining_radius`, the atom included.
    * ``Predicted Stiffness Extrapolation``: particle property, distance from the training data;
      1 is the 99th percentile of the training atoms.
    * ``predicted-stiffness-histogram``: table.
    * ``PredictedStiffness.model``: attribute, name of the model used. If frames get different ones, that is said in
      a line.
    * ``PredictedStiffness.mean``, ``PredictedStiffness.std``: attributes, mean and standard
      deviation of K in eV/Å².
    * ``PredictedStiffness.mean_error``: attribute, the error to expect of the mean of K, which all atoms of a sample
      share: its standard deviation over glasses left out. NaN where the model does not know.
    * ``PredictedStiffness.extrapolating_fraction``: attribute, the fraction of atoms whose
      extrapolation is above 1. Above 0.1 a warning is printed.
    * ``PredictedStiffness.sample_extrapolation``: attribute, the same score for the sample as a whole: above 1
      it is none like those of the training, and a warning is printed. A state that shifts all atoms a
      little, such as a liquid, shows here. NaN for models that do not know.
    * ``PredictedStiffness.negative``: attribute, the number of atoms for which the model came to less than 0, in
      either of the two. If there are any, a warning is printed.
    * ``PredictedStiffness.color_low``, ``PredictedStiffness.color_high``: attributes, with `color_by_result`: the
      values at the two ends of the colors.
    * ``PredictedStiffness.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``PredictedStiffness.undefined``: attribute, the number of atoms without a value (NaN):
      those without neighbours, and those not selected with `only_selected`.

    Errors are raised for unnamed types, for species that the model does not know, for a model
    file that is missing, damaged or of another kind, and for two atoms in one place.

    Source: Z.-H. Peng, Z.-Y. Yang, Y.-J. Wang, Machine learning atomic-scale stiffness in metallic glass, Extreme Mech.
    Lett. 48, 101446 (2021). Theirs is the network of ``stiffness-cuzr-rdf40``; the other models also know species and
    angles.
    """

    model = Str("", label="Model (name or file)", ovito_group="Predicted stiffness", ovito_placeholder="by structure")
    """
    Name of a shipped or installed model, or path of a model file.

    :Default: ``""``, the model that knows all species and whose training data the structure resembles most:
              of Cu-Zr ``"stiffness-cuzr"`` for inherent structures, and ``"stiffness-cuzr-300k"`` for snapshots at
              300 K, whose stiffness the first underestimates by a fifth. ``"stiffness-cuzr-rdf40"``, which sees the
              40 values of the published, species-blind network, has to be named.
    """

    species = Str("", label="Species of unnamed types", ovito_group="Predicted stiffness", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, for files that do not
    name them.

    :Default: ``""``, the names in the data.
    """

    coarse_graining_radius = Range(
        low=0.0, value=6.0, exclude_low=True, label="Coarse-graining radius (Å)", ovito_group="Predicted stiffness"
    )
    """
    Radius in Å of the sphere over which ``Predicted Stiffness Coarse`` is averaged.

    :Default: ``6.0``, about the third shell of a metallic glass: the published choice.
    """

    number_density = Range(
        low=0.0, value=0.0, label="Number density (1/Å³, 0 = from cell)", ovito_group="Predicted stiffness"
    )
    """
    Atoms per Å³, for structures with free surfaces or without a cell, where the number of atoms
    over the volume of the cell is not the density of the material. Only models of the
    species-blind RDF need it.

    :Default: ``0.0``, the number of atoms divided by the volume of the cell.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Predicted stiffness")
    """
    Predict for selected atoms only. The others still count as neighbours and in coarse means.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles by stiffness", ovito_group="Colors")
    """
    Color the particles by ``Predicted Stiffness`` with OVITO's own color coding.

    :Default: ``False``, the colors stay as they are.
    """

    color_range = ColorRange()
    """
    Values at the two ends of the colors, such as ``"0.5, 1.1"``, to compare frames or pictures.

    :Default: ``""``, the 2nd and the 98th percentile of each frame, so that single odd atoms do not take the
              contrast from the others.
    """

    def modify(
        self, data: DataCollection, *, data_cache: DataCollection, **kwargs: Any
    ) -> Generator[str | float, None, None]:
        radius, density = self.coarse_graining_radius, self.number_density or None
        liked: list[Choice] = []

        def choose(structure: Structure) -> Choice:
            return choose_model(structure, KIND, _loaded)

        def predict(model: StiffnessModel, structure: Structure, report: Progress) -> StiffnessPrediction:
            if self.model in list_models() and len(structure):
                liked.append(choose(structure))
            return model.predict(structure, coarse_graining_radius=radius, number_density=density, progress=report)

        name, model, prediction = yield from predict_particles(data, data_cache, self, OUTPUT, choose, _loaded, predict)
        _write(data, name, str(model.header.output["unit"]), prediction)
        for subject, sentence in _notices(name, prediction, liked):
            say_once(data_cache, subject, sentence, self)
        if self.color_by_result:
            color_by(data, "Predicted Stiffness", self.color_range, "PredictedStiffness")


def _write(data: DataCollection, name: str, unit: str, prediction: StiffnessPrediction) -> None:
    output = replace(OUTPUT, axis=f"Predicted stiffness ({unit})")
    columns = {
        OUTPUT.main: prediction.stiffness,
        f"{OUTPUT.main} Coarse": prediction.coarse,
        f"{OUTPUT.main} Error": prediction.error,
        CAGE_STIFFNESS: prediction.cage,
        f"{CAGE_STIFFNESS} Error": prediction.cage_error,
    }
    known = {name: values for name, values in columns.items() if values is not None}
    further = {"negative": prediction.negative, "mean_error": prediction.mean_error}
    write_prediction(data, output, name, prediction, known, further)


def _notices(name: str, prediction: StiffnessPrediction, liked: list[Choice]) -> Iterator[tuple[str, str]]:
    """Subjects and sentences: what is wrong with a prediction by this model, and which others fit better."""
    if prediction.negative:
        yield (
            "negative",
            f"Predicted stiffness: {name} came to less than 0 for {prediction.negative} atoms, which "
            "cannot be and is set to 0; the structure is unlike those that the model knows.",
        )
    for choice in liked:
        if choice.name != name and name in choice.scores:
            yield (
                f"{choice.name} instead of {name}",
                f"Predicted stiffness: the structure is like those that {choice.name} was trained on, at rest or at "
                f"temperature, and not {name}, so all values may be off together; leave `model` empty.",
            )
