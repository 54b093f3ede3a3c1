"""Structures are brought to rest before models look at them."""

import numpy as np
import pytest
from typer.testing import CliRunner

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.adapter.input import structure_from_data
from ovito_glassml.cli import app
from ovito_glassml.simulate.forces import LammpsForces
from ovito_glassml.simulate.material import load_material
from ovito_glassml.workflow.at_rest import MinimiseModifier
from ovito_glassml.workflow.sample_data import sample_file

SHEARED = "activity/shear-kob-andersen-1.xyz.gz"


def forces_on(data):
    structure = structure_from_data(data)
    with LammpsForces(structure, load_material("kob-andersen")) as forces:
        return forces(structure.positions)[1]


@pytest.fixture(scope="module")
def shaken(tmp_path_factory):
    """A glass at rest whose atoms were moved a little, and what it was."""
    data = open_trajectory(sample_file(SHEARED)).compute(0)
    still = data.particles.positions[...].copy()
    data.particles_.positions_[...] += np.random.default_rng(0).normal(0, 0.03, still.shape)
    return data, still


def test_forces_vanish_and_a_shaken_glass_is_found_again(shaken):
    data, still = shaken
    assert np.abs(forces_on(data)).max() > 1
    rested = data.clone()
    rested.apply(MinimiseModifier(material="kob-andersen"))
    assert np.abs(forces_on(rested)).max() < 1e-3
    moved = rested.particles.positions[...] - still
    moved -= np.round(moved @ np.linalg.inv(rested.cell[:, :3]).T) @ rested.cell[:, :3].T
    assert np.median(np.linalg.norm(moved, axis=1)) < 0.01


def test_predictions_of_a_snapshot_become_those_of_its_inherent_structure(shaken, tmp_path):
    from ovito.io import export_file

    data, still = shaken
    columns = ["Particle Type", "Position.X", "Position.Y", "Position.Z"]
    export_file(data, str(tmp_path / "shaken.xyz"), "xyz", columns=columns)
    data = data.clone()
    data.particles_.positions_[...] = still
    export_file(data, str(tmp_path / "still.xyz"), "xyz", columns=columns)
    found = {}
    for name, further in (("still", []), ("shaken", []), ("shaken", ["--minimise", "kob-andersen"])):
        output = tmp_path / f"{name}-{len(further)}.xyz"
        command = ["apply", str(tmp_path / f"{name}.xyz"), "-m", "activity", "--model", "propensity-ka", *further]
        result = CliRunner().invoke(app, [*command, "-o", str(output)])
        assert result.exit_code == 0, result.output
        found[output.stem] = open_trajectory(output).compute().particles["PredictedPropensity"][...]
    known = np.isfinite(found["still-0"])
    differences = {name: np.abs(found[name] - found["still-0"])[known].mean() for name in ("shaken-0", "shaken-2")}
    assert differences["shaken-2"] < 0.2 * differences["shaken-0"]


def test_a_potential_that_is_not_there_is_one_sentence(shaken, tmp_path):
    output = tmp_path / "out.xyz"
    command = ["apply", str(sample_file(SHEARED)), "-m", "activity", "--minimise", "unobtainium", "-o", str(output)]
    result = CliRunner().invoke(app, command)
    assert result.exit_code != 0
    assert not output.exists()
