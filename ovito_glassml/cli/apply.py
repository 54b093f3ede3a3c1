"""Commands that put structures through modifiers: demo, apply, sessions."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ovito_glassml.cli.common import UsageError, console, frame_range, progress_bar
from ovito_glassml.modifiers import registry

SHORT_NAMES = ", ".join(registry.by_name())


def _names_like(incomplete: str) -> list[str]:
    """For completion in a shell."""
    return [name for name in registry.by_name() if name.startswith(incomplete)]


Minimise = Annotated[
    str | None,
    typer.Option(
        metavar="MATERIAL",
        help="Bring structures to rest first, by the potential of a material (its name or file): models learned "
        "from inherent structures. Positions in the output are those at rest.",
    ),
]


def demo(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.")] = Path("glassml-demo"),
) -> None:
    """Colour a Cu50Zr50 glass by predicted stiffness and compare with its measured stiffness.

    Example: glassml demo --output my-first-glass
    """
    from ovito_glassml.workflow.demo import run_demo

    with progress_bar("Predicting stiffness") as update:
        report = run_demo(output, update)
    console.print(report, highlight=False, soft_wrap=True)


def apply(
    files: Annotated[
        list[str],
        typer.Argument(
            help="Structures or trajectories in any format OVITO reads, also compressed (.gz, .zst, .xz, .bz2), "
            "or their addresses (https:// or sftp://)."
        ),
    ],
    modifier: Annotated[
        list[str],
        typer.Option("--modifier", "-m", help=f"One or more of: {SHORT_NAMES}.", autocompletion=_names_like),
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Annotated file: .xyz, .dump, also with .gz.")],
    model: Annotated[str | None, typer.Option(help="Name of a shipped or installed model, or model file.")] = None,
    species: Annotated[str | None, typer.Option(help="Names for unnamed particle types, in type order: Cu,Zr.")] = None,
    parameter: Annotated[
        list[str] | None, typer.Option("--set", metavar="NAME=VALUE", help="Any other parameter of the modifier.")
    ] = None,
    minimise: Minimise = None,
    atom_style: Annotated[
        str, typer.Option(help="Of LAMMPS data files that do not say it: charge, full, hybrid molecular charge.")
    ] = "",
    frames: Annotated[str, typer.Option(metavar="START:STOP:STEP", help="Frames, as a Python slice.")] = ":",
    attributes: Annotated[Path | None, typer.Option(help="CSV file for the global attributes of each frame.")] = None,
    jobs: Annotated[
        int | None, typer.Option("--jobs", "-j", min=1, help="Processes that share the frames of a long trajectory.")
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Dask scheduler whose workers share the frames, such as tcp://head:8786.")
    ] = None,
) -> None:
    """Run structures through one or several modifiers and write the annotated atoms.

    With --jobs or --scheduler a run can be stopped: the same command continues with the frames that are missing.

    Example: glassml apply glass.dump --modifier stiffness --species Cu,Zr -o soft.xyz
    """
    from ovito_glassml.adapter.files import annotate
    from ovito_glassml.batch import annotate_in_ranges

    settings: dict[str, Any] = dict(_assignment(text) for text in parameter or [])
    if model is not None:
        settings["model"] = model
    if species is not None:
        settings["species"] = species
    chain = [*_at_rest(minimise, species), *_modifiers(modifier, settings)]
    last: dict[str, Any] = {}
    written: dict[str, Any] = {"frames": frame_range(frames), "attributes": attributes, "atom_style": atom_style}
    # A path would take a slash out of an address.
    sources = [file if "://" in file else Path(file) for file in files]
    shared = bool(jobs or scheduler)
    with progress_bar(f"Reading {Path(files[0]).name}", goes_on=shared) as update:

        def on_frame(done: int, total: int, data: Any) -> None:
            last.update(data.attributes)
            update(done / total, f"Frame {done} of {total}")

        if shared:
            sharing: dict[str, Any] = {"jobs": jobs or 1, "scheduler": scheduler, "progress": update}
            count, last = annotate_in_ranges(sources, chain, output, **written, **sharing)
        else:
            count = annotate(sources, chain, output, **written, on_frame=on_frame)
    for name, value in last.items():
        if "." in name and isinstance(value, int | float):
            console.print(f"{name} = {value:.6g}", highlight=False)
    console.print(f"Wrote {count} frame{'s' if count > 1 else ''} to {output}.", highlight=False)


def sessions(
    folder: Annotated[Path, typer.Argument(help="Gets sessions/NAME.ovito and the structures that they show.")],
) -> None:
    """Write a session file for each modifier and for the legend, which OVITO opens with the pipeline ready.

    Sessions find their structures by relative paths: the folder can be moved, copied and sent.

    Example: glassml sessions my-sessions
    """
    from ovito_glassml.reproduce.sessions import make_sessions

    with progress_bar("Making sessions") as update:
        written = make_sessions(folder, update)
    for file in written:
        console.print(str(file), highlight=False, soft_wrap=True)


def _at_rest(material: str | None, species: str | None) -> list[Any]:
    """What minimises structures first, if that is asked for."""
    if material is None:
        return []
    from ovito_glassml.workflow.at_rest import MinimiseModifier

    return [MinimiseModifier(material=material, species=species or "")]


def _modifiers(names: list[str], settings: dict[str, Any]) -> list[Any]:
    """Instances of the named modifiers; every setting must belong to at least one of them."""
    registered = registry.by_name()
    unknown = [name for name in names if name not in registered]
    if unknown:
        raise UsageError(f"There is no modifier {unknown[0]!r}; choose from {', '.join(registered)}.")
    chain = [registered[name].load()() for name in names]
    for name, value in settings.items():
        takers = [modifier for modifier in chain if name in modifier.editable_traits()]
        if not takers and name != "species":  # which is about the file, and true for those who need no names
            known = sorted({trait for modifier in chain for trait in modifier.editable_traits()})
            raise UsageError(f"{', '.join(names)} has no parameter {name!r}; it has {', '.join(known)}.")
        for modifier in takers:
            _assign(modifier, name, value)
    return chain


def _assign(modifier: Any, name: str, value: Any) -> None:
    from traits.api import TraitError

    try:
        setattr(modifier, name, value)
    except TraitError as error:
        raise UsageError(f"{name}={value!r} is not accepted: {' '.join(str(error).split())}") from error


def _assignment(text: str) -> tuple[str, Any]:
    name, separator, value = text.partition("=")
    if not separator or not name:
        raise UsageError(f"--set {text!r} is no assignment; write --set name=value.")
    try:
        return name, json.loads(value)
    except json.JSONDecodeError:
        return name, value


def add_commands(app: typer.Typer) -> None:
    """Put these commands at the top level."""
    for command in (demo, apply, sessions):
        app.command()(command)
