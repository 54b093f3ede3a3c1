"""What a user has to know is said once a run, and only where it holds."""

import itertools

import numpy as np
import pytest

import ovito_glassml
from ovito_glassml import (
    ACEDescriptorsModifier,
    AtomicStiffnessModifier,
    BesselDescriptorsModifier,
    LaSCAModifier,
    NonaffineActivityModifier,
    RDFDescriptorsModifier,
    SOAPDescriptorsModifier,
)
from ovito_glassml.adapter.files import open_trajectory

#: Modifiers to which neighbours do not matter, and one that refuses what is not at rest.
NO_NEIGHBOURS = {"EvaluatePredictionModifier", "HarmonicStiffnessModifier"}

MODIFIERS = sorted(name for name in ovito_glassml.__all__ if name.endswith("Modifier") and name not in NO_NEIGHBOURS)


def trajectory(file, spacing, *, cell=True, periodic=True, frames=3, names=("Cu", "Zr")):
    """A shaken crystal of 125 atoms."""
    rng = np.random.default_rng(7)
    sites = spacing * np.array(list(itertools.product(range(5), repeat=3)))
    lattice = f'Lattice="{5 * spacing} 0 0 0 {5 * spacing} 0 0 0 {5 * spacing}" pbc="{" ".join("FT"[periodic] * 3)}"'
    text = ""
    for _ in range(frames):
        text += (
            f"{len(sites)}\n{lattice if cell else 'cell:5,5,5'}{' Properties=species:S:1:pos:R:3' if cell else ''}\n"
        )
        for number, (x, y, z) in enumerate(sites + rng.normal(0, 0.03 * spacing, sites.shape)):
            text += f"{names[number % 2]} {x} {y} {z}\n"
    file.write_text(text)
    return open_trajectory(file)


def said(line, modifier, capsys, frames=(1, 2)):
    """What is printed for some frames, and the attributes of the last one."""
    line.modifiers.append(modifier)
    attributes = [line.compute(frame).attributes for frame in frames][-1]
    return capsys.readouterr().out, attributes


@pytest.mark.parametrize("name", MODIFIERS)
def test_a_missing_cell_is_said_once(tmp_path, capsys, name):
    modifier = getattr(ovito_glassml, name)
    parameters = {"number_density": 0.05} if name == "RDFDescriptorsModifier" else {}
    attribute = f"{name.removesuffix('Modifier')}.no_cell"
    line = trajectory(tmp_path / "open.xyz", 2.7, cell=False)
    text, attributes = said(line, modifier(**parameters), capsys)
    assert text.count("there is no simulation cell, so all boundaries are open") == 1
    assert attributes[attribute] == 1
    for periodic in (True, False):
        line = trajectory(tmp_path / "cell.xyz", 2.7, periodic=periodic)
        text, attributes = said(line, modifier(**parameters), capsys)
        assert "no simulation cell" not in text
        assert attributes[attribute] == 0


LENGTHS_IN_ANGSTROM = [
    RDFDescriptorsModifier(number_density=1.0),
    BesselDescriptorsModifier(shells=0),
    SOAPDescriptorsModifier(n_max=3, l_max=2, rbf="gto"),
    ACEDescriptorsModifier(degree=4.0),
    NonaffineActivityModifier(),
    AtomicStiffnessModifier(),
]
IN_OTHER_UNITS = [
    BesselDescriptorsModifier(shells=0, cutoff=2.0),
    SOAPDescriptorsModifier(n_max=3, l_max=2, rbf="gto", cutoff=2.0),
    ACEDescriptorsModifier(degree=4.0, cutoff=4.0, nearest=1.0),
    NonaffineActivityModifier(cutoff=2.5, threshold=0.6),
    AtomicStiffnessModifier(hop_distance=0.25),
    LaSCAModifier(),
]


def same(modifier):
    """Another one, since a modifier belongs to one pipeline."""
    return type(modifier)(**modifier.trait_get(modifier.editable_traits()))


@pytest.mark.parametrize("modifier", LENGTHS_IN_ANGSTROM, ids=lambda modifier: type(modifier).__name__)
@pytest.mark.parametrize("cell", [True, False])
def test_lengths_in_angstrom_and_a_file_in_other_units_are_said_once(tmp_path, capsys, modifier, cell):
    attribute = f"{type(modifier).__name__.removesuffix('Modifier')}.foreign_unit"
    for spacing, foreign in ((1.0, 1), (1.3, 1), (2.2, 0), (2.7, 0)):
        line = trajectory(tmp_path / "glass.xyz", spacing, cell=cell)
        text, attributes = said(line, same(modifier), capsys)
        assert text.count("more than any material has in a cubic Å") == foreign
        assert attributes[attribute] == foreign


@pytest.mark.parametrize("modifier", IN_OTHER_UNITS, ids=lambda modifier: type(modifier).__name__)
def test_lengths_that_were_set_for_the_file_are_left_alone(tmp_path, capsys, modifier):
    line = trajectory(tmp_path / "glass.xyz", 1.0)
    text, attributes = said(line, same(modifier), capsys)
    assert text == ""
    assert attributes.get(f"{type(modifier).__name__.removesuffix('Modifier')}.foreign_unit", 0) == 0
