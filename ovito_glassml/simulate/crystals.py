"""Glasses only: what has crystallised on the way is refused, and how ordered a structure is stands in its header."""

from __future__ import annotations

import numpy as np

from ovito_glassml.errors import UnfitMaterialError
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure

__all__ = ["MOST_CRYSTALLINE", "check_glassy", "crystalline_shares", "mixing", "order_header"]

#: Share of atoms in crystals above which a structure is no glass.
MOST_CRYSTALLINE = 0.2


def crystalline_shares(structure: Structure) -> dict[str, float]:
    """Share of the atoms in each crystal structure, and in ``total`` of them all."""
    # Imported here, because Numba takes a second that a run need not spend before its end.
    from ovito_glassml.topology.crystals import CRYSTALS, crystal_types

    counts = np.bincount(crystal_types(structure), minlength=len(CRYSTALS)) / max(len(structure), 1)
    return {**dict(zip(CRYSTALS[1:], counts[1:].tolist(), strict=True)), "total": float(counts[1:].sum())}


def order_header(structure: Structure) -> dict[str, str]:
    """Header entries of a snapshot: the share of its atoms in crystals, and how species mix in the first shell."""
    return {
        "crystalline_share": f"{crystalline_shares(structure)['total']:.4f}",
        "warren_cowley": mixing(structure),
    }


def mixing(structure: Structure) -> str:
    """How species mix in the first shell: the Warren-Cowley parameter of every pair, as it stands in a header."""
    from ovito_glassml.topology.short_range_order import by_pair, warren_cowley

    orders = by_pair(structure.species_names, warren_cowley(structure))
    return " ".join(f"{pair}:{value:.3f}" for pair, value in orders.items())


def check_glassy(structure: Structure, material: Material) -> None:
    """Refuse a structure of which more than a fifth is crystalline.

    Raises
    ------
    UnfitMaterialError
        With the crystal that most atoms are in.
    """
    shares = crystalline_shares(structure)
    total = shares.pop("total")
    if total > MOST_CRYSTALLINE:
        crystal = max(shares, key=lambda name: shares[name])
        raise UnfitMaterialError(
            f"{material.composition} of material {material.name} has crystallised: {total:.0%} of the atoms are in "
            f"crystals, most of them {crystal}; cool faster, or take a composition that stays a glass."
        )
