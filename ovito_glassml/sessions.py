"""Session files of OVITO that open with a modifier at work on a sample that comes with the package."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote

import ovito
from ovito.io import import_file
from ovito.modifiers import ColorCodingModifier
from ovito.pipeline import ModifierInterface, Pipeline
from ovito.vis import Viewport

from ovito_glassml.adapter.render import CAMERA
from ovito_glassml.atomic import write_atomically
from ovito_glassml.demo import DEMO_GLASS
from ovito_glassml.errors import GlassMLError
from ovito_glassml.modifiers.predicted_stiffness import PredictedStiffnessModifier
from ovito_glassml.shipped import sample_file

__all__ = ["EXAMPLES", "Example", "SessionError", "example_of", "example_pipeline", "make_sessions"]

#: Pixels that the view is fitted to; OVITO fits it to its window by the height.
WINDOW = (800, 600)

#: A sheared Kob-Andersen glass that no shipped model was trained on, one frame before each plastic event.
SHEARED_GLASS = "activity/shear-kob-andersen-1.xyz.gz"

#: A Cu50Zr50 glass with the activation energies of its atoms, which no shipped model was trained on.
BARRIER_GLASS = "barriers/barriers-cu50zr50-2.xyz.gz"

#: The frame of `SHEARED_GLASS` after its largest event that did not go through the whole glass.
AFTER_EVENT = 10


class SessionError(GlassMLError):
    """A session cannot be made."""


@dataclass(frozen=True)
class Example:
    """What a session shows a modifier on.

    Attributes
    ----------
    structure : str
        File of `sample_data`.
    parameters : mapping
        Of the modifier, where they are not the defaults.
    before : sequence of modifiers
        What comes before it in the pipeline.
    shown, meaning : str
        Property that colours the particles, unless the modifier itself colours them by a typed one, and what it
        is, with its unit.
    frame : int
        The frame that is shown.
    radii : mapping
        Radius of each type's particles, where OVITO does not know them.
    """

    structure: str = DEMO_GLASS
    parameters: Mapping[str, Any] = field(default_factory=dict)
    before: Sequence[Callable[[], ModifierInterface]] = ()
    shown: str = ""
    meaning: str = ""
    frame: int = 0
    radii: Mapping[str, float] = field(default_factory=dict)


#: In σ: half the distance at which the Lennard-Jones potential of two alike is zero.
RADII = {"A": 0.5, "B": 0.44}

#: For modifiers with other needs than a glass and their defaults.
EXAMPLES = {
    "RDFDescriptorsModifier": Example(shown="RDF Descriptors.r2_7", meaning="g(r) of every atom at r = 2.7 Å"),
    "BesselDescriptorsModifier": Example(
        shown="Bessel Descriptors.B0_Zr_n1", meaning="Bessel sum over Zr neighbours, n = 1 (Å$^{-3/2}$)"
    ),
    "SOAPDescriptorsModifier": Example(
        shown="SOAP Descriptors.Zr_n1_Zr_n1_l0", meaning="SOAP power of Zr, n = n' = 1, l = 0 (Å³)"
    ),
    "ACEDescriptorsModifier": Example(shown="ACE Descriptors.Zr_n1", meaning="ACE sum over Zr neighbours, n = 1"),
    "NonaffineActivityModifier": Example(
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
    "PredictedActivityModifier": Example(
        SHEARED_GLASS,
        {"activation": "shear"},
        shown="Activity Probability",
        meaning="predicted probability of being active",
        frame=AFTER_EVENT - 1,
        radii=RADII,
    ),
    "AtomicStiffnessModifier": Example(
        "trajectory/cu50zr50-300k.dump.gz", shown="Stiffness", meaning="measured stiffness at 300 K (eV/Å²)"
    ),
    "PredictedStiffnessModifier": Example(
        shown="Predicted Stiffness Coarse", meaning="predicted stiffness, mean within 6 Å (eV/Å²)"
    ),
    "PrototypeSimilarityModifier": Example(BARRIER_GLASS),
    "ULEBarcodeModifier": Example("barcode/glass-zr44cu56.xyz.gz"),
    "EvaluatePredictionModifier": Example(
        before=(PredictedStiffnessModifier,), shown="Predicted Stiffness", meaning="predicted stiffness (eV/Å²)"
    ),
}


def example_of(modifier: type[ModifierInterface]) -> Example:
    """The example for a modifier; one that has none is shown on a Cu50Zr50 glass, coloured by its result."""
    return EXAMPLES.get(modifier.__name__, Example())


def example_pipeline(modifier: type[ModifierInterface], structure: Path) -> Pipeline:
    """A pipeline from the example's structure through the modifier.

    Parameters
    ----------
    modifier : type
        A modifier of this package.
    structure : Path
        Where the example's structure lies.
    """
    example = example_of(modifier)
    # Said outright, because after it has rendered OVITO may not notice that a file has several frames.
    pipeline = import_file(str(structure), multiple_frames=True)
    for name, radius in example.radii.items():
        pipeline.source.data.particles_.particle_types_.type_by_name_(name).radius = radius  # type: ignore[union-attr]
    for earlier in example.before:
        pipeline.modifiers.append(earlier())
    parameters = dict(example.parameters)
    coloured = "color_by_result" in modifier.class_trait_names()  # type: ignore[attr-defined]
    if coloured:
        parameters["color_by_result"] = True
    pipeline.modifiers.append(modifier(**parameters))
    if example.shown and not coloured:
        gradient = ColorCodingModifier.Viridis()
        pipeline.modifiers.append(
            ColorCodingModifier(property=example.shown, gradient=gradient, auto_adjust_range=True)
        )
    return pipeline


def make_sessions(
    folder: Path, modifiers: Mapping[str, type[ModifierInterface]], progress: Callable[[float, str], None]
) -> list[Path]:
    """Write a session file for each modifier, and beside them the structures that they show.

    Sessions know their structures by their place relative to the session alone: the folder can be moved,
    copied and sent.

    Parameters
    ----------
    folder : Path
        Gets `sessions/NAME.ovito` and, where it does not have them yet, files as in `sample_data`.
    modifiers : mapping
        Names and classes.
    progress : callable
        Fraction and text.

    Returns
    -------
    list of Path
        The session files.

    Raises
    ------
    SessionError
        If OVITO's scene shows something already, which would become part of the sessions.
    """
    if len(ovito.scene.pipelines):
        raise SessionError("OVITO's scene is not empty; make sessions in a new process.")
    root = folder.resolve()
    (root / "sessions").mkdir(parents=True, exist_ok=True)
    written = []
    for number, (name, modifier) in enumerate(modifiers.items()):
        progress(number / len(modifiers), f"Session for {modifier.__name__}")
        example = example_of(modifier)
        structure = root / example.structure
        if not structure.exists():
            structure.parent.mkdir(exist_ok=True)
            write_atomically(structure, sample_file(example.structure).read_bytes())
        written.append(root / "sessions" / f"{name}.ovito")
        _save(example_pipeline(modifier, structure), example.frame, written[-1], root)
    return written


def _save(pipeline: Pipeline, frame: int, file: Path, root: Path) -> None:
    """Write the session of a pipeline that works, seen in one large view."""
    pipeline.compute(frame)
    pipeline.add_to_scene()
    temporary = file.with_name(f".{file.stem}.{os.getpid()}.ovito")
    try:
        ovito.scene.anim.current_frame = frame
        views = ovito.scene.viewports  # type: ignore[attr-defined]
        view = views.active_vp
        view.type, view.camera_dir = Viewport.Type.Perspective, CAMERA
        view.zoom_all(WINDOW)
        views.maximized_vp = view
        ovito.scene.save(str(temporary))
        write_atomically(file, _without_place(temporary.read_bytes(), root))
    finally:
        temporary.unlink(missing_ok=True)
        pipeline.remove_from_scene()


def _without_place(session: bytes, root: Path) -> bytes:
    """The same without the path of the folder, which OVITO keeps beside the relative ones.

    Underscores are put in its place, letter by letter, because the lengths of all texts are part of the format.
    """
    place = root.as_posix()
    for text, encoding in ((place, "utf-16-be"), (quote(place), "ascii")):
        width = len("_".encode(encoding))
        blank = "".join(letter if letter == "/" else "_" * (len(letter.encode(encoding)) // width) for letter in text)
        session = session.replace(text.encode(encoding), blank.encode(encoding))
    return session
