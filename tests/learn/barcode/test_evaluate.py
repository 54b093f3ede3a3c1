"""Scores of energies, rivals whose answer is known, and heterogeneity of kinds of samples."""

from dataclasses import replace

import numpy as np
import pytest
import ule_glasses
from ule_barcodes import planted

from ovito_glassml.learn.barcode.evaluate import (
    energy_score,
    energy_table,
    group_fractions,
    heterogeneity_table,
    heterogeneity_values,
    rival_predictions,
)
from ovito_glassml.learn.barcode.model import ReferenceBarcode
from ovito_glassml.learn.units import METAL


def test_scores_of_simple_predictions():
    energies = np.array([-4.0, -4.1, -4.2, -4.3])
    assert energy_score(energies + 0.001, energies) == pytest.approx((1, 1, 1 - 1e-6 / energies.var()))
    error, bias, explained = energy_score(np.full(4, energies.mean()), energies)
    assert error == pytest.approx(1000 * energies.std())
    assert (bias, explained) == pytest.approx((0, 0))
    table = energy_table("Energies", {"constant": np.full(4, energies.mean())}, energies, units=METAL)
    assert table.columns[1] == "RMSE (meV/atom)"
    assert table.rows[0][0] == "constant"


def test_rivals_are_judged_on_what_they_know():
    """The energy is linear in the fractions, and the share of icosahedra is a linear function of one of them."""
    learned, tested = planted(atoms=60_000), planted(seed=2, runs=2)
    errors = {name: energy_score(one, tested.energies)[0] for name, one in rival_predictions(learned, tested).items()}
    spread = 1000 * tested.energies.std()
    assert errors["constant"] == pytest.approx(spread, rel=0.1)
    assert errors["ridge on the mean SOAP row"] < 0.01 * spread
    assert errors["ridge on the fractions"] < 0.3 * spread
    assert errors["ridge on the fractions"] < errors["share of icosahedra"] < 0.7 * errors["constant"]


def test_groups_sum_to_one_and_icosahedra_are_among_kasper_s():
    voronoi = np.array([[0, 0, 12, 0, 0, 0], [0, 2, 8, 2, 0, 0], [1, 3, 5, 3, 0, 0]])
    sums = group_fractions(np.array([[0.2, 0.3, 0.5]]), voronoi, np.array([1, 1, 2]))
    assert [float(one[0]) for one in sums.values()] == pytest.approx([0.5, 0.5, 0.2])


def test_kinds_that_deviate_are_told_from_those_that_do_not():
    """Draws from the reference of a model, half of them with the fractions of a few environments exchanged."""
    model = ule_glasses.model()
    shares = model.reference.fractions[0]
    reference = ReferenceBarcode(np.array([-4.0]), shares[None], np.array([1e9]))
    rng = np.random.default_rng(4)
    other = shares.copy()
    members = np.flatnonzero(model.groups == 2)
    other[members] = np.roll(shares[members], 1)
    draws = [rng.multinomial(2000, one) for one in [shares] * 60 + [other] * 60]
    table = planted(runs=4, each=30)
    table = replace(table, counts=np.array(draws, dtype=np.int32), kinds=np.repeat(["thermal", "sheared"], 60))
    judged = replace(model, reference=reference)
    z = heterogeneity_values(judged, table)[:, 0]
    assert abs(z[:60].mean()) < 0.5
    assert z[60:].min() > 5
    rows = {row[0]: row for row in heterogeneity_table(judged, table, "Heterogeneity").rows}
    assert rows["thermal"][1:3] == (2, 60)
    assert rows["sheared"][4] == pytest.approx(z[60:].mean())
    assert rows["sheared"][5] == pytest.approx(abs(z[60:90].mean() - z[90:].mean()) / 2)
