"""Harmonic and cage stiffness of every atom of a glass at rest, from the Hessian of its force field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.simulate.checkpoints import (
    claim_intermediate,
    clear_intermediate,
    intermediate,
    made_once,
    writes_alone,
)
from ovito_glassml.simulate.engine import Progress
from ovito_glassml.simulate.harmonic import harmonic_limit, minimised
from ovito_glassml.simulate.local_forces import is_embedded_atom
from ovito_glassml.simulate.material import Material
from ovito_glassml.simulate.snapshots import provenance, write_snapshot
from ovito_glassml.structure import Structure

__all__ = ["HarmonicSettings", "harmonic"]


@dataclass(frozen=True)
class HarmonicSettings:
    """How harmonic labels are made.

    Attributes
    ----------
    minimise : bool
        Minimise the structure first, in its cell; otherwise it must be at rest.
    """

    minimise: bool = False

    def filled_in(self, material: Material) -> HarmonicSettings:
        return self

    def atom_steps(self, atoms: int, material: Material) -> float:
        """Cost: number of atoms times number of force evaluations, or what takes as long as they do.

        A minute for 4 000 atoms; two evaluations a coordinate come on top where forces have to be differentiated.
        """
        differences = 0 if is_embedded_atom(material) else 6 * atoms
        return atoms * (7000.0 * (atoms / 4000) ** 2 + differences)


@writes_alone
def harmonic(
    material: Material,
    structure: Structure,
    settings: HarmonicSettings,
    output: Path,
    progress: Progress,
    *,
    origin: Mapping[str, object] | None = None,
) -> None:
    """Write the stiffness of every atom in the harmonic limit.

    Parameters
    ----------
    material : Material
        Whose force field it is.
    structure : Structure
        Inherent structure; see `ovito_glassml.simulate.harmonic.harmonic_limit`.
    settings : HarmonicSettings
        Whether to minimise.
    output : Path
        ``.xyz.gz`` with the columns ``Harmonic_Stiffness`` and ``Cage_Stiffness`` (k_B T / u² in the harmonic limit,
        of the atom and relative to the mean of its first shell, in energy/length² of the material) and
        ``Soft_Mode_Share``. Their means, the end of the first shell, the largest force and the units are in the header.
    progress : callable
        Fraction and text.
    origin : mapping, optional
        Header entries that say how the structure was made.
    """
    claim_intermediate(output, asdict(settings), material, structure)
    if settings.minimise:
        found = made_once(
            intermediate(output, "minimum"), lambda: {"positions": minimised(structure, material, progress).positions}
        )
        structure = structure.moved(found["positions"])
    limit = harmonic_limit(structure, material, progress)
    motion = limit.motion
    columns: dict[str, NDArray] = {
        "Harmonic_Stiffness": motion.stiffness,
        "Cage_Stiffness": motion.cage_stiffness,
        "Soft_Mode_Share": motion.soft_mode_share,
    }
    means = {name.lower(): f"{np.nanmean(columns[name]):.6g}" for name in ("Harmonic_Stiffness", "Cage_Stiffness")}
    header = {
        **provenance("harmonic", asdict(settings), material),
        "first_shell": f"{limit.shell:g}",
        "largest_force": f"{limit.largest_force:.3g}",
        **means,
        **(origin or {}),
    }
    write_snapshot(output, structure, columns, header)
    clear_intermediate(output)
