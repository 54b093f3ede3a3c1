"""Commands that draw the figures behind a method."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any

import typer

from ovito_glassml.cli.commands import Commands
from ovito_glassml.cli.common import UsageError, console, progress_bar
from ovito_glassml.cli.samples import (
    BarrierColumn,
    BarrierDesign,
    Species,
    barrier_design,
    barrier_samples,
    labelled_samples,
    ule_samples,
)

Output = Annotated[Path, typer.Option("--output", "-o", help="Folder for PNG and CSV.")]

figures_app = Commands(help="Draw the figures behind a method, as PNG and CSV.", no_args_is_help=True)


@figures_app.command("stiffness")
def figures_stiffness(
    output: Output = Path("figures"),
) -> None:
    """Parity, radial distribution functions, transfer between cooling rates, coarse-grained maps.

    Drawn from the shipped samples and models; needs the extra: pip install 'ovito-glassml[train]'

    Example: glassml figures stiffness --output figures
    """
    from ovito_glassml.learn.stiffness.model import StiffnessModel
    from ovito_glassml.reproduce.figures.stiffness import draw_stiffness_figures
    from ovito_glassml.workflow.sample_data import STIFFNESS_MODELS, stiffness_samples

    training, testing = (labelled_samples(files, "Stiffness", "") for files in stiffness_samples())
    loaded = {name: StiffnessModel.load(name) for name in STIFFNESS_MODELS}
    with progress_bar("Drawing") as update:
        written = draw_stiffness_figures(training, testing, loaded, output, update)
    _print(written)


@figures_app.command("lasca")
def figures_lasca(
    output: Output = Path("figures"),
    barriers: Annotated[
        Path | None, typer.Option(help="Folder of Cu64Zr36 glasses with energy barriers (config*.npz), to compare.")
    ] = None,
) -> None:
    """Frequencies of clusters beside published ones, sub-clusters by group, pictures of four clusters.

    Example: glassml figures lasca --output figures
    """
    from ovito_glassml.reproduce.figures.lasca import draw_lasca_figures, read_barriers, read_glass
    from ovito_glassml.workflow.sample_data import sample_file

    names = ("vibrations-cu50zr50-1e13-1", "vibrations-cu50zr50-1e12-1")
    glasses = [read_glass(sample_file(f"stiffness/{name}.xyz.gz")) for name in names]
    foreign = [] if barriers is None else read_barriers(barriers)
    with progress_bar("Looking for clusters") as update:
        written, report = draw_lasca_figures(glasses, output, update, foreign)
    _print([*report, *written])


@figures_app.command("propensity")
def figures_propensity(
    model: Annotated[str, typer.Argument(help="Shipped or installed model name, or model file.")] = "propensity-ka",
    output: Output = Path("figures"),
) -> None:
    """Which shells and which species make an atom mobile, as a model of propensity has learned it.

    Example: glassml figures propensity propensity-wahnstrom --output figures
    """
    from ovito_glassml.learn.propensity.model import PropensityModel
    from ovito_glassml.reproduce.figures.propensity import draw_propensity_figures

    _print(draw_propensity_figures(PropensityModel.load(model), output))


@figures_app.command("gallery")
def figures_gallery(
    output: Output = Path("figures"),
) -> None:
    """What each modifier shows on the sample of its session: a slice in the colours of its result.

    Needs a Vulkan driver (Debian and Ubuntu: libvulkan1 mesa-vulkan-drivers).

    Example: glassml figures gallery --output figures
    """
    from ovito_glassml.adapter.render import RenderingUnavailable
    from ovito_glassml.reproduce.gallery import draw_gallery

    try:
        with progress_bar("Drawing") as update:
            written = draw_gallery(output, update)
    except RenderingUnavailable as error:
        raise UsageError(str(error)) from error
    _print(written)


@figures_app.command("scnn")
def figures_scnn(
    files: Annotated[
        list[Path] | None, typer.Argument(help="Two labelled structures or more; the last is judged by.")
    ] = None,
    output: Output = Path("figures"),
    barriers: Annotated[
        Path | None, typer.Option(help="Instead of FILES a folder of Cu64Zr36 glasses with barriers (config*.npz).")
    ] = None,
    label: BarrierColumn = "Activation_Energy",
    design: BarrierDesign = "environment",
    species: Species = "",
    seed: Annotated[int, typer.Option(help="Of the networks' first weights.")] = 1,
) -> None:
    """Train on labelled files and show how good a prototype network is and what its prototypes are.

    ROC, calibration, maps, embeddings, cosines, similarities, barriers and clusters by prototype, and the raw
    descriptors of the prototypes beside 1000 random quadruples. Needs the extra: pip install 'ovito-glassml[train]'

    Example: glassml figures scnn barriers-1.xyz.gz barriers-2.xyz.gz --output figures
    """
    import numpy as np

    from ovito_glassml.learn.prototypes.data import BarrierSample
    from ovito_glassml.reproduce.figures.lasca import read_barriers
    from ovito_glassml.reproduce.figures.prototypes import draw_scnn_figures

    chosen = barrier_design(design)
    samples = barrier_samples(files or [], label, species)
    for glass in read_barriers(barriers) if barriers is not None else []:
        samples.append(BarrierSample(glass.structure, np.asarray(glass.values), glass.name))
    with progress_bar("Drawing") as update:
        written, report = draw_scnn_figures(samples, output, update, design=chosen, seed=seed)
    _print([*report, *written])


@figures_app.command("ule")
def figures_ule(
    files: Annotated[list[Path], typer.Argument(help="Inherent structures with energies; each file is one run.")],
    model: Annotated[str, typer.Option(help="Shipped model name or model file.")],
    output: Output = Path("figures"),
    energy: Annotated[
        str, typer.Option(help="Attribute of a frame, or column to average, with the energy in eV per atom.")
    ] = "energy_per_atom",
    kind: Annotated[
        str, typer.Option(help="Attribute that says what was done to a frame; by default the file's name.")
    ] = "",
    sheared: Annotated[
        list[Path] | None, typer.Option(help="Trajectory from an unstrained to a sheared frame, for strain maps.")
    ] = None,
    barcodes: Annotated[
        Path | None, typer.Option(help="Archive ule-barcodes.npz of the training data, for learning curves.")
    ] = None,
    species: Species = "",
) -> None:
    """Show what a barcode model sees in structures whose energies are known.

    Energies with the distribution of errors, barcodes, the environments with their Voronoi shells, correlations
    with energy, deviations from thermal samples, sums over groups, SHAP values, strain maps, learning curves.

    Example: glassml figures ule annealed-*.xyz.gz --model mine.safetensors --output figures
    """
    from ovito_glassml.learn.barcode.data import load_tables
    from ovito_glassml.learn.barcode.model import UleModel
    from ovito_glassml.reproduce.figures.barcode import draw_ule_figures

    loaded = UleModel.load(model)
    tables = {} if barcodes is None else load_tables(barcodes)
    tables.pop("all", None)  # too many environments for a tree at every size
    samples = ule_samples(files, energy, species, kind)
    strained = [_sheared(file, species) for file in sheared or []]
    with progress_bar("Drawing") as update:
        written, report = draw_ule_figures(loaded, samples, output, update, sheared=strained, tables=tables)
    _print([*report, *written])


def _sheared(file: Path, species: str) -> Any:
    """The last frame of a file with its strain since the first."""
    from ovito_glassml.adapter.files import open_trajectory
    from ovito_glassml.adapter.input import structure_from_data
    from ovito_glassml.labels.strain import von_mises_strain
    from ovito_glassml.reproduce.figures.barcode import Sheared

    pipeline = open_trajectory(file)
    first, last = (structure_from_data(pipeline.compute(k), species=species) for k in (0, pipeline.num_frames - 1))
    return Sheared(file.name.split(".")[0], last, von_mises_strain(first, last))


def _print(lines: Iterable[str | Path]) -> None:
    for line in lines:
        console.print(str(line), highlight=False, soft_wrap=True, markup=False)
