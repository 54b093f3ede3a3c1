"""What works on this machine, what does not, and what to do about it."""

from __future__ import annotations

import importlib.util
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from ovito_glassml.threads import thread_count

__all__ = ["FAILS", "LIMITED", "WORKS", "Finding", "examine"]

#: States of a finding: all is well, something that is not needed for predictions is missing, predictions fail.
WORKS, LIMITED, FAILS = "works", "limited", "fails"
#: Seconds that a part may take to start; compiling on a slow machine is the longest.
PATIENCE = 300


@dataclass(frozen=True)
class Finding:
    """One part of the installation.

    Attributes
    ----------
    part : str
    state : {'works', 'limited', 'fails'}
    found : str
        What was found, in a few words.
    remedy : str
        What to do; empty where all is well.
    """

    part: str
    state: str
    found: str
    remedy: str = ""


def examine(say: Callable[[float, str], None]) -> Iterator[Finding]:
    """Look at every part in turn.

    Parts that may end a process (libraries, drivers) are tried in one of their own.

    Parameters
    ----------
    say : callable
        Fraction and text: what is looked at.
    """
    parts = {
        "Python and machine": _machine,
        "OVITO": _ovito,
        "renderer": _renderer,
        "prediction": _prediction,
        "compiled code": _compiled_code,
        "threads": _threads,
        "models": _models,
        "training": lambda: _packages("training", ("torch", "sklearn", "optuna", "shap"), "train"),
        "LAMMPS": _lammps,
        "potentials": _potentials,
        "Dask": lambda: _packages("Dask", ("distributed",), "cluster"),
    }
    for number, (part, look) in enumerate(parts.items()):
        say(number / len(parts), part)
        yield look()


def _machine() -> Finding:
    found = f"Python {platform.python_version()} on {platform.system()} {platform.machine()}"
    return Finding("Python and machine", WORKS, found)


def _ovito() -> Finding:
    ended = _tried("import ovito; print(ovito.version_string)")
    if ended.returncode:
        return Finding("OVITO", FAILS, _last_line(ended), "Install it with: pip install ovito")
    return Finding("OVITO", WORKS, ended.stdout.strip())


def _renderer() -> Finding:
    ended = _tried(
        "from ovito.data import DataCollection\n"
        "from ovito_glassml.adapter.render import RenderingUnavailable, render_colours\n"
        "data = DataCollection()\n"
        "data.create_particles(count=2)\n"
        "data.particles_.create_property('Position', data=[[0, 0, 0], [2, 0, 0]])\n"
        "try: render_colours(data, size=(32, 32))\n"
        "except RenderingUnavailable as error: raise SystemExit(str(error))\n"
    )
    if ended.returncode:
        return Finding("renderer", LIMITED, "pictures are plotted slices", _last_line(ended))
    return Finding("renderer", WORKS, "pictures are rendered by OVITO")


def _prediction() -> Finding:
    ended = _tried(
        "import numpy as np, time\n"
        "from ovito_glassml.learn.stiffness.model import StiffnessModel\n"
        "from ovito_glassml.structure import Structure\n"
        "corners = 2.7 * np.mgrid[0:5, 0:5, 0:5].reshape(3, -1).T\n"
        "crystal = Structure(corners, np.arange(125) % 2, ('Cu', 'Zr'), 13.5 * np.eye(3), pbc=(True,) * 3)\n"
        "began = time.perf_counter()\n"
        "StiffnessModel.load('stiffness-cuzr').predict(crystal)\n"
        "print(f'a small crystal in {time.perf_counter() - began:.1f} s, compiling included')\n"
    )
    if ended.returncode:
        return Finding("prediction", FAILS, _last_line(ended), "Install the package anew, or report this sentence.")
    return Finding("prediction", WORKS, ended.stdout.strip().splitlines()[-1])


def _compiled_code() -> Finding:
    """Where Numba keeps machine code: the folder it names, that of the package, or the user's."""
    from numba.core import config

    named = getattr(config, "CACHE_DIR", "")
    package = Path(importlib.util.find_spec("ovito_glassml").origin).parent  # type: ignore[union-attr, arg-type]
    user = Path(os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache")), "numba")
    places = [Path(named).absolute()] if named else [package / "__pycache__", user]
    kept = next((place for place in places if place.is_absolute() and _writable(place)), None)
    if kept is None:
        remedy = "Name a folder that can be written in the variable NUMBA_CACHE_DIR."
        return Finding("compiled code", LIMITED, "is compiled anew in every process", remedy)
    return Finding("compiled code", WORKS, f"kept in {kept}")


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _threads() -> Finding:
    count, processors = thread_count(), os.cpu_count() or 1
    found = f"{count} of {processors} processors"
    if count >= processors:
        return Finding("threads", WORKS, found)
    return Finding("threads", WORKS, f"{found}, as NUMBA_NUM_THREADS or the system allows")


def _models() -> Finding:
    from ovito_glassml.learn.format import installed_folder
    from ovito_glassml.workflow.installed_models import listed_models

    listed = listed_models()
    shipped = sum(model.origin == "shipped" for model in listed)
    found = f"{shipped} shipped, {len(listed) - shipped} installed in {installed_folder()}"
    if broken := [model for model in listed if model.problem]:
        state = FAILS if any(model.origin == "shipped" for model in broken) else LIMITED
        return Finding("models", state, found, " ".join(f"{model.name}: {model.problem}" for model in broken))
    return Finding("models", WORKS if shipped else FAILS, found, "" if shipped else "Install the package anew.")


def _lammps() -> Finding:
    ended = _tried(
        "from ovito_glassml.simulate.lammps_module import lammps_version, open_lammps\n"
        "open_lammps().close()\n"
        "print(lammps_version())\n"
    )
    if ended.returncode:
        return Finding("LAMMPS", LIMITED, "no simulations", _last_line(ended))
    return Finding("LAMMPS", WORKS, ended.stdout.strip().splitlines()[-1])


def _potentials() -> Finding:
    """Which shipped materials can be simulated with the potentials that are found."""
    ended = _tried(
        "from ovito_glassml.errors import GlassMLError\n"
        "from ovito_glassml.simulate.material import load_material, shipped_materials\n"
        "for name in shipped_materials():\n"
        "    try: load_material(name).potential_paths()\n"
        "    except GlassMLError: print(name)\n"
    )
    if ended.returncode:
        return Finding("potentials", LIMITED, _last_line(ended), "Mend LAMMPS first.")
    if missing := ended.stdout.split():
        remedy = f"For {', '.join(missing)} give the folder of their potentials in the variable GLASSML_POTENTIALS."
        return Finding("potentials", LIMITED, f"missing for {len(missing)} of the shipped materials", remedy)
    return Finding("potentials", WORKS, "found for all shipped materials")


def _packages(part: str, modules: tuple[str, ...], extra: str) -> Finding:
    missing = [name for name in modules if importlib.util.find_spec(name) is None]
    if missing:
        remedy = f"Install the extra: pip install 'ovito-glassml[{extra}]'"
        return Finding(part, LIMITED, f"without {', '.join(missing)}", remedy)
    names = {"sklearn": "scikit-learn"}
    versions = [f"{names.get(name, name)} {metadata.version(names.get(name, name))}" for name in modules]
    return Finding(part, WORKS, ", ".join(versions))


def _tried(code: str) -> subprocess.CompletedProcess[str]:
    """Run code in a process of its own, which a broken library may end."""
    command = [sys.executable, "-c", code]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return subprocess.CompletedProcess(command, 1, "", f"did not end within {PATIENCE} s")


def _last_line(ended: subprocess.CompletedProcess[str]) -> str:
    lines = ended.stderr.strip().splitlines() or [f"ended with status {ended.returncode}"]
    return lines[-1]
