##### Glass ML: Prototype similarity #####
#
# Compare the environment of every atom with those of four prototype atoms. Two
# of these have low and two have high energy barriers, so the likeness says how
# likely the atom's own barrier is high. Best on inherent structures of what the
# model was trained on; the command glassml models lists the models.

"""Similarity of every atom to four prototype atoms, and the probability of a high activation energy."""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from ovito.data import DataCollection, ElementType
from ovito.pipeline import ModifierInterface
from traits.api import Bool, HasStrictTraits, Str

from ovito_glassml.adapter.output import (
    color_by_type,
    mean_and_spread,
    write_bar_chart,
    write_histogram,
    write_property,
    write_typed_property,
)
from ovito_glassml.adapter.prediction import Output, predict_particles, write_prediction
from ovito_glassml.learn.choice import choose_model
from ovito_glassml.learn.format import remembered
from ovito_glassml.learn.prototypes.model import KIND, PROTOTYPES, ScnnModel, ScnnPrediction, centre_of, fingerprint
from ovito_glassml.neighbours import stage
from ovito_glassml.progress import Progress
from ovito_glassml.structure import Structure
from ovito_glassml.topology.signature import format_signature, label_name, label_number
from ovito_glassml.topology.standard_clusters import LaSCA

__all__ = ["PrototypeSimilarityModifier"]


#: Rows that take more bytes than this are not kept for another model: memory must not grow with the structure.
MOST_KEPT_BYTES = 256_000_000
#: Columns of the similarities.
COMPONENT_NAMES: tuple[str, ...] = tuple(f"Prototype {number}" for number in range(PROTOTYPES))

#: Structures whose rows are kept.
MOST_KEPT = 2

#: Blue shades for low, red ones for high barriers.
_COLOURS = {
    -1: (0.8, 0.8, 0.8),
    0: (0.13, 0.40, 0.67),
    1: (0.57, 0.77, 0.87),
    2: (0.96, 0.65, 0.51),
    3: (0.70, 0.09, 0.17),
}
_NAMES = ("0 low barrier", "1 low barrier", "2 high barrier", "3 high barrier")


OUTPUT = Output("Prototype similarity", "Comparing with prototypes", "PrototypeSimilarity", "Prototype Similarity")


class PrototypeSimilarityModifier(HasStrictTraits, ModifierInterface):
    """Compare the environment of every atom with those of four prototype atoms.

    Two of these have low and two have high energy barriers, so the likeness says how likely the atom's own barrier is
    high. Best on inherent structures of what the model was trained on; the command ``glassml models`` lists the models.

    A structural constraint neural network embeds the descriptors of an atom and decides by nothing but
    the cosines between this embedding and those of four atoms of its training data: prototypes 0 and
    1 had a low mean activation energy, 2 and 3 a high one. The card of a model (``glassml models
    show NAME``) has held-out scores and says what it was trained on. Lengths are in Å.

    Descriptors are kept as long as the structure stays the same, so that another model that uses the
    same ones is quick; above 250 MB (some 200 000 atoms) they are computed block by block and not kept.

    Outputs:

    * ``Prototype Similarity``: particle property with four components, cosines from -1 to 1.
    * ``Prototype``: particle property, typed: the most similar prototype; 0, 1 low, 2, 3 high barrier,
      -1 for none.
    * ``High Activation Probability``: particle property, the probability of a high barrier if high
      and other atoms were equally frequent (50 % prevalence), calibrated on held-out atoms.
    * ``SCNN Logit``: particle property, high minus low; ranks atoms.
    * ``Prototype Similarity Extrapolation``: particle property, distance from the training data;
      1 is the 99th percentile of the training atoms.
    * ``prototype-shares``: table, share of atoms and mean similarity by prototype.
    * ``prototype-environments``: table of the prototype atoms: their barrier (eV), the number of
      neighbours in their largest standard cluster, its signature and its label.
    * ``high-activation-probability-histogram``: table.
    * ``PrototypeSimilarity.model``: attribute, name of the model used. If frames get different ones, that is said in
      a line.
    * ``PrototypeSimilarity.share_0``, ``PrototypeSimilarity.share_1``, ``PrototypeSimilarity.share_2``,
      ``PrototypeSimilarity.share_3``: attributes, fractions of atoms by prototype.
    * ``PrototypeSimilarity.mean_probability``, ``PrototypeSimilarity.mean_logit``: attributes.
    * ``PrototypeSimilarity.extrapolating_fraction``: attribute, the fraction of atoms whose
      extrapolation is above 1. Above 0.1 a warning is printed.
    * ``PrototypeSimilarity.sample_extrapolation``: attribute, the same score for the sample as a whole: above 1
      it is none like those of the training, and a warning is printed. A state that shifts all atoms a
      little, such as a liquid, shows here. NaN for models that do not know.
    * ``PrototypeSimilarity.no_cell``: attribute, 1 if there is no simulation cell: all boundaries are open,
      which is said in a line. Else 0.
    * ``PrototypeSimilarity.undefined``: attribute, the number of atoms without a value (NaN, -1):
      those not selected with `only_selected`, and those without neighbours.

    Errors are raised for unnamed types, for species that the model does not know, for a model
    file that is missing, damaged or of another kind, and for two atoms in one place.

    How well are the barriers of a glass told apart that the model was not trained on? ::

        glassml apply sample_data/barriers/barriers-cu50zr50-2.xyz.gz \\
            -m scnn -m evaluate -o scored.xyz \\
            --set predicted="SCNN Logit" --set true=Activation_Energy \\
            --set task=classification --set positive_share=0.2

    prints ``EvaluatePrediction.auc = 0.857163``.

    There is something to read, as ``glassml figures scnn`` shows. In a Cu64Zr36 glass that it had not seen, atoms that
    resemble the high prototypes have more five-fold surroundings (S555: 54 and 58 % of the sub-clusters, against 38 and
    48 %), as published. The stiffest tenth of the atoms by ``stiffness-cuzr`` has barriers that mean 10^11.5 Pa s at
    700 K, the softest 10^8.3 (η = η₀ exp(Q/k_BT), η₀ = 10^-4 Pa s).

    Source: X. Jiang, Z. Tian, K. Li, W. Hu, Towards interpreting the thermally activated β dynamics in metallic glass
    with the structural constraint neural network, arXiv:2401.03743 (2024).
    """

    model = Str("", label="Model (name or file)", ovito_group="Prototype similarity", ovito_placeholder="by structure")
    """
    Name of a shipped or installed model, or path of a model file.

    :Default: ``""``, the model that knows all species and whose training data the structure resembles most:
              ``"scnn-cuzr"`` for Cu-Zr. ``"scnn-cuzr-264"``, which sees the published 264 parameters, has to be
              named.
    """

    species = Str("", label="Species of unnamed types", ovito_group="Prototype similarity", ovito_placeholder="Cu,Zr")
    """
    Names of particle types 1, 2 and so on, such as ``"Cu,Zr"``, for files that do not
    name them.

    :Default: ``""``, the names in the data.
    """

    only_selected = Bool(False, label="Use only selected particles", ovito_group="Prototype similarity")
    """
    Compare selected atoms only. The others still count as neighbours.

    :Default: ``False``
    """

    color_by_result = Bool(False, label="Color particles by prototype", ovito_group="Colors")
    """
    Color the particles by ``Prototype`` with OVITO's own coloring by type: blue low, red high barriers.

    :Default: ``False``, the colors stay as they are.
    """

    def modify(
        self, data: DataCollection, *, data_cache: DataCollection, **kwargs: Any
    ) -> Generator[str | float, None, None]:
        name, (_, environments), prediction = yield from predict_particles(
            data, data_cache, self, OUTPUT,
            lambda structure: choose_model(structure, KIND, lambda name: _loaded(name)[0]), _loaded,
            lambda loaded, structure, report: _predict(loaded[0], structure, report),
        )  # fmt: skip
        _write(data, name, prediction)
        _write_environments(data, environments)
        if self.color_by_result:
            color_by_type(data, "Prototype")


def _write(data: DataCollection, name: str, prediction: ScnnPrediction) -> None:
    write_property(data, "Prototype Similarity", prediction.similarity, COMPONENT_NAMES)
    kinds = {-1: "none", **dict(enumerate(_NAMES))}
    write_typed_property(data, "Prototype", prediction.prototype, kinds, _COLOURS)
    defined = prediction.prototype >= 0
    counts = np.bincount(prediction.prototype[defined], minlength=PROTOTYPES)
    shares = counts / max(int(counts.sum()), 1)
    means = prediction.similarity[defined].mean(axis=0, dtype=np.float64) if defined.any() else np.full(4, np.nan)
    table = write_bar_chart(
        data,
        "prototype-shares",
        "Atoms by most similar prototype",
        x=("Prototype (number)", _NAMES),
        y={"Share": 100 * shares},
        y_label="Share (%)",
    )
    table.create_property("Mean similarity (cosine)", data=means)
    write_histogram(
        data,
        "high-activation-probability-histogram",
        "Histogram of the probability of a high activation energy",
        prediction.probability,
        "High activation probability (at 50 % prevalence)",
    )
    _write_statistics(data, name, prediction, shares)


def _write_statistics(data: DataCollection, name: str, prediction: ScnnPrediction, shares: NDArray) -> None:
    defined = prediction.prototype >= 0
    columns = {"High Activation Probability": prediction.probability, "SCNN Logit": prediction.logit}
    statistics = {
        **{f"share_{number}": float(share) for number, share in enumerate(shares)},
        "mean_probability": mean_and_spread(prediction.probability)[0],
        "mean_logit": mean_and_spread(prediction.logit)[0],
        "undefined": int((~defined).sum()),
    }
    write_prediction(data, OUTPUT, name, prediction, columns, statistics)


def _write_environments(data: DataCollection, environments: tuple[tuple[float, int, str, str], ...]) -> None:
    """Table of the prototype atoms and their largest standard clusters."""
    barriers, coordinations, signatures, labels = zip(*environments, strict=True)
    table = write_bar_chart(
        data,
        "prototype-environments",
        "Prototype atoms",
        x=("Prototype (number)", _NAMES),
        y={"Barrier": barriers},
        y_label="Mean activation energy (eV)",
    )
    table.create_property("LaSC Coordination", data=np.array(coordinations, dtype=np.int32))
    distinct = sorted(set(signatures))
    places = np.array([distinct.index(signature) for signature in signatures], dtype=np.int32)
    column = table.create_property("LaSC Signature", data=places)
    for number, signature in enumerate(distinct):
        column.types.append(ElementType(id=number, name=signature))
    numbers = np.array([label_number(label) for label in labels], dtype=np.int32)
    column = table.create_property("TCP Label", data=numbers)
    for label in sorted(set(labels)):
        column.types.append(ElementType(id=label_number(label), name=label or "none"))


# Rows of the last structures, most recent last: the descriptors take nearly all of the time, and people try models.
_kept: OrderedDict[tuple[str, str], NDArray] = OrderedDict()


def _predict(model: ScnnModel, structure: Structure, report: Progress) -> ScnnPrediction:
    """Predict with rows that are there already, or keep those that are computed, if they are not too large."""
    width = len(model.descriptor.feature_names)
    if len(model.needed(structure).selected) * width * np.dtype(model.descriptor.dtype).itemsize > MOST_KEPT_BYTES:
        return model.predict(structure, progress=report)
    key = (_identity(structure), fingerprint(model.descriptor))
    rows = _kept.pop(key, None)
    if rows is None:
        rows = model.describe(structure, stage(report, 0.0, 0.8))
    _kept[key] = rows
    while len(_kept) > MOST_KEPT:
        _kept.popitem(last=False)
    return model.predict(structure, rows=rows, progress=stage(report, 0.8, 1.0))


def _identity(structure: Structure) -> str:
    """Digest of everything that the rows depend on."""
    digest = hashlib.blake2b(repr((structure.species_names, structure.pbc)).encode())
    for array in (structure.positions, structure.species, structure.cell, structure.origin, structure.mask):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _load(path: Path) -> tuple[ScnnModel, tuple[tuple[float, int, str, str], ...]]:
    """The model and what its prototypes are."""
    model = ScnnModel.load(path)
    environments = []
    for prototype in model.prototypes:
        result = LaSCA().compute(centre_of(prototype.environment))
        signature = format_signature(result.signatures[0])
        label = label_name(int(result.labels[0]))
        environments.append((prototype.barrier, int(result.coordination[0]), signature, label))
    return model, tuple(environments)


_loaded = remembered(_load)
