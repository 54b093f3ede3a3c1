"""Kernels of saddle searches for a graphics processor, run on the processor, against its own searches."""

import numpy as np
import pytest

from ovito_glassml.errors import SimulationError
from ovito_glassml.simulate.device.many_saddles import Searcher
from ovito_glassml.simulate.local_forces import Surroundings, read_tables
from ovito_glassml.simulate.material import load_material
from ovito_glassml.simulate.protocols.barriers import BarrierSettings, barriers, minimised, search_atom, search_atoms
from ovito_glassml.simulate.saddle_search import CONNECTED, FAILED, SearchSettings, search
from ovito_glassml.simulate.snapshots import read_snapshot

#: The glass_box is small enough for the yielding region to be all of it, as on a card.
SETTINGS = BarrierSettings(events=4, searches=6, seed=5, region_reach=7.0 / 2.7, yielding_reach=18.0 / 2.7)
ATOMS = [3, 40, 111, 222, 300, 333]


@pytest.fixture(scope="module")
def glass(glass_box):
    tables = read_tables(load_material("cu-zr"))
    lengths = np.diag(np.asarray(glass_box.cell))
    return minimised(Surroundings(tables, glass_box.positions, glass_box.species, lengths))[0]


@pytest.fixture(scope="module")
def on_card(glass, processor):
    return list(search_atoms(glass, ATOMS, SETTINGS, processor))


def test_the_same_pushes_lead_to_the_same_saddles(glass, on_card):
    agreeing = compared = 0
    for atom, (outcomes, heights) in zip(ATOMS, on_card, strict=True):
        expected, barriers_here = search_atom(glass, atom, SETTINGS)
        done = (outcomes > 0) & (expected > 0)
        # The box is cut out of a glass and strained; searches that fall into lower valleys go any way.
        done &= (expected > FAILED) & (barriers_here > 0)
        compared += np.count_nonzero(done)
        agreeing += np.count_nonzero(np.abs(heights - barriers_here)[done] < 0.01)
    assert compared >= 8
    # Rounding sends searches on the edge between valleys either way; by chance one in a hundred would agree.
    assert agreeing >= 0.5 * compared


def test_searches_end_with_the_last_event(on_card):
    for outcomes, heights in on_card:
        connected = outcomes >= CONNECTED
        assert connected.sum() <= SETTINGS.events
        if connected.sum() == SETTINGS.events:
            assert not outcomes[np.flatnonzero(connected)[-1] + 1 :].any()
        else:
            assert outcomes.all()
        np.testing.assert_array_equal(np.isfinite(heights), outcomes > FAILED)
        assert heights[connected].min(initial=np.inf) > 0


def test_a_vacancy_in_copper_migrates_as_on_the_processor(processor):
    edge = 5 * 3.639
    corners = np.stack(np.meshgrid(*[range(5)] * 3, indexing="ij"), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    positions = 3.639 * (corners + basis).reshape(-1, 3)
    hole, positions = positions[200], np.delete(positions, 200, axis=0)
    tables = read_tables(load_material("cu-zr"))
    crystal = minimised(Surroundings(tables, positions, np.zeros(len(positions), int), np.full(3, edge)))[0]
    ways = crystal.shortest(hole - crystal.positions)
    atom = int(np.linalg.norm(ways, axis=1).argmin())
    searcher = Searcher(crystal, [atom], 1.0, 7.0, processor)
    found, again = searcher.search(np.zeros(2, dtype=int), np.array([ways[[atom]], 3 * ways[[atom]]]))
    mobile, field = crystal.around(atom, 30.0)
    direction = np.zeros((len(mobile), 3))
    direction[0] = ways[atom]
    expected = search(field, crystal.positions[mobile], direction, SearchSettings())
    assert found.outcome == expected.outcome == CONNECTED
    assert found.barrier == pytest.approx(expected.barrier, abs=0.003)
    assert 20 < found.calls < 300
    # The length of a push does not matter, and the two are the same event.
    assert again.barrier == pytest.approx(found.barrier, abs=1e-6)
    assert found.resembles(again, 1e-3, 0.15)
    half = np.linalg.norm(found.displacements[0])
    assert half == pytest.approx(np.linalg.norm(ways[atom]) / 2, abs=0.05)


def test_labels_of_a_card_are_written_as_such(glass_box, processor, tmp_path):
    file = tmp_path / "labels.xyz.gz"
    settings = BarrierSettings(
        events=2, searches=4, seed=2, region_reach=7.0 / 2.7, yielding_reach=9.0 / 2.7, labelled=3
    )
    reports = []
    barriers(
        load_material("cu-zr"),
        glass_box,
        settings,
        file,
        lambda fraction, text: reports.append(fraction),
        device=processor,
    )
    snapshot = read_snapshot(file)
    assert snapshot.header["engine"] == "many_saddles"
    assert np.count_nonzero(snapshot.columns["Searches"]) == 3
    assert reports[-1] == 1.0
    for kind in ("Searches", "Disconnected_Searches"):
        assert int(snapshot.header[kind.lower()]) == snapshot.columns[kind].sum()


def test_a_cell_that_is_no_cube_is_refused(glass, processor):
    lengths = glass.lengths * [1, 1, 1.2]
    wide = Surroundings(glass.tables, glass.positions, glass.kinds, lengths)
    with pytest.raises(SimulationError, match="need a cubic cell"):
        Searcher(wide, [0], 3.6, 7.0, processor)


def test_different_saddles_do_not_resemble_each_other(glass, processor):
    searcher = Searcher(glass, ATOMS[:1], 3.6, 7.0, processor)
    push = np.random.default_rng(1).normal(size=(1, int(searcher.pushed[0]), 3))
    (one,) = searcher.search(np.zeros(1, dtype=int), push)
    moved = one._replace(displacements=one.displacements + np.array([0.2, 0, 0], dtype=np.float32))
    higher = one._replace(barrier=one.barrier + 0.01)
    assert one.resembles(one, 1e-3, 0.15)
    assert not one.resembles(moved, 1e-3, 0.15)
    assert not one.resembles(higher, 1e-3, 0.15)
