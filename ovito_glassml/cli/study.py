"""Commands that learn which structure matters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import UsageError, console, matching, number, progress_bar
from ovito_glassml.files import write_atomically

study_app = Commands(help="Learn from your own data which structure matters.", no_args_is_help=True)


@study_app.command("activity")
def study_activity(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG, CSV and findings.")],
    thermal: Annotated[
        list[str] | None, typer.Option(help="Files, or a quoted pattern of them: labels from motion at temperature.")
    ] = None,
    shear: Annotated[
        list[str] | None, typer.Option(help="Files, or a quoted pattern of them: labels from plastic events.")
    ] = None,
    active_species: Annotated[str, typer.Option(help="Whose atoms to tell apart; by default the most labelled.")] = "",
    nearest: Annotated[
        float | None, typer.Option(help="Nearest-neighbour distance; by default the first peak of g(r).", min=1e-6)
    ] = None,
    cutoffs: Annotated[str, typer.Option(help="In nearest-neighbour distances, separated by commas.")] = "2,3,4,5",
    cutoff: Annotated[float, typer.Option(help="The one at which everything else is studied.")] = 4.0,
    n_max: Annotated[int, typer.Option(help="Radial functions; by default 10, or 20 for one species.")] = 0,
    degree: Annotated[float, typer.Option(help="Total degree; by default 10, or 18 for one species.")] = 0.0,
    atoms: Annotated[int, typer.Option(help="Labelled atoms of a kind that are used at most.", min=100)] = 10_000,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
) -> None:
    """Which structure decides who rearranges: accuracy against number of features, cutoff, body order and data.

    Each file is one configuration, and whole configurations are left out to judge by. Files have a column
    Activity (1 active, 0 inactive, -1 neither), made by: glassml apply run.dump -m nonaffine -o labels.xyz
    Stop it whenever you like: the same command continues. Needs the extra: pip install 'ovito-glassml[train]'

    Example: glassml study activity --thermal 'thermal-*.xyz.gz' --shear 'shear-*.xyz.gz' --nearest 1 -o study
    """
    from ovito_glassml.reproduce.figures.activity import draw_activity_figures
    from ovito_glassml.study.activity import ActivityStudy, run_study
    from ovito_glassml.study.findings import report
    from ovito_glassml.topology.length_scale import first_peak

    files = {"thermal": matching(thermal or []), "shear": matching(shear or [])}
    if not any(files.values()):
        raise UsageError("There is nothing to study; give files with --thermal, with --shear or with both.")
    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; name a folder.")
    lengths = tuple(number(text, "cutoff") for text in cutoffs.split(","))
    groups, names = _activity_groups(files, active_species, species)
    scale = nearest or first_peak(groups[0].observations[0].sample.structure)
    if scale is None:
        raise UsageError("No atom of the first structure has a neighbour; give --nearest.")
    study = ActivityStudy(names, scale, lengths, cutoff, n_max, degree, atoms)
    with progress_bar("Starting", goes_on=True) as update:
        results = run_study(study, groups, output / "numbers", update)
    written = draw_activity_figures(study, results, output)
    findings = report(study, groups, results)
    write_atomically(output / "findings.md", findings.encode())
    console.print(findings, highlight=False, soft_wrap=True, markup=False)
    for file in [*written, output / "findings.md"]:
        console.print(str(file), highlight=False, soft_wrap=True)


@study_app.command("propensity")
def study_propensity(
    files: Annotated[list[str], typer.Argument(help="Inherent structures, or a quoted pattern: each a configuration.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG, CSV and findings.")],
    active_species: Annotated[str, typer.Option(help="Whose atoms to predict.")],
    label: Annotated[
        list[str] | None,
        typer.Option(
            help="Column with displacements, one component a run; further ones, such as other times, are compared."
        ),
    ] = None,
    nearest: Annotated[
        float | None, typer.Option(help="Nearest-neighbour distance; by default the first peak of g(r).", min=1e-6)
    ] = None,
    cutoffs: Annotated[str, typer.Option(help="In nearest-neighbour distances, separated by commas.")] = "2,3,4,5",
    cutoff: Annotated[float, typer.Option(help="The one at which everything else is studied.")] = 5.0,
    n_max: Annotated[int, typer.Option(help="Radial functions of each species.", min=1)] = 12,
    thermal: Annotated[str, typer.Option(help="Column with the positions at temperature, if the files have it.")] = (
        "Thermal_Position"
    ),
    root: Annotated[bool, typer.Option("--root", help="Learn the square root of the column, as for D²min.")] = False,
    species: Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")] = "",
) -> None:
    """What decides how far atoms move: R against cutoff, averages, angles, data, runs, positions and time.

    Every configuration is predicted by the others. Stop it whenever you like: the same command continues.

    Example: glassml study propensity 'liquid-*.xyz.gz' --active-species A -o study
    """
    from ovito_glassml.reproduce.figures.propensity import draw_propensity_study
    from ovito_glassml.study.propensity import PropensityStudy, findings, propensity_steps
    from ovito_glassml.study.steps import run_steps
    from ovito_glassml.topology.length_scale import first_peak

    if output.exists() and not output.is_dir():
        raise UsageError(f"The output {output} is a file; name a folder.")
    lengths = tuple(number(text, "cutoff") for text in cutoffs.split(","))
    ensembles = _ensembles(matching(files), label or ["Propensity"], thermal, root, species)
    scale = nearest or first_peak(ensembles[0].samples[0].structure)
    if scale is None:
        raise UsageError("No atom of the first structure has a neighbour; give --nearest.")
    study = PropensityStudy(active_species, scale, lengths, cutoff, n_max)
    with progress_bar("Starting", goes_on=True) as update:
        results = run_steps(propensity_steps(study, ensembles), output / "numbers", update)
    written = draw_propensity_study(results, output)
    text = findings(study, ensembles, results)
    write_atomically(output / "findings.md", text.encode())
    console.print(text, highlight=False, soft_wrap=True, markup=False)
    for file in [*written, output / "findings.md"]:
        console.print(str(file), highlight=False, soft_wrap=True)


def _ensembles(files: list[Path], labels: list[str], thermal: str, root: bool, species: str) -> list[Any]:
    """The same structures with each of the labels; those after the first as they are, without other positions."""
    import numpy as np

    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.learn.propensity.data import propensity_sample
    from ovito_glassml.study.propensity import Ensemble
    from ovito_glassml.study.steps import digest_of

    found: dict[str, list[Any]] = {name: [] for name in labels}
    warm: list[Any] = []
    for file in files:
        for structure, columns in read_columns(file, labels, (thermal,), species=species):
            for name in labels:
                values = np.sqrt(columns[name]) if root else columns[name]
                found[name].append(propensity_sample(structure, values, file.name.split(".")[0]))
            if thermal in columns:
                warm.append(found[labels[0]][-1]._replace(structure=structure.moved(columns[thermal])))
    complete = warm if len(warm) == len(found[labels[0]]) else None
    return [
        Ensemble(name, found[name], None if number else complete, digest_of(files, name, str(root), species))
        for number, name in enumerate(labels)
    ]


def _activity_groups(files: dict[str, list[Path]], active: str, species: str) -> tuple[list[Any], tuple[str, ...]]:
    """Labelled structures by kind of activation, and all species, the active one first."""
    from ovito_glassml.adapter.files import read_columns
    from ovito_glassml.study.activity import COLUMNS, make_group, species_of
    from ovito_glassml.study.steps import digest_of

    frames: dict[str, list[Any]] = {kind: [] for kind, paths in files.items() if paths}
    with progress_bar("Reading") as update:
        total = sum(map(len, files.values()))
        done = 0
        for kind in frames:
            for path in files[kind]:
                update(done / total, f"Reading {path.name}")
                columns = read_columns(path, (), COLUMNS, species=species)
                frames[kind] += [(str(path), structure, values) for structure, values in columns]
                done += 1
    names = species_of([frame for part in frames.values() for frame in part], active)
    digests = {kind: digest_of(files[kind], names[0], species) for kind in frames}
    return [make_group(kind, part, names[0], digests[kind]) for kind, part in frames.items()], names
