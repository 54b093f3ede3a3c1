"""The main job from end to end: a glass, its predicted and its measured stiffness, a picture."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
from ovito.data import DataCollection

from ovito_glassml.adapter.files import annotate
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.modifiers.predicted_stiffness import PredictedStiffnessModifier
from ovito_glassml.modifiers.registry import STIFFNESS_GLASS
from ovito_glassml.neighbours import average_within
from ovito_glassml.workflow.comparison import Scene, draw_comparison
from ovito_glassml.workflow.sample_data import sample_file

__all__ = ["DEMO_GLASS", "run_demo"]

#: A Cu50Zr50 glass quenched at 10^12 K/s that no shipped model was trained on.
DEMO_GLASS = STIFFNESS_GLASS

COARSE_GRAINING_RADIUS = 6.0  # Å, the modifier's default

SCENE = Scene(
    (("Stiffness", "measured stiffness"), ("Predicted Stiffness", "predicted stiffness")),
    "stiffness (eV/Å²): dark is soft, bright is stiff",
)


def run_demo(output: Path, progress: Callable[[float, str], None]) -> str:
    """Predict the stiffness of the shipped glass, compare, draw; return the report.

    Parameters
    ----------
    output : Path
        Folder for ``stiffness.png`` and ``glass.xyz``; made if it is not there.
    progress : callable
        Fraction and text.
    """
    output.mkdir(parents=True, exist_ok=True)
    source = sample_file(DEMO_GLASS)
    modifier = PredictedStiffnessModifier()
    frames: list[DataCollection] = []
    progress(0.05, "Predicting stiffness")
    annotate([source], [modifier], output / "glass.xyz", on_frame=lambda done, total, data: frames.append(data))
    data = frames[0]
    progress(0.4, "Drawing")
    picture, remark = draw_comparison(data, output / "stiffness.png", SCENE)
    progress(1.0, "Done")
    model = str(data.attributes["PredictedStiffness.model"])
    return "\n".join([*_scores(data, model), "", *remark, *_next_steps(output, picture, model)])


def _scores(data: DataCollection, model: str) -> list[str]:
    measured = np.asarray(data.particles["Stiffness"])
    predicted = np.asarray(data.particles["Predicted Stiffness"])
    coarse = np.asarray(data.particles["Predicted Stiffness Coarse"])
    measured_coarse = average_within(structure_from_data(data), measured, COARSE_GRAINING_RADIUS)
    score = np.corrcoef(measured, predicted)[0, 1]
    coarse_score = np.corrcoef(measured_coarse, coarse)[0, 1]
    species = ", ".join(f"{kind.name}" for kind in data.particles.particle_types.types)
    return [
        f"{len(measured)} atoms ({species}), model {model}, a glass the model was not trained on.",
        f"Measured stiffness:  mean {measured.mean():.3f}, spread {measured.std():.3f} eV/Å²",
        f"Predicted stiffness: mean {predicted.mean():.3f}, spread {predicted.std():.3f} eV/Å²",
        f"Pearson correlation atom by atom:       {score:.2f}",
        f"Pearson correlation of {COARSE_GRAINING_RADIUS:g} Å averages: {coarse_score:.2f}",
        f"Atoms unlike the training data: {data.attributes['PredictedStiffness.extrapolating_fraction']:.1%}",
    ]


def _next_steps(output: Path, picture: Path, model: str) -> list[str]:
    return [
        f"Picture:         {picture}",
        f"Annotated atoms: {output / 'glass.xyz'} (open it in OVITO, colour by 'PredictedStiffness')",
        "Your own glass:  glassml apply FILE --modifier stiffness --species Cu,Zr -o soft.xyz",
        f"How far to trust it: glassml models show {model}",
    ]
