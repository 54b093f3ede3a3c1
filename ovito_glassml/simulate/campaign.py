"""A queue of simulations that can be stopped at any moment and resumed."""

from __future__ import annotations

import itertools
import json
import sys
import time
import tomllib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import lru_cache, partial
from pathlib import Path
from typing import Any

from ovito_glassml.errors import GlassMLError, SimulationError
from ovito_glassml.files import remove_left_overs, sole_writer, write_atomically
from ovito_glassml.processes import Answer, Call, LostError, Submit, core_seconds, here, on, seen
from ovito_glassml.simulate.checkpoints import clear_intermediate, differences
from ovito_glassml.simulate.device.anneal_at_once import anneal_at_once
from ovito_glassml.simulate.device.device import Device, GraphicsProcessor
from ovito_glassml.simulate.engine import Progress, progress_parts
from ovito_glassml.simulate.lammps_module import check_lammps, lammps_environment
from ovito_glassml.simulate.material import Material, load_material
from ovito_glassml.simulate.material_header import FORMERLY, material_of_header
from ovito_glassml.simulate.protocols.anneal import AnnealSettings, anneal
from ovito_glassml.simulate.protocols.barriers import BarrierSettings, barriers
from ovito_glassml.simulate.protocols.harmonic import HarmonicSettings, harmonic
from ovito_glassml.simulate.protocols.isoconfigurational import IsoconfigurationalSettings, isoconfigurational
from ovito_glassml.simulate.protocols.quench import QuenchSettings, quench
from ovito_glassml.simulate.protocols.shear_aqs import ShearAQSSettings, shear_aqs
from ovito_glassml.simulate.protocols.shear_md import ShearMDSettings, shear_md
from ovito_glassml.simulate.protocols.vibrations import VibrationSettings, vibrations
from ovito_glassml.simulate.snapshots import Snapshot, curve_file, made_with, read_frames, read_header, read_snapshot

__all__ = [
    "PROTOCOLS",
    "Job",
    "atom_steps",
    "load_campaign",
    "material_of",
    "run_campaign",
    "run_job",
    "run_on_device",
    "seconds_left",
    "status",
    "summary",
]


@dataclass(frozen=True)
class Job:
    """One protocol with its settings; its output is ``name.xyz.gz``.

    `input` names the job whose output this one starts from, or a file ``*.xyz.gz``, `material` a shipped material or a
    file ("": the protocol's usual one), `composition` what it consists of if not what its file says.
    """

    name: str
    protocol: str
    settings: dict = field(default_factory=dict)
    input: str | None = None
    material: str = ""
    composition: str = ""

    def __post_init__(self) -> None:
        """Campaign files name material and composition among the settings, earlier ones a `system`."""
        settings = dict(self.settings)
        former = FORMERLY.get(str(settings.get("system", "")), settings.get("system", ""))
        named = {"material": settings.pop("material", former), "composition": settings.pop("composition", "")}
        settings.pop("system", None)
        for name, value in {**{key: text for key, text in named.items() if text}, "settings": settings}.items():
            object.__setattr__(self, name, value)

    def output(self, folder: Path) -> Path:
        return folder / f"{self.name}.xyz.gz"

    def source(self, folder: Path) -> Path:
        """What it starts from."""
        return Path(str(self.input)) if _is_file(self.input) else folder / f"{self.input}.xyz.gz"

    def progress_file(self, folder: Path) -> Path:
        return folder / f".{self.name}.progress.json"

    def timing_file(self, folder: Path) -> Path:
        """Wall time lives beside the snapshot, so that equal runs give equal snapshots."""
        return folder / f"{self.name}.timing.json"


@dataclass(frozen=True)
class Protocol:
    """How a job of one kind is run.

    Attributes
    ----------
    settings : type
        Its settings: a dataclass with ``atom_steps(atoms, material)``, the number of atoms times the number of
        force evaluations, and ``filled_in(material)``.
    simulate : callable
        ``simulate(material, settings, output, progress)``; with a structure after the material, and ``origin``, where
        it starts from one.
    material : str
        What it simulates where nothing is said.
    shares : bool
        Whether it hands its work in parts to the workers of a cluster; `simulate` then takes ``scheduler``, too.
    """

    settings: Any
    simulate: Callable[..., None]
    material: str = "cu-zr"
    shares: bool = False

    @property
    def needs_structure(self) -> bool:
        """Whether it starts from a structure instead of making its own atoms."""
        return "atoms" not in {entry.name for entry in fields(self.settings)}


def _is_file(source: str | None) -> bool:
    """Whether the input of a job is a file of the user's and no job."""
    return (source or "").endswith(".xyz.gz")


def _origin(source: Snapshot) -> dict[str, object]:
    """How the input was made, for the header of the output."""
    return {f"input_{key}": value for key, value in source.header.items() if key in ("protocol", "settings")}


PROTOCOLS = {
    "quench": Protocol(QuenchSettings, quench),
    "vibrations": Protocol(VibrationSettings, vibrations),
    "harmonic": Protocol(HarmonicSettings, harmonic),
    "barriers": Protocol(BarrierSettings, barriers, shares=True),
    "anneal": Protocol(AnnealSettings, anneal),
    "shear-aqs": Protocol(ShearAQSSettings, shear_aqs, "kob-andersen"),
    "shear-md": Protocol(ShearMDSettings, shear_md),
    "isoconfigurational": Protocol(IsoconfigurationalSettings, isoconfigurational, "wahnstrom"),
}

#: Seconds in which the jobs of a campaign that was killed end.
DYING = 60.0

#: Atom-steps per core second assumed until a job of a kind has been timed: Lennard-Jones, and embedded atoms.
ASSUMED_RATE = {"lj": 1.7e6, "metal": 4.5e5, "real": 1e5}


def _settings_of(job: Job) -> Any:
    """The settings object of a job; lists become tuples."""
    values = {key: tuple(value) if isinstance(value, list) else value for key, value in job.settings.items()}
    try:
        return PROTOCOLS[job.protocol].settings(**values)
    except (TypeError, SimulationError) as error:
        raise SimulationError(f"Job {job.name}, settings of {job.protocol}: {error}") from error


def material_of(job: Job) -> Material:
    """What a job simulates."""
    return _loaded(job.material or PROTOCOLS[job.protocol].material, job.composition)


@lru_cache(maxsize=256)
def _loaded(name: str, composition: str) -> Material:
    return load_material(name, composition)


def load_campaign(file: Path, size: str = "laptop") -> list[Job]:
    """Read the jobs of a campaign file.

    Parameters
    ----------
    file : Path
        TOML with one ``[[job]]`` table a job: `name`, `protocol`, optional `input`, and the
        settings, in `settings` (common) and in one table for each column of sizes. A ``[[set]]``
        table is many jobs: its `vary` lists values of settings, every combination of which becomes
        a job, and ``{setting}`` in `name` and `input` stands for the value. Settings may hold `material`, a shipped
        material or a file beside the campaign's, and `composition`; a job with an input takes them over from it. An
        `input` that ends in ``.xyz.gz`` is a snapshot beside the campaign's file. A
        column of sizes may hold a `vary` of its own. The jobs come first; then the sets take turns, one job each, so
        that a campaign stopped early has something of everything.
    size : str
        Column of sizes, such as ``laptop``, ``card`` or ``paper``; ``laptop`` where a table has no such column.

    Raises
    ------
    SimulationError
        If the file cannot be read or names unknown protocols, inputs or settings.
    """
    try:
        document = tomllib.loads(Path(file).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SimulationError(f"The campaign file {file} cannot be read: {error}.") from error
    try:
        tables = [*document.get("job", []), *document.get("set", [])]
        if tables and not any(size in table for table in (*tables, {"laptop": None})):
            raise SimulationError(f"No table in {file} has sizes called {size!r}; use laptop or a column it has.")
        jobs = [_job(table, size) for table in document.get("job", [])]
        sets = [_expanded(table, size) for table in document.get("set", [])]
    except KeyError as error:
        raise SimulationError(f"A job in {file} lacks {error}; every job needs a name and a protocol.") from error
    turns = itertools.zip_longest(*sets)
    jobs += [job for turn in turns for job in turn if job is not None]
    jobs = _with_materials(jobs, Path(file).parent)
    if not jobs:
        raise SimulationError(f"{file} holds no [[job]] table; add at least one.")
    _check(jobs)
    return jobs


def _job(table: dict, size: str) -> Job:
    settings = {**table.get("settings", {}), **_sizes(table, size)}
    return Job(table["name"], table["protocol"], settings, table.get("input"))


def _sizes(table: dict, size: str) -> dict:
    return table.get(size, table.get("laptop", {}))


def _expanded(table: dict, size: str) -> list[Job]:
    """The jobs of a set, the first of `vary` changing slowest."""
    sizes = dict(_sizes(table, size))
    vary = {**table.get("vary", {}), **sizes.pop("vary", {})}
    jobs = []
    for values in itertools.product(*vary.values()):
        chosen = dict(zip(vary, values, strict=True))
        settings = {**table.get("settings", {}), **sizes, **chosen}
        source = table.get("input")
        name = table["name"].format(**chosen)
        jobs.append(Job(name, table["protocol"], settings, source and source.format(**chosen)))
    return jobs


def _with_materials(jobs: Sequence[Job], folder: Path) -> list[Job]:
    """Jobs whose material lies beside the campaign's file, or is that of their input."""
    known: dict[str, Job] = {}
    for job in jobs:
        if job.name in known:
            raise SimulationError(f"Two jobs are called {job.name!r}; give each its own name.")
        material, composition = job.material, job.composition
        if material.endswith(".toml"):
            material = str((folder / material).resolve())
        if (source := known.get(job.input or "")) is not None:
            material, composition = material or source.material, composition or source.composition
        start = str((folder / str(job.input)).resolve()) if _is_file(job.input) else job.input
        known[job.name] = replace(job, input=start, material=material, composition=composition)
    return list(known.values())


def _check(jobs: Sequence[Job]) -> None:
    known: set[str] = set()
    for job in jobs:
        if job.protocol not in PROTOCOLS:
            raise SimulationError(f"Job {job.name}: unknown protocol {job.protocol!r}; use {', '.join(PROTOCOLS)}.")
        if job.input is not None and job.input not in known and not _is_file(job.input):
            raise SimulationError(f"Job {job.name}: its input {job.input!r} is no earlier job; name one above it.")
        _check_material(job)
        if job.input is None and PROTOCOLS[job.protocol].needs_structure:
            raise SimulationError(f"Job {job.name}: {job.protocol} starts from a structure; name its input.")
        known.add(job.name)


def _check_material(job: Job) -> None:
    """Whether settings and material fit, before a queue of hours begins."""
    try:
        _settings_of(job).filled_in(material_of(job).check_complete())
    except SimulationError as error:
        raise SimulationError(f"Job {job.name}: {error}") from error


def run_job(job: Job, folder: Path, scheduler: str | None = None) -> None:
    """Run one job in this process from its last checkpoint and file the core seconds it took.

    With the address of a `scheduler`, a job that can share its work hands it to the workers.

    Raises
    ------
    BusyError
        If another process has been at work on it for a minute.
    """
    with sole_writer(job.output(folder), patience=DYING):
        if not job.output(folder).exists():
            _run_alone(job, folder, scheduler)


def _run_alone(job: Job, folder: Path, scheduler: str | None) -> None:
    progress_file = job.progress_file(folder)
    spent = _read(progress_file).get("seconds", 0.0)
    begun, last = core_seconds(), time.monotonic()

    def progress(fraction: float, text: str) -> None:
        nonlocal last
        if time.monotonic() - last > 5.0:
            last = time.monotonic()
            record = {"fraction": fraction, "text": text, "seconds": spent + core_seconds() - begun}
            write_atomically(progress_file, json.dumps(record).encode())

    protocol, material, settings = PROTOCOLS[job.protocol], material_of(job), _settings_of(job)
    if protocol.needs_structure:
        source = _source(job, settings, folder)
        options = {"scheduler": scheduler} if protocol.shares else {}
        start = material, source.structure, settings
        protocol.simulate(*start, job.output(folder), progress, origin=_origin(source), **options)
    else:
        protocol.simulate(material, settings, job.output(folder), progress)
    _finish(job, folder, spent + core_seconds() - begun)


def _source(job: Job, settings: Any, folder: Path) -> Snapshot:
    """What a job starts from."""
    file = job.source(folder)
    if not hasattr(settings, "frame"):
        return read_snapshot(file)
    frames = read_frames(file)
    if not -len(frames) <= settings.frame < len(frames):
        raise SimulationError(f"Job {job.name}: {job.input} has {len(frames)} frames but no frame {settings.frame}.")
    return frames[settings.frame]


def _finish(job: Job, folder: Path, seconds: float) -> None:
    """File the time a job took and remove what only its restart needed."""
    record = {"name": job.name, "protocol": job.protocol, "core_seconds": round(seconds, 1)}
    write_atomically(job.timing_file(folder), json.dumps(record).encode())
    _tidy(job, folder)


def _tidy(job: Job, folder: Path) -> None:
    """Remove what only the restart of a finished job needed, also what a kill left half-written."""
    job.progress_file(folder).unlink(missing_ok=True)
    clear_intermediate(job.output(folder))
    output = job.output(folder)
    for file in (output, curve_file(output), job.progress_file(folder), job.timing_file(folder)):
        remove_left_overs(file)


def status(jobs: Iterable[Job], folder: Path) -> list[dict]:
    """One record a job: name, state (done, started, waiting), fraction and core seconds so far."""
    records = []
    for job in jobs:
        if job.output(folder).exists():
            seconds = _read(job.timing_file(folder)).get("core_seconds", 0.0)
            records.append({"name": job.name, "state": "done", "fraction": 1.0, "seconds": seconds, "text": ""})
            continue
        seen = _read(job.progress_file(folder))
        records.append(
            {
                "name": job.name,
                "state": "started" if seen else "waiting",
                "fraction": seen.get("fraction", 0.0),
                "seconds": seen.get("seconds", 0.0),
                "text": seen.get("text", ""),
            }
        )
    return records


def atom_steps(jobs: Sequence[Job], material: Material | None = None) -> list[float]:
    """Number of atoms times number of force evaluations of each job, of one material or what the jobs say."""
    by_name = {job.name: job for job in jobs}
    return [_settings_of(job).atom_steps(_atoms(job, by_name), material or material_of(job)) for job in jobs]


def seconds_left(jobs: Sequence[Job], records: Sequence[dict], speed: float | None = None) -> list[float]:
    """Core seconds that each job still needs.

    A job under way is judged by its own pace. A waiting one by its atom-steps and the pace of the
    jobs of its protocol and material, finished or under way; if there are none, by `speed`, in atom-steps a core
    second, or a typical pace.
    """
    steps = atom_steps(jobs)
    timed: dict[tuple[str, str], list[float]] = {}
    for job, record, work in zip(jobs, records, steps, strict=True):
        if record["fraction"] > 0.02 and record["seconds"] > 0:
            seen = timed.setdefault(_kind(job), [0.0, 0.0])
            seen[0] += record["seconds"]
            seen[1] += work * record["fraction"]
    left = []
    for job, record, work in zip(jobs, records, steps, strict=True):
        fraction, seconds = record["fraction"], record["seconds"]
        if record["state"] == "done":
            left.append(0.0)
        elif fraction > 0.02 and seconds > 0:
            left.append(seconds * (1 / fraction - 1))
        else:
            spent, done = timed.get(_kind(job), (1.0, speed or ASSUMED_RATE[material_of(job).units]))
            left.append(work * spent / done)
    return left


def _kind(job: Job) -> tuple[str, str]:
    return job.protocol, job.material or PROTOCOLS[job.protocol].material


def _atoms(job: Job, by_name: dict[str, Job]) -> int:
    """Number of atoms, which a job without such a setting takes over from its input."""
    atoms = getattr(_settings_of(job), "atoms", None)
    if atoms is None:
        return _atoms_in(job.input) if _is_file(job.input) else _atoms(by_name[job.input or ""], by_name)
    return atoms


@lru_cache(maxsize=256)
def _atoms_in(file: str | None) -> int:
    return len(read_frames(Path(str(file)))[-1].structure)


def summary(records: list[dict], left: Sequence[float]) -> tuple[float, str]:
    """Completed fraction of the core time of a campaign, and what is done, running and left."""
    done = sum(record["state"] == "done" for record in records)
    started = [record["name"] for record in records if record["state"] == "started"]
    spent, remaining = sum(record["seconds"] for record in records), sum(left)
    waiting = len(records) - done - len(started)
    text = f"{done} done, {waiting} waiting, about {remaining / 3600:.1f} core hours left"
    return spent / max(spent + remaining, 1e-9), f"{text}, running: {', '.join(started) or 'none'}"


def run_campaign(
    jobs: list[Job],
    folder: Path,
    cores: int,
    report: Callable[[list[dict]], None],
    interval: float = 5.0,
    scheduler: str | None = None,
) -> list[str]:
    """Run what is not yet done, `cores` jobs at a time, and return the names of failed jobs.

    Every job is a process of its own that ends when this one does, however it ends. On a cluster, too: a worker that
    is lost loses what a job did after its last checkpoint, and another worker goes on from there.

    Parameters
    ----------
    jobs : list of Job
    folder : Path
        For the snapshots and, while a job is under way, its checkpoints.
    cores : int
        Jobs at a time on this machine.
    report : callable
        Called with the records of `status` every few seconds.
    interval : float
        Seconds between two of these calls, unless a job ends.
    scheduler : str, optional
        Address of a Dask scheduler, whose workers then run the jobs, one for each of their threads. They must see
        `folder` under the same name. Jobs that share their work, `barriers`, are led from this machine, `cores` at a
        time, and the workers search around their atoms.

    Raises
    ------
    SimulationError
        If snapshots were made with other settings, or LAMMPS does not start.
    BusyError
        If another campaign is at work in the folder.
    BatchError
        If the scheduler does not answer or is lost, Dask is missing, or workers do not share the folder.
    """
    if scheduler is None:
        check_lammps()
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder), here(cores) as on_this_machine, on(scheduler, cores) as anywhere:
        return _Queue(jobs, folder, cores, scheduler, on_this_machine, anywhere).run(report, interval)


@dataclass
class _Queue:
    """Jobs, and where they run."""

    jobs: list[Job]
    folder: Path
    cores: int
    scheduler: str | None
    on_this_machine: Submit
    anywhere: Submit
    running: dict[str, Answer] = field(default_factory=dict)
    failed: list[str] = field(default_factory=list)

    def run(self, report: Callable[[list[dict]], None], interval: float) -> list[str]:
        for job in self.jobs:
            _check_settings(job, self.folder)
        for job in self.jobs:
            if job.output(self.folder).exists():
                _end(job, self.folder)
        while True:
            self._collect()
            self._start()
            report(status(self.jobs, self.folder))
            if not self.running:
                return self.failed
            _wait(self.running, interval)

    def _collect(self) -> None:
        """Note which jobs have ended, and say of those that failed why."""
        for name, answer in list(self.running.items()):
            if answer.done():
                try:
                    seen(answer.result())
                except LostError:
                    raise
                except (GlassMLError, RuntimeError) as error:
                    self.failed.append(name)
                    print(f"Job {name} failed: {error}", file=sys.stderr)
                del self.running[name]

    def _start(self) -> None:
        """Begin what can begin: here as many as fit, on a cluster all, as it has a queue of its own."""
        led_here = [job.name for job in self.jobs if job.name in self.running and self._is_led_here(job)]
        places = self.cores - len(led_here)
        for number, job in enumerate(self.jobs):
            if not _is_ready(job, self.folder, self.running, self.failed):
                continue
            if not self._is_led_here(job):
                self.running[job.name] = self.anywhere(self._call(job, priority=-number))
            elif places > 0:
                places -= 1
                self.running[job.name] = self.on_this_machine(self._call(job))

    def _is_led_here(self, job: Job) -> bool:
        return self.scheduler is None or PROTOCOLS[job.protocol].shares

    def _call(self, job: Job, priority: int = 0) -> Call:
        arguments = job, self.folder, self.scheduler
        return Call.of(job.name, _called, *arguments, threads=1, environment=lammps_environment(), priority=priority)


def _called(report: Callable[[Any], None], job: Job, folder: Path, scheduler: str | None) -> Path:
    """Run a job in a process of its own; its output."""
    if job.input is not None:
        seen(job.source(folder))
    run_job(job, folder, scheduler)
    return job.output(folder)


def _end(job: Job, folder: Path) -> None:
    """Do what a kill between the snapshot and the rest may have left undone."""
    with sole_writer(job.output(folder), patience=DYING):
        if job.timing_file(folder).exists():
            _tidy(job, folder)
        else:
            _finish(job, folder, _read(job.progress_file(folder)).get("seconds", 0.0))


def _check_settings(job: Job, folder: Path) -> None:
    """Refuse a snapshot that was made with other settings than the job's, or of another material."""
    file = job.output(folder)
    if not file.exists():
        return
    header, material = read_header(file), material_of(job)
    asked = {**json.loads(json.dumps(job.settings)), "material": f"{material.name} ({material.digest()})"}
    known = made_with(header)
    made_of = material_of_header(header, material.folder)
    if made_of is not None:
        known["material"] = f"{made_of.name} ({made_of.digest()})"
        if job.input is None:
            known["composition"], asked["composition"] = made_of.composition, material.composition
    if differing := differences(known, asked):
        raise SimulationError(
            f"{file} is there already, made with other settings ({differing}); move it away to have it made anew, "
            "or give another folder."
        )


def run_on_device(jobs: list[Job], folder: Path, progress: Progress, device: Device | None = None) -> None:
    """Run what is not yet done and a graphics processor can do: anneals, all at once, and barriers.

    Barriers of glasses that are not quenched yet are left to `run_campaign`, or to another call after it.

    Parameters
    ----------
    jobs : list of Job
    folder : Path
        For the snapshots.
    progress : callable
        Fraction and text.
    device : Device, optional
        Default: the graphics processor.

    Raises
    ------
    SimulationError
        If there is no card, or snapshots were made with other settings.
    BusyError
        If another campaign is at work in the folder.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with sole_writer(folder):
        _run_on(device or GraphicsProcessor(), jobs, folder, progress)


def _run_on(device: Device, jobs: list[Job], folder: Path, progress: Progress) -> None:
    for job in jobs:
        _check_settings(job, folder)
    ready = [job for job in jobs if _is_ready(job, folder, {}, [])]
    anneals: dict[tuple[Material, AnnealSettings], list[Job]] = {}
    for job in ready:
        if job.protocol == "anneal":
            settings = _settings_of(job).filled_in(material_of(job))
            anneals.setdefault((material_of(job), replace(settings, seed=1)), []).append(job)
    searched = [job for job in ready if job.protocol == "barriers"]
    parts = progress_parts(progress, [1.0] * (len(anneals) + len(searched)))
    for number, group in enumerate(anneals.values()):
        outputs = [job.output(folder) for job in group]
        _timed(
            group,
            folder,
            partial(
                anneal_at_once,
                material_of(group[0]),
                [_settings_of(job) for job in group],
                outputs,
                parts(number),
                device,
            ),
        )
    for number, job in enumerate(searched, start=len(anneals)):
        source = read_snapshot(job.source(folder))
        start = material_of(job), source.structure
        search = partial(barriers, *start, _settings_of(job), job.output(folder), parts(number))
        _timed([job], folder, partial(search, origin=_origin(source), device=device))


def _timed(jobs: Sequence[Job], folder: Path, run: Callable[[], None]) -> None:
    """Run jobs that share the card and file the time of each."""
    begun = time.monotonic()
    run()
    for job in jobs:
        _finish(job, folder, (time.monotonic() - begun) / len(jobs))


def _is_ready(job: Job, folder: Path, running: dict, failed: list[str]) -> bool:
    if job.name in running or job.name in failed or job.output(folder).exists():
        return False
    return job.input is None or job.source(folder).exists()


def _wait(running: Mapping[str, Answer], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and not any(answer.done() for answer in running.values()):
        time.sleep(0.1)


def _read(file: Path) -> dict:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
