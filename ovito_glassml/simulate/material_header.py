"""What the header of a simulated file says about its material, also one that was written before there were any."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.material import (
    Material,
    load_material,
    material_of,
    shipped_materials,
    table_of_header,
)
from ovito_glassml.simulate.snapshots import made_with
from ovito_glassml.structure import Structure

__all__ = ["ACTIVATION", "FORMERLY", "former_record", "material_for", "material_of_header", "stated"]

#: What moves the atoms; protocols that are not named here label no activity.
ACTIVATION = {"isoconfigurational": "thermal", "shear-aqs": "shear", "shear-md": "shear"}
_PROTOCOLS = {"quench", "vibrations", "harmonic", "barriers", "anneal", *ACTIVATION}

#: Names of materials in settings that were written before there were any; protocols without a name simulated the last.
FORMERLY = {"kob-andersen": "kob-andersen", "wahnstrom": "wahnstrom", "polymer": "polymer", "cu50zr50": "cu-zr"}


def material_of_header(header: Mapping[str, object], folder: Path | None = None) -> Material | None:
    """The material of a file that this package wrote; None for other files.

    Parameters
    ----------
    header : mapping
        Entries of the comment line of a frame, of any origin.
    folder : Path, optional
        Where potential files may lie.
    """
    if told := table_of_header(str(header.get("material"))):
        return material_of(told, folder)
    if str(header.get("protocol", "")) not in _PROTOCOLS or not {"settings", "lammps"} <= header.keys():
        return None
    settings = _settings(header)
    name = FORMERLY.get(str(settings.get("system", "cu50zr50")))
    composition = str(settings.get("composition") or _settings(header, "input_settings").get("composition", ""))
    return load_material(name, composition) if name else None


def material_for(structure: Structure, header: Mapping[str, object], folder: Path | None = None) -> Material:
    """The material of a structure of any origin: what its header says, or the one shipped material of its species.

    Raises
    ------
    SimulationError
        If there is none, or more than one.
    """
    if (material := material_of_header(header, folder)) is not None:
        return material
    shipped = [load_material(name) for name in shipped_materials()]
    present = {structure.species_names[kind] for kind in set(structure.species.tolist())}
    fitting = [one for one in shipped if present == set(one.species)] or [
        one for one in shipped if present <= set(one.species)
    ]
    if len(fitting) != 1:
        found = f"{len(fitting)} shipped materials hold" if fitting else "No shipped material holds"
        raise SimulationError(f"{found} {', '.join(sorted(present))}; say which it is with --material.")
    return fitting[0]


def former_record(record: Mapping[str, Any]) -> dict[str, Any]:
    """A record of settings, one of former versions translated: ``material`` and ``composition`` as now."""
    told = dict(record)
    name = FORMERLY.get(str(told.pop("system", "cu50zr50")))
    if "material" not in told and name:
        former = load_material(name, str(told.get("composition", "")))
        told["material"] = former.digest()
        told["composition"] = former.composition
    return told


def stated(header: Mapping[str, object]) -> dict[str, str]:
    """What the header of a simulated file says about units and sources.

    Parameters
    ----------
    header : mapping
        Entries of the comment line of a frame, of any origin.

    Returns
    -------
    dict
        ``length_unit``, ``energy_unit``, ``reference`` and ``activation``, those that are known: as the entries of
        these names, or as follows from a protocol of this package. Empty for other files.
    """
    found: dict[str, str] = {}
    if (material := material_of_header(header)) is not None:
        found = {"length_unit": material.unit_system.length, "energy_unit": material.unit_system.energy}
        found |= {"reference": material.reference} if material.reference else {}
        protocol = str(header.get("protocol", ""))
        found |= {"activation": ACTIVATION[protocol]} if protocol in ACTIVATION else {}
    given = ("length_unit", "energy_unit", "reference", "activation")
    return found | {name: str(header[name]) for name in given if name in header}


def _settings(header: Mapping[str, object], entry: str = "settings") -> dict[str, Any]:
    try:
        return made_with(header, entry)
    except ValueError:  # not written by us
        return {"system": None}
