"""Columns of descriptors are those of a whole run, although the set of types changes between its frames."""

from functools import partial

import numpy as np
import pytest

from ovito_glassml import (
    ACEDescriptorsModifier,
    BesselDescriptorsModifier,
    EvaluatePredictionModifier,
    RDFDescriptorsModifier,
    SOAPDescriptorsModifier,
)
from ovito_glassml.adapter.files import open_trajectory

FAMILIES = {
    "RDF Descriptors": partial(RDFDescriptorsModifier, partial=True),
    "Bessel Descriptors": partial(BesselDescriptorsModifier, shells=0),
    "SOAP Descriptors": partial(SOAPDescriptorsModifier, n_max=3, l_max=3, rbf="gto"),
    "ACE Descriptors": partial(ACEDescriptorsModifier, cutoff=5.0, degree=4.0),
}

#: Types of the atoms in each frame.
RUNS = {
    "deposition": ["1111", "1111", "11112", "1111223"],
    "loss": ["1123", "112", "11"],
    "groups": ["1133", "1133", "11223"],
    "empty first frame": ["", "11223", "1123"],
    "empty last frame": ["1123", "11", ""],
}

NAMES = {"1": "Zr", "2": "Cu", "3": "Al"}


def dump(file, run, *, named):
    """A trajectory as LAMMPS writes it, with an element column or without."""
    rng = np.random.default_rng(5)
    sites = 3.0 * np.stack(np.meshgrid(*[range(2)] * 3), -1).reshape(-1, 3) + rng.uniform(0, 0.5, (8, 3))
    text = ""
    for step, types in enumerate(run):
        text += f"ITEM: TIMESTEP\n{step}\nITEM: NUMBER OF ATOMS\n{len(types)}\nITEM: BOX BOUNDS pp pp pp\n"
        text += "0 6\n" * 3 + f"ITEM: ATOMS id type {'element ' if named else ''}x y z\n"
        for number, (kind, (x, y, z)) in enumerate(zip(types, sites, strict=False), start=1):
            text += f"{number} {kind} {NAMES[kind] + ' ' if named else ''}{x} {y} {z}\n"
    file.write_text(text)
    return open_trajectory(file)


def columns(line, frame, name):
    return line.compute(frame).particles[name].component_names


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("run", RUNS)
def test_all_frames_have_the_same_columns(tmp_path, run, name):
    """In any order of frames, also where a process begins in the middle."""
    for named in (True, False) if name != "RDF Descriptors" else (True,):
        lines = [dump(tmp_path / f"{k}.dump", RUNS[run], named=named) for k in range(2)]
        for line in lines:
            line.modifiers.append(FAMILIES[name]())
        found = {columns(lines[0], frame, name) for frame in range(len(RUNS[run]))}
        found |= {columns(lines[1], frame, name) for frame in reversed(range(len(RUNS[run])))}
        assert len(found) == 1


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("run", RUNS)
def test_given_names_make_the_columns_of_every_frame(tmp_path, run, name):
    """And mean the same types in every frame."""
    named, given = (dump(tmp_path / f"{k}.dump", RUNS[run], named=k == 0) for k in range(2))
    named.modifiers.append(FAMILIES[name]())
    given.modifiers.append(FAMILIES[name](species="Zr,Cu,Al"))
    for frame in range(len(RUNS[run])):
        expected, found = (line.compute(frame).particles[name] for line in (named, given))
        assert found.component_names == expected.component_names
        np.testing.assert_array_equal(found, expected)


def test_a_type_that_neither_end_of_the_run_has_is_said_once(tmp_path, capsys):
    line = dump(tmp_path / "run.dump", ["11", "112", "112", "11"], named=True)
    line.modifiers.append(FAMILIES["Bessel Descriptors"]())
    for frame in (0, 1, 2, 3):
        line.compute(frame)
    assert capsys.readouterr().out.count("neither the first nor the last frame has Cu; give species") == 1


def test_scores_have_the_same_names_in_every_frame(tmp_path):
    line = dump(tmp_path / "run.dump", RUNS["deposition"], named=True)
    line.modifiers.append(EvaluatePredictionModifier(predicted="Position.X", true="Position.Y"))
    names = [{key for key in line.compute(frame).attributes if "." in key} for frame in (3, 0)]
    assert names[0] == names[1]
    assert "EvaluatePrediction.count.Al" in names[1]
