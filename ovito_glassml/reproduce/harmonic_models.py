"""Trains and judges the shipped stiffness models of materials whose labels are harmonic, from the second campaign.

Run again whenever the samples change::

    python -m ovito_glassml.reproduce.harmonic_models sample_data/second ovito_glassml/models

Needs the extra `train`.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.stiffness.data import BY_SPECIES, LabelledSample
from ovito_glassml.learn.stiffness.evaluate import judged_by_leaving_out, score_tables
from ovito_glassml.learn.stiffness.train import train
from ovito_glassml.learn.units import Units
from ovito_glassml.progress import Report, nth_of, printed, span_of
from ovito_glassml.reproduce.costs import core_hours, shipped_timings
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.material_header import material_of_header
from ovito_glassml.simulate.snapshots import Snapshot, made_with, read_snapshot
from ovito_glassml.workflow.sample_data import is_kept_aside

__all__ = ["MATERIALS", "make_models"]

#: Name of a model → material of its glasses.
MATERIALS = {"stiffness-fep": "fe80p20"}

LIMITS = (
    "Trained on inherent structures. Of snapshots at a temperature its values are wrong: minimise the structure first.",
    "Trained on one composition and one potential, glasses as quenched. Crystals, liquids and other compositions are "
    "unknown to it; the extrapolation score marks them.",
    "Its labels are harmonic: the limit of low temperatures, without hops. The cage stiffness is that of the motion "
    "against the first shell, which the surroundings of an atom determine. Neither is the barrier to rearrange.",
)


def make_models(folder: Path, output: Path, progress: Report, names: Sequence[str] = tuple(MATERIALS)) -> list[Path]:
    """Train the models on all glasses that are not kept aside and write files and cards.

    Parameters
    ----------
    folder : Path
        With files ``harmonic-MATERIAL-*.xyz.gz``.
    output : Path
        For the model files.
    progress : callable
        Fraction and text.
    names : sequence of str
        Which of `MATERIALS`.
    """
    paths = []
    for number, name in enumerate(names):
        part = nth_of(progress, number, len(names), f"{name}: ")
        files = sorted(folder.glob(f"harmonic-{MATERIALS[name]}-*.xyz.gz"))
        glasses = {file.name.removesuffix(".xyz.gz"): read_snapshot(file) for file in files}
        material = material_of_header(next(iter(glasses.values())).header)
        assert material is not None  # its provenance says so
        paths.append(output / f"{name}.safetensors")
        save_with_card(paths[-1], *_made(glasses, material, part))
    progress(1.0, "done")
    return paths


def _made(glasses: Mapping[str, Snapshot], material: Material, progress: Report) -> tuple[Any, Any]:
    """Header and tensors."""
    samples = [
        LabelledSample(glass.structure, glass.columns["Harmonic_Stiffness"], name, glass.columns["Cage_Stiffness"])
        for name, glass in glasses.items()
    ]
    learned, tested = ([one for one in samples if is_kept_aside(one.name) == aside] for aside in (False, True))
    units = Units(material.unit_system.length, material.unit_system.energy)
    design = replace(BY_SPECIES, title=f"harmonic stiffness of {material.name} from structure and species", units=units)
    how = _how_made({one.name: glasses[one.name] for one in learned}, material)
    model = train(learned, design=design, training=how, progress=span_of(progress, 0, 0.3))
    tables = score_tables(model, tested, "Whole glasses that took no part in the training.", units=units)
    model, left_out = judged_by_leaving_out(model, learned, design=design, progress=span_of(progress, 0.3, 1))
    header = replace(
        model.header,
        results=(*tables, *left_out),
        limits=LIMITS,
        references=(*model.header.references, material.reference),
        licence="MIT",
    )
    return header, model.tensors()


def _how_made(glasses: Mapping[str, Snapshot], material: Material) -> dict[str, Any]:
    """The protocol of the training data, from the files themselves."""
    first = next(iter(glasses.values()))
    quenches = [made_with(glass.header, "input_settings") for glass in glasses.values()]
    rates = ", ".join(f"{rate:.0e}" for rate in sorted({quench["cooling_rate"] for quench in quenches}, reverse=True))
    unit = material.unit_system
    sizes = {name: len(glass.structure) for name, glass in glasses.items()}
    timings = shipped_timings()
    costs = {
        name: timings[name] + timings.get(name.replace("harmonic", "quench"), 0.0) for name in sizes if name in timings
    }
    return {
        "how": (
            f"Molecular dynamics of {material.name}, LAMMPS {first.header['lammps']}; {min(sizes.values())} atoms a "
            f"sample, cooled at {rates} {unit.cooling} between {quenches[0]['slow_from']:g} and "
            f"{quenches[0]['slow_to']:g} {unit.temperature}, and minimised"
        ),
        "shown": "inherent structures",
        "label": "k_B T / u² in the harmonic limit, from the inverse of the Hessian",
        "core_hours": core_hours(sizes, costs),
        "preset": "laptop",
    }


if __name__ == "__main__":
    make_models(Path(sys.argv[1]), Path(sys.argv[2]), printed, sys.argv[3:] or tuple(MATERIALS))
