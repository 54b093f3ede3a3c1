"""Session files of OVITO that open with a modifier at work on a sample that comes with the package."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from urllib.parse import quote

import ovito
from ovito.io import import_file
from ovito.modifiers import ColorCodingModifier
from ovito.pipeline import Pipeline
from ovito.vis import PythonViewportOverlay, Viewport, ViewportOverlayInterface

from ovito_glassml.adapter.render import CAMERA
from ovito_glassml.errors import GlassMLError
from ovito_glassml.files import write_atomically
from ovito_glassml.modifiers.registry import MODIFIERS, OVERLAYS, Modifier, Overlay, by_name
from ovito_glassml.workflow.sample_data import sample_file

__all__ = ["SessionError", "example_pipeline", "make_sessions"]

#: Pixels that the view is fitted to; OVITO fits it to its window by the height.
WINDOW = (800, 600)


class SessionError(GlassMLError):
    """A session cannot be made."""


def example_pipeline(modifier: Modifier, structure: Path) -> Pipeline:
    """A pipeline from the example's structure through the modifier.

    Parameters
    ----------
    modifier : Modifier
    structure : Path
        Where the example's structure lies.
    """
    example, kind = modifier.example, modifier.load()
    # Said outright, because after it has rendered OVITO may not notice that a file has several frames.
    pipeline = import_file(str(structure), multiple_frames=True)
    for name, radius in example.radii.items():
        pipeline.source.data.particles_.particle_types_.type_by_name_(name).radius = radius  # type: ignore[union-attr]
    for earlier in example.before:
        pipeline.modifiers.append(by_name()[earlier].load()())
    parameters = dict(example.parameters)
    coloured = "color_by_result" in kind.class_trait_names()
    if coloured:
        parameters["color_by_result"] = True
    pipeline.modifiers.append(kind(**parameters))
    if example.shown and not coloured:
        gradient = ColorCodingModifier.Viridis()
        pipeline.modifiers.append(
            ColorCodingModifier(property=example.shown, gradient=gradient, auto_adjust_range=True)
        )
    return pipeline


def make_sessions(
    folder: Path,
    progress: Callable[[float, str], None],
    entries: Sequence[Modifier | Overlay] = (*MODIFIERS, *OVERLAYS),
) -> list[Path]:
    """Write a session file for each modifier and viewport layer, and beside them the structures that they show.

    Sessions know their structures by their place relative to the session alone: the folder can be moved,
    copied and sent.

    Parameters
    ----------
    folder : Path
        Gets `sessions/NAME.ovito` and, where it does not have them yet, files as in `sample_data`.
    progress : callable
        Fraction and text.
    entries : sequence of Modifier or Overlay
        By default all.

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
    for number, entry in enumerate(entries):
        progress(number / len(entries), f"Session for {entry.class_name}")
        modifier = by_name()[entry.shown_with] if isinstance(entry, Overlay) else entry
        layers = [entry.load()()] if isinstance(entry, Overlay) else []
        example = modifier.example
        structure = root / example.structure
        if not structure.exists():
            structure.parent.mkdir(exist_ok=True)
            write_atomically(structure, sample_file(example.structure).read_bytes())
        written.append(root / "sessions" / f"{entry.name}.ovito")
        _save(example_pipeline(modifier, structure), example.frame, layers, written[-1], root)
    return written


def _save(pipeline: Pipeline, frame: int, layers: Sequence[ViewportOverlayInterface], file: Path, root: Path) -> None:
    """Write the session of a pipeline that works, seen in one large view, with layers over it."""
    pipeline.compute(frame)
    pipeline.add_to_scene()
    temporary = file.with_name(f".{file.stem}.{os.getpid()}.ovito")
    try:
        ovito.scene.anim.current_frame = frame
        views = ovito.scene.viewports  # type: ignore[attr-defined]
        view = views.active_vp
        view.type, view.camera_dir = Viewport.Type.Perspective, CAMERA
        view.zoom_all(WINDOW)
        view.overlays.extend([PythonViewportOverlay(delegate=layer) for layer in layers])
        view.preview_mode = bool(layers)  # OVITO shows layers in this mode only
        views.maximized_vp = view
        ovito.scene.save(str(temporary))
        write_atomically(file, _without_place(temporary.read_bytes(), root))
    finally:
        temporary.unlink(missing_ok=True)
        view.overlays.clear()
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
