"""What a check of a material found, in words, in costs, and as a file."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ovito_glassml.simulate.campaign import PROTOCOLS
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.material_check import MaterialReport
from ovito_glassml.simulate.potential_files import bare, potential_paths, words
from ovito_glassml.topology.short_range_order import by_pair

__all__ = ["SIZES", "costs", "described", "material_text", "written"]

#: Atoms of the samples whose costs are told.
SIZES = (1000, 4000)


def described(report: MaterialReport) -> list[tuple[str, str]]:
    """What was found, as lines of a report: what, and how much."""
    material, kink = report.material, report.transition
    length = {"angstrom": "Å"}.get(material.unit_system.length, "σ")
    degree = material.unit_system.temperature
    rate = f"{report.cooling_rate:.2g} {degree}/{'s' if degree == 'K' else 'τ'}"
    shares = {name: share for name, share in report.crystalline.items() if share and name != "total"}
    crystals = ", ".join(f"{name} {share:.1%}" for name, share in shares.items())
    filled = ", ".join(f"{name} {getattr(material, name):g}" for name in report.filled)
    return [
        ("Material", f"{material.name}, {material.composition}, {report.atoms} atoms"),
        ("Forces", f"differ from the slope of the energy by {report.force_error:.1e} of a usual force"),
        ("Density", f"liquid {report.liquid_density:.4g}, glass at rest {report.glass_density:.4g} atoms/{length}³"),
        ("First peak of g(r)", f"liquid {report.liquid_peak:.3g}, glass {report.glass_peak:.3g} {length}"),
        ("Glass transition", f"{_shown(kink.temperature)} ± {_shown(kink.error)} {degree}, cooled at {rate}"),
        ("Crystalline", crystals or "none"),
        ("Neighbours, glass (melt)", _orders(report)),
        ("Largest force at rest", f"{report.largest_force:.1e} {material.unit_system.energy}/{length}"),
        ("Speed", f"{report.speed / 1e6:.2g} million atom-steps a core second"),
        *([("Filled in", filled)] if filled else []),
    ]


def _shown(temperature: float) -> str:
    return f"{temperature:.0f}" if temperature >= 10 else f"{temperature:.2g}"


def _orders(report: MaterialReport) -> str:
    """Warren-Cowley parameters of the pairs; those of one sort only are none."""
    names = report.species
    if len(names) == 1:
        return "one species"
    melt = by_pair(names, report.melt_order)
    told = [f"{pair} {glass:+.2f} ({melt[pair]:+.2f})" for pair, glass in by_pair(names, report.glass_order).items()]
    demixed = [
        names[a] for a in range(len(names)) if report.glass_order[a, a] < -0.5 and report.crystalline["total"] < 0.2
    ]
    return ", ".join(told) + (f"; {' and '.join(demixed)} separates from the rest" if demixed else "")


def costs(report: MaterialReport) -> dict[str, list[float]]:
    """Core hours of every protocol with its usual settings, for samples of each of `SIZES`."""
    return {
        name: [protocol.settings().atom_steps(atoms, report.material) / report.speed / 3600 for atoms in SIZES]
        for name, protocol in PROTOCOLS.items()
    }


def written(report: MaterialReport, file: Path) -> str:
    """The material as a TOML file that lies at `file`, with what the check found as comments."""
    comments = "".join(f"# {what}: {text}\n" for what, text in described(report) if what != "Filled in")
    return comments + material_text(report.material, file, report.filled)


def material_text(material: Material, file: Path, measured_ones: Sequence[str] = ()) -> str:
    """A material as a TOML file that lies at `file`; comments tell what was measured."""
    told = _placed(material, file.resolve().parent).described()
    potentials = told.pop("potential", [])
    lines = []
    for key, value in told.items():
        measured = "  # measured" if key in measured_ones else ""
        lines.append(f"{key} = {_toml(value)}{measured}")
    for potential in potentials:
        lines += ["", "[[potential]]", *(f"{key} = {_toml(value)}" for key, value in potential.items())]
    return "\n".join(lines) + "\n"


def _placed(material: Material, folder: Path) -> Material:
    """The material with the hashes of its potentials, and their paths where they would not be found from `folder`."""
    from dataclasses import replace

    used = material.fingerprinted()
    names = {}
    for potential in used.potentials:
        try:
            potential_paths(material.name, [f"pair_coeff {potential.file}"], [potential], folder)
        except ValueError:
            names[potential.file] = str(material.potential_paths()[potential.file])
    if not names:
        return used
    lines = tuple(
        " ".join(f'"{names[bare(word)]}"' if bare(word) in names else word for word in words(line))
        for line in used.interactions
    )
    moved = tuple(replace(one, file=names.get(one.file, one.file)) for one in used.potentials)
    return replace(used, interactions=lines, potentials=moved)


def _toml(value: Any) -> str:
    if isinstance(value, list):
        inner = ", ".join(map(_toml, value))
        return f"[{inner}]" if len(inner) < 100 else "[\n    " + ",\n    ".join(map(_toml, value)) + ",\n]"
    if isinstance(value, float | np.floating):
        return repr(float(value))
    return json.dumps(value, ensure_ascii=False)
