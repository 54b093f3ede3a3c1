"""Files through OVITO's readers: frames in order, labels found, damage named."""

import threading

import numpy as np
import pytest

from ovito_glassml import (
    LaSCAModifier,
    PredictedActivityModifier,
    PredictedStiffnessModifier,
    PrototypeSimilarityModifier,
    RDFDescriptorsModifier,
)
from ovito_glassml.adapter.files import FileError, annotate, open_trajectory, read_columns, read_labelled
from ovito_glassml.atomic import sole_writer
from ovito_glassml.batch import annotate_in_ranges
from ovito_glassml.errors import BusyError
from ovito_glassml.learn.model_file import model_path
from ovito_glassml.shipped import sample_file

XYZ_FRAME = """2
Lattice="9 0 0 0 9 0 0 0 9" Properties=species:S:1:pos:R:3:Stiffness:R:1
Cu 1 1 {z} 0.5
Zr 2 2 2 0.75
"""


@pytest.fixture
def two_frames(tmp_path):
    file = tmp_path / "two.xyz"
    file.write_text(XYZ_FRAME.format(z=1) + XYZ_FRAME.format(z=4))
    return file


def test_frames_of_a_file_come_in_order_with_their_labels(two_frames):
    frames = list(read_labelled(two_frames, "Stiffness"))
    assert [structure.positions[0, 2] for structure, _ in frames] == [1.0, 4.0]
    assert frames[0][0].species_names == ("Cu", "Zr")
    np.testing.assert_array_equal(frames[1][1], [0.5, 0.75])


def test_capitals_and_spaces_of_a_column_do_not_matter(two_frames):
    assert len(list(read_labelled(two_frames, "stiff_ness"))) == 2


def test_a_missing_column_is_refused_with_those_there_are(two_frames):
    with pytest.raises(FileError, match=r"no column 'Energy'; it has .*Stiffness"):
        list(read_labelled(two_frames, "Energy"))


def test_columns_that_may_be_missing_are_left_out(two_frames):
    for _, columns in read_columns(two_frames, ("Stiffness",), ("stiffness", "Nonaffine")):
        assert list(columns) == ["Stiffness", "stiffness"]


@pytest.mark.filterwarnings("ignore")
def test_a_damaged_frame_is_named(two_frames):
    two_frames.write_text(two_frames.read_text()[:-12])
    with pytest.raises(FileError, match=r"two\.xyz, frame 1: "):
        list(read_labelled(two_frames, "Stiffness"))


def test_a_truncated_model_is_named_and_not_only_what_its_reader_says(two_frames, tmp_path):
    model = tmp_path / "broken.safetensors"
    model.write_bytes(model_path("activity-cuzr-shear").read_bytes()[:5000])
    modifier = PredictedActivityModifier(model=str(model))
    with pytest.raises(FileError, match=r"two\.xyz, frame 0: broken\.safetensors is truncated"):
        annotate([two_frames], [modifier], tmp_path / "out.xyz")


@pytest.mark.parametrize("run", [annotate, annotate_in_ranges])
def test_the_input_is_not_replaced_by_the_output(two_frames, run):
    content = two_frames.read_bytes()
    for name in ("two.xyz", "../" + two_frames.parent.name + "/two.xyz"):
        for places in ({"output": name}, {"output": "out.xyz", "attributes": name}):
            output = {key: two_frames.parent / value for key, value in places.items()}
            with pytest.raises(FileError, match=r"two\.xyz is also to be read and would be replaced; give"):
                run([two_frames], [RDFDescriptorsModifier()], **output)
    assert two_frames.read_bytes() == content
    assert list(two_frames.parent.iterdir()) == [two_frames]


def test_atoms_and_attributes_need_two_files(two_frames):
    file = two_frames.with_name("out.xyz")
    with pytest.raises(FileError, match=r"would both be written to .*out\.xyz; give them two names"):
        annotate([two_frames], [RDFDescriptorsModifier()], file, attributes=file)


def test_a_folder_is_neither_read_nor_written(two_frames, tmp_path):
    (tmp_path / "folder.xyz").mkdir()
    with pytest.raises(FileError, match=r"folder\.xyz is a folder; give the name of a file"):
        annotate([two_frames], [RDFDescriptorsModifier()], tmp_path / "folder.xyz")
    with pytest.raises(
        FileError, match=r"folder\.xyz is a folder; name the file in it, or several, such as .*dump\.\*"
    ):
        open_trajectory(tmp_path / "folder.xyz")


# Annotating what was annotated before.


def chain(model, partial):
    """Numbers, vectors with named components, classes."""
    return [
        PredictedStiffnessModifier(model=model),
        PrototypeSimilarityModifier(),
        RDFDescriptorsModifier(partial=partial),
        LaSCAModifier(),
    ]


def columns_of(file):
    """Names of columns as they stand in a file, without capitals, each as often as it does."""
    lines = file.read_text().splitlines()
    if file.suffix == ".xyz":
        return lines[1].split("Properties=")[1].split()[0].lower().split(":")[::3]
    return next(line for line in lines if line.startswith("ITEM: ATOMS")).lower().split()[2:]


@pytest.mark.parametrize("ending", [".xyz", ".dump"])
@pytest.mark.parametrize("run", [annotate, annotate_in_ranges])
def test_annotating_again_replaces_what_is_there(tmp_path, ending, run):
    """Another model and wider descriptors: the file looks as if it had been annotated once, in the second way."""
    glass = sample_file("barriers/barriers-cu50zr50-2.xyz.gz")
    first, again, once = (tmp_path / f"{name}{ending}" for name in ("first", "again", "once"))
    annotate([glass], chain("stiffness-cuzr", False), first)
    run([first], chain("stiffness-cuzr-300k", True), again)
    annotate([glass], chain("stiffness-cuzr-300k", True), once)
    assert columns_of(again) == columns_of(once)
    assert len(set(columns_of(again))) == len(columns_of(again))
    data, expected = (open_trajectory(file).compute() for file in (again, once))
    for name, values in expected.particles.items():
        if name == "Particle Type" or values.dtype.kind in "if":
            np.testing.assert_array_equal(data.particles[name], values)
        else:
            assert data.particles[name][...] == values[...]
    assert open_trajectory(first).compute().particles.count == 1000


def written_meanwhile(source, output, other):
    """Annotate a file to `output`, and once a frame of it is done, to `other` from its beginning to its end."""

    def on_frame(done, total, data):
        if done == 1:
            annotate([source], [RDFDescriptorsModifier()], other)

    annotate([source], [RDFDescriptorsModifier()], output, on_frame=on_frame)
    return output.read_bytes(), other.read_bytes()


@pytest.mark.parametrize(("name", "other"), [("a.xyz.gz", "a.xyz"), ("a.xyz", "a.xyz.gz"), ("a.b.xyz", "a.xyz")])
def test_two_jobs_in_one_folder_leave_each_other_alone(name, other, two_frames, tmp_path):
    folder = tmp_path / "results"
    folder.mkdir()
    first, second = written_meanwhile(two_frames, folder / name, folder / other)
    annotate([two_frames], [RDFDescriptorsModifier()], tmp_path / name)
    annotate([two_frames], [RDFDescriptorsModifier()], tmp_path / other)
    assert first == (tmp_path / name).read_bytes()
    assert second == (tmp_path / other).read_bytes()
    assert {path.name for path in folder.iterdir()} == {name, other}


@pytest.mark.parametrize("way", [annotate, annotate_in_ranges])
@pytest.mark.parametrize("shared", ["out.xyz", "out.csv"])
def test_who_comes_second_to_an_output_is_told_so(shared, way, two_frames, tmp_path):
    begun, ended = threading.Event(), threading.Event()

    def first():
        with sole_writer(tmp_path / shared):
            begun.set()
            ended.wait()

    thread = threading.Thread(target=first)  # stands for a process
    thread.start()
    begun.wait()
    try:
        with pytest.raises(BusyError, match=rf"{shared} is being written by process \d+; wait until"):
            way([two_frames], [RDFDescriptorsModifier()], tmp_path / "out.xyz", attributes=tmp_path / "out.csv")
    finally:
        ended.set()
        thread.join()
    assert [path.name for path in tmp_path.iterdir()] == ["two.xyz"]
