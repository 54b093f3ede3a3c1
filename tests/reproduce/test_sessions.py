"""Session files open in a new process and in another place, each with its modifier at work."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ovito_glassml.modifiers.registry import MODIFIERS, OVERLAYS, SHEARED_GLASS, by_name
from ovito_glassml.reproduce.sessions import SessionError, make_sessions
from ovito_glassml.workflow.sample_data import sample_file

SAMPLES = Path(__file__).parents[2] / "sample_data"
SESSIONS = SAMPLES / "sessions"

#: Main output of each modifier; one that is not here has to add what its documentation names.
PROMISED = {
    "rdf": "RDF Descriptors",
    "bessel": "Bessel Descriptors",
    "soap": "SOAP Descriptors",
    "ace": "ACE Descriptors",
    "nonaffine": "Nonaffine Squared Displacement",
    "vibrations": "Stiffness",
    "harmonic": "Harmonic Stiffness",
    "stiffness": "Predicted Stiffness",
    "activity": "Activity Probability",
    "scnn": "High Activation Probability",
    "ule": "ULE Similarity",
    "lasca": "LaSC Coordination",
    "evaluate": "Predicted Stiffness",
}

#: Made anew by the test, to see that the command makes what is shipped: an input, a trajectory, two modifiers.
REMADE = ("rdf", "nonaffine", "evaluate", "legend")

LAYERS = {layer.name: layer.shown_with for layer in OVERLAYS}

MAKE = """
import sys
from pathlib import Path
from ovito_glassml.modifiers.registry import OVERLAYS, by_name
from ovito_glassml.reproduce.sessions import make_sessions
entries = by_name() | {layer.name: layer for layer in OVERLAYS}
make_sessions(Path(sys.argv[1]), lambda fraction, text: None, [entries[name] for name in sys.argv[2:]])
"""

OPEN = """
import sys
from pathlib import Path
import numpy as np
import ovito
for name in sys.argv[1:]:
    ovito.scene.load(name)
    (pipeline,) = ovito.scene.pipelines
    frame = ovito.scene.anim.current_frame
    before, after = pipeline.source.compute(frame), pipeline.compute(frame)
    found = {key: after.particles[key][...] for key in after.particles if key not in before.particles}
    found |= {"input " + key: before.particles[key][...] for key in before.particles}
    found |= {"attribute " + key: value for key, value in after.attributes.items() if key not in before.attributes}
    view = ovito.scene.viewports.active_vp
    found |= {"layers": len(view.overlays), "preview": view.preview_mode}
    np.savez(Path(name).with_suffix(".npz"), frame=frame, source=pipeline.source.source_path, **found)
"""


def run_python(code, *arguments):
    done = subprocess.run([sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Function (name, made=False) → arrays from a shipped session, or from one made by the test."""
    places = {made: tmp_path_factory.mktemp(f"über all {made}") for made in (False, True)}
    shutil.copytree(SESSIONS, places[False] / "sessions")
    for structure in {modifier.example.structure for modifier in MODIFIERS}:
        (places[False] / structure).parent.mkdir(exist_ok=True)
        shutil.copyfile(SAMPLES / structure, places[False] / structure)
    run_python(MAKE, places[True], *REMADE)
    run_python(OPEN, *(file for place in places.values() for file in sorted((place / "sessions").iterdir())))

    def read(name, made=False):
        with np.load(places[made] / "sessions" / f"{name}.npz") as stored:
            assert places[made].name in str(stored["source"]), "the structure of another place"
            return dict(stored)

    return read


def test_there_is_a_session_for_every_modifier_and_layer_and_no_other():
    assert {file.stem for file in SESSIONS.iterdir()} == {*by_name(), *LAYERS}


@pytest.mark.parametrize("name", [*by_name(), *LAYERS])
def test_a_session_opens_with_its_modifier_at_work(name, opened):
    found = opened(name)
    values = found[PROMISED[LAYERS.get(name, name)]]
    assert found["layers"] == found["preview"] == (name in LAYERS)
    assert np.isfinite(values).mean() > 0.4
    assert np.std(values[np.isfinite(values)]) > 0
    assert len(np.unique(found["Color"], axis=0)) > 3, "the particles are not coloured by the result"


@pytest.mark.parametrize("name", REMADE)
def test_the_command_makes_what_is_shipped(name, opened):
    shipped, made = opened(name), opened(name, made=True)
    assert shipped.keys() == made.keys()
    for key, values in shipped.items():
        if values.dtype.kind == "f":
            np.testing.assert_allclose(made[key], values, rtol=1e-6)


@pytest.mark.parametrize("file", sorted(SESSIONS.glob("*.ovito")), ids=lambda file: file.stem)
def test_a_session_is_small_and_names_no_place_on_a_disk(file):
    content = file.read_bytes()
    assert len(content) < 40_000
    for start in (0, 1):
        content += content[start:].decode("utf-16-be", errors="ignore").encode()
    places = re.findall(rb"(?:file://)?(/[^\x00]*?)(?:stiffness|activity|trajectory|barcode|barriers)/", content)
    assert len(places) >= 3
    assert all(re.fullmatch(rb"[/_.]+", place) for place in places), places


def test_the_sessions_show_what_is_known_of_their_samples(opened):
    stiffness = opened("stiffness")
    assert np.corrcoef(stiffness["Predicted Stiffness"], stiffness["input Stiffness"])[0, 1] > 0.8
    assert opened("evaluate")["attribute EvaluatePrediction.pearson"] > 0.8
    activity = opened("activity")
    known, probability = activity["input Learned_Activity"], activity["Activity Probability"]
    assert probability[known == 1].mean() > probability[known == 0].mean() + 0.1
    prototypes = opened("scnn")
    barrier = prototypes["input Activation_Energy"]
    high, low = barrier > np.quantile(barrier, 0.8), barrier < np.median(barrier)
    assert prototypes["High Activation Probability"][high].mean() > 0.7
    assert prototypes["High Activation Probability"][low].mean() < 0.5
    event = opened("nonaffine")["Nonaffine Squared Displacement"]
    labels = activity["input Nonaffine_Squared_Displacement"]  # of the event after the frame before
    assert np.corrcoef(np.log(event), np.log(labels))[0, 1] > 0.9
    # k_B T / u² of Cu50Zr50 glasses at 300 K, 0.7 eV/Å² in the shipped samples; less in a faster quench.
    assert 0.3 < np.median(opened("vibrations")["Stiffness"]) < 0.9
    clusters = opened("lasca")
    icosahedra = [(clusters["TCP Label"][clusters["input Particle Type"] == kind] == 12).mean() for kind in (1, 2)]
    assert max(icosahedra) > 10 * min(icosahedra)  # around the smaller atoms


def test_a_scene_that_shows_something_is_refused(tmp_path):
    from ovito_glassml.adapter.files import open_trajectory

    pipeline = open_trajectory(str(sample_file(SHEARED_GLASS)))
    pipeline.add_to_scene()
    try:
        with pytest.raises(SessionError, match="new process"):
            make_sessions(tmp_path / "new", lambda fraction, text: None, ())
    finally:
        pipeline.remove_from_scene()
    assert not (tmp_path / "new").exists()
