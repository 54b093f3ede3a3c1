"""Three species go through every trainer and every modifier that predicts, from files to properties."""

from dataclasses import replace

import numpy as np
import pytest
from shaken_crystals import crowding, shaken_crystal
from small_models import BRIEF
from typer.testing import CliRunner

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.cli import app
from ovito_glassml.learn.model import load_model
from ovito_glassml.learn.prototypes import train as prototype_training
from ovito_glassml.simulate.snapshots import Snapshot, write_frames

SPECIES = ("Al", "Cu", "Zr")
#: Trainer and modifier → options of the training, the column to look at, and how well it follows what it learned from.
METHODS = {
    "stiffness": ([], "PredictedStiffness", "Stiffness", 0.4),
    "activity": (
        ["--active-species", "Cu", "--nearest", 2.8, "--cutoff", 1.8, "--order", 1],
        "ActivityProbability",
        "Activity",
        0.6,
    ),
    "scnn": (["--design", "bessel"], "SCNNLogit", "Activation_Energy", 0.15),
    "ule": (
        ["--energy", "Potential_Energy", "--environments", 6, "--folds", 2, "--trials", 2, "--similarity", 0.5],
        "ULEEnergyContribution",
        "Potential_Energy",
        0.1,
    ),
}


def glass(seed, repeat=7):
    """Three species at random, and labels that follow from how crowded an atom is."""
    structure = shaken_crystal(seed, repeat=repeat)
    kinds = np.random.default_rng(seed + 100).integers(0, 3, len(structure))
    structure = replace(structure, species=kinds, species_names=SPECIES)
    crowd = crowding(structure)
    active = np.where(crowd > np.quantile(crowd, 0.7), 1, np.where(crowd < np.quantile(crowd, 0.3), 0, -1))
    labels = {
        "Stiffness": 0.3 + crowd,
        "Activity": np.where(kinds == 1, active, -1),
        "Activation_Energy": 1 + crowd,
        "Potential_Energy": crowd - 4,
    }
    return Snapshot(structure, labels, {})


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("three")
    written = [folder / f"glass-{seed}.xyz.gz" for seed in (1, 2, 3)]
    for seed, file in enumerate(written, start=1):
        write_frames(file, [glass(seed)])
    return written


@pytest.mark.parametrize("method", METHODS)
def test_three_species_are_learned_and_predicted(files, method, tmp_path, monkeypatch):
    options, column, label, least = METHODS[method]
    model = tmp_path / f"{method}-of-three.safetensors"
    monkeypatch.setenv("GLASSML_MODELS", str(tmp_path / "installed"))
    monkeypatch.setattr(prototype_training, "TrainingSettings", lambda: BRIEF)
    output = tmp_path / "out.xyz"
    for words in (
        ["train", method, *files, "-o", model, *options],
        ["models", "add", model],
        ["apply", files[0], "-m", method, "-o", output],  # chosen by the species
    ):
        result = CliRunner().invoke(app, [str(word) for word in words])
        assert result.exit_code == 0, (result.output, result.exception)
    assert load_model(f"{method}-of-three").species == SPECIES
    particles = open_trajectory(output).compute().particles
    predicted, known = np.array(particles[column][...]), glass(1).columns[label]
    kinds = glass(1).structure.species
    wanted = np.isfinite(predicted) & ((known >= 0) if method == "activity" else np.full(len(kinds), True))
    assert (np.isfinite(predicted) == (kinds == 1)).all() if method == "activity" else np.isfinite(predicted).all()
    for kind in set(kinds[wanted].tolist()):
        own = wanted & (kinds == kind)
        assert np.corrcoef(predicted[own], known[own])[0, 1] > least, SPECIES[kind]


def test_the_file_to_judge_by_may_lack_a_species(files, tmp_path):
    """Columns of descriptors are those of the species that are learned from."""
    structure = glass(4).structure
    kept = structure.species != 2
    fewer = replace(
        structure,
        positions=structure.positions[kept],
        species=structure.species[kept],
        species_names=SPECIES[:2],
        ids=structure.ids[kept],
    )
    labels = {name: column[kept] for name, column in glass(4).columns.items()}
    write_frames(tmp_path / "fewer.xyz.gz", [Snapshot(fewer, labels, {})])
    model = tmp_path / "mine.safetensors"
    words = ["train", "activity", *files[:2], tmp_path / "fewer.xyz.gz", "-o", model, *METHODS["activity"][0]]
    result = CliRunner().invoke(app, [str(word) for word in words])
    assert result.exit_code == 0, (result.output, result.exception)
    assert load_model(model).species == SPECIES
