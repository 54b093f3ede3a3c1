"""A queue of simulations that can be stopped at any moment and resumed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from ovito_glassml.simulate.engine import SimulationError, write_atomically
from ovito_glassml.simulate.quench import QuenchSettings, quench
from ovito_glassml.simulate.shards import read_shard
from ovito_glassml.simulate.vibrations import VibrationSettings, vibrations

__all__ = ["Job", "load_campaign", "run_campaign", "run_job", "status", "summary"]


@dataclass(frozen=True)
class Job:
    """One protocol with its settings; its output is ``name.xyz.gz``.

    `input` names the job whose output this one starts from.
    """

    name: str
    protocol: str
    settings: dict = field(default_factory=dict)
    input: str | None = None

    def output(self, folder: Path) -> Path:
        return folder / f"{self.name}.xyz.gz"

    def progress_file(self, folder: Path) -> Path:
        return folder / f".{self.name}.progress.json"

    def timing_file(self, folder: Path) -> Path:
        """Wall time lives beside the shard, so that equal runs give equal shards."""
        return folder / f"{self.name}.timing.json"


def _quench_job(job: Job, folder: Path, progress: Callable[[float, str], None]) -> None:
    quench(QuenchSettings(**job.settings), job.output(folder), progress)


def _vibrations_job(job: Job, folder: Path, progress: Callable[[float, str], None]) -> None:
    settings = dict(job.settings)
    if "temperatures" in settings:
        settings["temperatures"] = tuple(settings["temperatures"])
    source = read_shard(folder / f"{job.input}.xyz.gz")
    origin = {f"input_{key}": value for key, value in source.header.items() if key in ("protocol", "settings")}
    vibrations(source.structure, VibrationSettings(**settings), job.output(folder), progress, origin=origin)


PROTOCOLS = {"quench": _quench_job, "vibrations": _vibrations_job}


def load_campaign(file: Path, size: str = "laptop") -> list[Job]:
    """Read the jobs of a campaign file.

    Parameters
    ----------
    file : Path
        TOML with one ``[[job]]`` table a job: `name`, `protocol`, optional `input`, and the
        settings, in `settings` (common) and in one table for each column of sizes.
    size : str
        Column of sizes: ``laptop`` or ``paper``.

    Raises
    ------
    SimulationError
        If the file cannot be read or names unknown protocols, inputs or settings.
    """
    try:
        document = tomllib.loads(Path(file).read_text())
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise SimulationError(f"The campaign file {file} cannot be read: {error}.") from error
    jobs: list[Job] = []
    for table in document.get("job", []):
        try:
            settings = {**table.get("settings", {}), **table.get(size, {})}
            job = Job(table["name"], table["protocol"], settings, table.get("input"))
        except KeyError as error:
            raise SimulationError(f"A job in {file} lacks {error}; every job needs a name and a protocol.") from error
        if job.protocol not in PROTOCOLS:
            raise SimulationError(f"Job {job.name}: unknown protocol {job.protocol!r}; use {', '.join(PROTOCOLS)}.")
        known = {earlier.name for earlier in jobs}
        if job.name in known:
            raise SimulationError(f"Two jobs are called {job.name!r}; give each its own name.")
        if job.input is not None and job.input not in known:
            raise SimulationError(f"Job {job.name}: its input {job.input!r} is no earlier job; name one above it.")
        jobs.append(job)
    if not jobs:
        raise SimulationError(f"{file} holds no [[job]] table; add at least one.")
    return jobs


def run_job(job: Job, folder: Path) -> None:
    """Run one job in this process from its last checkpoint and file its wall time."""
    if job.output(folder).exists():
        return
    progress_file = job.progress_file(folder)
    spent = _read(progress_file).get("seconds", 0.0)
    begun = last = time.monotonic()

    def progress(fraction: float, text: str) -> None:
        nonlocal last
        now = time.monotonic()
        if now - last > 5.0:
            last = now
            record = {"fraction": fraction, "text": text, "seconds": spent + now - begun}
            write_atomically(progress_file, json.dumps(record).encode())

    PROTOCOLS[job.protocol](job, folder, progress)
    record = {"name": job.name, "protocol": job.protocol, "core_seconds": round(spent + time.monotonic() - begun, 1)}
    write_atomically(job.timing_file(folder), json.dumps(record).encode())
    progress_file.unlink(missing_ok=True)


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


def summary(records: list[dict]) -> tuple[float, str]:
    """Completed fraction of a campaign, jobs counted alike, and what is done, running and left."""
    done = sum(record["state"] == "done" for record in records)
    started = [record["name"] for record in records if record["state"] == "started"]
    fraction = sum(record["fraction"] for record in records) / len(records)
    left = len(records) - done - len(started)
    return fraction, f"{done} done, {left} waiting, running: {', '.join(started) or 'none'}"


def run_campaign(
    jobs: list[Job], folder: Path, cores: int, report: Callable[[list[dict]], None], interval: float = 5.0
) -> list[str]:
    """Run what is not yet done, `cores` jobs at a time, and return the names of failed jobs.

    Every job is a process of its own that ends when this one does, however it ends.
    """
    folder.mkdir(parents=True, exist_ok=True)
    running: dict[str, subprocess.Popen] = {}
    failed: list[str] = []
    try:
        while True:
            for name, process in list(running.items()):
                if process.poll() is not None:
                    del running[name]
                    if process.returncode != 0:
                        failed.append(name)
            ready = [job for job in jobs if _is_ready(job, folder, running, failed)]
            while ready and len(running) < cores:
                job = ready.pop(0)
                running[job.name] = _spawn(job, folder)
            report(status(jobs, folder))
            if not running:
                return failed
            _wait(running, interval)
    finally:
        for process in running.values():
            process.kill()
            process.wait()


def _is_ready(job: Job, folder: Path, running: dict, failed: list[str]) -> bool:
    if job.name in running or job.name in failed or job.output(folder).exists():
        return False
    return job.input is None or (folder / f"{job.input}.xyz.gz").exists()


def _wait(running: dict[str, subprocess.Popen], seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and all(process.poll() is None for process in running.values()):
        time.sleep(0.1)


def _spawn(job: Job, folder: Path) -> subprocess.Popen:
    description = json.dumps([job.name, job.protocol, job.settings, job.input])
    command = [sys.executable, "-m", "ovito_glassml.simulate.campaign", description, str(folder)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    # The pipe is never written to: its end tells the child that the queue is gone.
    return subprocess.Popen(command, stdin=subprocess.PIPE, env=environment)


def _end_with_parent() -> None:
    def watch() -> None:
        os.read(0, 1)
        os._exit(3)

    threading.Thread(target=watch, daemon=True).start()


def _read(file: Path) -> dict:
    try:
        return json.loads(file.read_text())
    except (OSError, ValueError):
        return {}


if __name__ == "__main__":
    _end_with_parent()
    run_job(Job(*json.loads(sys.argv[1])), Path(sys.argv[2]))
