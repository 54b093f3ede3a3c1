"""Elastic constants of a structure at rest, by small strains to which its atoms relax."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.dimension import check_three_dimensional
from ovito_glassml.errors import SimulationError
from ovito_glassml.progress import Report, silent, span_of
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.harmonic import MINIMUM, minimised, resting_force
from ovito_glassml.simulate.material import Material
from ovito_glassml.structure import Structure

__all__ = ["STRAINS", "Elasticity", "elastic_constants", "voigt"]

#: Strains, the smaller one for directions in which atoms rearrange at the larger. Moduli of glasses are level from 10⁻⁶
#: to 10⁻⁴; in one of 2 000 Cu-Zr atoms, cooled at 10¹³ K/s, the first atoms rearrange at 3·10⁻⁴, in larger ones sooner.
STRAINS = (1e-5, 1e-6)

#: Share of the affine shear modulus by which stiffnesses at a strain and its opposite may differ from their mean. Third
#: derivatives of the energy and rounding make it 10⁻³, atoms that rearrange 0.05 or more.
LINEAR = 0.01

#: Share of the largest force at which relaxing ends. Constants are then exact to 10⁻³ of the shear modulus.
RELAXED = 2e-3

#: In crystals that would be a share of rounding errors; force at which it ends at the latest, in those of a minimum.
LEAST = 1e-3

#: Rows and columns of the tensor that stand in Voigt's order: xx, yy, zz, yz, xz, xy.
VOIGT = (np.array([0, 1, 2, 1, 0, 0]), np.array([0, 1, 2, 2, 2, 1]))

#: From Voigt's components, of which shear strains count twice, to orthonormal ones, in which a turn is a rotation.
ORTHONORMAL = np.sqrt([1.0, 1.0, 1.0, 2.0, 2.0, 2.0])

#: Orthonormal: the change of volume, and as columns five shears without.
DILATION = np.array([1.0, 1.0, 1.0, 0.0, 0.0, 0.0]) / np.sqrt(3.0)
SHEARS = np.linalg.svd(DILATION[None])[2][1:].T

#: Soft spots take their share from a glass's stiffness, each against one shear of random direction. Squares of the
#: deviations from isotropy of a random number of them add up to so many times the variance of the mean of five shears.
DEVIATIONS = 20


@dataclass(frozen=True, eq=False)
class Elasticity:
    """How the stress of a structure at rest answers to strains.

    Averages over directions are Voigt's, which of an isotropic glass are its moduli; they do not change when the
    structure is turned.

    Attributes
    ----------
    constants : (6, 6) array
        Change of stress i (xx, yy, zz, yz, xz, xy) by strain j, shear strains being angles, at zero temperature, after
        the atoms have relaxed. In the axes of the structure and the unit in which stresses of its material are written:
        GPa, or reduced. Under a stress they are the coefficients of stress and strain, not second derivatives of the
        energy, and as far from symmetric as that stress is from a pressure.
    affine : (6, 6) array
        The same where all atoms follow the cell: the Born term. In glasses the shear modulus is half of it.
    stress : (3, 3) array
        Without strain, at rest; positive under tension.
    rearranging : int
        Of the six strains, those at which atoms rearrange, however small, or forces jump: the moduli are wrong.
    """

    constants: NDArray[np.float64]
    affine: NDArray[np.float64]
    stress: NDArray[np.float64]
    rearranging: int

    @property
    def bulk_modulus(self) -> float:
        """K, minus volume times the slope of the pressure."""
        return _bulk(self.constants)

    @property
    def shear_modulus(self) -> float:
        """G, mean of five independent shears."""
        return float(np.mean(_shears(self.constants)))

    @property
    def affine_shear_modulus(self) -> float:
        """G if all atoms followed the cell."""
        return float(np.mean(_shears(self.affine)))

    @property
    def shear_range(self) -> tuple[float, float]:
        """Smallest and largest shear modulus of any shear: of a cubic crystal C44 and (C11 − C12) / 2."""
        moduli = _shears(self.constants)
        return float(moduli[0]), float(moduli[-1])

    @property
    def shear_error(self) -> float:
        """Standard error of G as that of an isotropic glass, of which the structure is a piece.

        It follows from how far the piece is from isotropic, and cannot see what all of a piece has in common. Of a
        crystal it means nothing.
        """
        moduli = _shears(self.constants)
        return float(np.linalg.norm(moduli - moduli.mean()) / np.sqrt(DEVIATIONS))

    @property
    def poissons_ratio(self) -> float:
        """ν = (3K − 2G) / (6K + 2G)."""
        bulk, shear = self.bulk_modulus, self.shear_modulus
        return (3 * bulk - 2 * shear) / (6 * bulk + 2 * shear)

    @property
    def poissons_ratio_error(self) -> float:
        """As far as it follows from `shear_error`."""
        bulk = self.bulk_modulus
        return 4.5 * bulk * self.shear_error / (3 * bulk + self.shear_modulus) ** 2


def elastic_constants(structure: Structure, material: Material, report: Report = silent) -> Elasticity:
    """Elastic constants at zero temperature, of the minimum below a structure.

    The cell is strained both ways in each of six directions, the atoms relax, and LAMMPS gives the stress. In glasses
    atoms do not follow the cell but go their own ways, which takes half of the shear modulus away.

    Parameters
    ----------
    structure : Structure
        Periodic in all directions. It is minimised in its cell first, which does nothing to one at rest.
    material : Material
        Force field.
    report : callable
        Fraction and text; may raise to stop.

    Raises
    ------
    SimulationError
        If the structure is open, does not come to rest, or the force field does not fit it or sums charges on a mesh.
    StructureError
        If it is two-dimensional.

    References
    ----------
    .. [1] A. Lemaître, C. Maloney, J. Stat. Phys. 123, 415 (2006): why affine constants are wrong in glasses.
    .. [2] D. C. Wallace, Phys. Rev. 162, 776 (1967): stress and strain of solids under stress.
    """
    _check(structure, material)
    resting = minimised(structure, material, report)
    with LammpsForces(resting, material) as forces:
        stress = forces.stress()
    relaxed, affine = np.empty((2, 6, 6))
    directions: Sequence[int] = range(6)
    for strain in STRAINS:
        pull = _Pull(resting, material, strain)
        bent = []
        for number, direction in enumerate(directions):
            telling = span_of(report, number / len(directions), (number + 1) / len(directions))
            (follow, against), (affine_with, affine_against) = pull(direction, telling)
            relaxed[:, direction] = voigt(follow - against) / (2 * strain)
            affine[:, direction] = voigt(affine_with - affine_against) / (2 * strain)
            bent.append(np.abs(follow + against - 2 * stress).max() / (2 * strain))
        limit = LINEAR * np.mean(_shears(affine))
        directions = [direction for direction, one in zip(directions, bent, strict=True) if one > limit]
    unit = material.unit_system.stress
    return Elasticity(unit * relaxed, unit * affine, unit * stress, len(directions))


def _check(structure: Structure, material: Material) -> None:
    check_three_dimensional(structure)
    if not all(structure.pbc):
        raise SimulationError(
            "Elastic constants need a structure that is periodic in all directions; it has free surfaces."
        )
    mesh = next((line for line in material.commands if line.startswith("kspace_style")), "kspace_style ewald")
    if not mesh.startswith("kspace_style ewald"):
        raise SimulationError(
            f"Forces by {mesh!r} jump where atoms pass a mesh, by more than small strains change them; take "
            "'kspace_style ewald 1e-5' for elastic constants."
        )


def voigt(tensor: NDArray) -> NDArray[np.float64]:
    """Components xx, yy, zz, yz, xz, xy of a symmetric tensor (3, 3)."""
    return tensor[VOIGT]


@dataclass(frozen=True)
class _Pull:
    """Stresses of a structure at rest that is strained both ways."""

    resting: Structure
    material: Material
    strain: float

    def __call__(self, direction: int, report: Report) -> tuple[list[NDArray], list[NDArray]]:
        """Stresses (3, 3) of relaxed atoms, and of atoms that follow the cell, at the strain and at its opposite."""
        least = LEAST * MINIMUM * resting_force(self.material)
        relaxed, affine = [], []
        away: NDArray | float = 0.0
        for side in (0, 1):
            strained = _strained(self.resting, direction, self.strain * (1 - 2 * side))
            # What relaxes the one way does so the other way with the opposite sign, which is half of the work.
            start = strained.moved(strained.positions - away)
            with LammpsForces(start, self.material) as forces:
                pushed = np.abs(forces(strained.positions)[1]).max()
                affine.append(forces.stress())
                forces(start.positions)
                tolerance = max(RELAXED * pushed, least)
                positions, _ = forces.minimised(tolerance, partial(report, side / 2, "Straining"))
                forces(positions)
                relaxed.append(forces.stress())
            away = positions - strained.positions
        return relaxed, affine


def _strained(structure: Structure, direction: int, strain: float) -> Structure:
    """The cell and, with it, the atoms; a shear is shared by both axes, so that nothing turns."""
    gradient = np.eye(3)
    row, column = VOIGT[0][direction], VOIGT[1][direction]
    gradient[row, column] += strain / 2
    gradient[column, row] += strain / 2
    positions = structure.origin + (structure.positions - structure.origin) @ gradient
    names, cell = structure.species_names, np.asarray(structure.cell) @ gradient
    return Structure(positions, structure.species, names, cell, structure.origin, structure.pbc, structure.ids)


def _bulk(constants: NDArray) -> float:
    return float(constants[:3, :3].mean())


def _shears(constants: NDArray) -> NDArray[np.float64]:
    """Five shear moduli, of shears that turn with the structure: from soft to stiff."""
    tensor = ORTHONORMAL[:, None] * (constants + constants.T) / 2 * ORTHONORMAL
    return np.linalg.eigvalsh(SHEARS.T @ tensor @ SHEARS) / 2
