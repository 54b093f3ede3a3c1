"""Saddle points of the energy around a minimum, found from one side: activation and relaxation.

A search pushes a few atoms in a random direction until the energy surface has a direction of negative
curvature, climbs along it while it relaxes all others, and slides down on both sides of the saddle.

Source: the activation-relaxation technique (nouveau) of R. Malek, N. Mousseau, Phys. Rev. E 62, 7723
(2000), with the lowest mode by Lanczos iteration.

Lengths are in Å and energies in eV as they are in Cu-Zr; other materials are searched in units of their own that make
them alike, see `ovito_glassml.simulate.forces.Units`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload
from numpy.typing import NDArray

from ovito_glassml.compile import compiled
from ovito_glassml.simulate.forces import Field, evaluated
from ovito_glassml.simulate.local_forces import LocalForces, energy_and_forces

__all__ = [
    "CONNECTED",
    "DISCONNECTED",
    "FAILED",
    "SAME",
    "Climb",
    "Search",
    "SearchSettings",
    "climb",
    "lowest_mode",
    "refined",
    "relax",
    "search",
]


class SearchSettings(NamedTuple):
    """What decides how a search goes; lengths in Å, forces in eV/Å.

    Attributes
    ----------
    push : float
        Length of one step along the random direction, all atoms together.
    pushes : int
        Steps after which a search without negative curvature is given up.
    curvature : float
        eV/Å²; below it the lowest mode is followed. Well below zero, where the mode has taken shape.
    stride : float
        Longest step along the mode.
    strides : int
        Steps along the mode after which a search is given up.
    force_tolerance : float
        Largest force on any atom at a saddle. Errors of the energy are its square over the curvature.
    relaxed : float
        Largest force on any atom at a minimum.
    """

    push: float = 0.3
    pushes: int = 30
    curvature: float = -0.5
    stride: float = 0.2
    strides: int = 60
    force_tolerance: float = 0.01
    relaxed: float = 0.02


class Memory(NamedTuple):
    """Past steps and changes of the gradient, from which L-BFGS guesses the curvature."""

    steps: NDArray[np.float64]
    changes: NDArray[np.float64]
    products: NDArray[np.float64]
    taken: NDArray[np.int64]


#: Steps that L-BFGS remembers.
REMEMBERED = 12

#: Å²/eV, inverse curvature of a typical direction in a metallic glass, for steps without memory.
COMPLIANCE = 0.08

#: Å, longest move of one atom in one step of relaxation.
LONGEST = 0.15

#: Å, first step (all atoms together) from a saddle down its mode.
SLIDE = 0.15

#: Å; two configurations are the same if no atom differs by more. Neighbouring minima differ by several times that.
SAME = 0.15

#: Steps in which the surroundings of a saddle yield before its mode is looked at again.
YIELDING = 25

#: Å that an atom may move at most when its surroundings yield, for the saddle to count as the same.
YIELDED = 0.5

#: Outcomes of a search: no saddle; one that is not next to the start; one that is.
FAILED, DISCONNECTED, CONNECTED = 1, 2, 3

#: Å, displacement (all atoms together) for curvatures by finite differences.
PROBE = 0.005


@compiled(error_model="numpy")
def _memory(size):
    past = np.empty((REMEMBERED, size))
    return Memory(past, np.empty_like(past), np.empty(REMEMBERED), np.zeros(1, dtype=np.int64))


@compiled(error_model="numpy")
def _remember(memory, step, change):
    """Add a step and the change of the gradient over it, unless the curvature along it is not positive."""
    product = np.dot(step, change)
    if product <= 1e-3 * np.dot(step, step):
        memory.taken[0] = 0
        return
    place = memory.taken[0] % REMEMBERED
    memory.products[place] = product
    for k in range(len(step)):  # assigning rows takes seconds to compile
        memory.steps[place, k], memory.changes[place, k] = step[k], change[k]
    memory.taken[0] += 1


@compiled(error_model="numpy")
def _downhill(memory, force):
    """Step of L-BFGS for a force; without memory along the force."""
    step = force.copy()
    newest, known = memory.taken[0] - 1, min(memory.taken[0], REMEMBERED)
    if known == 0:
        return COMPLIANCE * step
    shares = np.empty(known)
    for back in range(known):
        place = (newest - back) % REMEMBERED
        shares[back] = np.dot(memory.steps[place], step) / memory.products[place]
        step -= shares[back] * memory.changes[place]
    place = newest % REMEMBERED
    step *= memory.products[place] / np.dot(memory.changes[place], memory.changes[place])
    for back in range(known - 1, -1, -1):
        place = (newest - back) % REMEMBERED
        share = np.dot(memory.changes[place], step) / memory.products[place]
        step += (shares[back] - share) * memory.steps[place]
    return step


@compiled(error_model="numpy")
def _largest(vectors):
    """Largest length among the three-vectors of a flat array."""
    largest = 0.0
    for k in range(0, len(vectors), 3):
        largest = max(largest, vectors[k] ** 2 + vectors[k + 1] ** 2 + vectors[k + 2] ** 2)
    return np.sqrt(largest)


@compiled(error_model="numpy")
def _shorten(step, longest):
    length = _largest(step)
    if length > longest:
        step *= longest / length


@compiled(error_model="numpy")
def _local_force(field, x, calls):
    force = np.empty((len(x) // 3, 3))
    energy = energy_and_forces(field, x.reshape(-1, 3), force)
    calls[0] += 1
    return energy, force.ravel()


def _force(field, x, calls):
    """Energy and flat forces at flat positions."""
    if isinstance(field, LocalForces):
        return _local_force(field, x, calls)
    calls[0] += 1
    energy, force = evaluated(field, x.reshape(-1, 3))
    return energy, force.ravel()


@overload(_force)
def _compiled_force(field, x, calls):
    return lambda field, x, calls: _local_force(field, x, calls)


# By this, compiled callers notice when the code of local forces changes, see `compiled`.
_force.py_func = _local_force.py_func  # type: ignore[attr-defined]


def _for_any_field(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compiled for the forces that are compiled, as it stands for all others, which take much longer."""
    fast = compiled(error_model="numpy")(function)

    @wraps(function)
    def run(field: Field, *arguments: Any) -> Any:
        return (fast if isinstance(field, LocalForces) else function)(field, *arguments)

    return run


@_for_any_field
def relax(field, x, tolerance, steps, home, near, calls):
    """Minimum below `x` (flat, moved there) by L-BFGS.

    Stops early where all atoms are within `near` of `home`. Returns the energy and the largest force.
    """
    memory = _memory(len(x))
    energy, force = _force(field, x, calls)
    for _ in range(steps):
        if _largest(force) < tolerance or _largest(x - home) < near:
            break
        step = _downhill(memory, force)
        if np.dot(step, force) <= 0:
            memory.taken[0] = 0
            step = COMPLIANCE * force
        _shorten(step, LONGEST)
        old = force
        x += step
        new_energy, force = _force(field, x, calls)
        if new_energy > energy + 0.01:  # too long a step: back, and along the force
            x -= step
            memory.taken[0] = 0
            step = 0.25 * COMPLIANCE * old
            _shorten(step, 0.25 * LONGEST)
            x += step
            new_energy, force = _force(field, x, calls)
        else:
            _remember(memory, step, old - force)
        energy = new_energy
    return energy, _largest(force)


@compiled(error_model="numpy")
def _set_row(matrix, row, vector, divisor):
    for k in range(len(vector)):
        matrix[row, k] = vector[k] / divisor


@_for_any_field
def lowest_mode(field, x, force, mode, vectors, accuracy, calls):
    """Lowest curvature (eV/Å²) at `x` and into `mode` its direction, by Lanczos from that direction.

    At most so many force calls as `vectors`; fewer once the curvature changes by less than `accuracy`
    relative to itself.
    """
    basis = np.empty((vectors, len(x)))
    matrix = np.zeros((vectors, vectors))
    _set_row(basis, 0, mode, np.linalg.norm(mode))
    lowest, coefficients = 0.0, np.ones(1)
    for k in range(vectors):
        _, probed = _force(field, x + PROBE * basis[k], calls)
        product = (force - probed) / PROBE
        matrix[k, k] = np.dot(basis[k], product)
        values, combinations = np.linalg.eigh(matrix[: k + 1, : k + 1])
        change = abs(values[0] - lowest)
        lowest, coefficients = values[0], combinations[:, 0].copy()
        if k + 1 == vectors or (k > 0 and change < accuracy * max(abs(lowest), 0.1)):
            break
        for earlier in range(k + 1):  # all of them: rounding and probing errors spoil orthogonality
            product -= np.dot(basis[earlier], product) * basis[earlier]
        length = np.linalg.norm(product)
        if length < 1e-6:
            break
        _set_row(basis, k + 1, product, length)
        matrix[k, k + 1] = matrix[k + 1, k] = length
    mode[:] = 0.0
    for k in range(len(coefficients)):
        mode += coefficients[k] * basis[k]
    mode /= np.linalg.norm(mode)
    return lowest


@_for_any_field
def _relax_across(field, x, energy, force, mode, steps, tolerance, memory, calls):
    """Some steps of relaxation perpendicular to `mode`; returns energy and force."""
    across = force - np.dot(force, mode) * mode
    for _ in range(steps):
        if _largest(across) < tolerance:
            break
        step = _downhill(memory, across)
        step -= np.dot(step, mode) * mode
        _shorten(step, LONGEST)
        x += step
        old = across
        energy, force = _force(field, x, calls)
        across = force - np.dot(force, mode) * mode
        _remember(memory, step, old - across)
    return energy, force


class Climb(NamedTuple):
    """End of a climb.

    Attributes
    ----------
    converged : bool
        Whether a saddle was reached.
    energy : float
        eV, on the scale of `energy_and_forces`.
    curvature : float
        Lowest, eV/Å².
    """

    converged: bool
    energy: float
    curvature: float


# The next three are not compiled: they wait for force calls anyway, and took half a minute to compile.


def climb(field, start, direction, settings, x, mode, calls):
    """Climb from the minimum `start` (flat) along the unit vector `direction` to a saddle.

    The saddle goes into `x`, its mode, pointing away from the start, into `mode`.
    """
    x[:], mode[:] = start, direction
    memory = _memory(len(x))
    energy, force, curvature = 0.0, np.zeros_like(x), 1.0
    for push in range(settings.pushes):
        x += settings.push * direction
        energy, force = _force(field, x, calls)
        memory.taken[0] = 0
        energy, force = _relax_across(field, x, energy, force, direction, 1 + push // 2, 0.05, memory, calls)
        if push < 1:
            continue
        curvature = lowest_mode(field, x, force, mode, 12 if push == 1 else 6, 0.02, calls)
        if curvature < settings.curvature:
            break
    else:
        return Climb(False, energy, curvature)
    if np.dot(mode, x - start) < 0:
        mode *= -1
    return _ascend(field, settings, x, force, mode, curvature, calls)


def _ascend(field, settings, x, force, mode, curvature, calls):
    """Follow the mode from where the curvature along it is negative to the saddle."""
    memory = _memory(len(x))
    energy = 0.0
    for stride in range(settings.strides):
        along = np.dot(force, mode)
        # A Newton step along the mode of a saddle. Where the curvature has turned positive again, on uphill.
        length = -along / abs(curvature) if curvature < 0 else -np.sign(along) * settings.stride
        length = min(max(length, -settings.stride), settings.stride)
        x += length * mode
        energy, force = _force(field, x, calls)
        tolerance = max(0.5 * abs(np.dot(force, mode)), 0.5 * settings.force_tolerance)
        energy, force = _relax_across(field, x, energy, force, mode, 1 + stride // 2, tolerance, memory, calls)
        old = mode.copy()
        curvature = lowest_mode(field, x, force, mode, 5, 0.02, calls)
        if np.dot(mode, old) < 0:
            mode *= -1
        if _largest(force) < settings.force_tolerance and curvature < 0:
            return Climb(True, energy, curvature)
    return Climb(False, energy, curvature)


def _reconverge(field, settings, x, mode, calls):
    """Saddle near `x` (flat, moved there) when atoms around that stood still until now yield."""
    energy, force = _force(field, x, calls)
    memory = _memory(len(x))
    tolerance = settings.force_tolerance
    energy, force = _relax_across(field, x, energy, force, mode, YIELDING, tolerance, memory, calls)
    curvature = lowest_mode(field, x, force, mode, 8, 0.02, calls)
    if _largest(force) < tolerance and curvature < 0:
        return Climb(True, energy, curvature)
    return _ascend(field, settings, x, force, mode, curvature, calls)


class Search(NamedTuple):
    """What one search found.

    Attributes
    ----------
    outcome : int
        `FAILED`, `DISCONNECTED` or `CONNECTED`.
    barrier : float
        eV from the start to the saddle; NaN if there is none.
    saddle, mode : (m, 3) arrays
        Of the mobile atoms; the mode points away from the start.
    final : (m, 3) array
        The minimum on the other side.
    curvature : float
        eV/Å², along the mode.
    calls : int
        Force evaluations.
    """

    outcome: int
    barrier: float
    saddle: NDArray[np.float64]
    mode: NDArray[np.float64]
    final: NDArray[np.float64]
    curvature: float
    calls: int


def search(field: Field, start: NDArray, direction: NDArray, settings: SearchSettings) -> Search:
    """Climb from a minimum, slide down on both sides of the saddle, and see whether one side is the start.

    Parameters
    ----------
    field : LocalForces or other forces
        Forces on the mobile atoms.
    start : (m, 3) array
        Minimum, Å.
    direction : (m, 3) array
        First push; its length does not matter.
    settings : SearchSettings
        See there.
    """
    home, calls = start.ravel(), np.zeros(1, dtype=np.int64)
    saddle, mode = np.empty_like(home), np.empty_like(home)
    lowest, _ = evaluated(field, start)
    unit = direction.ravel() / np.linalg.norm(direction)
    top = climb(field, home, unit, settings, saddle, mode, calls)
    shape = start.shape
    if not top.converged:
        nothing = np.full(shape, np.nan)
        return Search(FAILED, np.nan, nothing, nothing, nothing, top.curvature, int(calls[0]))
    if np.dot(mode, saddle - home) < 0:
        mode *= -1
    ends, at_home = [], []
    for side in (-1, 1):
        end = saddle + side * SLIDE * mode
        relax(field, end, settings.relaxed, 500, home, 0.5 * SAME, calls)
        ends.append(end)
        at_home.append(np.linalg.norm((end - home).reshape(shape), axis=1).max() < SAME)
    # Either both sides or none: no way from this minimum to another one.
    outcome = CONNECTED if at_home[0] != at_home[1] else DISCONNECTED
    if at_home[1]:
        mode *= -1
    final = ends[at_home.index(False)] if False in at_home else ends[1]
    found = saddle.reshape(shape), mode.reshape(shape), final.reshape(shape)
    return Search(outcome, float(top.energy - lowest), *found, float(top.curvature), int(calls[0]))


def refined(field: Field, start: NDArray, lowest: float, found: Search, settings: SearchSettings) -> Search:
    """The same event in a larger region, whose atoms yield to it.

    Parameters
    ----------
    field : LocalForces or other forces
        Forces on the atoms of the search, in the same order, and on more after them.
    start : (M, 3) array
        Minimum of the larger region, Å.
    lowest : float
        Energy there.
    found : Search
        The event in the smaller region.
    settings : SearchSettings
        As for `search`.

    Returns
    -------
    Search
        With saddle, mode and barrier in the larger region. DISCONNECTED if the saddle has become another
        one, whose sides nobody has seen, or lies below the minimum.
    """
    count, calls = len(found.saddle), np.zeros(1, dtype=np.int64)
    x, mode = start.copy(), np.zeros_like(start)
    x[:count], mode[:count] = found.saddle, found.mode
    top = _reconverge(field, settings, x.reshape(-1), mode.reshape(-1), calls)
    moved = np.linalg.norm(x[:count] - found.saddle, axis=1).max()
    barrier, curvature = float(top.energy - lowest), float(top.curvature)
    # Below the minimum, atoms further out have fallen into another valley.
    outcome = found.outcome if top.converged and moved < YIELDED and barrier > 0 else DISCONNECTED
    return Search(outcome, barrier, x, mode, found.final, curvature, found.calls + int(calls[0]))
