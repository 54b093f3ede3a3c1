"""Barcodes of samples, their archive, and samples that make no sense."""

from dataclasses import replace

import numpy as np
import pytest
import ule_glasses
from ule_barcodes import planted

from ovito_glassml.adapter.voronoi import voronoi_indices
from ovito_glassml.errors import TrainingError
from ovito_glassml.learn.barcode.data import UleSample, describe_samples, load_tables, save_tables
from ovito_glassml.learn.barcode.environments import normalised, select_environments
from ovito_glassml.learn.barcode.train import UleDesign, soap_for
from ovito_glassml.structure import Structure


def test_atoms_are_counted_in_several_sets_at_once():
    samples = ule_glasses.samples()[:2]
    descriptor = soap_for([sample.structure for sample in samples], UleDesign())
    every = select_environments([sample.structure for sample in samples], descriptor, share=1.0)
    half = every.subset(np.arange(0, len(every), 2))
    first, second = describe_samples(samples, descriptor, [every, half], voronoi_indices)
    np.testing.assert_array_equal(first.matched, first.atoms)
    assert (second.matched < second.atoms).all()
    rows = normalised(descriptor.compute(samples[1].structure))
    assigned = half.assign(rows)
    np.testing.assert_array_equal(second.counts[1], np.bincount(assigned[assigned >= 0], minlength=len(half)))
    np.testing.assert_allclose(first.mean_rows[1], rows.mean(axis=0), atol=1e-5)
    faces = voronoi_indices(samples[0].structure)
    assert first.icosahedra[0] == np.mean([tuple(one) == (0, 0, 12, 0, 0, 0) for one in faces])
    (without,) = describe_samples(samples[:1], descriptor, [half])
    assert np.isnan(without.icosahedra).all()
    assert first.energies.tolist() == [sample.energy for sample in samples]


def test_fractions_are_of_matched_atoms_and_zero_without_any():
    table = planted(runs=1, each=2)
    empty = replace(table, counts=table.counts * np.array([[1], [0]], dtype=np.int32))
    np.testing.assert_allclose(empty.fractions.sum(axis=1), [1, 0])


def test_archives_give_back_what_was_saved(tmp_path):
    tables = {"5": planted(environments=10), "40": planted(seed=1)}
    save_tables(tmp_path / "barcodes.npz", tables)
    again = load_tables(tmp_path / "barcodes.npz")
    assert list(again) == ["5", "40"]
    for name, table in tables.items():
        np.testing.assert_array_equal(again[name].counts, table.counts)
    np.testing.assert_array_equal(again["5"].energies, tables["5"].energies)
    assert again["40"].runs.tolist() == tables["5"].runs.tolist()


def test_other_files_are_refused(tmp_path):
    (tmp_path / "other.npz").write_bytes(b"nothing")
    np.savez(tmp_path / "alien.npz", counts_5=np.zeros((2, 2)))
    for name in ("other.npz", "alien.npz", "missing.npz"):
        with pytest.raises(TrainingError, match="no archive of barcodes"):
            load_tables(tmp_path / name)


def test_principal_rows_keep_what_a_linear_model_needs():
    table = planted()
    learned = np.arange(len(table)) < 100
    small = table.with_principal_rows(learned, 40)
    assert small.mean_rows.shape == (len(table), 40)
    before, after = (np.linalg.norm(one.mean_rows[3] - one.mean_rows[50]) for one in (table, small))
    assert after == pytest.approx(before, rel=1e-3)


def test_senseless_samples_are_refused():
    structure = ule_glasses.samples()[0].structure
    empty = Structure(np.empty((0, 3)), species_names=("Cu",))
    for samples, message in (
        ([], "no samples"),
        ([UleSample(structure, float("nan"), "a")], "energy nan"),
        ([UleSample(empty, -4.0, "a")], "no atoms"),
    ):
        with pytest.raises(TrainingError, match=message):
            describe_samples(samples, soap_for([structure], UleDesign(cutoff=5.0)), [], voronoi_indices)
