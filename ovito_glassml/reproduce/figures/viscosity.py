"""What activation energies mean for the flow near each atom, beside the stiffness predicted for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from ovito_glassml.labels.vibrations import BOLTZMANN_EV
from ovito_glassml.learn.evaluation import parity, pearson
from ovito_glassml.learn.prototypes.data import BarrierSample
from ovito_glassml.learn.stiffness.model import StiffnessModel
from ovito_glassml.workflow.plotting import COLOURS, new_axes, save_figure, save_table

__all__ = ["TEMPERATURE", "draw_viscosity", "log_viscosity"]

#: Pa s, of a liquid whose atoms meet no barrier, as published.
FREE_VISCOSITY = 1e-4
#: K; about the glass transition of Cu-Zr.
TEMPERATURE = 700.0
STIFFNESS_MODEL = "stiffness-cuzr"
#: Share of the atoms that are called the stiffest and the softest.
EXTREME_SHARE = 0.1


def log_viscosity(barrier: ArrayLike, temperature: float = TEMPERATURE) -> NDArray[np.float64]:
    """Decimal logarithm of η/(Pa s), η = η₀ exp(Q/k_BT) with η₀ = 10⁻⁴ Pa s.

    Parameters
    ----------
    barrier : array
        Mean activation energies of atoms, eV.
    temperature : float
        K.
    """
    exponent = np.asarray(barrier, dtype=np.float64) / (BOLTZMANN_EV * temperature)
    return np.log10(FREE_VISCOSITY) + exponent / np.log(10)


def draw_viscosity(sample: BarrierSample, folder: Path) -> tuple[list[Path], list[str]]:
    """Viscosity from the atoms' barriers against predicted stiffness, and of the stiffest and the softest atoms.

    Returns
    -------
    written : list of Path
        Nothing for species that the stiffness model does not know.
    report : list of str
    """
    model = StiffnessModel.load(STIFFNESS_MODEL)
    if set(sample.structure.species_names) - set(model.header.species):
        known = " and ".join(model.header.species)
        return [], [f"no viscosity against stiffness: {STIFFNESS_MODEL} knows {known} only"]
    labelled = np.isfinite(sample.barrier)
    stiffness = model.predict(sample.structure).stiffness[labelled]
    viscosity = log_viscosity(sample.barrier[labelled])
    low, high = np.quantile(stiffness, [EXTREME_SHARE, 1 - EXTREME_SHARE])
    extremes = {"softest tenth": viscosity[stiffness <= low], "stiffest tenth": viscosity[stiffness >= high]}
    bins = parity(stiffness, viscosity)
    figure, (left, right) = new_axes(9.6, 4.4, 1, 2)
    left.errorbar(bins["predicted"], bins["measured"], bins["standard_error"], fmt="o", ms=4, color=COLOURS[0])
    unit = f"log$_{{10}}$ η / (Pa s) at {TEMPERATURE:g} K"
    left.set(xlabel="predicted stiffness (eV/Å²)", ylabel=f"mean {unit}", title="100 atoms a point")
    edges = np.linspace(viscosity.min(), viscosity.max(), 31)
    table: dict[str, Any] = {"log10_viscosity_Pa_s": (edges[1:] + edges[:-1]) / 2}
    for colour, (name, values) in zip(COLOURS, extremes.items(), strict=False):
        density = np.histogram(values, edges, density=True)[0]
        right.stairs(density, edges, color=colour, lw=2, label=f"{name}, mean {values.mean():.1f}")
        table[name.replace(" ", "_")] = density
    right.set(xlabel=unit, ylabel="density of atoms", title="By predicted stiffness")
    right.margins(y=0.25)
    right.legend(frameon=False)
    points: dict[str, Any] = {
        "stiffness_eV_A2": bins["predicted"],
        "log10_viscosity_Pa_s": bins["measured"],
        "standard_error": bins["standard_error"],
    }
    soft, stiff = (values.mean() for values in extremes.values())
    line = (
        f"{sample.name}: Pearson R of predicted stiffness and log viscosity {pearson(stiffness, viscosity):.2f}; at "
        f"{TEMPERATURE:g} K 10^{soft:.1f} Pa s for the softest tenth of the atoms, 10^{stiff:.1f} for the stiffest"
    )
    return [
        save_figure(figure, folder / "viscosity.png"),
        save_table(points, folder / "viscosity.csv"),
        save_table(table, folder / "viscosity_extremes.csv"),
    ], [line]
