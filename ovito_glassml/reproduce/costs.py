"""What the samples cost: processor time of the jobs of campaigns, kept beside the samples.

Add the timings of finished jobs and print what sets of them took with::

    python -m ovito_glassml.reproduce.costs CAMPAIGN sample_data/timings.json
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from pathlib import Path

from ovito_glassml.errors import SimulationError
from ovito_glassml.files import write_atomically
from ovito_glassml.workflow.sample_data import sample_file

__all__ = ["by_set", "core_hours", "keep_timings", "read_timings", "shipped_timings"]


def read_timings(file: Path) -> dict[str, float]:
    """Core-seconds of jobs by name; none if there is no such file.

    Raises
    ------
    SimulationError
        If the file is something else.
    """
    if not file.exists():
        return {}
    try:
        return {str(name): float(seconds) for name, seconds in json.loads(file.read_bytes()).items()}
    except (ValueError, TypeError, AttributeError) as error:
        raise SimulationError(f"{file} holds no core-seconds of jobs ({error}); collect them again.") from error


def shipped_timings() -> dict[str, float]:
    """Core-seconds of the jobs behind the shipped samples, as far as they were timed."""
    return read_timings(sample_file("timings.json"))


def keep_timings(campaign: Path, file: Path) -> dict[str, float]:
    """Add what ``NAME.timing.json`` of a campaign say to `file`; all that is known then, sorted by name."""
    known = read_timings(file)
    for path in campaign.glob("*.timing.json"):
        record = json.loads(path.read_bytes())
        known[record["name"]] = record["core_seconds"]
    known = dict(sorted(known.items()))
    write_atomically(file, f"{json.dumps(known, indent=1)}\n".encode())
    return known


def core_hours(atoms: Mapping[str, int], timings: Mapping[str, float]) -> str:
    """Cost of some jobs of one kind, as a sentence for people.

    Parameters
    ----------
    atoms : mapping of job name to number of atoms
    timings : mapping of job name to core-seconds
        Of all these jobs or fewer; those without are taken to cost as much for each atom as the others do.
    """
    timed = [name for name in atoms if name in timings]
    if not timed:
        return "not measured"
    rate = sum(timings[name] for name in timed) / sum(atoms[name] for name in timed)
    total = sum(timings.get(name, rate * count) for name, count in atoms.items()) / 3600
    if len(timed) == len(atoms):
        return f"{total:.1f}"
    return f"{total:.1f}, by the time that {len(timed)} of {len(atoms)} took"


def by_set(timings: Mapping[str, float]) -> dict[str, tuple[int, float]]:
    """Number of timed jobs and their core-hours, for jobs whose names differ in the last number only."""
    sets: dict[str, tuple[int, float]] = {}
    for name, seconds in timings.items():
        key = re.sub(r"-\d+$", "", name)
        jobs, hours = sets.get(key, (0, 0.0))
        sets[key] = jobs + 1, hours + seconds / 3600
    return sets


if __name__ == "__main__":
    for key, (jobs, hours) in by_set(keep_timings(Path(sys.argv[1]), Path(sys.argv[2]))).items():
        print(f"{key:32} {jobs:3} jobs {hours:6.2f} core-hours")
