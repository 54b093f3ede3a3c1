"""Structure files that other packages ship as test data, and what this package makes of them.

    python tests/strangers/strangers.py fetch FOLDER
    python tests/strangers/strangers.py write FOLDER

The first downloads the packages and unpacks them without installing anything, the second runs all modifiers on all
files and writes the README beside this script. The tests look for the folder in GLASSML_STRANGERS.
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import sys
import tarfile
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from ovito_glassml.adapter.files import FileError, open_trajectory

#: Package → version, and whether the files are in its source archive or in its wheel.
PACKAGES = {
    "matscipy": ("1.3.1", "source"),
    "MDAnalysisTests": ("2.11.0", "source"),
    "gsd": ("5.0.1", "source"),
    "phonopy": ("4.10.0", "source"),
    "ase": ("3.29.0", "wheel"),
    "openmm": ("8.6.1", "wheel"),
    "pyxtal": ("1.1.5", "wheel"),
}

#: Modifiers that a newcomer tries, with settings after a colon.
TRIED = ("stiffness", "activity", "activity:quantity=propensity", "scnn", "ule", "lasca", "rdf", "rdf:partial=true")
TRIED += ("bessel", "soap", "ace", "nonaffine", "vibrations", "harmonic")

#: Their rows are long: left out for files of more atoms.
LONG_ROWS, MOST_ATOMS = ("soap", "ace"), 6000


@dataclass(frozen=True)
class Stranger:
    """A file: its package, its place there, what it is, and what the user adds on the command line."""

    package: str
    path: str
    what: str
    options: tuple[str, ...] = ()

    def __str__(self) -> str:
        return Path(self.path).name

    def place(self, folder: str | Path) -> Path:
        return Path(folder, self.package, self.path)


def _of(package: str, start: str, *rows: tuple[str, ...]) -> list[Stranger]:
    return [Stranger(package, start + path, what, tuple(options)) for path, what, *options in rows]


_NAMED = ("--species", "Cu,Zr")
STRANGERS = [
    *_of(
        "matscipy",
        "tests/",
        ("CuZr_glass_460_atoms_forces.lammps.dump.gz", "Cu-Zr glass at temperature, types without names"),
        ("CuZr_glass_460_atoms_forces.lammps.dump.gz", "the same, named", *_NAMED),
        ("glass_min.xyz", "Lennard-Jones glass at rest, called H and He"),
        ("glass_min.xyz", "the same, named", "--species", "A,B"),
        ("aSi.cfg", "amorphous silicon, called H"),
        ("aC.cfg", "amorphous carbon in a sheared cell"),
        ("../docs/topology/aC_H2O.xyz", "water between amorphous carbon, open above"),
        ("Au_923.xyz", "gold nanoparticle without cell"),
        ("electrochemistry_data/NaCl.lammps", "dilute electrolyte, atom style not said"),
        ("electrochemistry_data/NaCl.lammps", "the same, said", "--atom-style", "full"),
        ("manybody/heterogeneous/polyphosphate.data", "zinc phosphate glass"),
        ("cryst_rot_mod.xyz", "silicon carbide, left-handed cell"),
        ("data/clamped_crack/110_001.xyz", "crack in silicon, periodic along one direction"),
        ("committee_data/training_data.xyz", "CO₂ molecule, 30 geometries, open"),
    ),
    *_of(
        "MDAnalysisTests",
        "MDAnalysisTests/data/",
        ("argon_npt_compressed.gro.gz", "argon gas, elements not known"),
        ("lammps/albite_triclinic.data", "albite, triclinic"),
        ("lammps/chain_dump_1.lammpstrj", "two bead-spring chains, 6 frames"),
        ("lammps/chain_dump_1.lammpstrj", "the same, named", "--species", "A,B"),
        ("lammps/wat.lammpstrj.bz2", "water, 3 frames, compressed"),
        ("lammps/cnt-hexagonal-class1.data", "carbon nanotube, hexagonal cell"),
        ("lammps/additional_columns.lammpstrj", "surface atoms in one plane, no types"),
        ("dlpoly/CONFIG", "fewer records than its header counts"),
        ("dlpoly/HISTORY", "molten KCl, changing cell, 3 frames"),
        ("example_longer.gsd", "colloids of two kinds, units of diameters, 8 frames"),
        ("example_bonds.gsd", "bonded colloids called A and B, 3 frames"),
        ("watdyn.dcd", "water trajectory without types"),
        ("SiN_tric_namd.dcd", "silicon nitride, triclinic, without types"),
        ("xyz_random_walk.xtc", "random walks, cell of zeros, 100 frames"),
        ("Amber/posfor.ncdf", "peptide in water, AMBER"),
        ("huge_box.gro", "one atom, cell too wide for its columns"),
        ("fullerene.pdb.gz", "C₆₀"),
        ("2r9r-1b.xyz.bz2", "protein trajectory, coarse, without cell"),
        ("nmr_neopetrosiamide.pdb", "peptide, 24 models, cell of 1 Å as a placeholder"),
        ("6msm.pdb.bz2", "ion channel, cell of 1 Å as a placeholder"),
        ("plength.gro", "polymer melt"),
        ("martini_dppc_chol_bilayer.gro", "membrane of beads"),
        ("empty_atom.gro", "no atoms at all"),
    ),
    *_of("gsd", "gsd/test/", ("test_gsd_v1.gsd", "container of other data")),
    *_of(
        "phonopy",
        "",
        ("test/interface/XDATCAR-NaCl", "NaCl from molecular dynamics"),
        ("example/Al2O3/POSCAR-unitcell", "corundum"),
        ("example/SiO2-HP/POSCAR-unitcell", "stishovite"),
        ("example/Cu-QHA/POSCAR-00", "copper, four atoms"),
    ),
    *_of(
        "ase",
        "ase/test/testdata/",
        ("minerals/cod_9007661.cif", "MoS₂, layered"),
        ("minerals/cod_9017338.cif", "silica"),
        ("vasp/POSCAR_example_1", "cluster, elements not named"),
        ("lammpsdata_input.data", "molecules, atom style not said"),
    ),
    *_of("openmm", "openmm/app/data/", ("tip3p.pdb", "liquid water")),
    *_of("pyxtal", "pyxtal/database/cifs/", ("FAU.cif", "faujasite"), ("ACBNZA01.cif", "molecular crystal")),
]


def fetch(folder: Path) -> None:
    """Download and unpack the packages."""
    for package, (version, kind) in PACKAGES.items():
        wanted = f"{package}=={version}" if version else package
        source = ["--no-binary", package] if kind == "source" else []
        with tempfile.TemporaryDirectory() as place:
            command = [sys.executable, "-m", "pip", "download", "--no-deps", *source, "-d", place, wanted]
            subprocess.run(command, check=True)
            archive = next(Path(place).iterdir())
            _unpack(archive, folder / package)


def _unpack(archive: Path, target: Path) -> None:
    target.mkdir(parents=True, exist_ok=True)
    if archive.suffix == ".whl":
        zipfile.ZipFile(archive).extractall(target)
        return
    with tarfile.open(archive) as content:
        for member in content.getmembers():
            member.name = member.name.partition("/")[2]  # without the folder of the version
            if member.name and (member.isfile() or member.isdir()):
                content.extract(member, target, filter="data")


@dataclass(frozen=True)
class Outcome:
    """How ``glassml apply`` ended: status, what it printed, what it wrote and whether anything else is left."""

    status: int
    said: str
    refusals: list[str]
    output: Path
    noise: list[str]


def tried_on(file: Path) -> list[str]:
    """The modifiers for this file."""
    try:
        data = open_trajectory(file).compute(0)
        count = data.particles.count if data.particles is not None else 0
    except (FileError, RuntimeError):
        count = 0
    return [name for name in TRIED if count <= MOST_ATOMS or name not in LONG_ROWS]


def outcome(file: Path, tried: str, options: tuple[str, ...], folder: Path) -> Outcome:
    """Run the command in this process, with everything that is printed, by compiled code too."""
    from ovito_glassml import cli

    name, *settings = tried.split(":")
    output = folder / "out.xyz"
    output.unlink(missing_ok=True)
    arguments = ["glassml", "apply", str(file), "-m", name, "-o", str(output), "--frames", "0:2", *options]
    before, sys.argv = sys.argv, arguments + [text for setting in settings for text in ("--set", setting)]
    with _captured(folder) as printed:
        try:
            cli.main()
            status = 0
        except SystemExit as stopped:
            status = int(stopped.code or 0)
        finally:
            sys.argv = before
    said, complained = printed
    lines = [line.strip() for line in complained.splitlines() if line.strip() and "━" not in line and "0%" not in line]
    refusals = [line for line in lines if line.startswith("glassml: ")]
    return Outcome(status, said, refusals, output, [line for line in lines if line not in refusals])


@contextlib.contextmanager
def _captured(folder: Path):
    """Standard output and error of everything, as a list that is filled at the end."""
    texts: list[str] = []
    files = [(folder / name).open("w+", encoding="utf-8") for name in ("stdout", "stderr")]
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    kept = [os.dup(number) for number in (1, 2)]
    try:
        for number, file in enumerate(files, start=1):
            os.dup2(file.fileno(), number)
        with contextlib.redirect_stdout(files[0]), contextlib.redirect_stderr(files[1]):
            yield texts
    finally:
        for number, (file, old) in enumerate(zip(files, kept, strict=True), start=1):
            file.flush()
            os.dup2(old, number)
            os.close(old)
            file.close()
            path = folder / ("stdout", "stderr")[number - 1]
            texts.append(path.read_text(encoding="utf-8"))
            path.unlink()


def attributes(said: str) -> dict[str, float]:
    """What the command printed."""
    return {name: float(value) for name, value in re.findall(r"^\w+\.(\w+) = (\S+)$", said, re.MULTILINE)}


#: Beginnings of the sentences that are met again and again.
_REFUSALS = {
    "A single frame": "one frame only",
    "The window holds 1 of": "one frame only",
    "Particle types": "types need names",
    "Particles have no types": "types need names",
    "The force field does not describe": "no potential",
    "The structure has no simulation cell": "density needed",
    "LAMMPS atom style": "atom style needed",
}


def in_short(outcome: Outcome) -> str:
    """For the table."""
    if outcome.status:
        sentence = re.sub(r"^glassml: \S+(, frame \d+: | cannot be read: )", "", outcome.refusals[0])
        if known := re.match(r"No \w+ model knows ([^(]+) \(", sentence):
            return f"no model knows {known[1]}"
        short = (text for begin, text in _REFUSALS.items() if sentence.startswith(begin))
        return next(short, re.split(r"[;,:] |\. ", sentence)[0])
    numbers = attributes(outcome.said)
    marks = []
    if numbers.get("extrapolating_fraction", 0) > 0:
        marks.append(f"{numbers['extrapolating_fraction']:.0%} marked")
    if numbers.get("undefined", 0) > 0:
        marks.append(f"{numbers['undefined']:.0f} undefined")
    if "cubic Å" in outcome.said:
        marks.append("other units said")
    if "no simulation cell" in outcome.said:
        marks.append("no cell said")
    return "result" + (f" ({', '.join(marks)})" if marks else "")


def described(stranger: Stranger, file: Path, folder: Path) -> str:
    """A row of the table."""
    try:
        trajectory = open_trajectory(file)
        data = trajectory.compute(0)
        size = f"{data.particles.count if data.particles is not None else 0} × {trajectory.num_frames}"
    except (FileError, RuntimeError):
        size = "–"
    found: dict[str, list[str]] = {}
    for tried in tried_on(file):
        name = "propensity" if "propensity" in tried else tried.replace(":partial=true", " by species")
        found.setdefault(in_short(outcome(file, tried, stranger.options, folder)), []).append(name)
    text = "; ".join(
        f"{what}: {', '.join(names)}" for what, names in sorted(found.items(), key=lambda x: x[0][:6] != "result")
    )
    given = f" `{' '.join(stranger.options)}`" if stranger.options else ""
    return f"| {stranger} | {stranger.package} | {stranger.what}{given} | {size} | {text.replace('|', '/')} |"


def write(folder: Path) -> None:
    """The README beside this script."""
    rows = []
    with tempfile.TemporaryDirectory() as place:
        for stranger in STRANGERS:
            file = stranger.place(folder)
            if file.is_file():
                rows.append(described(stranger, file, Path(place)))
                print(rows[-1], flush=True)
            else:
                print(f"{file} is missing", flush=True)
    versions = ", ".join(f"{name} {version}".strip() for name, (version, _) in PACKAGES.items())
    text = _README.format(files=len({stranger.path for stranger in STRANGERS}), versions=versions, rows="\n".join(rows))
    Path(__file__).with_name("README.md").write_text(text, encoding="utf-8")


_README = """# Files of strangers

{files} structure files that other packages ship as test data, none of them made for this one, each through
`glassml apply FILE --modifier M` for every modifier that a newcomer tries. Each ends in a result, with atoms that have
no value counted and those unlike the training marked, or in one sentence with status 2 that says what to do.

The files stay where they are. To repeat this (about 150 MB of downloads, nothing is installed):

```
python tests/strangers/strangers.py fetch STRANGERS
GLASSML_STRANGERS=STRANGERS pytest tests/strangers
python tests/strangers/strangers.py write STRANGERS
```

Without the variable the tests are skipped. The last command writes this page. Versions: {versions}.
The first two frames were used. SOAP and ACE were left out for more than 6 000 atoms: their rows fill gigabytes.

| file | package | what it is | atoms × frames | outcome |
| --- | --- | --- | --- | --- |
{rows}
"""

if __name__ == "__main__":
    {"fetch": fetch, "write": write}[sys.argv[1]](Path(sys.argv[2]))
