"""Sessions saved by earlier versions open, and their modifiers give what the same modifiers made today give."""

import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

import numpy as np
import pytest

SAMPLES = Path(__file__).parents[2] / "sample_data"
#: As `sample_data/sessions` was at that commit, where they lie beside the structures.
SAVED = Path(__file__).with_name("sessions-2564c24.tar.xz")
#: Session → what its modifiers were made with, and the main output.
SHOWN = {
    "rdf": ({"rdf": {}}, "RDF Descriptors"),
    "bessel": ({"bessel": {}}, "Bessel Descriptors"),
    "soap": ({"soap": {}}, "SOAP Descriptors"),
    "ace": ({"ace": {}}, "ACE Descriptors"),
    "nonaffine": (
        {
            "nonaffine": {
                "use_frame_offset": True,
                "frame_offset": -1,
                "affine_mapping": "ToReference",
                "cutoff": 2.5,
                "threshold": 0.6,
            }
        },
        "Nonaffine Squared Displacement",
    ),
    "activity": ({"activity": {"activation": "shear"}}, "Activity Probability"),
    "vibrations": ({"vibrations": {}}, "Stiffness"),
    "stiffness": ({"stiffness": {}}, "Predicted Stiffness"),
    "scnn": ({"scnn": {}}, "High Activation Probability"),
    "ule": ({"ule": {}}, "ULE Similarity"),
    "lasca": ({"lasca": {}}, "LaSC Coordination"),
    "evaluate": ({"stiffness": {}, "evaluate": {}}, "Predicted Stiffness"),
}

OPEN = """
import json, sys
import numpy as np
import ovito
from ovito.pipeline import Pipeline
from ovito_glassml.modifiers.registry import by_name
folder, shown = sys.argv[1], json.loads(sys.argv[2])
for name, (modifiers, main) in shown.items():
    ovito.scene.load(f"{folder}/sessions/{name}.ovito")
    (pipeline,) = ovito.scene.pipelines
    frame = ovito.scene.anim.current_frame
    today = Pipeline(source=pipeline.source)
    today.modifiers.extend(by_name()[one].load()(**given) for one, given in modifiers.items())
    before, saved, new = pipeline.source.compute(frame), pipeline.compute(frame), today.compute(frame)
    added = [key for key in new.particles if key not in before.particles]
    assert main in added, (name, added)
    numbers = {key: value for key, value in new.attributes.items() if key not in before.attributes}
    np.savez(
        f"{folder}/{name}.npz",
        **{f"today {key}": new.particles[key][...] for key in added},
        **{f"saved {key}": saved.particles[key][...] for key in added if key in saved.particles},
        **{f"today attribute {key}": value for key, value in numbers.items()},
        **{f"saved attribute {key}": saved.attributes[key] for key in numbers if key in saved.attributes},
    )
"""


@pytest.fixture(scope="module")
def opened(tmp_path_factory):
    """Folder with an archive of arrays for each session."""
    folder = tmp_path_factory.mktemp("earlier")
    with tarfile.open(SAVED) as archive:
        archive.extractall(folder, filter="data")
    for place in ("stiffness", "activity", "trajectory", "barcode", "barriers"):
        shutil.copytree(SAMPLES / place, folder / place)
    done = subprocess.run([sys.executable, "-c", OPEN, folder, json.dumps(SHOWN)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return folder


@pytest.mark.parametrize("name", SHOWN)
def test_a_session_of_an_earlier_version_shows_what_it_showed(name, opened):
    with np.load(opened / f"{name}.npz") as stored:
        values = dict(stored)
    today = {key.removeprefix("today "): one for key, one in values.items() if key.startswith("today ")}
    saved = {key.removeprefix("saved "): one for key, one in values.items() if key.startswith("saved ")}
    assert SHOWN[name][1] in saved
    assert saved.keys() == today.keys()
    for key, numbers in today.items():
        np.testing.assert_array_equal(saved[key], numbers, err_msg=key)
    main = today[SHOWN[name][1]]
    assert np.isfinite(main).mean() > 0.4
    assert np.std(main[np.isfinite(main)]) > 0


def test_there_is_one_for_every_modifier_of_that_version():
    with tarfile.open(SAVED) as archive:
        assert {Path(name).stem for name in archive.getnames() if name.endswith(".ovito")} == set(SHOWN)
