"""Long work in named steps, each kept on disk until something that it depends on changes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import ovito_glassml
from ovito_glassml.errors import TrainingError
from ovito_glassml.files import load_arrays, save_atomically
from ovito_glassml.progress import Report

__all__ = ["Numbers", "Step", "digest_of", "run_steps"]

Numbers = dict[str, NDArray]

_DIGEST = "digest of inputs"


@dataclass(frozen=True)
class Step:
    """A part of a study.

    Attributes
    ----------
    name : str
        Of the result and its file.
    inputs : mapping
        Everything that the result depends on, as JSON knows it: digests of files and settings.
    compute : callable
        Takes a progress callback and returns named arrays.
    effort : float
        Relative to other steps, for the time left.
    """

    name: str
    inputs: Mapping[str, object]
    compute: Callable[[Report], Numbers]
    effort: float = 1.0

    @property
    def digest(self) -> str:
        """Changes whenever an input does, and with the version of the package."""
        record = {"name": self.name, "version": ovito_glassml.__version__, "inputs": dict(self.inputs)}
        return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).hexdigest()


def run_steps(steps: Sequence[Step], folder: Path, progress: Report) -> dict[str, Numbers]:
    """Results of all steps, computed unless the folder has them already.

    A result is written as soon as it is there, whole or not at all, so that a killed study loses one step.

    Parameters
    ----------
    steps : sequence of Step
    folder : Path
        One file a step; made if it is not there.
    progress : callable
        Fraction of the work that is left when starting, and text.
    """
    folder.mkdir(parents=True, exist_ok=True)
    results = {step.name: _kept(step, folder) for step in steps}
    total = sum(step.effort for step in steps if results[step.name] is None)
    done = 0.0
    for step in steps:
        if results[step.name] is not None:
            continue

        def report(fraction: float, text: str, step: Step = step, done: float = done) -> None:
            progress((done + fraction * step.effort) / total, f"{step.name.replace('-', ', ')}: {text}")

        report(0.0, "starting")
        numbers = step.compute(report)
        _keep(step, folder, numbers)
        results[step.name] = numbers
        done += step.effort
    return {name: numbers for name, numbers in results.items() if numbers is not None}


def digest_of(files: Sequence[Path], *further: str) -> str:
    """Changes with the names and the contents of files, and with further text."""
    digest = hashlib.sha256(json.dumps([[file.name for file in files], further]).encode())
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _kept(step: Step, folder: Path) -> Numbers | None:
    """An earlier result, if it was made from the same inputs and is whole."""
    try:
        numbers = load_arrays(folder / f"{step.name}.npz", "numbers", "compute them again")
    except TrainingError:
        return None
    return numbers if str(numbers.pop(_DIGEST, "")) == step.digest else None


def _keep(step: Step, folder: Path, numbers: Numbers) -> None:
    save_atomically(folder / f"{step.name}.npz", {_DIGEST: np.array(step.digest), **numbers}, compressed=True)
