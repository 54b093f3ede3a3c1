"""LAMMPS keeps its state in temporary files, wherever these are."""

import tempfile

import numpy as np
import pytest

from ovito_glassml.simulate.engine import apply_interaction, gather, open_lammps, restart_of, resume
from ovito_glassml.simulate.material import load_material


@pytest.mark.parametrize("name", ["a b", "it's", "blank at the end "])
def test_the_temporary_folder_may_have_any_name(tmp_path, monkeypatch, name):
    (tmp_path / name).mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / name))
    interaction = load_material("kob-andersen")
    lammps = open_lammps()
    commands = ["units lj", "atom_style atomic", "atom_modify map array", "region box block 0 6 0 6 0 6"]
    commands += ["create_box 2 box", "create_atoms 1 single 1 1 1", "create_atoms 2 single 2 2 2"]
    lammps.commands_list(commands)
    apply_interaction(lammps, interaction)
    lammps.command("run 0")
    state = restart_of(lammps)
    lammps.close()
    again = resume(interaction, state)
    np.testing.assert_allclose(gather(again, "x"), [[1, 1, 1], [2, 2, 2]])
    again.close()
    assert not list((tmp_path / name).iterdir())
