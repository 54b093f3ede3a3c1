##### Glass ML: Evaluate prediction #####
#
# Compare a predicted with a true property: scores with 95 % confidence
# intervals, and curves. The properties are compared as numbers or as classes,
# over all particles and for each species. Nothing is added to the particles.

"""How well a predicted property agrees with the true one."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, DataObject, Particles
from ovito.pipeline import ModifierInterface
from ovito.traits import PropertyReference
from traits.api import Bool, Enum, HasStrictTraits, Range, Str

from ovito_glassml.adapter.input import particle_column, plain_name, species_of_run, structure_from_data
from ovito_glassml.adapter.output import write_attributes, write_table
from ovito_glassml.adapter.progress import with_progress
from ovito_glassml.learn.evaluation import (
    CLASSIFICATION,
    REGRESSION,
    RESAMPLES,
    TOP_SHARE,
    Evaluation,
    EvaluationError,
    Score,
    are_probabilities,
    calibration_curve,
    chance,
    evaluate,
    parity,
    precision_recall_curve,
    roc_curve,
)
from ovito_glassml.modifiers import lasca, prototype_similarity
from ovito_glassml.structure import Structure

__all__ = ["EvaluatePredictionModifier"]

SCORES = {"regression": REGRESSION, "classification": CLASSIFICATION}
#: Scores beside which stands what guessing gets.
WITH_CHANCE = ("auc", "average_precision", "precision", "mcc", "top_overlap")

#: Units of the properties that this package makes, by plain name.
UNITS = {
    "stiffness": "eV/Å²",
    "predictedstiffness": "eV/Å²",
    "predictedstiffnesscoarse": "eV/Å²",
    "hopcorrectedstiffness": "eV/Å²",
    "vibrationalmsd": "Å²",
    "hopcorrectedmsd": "Å²",
}


#: Components of the properties that this package makes, by plain name: XYZ files do not name them.
COMPONENT_NAMES = {
    "prototypesimilarity": prototype_similarity.COMPONENT_NAMES,
    "cnsfractions": lasca.FRACTION_NAMES,
}


def _property(name: str, label: str) -> Any:
    """Trait for the name of a property or of one of its components."""
    return PropertyReference(
        container=DataObject.Ref(Particles),
        default_value=name,
        mode=PropertyReference.Mode.Components,
        label=label,
        ovito_group="Evaluate prediction",
    )


class EvaluatePredictionModifier(HasStrictTraits, ModifierInterface):
    """Compare a predicted with a true property: scores with 95 % confidence intervals, and curves.

    The properties are compared as numbers or as classes, over all particles and for each species. Nothing is added to
    the particles.

    Each score has an attribute of its own in every frame, so that OVITO's
    modifier Time series plots it, and one for each species, such as ``EvaluatePrediction.pearson.Cu``.

    Neighbouring atoms are alike, so that intervals for independent atoms would be far too narrow. These come
    from a bootstrap over boxes of space with at least 100 compared atoms each, with a fixed seed. They do not say how
    much other samples of the same material differ. From fewer than 10 boxes (1000 atoms) there are no
    intervals (NaN), and where correlations reach beyond a box those of the bias are too narrow.

    Outputs of regression:

    * ``EvaluatePrediction.pearson``: attribute, Pearson correlation. The ends of its interval are
      ``EvaluatePrediction.pearson_low`` and ``EvaluatePrediction.pearson_high``; so for the others.
    * ``EvaluatePrediction.spearman``, ``EvaluatePrediction.spearman_low``, ``EvaluatePrediction.spearman_high``:
      attributes, correlation of the ranks.
    * ``EvaluatePrediction.top_overlap``, ``EvaluatePrediction.top_overlap_low``,
      ``EvaluatePrediction.top_overlap_high``: attributes, share of the atoms with the largest predicted values that
      have the largest true ones, too; of both the share `top_share` of the atoms is taken. Guessing gets
      ``EvaluatePrediction.top_overlap_chance``.
    * ``EvaluatePrediction.rmse``, ``EvaluatePrediction.rmse_low``, ``EvaluatePrediction.rmse_high``:
      attributes, root-mean-square difference in the unit of the values.
    * ``EvaluatePrediction.bias``, ``EvaluatePrediction.bias_low``, ``EvaluatePrediction.bias_high``:
      attributes, mean of predicted minus true in the unit of the values.
    * ``evaluation-parity``: table, mean true against mean predicted value of atoms sorted by prediction, and the
      mean less and plus its standard error.

    Outputs of classification:

    * ``EvaluatePrediction.auc``: attribute, area under the receiver operating characteristic: the probability that
      a positive atom has a larger predicted value than a negative one. Guessing gets
      ``EvaluatePrediction.auc_chance``, 0.5; the same ending gives it for the next three.
    * ``EvaluatePrediction.average_precision``: attribute, precision averaged over the positive atoms. Guessing
      gets the share of positives: ``EvaluatePrediction.average_precision_chance``.
    * ``EvaluatePrediction.precision``: attribute, share of positives among the atoms with the largest predicted
      values, if as many atoms are called positive as there are; the share of the positives that is found is the same.
      Guessing gets the share of positives: ``EvaluatePrediction.precision_chance``.
    * ``EvaluatePrediction.mcc``: attribute, Matthews correlation of that choice with the truth: 1 is perfect, guessing
      gets ``EvaluatePrediction.mcc_chance``, 0. It is the precision, counted from chance.
    * ``EvaluatePrediction.brier``: attribute, mean squared difference of probability and outcome; NaN
      if some predicted values are not between 0 and 1.
    * ``EvaluatePrediction.calibration_error``: attribute, expected calibration error over ten equal intervals of
      probability; NaN as above.
    * ``EvaluatePrediction.positives``: attribute, number of positive atoms.
    * ``evaluation-roc``, ``evaluation-precision-recall``, and for probabilities ``evaluation-calibration``: tables.

    Outputs of both:

    * ``EvaluatePrediction.count``: attribute, number of compared atoms.
    * ``EvaluatePrediction.undefined``: attribute, number of the others: without one of the values, or not selected
      with `only_selected`.

    Where few atoms are positive, AUC and accuracy flatter; precision says how many of the atoms called
    positive are.

    Scores that the atoms do not determine are NaN: all of them without compared atoms, correlations of a
    constant, and curves with one class only. NaN counts as no value, and so does −1 in integer properties.

    Errors are raised for properties that are not there, for a property that is compared with itself, and for
    true values that are no classes.

    How well is the stiffness predicted in a glass that the model was not trained on? ::

        glassml apply sample_data/stiffness/vibrations-cu50zr50-1e12-1.xyz.gz \\
            -m stiffness -m evaluate -o scored.xyz --attributes scores.csv

    prints ``EvaluatePrediction.pearson = 0.847592``, between 0.825 and 0.868. With ``--set task=classification --set
    positive_share=0.2`` it tells how well the stiffest fifth is found: ``EvaluatePrediction.auc = 0.951363``, and
    ``EvaluatePrediction.precision = 0.755`` where a guess has 0.2.
    """

    predicted = _property("Predicted Stiffness", "Predicted property")
    """
    Name of the particle property with the prediction, or of one of its components, such as
    ``"Prototype Similarity.Prototype 2"``. Capitals, spaces and underscores do not matter, since files change them.
    Of a component the number in its name will do, ``"Prototype Similarity.2"``; components without
    numbers in their names count from 1, as in OVITO: ``"Position.2"`` is y.

    :Default: ``"Predicted Stiffness"``
    """

    true = _property("Stiffness", "True property")
    """
    Name of the particle property with the true values, or of one of its components.

    :Default: ``"Stiffness"``
    """

    task = Enum("regression", "classification", label="Compare as", ovito_group="Evaluate prediction")
    """
    ``"regression"``: numbers in the same unit. ``"classification"``: values that should be larger for
    positive atoms.

    :Default: ``"regression"``
    """

    positive_share = Range(
        low=0.0,
        high=1.0,
        value=0.0,
        exclude_high=True,
        label="Positives (share of atoms, 0 = labels)",
        ovito_group="For classification",
    )
    """
    For classification by a true property that is no class: the share of the compared atoms, those with the largest
    true values, that are positive; 0.2 is the top 20 %. One threshold holds for all species.

    :Default: ``0.0``, the true property holds labels: 1 positive, 0 negative, −1 none.
    """

    top_share = Range(
        low=0.0,
        high=1.0,
        value=TOP_SHARE,
        exclude_low=True,
        exclude_high=True,
        label="Top atoms (share of atoms)",
        ovito_group="For regression",
    )
    """
    For regression: the share of the compared atoms that are called the top ones, by predicted and by true value; the
    overlap of the two is a score. Of each species it is a share of its own atoms.

    :Default: ``0.05``, the share that activity labels call active.
    """

    atoms_per_bin = Range(low=2, value=100, label="Atoms per bin of the parity table", ovito_group="For regression")
    """
    Atoms with similar predictions whose true values are averaged.

    :Default: ``100``, the published choice.
    """

    resamples = Range(low=0, value=RESAMPLES, label="Resamples", ovito_group="Evaluate prediction")
    """
    How often the bootstrap draws boxes of space; 0 leaves out the intervals.

    :Default: ``1000``, which puts the ends of an interval right to a few percent of its width.
    """

    unit = Str("", label="Unit of the values", ovito_group="For regression", ovito_placeholder="by property")
    """
    For the axes of the parity table, such as ``"eV"``.

    :Default: ``""``, the unit of the properties that this package makes, else that of the file.
    """

    species = Str("", label="Species of unnamed types", ovito_group="Evaluate prediction", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, for the names of the attributes.

    :Default: ``""``: the names in the data; types without one are called ``type 1`` and so on.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Evaluate prediction")
    """
    Compare selected atoms only.

    :Default: ``False``
    """

    def modify(
        self,
        data: DataCollection,
        *,
        input_slots: dict[str, ModifierInterface.InputSlot],
        data_cache: DataCollection,
        **kwargs: Any,
    ) -> Generator[str | float, None, None]:
        yield "Reading values"
        structure = structure_from_data(
            data, species=self.species, only_selected=self.only_selected, names_needed=False
        )
        if plain_name(self.predicted) == plain_name(self.true):
            raise EvaluationError(f"{self.true!r} is compared with itself; set predicted and true to two properties.")
        predicted = particle_column(data, self.predicted, "predicted", COMPONENT_NAMES)
        true = particle_column(data, self.true, "true", COMPONENT_NAMES)
        yield "Comparing"
        result = yield from with_progress(
            lambda report: evaluate(
                structure,
                predicted,
                true,
                task=self.task,
                positive_share=self.positive_share,
                top_share=self._top_share(),
                resamples=int(self.resamples),
                progress=report,
            )
        )
        yield "Writing scores"
        names = species_of_run(data, self.species, input_slots, data_cache, names_needed=False)
        write_attributes(data, "EvaluatePrediction", _statistics(structure, result, self, names))
        if result.labels is None:
            self._write_parity(data, predicted[result.compared], true[result.compared])
        else:
            _write_curves(data, predicted[result.compared], result.labels[result.compared] == 1)

    def _top_share(self) -> float:
        """The share with as many digits as the scripts that OVITO writes."""
        return round(float(self.top_share), 9)

    def _write_parity(self, data: DataCollection, predicted: NDArray, true: NDArray) -> None:
        bins = parity(predicted, true, max(2, min(int(self.atoms_per_bin), len(true))))
        mean, error = bins["measured"], bins["standard_error"]
        curves = {
            "Mean": mean,
            "Mean minus standard error": mean - error,
            "Mean plus standard error": mean + error,
            "Perfect": bins["predicted"],
        }
        labels = [_axis_label(name, self.unit) for name in (self.predicted, self.true)]
        title = f"{self.true} against {self.predicted}, {self.atoms_per_bin} atoms a bin"
        write_table(data, "evaluation-parity", title, x=(labels[0], bins["predicted"]), y=curves, y_label=labels[1])


def _axis_label(name: str, unit: str) -> str:
    """Name and unit, without the characters that names of columns must not have."""
    text = f"{name} ({unit or UNITS.get(plain_name(name), 'unit of the file')})"
    return text.replace("/", " per ").replace(".", " ").replace(":", " ")


def _statistics(
    structure: Structure, result: Evaluation, settings: EvaluatePredictionModifier, species: tuple[str, ...]
) -> dict[str, float | int | str]:
    """Attributes over all atoms, then over each declared species, so that all frames have the same ones."""
    statistics = _of_atoms(result, result.compared, result.scores, settings, "")
    statistics["undefined"] = int((~result.compared).sum())
    for name in species:
        number = structure.species_names.index(name) if name in structure.species_names else -1
        atoms = result.compared & (structure.species == number)
        statistics |= _of_atoms(result, atoms, result.by_species.get(name, {}), settings, f".{name}")
    return statistics


def _of_atoms(
    result: Evaluation,
    atoms: NDArray[np.bool_],
    scores: dict[str, Score],
    settings: EvaluatePredictionModifier,
    suffix: str,
) -> dict[str, float | int | str]:
    """Scores with their limits and with what guessing gets, and numbers of atoms."""
    count = int(atoms.sum())
    counts: dict[str, float | int | str] = {f"count{suffix}": count}
    share = settings._top_share() if count else float("nan")
    if result.labels is not None:
        positives = int((result.labels[atoms] == 1).sum())
        counts[f"positives{suffix}"] = positives
        share = positives / max(count, 1)
    values: dict[str, float | int | str] = {}
    for name in SCORES[settings.task]:
        score = scores.get(name, Score(float("nan")))
        values |= {name + suffix: score.value, f"{name}_low{suffix}": score.low, f"{name}_high{suffix}": score.high}
        if name in WITH_CHANCE:
            values[f"{name}_chance{suffix}"] = chance(name, share)
    return values | counts


def _write_curves(data: DataCollection, predicted: NDArray, positive: NDArray[np.bool_]) -> None:
    """Tables of a classification; empty where one class is missing."""
    roc = roc_curve(positive, predicted)
    write_table(
        data,
        "evaluation-roc",
        "Receiver operating characteristic",
        x=("False positive rate (share of negatives)", roc["false_positive_rate"]),
        y={"Prediction": roc["true_positive_rate"], "Guess": roc["false_positive_rate"]},
        y_label="True positive rate (share of positives)",
    )
    curve = precision_recall_curve(positive, predicted)
    prevalence = np.full(len(curve["recall"]), positive.mean() if len(positive) else np.nan)
    write_table(
        data,
        "evaluation-precision-recall",
        "Precision and recall",
        x=("Recall (share of positives)", curve["recall"]),
        y={"Prediction": curve["precision"], "Guess": prevalence},
        y_label="Precision (share of atoms above threshold)",
    )
    if are_probabilities(predicted):
        calibration = calibration_curve(positive, predicted)
        write_table(
            data,
            "evaluation-calibration",
            "Calibration",
            x=("Mean predicted probability (share of 1)", calibration["predicted"]),
            y={"Observed": calibration["observed"], "Perfect": calibration["predicted"]},
            y_label="Positive (share of atoms)",
        )
