"""What a glass former is: a TOML file with its species, its interactions as LAMMPS commands, and its state points."""

from __future__ import annotations

import dataclasses
import difflib
import hashlib
import json
import math
import re
import tomllib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from importlib import resources
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.elements import ATOMIC_MASS
from ovito_glassml.simulate.potential_files import POTENTIALS, PotentialFile, bare, potential_paths, sha256, words
from ovito_glassml.simulate.units import UNITS, UnitSystem

__all__ = [
    "MEASURED",
    "POTENTIALS",
    "Material",
    "PotentialFile",
    "header_text",
    "load_material",
    "parse_composition",
    "read_material",
    "shipped_materials",
    "table_of_header",
]

#: Letters that stand for themselves in the texts of a header.
_PLAIN = "".join(letter for letter in map(chr, range(32, 127)) if letter not in "%\"'\\")

#: What every protocol needs and ``glassml material check`` measures where a file does not say it.
MEASURED = (
    "melt_temperature",
    "glass_temperature",
    "liquid_density",
    "number_density",
    "nearest_neighbour_distance",
    "time_step",
)

#: LAMMPS commands that say how atoms interact; all others belong to the protocols.
ALLOWED = (
    "pair_style",
    "pair_coeff",
    "pair_modify",
    "bond_style",
    "bond_coeff",
    "special_bonds",
    "kspace_style",
    "kspace_modify",
    "dielectric",
    "comm_modify",
    "fix",
)

#: The usual temperature of a deeply supercooled liquid, in units of the kink that a fast quench shows.
SUPERCOOLED = 8 / 7


@dataclass(frozen=True)
class Material:
    """A glass former. All numbers are in the units of its LAMMPS commands, as in a LAMMPS script.

    Attributes
    ----------
    name : str
    species : tuple of str
        Names in type order.
    fractions : tuple of float
        Share of every species.
    units : str
        LAMMPS's name of the unit system: ``metal``, ``real`` or ``lj``.
    interactions : tuple of str
        LAMMPS commands, `pair_style` and what follows, potential files by name: ``commands`` in the file. `commands`
        has the names replaced by paths.
    masses : tuple of float
        From the table of elements where the file does not give them; 1 in reduced units.
    charges : tuple of float
        Of every species; empty without charges.
    atom_style : str
        LAMMPS's; follows from charges and chains unless given.
    chain_length : int
        Beads of a chain; 1 means atoms.
    potentials : tuple of PotentialFile
    reference : str
        Who published the interactions.
    pressure : float
        Of liquid and glass.
    fixed_density : bool
        Everything happens at `number_density`, whatever the pressure.
    number_density : float
        Of the glass: the density of protocols at fixed volume, and a first guess where the cell follows the pressure.
    liquid_density : float
        At the melt temperature, where a quench starts.
    supercooled_density : float
        At `supercooled_temperature`; NaN: what the pressure makes of it.
    melt_temperature : float
        Well above the melting point; a liquid within picoseconds.
    glass_temperature : float
        Where the inherent-structure energy of a fast quench has its kink. Protocols choose their windows by it.
    supercooled_temperature : float
        Of the liquid whose thermal rearrangements are studied, τ_α there being some thousand time units; NaN: 8/7 of
        the glass temperature.
    time_step : float
        Of the liquid; a glass at low temperature takes 4/3 of it.
    nearest_neighbour_distance : float
        The unit of cutoffs and of D²min.
    force_tolerance : float
        Largest force component on any atom of a minimised structure.
    skin : float
        Of neighbour lists.
    active_species : str
        The species whose rearrangements are labelled; the most frequent one unless given.
    folder : Path or None
        Where its file lies, the first place in which potential files are looked up.
    """

    name: str
    species: tuple[str, ...]
    fractions: tuple[float, ...]
    units: str
    interactions: tuple[str, ...]
    masses: tuple[float, ...] = ()
    charges: tuple[float, ...] = ()
    atom_style: str = ""
    chain_length: int = 1
    potentials: tuple[PotentialFile, ...] = ()
    reference: str = ""
    pressure: float = 0.0
    fixed_density: bool = False
    number_density: float = math.nan
    liquid_density: float = math.nan
    supercooled_density: float = math.nan
    melt_temperature: float = math.nan
    glass_temperature: float = math.nan
    supercooled_temperature: float = math.nan
    time_step: float = math.nan
    nearest_neighbour_distance: float = math.nan
    force_tolerance: float = math.nan
    skin: float = math.nan
    active_species: str = ""
    folder: Path | None = field(default=None, compare=False)

    def __post_init__(self) -> None:
        _check_species(self)
        _check_commands(self)
        store = object.__setattr__
        store(self, "masses", self.masses or _masses(self))
        _check_per_species(self, "masses", self.masses)
        if self.charges:
            _check_per_species(self, "charges", self.charges)
        store(self, "atom_style", self.atom_style or _atom_style(self))
        for name in ("force_tolerance", "skin"):
            if math.isnan(getattr(self, name)):
                store(self, name, getattr(self.unit_system, name))
        store(self, "active_species", self.active_species or self.species[self.fractions.index(max(self.fractions))])
        if self.active_species not in self.species:
            raise self._error(f"active_species is {self.active_species!r}; choose from {', '.join(self.species)}")
        _check_numbers(self)

    # ------------------------------------------------------------------ what LAMMPS is told

    @property
    def commands(self) -> tuple[str, ...]:
        """The interactions as LAMMPS commands, potential files by their checked paths.

        Raises
        ------
        SimulationError
            If a potential file is missing or is another one than the material was made for.
        """
        found = {name: f'"{path}"' for name, path in self.potential_paths().items()}
        return tuple(" ".join(found.get(bare(word), word) for word in words(line)) for line in self.interactions)

    def potential_paths(self) -> dict[str, Path]:
        """The files that the commands name, by their names there."""
        return potential_paths(self.name, self.interactions, self.potentials, self.folder, self.reference)

    # ------------------------------------------------------------------ units and state points

    @property
    def unit_system(self) -> UnitSystem:
        return UNITS[self.units]

    @property
    def boltzmann(self) -> float:
        """Boltzmann constant in the material's units."""
        return self.unit_system.boltzmann

    @property
    def barostat(self) -> float | None:
        """The pressure that the cell follows; None where the density is fixed."""
        return None if self.fixed_density else self.pressure

    @property
    def cold_time_step(self) -> float:
        """Of a glass far below its transition, where atoms are slower."""
        return float(f"{self.time_step * 4 / 3:.3g}")

    @property
    def studied_temperature(self) -> float:
        """Of the supercooled liquid whose thermal rearrangements are studied."""
        if math.isnan(self.supercooled_temperature):
            return float(f"{SUPERCOOLED * self.glass_temperature:.3g}")
        return self.supercooled_temperature

    @property
    def start_density(self) -> float:
        """A density from which a cell that follows the pressure soon finds its own."""
        return self.liquid_density if math.isnan(self.number_density) else self.number_density

    @property
    def loose_tolerance(self) -> float:
        """Force tolerance where many structures are minimised; their energies are then exact to 10⁻⁷ of a bond."""
        return float(f"{10 * self.force_tolerance:.3g}")

    def steps(self, time: float, time_step: float | None = None) -> int:
        """Steps in so much time (ps, or reduced), at least one."""
        return max(1, round(time * self.unit_system.times / (time_step or self.time_step)))

    @property
    def composition(self) -> str:
        """In percent, such as ``Cu50Zr50``."""
        return "".join(f"{name}{100 * share:.6g}" for name, share in zip(self.species, self.fractions, strict=True))

    def with_composition(self, text: str) -> Material:
        """The same interactions at another composition.

        Where the density follows the pressure, the glass's is no longer known; a liquid starts from the old one.
        """
        shares = parse_composition(text, self)
        fractions = tuple(shares.get(name, 0.0) for name in self.species)
        if all(math.isclose(one, other, abs_tol=1e-9) for one, other in zip(fractions, self.fractions, strict=True)):
            return self
        if self.fixed_density:
            return replace(self, fractions=fractions)
        return replace(self, fractions=fractions, number_density=math.nan, supercooled_density=math.nan)

    def check_complete(self) -> Material:
        """Itself, if nothing is missing that protocols need.

        Raises
        ------
        SimulationError
            With what is missing.
        """
        # With the density of the liquid alone, a cell that follows the pressure finds that of the glass.
        optional = set() if self.fixed_density else {"number_density"}
        missing = [name for name in MEASURED if name not in optional and math.isnan(getattr(self, name))]
        if missing:
            raise self._error(
                f"the file lacks {', '.join(missing)}; let 'glassml material check FILE -o NEW' measure what is missing"
            )
        return self

    def completed_with(self, values: Mapping[str, float]) -> Material:
        """With these numbers where the file says none."""
        missing: dict[str, Any] = {name: one for name, one in values.items() if math.isnan(getattr(self, name))}
        return replace(self, **missing)

    # ------------------------------------------------------------------ in headers and files

    def described(self) -> dict[str, Any]:
        """What the file of this material says, all values that are known, in the order of the attributes."""
        told: dict[str, Any] = {}
        for entry in dataclasses.fields(self):
            value = getattr(self, entry.name)
            if entry.name == "folder" or value in ("", ()) or (isinstance(value, float) and math.isnan(value)):
                continue
            told[_KEY_OF.get(entry.name, entry.name)] = list(value) if isinstance(value, tuple) else value
        told["potential"] = [
            {key: text for key, text in dataclasses.asdict(potential).items() if text} for potential in self.potentials
        ]
        return told if self.potentials else {key: value for key, value in told.items() if key != "potential"}

    def provenance(self) -> dict[str, object]:
        """Header entry ``material``: what the file says, with the SHA-256 of the potential files that were used."""
        return {"material": header_text(self.fingerprinted().described())}

    def fingerprinted(self) -> Material:
        """With the SHA-256 of every potential file."""
        sources = {potential.file: potential.source for potential in self.potentials}
        used = {name: sha256(path) for name, path in self.potential_paths().items()}
        return replace(
            self,
            potentials=tuple(PotentialFile(name, digest, sources.get(name, "")) for name, digest in used.items()),
        )

    def digest(self) -> str:
        """Short fingerprint of all that a run depends on but its composition."""
        known = self if all(one.sha256 for one in self.potentials) and self.potentials else self.fingerprinted()
        told = known.described()
        # Another composition forgets densities; those that matter are settings then.
        forgotten = () if self.fixed_density else ("number_density", "supercooled_density")
        for name in ("name", "fractions", "reference", "potential", *forgotten):
            told.pop(name, None)
        hashes = [potential.sha256 for potential in known.potentials]
        return hashlib.sha256(json.dumps([told, hashes], sort_keys=True).encode()).hexdigest()[:16]

    def _error(self, reason: str) -> SimulationError:
        return SimulationError(f"Material {self.name}: {reason}.")


_KEY_OF = {"interactions": "commands", "potentials": "potential"}


# ---------------------------------------------------------------------- reading


def shipped_materials() -> dict[str, Path]:
    """Names and files of the materials that come with the package."""
    folder = Path(str(resources.files("ovito_glassml.simulate") / "materials"))
    return {file.stem: file for file in sorted(folder.glob("*.toml"))}


def load_material(name: str | Path, composition: str = "") -> Material:
    """A shipped material by its name, or one of a file.

    Parameters
    ----------
    name : str or Path
    composition : str
        Such as ``Cu64Zr36``; "": that of the file.

    Raises
    ------
    SimulationError
        If there is none, or its file is wrong.
    """
    shipped = shipped_materials()
    if str(name) in shipped:
        material = read_material(shipped[str(name)])
    elif Path(name).suffix == ".toml" or Path(name).exists():
        material = read_material(Path(name))
    else:
        raise SimulationError(
            f"There is no material {str(name)!r}; give a .toml file, or choose from {', '.join(shipped)}."
        )
    return material.with_composition(composition) if composition else material


def read_material(file: Path) -> Material:
    """The material of a TOML file.

    Raises
    ------
    SimulationError
        If the file cannot be read or says something impossible.
    """
    try:
        table = tomllib.loads(Path(file).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SimulationError(f"The material file {file} cannot be read: {error}.") from error
    return material_of({"name": Path(file).stem, **table}, Path(file).resolve().parent)


def header_text(table: Mapping[str, Any]) -> str:
    """A table as an entry of a header, to be read with `table_of_header`.

    Quotes, backslashes and letters beyond ASCII in texts become ``%22`` and the like: readers of extended XYZ files,
    OVITO's among them, have ways of their own with them.
    """
    return json.dumps(_with_texts(table, partial(quote, safe=_PLAIN)))


def table_of_header(text: str) -> dict[str, Any]:
    """The table of `header_text`, whose quotes may have become single ones; empty for other texts."""
    try:
        table = json.loads(text.replace("'", '"'))
    except ValueError:
        return {}
    return _with_texts(table, unquote) if isinstance(table, dict) else {}


def _with_texts(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, Mapping):
        return {key: _with_texts(one, change) for key, one in value.items()}
    return [_with_texts(one, change) for one in value] if isinstance(value, list | tuple) else value


def material_of(table: Mapping[str, Any], folder: Path | None = None) -> Material:
    """The material that a table, such as that of a file or a header, describes."""
    name = str(table.get("name", "without name"))
    values: dict[str, Any] = {}
    for key, value in table.items():
        if key == "composition":
            continue
        if key not in _READERS:
            raise SimulationError(f"Material {name}: unknown key {key!r}{_nearest(key)}.")
        try:
            values[{text: key for key, text in _KEY_OF.items()}.get(key, key)] = _READERS[key](value)
        except (TypeError, ValueError, KeyError) as error:
            raise SimulationError(f"Material {name}: {key} is {value!r}; {error}.") from error
    if "composition" in table:
        if "fractions" in table:
            raise SimulationError(f"Material {name}: give either composition or fractions.")
        shares = parse_composition(str(table["composition"]))
        values.setdefault("species", tuple(shares))
        values["fractions"] = tuple(shares.get(one, 0.0) for one in values["species"])
        if set(shares) - set(values["species"]):
            raise SimulationError(f"Material {name}: composition {table['composition']} names other species.")
    if missing := [key for key in ("species", "units", "commands") if key not in table and key not in values]:
        raise SimulationError(f"Material {name}: the file lacks {' and '.join(missing)}.")
    if "fractions" not in values:
        if len(values["species"]) > 1:
            raise SimulationError(f"Material {name}: the file lacks fractions, one number for each species.")
        values["fractions"] = (1.0,)
    return Material(**values, folder=folder)


def _text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError("give text in quotes")
    return value


def _number(value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise TypeError("give a number")
    return float(value)


def _count(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError("give a whole number from 1")
    return value


def _flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError("give true or false")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise TypeError("give a list of texts in quotes")
    return tuple(value)


def _lines(value: Any) -> tuple[str, ...]:
    lines = value.splitlines() if isinstance(value, str) else _texts(value)
    stripped = [line.partition("#")[0].strip() for line in lines]
    return tuple(line for line in stripped if line)


def _numbers(value: Any) -> tuple[float, ...]:
    if not isinstance(value, list):
        raise TypeError("give a list of numbers")
    return tuple(map(_number, value))


def _potentials(value: Any) -> tuple[PotentialFile, ...]:
    if not isinstance(value, list) or not all(isinstance(one, dict) and "file" in one for one in value):
        raise TypeError("give a [[potential]] table with file, and sha256 and source if you know them")
    if unknown := {key for one in value for key in one} - {"file", "sha256", "source"}:
        raise ValueError(f"a [[potential]] has file, sha256 and source, not {', '.join(sorted(unknown))}")
    return tuple(PotentialFile(**{key: _text(text) for key, text in one.items()}) for one in value)


#: Key of a material file → what reads its value.
_READERS: dict[str, Any] = {
    "name": _text,
    "species": _texts,
    "fractions": _numbers,
    "composition": _text,
    "units": _text,
    "commands": _lines,
    "masses": _numbers,
    "charges": _numbers,
    "atom_style": _text,
    "chain_length": _count,
    "potential": _potentials,
    "reference": _text,
    "fixed_density": _flag,
    "active_species": _text,
    **dict.fromkeys(
        (
            "pressure",
            "number_density",
            "liquid_density",
            "supercooled_density",
            "melt_temperature",
            "glass_temperature",
            "supercooled_temperature",
            "time_step",
            "nearest_neighbour_distance",
            "force_tolerance",
            "skin",
        ),
        _number,
    ),
}


def _nearest(key: str) -> str:
    near = difflib.get_close_matches(key, _READERS, 1)
    return f"; do you mean {near[0]}?" if near else f"; known are {', '.join(_READERS)}"


def parse_composition(text: str, material: Material | None = None) -> dict[str, float]:
    """``Cu50Zr50`` → {'Cu': 0.5, 'Zr': 0.5}.

    Parameters
    ----------
    text : str
        Species and their amounts, in percent or any other measure.
    material : Material, optional
        All species must be its own.

    Raises
    ------
    SimulationError
        If the text cannot be read, names a species twice or one that the material lacks.
    """
    named = sorted(material.species, key=len, reverse=True) if material else []
    symbol = "|".join([*map(re.escape, named), "[A-Z][a-z]?"])
    parts = re.findall(rf"({symbol})(\d+(?:\.\d+)?)", text)
    total = sum(float(number) for _, number in parts)
    if not total > 0 or "".join(name + number for name, number in parts) != text:
        raise SimulationError(f"The composition {text!r} cannot be read; write it like Cu50Zr50.")
    if len(dict(parts)) != len(parts):
        raise SimulationError(f"The composition {text!r} names a species twice; write it like Cu50Zr50.")
    if material is not None and set(dict(parts)) - set(material.species):
        raise SimulationError(
            f"{text} does not fit the material {material.name}; use the species {' and '.join(material.species)}."
        )
    return {name: float(number) / total for name, number in parts}


# ---------------------------------------------------------------------- checking


def _check_species(material: Material) -> None:
    species, fractions = material.species, material.fractions
    if not species or len(set(species)) != len(species) or not all(re.fullmatch(r"\w+", name) for name in species):
        raise material._error(f"species are {list(species)}; give different names of letters and digits")
    if len(fractions) != len(species):
        raise material._error(f"there are {len(fractions)} fractions for {len(species)} species; give one for each")
    if min(fractions) < 0 or not math.isclose(sum(fractions), 1.0, abs_tol=1e-6):
        raise material._error(f"fractions are {list(fractions)} and add to {sum(fractions):g}; make them add to 1")
    if material.units not in UNITS:
        raise material._error(f"units are {material.units!r}; use one of {', '.join(UNITS)}")


def _check_commands(material: Material) -> None:
    lines = material.interactions
    for line in lines:
        said = words(line)
        if said[0] not in ALLOWED or (said[0] == "fix" and not (len(said) > 3 and said[3].startswith("qeq/"))):
            raise material._error(
                f"the command {line!r} does not say how atoms interact; commands may be {', '.join(ALLOWED[:-1])} and "
                "fix … qeq/…, all else belongs to the protocols"
            )
    styles = [words(line)[1:] for line in lines if words(line)[0] == "pair_style"]
    if len(styles) != 1 or not styles[0]:
        raise material._error(
            f"commands hold {len(styles)} pair_style lines, LAMMPS uses the last; give one, or pair_style hybrid"
        )
    everything = [line for line in lines if words(line)[:3] == ["pair_coeff", "*", "*"]]
    if len(everything) > 1 and not styles[0][0].startswith("hybrid"):
        raise material._error("commands hold two lines 'pair_coeff * *', of which LAMMPS uses the last; keep one")
    for line in everything:
        _check_mapping(material, line)


def _check_mapping(material: Material, line: str) -> None:
    """A potential file's elements must be named in the order of the species, or types would be swapped."""
    count = len(material.species)
    named = tuple(words(line)[3:][-count:])
    elements = all(name in ATOMIC_MASS for name in named)
    if len(named) < count or not elements or named == material.species:
        return
    if set(named) == set(material.species) or all(name in ATOMIC_MASS for name in material.species):
        raise material._error(
            f"the command {line!r} maps the types to {' '.join(named)}, but species are {' '.join(material.species)}; "
            "write both in one order"
        )


def _check_per_species(material: Material, name: str, values: Sequence[float]) -> None:
    if len(values) != len(material.species):
        raise material._error(f"there are {len(values)} {name} for {len(material.species)} species; give one for each")
    if name == "masses" and min(values) <= 0:
        raise material._error(f"masses are {list(values)}; they must be positive")


def _check_numbers(material: Material) -> None:
    free = ("pressure", "masses", "charges")
    for entry in dataclasses.fields(material):
        value = getattr(material, entry.name)
        if entry.name in free or not isinstance(value, float) or math.isnan(value):
            continue
        if not 0 < value < math.inf:
            raise material._error(f"{entry.name} is {value:g}; it must be positive")
    if not math.isfinite(material.pressure):
        raise material._error(f"pressure is {material.pressure:g}; give a number")
    if material.glass_temperature >= material.melt_temperature:
        raise material._error(
            f"the glass temperature {material.glass_temperature:g} is not below the melt temperature "
            f"{material.melt_temperature:g}; exchange or correct them"
        )
    if material.fixed_density and math.isnan(material.number_density):
        raise material._error("fixed_density is true but there is no number_density; give one")


def _masses(material: Material) -> tuple[float, ...]:
    if material.units == "lj":
        return (1.0,) * len(material.species)
    if unknown := [name for name in material.species if name not in ATOMIC_MASS]:
        raise material._error(f"{', '.join(unknown)} is no element; give masses, in the order of species")
    return tuple(ATOMIC_MASS[name] for name in material.species)


def _atom_style(material: Material) -> str:
    charged = bool(material.charges) or any("coul" in line.split()[1] for line in material.interactions[:1])
    if material.chain_length > 1:
        return "full" if charged else "bond"
    return "charge" if charged else "atomic"
