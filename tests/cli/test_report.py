"""A page about structures, on the command line."""

import re
import subprocess
import sys

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.cli import app
from ovito_glassml.errors import GlassMLError
from ovito_glassml.workflow.sample_data import sample_file

GLASS = "barriers/barriers-cu50zr50-2.xyz.gz"


def report(*arguments):
    return CliRunner().invoke(app, ["report", *map(str, arguments)])


def flat(path):
    rows = "".join(f"Cu {x} {y} 0\n" for x in range(6) for y in range(6))
    path.write_text(f'36\nLattice="6 0 0 0 6 0 0 0 6" Properties=species:S:1:pos:R:3\n{rows}')
    return path


def test_a_page_appears_and_what_is_left_out_is_said(tmp_path):
    files = [sample_file(GLASS), flat(tmp_path / "flat.xyz")]
    result = report(*files, "-o", tmp_path / "page.html", "--modifiers", "lasca, stiffness")
    assert result.exit_code == 0, result.output
    assert f"Wrote {tmp_path / 'page.html'}; open it in a browser." in result.output
    assert "flat is left out: " in result.output
    assert {file.name for file in tmp_path.iterdir()} - {".page.html.lock"} == {"flat.xyz", "page.html"}


def test_moduli_stand_on_the_page_when_asked_for(tmp_path):
    corners = np.stack(np.meshgrid(*[np.arange(3)] * 3), axis=-1).reshape(-1, 1, 3)
    basis = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    places = 3.64 * (corners + basis).reshape(-1, 3)
    rows = "".join(f"Cu {x} {y} {z}\n" for x, y, z in places)
    header = 'Lattice="10.92 0 0 0 10.92 0 0 0 10.92" Properties=species:S:1:pos:R:3'
    (tmp_path / "copper.xyz").write_text(f"108\n{header}\n{rows}")
    command = (tmp_path / "copper.xyz", "-o", tmp_path / "page.html", "--modifiers", "lasca", "--material", "cu-zr")
    result = report(*command, "--elastic")
    assert result.exit_code == 0, result.output
    text = (tmp_path / "page.html").read_text(encoding="utf-8")
    moduli = re.search(r"Shear modulus</th><td>(\S+) GPa, from (\S+) to (\S+) by direction", text)
    # As measured of copper at 0 K: (C11 − C12 + 3 C44) / 5, (C11 − C12) / 2 and C44.
    assert [float(one) for one in moduli.groups()] == pytest.approx([59, 26, 82], rel=0.15)
    assert "averages over the directions of a crystal" in text


def test_nothing_usable_ends_in_one_sentence_and_status_2(tmp_path):
    command = [sys.executable, "-m", "ovito_glassml", "report", flat(tmp_path / "flat.xyz"), "-o", "page.html"]
    ended = subprocess.run(list(map(str, command)), cwd=tmp_path, capture_output=True, text=True, timeout=200)
    assert ended.returncode == 2
    assert "Traceback" not in ended.stderr
    assert sum(line.startswith("glassml: flat: ") for line in ended.stderr.splitlines()) == 1
    assert not (tmp_path / "page.html").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["{folder}/missing.xyz"], "No file matches"),
        (["{glass}", "--modifiers", "hardness"], "There is no modifier 'hardness' for a page; choose from rdf, "),
        (["{glass}", "--modifiers", "evaluate"], "There is no modifier 'evaluate'"),
        (["{glass}", "-o", "{folder}/page.pdf"], "must end in .html"),
        (["{glass}", "-o", "{folder}/nowhere/page.html"], "does not exist; create it first"),
        (["{glass}", "-o", "{folder}/there.html"], "exists already; give the new page another name"),
        (["{glass}", "-o", "{folder}/page.html", "--compare"], "--compare needs two files"),
        (["{glass}", "-o", "{folder}/page.html", "--material", "unobtainium"], "There is no material 'unobtainium'"),
    ],
)
def test_mistakes_are_one_sentence(arguments, sentence, tmp_path):
    (tmp_path / "there.html").write_text("mine")
    given = [argument.format(folder=tmp_path, glass=sample_file(GLASS)) for argument in arguments]
    result = report(*given)
    assert isinstance(result.exception, GlassMLError)
    assert sentence in str(result.exception)
    assert (tmp_path / "there.html").read_text() == "mine"
    assert not (tmp_path / "page.html").exists()


def test_modifiers_start_without_the_template_engine():
    code = "import sys, ovito_glassml.modifiers.lasca, ovito_glassml.cli; sys.exit('jinja2' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=200).returncode == 0
