"""From a wish to models: check the material, say the cost, simulate, learn, judge, report."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from ovito_glassml.adapter.files import attributes_of, open_trajectory
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.errors import GlassMLError
from ovito_glassml.files import sole_writer, write_atomically
from ovito_glassml.learn.card import save_with_card
from ovito_glassml.learn.format import data_digest
from ovito_glassml.learn.units import Units
from ovito_glassml.processes import core_seconds
from ovito_glassml.progress import Report
from ovito_glassml.simulate import campaign
from ovito_glassml.simulate.harmonic import MOST_ATOMS
from ovito_glassml.simulate.lammps_module import check_lammps, lammps_version
from ovito_glassml.simulate.material import Material, load_material, read_material
from ovito_glassml.simulate.material_check import check_material
from ovito_glassml.simulate.material_header import stated
from ovito_glassml.simulate.material_report import described, material_text, written
from ovito_glassml.simulate.snapshots import made_with, read_header, write_snapshot
from ovito_glassml.workflow.learn.folder import Folder, Request, read_learn_file
from ovito_glassml.workflow.learn.methods import LEARNERS, LEAST, Task, name_of
from ovito_glassml.workflow.learn.plan import (
    CHECKING,
    LADDER,
    SIZES,
    Cost,
    LearnError,
    Plan,
    Sizes,
    cost_of,
    enough,
    largest_within,
    plan_of,
    read_budget,
    told_time,
)
from ovito_glassml.workflow.learn.report import Made, write_summary

__all__ = ["Workers", "learn"]

#: What the extra ``train`` brings, as it is imported.
TRAINING_PACKAGES = ("torch", "sklearn", "optuna")

#: Bytes that a disk has left where writing fails for want of room.
FULL = 2_000_000

#: Takes the fraction of all, that of the part, and what is being done.
Bars = Callable[[float, float, str], None]
Say = Callable[[str], None]


@dataclass(frozen=True)
class Workers:
    """Who works: cores of this machine, or the workers of a Dask scheduler."""

    cores: int
    scheduler: str | None = None


def learn(
    request: Request,
    material: Material | None,
    folder: Folder,
    workers: Workers,
    say: Say,
    progress: Bars,
    *,
    before: Folder | None = None,
    dry: bool = False,
) -> None:
    """Do all that a user asks for, or what is left of it.

    Parameters
    ----------
    request : Request
    material : Material or None
        Complete or not; None where labels are the user's own.
    folder : Folder
    workers : Workers
    say : callable
        Takes lines for the user.
    progress : callable
        Fraction of all, of the part, and text.
    before : Folder, optional
        Of a task that is repeated: with its sizes and what it found out about the material.
    dry : bool
        Only say what it would cost. Nothing is written.

    Raises
    ------
    LearnError
        If the folder holds something else, nothing fits the budget, or there is too little to learn from.
    """
    if dry:
        if not request.labels:
            with TemporaryDirectory() as scratch:
                _planned(request, material, Folder(Path(scratch) / "dry-run"), before, workers, say, progress)
        return
    _check_packages()
    folder.make()
    with sole_writer(folder.path):
        found = None
        if request.labels:
            folder.begin(request, None)
            if material is not None:  # for its units, also when this is repeated
                write_atomically(folder.material, material_text(material, folder.material).encode())
            tasks = {request.methods[0]: _own_task(request, material)}
        else:
            plan, checked = _planned(request, material, folder, before, workers, say, progress)
            _simulate(plan, checked, folder, workers, progress)
            tasks, found = _tasks(plan, request, folder, say), checked.told
        name = material.name if material is not None else folder.path.resolve().name
        made = _all_learned(tasks, name, folder, say, progress)
        remarks = write_summary(folder, name, found, made, lambda fraction, text: progress(0.97, fraction, text))
    progress(1.0, 1.0, "done")
    for line in remarks:
        say(line)


def _check_packages() -> None:
    """Hours of simulations must not end at an import."""
    if missing := [name for name in TRAINING_PACKAGES if find_spec(name) is None]:
        raise LearnError(f"Training needs {', '.join(missing)}; install with: pip install 'ovito-glassml[train]'")


def _part(progress: Bars, number: int, count: int) -> Report:
    """Training is the last tenth."""
    return lambda fraction, text: progress(0.87 + 0.1 * (number + fraction) / count, fraction, text)


# ---------------------------------------------------------------------- check and plan


@dataclass(frozen=True)
class Checked:
    """What the check of a material found: all it needs, the speed, and what people read."""

    material: Material
    speed: float
    told: dict[str, Any]


def _planned(
    request: Request,
    material: Material | None,
    folder: Folder,
    before: Folder | None,
    workers: Workers,
    say: Say,
    progress: Bars,
) -> tuple[Plan, Checked]:
    """Which glasses are made and which of them are left out is written down before anything is simulated."""
    if material is None:
        raise LearnError("There is no material; give its file, or your own labels with --structures and --labels.")
    sizes = folder.begin(request, None if before is None else read_learn_file(before.record)[1])
    if before is not None:
        _take_over(before, folder)
    checked = _checked(request, material, folder, progress)
    own = _own_files(request, folder)
    sizes = sizes or _chosen(request, checked, own, workers)
    plan = plan_of(checked.material, request.methods, sizes, request.seed, own)
    cost = cost_of(plan, checked.speed, workers.cores)
    _say_cost(plan, cost, workers, say)
    folder.check_room(cost.disk)
    folder.write_campaign(plan.jobs)
    folder.settle(request, sizes)
    return plan, checked


def _take_over(before: Folder, folder: Folder) -> None:
    """What another task found out about the same material; its file comes before what says that it is there."""
    for old, new in ((before.material, folder.material), (before.check, folder.check)):
        if old.exists() and not new.exists():
            write_atomically(new, old.read_bytes())


def _checked(request: Request, material: Material, folder: Folder, progress: Bars) -> Checked:
    """Check the material once; the folder remembers what was found."""
    check_lammps()
    if not folder.check.exists():
        atoms = SIZES[request.size].check_atoms
        report = check_material(
            material, lambda done, text: progress(0.05 * done, done, f"checking the material, {text}"), atoms
        )
        temperatures, energies = report.path
        told = {
            "found": described(report),
            "speed": report.speed,
            "temperatures": temperatures.tolist(),
            "energies": energies.tolist(),
            "transition": report.transition.temperature,
            "temperature_unit": report.material.unit_system.temperature,
            "energy_unit": report.material.unit_system.energy,
        }
        write_atomically(folder.material, written(report, folder.material).encode())
        write_atomically(folder.check, json.dumps(told).encode())
    told = json.loads(folder.check.read_text(encoding="utf-8"))
    return Checked(read_material(folder.material), told["speed"], told)


def _own_files(request: Request, folder: Folder) -> list[str]:
    """The user's glasses as snapshots, of which labels are measured."""
    files = []
    for number, source in enumerate(request.structures, start=1):
        pipeline = open_trajectory(source)
        structure = structure_from_data(pipeline.compute(pipeline.num_frames - 1), species=request.species)
        if len(structure) > MOST_ATOMS:
            raise LearnError(
                f"{source} has {len(structure)} atoms and the Hessian of at most {MOST_ATOMS} can be inverted; cut out "
                "smaller periodic cells, or give labels of your own with --labels."
            )
        file = (folder.data / f"own-{number}.xyz.gz").resolve()
        if not file.exists():
            file.parent.mkdir(exist_ok=True)
            write_snapshot(file, structure, {}, {"given_as": Path(source).name})
        files.append(str(file))
    return files


def _chosen(request: Request, checked: Checked, own: Sequence[str], workers: Workers) -> Sizes:
    """What the size or the budget says."""
    if not request.budget:
        return enough(SIZES[request.size], checked.material)
    rungs = {(size, factor): enough(SIZES[size].times(factor), checked.material) for size, factor in LADDER}
    plans = {
        rung: plan_of(checked.material, request.methods, sizes, request.seed, own) for rung, sizes in rungs.items()
    }
    costs = {rung: cost_of(plan, checked.speed, workers.cores) for rung, plan in plans.items()}
    return rungs[largest_within(read_budget(request.budget) - CHECKING, costs)]


def _say_cost(plan: Plan, cost: Cost, workers: Workers, say: Say) -> None:
    parts = ", ".join(f"{protocol} {told_time(seconds)}" for protocol, seconds in cost.simulating.items())
    say(f"{len(plan.jobs)} simulations ({parts} of one core), then {told_time(cost.training)} of training and drawing.")
    for method in plan.methods:
        learned, aside = plan.learned[method], plan.aside[method]
        say(f"{method}: learned from {len(learned)} glasses, judged by {', '.join(aside) or 'none'}, left out.")
    if plan.learned.get("propensity"):
        material, units = plan.material, plan.material.unit_system
        say(f"propensity is how far {material.active_species} atoms move within {plan.sizes.duration:g} {units.time} "
            f"at {material.studied_temperature:g} {units.temperature}.")  # fmt: skip
    where = f"on {workers.cores} cores" if workers.scheduler is None else f"if the cluster has {workers.cores} cores"
    say(f"In all {cost.core_seconds / 3600:.2g} core-hours, about {told_time(cost.seconds)} {where}, "
        f"{cost.disk / 1e6:.0f} MB of disk.")  # fmt: skip


# ---------------------------------------------------------------------- simulations


def _simulate(plan: Plan, checked: Checked, folder: Folder, workers: Workers, progress: Bars) -> None:
    if not plan.jobs:
        return
    jobs = campaign.load_campaign(folder.campaign)

    def report(records: list[dict]) -> None:
        left = campaign.seconds_left(jobs, records, checked.speed)
        fraction, text = campaign.summary(records, left)
        progress(0.05 + 0.82 * fraction, fraction, f"simulating: {text}")

    campaign.run_campaign(jobs, folder.data, workers.cores, report, scheduler=workers.scheduler)
    unfinished = [job.name for job in jobs if not job.output(folder.data).exists()]
    if unfinished and (free := shutil.disk_usage(folder.path).free) < FULL:
        raise LearnError(
            f"The disk of {folder.path} is full ({free / 1e6:.1f} MB left); free some and repeat the command, nothing "
            "is lost."
        )


def _tasks(plan: Plan, request: Request, folder: Folder, say: Say) -> dict[str, Task]:
    """What there is for each method; one that lacks something is told and left out."""
    material, units = plan.material, _units(plan.material)
    tasks = {}
    for method in plan.methods:
        learned, aside = (
            tuple(file for name in names if (file := folder.data / f"{name}.xyz.gz").exists())
            for names in (plan.learned[method], plan.aside[method])
        )
        if missing := _missing(method, learned, aside, bool(request.structures)):
            say(f"{method} is left out: {missing}")
            continue
        note = OWN_NOTE if request.structures else Task.note
        tasks[method] = Task(material, learned, aside, units, request.seed, note=note)
    if not tasks:
        raise LearnError("Nothing can be learned, as said above; what has been simulated is kept.")
    return tasks


OWN_NOTE = "The last of the files that were given, which took no part in the training."


def _missing(method: str, learned: Sequence[Path], aside: Sequence[Path], own: bool) -> str:
    if own and method in ("activity", "propensity", "barcode"):
        return "it is learned from runs that begin in a melt, not from structures; leave --structures out for it."
    if len(learned) < LEAST[method] or not aside:
        return (
            f"it needs {LEAST[method]} labelled glasses to learn from and another one to judge by, and there are "
            f"{len(learned)} and {len(aside)}; see the messages above, or give more."
        )
    return ""


def _units(material: Material) -> Units:
    return Units(material.unit_system.length, material.unit_system.energy)


def _own_task(request: Request, material: Material | None) -> Task:
    """Labels that the user has measured."""
    files = [Path(file) for file in request.structures]
    if len(files) < 2:
        raise LearnError(f"There is {len(files)} file of structures; give two or more, of which the last is left out.")
    if request.methods not in (("stiffness",), ("propensity",)):
        raise LearnError(
            "Labels of your own teach either stiffness or propensity; for other methods use: glassml train"
        )
    (method,) = request.methods
    if len(files) <= LEAST[method]:
        raise LearnError(
            f"There are {len(files)} files of structures and {method} needs {LEAST[method]} to learn from and another "
            "one to judge by; give more."
        )
    stating = [] if material is not None else [stated(attributes_of(file)) for file in files]
    units = Units.of_files(stating) if material is None else _units(material)
    learned, aside = tuple(files[:-1]), tuple(files[-1:])
    return Task(material, learned, aside, units, request.seed, request.labels, request.species, OWN_NOTE)


# ---------------------------------------------------------------------- models


def _all_learned(tasks: Mapping[str, Task], name: str, folder: Folder, say: Say, progress: Bars) -> list[Made]:
    """One method that cannot be learned does not keep others from it."""
    made = []
    for number, (method, task) in enumerate(tasks.items()):
        try:
            made.append(_learned(method, task, name, folder, _part(progress, number, len(tasks))))
        except GlassMLError as error:
            if len(tasks) == 1:
                raise
            say(f"{method} is left out: {error}")
    if not made:
        raise LearnError("Nothing could be learned, as said above; what has been simulated is kept.")
    return made


def _learned(method: str, task: Task, name: str, folder: Folder, report: Report) -> Made:
    """Train and judge, unless that was done before on the same glasses."""
    folder.models.mkdir(exist_ok=True)
    learner, record = LEARNERS[method], folder.scores(method)
    model = folder.models / f"{learner.kind}-{_plain(name)}.safetensors"
    used = {name_of(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in (*task.learned, *task.aside)}
    if record.exists() and model.exists():
        known = json.loads(record.read_text(encoding="utf-8"))
        if known["used"] == used:
            return Made(method, model, task, known["curve"], known["core_seconds"])
    begun = core_seconds()
    learned = learner.learn(task, lambda fraction, text: report(fraction, f"learning {method}, {text}"))
    header = learned.model.header
    header = replace(
        header,
        results=learned.tables,
        training={**header.training, **_how(task, learner.label), "data_sha256": data_digest(task.learned)},
        references=(*header.references, *_references(task)),
    )
    save_with_card(model, header, learned.model.tensors())
    spent = core_seconds() - begun
    write_atomically(record, json.dumps({"used": used, "curve": learned.curve, "core_seconds": spent}).encode())
    return Made(method, model, task, learned.curve, spent)


def _plain(name: str) -> str:
    return "".join(letter if letter.isalnum() else "-" for letter in name.lower()).strip("-") or "mine"


def _how(task: Task, label: str) -> dict[str, Any]:
    """For the card: how glasses and labels were made, and which glass was left out."""
    if task.labels:
        kept = ", ".join(map(name_of, task.aside))
        return {"how": "Structures and labels of the user", "label": task.labels, "kept_aside": kept}
    assert task.material is not None  # simulated
    files = " and ".join(Path(one.file).name for one in task.material.fingerprinted().potentials)
    learned, kept = (_cooling(task.material, part) for part in (task.learned, task.aside))
    return {
        "how": f"{task.material.composition} by glassml learn with LAMMPS {lammps_version()}"
        f"{files and ', potential '}{files}: {learned}",
        "label": label,
        "kept_aside": kept,
        "source": "see references",
    }


def _cooling(material: Material, files: Sequence[Path]) -> str:
    """Names of glasses with how they were cooled, from what their files say."""
    units, told = material.unit_system, []
    rates = units.cooling
    for file in files:
        header = read_header(file)
        made = made_with(header) | made_with(header, "input_settings")
        if "cooling_rate" in made:
            told.append(f"{name_of(file)} cooled at {made['cooling_rate']:g} {rates}")
        elif "replicas" in made:
            told.append(
                f"{name_of(file)} cooled within {made['cooling_time']:g} {units.time}, held for "
                f"{made['equilibration']:g} {units.time}, {made['replicas']} runs"
            )
        elif "quench_time" in made:
            told.append(f"{name_of(file)} cooled within {made['quench_time']:g} {units.time}")
        else:
            told.append(f"{name_of(file)} of the user")
    return ", ".join(told)


def _references(task: Task) -> tuple[str, ...]:
    if task.material is None:
        return ()
    sources = [f"{Path(one.file).name}, SHA-256 {one.sha256}" for one in task.material.fingerprinted().potentials]
    return tuple(filter(None, [task.material.reference, *sources]))


def material_given(name: str, composition: str = "") -> tuple[Material, str]:
    """A material and its fingerprint, by which a folder knows it again."""
    material = load_material(name, composition)
    return material, f"{material.name} {material.composition} {material.digest()}"
