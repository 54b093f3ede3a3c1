"""How much is simulated for which method, which glasses are left out, and what all that costs."""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from ovito_glassml.errors import GlassMLError, SimulationError
from ovito_glassml.simulate.campaign import Job, atom_steps
from ovito_glassml.simulate.harmonic import MOST_ATOMS
from ovito_glassml.simulate.material import Material

__all__ = [
    "METHODS",
    "SIZES",
    "Cost",
    "LearnError",
    "Plan",
    "Sizes",
    "check_methods",
    "check_seed",
    "cost_of",
    "enough",
    "largest_within",
    "plan_of",
    "read_budget",
    "told_time",
    "tuples",
]

#: What can be learned.
METHODS = ("stiffness", "activity", "propensity", "prototypes", "barcode")
#: File that a plan's folder keeps the completed material in.
MATERIAL_FILE = "material.toml"
#: Glasses left out have seeds that begin here, above those of the others.
ASIDE_SEEDS = 500
#: Core seconds of training a method, on a glass of a thousand atoms; of judging and drawing; and of the check.
TRAINING = {"stiffness": 5.0, "activity": 20.0, "propensity": 10.0, "prototypes": 60.0, "barcode": 90.0}
REPORTING, CHECKING = 20.0, 60.0
#: Bytes that an atom takes in a frame, and those of models, cards and pictures.
BYTES_PER_ATOM, BYTES_OF_MODELS = 80, 4_000_000
#: Events in which shear by steps ends, for the disk only.
EVENTS = 30


class LearnError(GlassMLError):
    """Nothing can be learned in this way; the message says why and what to do."""


@dataclass(frozen=True)
class Sizes:
    """How much is made for all methods. Times are in ps (or reduced); rates in usual cooling rates of the units.

    Attributes
    ----------
    check_atoms : int
        Of the sample by which the material is checked.
    atoms : int
        Of a quenched glass.
    rates : tuple of float
        Cooling rates of the glasses learned from, in turn.
    glasses : int
        Glasses to learn from.
    aside_rate : float
        Cooling rate of the one that is left out: none of `rates`.
    events, labelled : int
        Of the barriers: events an atom, and atoms of each glass.
    sheared, shear_atoms : int
        Glasses sheared by steps to learn from, and their atoms.
    shear_quench, strain : float
        Their time of cooling, and the strain in which events are labelled.
    runs, run_atoms : int
        Annealed glasses to learn a barcode from, and their atoms.
    run_quench, anneal : float
        Their times of cooling, and at each of five temperatures.
    structures : int
        Inherent structures at each temperature.
    melt : float
        Time in the melt.
    liquids, liquid_atoms : int
        Supercooled liquids to learn propensity from, and their atoms. Records that are older than the method lack
        these and what follows.
    supercooling, equilibration : float
        Their times of cooling, and at the temperature that is studied.
    replicas, duration : int, float
        Runs from each liquid, and the time of a run.
    """

    check_atoms: int
    atoms: int
    rates: tuple[float, ...]
    glasses: int
    aside_rate: float
    events: int
    labelled: int
    sheared: int
    shear_atoms: int
    shear_quench: float
    strain: float
    runs: int
    run_atoms: int
    run_quench: float
    anneal: float
    structures: int
    melt: float
    liquids: int = 4
    liquid_atoms: int = 1000
    supercooling: float = 50.0
    equilibration: float = 200.0
    replicas: int = 6
    duration: float = 100.0

    def times(self, factor: float) -> Sizes:
        """So many times the glasses."""
        fewest = {"glasses": 2, "sheared": 2, "runs": 2, "liquids": 3}
        counts = {name: max(least, round(factor * getattr(self, name))) for name, least in fewest.items()}
        return replace(self, **counts)  # type: ignore[arg-type]

    def told(self) -> dict[str, Any]:
        """As a table of a TOML file."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(self).items()}

    @classmethod
    def of(cls, table: Mapping[str, Any]) -> Sizes:
        """From such a table."""
        return cls(**tuples(table))


def tuples(table: Mapping[str, Any]) -> dict[str, Any]:
    """The values of a TOML table, lists as tuples."""
    return {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}


#: By name, the smallest first. ``tiny`` only shows that everything works on a machine: its models are worth nothing.
SIZES = {
    "tiny": Sizes(
        200, 300, (500.0,), 2, 200.0, 1, 12, 2, 200, 1.0, 0.04, 2, 108, 1.0, 0.6, 3, 0.5, 3, 200, 1.0, 0.6, 2, 0.6
    ),
    "quick": Sizes(
        500, 1000, (10.0,), 3, 3.0, 6, 150, 4, 600, 100.0, 0.1, 4, 600, 100.0, 30.0, 12, 10.0,
        4, 1000, 50.0, 200.0, 6, 100.0,
    ),
    "laptop": Sizes(
        500, 2000, (10.0, 1.0), 6, 3.0, 12, 500, 6, 1000, 500.0, 0.1, 6, 1500, 200.0, 120.0, 40, 20.0,
        8, 1500, 200.0, 300.0, 10, 150.0,
    ),
    "paper": Sizes(
        500, 4000, (1.0, 0.1), 10, 0.3, 20, 1500, 20, 1000, 1000.0, 0.1, 20, 2000, 200.0, 180.0, 60, 20.0,
        12, 4000, 500.0, 500.0, 20, 300.0,
    ),
}  # fmt: skip

#: Atoms of the rarest species that stiffness needs to have some in every fifth of the glasses.
RAREST = 175


def enough(sizes: Sizes, material: Material) -> Sizes:
    """With larger glasses, or more of them, where a species is so rare that nothing could be learned of it."""
    rarest = min(share for share in material.fractions if share > 0)
    atoms = min(MOST_ATOMS, max(sizes.atoms, math.ceil(RAREST / (rarest * sizes.glasses))))
    return replace(sizes, atoms=atoms, glasses=max(sizes.glasses, math.ceil(RAREST / (rarest * atoms))))


#: What a budget chooses from: sizes, and how many times the glasses of each.
LADDER = (
    ("quick", 1.0),
    ("quick", 2.0),
    ("laptop", 0.5),
    ("laptop", 1.0),
    ("laptop", 2.0),
    ("paper", 0.5),
    ("paper", 1),
)


@dataclass(frozen=True)
class Plan:
    """What is made, learned and judged.

    Attributes
    ----------
    material : Material
        Complete.
    methods : tuple of str
    sizes : Sizes
    seed : int
    jobs : tuple of Job
    learned, aside : dict
        Method → names of the jobs whose output is learned from, and of those that are left out.
    """

    material: Material
    methods: tuple[str, ...]
    sizes: Sizes
    seed: int
    jobs: tuple[Job, ...]
    learned: Mapping[str, tuple[str, ...]]
    aside: Mapping[str, tuple[str, ...]]


@dataclass(frozen=True)
class Cost:
    """Core seconds of the simulations, by protocol; of training and drawing; seconds of all on some cores; bytes."""

    simulating: Mapping[str, float]
    training: float
    seconds: float
    disk: float

    @property
    def core_seconds(self) -> float:
        return sum(self.simulating.values()) + self.training


def plan_of(material: Material, methods: Sequence[str], sizes: Sizes, seed: int, own: Sequence[str] = ()) -> Plan:
    """The jobs of a plan, those that take longest first, and which of them are left out.

    Parameters
    ----------
    material : Material
    methods : sequence of str
    sizes : Sizes
    seed : int
    own : sequence of str
        Files of the user's own glasses at which labels are measured in place of ours; the last is left out.
    """
    glasses = [Job(_named("own", number), "", {}, file) for number, file in enumerate(own, start=1)]
    glasses = glasses or _glasses(material, sizes, seed, methods)
    jobs = [] if own else list(glasses)
    learned, aside = {}, {}
    for method in METHODS:
        if method in methods:
            made = _MAKERS[method](glasses, material, sizes, seed, bool(own))
            jobs += made
            names = [job.name for job in made]
            apart = [name for name in names if name.endswith("-aside")] or names[-1:] * bool(own)
            aside[method] = tuple(apart)
            learned[method] = tuple(name for name in names if name not in apart)
    return Plan(material, tuple(methods), sizes, seed, tuple(_longest_first(jobs, material)), learned, aside)


def _longest_first(jobs: Sequence[Job], material: Material) -> list[Job]:
    """Jobs that wait for no other come first."""
    steps = {job.name: work for job, work in zip(jobs, atom_steps(jobs, material), strict=True)}
    return sorted(jobs, key=lambda job: (job.input in steps, -steps[job.name]))


def _named(what: str, number: int | None) -> str:
    return f"{what}-aside" if number is None else f"{what}-{number}"


def _numbers(count: int) -> list[int | None]:
    return [*range(1, count + 1), None]


def _seed(seed: int, number: int | None) -> int:
    return 1000 * seed + (number or ASIDE_SEEDS)


def _glasses(material: Material, sizes: Sizes, seed: int, methods: Sequence[str]) -> list[Job]:
    if not {"stiffness", "prototypes"} & set(methods):
        return []
    usual = material.unit_system.cooling_rate
    fastest = max(material.unit_system.fast_rate, usual * max(*sizes.rates, sizes.aside_rate))
    jobs = []
    for number in _numbers(sizes.glasses):
        rate = sizes.aside_rate if number is None else sizes.rates[(number - 1) % len(sizes.rates)]
        settings = {
            "atoms": _whole_chains(sizes.atoms, material),
            "seed": _seed(seed, number),
            "cooling_rate": rate * usual,
            "fast_rate": fastest,
            "melt_time": sizes.melt,
        }
        jobs.append(Job(_named("glass", number), "quench", settings, None, MATERIAL_FILE))
    return jobs


def _whole_chains(atoms: int, material: Material) -> int:
    return -(-atoms // material.chain_length) * material.chain_length


def _stiffness(glasses: Sequence[Job], material: Material, sizes: Sizes, seed: int, own: bool) -> list[Job]:
    settings = {"minimise": True} if own else {}
    return [_labels_of(glass, "stiffness", "harmonic", dict(settings)) for glass in glasses]


def _prototypes(glasses: Sequence[Job], material: Material, sizes: Sizes, seed: int, own: bool) -> list[Job]:
    settings = {"events": sizes.events, "searches": 6 * sizes.events, "labelled": sizes.labelled, "seed": seed}
    return [_labels_of(glass, "barriers", "barriers", dict(settings)) for glass in glasses]


def _labels_of(glass: Job, what: str, protocol: str, settings: dict[str, Any]) -> Job:
    """Of one glass: a job, or a file where the job names no protocol."""
    _, _, number = glass.name.rpartition("-")
    return Job(f"{what}-{number}", protocol, settings, glass.name if glass.protocol else glass.input, MATERIAL_FILE)


def _activity(glasses: Sequence[Job], material: Material, sizes: Sizes, seed: int, own: bool) -> list[Job]:
    jobs = []
    for number in _numbers(sizes.sheared):
        settings = {
            "atoms": _whole_chains(sizes.shear_atoms, material),
            "seed": _seed(seed, number),
            "melt_time": 2 * sizes.melt,
            "quench_time": sizes.shear_quench * (1 if number else 3),
            "strain": sizes.strain,
            "discarded_strain": sizes.strain,
        }
        jobs.append(Job(_named("sheared", number), "shear-aqs", settings, None, MATERIAL_FILE))
    return [] if own else jobs


def _propensity(glasses: Sequence[Job], material: Material, sizes: Sizes, seed: int, own: bool) -> list[Job]:
    jobs = []
    for number in _numbers(sizes.liquids):
        settings = {
            "atoms": _whole_chains(sizes.liquid_atoms, material),
            "seed": _seed(seed, number),
            "melt_time": sizes.melt,
            "cooling_time": sizes.supercooling * (1 if number else 3),
            "equilibration": sizes.equilibration,
            "duration": sizes.duration,
            "replicas": sizes.replicas,
        }
        jobs.append(Job(_named("liquid", number), "isoconfigurational", settings, None, MATERIAL_FILE))
    return [] if own else jobs


def _barcode(glasses: Sequence[Job], material: Material, sizes: Sizes, seed: int, own: bool) -> list[Job]:
    jobs = []
    for number in _numbers(sizes.runs):
        settings = {
            "atoms": _whole_chains(sizes.run_atoms, material),
            "seed": _seed(seed, number),
            "melt_time": sizes.melt,
            "quench_time": sizes.run_quench * (1 if number else 3),
            "anneal_time": sizes.anneal,
            "structures": sizes.structures,
        }
        jobs.append(Job(_named("annealed", number), "anneal", settings, None, MATERIAL_FILE))
    return [] if own else jobs


_MAKERS = {
    "stiffness": _stiffness,
    "activity": _activity,
    "propensity": _propensity,
    "prototypes": _prototypes,
    "barcode": _barcode,
}


# ---------------------------------------------------------------------- cost


def cost_of(plan: Plan, speed: float, cores: int) -> Cost:
    """What a plan takes.

    Parameters
    ----------
    plan : Plan
    speed : float
        Atom-steps in a second of one core, as the check of the material measured it.
    cores : int
        That work at the same time.
    """
    jobs, steps = plan.jobs, atom_steps(plan.jobs, plan.material)
    simulating: dict[str, float] = {}
    for job, work in zip(jobs, steps, strict=True):
        simulating[job.protocol] = simulating.get(job.protocol, 0.0) + work / speed
    thousands = {
        "stiffness": plan.sizes.atoms * len(plan.learned.get("stiffness", ())),
        "prototypes": plan.sizes.labelled * len(plan.learned.get("prototypes", ())),
        "activity": plan.sizes.shear_atoms * len(plan.learned.get("activity", ())),
        "propensity": plan.sizes.liquid_atoms * len(plan.learned.get("propensity", ())),
        "barcode": plan.sizes.run_atoms * len(plan.learned.get("barcode", ())),
    }
    training = sum(TRAINING[method] * (1 + thousands[method] / 1000) for method in plan.methods) + REPORTING
    seconds = _time_on(cores, jobs, [work / speed for work in steps]) + training
    disk = BYTES_OF_MODELS * len(plan.methods) + sum(map(_bytes, jobs))
    return Cost(simulating, training, seconds, disk)


def _time_on(cores: int, jobs: Sequence[Job], seconds: Sequence[float]) -> float:
    """Until the last job ends, when so many run at a time, in their order."""
    ends: dict[str, float] = {}
    free = [0.0] * cores
    for job, needed in zip(jobs, seconds, strict=True):
        start = max(heapq.heappop(free), ends.get(job.input or "", 0.0))
        ends[job.name] = start + needed
        heapq.heappush(free, ends[job.name])
    return max(ends.values(), default=0.0)


def _bytes(job: Job) -> float:
    """What the output of a job takes, its checkpoints included."""
    atoms = job.settings.get("atoms", 1000)
    many = {"anneal": 5 * job.settings.get("structures", 1), "shear-aqs": EVENTS}
    frames = many.get(job.protocol, 1 + job.settings.get("replicas", 0))
    return float(atoms * (frames + 4) * BYTES_PER_ATOM)


def largest_within(seconds: float, costs: Mapping[tuple[str, float], Cost]) -> tuple[str, float]:
    """The rung of the ladder that takes longest and still fits.

    Raises
    ------
    LearnError
        If none does.
    """
    fitting = {rung: cost.seconds for rung, cost in costs.items() if cost.seconds <= seconds}
    if not fitting:
        least = min(cost.seconds for cost in costs.values())
        raise LearnError(
            f"The smallest plan takes about {told_time(least)} and the budget is {told_time(seconds)}; give more time, "
            "more cores, or fewer methods."
        )
    return max(fitting, key=lambda rung: fitting[rung])


def told_time(seconds: float) -> str:
    """For people."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def read_budget(text: str) -> float:
    """Seconds of a budget such as ``8h``, ``30min`` or ``45m``.

    Raises
    ------
    LearnError
        If it cannot be read.
    """
    for ending, unit in (("min", 60.0), ("m", 60.0), ("h", 3600.0), ("d", 86400.0), ("s", 1.0)):
        if text.endswith(ending):
            try:
                seconds = float(text.removesuffix(ending)) * unit
            except ValueError:
                break
            if seconds > 0:
                return seconds
            break
    raise LearnError(f"The budget {text!r} is no time; give one such as 8h or 45min.")


def check_methods(methods: Sequence[str]) -> tuple[str, ...]:
    """In our order, each once.

    Raises
    ------
    LearnError
        For others, or none.
    """
    unknown = [method for method in methods if method not in METHODS]
    if unknown or not methods:
        raise LearnError(f"There is no method {', '.join(unknown) or 'given'}; choose from {', '.join(METHODS)}.")
    return tuple(method for method in METHODS if method in methods)


def check_seed(seed: int) -> int:
    if not 1 <= seed <= 10**6:
        raise SimulationError(f"The seed {seed} is no whole number from 1 to a million; give one such as 1.")
    return seed
