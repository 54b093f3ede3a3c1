"""Makes the data of the shipped barcode model from a campaign, trains and judges it.

Run again whenever the campaign has more samples::

    python -m ovito_glassml.reproduce.barcode collect CAMPAIGN FOLDER
    python -m ovito_glassml.reproduce.barcode reduce CAMPAIGN FOLDER
    python -m ovito_glassml.reproduce.barcode shuffle CAMPAIGN FOLDER
    python -m ovito_glassml.reproduce.barcode train CAMPAIGN FOLDER ovito_glassml/models

*collect* selects unique environments in the runs that are learned from, counts the atoms of all samples in them and
measures their similarities. *reduce* chooses the 5, 10, 20, 40, 80 and 160 environments that together explain most of
the energies of atoms and samples, and counts again in these. *shuffle* selects in five orders of structures, to see
what hangs on the order. *train* fits the model and judges it, beside trees on fractions as published.
CAMPAIGN holds snapshots ``anneal-zr44cu56-*.xyz.gz`` and ``shear-zr44cu56-*.xyz.gz``; FOLDER gets ``ule-barcodes.npz``,
one glass of a run that is not learned from and a sheared one for each temperature, which are kept in the repository,
and ``ule-environments.npz`` and ``ule-soft.npz``, which are not. Needs the extras `simulate` and `train`.
"""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, NamedTuple, cast

import numpy as np
from numpy.typing import NDArray

from ovito_glassml.descriptors.blocks import species_columns
from ovito_glassml.errors import TrainingError
from ovito_glassml.files import load_arrays, save_atomically, write_atomically
from ovito_glassml.learn.barcode.data import BarcodeTable, UleSample, describe_samples, load_tables, save_tables
from ovito_glassml.learn.barcode.energy import Moments, SimilarityEnergy, fit_energy
from ovito_glassml.learn.barcode.environments import UniqueEnvironments, least_product, select_environments
from ovito_glassml.learn.barcode.evaluate import (
    energy_score,
    energy_table,
    heterogeneity_table,
    rival_predictions,
)
from ovito_glassml.learn.barcode.model import EnergyModel, UleModel
from ovito_glassml.learn.barcode.train import (
    PUBLISHED_TREES,
    SoftPass,
    SoftSamples,
    UleDesign,
    Voronoi,
    build_similarity_model,
    choose_soft,
    cross_validate,
    fit_trees,
    mean_rounds,
    own_species,
    samples_by_fold,
    soap_for,
    tune,
)
from ovito_glassml.learn.card import save_with_card, table_markdown
from ovito_glassml.learn.format import ResultTable
from ovito_glassml.learn.units import METAL
from ovito_glassml.progress import Report, nth_of, printed, span_of, with_text
from ovito_glassml.reproduce.costs import core_hours, shipped_timings
from ovito_glassml.simulate.snapshots import made_with, read_frames, read_header, write_frames

__all__ = [
    "DESIGN",
    "SIZES",
    "Roles",
    "collect",
    "how_made",
    "keep_examples",
    "make_model",
    "read_samples",
    "read_sheared",
    "reduce",
    "roles",
    "shuffle",
]


NAME = "ule-zr44cu56"
#: Numbers of environments that are chosen and that atoms are counted in.
SIZES = (5, 10, 20, 40, 80, 160)
BARCODES, ENVIRONMENTS, SOFT = "ule-barcodes.npz", "ule-environments.npz", "ule-soft.npz"
SHUFFLED = "ule-shuffled.json"
#: Before the number of environments in the names of arrays.
CHOSEN = "chosen_"
GLASS, SHEARED = "glass-zr44cu56.xyz.gz", "shear-zr44cu56-*.xyz.gz"
SHEARED_EXAMPLES = "shear-zr44cu56-*-1.xyz.gz"
COLLECT_AGAIN = "run the command collect again"
#: One snapshot in so many is taken, since neighbouring ones are alike.
EVERY = 2

DESIGN = UleDesign(
    title="energy and heterogeneity of Zr44Cu56 from 40 local environments",
    summary=(
        "Assigns atoms to 40 real environments of the training data by the similarity of their SOAP rows, and "
        "predicts the energy of the inherent structure, atom by atom, from the similarities with these (linear)."
    ),
    cutoff=5.0,
    units=METAL,
    trials=15,  # more settings of the rival trees do not make them tell glasses apart
)

#: Trees see environments that at least this share of samples have; others are too rare to divide samples by.
COMMON = 0.02

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
    "Contributions divide the energy of a sample among numbers that vary together: they say what the model uses, "
    "not what causes the energy.",
    "The heterogeneity does not tell samples of 2000 atoms sheared by 20 % from annealed ones of the same energy, see "
    "its table: the differences are smaller than between samples. Most sheared energies lie above all that were "
    "learned from, where the reference barcode stays that of the highest.",
)


@dataclass(frozen=True, eq=False)
class Roles:
    """Which samples are for what; bool arrays over all samples.

    Attributes
    ----------
    learned, kept_aside, large : (S,) arrays
        Annealed runs that are learned from and that judge, and samples of twice the size.
    """

    learned: NDArray[np.bool_]
    kept_aside: NDArray[np.bool_]
    large: NDArray[np.bool_]


def roles(runs: Sequence[str] | NDArray) -> Roles:
    """The first fifth of the annealed runs, at least one, is kept aside; so is everything large.

    Raises
    ------
    TrainingError
        If nothing is left to learn from.
    """
    names = np.array(runs)
    large = np.array([re.search(r"-4000-\d+$", name) is not None for name in names])
    ordinary = list(dict.fromkeys(names[~large]))
    ordinary.sort(key=lambda name: int(name.rsplit("-", 1)[1]))
    aside = ordinary[: max(1, len(ordinary) // 5)]
    if len(ordinary) < 2:
        raise TrainingError(f"There are {len(ordinary)} annealed runs; give at least two, one of them to judge by.")
    kept_aside = np.isin(names, aside)
    return Roles(~large & ~kept_aside, kept_aside, large)


def read_samples(campaign: Path, every: int = EVERY) -> list[UleSample]:
    """One in so many inherent structures of each anneal with its energies; large samples come first.

    Raises
    ------
    TrainingError
        If there are none.
    """
    samples = _samples(campaign, "anneal-zr44cu56-*.xyz.gz", every)
    if not samples:
        raise TrainingError(f"{campaign} holds no anneal-zr44cu56-*.xyz.gz; make them with: glassml simulate campaign")
    return samples


def read_sheared(campaign: Path) -> list[UleSample]:
    """All inherent structures of sheared samples, perhaps none."""
    return _samples(campaign, SHEARED, 1)


def _samples(campaign: Path, pattern: str, every: int) -> list[UleSample]:
    samples = []
    for path in sorted(campaign.glob(pattern), key=_natural):
        for frame in read_frames(path)[every - 1 :: every]:
            header = frame.header
            warm = header.get("anneal_temperature") or f"sheared {float(str(header.get('temperature', 'nan'))):g}"
            energy, run = float(str(header["energy_per_atom"])), path.name.removesuffix(".xyz.gz")
            energies = frame.columns["Potential_Energy"]
            samples.append(UleSample(frame.structure, energy, run, f"{warm} K", energies))
    return samples


def _natural(path: Path) -> list[tuple[int, str]]:
    """Order by name in which 10 comes after 9."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", path.name)]


def keep_examples(campaign: Path, folder: Path) -> Path:
    """Write the last structure of the first run, which is kept aside, at its middle temperature, and sheared ones.

    One sheared glass for each temperature and every second structure of it are enough for an example.
    """
    first = min(campaign.glob("anneal-zr44cu56-*.xyz.gz"), key=_natural)
    frames = read_frames(first)
    temperatures = [float(str(frame.header["anneal_temperature"])) for frame in frames]
    middle = sorted(set(temperatures))[len(set(temperatures)) // 2]
    write_frames(folder / GLASS, [[f for f, one in zip(frames, temperatures, strict=True) if one == middle][-1]])
    for path in campaign.glob(SHEARED_EXAMPLES):
        write_frames(folder / path.name, read_frames(path)[::2])
    return folder / GLASS


def collect(
    samples: Sequence[UleSample], folder: Path, voronoi: Voronoi | None, progress: Report, design: UleDesign = DESIGN
) -> None:
    """Select environments in the runs that are learned from, and write them and the barcodes of all samples."""
    learned = roles([sample.run for sample in samples]).learned
    numbers = np.flatnonzero(learned).tolist()
    structures = [samples[number].structure for number in numbers]
    descriptor = soap_for(structures, design)
    began = time.perf_counter()
    found = select_environments(
        structures,
        descriptor,
        similarity=design.similarity,
        share=design.share,
        seed=design.seed,
        progress=with_text(span_of(progress, 0.0, 0.3), "selecting environments"),
    )
    visited = design.share * sum(map(len, structures))
    text = f"{len(found)} environments among {visited:.0f}, {visited / (time.perf_counter() - began):.0f} a second"
    progress(0.3, text)
    found = replace(found, structure=np.array(numbers)[found.structure])
    _save_environments(folder / ENVIRONMENTS, found)
    soft = SoftPass(samples, found, learned, design.folds)
    (table,) = describe_samples(samples, descriptor, [found], voronoi, span_of(progress, 0.3, 1.0), soft.visit)
    save_tables(folder / BARCODES, {"all": table.with_principal_rows(learned)})
    _save_soft(folder / SOFT, soft)


def _save_soft(path: Path, done: SoftPass) -> None:
    moments = done.soft.moments
    arrays = {
        "means": done.soft.means,
        "shares": done.soft.shares,
        "fold": done.fold,
        "squares": np.array([moments[fold].squares for fold in sorted(moments)]),
        "atoms": np.array([moments[fold].atoms for fold in sorted(moments)]),
    }
    save_atomically(path, arrays)


class _Soft(NamedTuple):
    """What *collect* saved: mean κ (S, K) and shares of all samples, and the samples that are learned from."""

    means: NDArray[np.float64]
    shares: NDArray[np.float64]
    learned: SoftSamples


def _load_soft(path: Path, energies: NDArray) -> _Soft:
    saved = load_arrays(path, "similarities", COLLECT_AGAIN, ("means", "shares", "squares", "atoms", "fold"))
    means, shares = saved["means"], saved["shares"]
    moments = [Moments(squares, float(atoms)) for squares, atoms in zip(saved["squares"], saved["atoms"], strict=True)]
    return _Soft(means, shares, samples_by_fold(moments, means, shares, energies, saved["fold"]))


def reduce(samples: Sequence[UleSample], folder: Path, progress: Report, design: UleDesign = DESIGN) -> None:
    """Choose the best environments, of every size, and write the barcodes of all samples in them."""
    found, table = _load_environments(folder / ENVIRONMENTS), load_tables(folder / BARCODES)["all"]
    _check_same(samples, table)
    atoms = table.of(roles(table.runs).learned).counts.sum(axis=0)
    soft = _load_soft(folder / SOFT, table.energies).learned
    chosen = {size: choose_soft(soft, atoms, size) for size in dict.fromkeys((*SIZES, design.environments))}
    chosen = {len(best): best for best in chosen.values()}
    counts = {size: np.zeros((len(samples), size), dtype=np.int32) for size in chosen}
    every = np.unique(np.concatenate(list(chosen.values())))
    places = {size: np.searchsorted(every, best) for size, best in chosen.items()}
    columns, least = np.ascontiguousarray(found.rows[every].T), least_product(found.similarity)

    def visit(number: int, atoms: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        products = rows @ columns
        for size, table_of_size in counts.items():
            own = products[:, places[size]]
            nearest = own.argmax(axis=1)
            matched = nearest[own[np.arange(len(own)), nearest] > least]
            table_of_size[number] += np.bincount(matched, minlength=size).astype(np.int32)

    descriptor = soap_for([sample.structure for sample in samples], DESIGN)
    describe_samples(samples, descriptor, [], progress=progress, visit=visit)
    small = {str(size): replace(table, counts=one) for size, one in counts.items()}
    save_tables(folder / BARCODES, {**small, "all": table})
    _save_environments(folder / ENVIRONMENTS, found, chosen)


def make_model(
    samples: Sequence[UleSample],
    sheared: Sequence[UleSample],
    folder: Path,
    output: Path,
    voronoi: Voronoi,
    progress: Report,
    design: UleDesign = DESIGN,
    training: Mapping[str, Any] | None = None,
) -> Path:
    """Train the model on the best environments, judge it, and write its file and card.

    Parameters
    ----------
    samples : sequence of UleSample
        Those that *collect* and *reduce* were given.
    sheared : sequence of UleSample
        That heterogeneity is judged by.
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
    barcodes = load_tables(folder / BARCODES)
    every = barcodes["all"]
    _check_same(samples, every)
    part, soft = roles(every.runs), _load_soft(folder / SOFT, every.energies)
    found, best = _load_environments(folder / ENVIRONMENTS), _load_chosen(folder / ENVIRONMENTS)
    order = best.get(design.environments, best[max(best)])
    numbers = np.flatnonzero(part.learned)
    learned, table = [samples[number] for number in numbers.tolist()], barcodes[str(len(order))]
    chosen = found.subset(order)
    chosen = replace(chosen, structure=np.searchsorted(numbers, chosen.structure))
    made = {
        **(training or {}),
        "environments_found": len(found),
        "kept_aside": ", ".join(dict.fromkeys(every.runs[~part.learned].tolist())),
    }
    model = build_similarity_model(
        learned, chosen, table.of(part.learned), soft.learned.of(order), voronoi,
        design=design, training=made, progress=span_of(progress, 0.0, 0.2),
    )  # fmt: skip
    own = own_species(samples, found)
    energy = cast(SimilarityEnergy, model.energy)
    predicted = energy.predict(soft.means[:, order], soft.shares)
    rivals = _rivals(soft, every, table, part, own, design, span_of(progress, 0.2, 0.8))
    results = [*model.header.results, *_judged(model, table, part, predicted, rivals)]
    aside = [samples[number] for number in np.flatnonzero(part.kept_aside).tolist()]
    results.append(_by_atom(model, energy.typical, list({sample.run: sample for sample in aside}.values())))
    results.append(_by_size(soft, best, every, part, own, barcodes))
    progress(0.9, "heterogeneity")
    results += _heterogeneity(model, table, sheared)
    if (folder / SHUFFLED).exists():
        results.append(ResultTable(**json.loads((folder / SHUFFLED).read_text(encoding="utf-8"))))
    header = replace(model.header, results=tuple(results), limits=_LIMITS, references=_REFERENCES, licence="MIT")
    path = output / f"{NAME}.safetensors"
    save_with_card(path, header, model.tensors())
    progress(1.0, "done")
    return path


def _rivals(
    soft: _Soft,
    every: BarcodeTable,
    table: BarcodeTable,
    part: Roles,
    own: NDArray,
    design: UleDesign,
    progress: Report,
) -> dict[str, NDArray[np.float64]]:
    """Energies of all samples from similarities with all environments, and from trees on fractions, as published."""
    energy, _, _ = fit_energy(soft.learned.folds, soft.learned.soft, own)
    common = (every.counts > 0).mean(axis=0) >= COMMON
    progress(0.1, "trees on the fractions of all environments")
    frequent = replace(every, counts=every.counts[:, common])
    full = _published_trees(frequent.of(part.learned), design)
    progress(0.5, "trees on the fractions of the best")
    settings, validation = tune(table.of(part.learned), design.trials, folds=design.folds, seed=design.seed)
    kept = fit_trees(
        table.of(part.learned).fractions,
        every.energies[part.learned],
        settings,
        mean_rounds(validation),
        design.seed,
    )
    return {
        "similarities with all environments": energy.predict(soft.means, soft.shares),
        "trees on fractions of all environments": full.predict(frequent.fractions),
        f"trees on fractions of {table.counts.shape[1]} environments": kept.predict(table.fractions),
    }


def _published_trees(learned: BarcodeTable, design: UleDesign) -> EnergyModel:
    """Trees with the published settings, as many as were best on average in cross-validation."""
    validation = cross_validate(learned, PUBLISHED_TREES, design.folds, design.seed)
    return fit_trees(learned.fractions, learned.energies, PUBLISHED_TREES, mean_rounds(validation), design.seed)


def _heterogeneity(model: UleModel, table: BarcodeTable, sheared: Sequence[UleSample]) -> list[ResultTable]:
    """Heterogeneity of annealed and sheared samples, and the energies that the model gives the latter."""
    if not sheared:
        return [heterogeneity_table(model, table, "Heterogeneity")]
    predictions = [model.predict(sample.structure) for sample in sheared]
    measured = np.array([sample.energy for sample in sheared])
    common = (
        np.array([prediction.atoms for prediction in predictions]),
        measured,
        np.array([sample.run for sample in sheared]),
        np.array([sample.kind for sample in sheared]),
        np.full(len(sheared), np.nan),
        np.zeros((len(sheared), table.mean_rows.shape[1]), dtype=np.float32),
    )
    rows = BarcodeTable(np.array([prediction.counts for prediction in predictions], dtype=np.int32), *common)
    energies = {f"{len(model)} environments": np.array([prediction.energy for prediction in predictions])}
    note = f"{len(rows)} samples of {len(set(rows.runs))} runs; none was trained on."
    return [
        heterogeneity_table(model, table.joined(rows), "Heterogeneity"),
        energy_table("Energies of sheared samples", energies, measured, note, units=METAL),
    ]


def shuffle(
    samples: Sequence[UleSample],
    folder: Path,
    progress: Report,
    design: UleDesign = DESIGN,
    seeds: Sequence[int] = (1, 2, 3, 4, 5),
    every: int = 3,
) -> ResultTable:
    """Select environments in several orders of structures; how many there are, and the error of the best.

    Environments are selected in all runs that are learned from; energies are learned and judged with one sample in
    `every` of the ordinary runs, since neighbouring ones are alike. The table is kept in the folder, and `make_model`
    puts it on the card.
    """
    part = roles([sample.run for sample in samples])
    numbers = np.flatnonzero(part.learned)
    structures = [samples[number].structure for number in numbers.tolist()]
    descriptor = soap_for(structures, design)
    found = [
        select_environments(
            structures, descriptor, similarity=design.similarity, share=design.share, seed=seed,
            progress=with_text(nth_of(progress, number, 2 * len(seeds)), f"selecting in order {seed}"),
        )
        for number, seed in enumerate(seeds)
    ]  # fmt: skip
    found = [replace(one, structure=numbers[one.structure]) for one in found]
    visited = np.flatnonzero(part.learned | part.kept_aside)[::every]
    learned = np.zeros(len(samples), dtype=np.bool_)
    learned[visited] = part.learned[visited]
    passes = [SoftPass(samples, one, learned, design.folds) for one in found]

    def visit(number: int, atoms: NDArray[np.int64], rows: NDArray[np.float32]) -> None:
        for one in passes:
            one.visit(int(visited[number]), atoms, rows)

    few = [samples[number] for number in visited.tolist()]
    tables = describe_samples(few, descriptor, found, None, span_of(progress, 0.5, 1.0), visit)
    errors = [_error_of_best(*one, visited, learned, design) for one in zip(passes, found, tables, strict=True)]
    rows: list[tuple[Any, ...]] = [(f"seed {seed}", len(found[k]), errors[k]) for k, seed in enumerate(seeds)]
    spread = [float(np.std([row[column] for row in rows], ddof=1)) for column in (1, 2)]
    relative = spread[0] / float(np.mean([row[1] for row in rows]))
    rows.append(("standard deviation", f"{relative:.1%}", spread[1]))
    result = ResultTable(
        "Other orders of structures",
        ("order", "environments", "RMSE on runs kept aside (meV/atom)"),
        tuple(rows),
        f"Energies of one sample in {every}, from similarities with the best {design.environments}.",
    )
    write_atomically(folder / SHUFFLED, json.dumps(asdict(result)).encode())
    return result


def _error_of_best(
    done: SoftPass, found: UniqueEnvironments, table: BarcodeTable, visited: NDArray[np.int64],
    learned: NDArray[np.bool_], design: UleDesign,
) -> float:  # fmt: skip
    """Error (meV/atom) of similarities with the best environments, on the visited samples that are not learned from."""
    energies = np.full(len(learned), np.nan)
    energies[visited] = table.energies
    soft, own = done.learned_from(energies), own_species(done.samples, found)
    best = choose_soft(soft, table.of(learned[visited]).counts.sum(axis=0), design.environments)
    chosen = soft.of(best)
    energy, _, _ = fit_energy(chosen.folds, chosen.soft, own[best])
    aside = visited[~learned[visited]]
    predicted = energy.predict(done.soft.means[np.ix_(aside, best)], done.soft.shares[aside])
    return energy_score(predicted, energies[aside])[0]


def _judged(
    model: UleModel,
    table: BarcodeTable,
    part: Roles,
    predicted: NDArray[np.float64],
    others: Mapping[str, NDArray[np.float64]],
) -> list[ResultTable]:
    """Energies of samples that took no part, beside simple rivals."""
    tables = []
    learned = table.of(part.learned)
    for title, chosen in (("annealed runs", part.kept_aside), ("annealed samples of 4000 atoms", part.large)):
        if chosen.any():
            tested = table.of(chosen)
            predictions = {f"{len(model)} environments": predicted[chosen]}
            predictions |= {name: values[chosen] for name, values in others.items()}
            predictions |= rival_predictions(learned, tested)
            note = (
                f"{len(tested)} samples of {len(set(tested.runs))} runs; the standard deviation of their energies is "
            )
            note += f"{1000 * tested.energies.std():.2f} meV/atom."
            name = f"Energies of {title} never trained on"
            tables.append(energy_table(name, predictions, tested.energies, note, units=METAL))
    return tables


def _by_atom(model: UleModel, typical: NDArray, samples: Sequence[UleSample]) -> ResultTable:
    """Energies of single atoms against those that the potential gives them; `typical` (eV) is that of each species."""
    rows, names = [], model.header.species
    kinds = np.concatenate([species_columns(one.structure, names)[one.structure.species] for one in samples])
    predicted = typical[kinds] + np.concatenate([model.predict(one.structure).contribution for one in samples])
    measured = np.concatenate([np.asarray(one.atom_energies) for one in samples])
    for column, name in enumerate(names):
        estimate, energy = predicted[kinds == column], measured[kinds == column]
        error = float(np.sqrt(((estimate - energy) ** 2).mean()))
        rows.append((name, len(energy), float(energy.std()), error, float(np.corrcoef(estimate, energy)[0, 1])))
    return ResultTable(
        "Energies of atoms of annealed runs never trained on",
        ("species", "atoms", "standard deviation (eV)", "RMSE (eV)", "R"),
        tuple(rows),
        f"The last structures of {len(samples)} runs; the potential divides the energy among the atoms.",
    )


def _by_size(
    soft: _Soft,
    best: Mapping[int, NDArray],
    every: BarcodeTable,
    part: Roles,
    species: NDArray,
    barcodes: Mapping[str, BarcodeTable],
) -> ResultTable:
    """Error of similarities against the number of environments."""
    rows = []
    for size, numbers in [*sorted(best.items()), (len(species), np.arange(len(species)))]:
        chosen = soft.learned.of(numbers)
        energy, predicted, _ = fit_energy(chosen.folds, chosen.soft, species[numbers])
        measured = np.concatenate([energies for _, _, energies in chosen.soft])
        tested = energy.predict(soft.means[:, numbers], soft.shares)[part.kept_aside]
        error, _, explained = energy_score(tested, every.energies[part.kept_aside])
        counted = barcodes.get(str(size), every)
        matched = counted.matched.sum() / counted.atoms.sum()
        rows.append((size, energy_score(predicted, measured)[0], error, explained, f"{matched:.0%}"))
    return ResultTable(
        "Number of environments",
        (
            "environments",
            "cross-validated RMSE (meV/atom)",
            "RMSE on runs kept aside (meV/atom)",
            "R² there",
            "matched",
        ),
        tuple(rows),
    )


def _check_same(samples: Sequence[UleSample], table: BarcodeTable) -> None:
    if [sample.run for sample in samples] != list(table.runs):
        raise TrainingError(
            f"The campaign holds {len(samples)} samples and the barcodes are of {len(table)}, not all of the same "
            "runs; run the command collect again."
        )


def how_made(campaign: Path) -> dict[str, Any]:
    """The protocol of the annealed samples, from the files themselves."""
    files = sorted(campaign.glob("anneal-zr44cu56-*.xyz.gz"), key=_natural)
    header = read_header(files[0])
    settings = made_with(header)
    kept = [f"{key.replace('_', ' ')} {value}" for key, value in settings.items() if key not in ("seed", "atoms")]
    made = {"how": f"glassml simulate, protocol anneal with LAMMPS {header['lammps']}: {', '.join(kept)}"}
    if "engine" in header:
        return made | {"core_hours": "the anneals ran on a CUDA device"}
    atoms = {path.name.removesuffix(".xyz.gz"): made_with(read_header(path))["atoms"] for path in files}
    timings = shipped_timings()
    return made | {"core_hours": core_hours(atoms, timings)}


def _save_environments(
    path: Path, found: UniqueEnvironments, chosen: Mapping[int, NDArray[np.int64]] | None = None
) -> None:
    sets = {f"{CHOSEN}{size}": best for size, best in (chosen or {}).items()}
    save_atomically(path, vars(found) | sets)


def _load_environments(path: Path) -> UniqueEnvironments:
    names = [field.name for field in fields(UniqueEnvironments)]
    stored: dict[str, Any] = load_arrays(path, "environments", COLLECT_AGAIN, names)
    return UniqueEnvironments(**{name: stored[name] for name in names} | {"similarity": float(stored["similarity"])})


def _load_chosen(path: Path) -> dict[int, NDArray[np.int64]]:
    """Environments that *reduce* chose, by how many."""
    stored = load_arrays(path, "environments", COLLECT_AGAIN)
    chosen = {int(name.removeprefix(CHOSEN)): numbers for name, numbers in stored.items() if name.startswith(CHOSEN)}
    if not chosen:
        raise TrainingError(f"{path} holds no choice of environments; run the command reduce first.")
    return chosen


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
    samples = read_samples(paths[0])
    if command == "collect":
        keep_examples(*paths)
        collect(samples, paths[1], voronoi, printed)
    elif command == "reduce":
        reduce(samples, paths[1], printed)
    elif command == "shuffle":
        print(table_markdown(shuffle(samples, paths[1], printed)))
    else:
        given = samples, read_sheared(paths[0]), paths[1], paths[2]
        print(make_model(*given, voronoi, printed, training=how_made(paths[0])))


if __name__ == "__main__":
    from ovito_glassml.adapter.voronoi import voronoi_indices

    main(sys.argv[1:], voronoi_indices)
