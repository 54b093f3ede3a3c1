"""The one list of modifiers, which public names, command line, sessions, gallery, README and tests read.

Imports neither OVITO nor NumPy. A new modifier is its own file, an entry here, a line of ``__init__.pyi`` (for type
checkers) and one of ``pyproject.toml`` (for OVITO's menu).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any, ClassVar

__all__ = ["MODIFIERS", "OVERLAYS", "Entry", "Example", "Modifier", "Overlay", "View", "by_name"]

#: Glasses that no shipped model was trained on: Cu50Zr50 cooled at 10¹² K/s with its measured stiffness; Cu50Zr50 with
#: the activation energies of its atoms; a sheared Kob-Andersen glass, one frame before each plastic event.
STIFFNESS_GLASS = "stiffness/vibrations-cu50zr50-1e12-1.xyz.gz"
BARRIER_GLASS = "barriers/barriers-cu50zr50-2.xyz.gz"
SHEARED_GLASS = "activity/shear-kob-andersen-1.xyz.gz"
#: The frame of the sheared glass after its largest event that did not go through the whole glass.
AFTER_EVENT = 10
#: In σ: half the distance at which the Lennard-Jones potential of two alike is zero.
RADII = {"A": 0.5, "B": 0.44}


@dataclass(frozen=True)
class Example:
    """What a session and the gallery show a modifier on.

    Attributes
    ----------
    structure : str
        File of `sample_data`.
    parameters : mapping
        Of the modifier, where they are not the defaults.
    before : sequence of str
        Short names of the modifiers that come before it in the pipeline.
    shown, meaning : str
        Property that colours the particles, unless the modifier itself colours them by a typed one, and what it
        is, with its unit.
    frame : int
        The frame that is shown.
    radii : mapping
        Radius of each type's particles, where OVITO does not know them.
    """

    structure: str = STIFFNESS_GLASS
    parameters: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[str] = ()
    shown: str = ""
    meaning: str = ""
    frame: int = 0
    radii: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class View:
    """What a report shows of any structure.

    Attributes
    ----------
    shown, meaning : str
        As those of an example; in units, ``{length}`` and ``{energy}`` stand for those of the structure.
    parameters : mapping
        Of the modifier, where they are not the defaults.
    title : str
        Where a modifier has several views: which this one is.
    truth : str
        Property that a file may have from a measurement of the same.
    judged_by : mapping
        Parameters of *Evaluate prediction* for the two, beside their names.
    once : bool
        Whether one frame of a trajectory is enough: all get the same values, or it takes long.
    """

    shown: str = ""
    meaning: str = ""
    parameters: Mapping[str, Any] = field(default_factory=dict)
    title: str = ""
    truth: str = ""
    judged_by: Mapping[str, Any] = field(default_factory=dict)
    once: bool = False


@dataclass(frozen=True)
class Entry:
    """What OVITO's menus offer.

    Attributes
    ----------
    name : str
        Short, for ``glassml apply --modifier``; sessions and pictures are called so too.
    title : str
        In OVITO's menu, after ``Glass ML:``.
    module, class_name : str
        ``ovito_glassml.PACKAGE.MODULE:CLASS``, which saved sessions refer to.
    answers : str
        What it tells of a glass, for the README.
    """

    name: str
    title: str
    module: str
    class_name: str
    answers: str
    package: ClassVar[str]

    @property
    def entry_point(self) -> str:
        """As in `pyproject.toml`."""
        return f"ovito_glassml.{self.package}.{self.module}:{self.class_name}"

    @property
    def prefix(self) -> str:
        """What the names of its attributes begin with."""
        return self.class_name.removesuffix("Modifier")

    def load(self) -> Any:
        """The class; imports OVITO."""
        return getattr(import_module(f"ovito_glassml.{self.package}.{self.module}"), self.class_name)


@dataclass(frozen=True)
class Modifier(Entry):
    """A modifier.

    Attributes
    ----------
    example : Example
    results : sequence of str
        Its main particle properties, of which it writes one and colours the particles by it.
    views : sequence of View
        What a report shows; by default what the example does.
    """

    example: Example = Example()
    results: Sequence[str] = ()
    views: Sequence[View] = (View(),)
    package = "modifiers"

    @property
    def describes(self) -> bool:
        """Whether it makes numbers that models look at, and no answers."""
        return self.module.endswith("_descriptors")


@dataclass(frozen=True)
class Overlay(Entry):
    """A layer of a viewport.

    Attributes
    ----------
    shown_with : str
        Short name of the modifier in whose example its session shows it.
    """

    shown_with: str
    package = "overlays"


#: Who moves, by what makes them move, and how far they move.
ACTIVITY_VIEWS = (
    *(
        View(
            "Activity Probability",
            "probability of being active",
            {"activation": activation},
            title,
            truth="Activity",
            judged_by={"task": "classification"},
        )
        for activation, title in (("thermal", "in heat"), ("shear", "under shear"))
    ),
    View("Predicted Propensity", "expected displacement ({length})", {"quantity": "propensity"}, "how far in heat"),
)

MODIFIERS = (
    Modifier(
        "rdf",
        "RDF descriptors",
        "rdf_descriptors",
        "RDFDescriptorsModifier",
        "g(r) of every atom, 40 numbers, by species if you like",
        Example(shown="RDF Descriptors.r2_7", meaning="g(r) of every atom at r = 2.7 Å"),
    ),
    Modifier(
        "bessel",
        "Bessel descriptors",
        "bessel_descriptors",
        "BesselDescriptorsModifier",
        "Bessel sums and orientation parameters over three shells, 264 numbers for two species",
        Example(shown="Bessel Descriptors.B0_Zr_n1", meaning="Bessel sum over Zr neighbours, n = 1 (Å$^{-3/2}$)"),
    ),
    Modifier(
        "soap",
        "SOAP descriptors",
        "soap_descriptors",
        "SOAPDescriptorsModifier",
        "SOAP power spectra with DScribe's conventions",
        Example(shown="SOAP Descriptors.Zr_n1_Zr_n1_l0", meaning="SOAP power of Zr, n = n' = 1, l = 0 (Å³)"),
    ),
    Modifier(
        "ace",
        "ACE descriptors",
        "ace_descriptors",
        "ACEDescriptorsModifier",
        "ACE invariants of two, three and four bodies",
        Example(shown="ACE Descriptors.Zr_n1", meaning="ACE sum over Zr neighbours, n = 1"),
    ),
    Modifier(
        "nonaffine",
        "Nonaffine activity",
        "nonaffine_activity",
        "NonaffineActivityModifier",
        "which atoms have rearranged in a trajectory or in repeated runs: D²min, with labels to learn from",
        Example(
            SHEARED_GLASS,
            {
                "use_frame_offset": True,
                "frame_offset": -1,
                "affine_mapping": "ToReference",
                "cutoff": 2.5,
                "threshold": 0.6,
            },
            shown="Nonaffine Squared Displacement",
            meaning="D²min of a plastic event (σ²)",
            frame=AFTER_EVENT,
            radii=RADII,
        ),
        results=("Nonaffine Squared Displacement",),
        views=(View("Nonaffine Squared Displacement", "D²min since the first frame ({length}²)"),),
    ),
    Modifier(
        "activity",
        "Predicted activity",
        "predicted_activity",
        "PredictedActivityModifier",
        "which atoms will rearrange, in heat or under shear, from one snapshot (Lennard-Jones, polymer, Cu-Zr), or how "
        "far each will move (Lennard-Jones, polymer)",
        Example(
            SHEARED_GLASS,
            {"activation": "shear"},
            shown="Activity Probability",
            meaning="predicted probability of being active",
            frame=AFTER_EVENT - 1,
            radii=RADII,
        ),
        results=("Activity Probability", "Predicted Propensity"),
        views=ACTIVITY_VIEWS,
    ),
    Modifier(
        "vibrations",
        "Atomic stiffness",
        "atomic_stiffness",
        "AtomicStiffnessModifier",
        "how stiffly every atom is held, measured from a trajectory: k_B T / u²",
        Example("trajectory/cu50zr50-300k.dump.gz", shown="Stiffness", meaning="measured stiffness at 300 K (eV/Å²)"),
        results=("Stiffness",),
        views=(View("Stiffness", "measured stiffness (eV/Å²)", once=True),),
    ),
    Modifier(
        "harmonic",
        "Harmonic stiffness",
        "harmonic_stiffness",
        "HarmonicStiffnessModifier",
        "how stiffly every atom is held, exactly, where the force field is known and LAMMPS is installed",
        Example(BARRIER_GLASS, shown="Cage Stiffness", meaning="stiffness relative to the first shell (eV/Å²)"),
        results=("Harmonic Stiffness",),
        views=(View("Harmonic Stiffness", "stiffness in the harmonic limit ({energy}/{length}²)", once=True),),
    ),
    Modifier(
        "stiffness",
        "Predicted stiffness",
        "predicted_stiffness",
        "PredictedStiffnessModifier",
        "which atoms are soft: the stiffness of every atom, predicted from one snapshot of a Cu-Zr or Fe-P glass",
        Example(shown="Predicted Stiffness Coarse", meaning="predicted stiffness, mean within 6 Å (eV/Å²)"),
        results=("Predicted Stiffness",),
        views=(View("Predicted Stiffness", "predicted stiffness (eV/Å²)", truth="Stiffness"),),
    ),
    Modifier(
        "scnn",
        "Prototype similarity",
        "prototype_similarity",
        "PrototypeSimilarityModifier",
        "which atoms face high barriers, and which of four prototype atoms they are like, in Cu-Zr at rest",
        Example(BARRIER_GLASS),
        results=("Prototype",),
        views=(
            View(
                "High Activation Probability",
                "probability of a high barrier, were these as frequent as others",
                truth="Activation Energy",
                judged_by={"task": "classification", "positive_share": 0.2},
            ),
        ),
    ),
    Modifier(
        "ule",
        "ULE barcode",
        "ule_barcode",
        "ULEBarcodeModifier",
        "where a Zr44Cu56 glass stores its energy, how much, and which local environments it is made of",
        Example("barcode/glass-zr44cu56.xyz.gz"),
        results=("ULE",),
        views=(View("ULE Energy Contribution", "energy above what is typical of the species (eV)"),),
    ),
    Modifier(
        "lasca",
        "LaSCA",
        "lasca",
        "LaSCAModifier",
        "what surrounds an atom: an icosahedron, another close-packed cluster, a crystal",
        results=("TCP Label",),
    ),
    Modifier(
        "evaluate",
        "Evaluate prediction",
        "evaluate_prediction",
        "EvaluatePredictionModifier",
        "whether a prediction is right: ROC, calibration and parity of any two properties",
        Example(before=("stiffness",), shown="Predicted Stiffness", meaning="predicted stiffness (eV/Å²)"),
    ),
)

OVERLAYS = (
    Overlay(
        "legend",
        "Prediction legend",
        "prediction_legend",
        "PredictionLegendOverlay",
        "what the colors of a picture are, by which model, and how far to trust them",
        "stiffness",
    ),
)


def by_name() -> dict[str, Modifier]:
    """Every modifier by its short name."""
    return {modifier.name: modifier for modifier in MODIFIERS}
