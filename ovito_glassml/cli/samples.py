"""Labelled samples and designs that several commands read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer

from ovito_glassml.cli.common import UsageError

__all__ = [
    "BarrierColumn",
    "BarrierDesign",
    "Species",
    "barrier_design",
    "barrier_samples",
    "chosen_from",
    "labelled_samples",
    "ule_samples",
]

Species = Annotated[str, typer.Option(help="Names for unnamed particle types, in type order.")]
BarrierColumn = Annotated[str, typer.Option(help="Column with the mean activation energy in eV.")]
BarrierDesign = Annotated[str, typer.Option(help="environment (the default model) or bessel (the published 264).")]


def ule_samples(files: list[Path], energy: str, species: str, kind: str = "") -> list[Any]:
    """Every frame of every file with its energy; a file is a run."""
    from ovito_glassml.adapter.energies import read_energies
    from ovito_glassml.learn.barcode.data import UleSample

    return [
        UleSample(structure, value, file.name.split(".")[0], text or file.name.split(".")[0], energies)
        for file in files
        for structure, value, text, energies in read_energies(file, energy, kind=kind, species=species)
    ]


def barrier_samples(files: list[Path], label: str, species: str) -> list[Any]:
    from ovito_glassml.learn.prototypes.data import BarrierSample

    return [
        BarrierSample(structure, columns[label], name) for structure, columns, name in _frames(files, label, species)
    ]


def labelled_samples(files: list[Path], label: str, species: str, cage: str = "") -> list[Any]:
    """Samples with their stiffness and, from the column `cage` where the files have it, their cage stiffness."""
    from ovito_glassml.adapter.input import plain_name
    from ovito_glassml.learn.stiffness.data import LabelledSample

    if plain_name(label) == plain_name(cage):
        raise UsageError(
            f"The column {label} is a cage stiffness, which is learned beside another stiffness and not in its place; "
            "name the column of that as the label."
        )
    return [
        LabelledSample(structure, columns[label], name, columns.get(cage))
        for structure, columns, name in _frames(files, label, species, (cage,) if cage else ())
    ]


def _frames(
    files: list[Path], label: str, species: str, optional: tuple[str, ...] = ()
) -> Iterator[tuple[Any, dict[str, Any], str]]:
    """Structure, columns and name of every frame."""
    from ovito_glassml.adapter.files import read_columns

    for file in files:
        frames = list(read_columns(file, (label,), optional, species=species))
        stem = file.name.split(".")[0]
        for number, (structure, columns) in enumerate(frames):
            yield structure, columns, stem if len(frames) == 1 else f"{stem} frame {number}"


def chosen_from(named: dict[str, Any], name: str, what: str) -> Any:
    """What the user has named."""
    if name not in named:
        raise UsageError(f"There is no {what} {name!r}; choose from {', '.join(named)}.")
    return named[name]


def barrier_design(name: str) -> Any:
    """What a prototype network looks at."""
    from ovito_glassml.learn.prototypes.data import ENVIRONMENT, PUBLISHED

    return chosen_from({"environment": ENVIRONMENT, "bessel": PUBLISHED}, name, "design")
