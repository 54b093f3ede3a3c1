"""Machine learning for glasses inside OVITO.

The modifiers are imported when they are first asked for, so that ``import ovito_glassml`` alone
costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ovito_glassml.modifiers.ace_descriptors import ACEDescriptorsModifier
    from ovito_glassml.modifiers.atomic_stiffness import AtomicStiffnessModifier
    from ovito_glassml.modifiers.bessel_descriptors import BesselDescriptorsModifier
    from ovito_glassml.modifiers.evaluate_prediction import EvaluatePredictionModifier
    from ovito_glassml.modifiers.lasca import LaSCAModifier
    from ovito_glassml.modifiers.nonaffine_activity import NonaffineActivityModifier
    from ovito_glassml.modifiers.predicted_activity import PredictedActivityModifier
    from ovito_glassml.modifiers.predicted_stiffness import PredictedStiffnessModifier
    from ovito_glassml.modifiers.prototype_similarity import PrototypeSimilarityModifier
    from ovito_glassml.modifiers.rdf_descriptors import RDFDescriptorsModifier
    from ovito_glassml.modifiers.soap_descriptors import SOAPDescriptorsModifier
    from ovito_glassml.modifiers.ule_barcode import ULEBarcodeModifier

__version__ = "0.1.0"

_MODULES = {
    "ACEDescriptorsModifier": "ovito_glassml.modifiers.ace_descriptors",
    "AtomicStiffnessModifier": "ovito_glassml.modifiers.atomic_stiffness",
    "BesselDescriptorsModifier": "ovito_glassml.modifiers.bessel_descriptors",
    "EvaluatePredictionModifier": "ovito_glassml.modifiers.evaluate_prediction",
    "LaSCAModifier": "ovito_glassml.modifiers.lasca",
    "NonaffineActivityModifier": "ovito_glassml.modifiers.nonaffine_activity",
    "PredictedActivityModifier": "ovito_glassml.modifiers.predicted_activity",
    "PredictedStiffnessModifier": "ovito_glassml.modifiers.predicted_stiffness",
    "PrototypeSimilarityModifier": "ovito_glassml.modifiers.prototype_similarity",
    "RDFDescriptorsModifier": "ovito_glassml.modifiers.rdf_descriptors",
    "SOAPDescriptorsModifier": "ovito_glassml.modifiers.soap_descriptors",
    "ULEBarcodeModifier": "ovito_glassml.modifiers.ule_barcode",
}

__all__ = [
    "ACEDescriptorsModifier",
    "AtomicStiffnessModifier",
    "BesselDescriptorsModifier",
    "EvaluatePredictionModifier",
    "LaSCAModifier",
    "NonaffineActivityModifier",
    "PredictedActivityModifier",
    "PredictedStiffnessModifier",
    "PrototypeSimilarityModifier",
    "RDFDescriptorsModifier",
    "SOAPDescriptorsModifier",
    "ULEBarcodeModifier",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
