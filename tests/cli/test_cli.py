"""The command line as a stranger meets it."""

import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import ovito_glassml.cli as cli
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.learn.format import list_models
from ovito_glassml.workflow.sample_data import sample_file

GLASS = "stiffness/vibrations-cu50zr50-1e12-1.xyz.gz"


def glassml(*arguments, cwd=None, **options):
    """Run the installed command in a process of its own."""
    command = [sys.executable, "-m", "ovito_glassml", *map(str, arguments)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=200, **options)


def refused(result, *fragments):
    """Status 2 and one sentence that holds the fragments, no traceback."""
    assert result.returncode == 2, result.stderr
    assert "Traceback" not in result.stderr
    sentences = [line for line in result.stderr.splitlines() if line.startswith("glassml: ")]
    assert len(sentences) == 1, result.stderr
    for fragment in fragments:
        assert fragment in sentences[0]


@pytest.fixture(scope="module")
def glass():
    return sample_file(GLASS)


@pytest.fixture(scope="module")
def small_dump(tmp_path_factory):
    """Two frames of a rattled B2 crystal with unnamed types, as LAMMPS writes them."""
    file = tmp_path_factory.mktemp("dump") / "small.dump"
    rng = np.random.default_rng(2)
    cells = np.stack(np.meshgrid(*[np.arange(6)] * 3, indexing="ij"), -1).reshape(-1, 3)
    crystal = np.concatenate([cells, cells + 0.5]) * 3.27
    kinds = np.repeat([1, 2], len(cells))
    with open(file, "w") as sink:
        for frame in range(2):
            positions = crystal + rng.normal(0, 0.05, crystal.shape)
            sink.write(f"ITEM: TIMESTEP\n{frame}\nITEM: NUMBER OF ATOMS\n{len(kinds)}\n")
            sink.write("ITEM: BOX BOUNDS pp pp pp\n" + "0 19.62\n" * 3 + "ITEM: ATOMS id type x y z\n")
            for number, (kind, (x, y, z)) in enumerate(zip(kinds, positions, strict=True), start=1):
                sink.write(f"{number} {kind} {x:.5f} {y:.5f} {z:.5f}\n")
    return file


def test_help_drops_nothing_in_brackets():
    assert "[[job]]" in (said := " ".join(glassml("simulate", "campaign", "--help").stdout.split()))
    assert "ovito- glassml[cluster]" in said or "ovito-glassml[cluster]" in said


def test_apply_annotates_a_file_in_an_empty_folder(glass, tmp_path):
    result = glassml("apply", glass, "--modifier", "stiffness", "-o", "soft.xyz", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "PredictedStiffness.mean" in result.stdout
    data = open_trajectory(str(tmp_path / "soft.xyz")).compute()
    assert data.particles.count == 4000
    assert np.isfinite(data.particles["PredictedStiffness"]).all()
    assert [path.name for path in tmp_path.iterdir()] == ["soft.xyz"]


def test_apply_runs_over_all_frames_with_names_for_unnamed_types(small_dump, tmp_path):
    output, table = tmp_path / "out.dump.gz", tmp_path / "attributes.csv"
    result = glassml(
        "apply", small_dump, "-m", "rdf", "-m", "stiffness", "--species", "Cu,Zr", "-o", output, "--attributes", table
    )
    assert result.returncode == 0, result.stderr
    assert "Wrote 2 frames" in result.stdout
    pipeline = open_trajectory(str(output))
    assert pipeline.num_frames == 2
    assert len(table.read_text().splitlines()) == 3
    assert "PredictedStiffness.extrapolating_fraction" in table.read_text().splitlines()[0]


def test_names_of_types_do_no_harm_to_what_needs_none(small_dump, tmp_path):
    for name in ("lasca", "vibrations"):
        result = glassml("apply", small_dump, "-m", name, "--species", "Cu,Zr", "-o", tmp_path / "o.xyz")
        assert result.returncode == 0, result.stderr


def test_frames_can_be_chosen(small_dump, tmp_path):
    result = glassml("apply", small_dump, "-m", "rdf", "--species", "Cu,Zr", "--frames", "1", "-o", tmp_path / "o.xyz")
    assert "Wrote 1 frame to" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["apply", "missing.xyz", "-m", "stiffness", "-o", "o.xyz"], ["missing.xyz does not exist"]),
        (["apply", "{dump}", "-m", "softness", "-o", "o.xyz"], ["no modifier 'softness'", "stiffness"]),
        (["apply", "{dump}", "-m", "stiffness", "-o", "o.png"], ["o.png has no known ending", ".xyz"]),
        (["apply", "{dump}", "-m", "stiffness", "-o", "nowhere/o.xyz"], ["nowhere does not exist"]),
        (["apply", "{dump}", "-m", "rdf", "--set", "cut=3", "-o", "o.xyz"], ["no parameter 'cut'"]),
        (["apply", "{dump}", "-m", "rdf", "--set", "cut", "-o", "o.xyz"], ["--set name=value"]),
        (["apply", "{dump}", "-m", "rdf", "--frames", "9:", "-o", "o.xyz"], ["No frame is selected"]),
        (["apply", "{dump}", "-m", "rdf", "--frames", "a", "-o", "o.xyz"], ["START:STOP:STEP"]),
        (["apply", "{dump}", "-m", "stiffness", "-o", "o.xyz"], ["species"]),
        (["apply", "{dump}", "-m", "stiffness", "--species", "Cu,Xx", "-o", "o.xyz"], ["Xx"]),
        (["apply", "{dump}", "-m", "stiffness", "--species", "Cu,Zr", "--model", "nix", "-o", "o.xyz"], ["nix"]),
        (["apply", "{junk}", "-m", "stiffness", "-o", "o.xyz"], ["junk.txt cannot be read"]),
        (["apply", "{dump}", "-m", "vibrations", "--set", "number_of_frames=9", "-o", "o.xyz"], ["window of 9 frames"]),
        (["models", "show", "nix"], ["nix"]),
        (["simulate", "quench", "-o", "glass.xyz"], ["must end in .xyz.gz"]),
        (["simulate", "quench", "-o", "glass.xyz.gz", "--composition", "CuZr"], ["write it like Cu50Zr50"]),
        (["simulate", "quench", "-o", "glass.xyz.gz", "--preset", "huge"], ["no preset 'huge'"]),
        (["simulate", "campaign", "missing.toml"], ["missing.toml cannot be read"]),
    ],
)
def test_wrong_input_is_one_sentence_and_leaves_nothing(
    arguments, fragments, small_dump, tmp_path, monkeypatch, capsys
):
    (tmp_path / "junk.txt").write_text("no structure\nat all\n")
    places = {"dump": str(small_dump), "junk": str(tmp_path / "junk.txt")}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["glassml", *(text.format(**places) for text in arguments)])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    captured = capsys.readouterr()
    refused(subprocess.CompletedProcess(arguments, stopped.value.code, captured.out, captured.err), *fragments)
    assert [path.name for path in tmp_path.iterdir()] == ["junk.txt"]


def test_an_interrupted_run_leaves_nothing_that_looks_whole(glass, tmp_path):
    command = [sys.executable, "-m", "ovito_glassml", "apply", *[str(glass)] * 200, "-m", "rdf", "-o", "out.xyz"]
    process = subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not list(tmp_path.glob(".out.xyz*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    assert process.wait(30) == 130
    assert process.stderr.read().splitlines()[-1].startswith("Stopped. The same command begins anew")
    assert list(tmp_path.iterdir()) == []


def test_models_are_listed_and_their_cards_printed():
    listing = glassml("models", env={**os.environ, "COLUMNS": "80"})
    assert all(name in listing.stdout.split() for name in list_models())
    card = glassml("models", "show", "stiffness-cuzr").stdout
    for word in ("Held-out results", "eV/Å²", "Cu50Zr50", "MIT"):
        assert word in card


def test_the_demo_predicts_draws_and_says_what_to_open(tmp_path):
    result = glassml("demo", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "model stiffness-cuzr, a glass" in result.stdout
    assert sorted(path.name for path in (tmp_path / "glassml-demo").iterdir()) == ["glass.xyz", "stiffness.png"]
    assert "Pearson correlation atom by atom" in result.stdout
    assert "glassml-demo/glass.xyz" in result.stdout


def test_the_demo_works_without_a_renderer(tmp_path):
    nowhere = {"VK_DRIVER_FILES": "/nonexistent", "VK_ICD_FILENAMES": "/nonexistent"}
    result = glassml("demo", cwd=tmp_path, env={**os.environ, **nowhere})
    assert result.returncode == 0, result.stderr
    assert "mesa-vulkan-drivers" in result.stdout
    assert (tmp_path / "glassml-demo" / "stiffness.png").stat().st_size > 20_000


def test_a_bar_says_that_code_is_compiled_until_it_is_full():
    from rich.progress import Progress

    from ovito_glassml.cli.common import _Description
    from ovito_glassml.compile import compile_clock

    column = _Description("{task.description}")
    with Progress(column, disable=True) as bar:
        bar.add_task("Frame 1 of 1", total=1.0)
        (task,) = bar.tasks
        assert column.render(task).plain == "Frame 1 of 1"
        with compile_clock():
            time.sleep(0.7)
            assert column.render(task).plain == "Frame 1 of 1, compiling once"
            bar.update(task.id, completed=1.0)
            assert column.render(task).plain == "Frame 1 of 1"
