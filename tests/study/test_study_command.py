"""`glassml study activity` as a user meets it."""

import sys

import pytest
from study_mixtures import heated, sheared, write

import ovito_glassml.cli as cli
from ovito_glassml.study import activity

pytest.importorskip("sklearn", reason="needs the extra train")

SETTINGS = ["--nearest", "1", "--cutoff", "2.5", "--cutoffs", "2.5", "--n-max", "2", "--degree", "2"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("labelled")
    for number in range(3):
        write(folder / f"shear-{number}.xyz.gz", [sheared(2 * number), sheared(2 * number + 1)])
        structure, columns = heated(number, runs=2)
        write(folder / f"thermal-{number}.xyz.gz", [(structure, columns)])
    structure, columns = sheared(9)
    write(folder / "plain.xyz.gz", [(structure, {})])
    write(folder / "lazy-1.xyz.gz", [(structure, {"Activity": columns["Activity"].clip(max=0)})])
    write(folder / "lazy-2.xyz.gz", [(structure, {"Activity": columns["Activity"].clip(max=0)})])
    return folder


def glassml(monkeypatch, *arguments):
    """Exit status of the command."""
    monkeypatch.setattr(sys, "argv", ["glassml", *map(str, arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    return stopped.value.code


def test_a_killed_study_goes_on_where_it_was(folder, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(activity, "STRENGTHS", (1e-2,))
    monkeypatch.setattr(activity, "DRAWS", 1)
    original, described = activity.describe, []

    def describe(samples, descriptor, progress):
        described.append(descriptor)
        if len(described) == 2:
            raise KeyboardInterrupt
        return original(samples, descriptor, progress)

    monkeypatch.setattr(activity, "describe", describe)
    output = tmp_path / "study"
    arguments = ["study", "activity", "--thermal", f"{folder}/thermal-*", "-o", output, *SETTINGS]
    assert glassml(monkeypatch, *arguments) == 130
    assert [file.name for file in (output / "numbers").iterdir()] == ["thermal-accuracy-2.5.npz"]
    kept = (output / "numbers" / "thermal-accuracy-2.5.npz").stat().st_mtime_ns

    assert glassml(monkeypatch, *arguments) == 0
    printed = capsys.readouterr().out
    assert (output / "numbers" / "thermal-accuracy-2.5.npz").stat().st_mtime_ns == kept
    assert (output / "findings.md").read_text() in printed
    assert "3 configurations, 3 structures" in printed
    assert str(output / "accuracy.png") in printed.splitlines()
    assert {file.suffix for file in output.iterdir()} == {"", ".png", ".csv", ".md"}


@pytest.mark.parametrize(
    ("arguments", "fragment"),
    [
        ([], "nothing to study"),
        (["--shear", "{folder}/missing-*.xyz"], "No file matches"),
        (["--shear", "{folder}/shear-0.xyz.gz"], "a single configuration"),
        (["--shear", "{folder}/shear-*.gz", "--thermal", "{folder}/plain.xyz.gz"], "neither a column 'Activity'"),
        (["--shear", "{folder}/lazy-*.gz"], "0 active A atoms"),
        (["--shear", "{folder}/shear-*.gz", "--active-species", "Zr"], "no Zr atoms"),
        (["--shear", "{folder}/shear-*.gz", "--active-species", "B"], "No B atom of the shear data is labelled"),
        (["--shear", "{folder}/shear-*.gz", "--cutoffs", "2,far"], "'far' is no number"),
        (["--shear", "{folder}/shear-*.gz", "--cutoff", "-1"], "cutoff is -1"),
        (["--shear", "{folder}/shear-*.gz", "-o", "{folder}/plain.xyz.gz"], "is a file; name a folder"),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(arguments, fragment, folder, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    given = [text.format(folder=folder) for text in arguments]
    assert glassml(monkeypatch, "study", "activity", "-o", "study", "--nearest", "1", *given) == 2
    errors = capsys.readouterr().err
    sentences = [line for line in errors.splitlines() if line.startswith("glassml: ")]
    assert len(sentences) == 1
    assert fragment in sentences[0]
    assert list(tmp_path.iterdir()) == []
