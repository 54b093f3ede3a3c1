"""Shipping the barcode model: a campaign's snapshots become barcodes, then a model with its card."""

from dataclasses import replace

import numpy as np
import pytest
import ule_glasses

from ovito_glassml.adapter.voronoi import voronoi_indices
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode.data import load_tables
from ovito_glassml.learn.barcode.model import UleModel
from ovito_glassml.reproduce.barcode import (
    DESIGN,
    collect,
    how_made,
    keep_examples,
    main,
    make_model,
    read_samples,
    read_sheared,
    reduce,
    roles,
    shuffle,
)
from ovito_glassml.simulate.snapshots import Snapshot, provenance, read_frames, write_frames

SMALL = replace(DESIGN, environments=20, folds=2, first_trials=1, trials=1)


@pytest.fixture(scope="module")
def campaign(tmp_path_factory):
    """Three annealed runs and a sheared one, as far as names and headers go."""
    folder = tmp_path_factory.mktemp("campaign")
    samples = ule_glasses.samples()
    for number in (1, 2, 3):
        run = [sample for sample in samples if sample.run == f"shear-{number}"]
        made_by = provenance("anneal", {"atoms": len(run[0].structure), "quench_time": 100.0, "seed": number})
        headers = [{**made_by, "anneal_temperature": 500, "energy_per_atom": f"{one.energy:.8f}"} for one in run]
        frames = [
            Snapshot(sample.structure, {"Potential_Energy": sample.atom_energies}, header)
            for sample, header in zip(run, headers, strict=True)
        ]
        write_frames(folder / f"anneal-zr44cu56-{number}.xyz.gz", frames[:4])
    header = {"temperature": 300, "energy_per_atom": f"{run[4].energy:.8f}"}
    columns = {"Potential_Energy": run[4].atom_energies}
    write_frames(folder / "shear-zr44cu56-300K-1.xyz.gz", [Snapshot(run[4].structure, columns, header)])
    return folder


@pytest.fixture(scope="module")
def shipped(campaign, tmp_path_factory):
    folder = tmp_path_factory.mktemp("barcodes")
    said = []
    samples, sheared = read_samples(campaign, 1), read_sheared(campaign)
    collect(samples, folder, voronoi_indices, lambda fraction, text: said.append(text), SMALL)
    reduce(samples, folder, lambda fraction, text: None, SMALL)
    shuffle(samples, folder, lambda fraction, text: None, SMALL, seeds=(1, 2), every=1)
    how = how_made(campaign)
    path = make_model(samples, sheared, folder, folder, voronoi_indices, lambda fraction, text: None, SMALL, how)
    return folder, path, said


def test_runs_have_one_role_each():
    names = [f"anneal-zr44cu56-{number}" for number in range(1, 11)]
    names += ["anneal-zr44cu56-4000-101"]
    part = roles(np.repeat(names, 2))
    total = part.learned.astype(int) + part.kept_aside + part.large
    assert (total == 1).all()
    assert np.flatnonzero(part.kept_aside).tolist() == [0, 1, 2, 3]
    assert part.learned.sum() == 16
    with pytest.raises(TrainingError, match="1 annealed runs"):
        roles(["anneal-zr44cu56-1", "anneal-zr44cu56-4000-101"])


def test_samples_carry_what_was_done_to_them(campaign):
    samples, (sheared,) = read_samples(campaign, 1), read_sheared(campaign)
    assert len(samples) == 12
    thinned = read_samples(campaign)
    assert [one.energy for one in thinned] == [one.energy for one in samples[1::2]]
    assert samples[0].run == "anneal-zr44cu56-1"
    assert samples[0].kind == "500 K"
    assert sheared.kind == "sheared 300 K"
    assert samples[0].energy == pytest.approx(ule_glasses.samples()[0].energy, abs=1e-8)
    assert samples[0].atom_energies.mean() == pytest.approx(samples[0].energy, abs=1e-5)


def test_the_example_is_a_glass_that_nothing_is_learned_from(campaign, tmp_path):
    (frame,) = read_frames(keep_examples(campaign, tmp_path))
    assert [path.name for path in tmp_path.glob("shear-*")] == ["shear-zr44cu56-300K-1.xyz.gz"]
    samples = read_samples(campaign, 1)
    of_first_run = [sample.structure.positions for sample in samples if sample.run == "anneal-zr44cu56-1"]
    np.testing.assert_array_equal(frame.structure.positions, of_first_run[-1])
    assert not roles([sample.run for sample in samples]).learned[: len(of_first_run)].any()


def test_environments_come_from_runs_learned_from_and_rates_are_said(shipped):
    folder, _, said = shipped
    with np.load(folder / "ule-environments.npz") as archive:
        assert set(archive["structure"]) <= set(range(4, 12))
    assert any("a second" in text for text in said)


def test_larger_sets_match_more_atoms_and_archives_are_small(shipped):
    folder, _, _ = shipped
    tables = load_tables(folder / "ule-barcodes.npz")
    assert list(tables)[:4] == ["5", "10", "20", "40"]
    assert list(tables)[-1] == "all"
    matched = [table.matched.sum() for table in tables.values()]
    assert (np.diff(matched) > 0).all()
    assert (folder / "ule-barcodes.npz").stat().st_size < 50_000


def test_the_model_predicts_what_its_table_of_training_data_says(shipped, campaign):
    """The barcode that the modifier finds is the one that was learned from."""
    folder, path, _ = shipped
    model, samples = UleModel.load(path), read_samples(campaign, 1)
    table = load_tables(folder / "ule-barcodes.npz")["20"]
    for number in (1, 7, 11):
        counts = model.predict(samples[number].structure).counts
        # The model multiplies in single precision, which may decide for an atom between two environments.
        assert np.abs(counts - table.counts[number]).sum() <= 2
        assert counts.sum() > 200


def test_soft_energies_are_those_of_the_similarities_learned_from(shipped, campaign):
    folder, path, _ = shipped
    model, samples = UleModel.load(path), read_samples(campaign, 1)
    with np.load(folder / "ule-soft.npz") as saved, np.load(folder / "ule-environments.npz") as found:
        means, shares, order = saved["means"], saved["shares"], found["chosen_20"]
    predicted = model.energy.predict(means[:, order], shares)
    for number in (0, 6, 11):
        assert model.predict(samples[number].structure).energy == pytest.approx(predicted[number], abs=1e-6)


def test_the_card_judges_by_what_was_kept_aside(shipped):
    _, path, _ = shipped
    header = UleModel.load(path).header
    titles = [table.title for table in header.results]
    assert "Energies of annealed runs never trained on" in titles
    last = ["Number of environments", "Heterogeneity", "Energies of sheared samples", "Other orders of structures"]
    assert titles[-4:] == last
    assert header.architecture["energy"] == "linear similarity"
    assert header.training["samples"] == ["anneal-zr44cu56-2", "anneal-zr44cu56-3"]
    assert header.training["kept_aside"] == "anneal-zr44cu56-1"
    assert header.training["how"].endswith("quench time 100.0")
    assert header.training["core_hours"] == "not measured"
    methods = [row[0] for row in header.results[2].rows]
    assert methods == [
        "20 environments",
        "similarities with all environments",
        "trees on fractions of all environments",
        "trees on fractions of 20 environments",
        "constant",
        "share of icosahedra",
        "ridge on the mean SOAP row",
        "ridge on the fractions",
    ]
    by_atom = next(table for table in header.results if table.title.startswith("Energies of atoms"))
    for species, atoms, spread, error, correlation in by_atom.rows:
        assert species in ("Cu", "Zr")
        assert atoms == 500
        assert 0.5 < correlation < 1
        assert error == pytest.approx(spread * np.sqrt(1 - correlation**2), rel=0.3)
    assert path.with_suffix(".md").is_file()


def test_other_orders_are_selected_anew_and_compared(shipped):
    folder, path, _ = shipped
    first, second, spread = UleModel.load(path).header.results[-1].rows
    counts = np.array([first[1], second[1]])
    assert counts[0] != counts[1]
    assert spread[1] == f"{counts.std(ddof=1) / counts.mean():.1%}"
    assert spread[2] == pytest.approx(abs(first[2] - second[2]) / np.sqrt(2))
    with np.load(folder / "ule-environments.npz") as same:
        assert first[1] == len(same["rows"])


def test_barcodes_of_another_campaign_are_refused(shipped, campaign):
    folder, _, _ = shipped
    with pytest.raises(TrainingError, match="run the command collect again"):
        make_model(read_samples(campaign, 1)[:-1], [], folder, folder, voronoi_indices, lambda f, t: None, SMALL)


@pytest.mark.parametrize("arguments", [[], ["collect"], ["judge", "a", "b"], ["train", "a", "b"]])
def test_other_commands_are_refused(arguments):
    with pytest.raises(TrainingError, match="is none of: collect"):
        main(arguments, voronoi_indices)


def test_empty_campaigns_are_refused(tmp_path):
    with pytest.raises(TrainingError, match="holds no anneal"):
        read_samples(tmp_path)
