##### Glass ML: ULE barcode #####
#
# Assign every atom to a unique local environment and read the energy of the
# glass from their frequencies. Says where the energy is stored and how unevenly
# the glass is disordered. Best on inherent structures of what the model was
# trained on; the command glassml models lists the models.

"""Barcode of a glass: the environments of its atoms, its energy and its heterogeneity."""

from __future__ import annotations

import colorsys
from collections.abc import Generator, Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, ElementType
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Str

from ovito_glassml.adapter.output import (
    color_by_type,
    write_bar_chart,
    write_typed_property,
)
from ovito_glassml.adapter.prediction import Output, predict_particles, write_prediction
from ovito_glassml.learn.barcode.budget import EnergyBudget
from ovito_glassml.learn.barcode.energy import SimilarityEnergy
from ovito_glassml.learn.barcode.model import KIND, UleModel, UlePrediction
from ovito_glassml.learn.choice import choose_model
from ovito_glassml.learn.format import remembered
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure

__all__ = ["ULEBarcodeModifier"]

#: Grey of atoms without an environment.
_NO_COLOUR = (0.8, 0.8, 0.8)

OUTPUT = Output("ULE barcode", "Comparing environments", "ULEBarcode", "ULE")

_loaded = remembered(UleModel.load)


class ULEBarcodeModifier(HasStrictTraits, ModifierInterface):
    """Assign every atom to a unique local environment and read the energy of the glass from their frequencies.

    Says where the energy is stored and how unevenly the glass is disordered. Best on inherent structures of what the
    model was trained on; the command ``glassml models`` lists the models.

    Environments are real atoms of the training data with all their neighbours. An atom belongs to
    the one whose normalised SOAP row is most similar to its own, or to none if that is not similar
    enough. The fractions of environments are the barcode of the sample. The energy per atom of the
    inherent structure is predicted from the similarities of all atoms with the environments, atom by
    atom: linear regression on the scalar products of SOAP rows. Models trained on energies of whole
    structures only predict it from the fractions by gradient-boosted trees, as published; SHAP values
    say how many eV each fraction adds, and are shared among the atoms of the environment. Lengths are
    in Å.

    Environments of *Group 1* are Kasper polyhedra (2 n4 + n5 = 12 for the faces of their Voronoi
    cells with 4 and 5 edges), those of *Group 2* all others. The *heterogeneity* compares the
    fractions of Group 2 with those of thermal samples of the same energy: their mean squared
    deviation, less the noise of counting, over its standard deviation for atoms drawn at random
    from that reference. It does not depend on the size of such a sample; the model's card
    (``glassml models show NAME``) says what thermal and sheared samples have.

    Trained on inherent structures: minimise snapshots first.

    Outputs:

    * ``ULE``: particle property, typed: number of the environment, the most important is 0; -1 for
      none. Names have the faces of the Voronoi cell: ``s07 ⟨0,0,12,0⟩``.
    * ``ULE Similarity``: particle property, to the most similar environment: 1 for that environment
      itself; above 0.84 (or what the model was trained with) the atom belongs to it.
    * ``ULE Energy Contribution``: particle property (eV), how much more energy the atom has than is
      typical of its species. With trees its share in the difference of the sample's energy from the
      mean prediction, 0 for atoms without environment. NaN for atoms without neighbours, of which the model knows
      nothing: they do not count in any number of the sample.
    * ``ULE Extrapolation``: particle property, distance from the training data; 1 is the 99th
      percentile of the training atoms.
    * ``ule-barcode``: table, share of each environment and of the reference at this energy, with
      its contribution to the energy and its group.
    * ``ule-energy``: table, where the energy is kept: share of the atoms, mean energy of its atoms and their
      product for each environment and for the atoms of none, with standard errors from the scatter between
      boxes of the sample. The products add up to the mean of ``ULE Energy Contribution``. Not for trees.
      Why one glass has less energy than another: ``glassml compare``.
    * ``ULEBarcode.model``: attribute, name of the model used. If frames get different ones, that is said in
      a line.
    * ``ULEBarcode.energy_per_atom``: attribute (eV), base_energy + the mean contribution of the
      atoms + energy_from_absent.
    * ``ULEBarcode.base_energy``: attribute (eV), what contributions count from.
    * ``ULEBarcode.energy_from_absent``: attribute (eV), contribution of environments that no atom has;
      0 but for trees.
    * ``ULEBarcode.matched_fraction``: attribute, share of atoms that have an environment.
    * ``ULEBarcode.heterogeneity``: attribute, z-score as above.
    * ``ULEBarcode.excess_variance``: attribute, the mean squared deviation less the noise of counting.
    * ``ULEBarcode.group1_fraction``: attribute, share of matched atoms in Group 1.
    * ``ULEBarcode.extrapolating_fraction``: attribute, the fraction of atoms whose extrapolation is
      above 1. Above 0.1, and for a composition that the model was not trained on, a warning is printed.
    * ``ULEBarcode.sample_extrapolation``: attribute, the same score for the sample as a whole: above 1
      it is none like those of the training, and a warning is printed. A state that shifts all atoms a
      little, such as a liquid, shows here. NaN for models that do not know.
    * ``ULEBarcode.same_composition``: attribute, 1 if the model was trained on this composition, else 0.
    * ``ULEBarcode.energy_in_range``: attribute, 1 if the energy is about one that the model was trained
      on, else 0, and a warning is printed: structures that are not at rest have far too much.
    * ``ULEBarcode.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``ULEBarcode.undefined``: attribute, the number of atoms without environment (-1): those that are
      like none, and those not selected.

    If no atom has an environment, that is said and all numbers from fractions are NaN. Errors are
    raised for unnamed types, for species that the model does not know, for a model file that is
    missing, damaged or of another kind, and for two atoms in one place.

    Source: Concurrent prediction of metallic glasses' global energy and internal structural heterogeneity by
    interpretable machine learning; code by its authors: github.com/fanyue-um/Metallic_Glasses.
    """

    model = Str("", label="Model (name or file)", ovito_group="ULE barcode", ovito_placeholder="by structure")
    """
    Name of a shipped or installed model, or path of a model file.

    :Default: ``""``, the model that knows all species and whose training data are closest in composition; of
              two for the same glass, the one whose training data the structure resembles most. Of Cu-Zr this is
              ``"ule-zr44cu56"``, for inherent structures of Zr44Cu56.
    """

    species = Str("", label="Species of unnamed types", ovito_group="ULE barcode", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, for files that do not
    name them.

    :Default: ``""``, the names in the data.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="ULE barcode")
    """
    The barcode of the selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles by environment", ovito_group="Colors")
    """
    Color the particles by ``ULE`` with OVITO's own coloring by type: blue hues for Group 1, red ones
    for Group 2.

    :Default: ``False``, the colors stay as they are.
    """

    def modify(
        self, data: DataCollection, *, data_cache: DataCollection, **kwargs: Any
    ) -> Generator[str | float, None, None]:
        name, model, (prediction, budget) = yield from predict_particles(
            data, data_cache, self, OUTPUT, lambda glass: choose_model(glass, KIND, _loaded), _loaded, _predicted
        )
        _write_properties(data, model, prediction)
        _write_barcode(data, model, prediction)
        if budget is not None:
            _write_budget(data, budget)
        _write_statistics(data, name, model, prediction)
        if self.color_by_result:
            color_by_type(data, "ULE")


def _predicted(model: UleModel, structure: Structure, progress: Progress) -> tuple[UlePrediction, EnergyBudget | None]:
    """With where the energy is kept, if the model gives energies to atoms and there are any."""
    prediction = model.predict(structure, progress=progress)
    known = isinstance(model.energy, SimilarityEnergy) and np.isfinite(prediction.contribution).any()
    return prediction, model.budget(structure, prediction) if known else None


def _write_statistics(data: DataCollection, name: str, model: UleModel, prediction: UlePrediction) -> None:
    statistics = {
        "energy_per_atom": prediction.energy,
        "base_energy": prediction.base,
        "energy_from_absent": prediction.energy_from_absent,
        "matched_fraction": prediction.matched_fraction,
        "heterogeneity": prediction.heterogeneity,
        "excess_variance": prediction.excess_variance,
        "group1_fraction": prediction.group1_fraction,
        "same_composition": int(prediction.same_composition),
        "energy_in_range": int(prediction.energy_in_range),
        "undefined": int((prediction.environment < 0).sum()),
    }
    columns: dict[str, NDArray] = {
        "ULE Similarity": prediction.similarity,
        "ULE Energy Contribution": prediction.contribution,
    }
    for warning in _warnings(name, model, prediction):
        print(f"ULE barcode: {warning}")
    write_prediction(data, OUTPUT, name, prediction, columns, statistics)


def _warnings(name: str, model: UleModel, prediction: UlePrediction) -> Iterator[str]:
    """Why the result may mean nothing."""
    if prediction.atoms and not prediction.counts.any():
        yield (
            f"none of the {prediction.atoms} atoms is similar to an environment of {name}, so there is no barcode "
            "and no energy; minimise the structure or choose another model."
        )
    if prediction.atoms and not prediction.same_composition:
        known = ", ".join(
            f"{100 * low:.1f} to {100 * high:.1f} % {species}" if high > low else f"{100 * low:.1f} % {species}"
            for species, (low, high) in model.header.training["composition"].items()
        )
        yield f"{name} was trained on {known} and this sample is another composition; do not trust its energy."
    if np.isfinite(prediction.energy) and not prediction.energy_in_range:
        low, high = model.energy_range
        yield (
            f"the energy {prediction.energy:.4f} eV/atom is none that {name} was trained on ({low:.4f} to {high:.4f}); "
            "minimise the structure, or do not trust it."
        )


def _write_properties(data: DataCollection, model: UleModel, prediction: UlePrediction) -> None:
    names = {-1: "none", **dict(enumerate(model.names))}
    write_typed_property(data, "ULE", prediction.environment, names, _colours(model))


def _colours(model: UleModel) -> dict[int, tuple[float, float, float]]:
    """Shades of blue for Group 1 and of red for Group 2, by number."""
    colours = {-1: _NO_COLOUR}
    for group, first_hue, last_hue in ((1, 0.50, 0.70), (2, 0.14, -0.06)):
        members = np.flatnonzero(model.groups == group)
        for place, number in enumerate(members.tolist()):
            hue = first_hue + (last_hue - first_hue) * place / max(len(members) - 1, 1)
            colours[number] = colorsys.hsv_to_rgb(hue % 1, 0.75, 0.85)
    return colours


def _write_barcode(data: DataCollection, model: UleModel, prediction: UlePrediction) -> None:
    """Shares of environments beside those of thermal samples with the same energy."""
    expected = np.full(len(model), np.nan)
    if np.isfinite(prediction.energy):
        expected, _ = model.reference.at(prediction.energy)
    table = write_bar_chart(
        data,
        "ule-barcode",
        "ULE barcode",
        x=("Environment (Voronoi faces with 3, 4, 5, 6 edges)", model.names),
        y={"Sample": 100 * prediction.fractions, "Thermal reference": 100 * expected},
        y_label="Share of matched atoms (%)",
    )
    table.create_property("Energy contribution (meV per atom)", data=1000 * prediction.contributions)
    groups = table.create_property("Group", data=model.groups)
    for group, name in ((1, "1 Kasper"), (2, "2 other")):
        groups.types.append(ElementType(id=group, name=name))


def _write_budget(data: DataCollection, budget: EnergyBudget) -> None:
    """What the atoms of each environment hold of the energy, with errors from the scatter between boxes."""
    table = write_bar_chart(
        data,
        "ule-energy",
        "Energy by environment",
        x=("Environment (Voronoi faces with 3, 4, 5, 6 edges)", budget.names),
        y={"Energy": 1000 * budget.deposits.values},
        y_label="Energy above typical atoms (meV per atom of the sample)",
    )
    for name, values in {
        "Energy error": 1000 * budget.deposits.errors,
        "Share of atoms (%)": 100 * budget.shares.values,
        "Mean energy of its atoms (meV)": 1000 * budget.energies.values,
        "Mean energy error (meV)": 1000 * budget.energies.errors,
    }.items():
        table.create_property(name, data=values)
