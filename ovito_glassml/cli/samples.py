"""Labelled samples and designs that several commands read."""

from __future__ import annotations

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

    return [BarrierSample(*sample) for sample in labelled_samples(files, label, species)]


def labelled_samples(files: list[Path], label: str, species: str) -> list[Any]:
    from ovito_glassml.adapter.files import read_labelled
    from ovito_glassml.learn.stiffness.data import LabelledSample

    samples = []
    for file in files:
        frames = list(read_labelled(file, label, species=species))
        stem = file.name.split(".")[0]
        for number, (structure, stiffness) in enumerate(frames):
            name = stem if len(frames) == 1 else f"{stem} frame {number}"
            samples.append(LabelledSample(structure, stiffness, name))
    return samples


def chosen_from(named: dict[str, Any], name: str, what: str) -> Any:
    """What the user has named."""
    if name not in named:
        raise UsageError(f"There is no {what} {name!r}; choose from {', '.join(named)}.")
    return named[name]


def barrier_design(name: str) -> Any:
    """What a prototype network looks at."""
    from ovito_glassml.learn.prototypes.data import ENVIRONMENT, PUBLISHED

    return chosen_from({"environment": ENVIRONMENT, "bessel": PUBLISHED}, name, "design")
