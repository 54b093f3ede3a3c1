"""LAMMPS as a restartable engine: stages of molecular dynamics with checkpoints.

Every segment starts from the checkpoint file on disk, also in a run that nobody interrupts.
So a run killed at any moment and resumed gives the same numbers, bit for bit, as one that was not. That is promised
for the switches that this package gives LAMMPS; with a user's own (see `lammps_module`) a resumed run goes on from the
same state, but accelerated styles may round otherwise.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.checkpoints import load_checkpoint, save_atomically
from ovito_glassml.simulate.lammps_module import open_lammps
from ovito_glassml.simulate.material import Material

__all__ = [
    "CHECKPOINT_ATOM_STEPS",
    "Observer",
    "Stage",
    "cell_of",
    "energy_per_atom",
    "gather",
    "load_restart",
    "open_lammps",
    "progress_parts",
    "restart_of",
    "resume",
    "run_stages",
    "scale_cell",
    "unwrapped_positions",
]

#: Default atom-steps between checkpoints: about half a minute on one core with an embedded-atom potential.
CHECKPOINT_ATOM_STEPS = 16_000_000

Progress = Callable[[float, str], None]


@dataclass(frozen=True)
class Stage:
    """One piece of molecular dynamics with a linear temperature ramp.

    `pressure` None keeps the cell fixed (NVT); otherwise the cell follows isotropically (NPT).
    `sample_every` is the number of steps between calls of the observer. `integrator` are LAMMPS
    ``fix`` commands that replace the thermostat (and barostat) where a protocol needs others.
    """

    name: str
    steps: int
    start_temperature: float
    stop_temperature: float
    timestep: float
    pressure: float | None = None
    sample_every: int | None = None
    observer: Observer | None = None
    integrator: tuple[str, ...] = ()


class Observer(Protocol):
    """Something that looks at a stage while it runs and can be put into a checkpoint."""

    def begin(self, lammps: Any) -> None: ...
    def sample(self, lammps: Any) -> None: ...
    def finish(self, lammps: Any) -> None: ...
    def state(self) -> dict[str, NDArray]: ...
    def restore(self, state: dict[str, NDArray]) -> None: ...


def run_stages(
    material: Material,
    stages: Sequence[Stage],
    checkpoint: Path,
    start: Callable[[Any], None],
    progress: Progress,
    finish: Callable[[Any], dict[str, NDArray]],
    checkpoint_atom_steps: int = CHECKPOINT_ATOM_STEPS,
) -> dict[str, NDArray]:
    """Run stages one after the other from the last checkpoint and return what `finish` extracts.

    Parameters
    ----------
    material, stages
        What to simulate and what to do with it.
    checkpoint : Path
        File that holds the state after the last completed segment.
    start : callable
        Builds the initial atoms and velocities in an empty LAMMPS instance.
    progress : callable
        Called with the completed fraction and a text.
    finish : callable
        Called with the instance after the last stage; its arrays are returned.
    checkpoint_atom_steps : int
        Length of a segment. Trajectories are chaotic and every segment sets up its forces anew,
        so this number belongs to the settings that make a run reproducible.
    """
    total = sum(stage.steps for stage in stages)
    done_before = np.concatenate([[0], np.cumsum([stage.steps for stage in stages])])
    if not checkpoint.exists():
        lammps = open_lammps()
        try:
            start(lammps)
            _write_checkpoint(lammps, checkpoint, stage=0, step=0, observed={})
        finally:
            lammps.close()
    state = load_checkpoint(checkpoint)
    while (index := int(state["stage"])) < len(stages):
        stage = stages[index]
        offset = int(done_before[index])

        def report(step: int, stage: Stage = stage, offset: int = offset) -> None:
            progress((offset + step) / total, stage.name)

        _run_segment(material, stage, index, state, checkpoint, report, checkpoint_atom_steps)
        state = load_checkpoint(checkpoint)
    lammps = resume(material, state["restart"])
    try:
        return finish(lammps)
    finally:
        lammps.close()


def _restore(observer: Observer, state: dict[str, NDArray], checkpoint: Path) -> None:
    observed = {key.removeprefix("observed_"): value for key, value in state.items() if key.startswith("observed_")}
    try:
        observer.restore(observed)
    except KeyError as missing:
        raise SimulationError(
            f"{checkpoint} holds no {missing}, so another version of this program wrote it; end the run with that "
            "version, or delete the file to run this part again."
        ) from missing


def _run_segment(
    material: Material,
    stage: Stage,
    index: int,
    state: dict[str, NDArray],
    checkpoint: Path,
    report: Callable[[int], None],
    checkpoint_atom_steps: int,
) -> None:
    """Advance one stage by one segment and write the checkpoint."""
    lammps = resume(material, state["restart"])
    integrator = _integrator(stage)
    try:
        step = int(state["step"])
        lammps.command(f"reset_timestep {step}")
        lammps.command(f"timestep {stage.timestep}")
        for fix in integrator:
            lammps.command(fix)
        observer = stage.observer
        if observer is not None:
            if step == 0:
                observer.begin(lammps)
            else:
                _restore(observer, state, checkpoint)
        chunk = stage.sample_every or 500
        segment = max(1, checkpoint_atom_steps // (lammps.get_natoms() * chunk)) * chunk
        last = min(stage.steps, step + segment)
        first_chunk = True
        while step < last:
            length = min(chunk, last - step)
            setup = "yes" if first_chunk else "no"
            lammps.command(f"run {length} start 0 stop {stage.steps} pre {setup} post no")
            first_chunk = False
            step += length
            if observer is not None and stage.sample_every:
                observer.sample(lammps)
            report(step)
        if step >= stage.steps:
            for fix in integrator:
                lammps.command(f"unfix {fix.split()[1]}")
            if observer is not None:
                observer.finish(lammps)
            _write_checkpoint(lammps, checkpoint, stage=index + 1, step=0, observed={})
        else:
            observed = observer.state() if observer is not None else {}
            _write_checkpoint(lammps, checkpoint, stage=index, step=step, observed=observed)
    finally:
        lammps.close()


def _integrator(stage: Stage) -> tuple[str, ...]:
    if stage.integrator:
        return stage.integrator
    temperature = f"temp {stage.start_temperature} {stage.stop_temperature} {50 * stage.timestep}"
    if stage.pressure is None:
        return (f"fix integrate all nvt {temperature}",)
    return (f"fix integrate all npt {temperature} iso {stage.pressure} {stage.pressure} {500 * stage.timestep}",)


def resume(material: Material, restart: NDArray) -> Any:
    """A LAMMPS instance in the state that `restart_of` took."""
    lammps = open_lammps()
    load_restart(lammps, material, restart)
    return lammps


def load_restart(lammps: Any, material: Material, restart: NDArray) -> None:
    """Put the state that `restart_of` took into an empty instance."""
    handle, name = tempfile.mkstemp(suffix=".restart")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(restart.tobytes())
        lammps.command(f'read_restart "{name}"')
    finally:
        os.unlink(name)
    apply_interaction(lammps, material)


def apply_interaction(lammps: Any, material: Material) -> None:
    """Masses, pair style and neighbour settings, for atoms that already exist."""
    for number, mass in enumerate(material.masses, start=1):
        lammps.command(f"mass {number} {mass}")
    for command in material.commands:
        lammps.command(command)
    lammps.command(f"neighbor {material.skin} bin")
    lammps.command("neigh_modify delay 0 every 1 check yes")
    lammps.command("thermo_modify lost error")


def restart_of(lammps: Any) -> NDArray:
    """The whole state of an instance (atoms, bonds, cell) as bytes that go into a checkpoint."""
    handle, name = tempfile.mkstemp(suffix=".restart")
    os.close(handle)
    try:
        lammps.command(f'write_restart "{name}" noinit')
        return np.frombuffer(Path(name).read_bytes(), dtype=np.uint8)
    finally:
        os.unlink(name)


def _write_checkpoint(lammps: Any, path: Path, *, stage: int, step: int, observed: dict[str, NDArray]) -> None:
    arrays = {f"observed_{key}": value for key, value in observed.items()}
    save_atomically(path, {"restart": restart_of(lammps), "stage": np.array(stage), "step": np.array(step), **arrays})


def progress_parts(progress: Progress, durations: Sequence[float]) -> Callable[[int], Progress]:
    """Progress callbacks of the consecutive parts of a job, each worth its share of the whole."""
    starts = np.concatenate([[0.0], np.cumsum(durations)])

    def part(number: int) -> Progress:
        def report(fraction: float, text: str) -> None:
            progress(float(starts[number] + fraction * durations[number]) / float(starts[-1]), text)

        return report

    return part


def gather(lammps: Any, name: str) -> NDArray:
    """Per-atom array `name` in the order of the atom ids."""
    count = lammps.extract_setting("nlocal")
    order = np.argsort(lammps.numpy.extract_atom("id")[:count])
    return np.array(lammps.numpy.extract_atom(name)[:count][order])


def cell_of(lammps: Any) -> tuple[NDArray, NDArray]:
    """Cell vectors as rows, and the corner of the cell."""
    low, high, xy, yz, xz = lammps.extract_box()[:5]
    lengths = np.asarray(high) - np.asarray(low)
    return np.array([[lengths[0], 0, 0], [xy, lengths[1], 0], [xz, yz, lengths[2]]]), np.asarray(low)


def energy_per_atom(lammps: Any, material: Material) -> float:
    """Potential energy of the last step; in reduced units LAMMPS itself divides by the number of atoms."""
    energy = lammps.get_thermo("pe")
    return energy if material.units == "lj" else energy / lammps.get_natoms()


def scale_cell(lammps: Any, factor: float) -> None:
    """Scale the cell with its atoms; LAMMPS leaves the tilts of a triclinic one alone unless they are named."""
    cell, _ = cell_of(lammps)
    tilts = zip(("xy", "xz", "yz"), (cell[1, 0], cell[2, 0], cell[2, 1]), strict=True)
    tilted = "".join(f" {name} final {factor * value}" for name, value in tilts if value)
    lammps.command(f"change_box all x scale {factor} y scale {factor} z scale {factor}{tilted} remap")


def unwrapped_positions(lammps: Any) -> NDArray:
    """Positions (N, 3) with the periodic images undone."""
    image = gather(lammps, "image").astype(np.int64)
    bits = lammps.extract_setting("IMGBITS")
    mask = lammps.extract_setting("IMGMASK")
    half = lammps.extract_setting("IMGMAX")
    turns = np.stack([(image & mask) - half, ((image >> bits) & mask) - half, (image >> (2 * bits)) - half], axis=1)
    return gather(lammps, "x") + turns @ cell_of(lammps)[0]
