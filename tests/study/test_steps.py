"""Pieces of long work: kept, found again, and made anew when something has changed."""

import numpy as np
import pytest

from ovito_glassml.study.steps import Step, digest_of, run_steps


def silent(fraction, text):
    pass


def counted(calls, name, value, **inputs):
    def compute(progress):
        calls.append(name)
        progress(0.5, "half")
        return {"value": np.array([value]), "names": np.array(["B_n1", "A_n1"])}

    return Step(name, inputs, compute)


def test_finished_pieces_are_not_computed_again(tmp_path):
    calls = []
    first = run_steps([counted(calls, "one", 1), counted(calls, "two", 2)], tmp_path, silent)
    again = run_steps([counted(calls, "one", 8), counted(calls, "two", 9)], tmp_path, silent)
    assert calls == ["one", "two"]
    assert [again[name]["value"][0] for name in ("one", "two")] == [1, 2] == [first[n]["value"][0] for n in first]
    assert again["one"]["names"].tolist() == ["B_n1", "A_n1"]


def test_other_inputs_make_a_piece_anew(tmp_path):
    calls = []
    run_steps([counted(calls, "one", 1, cutoff=4.0), counted(calls, "two", 2, cutoff=4.0)], tmp_path, silent)
    run_steps([counted(calls, "one", 1, cutoff=5.0), counted(calls, "two", 2, cutoff=4.0)], tmp_path, silent)
    assert calls == ["one", "two", "one"]


def test_a_stopped_run_loses_only_the_piece_it_was_at(tmp_path):
    calls = []
    steps = [counted(calls, name, 1) for name in ("one", "two", "three")]

    def impatient(fraction, text):
        if text == "two: half":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_steps(steps, tmp_path, impatient)
    run_steps(steps, tmp_path, silent)
    assert calls == ["one", "two", "two", "three"]
    assert sorted(file.name for file in tmp_path.iterdir()) == ["one.npz", "three.npz", "two.npz"]


def test_a_damaged_piece_is_made_anew(tmp_path):
    calls = []
    run_steps([counted(calls, "one", 1)], tmp_path, silent)
    whole = (tmp_path / "one.npz").read_bytes()
    for damaged in (whole[: len(whole) // 2], b"", b"no archive at all"):
        (tmp_path / "one.npz").write_bytes(damaged)
        assert run_steps([counted(calls, "one", 1)], tmp_path, silent)["one"]["value"][0] == 1
    assert len(calls) == 4


def test_progress_counts_only_what_is_left(tmp_path):
    calls, seen = [], []
    steps = [counted(calls, name, 1) for name in ("one", "two", "three")]
    run_steps(steps[:1], tmp_path, silent)
    run_steps(steps, tmp_path, lambda fraction, text: seen.append(fraction))
    assert seen == [0.0, 0.25, 0.5, 0.75]


def test_digest_changes_with_names_contents_and_text(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).write_text("same")
    one, two = tmp_path / "a", tmp_path / "b"
    digests = {digest_of([one]), digest_of([two]), digest_of([one, two]), digest_of([two, one]), digest_of([one], "A")}
    one.write_text("other")
    assert len(digests | {digest_of([one])}) == 6
