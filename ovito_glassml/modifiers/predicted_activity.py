##### Glass ML: Predicted activity #####
#
# Predict which atoms will rearrange, from positions and species alone. In heat
# or under shear. The model follows the species and the composition; the command
# glassml models lists all. Atoms whose extrapolation is above 1 are unlike
# those that the model was trained on.

"""Which atoms will rearrange, predicted from a single structure."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import replace
from typing import Any

from ovito.data import DataCollection
from ovito.pipeline import ModifierInterface
from traits.api import Bool, Enum, HasStrictTraits, Str

from ovito_glassml.adapter.colors import ColorRange
from ovito_glassml.adapter.output import color_by
from ovito_glassml.adapter.prediction import Output, predict_particles, write_prediction
from ovito_glassml.learn.activity.model import ACTIVATIONS, KIND, ActivityModel, ActivityPrediction
from ovito_glassml.learn.choice import choose_model
from ovito_glassml.learn.format import read_header, remembered
from ovito_glassml.learn.propensity.model import KIND as PROPENSITY_KIND
from ovito_glassml.learn.propensity.model import PropensityModel, PropensityPrediction

__all__ = ["PredictedActivityModifier"]


OUTPUT = Output(
    "Predicted activity",
    "Predicting activity",
    "PredictedActivity",
    "Activity Probability",
    "Probability of being active (0 to 1)",
)

PROPENSITY = Output("Predicted propensity", "Predicting propensity", "PredictedActivity", "Predicted Propensity")

_header = remembered(read_header)
_loaded = remembered(ActivityModel.load)
_loaded_propensity = remembered(PropensityModel.load)


class PredictedActivityModifier(HasStrictTraits, ModifierInterface):
    """Predict which atoms will rearrange, from positions and species alone.

    In heat or under shear. The model follows the species and the composition; the command ``glassml models`` lists
    all. Atoms whose extrapolation is above 1 are unlike those that the model was trained on.

    Logistic regression on correlations of the neighbours (ACE) and, for shear, on their averages over the atoms
    around tells atoms that are active from those that are not, as a probability: that the atom is active, given that
    it is one of the two. *Active* atoms are, for thermal models, those whose neighbourhoods moved most in many
    runs from one structure, and for shear models those with D²min > 0.6 r0² in a plastic event of
    athermal shear. Most atoms are neither, and get some probability in between: use it to rank.

    One species of a mixture is classified, the one named in the model's card
    (``glassml models show NAME``): A in the Lennard-Jones mixtures, Cu in Cu-Zr. The models were
    trained on inherent structures. Lengths are in the unit of the model: Å for Cu-Zr, σ for the
    others.

    Outputs:

    * ``Activity Probability``: particle property; NaN for atoms of other species, and for those without
      neighbours in the range of the model.
    * ``Activity Probability Extrapolation``: particle property, distance from the training data;
      1 is the 99th percentile of the training atoms.
    * ``activity-probability-histogram``: table.
    * ``Predicted Propensity``: particle property, with a model of propensity in place of the probability, see
      `quantity`: the displacement to expect of every atom of the model's species, in units of length, on average over
      many runs (the card says which displacement). NaN for the others. With it come ``Predicted Propensity Error``,
      the absolute error that 68 % of the atoms of configurations left out stay below,
      ``Predicted Propensity Extrapolation``, ``predicted-propensity-histogram``, and the attributes below of the
      propensity.
    * ``PredictedActivity.expected_correlation``, ``PredictedActivity.mean_error``: attributes, with a model of
      propensity: the correlation (Pearson's R) with the measured propensity to expect within this structure, which is
      low where all atoms are predicted to move alike and NaN where most are unlike those of the training, and the
      error to expect of the mean.
    * ``PredictedActivity.model``: attribute, name of the model used. If frames get different ones, that is said in
      a line.
    * ``PredictedActivity.mean``, ``PredictedActivity.std``: attributes, mean and standard
      deviation of the probability.
    * ``PredictedActivity.likely_active``: attribute, number of atoms with a probability above 0.5; not for
      propensity.
    * ``PredictedActivity.extrapolating_fraction``: attribute, the fraction of classified atoms
      whose extrapolation is above 1. Above 0.1 a warning is printed.
    * ``PredictedActivity.sample_extrapolation``: attribute, the same score for the sample as a whole: above 1
      it is none like those of the training, and a warning is printed. A state that shifts all atoms a
      little, such as a liquid, shows here. NaN for models that do not know.
    * ``PredictedActivity.color_low``, ``PredictedActivity.color_high``: attributes, with `color_by_result`: the
      values at the two ends of the colors.
    * ``PredictedActivity.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``PredictedActivity.undefined``: attribute, the number of atoms without a value (NaN): those
      of other species, those without neighbours, and those not selected with `only_selected`.

    Errors are raised for unnamed types, for species that no model knows, for a model file that is
    missing, damaged or of another kind, and for two atoms in one place.

    Source: J. Rottler, C. Ortner, Analysis of local structure of mechanical and thermal rearrangements in glasses with
    the atomic cluster expansion, arXiv:2410.03216 (2024).
    """

    model = Str("", label="Model (name or file)", ovito_group="Predicted activity", ovito_placeholder="by structure")
    """
    Name of a shipped or installed model, or path of a model file: of activity, or of propensity (``propensity-ka``).

    :Default: ``""``, the model that knows all species and whose training data are closest in composition; of
              two for the same glass, the one for `activation`, and then the one whose training data the structure
              resembles most.
    """

    quantity = Enum("activity", "propensity", label="Predict", ovito_group="Predicted activity")
    """
    What a model that is chosen by the structure predicts: ``"activity"``, which tells the atoms that will rearrange
    from those that will not, or ``"propensity"``, how far every atom will move in heat. A model that is named decides
    itself.

    :Default: ``"activity"``, which more glasses have a model for.
    """

    activation = Enum(*ACTIVATIONS, label="Rearrangements by", ovito_group="For activity")
    """
    What makes the atoms move: ``"thermal"`` or ``"shear"``. Only for the choice of a model of activity; Cu-Zr has
    a shear model only.

    :Default: ``"thermal"``
    """

    species = Str("", label="Species of unnamed types", ovito_group="Predicted activity", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"`` or ``"A,B"``, for files that
    do not name them.

    :Default: ``""``, the names in the data.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Predicted activity")
    """
    Predict for selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles by activity", ovito_group="Colors")
    """
    Color the particles by ``Activity Probability``, or ``Predicted Propensity`` with a model of it, with OVITO's own
    color coding.

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
        if (_header(self.model).kind if self.model else self.quantity) == PROPENSITY_KIND:
            yield from self._propensity(data, data_cache)
            return
        wanted = {"activation": self.activation}
        name, _, prediction = yield from predict_particles(
            data, data_cache, self, OUTPUT, lambda structure: choose_model(structure, KIND, _loaded, wanted), _loaded,
            lambda model, structure, report: model.predict(structure, progress=report),
        )  # fmt: skip
        _write(data, prediction, name)
        if self.color_by_result:
            color_by(data, "Activity Probability", self.color_range, "PredictedActivity")

    def _propensity(self, data: DataCollection, data_cache: DataCollection) -> Generator[str | float, None, None]:
        name, model, prediction = yield from predict_particles(
            data, data_cache, self, PROPENSITY,
            lambda structure: choose_model(structure, PROPENSITY_KIND, _loaded_propensity), _loaded_propensity,
            lambda model, structure, report: model.predict(structure, progress=report),
        )  # fmt: skip
        _write_propensity(data, prediction, name, str(model.header.output["unit"]))
        if self.color_by_result:
            color_by(data, PROPENSITY.main, self.color_range, "PredictedActivity")


def _write_propensity(data: DataCollection, prediction: PropensityPrediction, name: str, unit: str) -> None:
    output = replace(PROPENSITY, axis=f"Expected displacement ({unit})")
    columns = {output.main: prediction.propensity, f"{output.main} Error": prediction.error}
    further = {"expected_correlation": prediction.expected_correlation, "mean_error": prediction.mean_error}
    write_prediction(data, output, name, prediction, columns, further)


def _write(data: DataCollection, prediction: ActivityPrediction, name: str) -> None:
    likely = int((prediction.probability > 0.5).sum())
    columns = {OUTPUT.main: prediction.probability}
    write_prediction(data, OUTPUT, name, prediction, columns, {"likely_active": likely})
