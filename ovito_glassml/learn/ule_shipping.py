"""Makes the data of the shipped barcode model from a campaign, trains and judges it.

Run again whenever the campaign has more samples::

    python -m ovito_glassml.learn.ule_shipping collect CAMPAIGN FOLDER
    python -m ovito_glassml.learn.ule_shipping reduce CAMPAIGN FOLDER
    python -m ovito_glassml.learn.ule_shipping shuffle CAMPAIGN FOLDER
    python -m ovito_glassml.learn.ule_shipping train CAMPAIGN FOLDER ovito_glassml/models

*collect* selects unique environments in the runs that are learned from and counts the atoms of all
samples in them. *reduce* trains on all environments, ranks them, and counts again in the best 5, 10, 20,
40, 80 and 160. *shuffle* does both in five orders of structures with a third of them, to see what hangs on the order.
*train* fits and judges the model. CAMPAIGN holds shards ``anneal-zr44cu56-*.xyz.gz`` and
``shear-zr44cu56-*.xyz.gz``; FOLDER gets ``ule-all.npz``, ``ule-ranked.npz`` and one glass of a run that is not
learned from, which are kept in the repository, and ``ule-environments.npz``, which is not. Needs the
extras `simulate` and `train`.
"""

from __future__ import annotations

import itertools
import json
import re
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.model_file import ResultTable, save_model, write_card
from ovito_glassml.learn.ule import EnergyModel, UleModel
from ovito_glassml.learn.ule_data import BarcodeTable, UleSample, describe_samples, load_tables, save_tables
from ovito_glassml.learn.ule_evaluation import (
    energy_score,
    energy_table,
    heterogeneity_table,
    rival_predictions,
)
from ovito_glassml.learn.ule_training import (
    PUBLISHED_TREES,
    CrossValidation,
    TreeSettings,
    UleDesign,
    Voronoi,
    build_model,
    cross_validate,
    fit_trees,
    rank_environments,
    soap_for,
    tune,
)
from ovito_glassml.learn.unique_environments import UniqueEnvironments, select_environments
from ovito_glassml.simulate.shards import made_with, read_frames, write_frames

__all__ = [
    "DESIGN",
    "SIZES",
    "Roles",
    "collect",
    "how_made",
    "keep_glass",
    "read_samples",
    "reduce",
    "roles",
    "ship_model",
    "shuffle",
]

Progress = Callable[[float, str], None]

NAME = "ule-zr44cu56"
#: Numbers of best environments that atoms are counted in.
SIZES = (5, 10, 20, 40, 80, 160)
ALL, RANKED, ENVIRONMENTS = "ule-all.npz", "ule-ranked.npz", "ule-environments.npz"
SHUFFLED = "ule-shuffled.json"
GLASS = "glass-zr44cu56.xyz.gz"

DESIGN = UleDesign(
    title="energy and heterogeneity of Zr44Cu56 from 40 local environments",
    summary=(
        "Assigns atoms to 40 real environments of the training data by the similarity of their SOAP rows, and "
        "predicts the energy of the inherent structure from the fractions of these (XGBoost), with SHAP values "
        "shared among the atoms."
    ),
)

_REFERENCES = (
    "Concurrent prediction of metallic glasses' global energy and internal structural heterogeneity by interpretable "
    "machine learning; code: github.com/fanyue-um/Metallic_Glasses.",
    "S. M. Lundberg et al., From local explanations to global understanding with explainable AI for trees, "
    "Nat. Mach. Intell. 2, 56 (2020).",
    "M. I. Mendelev, D. J. Sordelet, M. J. Kramer, J. Appl. Phys. 102, 043501 (2007).",
)
_LIMITS = (
    "Trained on inherent structures of one composition at one density. Other compositions are reported and their "
    "energy means nothing; minimise snapshots first.",
    "SHAP values divide the energy of a sample among fractions that vary together: they say what the model uses, "
    "not what causes the energy.",
)


@dataclass(frozen=True, eq=False)
class Roles:
    """Which samples are for what; bool arrays over all samples.

    Attributes
    ----------
    learned, kept_aside, large, sheared : (S,) arrays
        Annealed runs that are learned from and that judge, samples of twice the size, sheared samples.
    """

    learned: NDArray[np.bool_]
    kept_aside: NDArray[np.bool_]
    large: NDArray[np.bool_]
    sheared: NDArray[np.bool_]


def roles(runs: Sequence[str] | NDArray) -> Roles:
    """The first fifth of the annealed runs, at least one, is kept aside; so is everything large or sheared.

    Raises
    ------
    TrainingError
        If nothing is left to learn from.
    """
    names = np.array(runs)
    sheared = np.array([name.startswith("shear-") for name in names])
    large = np.array([re.search(r"-4000-\d+$", name) is not None for name in names])
    ordinary = list(dict.fromkeys(names[~sheared & ~large]))
    ordinary.sort(key=lambda name: int(name.rsplit("-", 1)[1]))
    aside = ordinary[: max(1, len(ordinary) // 5)]
    if len(ordinary) < 2:
        raise TrainingError(f"There are {len(ordinary)} annealed runs; give at least two, one of them to judge by.")
    kept_aside = np.isin(names, aside)
    return Roles(~sheared & ~large & ~kept_aside, kept_aside, large, sheared)


def read_samples(campaign: Path) -> list[UleSample]:
    """All inherent structures of finished jobs with their energies; annealed, large, then sheared.

    Raises
    ------
    TrainingError
        If there are none.
    """
    samples = []
    paths = [*campaign.glob("anneal-zr44cu56-*.xyz.gz"), *campaign.glob("shear-zr44cu56-*.xyz.gz")]
    for path in sorted(paths, key=_natural):
        for frame in read_frames(path):
            header = frame.header
            warm = header.get("anneal_temperature") or f"sheared {float(str(header.get('temperature', 'nan'))):g}"
            energy = float(str(header["energy_per_atom"]))
            samples.append(UleSample(frame.structure, energy, path.name.removesuffix(".xyz.gz"), f"{warm} K"))
    if not samples:
        raise TrainingError(f"{campaign} holds no anneal-zr44cu56-*.xyz.gz; make them with: glassml simulate campaign")
    return samples


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order by name in which 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def keep_glass(campaign: Path, folder: Path) -> Path:
    """Write the last structure of the first run, which is kept aside, at its middle temperature: an example."""
    first = min(campaign.glob("anneal-zr44cu56-*.xyz.gz"), key=_natural)
    frames = read_frames(first)
    temperatures = [float(str(frame.header["anneal_temperature"])) for frame in frames]
    middle = sorted(set(temperatures))[len(set(temperatures)) // 2]
    write_frames(folder / GLASS, [[f for f, one in zip(frames, temperatures, strict=True) if one == middle][-1]])
    return folder / GLASS


def collect(
    samples: Sequence[UleSample], folder: Path, voronoi: Voronoi | None, progress: Progress, design: UleDesign = DESIGN
) -> None:
    """Select environments in the runs that are learned from, and write them and the barcodes of all samples."""
    learned = roles([sample.run for sample in samples]).learned
    numbers = np.flatnonzero(learned).tolist()
    structures = [samples[number].structure for number in numbers]
    descriptor = soap_for(structures)
    began = time.perf_counter()
    found = select_environments(
        structures,
        descriptor,
        similarity=design.similarity,
        share=design.share,
        seed=design.seed,
        progress=lambda fraction: progress(0.3 * fraction, "selecting environments"),
    )
    visited = design.share * sum(map(len, structures))
    text = f"{len(found)} environments among {visited:.0f}, {visited / (time.perf_counter() - began):.0f} a second"
    progress(0.3, text)
    (table,) = describe_samples(samples, descriptor, [found], voronoi, lambda f, what: progress(0.3 + 0.7 * f, what))
    save_tables(folder / ALL, {"all": table.with_principal_rows(learned)})
    _save_environments(folder / ENVIRONMENTS, replace(found, structure=np.array(numbers)[found.structure]))


def reduce(samples: Sequence[UleSample], folder: Path, progress: Progress, design: UleDesign = DESIGN) -> None:
    """Rank the environments and write the barcodes of all samples in the best of them."""
    found, table = _load_environments(folder / ENVIRONMENTS), load_tables(folder / ALL)["all"]
    _check_same(samples, table)
    learned = table.of(roles(table.runs).learned)
    _, model = _all_environments(learned, design, lambda f, what: progress(0.4 * f, what))
    ranking = rank_environments(model, learned.fractions, design.seed)
    best = found.subset(ranking.order[: max(SIZES)])
    sets = [best.subset(np.arange(min(size, len(best)))) for size in SIZES]
    descriptor = soap_for([sample.structure for sample in samples])
    tables = describe_samples(samples, descriptor, sets, progress=lambda f, what: progress(0.4 + 0.6 * f, what))
    small = {str(size): replace(table, counts=one.counts) for size, one in zip(SIZES, tables, strict=True)}
    save_tables(folder / RANKED, small)
    _save_environments(folder / ENVIRONMENTS, found, ranking.order)


def ship_model(
    samples: Sequence[UleSample],
    folder: Path,
    output: Path,
    voronoi: Voronoi,
    progress: Progress,
    design: UleDesign = DESIGN,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Train the model on the best environments, judge it, and write its file and card.

    Parameters
    ----------
    samples : sequence of UleSample
        Those that *collect* and *reduce* were given.
    folder, output : Path
        Of the barcodes and for the model.
    voronoi : callable
        As for `train_ule`.
    progress : callable
        Fraction and text.
    design : UleDesign
    training : mapping, optional
        How the samples were made, for the card.

    Returns
    -------
    Path
        The model file.
    """
    ranked, every = load_tables(folder / RANKED), load_tables(folder / ALL)["all"]
    _check_same(samples, every)
    part, table = roles(every.runs), ranked[str(design.environments)]
    found = _load_environments(folder / ENVIRONMENTS)
    chosen = found.subset(_load_order(folder / ENVIRONMENTS)[: design.environments])
    numbers = np.flatnonzero(part.learned).tolist()
    places = np.searchsorted(numbers, chosen.structure)
    model = build_model(
        [samples[number] for number in numbers],
        replace(chosen, structure=places),
        table.of(part.learned),
        voronoi,
        design=design,
        training={
            **(training or {}),
            "environments_found": len(found),
            "kept_aside": ", ".join(dict.fromkeys(every.runs[~part.learned].tolist())),
        },
        progress=lambda fraction, text: progress(0.5 * fraction, text),
    )
    _, full = _all_environments(every.of(part.learned), design, lambda f, what: progress(0.5 + 0.3 * f, what))
    results = list(model.header.results)
    results += _judged(model, table, part, {"all environments": full.predict(every.fractions)})
    progress(0.85, "fewer and more environments")
    results.append(_by_size(ranked, part, design))
    results.append(heterogeneity_table(model, table, "Heterogeneity"))
    if (folder / SHUFFLED).exists():
        results.append(ResultTable(**json.loads((folder / SHUFFLED).read_text(encoding="utf-8"))))
    header = replace(model.header, results=tuple(results), limits=_LIMITS, references=_REFERENCES)
    path = output / f"{NAME}.safetensors"
    save_model(path, header, model.tensors())
    write_card(path)
    progress(1.0, "done")
    return path


def shuffle(
    samples: Sequence[UleSample],
    folder: Path,
    progress: Progress,
    design: UleDesign = DESIGN,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    every: int = 3,
) -> ResultTable:
    """Select environments in several orders of structures; how many there are, and the error of trees on the best.

    One sample in `every` of the ordinary runs takes part, since neighbouring ones are alike. The table is kept
    in the folder, and `ship_model` puts it on the card.
    """
    part = roles([sample.run for sample in samples])
    ordinary = np.flatnonzero(part.learned | part.kept_aside)[::every]
    samples, learned = [samples[number] for number in ordinary], part.learned[ordinary]
    structures = list(itertools.compress([sample.structure for sample in samples], learned))
    descriptor = soap_for(structures)
    found = [
        select_environments(
            structures, descriptor, similarity=design.similarity, share=design.share, seed=seed,
            progress=_one_of(progress, number, 2 * len(seeds), f"selecting in order {seed}"),
        )
        for number, seed in enumerate(seeds)
    ]  # fmt: skip
    tables = describe_samples(samples, descriptor, found, None, _scaled(progress, 0.5, 0.8))
    best = [_best(one, table.of(learned), design) for one, table in zip(found, tables, strict=True)]
    tables = describe_samples(samples, descriptor, best, None, _scaled(progress, 0.8, 1.0))
    errors = [_published_error(table.of(learned), table.of(~learned), design)[1] for table in tables]
    rows: list[tuple[Any, ...]] = [(f"seed {seed}", len(found[k]), errors[k]) for k, seed in enumerate(seeds)]
    spread = [float(np.std([row[column] for row in rows], ddof=1)) for column in (1, 2)]
    relative = spread[0] / float(np.mean([row[1] for row in rows]))
    rows.append(("standard deviation", f"{relative:.1%}", spread[1]))
    result = ResultTable(
        "Other orders of structures",
        ("order", "environments", "RMSE on runs kept aside (meV/atom)"),
        tuple(rows),
        f"One sample in {every} takes part; trees with the published settings.",
    )
    (folder / SHUFFLED).write_text(json.dumps(asdict(result)), encoding="utf-8")
    return result


def _scaled(progress: Progress, first: float, last: float) -> Progress:
    return lambda fraction, text: progress(first + (last - first) * fraction, text)


def _one_of(progress: Progress, number: int, count: int, text: str) -> Callable[[float], None]:
    return lambda fraction: progress((number + fraction) / count, text)


def _best(found: UniqueEnvironments, learned: BarcodeTable, design: UleDesign) -> UniqueEnvironments:
    """The environments that trees with the published settings use most."""
    _, model = _published_trees(learned, design)
    return found.subset(rank_environments(model, learned.fractions, design.seed).order[: design.environments])


def _published_trees(learned: BarcodeTable, design: UleDesign) -> tuple[CrossValidation, EnergyModel]:
    """Trees with the published settings, and what they predict for runs they have not seen."""
    validation = cross_validate(learned, PUBLISHED_TREES, design.folds, design.seed)
    return validation, _fitted(learned, PUBLISHED_TREES, validation, design)


def _fitted(
    learned: BarcodeTable, settings: TreeSettings, validation: CrossValidation, design: UleDesign
) -> EnergyModel:
    """Trees on all samples, as many as were best on average in cross-validation."""
    rounds = max(1, round(float(np.mean(validation.rounds))))
    return fit_trees(learned.fractions, learned.energies, settings, rounds, design.seed)


def _published_error(learned: BarcodeTable, tested: BarcodeTable, design: UleDesign) -> tuple[float, float]:
    """Errors (meV/atom) of trees with the published settings, cross-validated and on samples of other runs."""
    validation, model = _published_trees(learned, design)
    return 1000 * validation.error(learned.energies), energy_score(model.predict(tested.fractions), tested.energies)[0]


def _all_environments(learned: BarcodeTable, design: UleDesign, progress: Progress) -> tuple[Any, Any]:
    """Settings and trees on all environments."""
    settings, validation = tune(learned, design.first_trials, folds=design.folds, seed=design.seed, progress=progress)
    return settings, _fitted(learned, settings, validation, design)


def _judged(
    model: UleModel, table: BarcodeTable, part: Roles, others: Mapping[str, NDArray[np.float64]]
) -> list[ResultTable]:
    """Energies of samples that took no part, beside simple rivals."""
    tables = []
    learned = table.of(part.learned)
    for title, chosen in (
        ("annealed runs", part.kept_aside),
        ("annealed samples of 4000 atoms", part.large),
        ("sheared samples", part.sheared),
    ):
        if chosen.any():
            tested = table.of(chosen)
            predictions = {f"{len(model)} environments": model.energy.predict(tested.fractions)}
            predictions |= {name: values[chosen] for name, values in others.items()}
            predictions |= rival_predictions(learned, tested)
            note = (
                f"{len(tested)} samples of {len(set(tested.runs))} runs; the standard deviation of their energies is "
            )
            note += f"{1000 * tested.energies.std():.2f} meV/atom."
            tables.append(energy_table(f"Energies of {title} never trained on", predictions, tested.energies, note))
    return tables


def _by_size(ranked: Mapping[str, BarcodeTable], part: Roles, design: UleDesign) -> ResultTable:
    """Error against the number of environments."""
    rows = []
    for size, table in ranked.items():
        matched = table.matched.sum() / table.atoms.sum()
        errors = _published_error(table.of(part.learned), table.of(part.kept_aside), design)
        rows.append((int(size), *errors, f"{matched:.0%}"))
    return ResultTable(
        "Number of environments",
        ("environments", "cross-validated RMSE (meV/atom)", "RMSE on runs kept aside (meV/atom)", "matched"),
        tuple(rows),
        "Trees with the published settings.",
    )


def _check_same(samples: Sequence[UleSample], table: BarcodeTable) -> None:
    if [sample.run for sample in samples] != list(table.runs):
        raise TrainingError(
            f"The campaign holds {len(samples)} samples and the barcodes are of {len(table)}, not all of the same "
            "runs; run the command collect again."
        )


def how_made(campaign: Path) -> dict[str, Any]:
    """The protocol of the annealed samples, from the files themselves."""
    header = read_frames(sorted(campaign.glob("anneal-zr44cu56-*.xyz.gz"), key=_natural)[0])[0].header
    settings = made_with(header)
    kept = [f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if key not in ("seed", "atoms")]
    return {"how": f"glassml simulate, protocol anneal with LAMMPS {header['lammps']}: {', '.join(kept)}"}


def _save_environments(path: Path, found: UniqueEnvironments, order: NDArray | None = None) -> None:
    ranked = np.arange(len(found)) if order is None else order
    np.savez(path, **vars(found), order=ranked)


def _load_environments(path: Path) -> UniqueEnvironments:
    try:
        with np.load(path, allow_pickle=False) as archive:
            fields = {name: archive[name] for name in archive.files if name != "order"}
    except (OSError, ValueError) as error:
        raise TrainingError(f"{path} holds no environments ({error}); run the command collect again.") from error
    return UniqueEnvironments(**fields | {"similarity": float(fields["similarity"])})


def _load_order(path: Path) -> NDArray[np.int64]:
    with np.load(path, allow_pickle=False) as archive:
        return archive["order"]


def main(arguments: Sequence[str], voronoi: Voronoi) -> None:
    """Run one of the commands of the module's docstring."""
    commands = {"collect": 2, "reduce": 2, "shuffle": 2, "train": 3}
    command, *rest = arguments or [""]
    if len(rest) != commands.get(command):
        raise TrainingError(
            f"The command {' '.join(arguments)!r} is none of: collect CAMPAIGN FOLDER, reduce CAMPAIGN FOLDER, "
            "shuffle CAMPAIGN FOLDER, train CAMPAIGN FOLDER MODELS."
        )
    paths = [Path(text) for text in rest]

    def report(fraction: float, text: str) -> None:
        print(f"{fraction:5.0%} {text}", flush=True)

    samples = read_samples(paths[0])
    if command == "collect":
        keep_glass(*paths)
        collect(samples, paths[1], voronoi, report)
    elif command == "reduce":
        reduce(samples, paths[1], report)
    elif command == "shuffle":
        print(shuffle(samples, paths[1], report).markdown())
    else:
        print(ship_model(samples, paths[1], paths[2], voronoi, report, training=how_made(paths[0])))


if __name__ == "__main__":
    from ovito_glassml.adapter.voronoi import voronoi_indices

    main(sys.argv[1:], voronoi_indices)
