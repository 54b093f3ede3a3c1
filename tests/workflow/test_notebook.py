"""A pipeline in a notebook: particles that turn with a slider and a choice where there are widgets, else a picture."""

import io
import sys

import numpy as np
import pytest
from ovito.data import DataCollection
from ovito.pipeline import Pipeline, PipelineSourceInterface, PythonSource
from PIL import Image

from ovito_glassml.adapter.output import write_histogram, write_property, write_typed_property
from ovito_glassml.adapter.render import RenderingUnavailable
from ovito_glassml.structure import StructureError
from ovito_glassml.workflow.notebook import NotebookError, explore

pytest.importorskip("IPython", reason="needs the extra notebook")

COUNT, FRAMES = 30, 4


class Cloud(PipelineSourceInterface):
    """Particles at random, other ones in every frame."""

    def compute_trajectory_length(self, **kwargs):
        return FRAMES

    def create(self, data: DataCollection, *, frame, **kwargs):
        data.objects.clear()
        rng = np.random.default_rng(frame)
        particles = data.create_particles(count=COUNT)
        particles.create_property("Position", data=rng.uniform(0, 10, (COUNT, 3)))
        particles.create_property("Charge", data=rng.uniform(size=COUNT))


def results(frame, data):
    """As the modifiers of this package leave them; nothing in the last frame."""
    if frame == FRAMES - 1:
        raise StructureError("The last frame has no next one.")
    values = np.linspace(frame, frame + 1.0, COUNT)
    write_property(data, "Predicted Stiffness", values)
    write_histogram(data, "predicted-stiffness-histogram", "Histogram", values, "Predicted stiffness (eV/Å²)")
    write_typed_property(data, "Kind", np.arange(COUNT) % 2, {0: "round", 1: "<square>"})
    write_property(data, "Vectors", np.zeros((COUNT, 3)))
    data.attributes["PredictedStiffness.model"] = "a-model"


@pytest.fixture
def pipeline():
    made = Pipeline(source=PythonSource(delegate=Cloud()))
    made.modifiers.append(results)
    return made


def test_without_widgets_it_is_a_picture_with_a_legend(pipeline, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    try:
        shown = explore(pipeline, frame=1)
    except RenderingUnavailable as error:
        pytest.skip(str(error))
    pixels = np.asarray(Image.open(io.BytesIO(shown.data)).convert("RGB")).astype(int)
    assert (pixels[:120, :200].max(axis=2) < 90).mean() > 0.01, "no text"
    assert len(pipeline.modifiers) == 1
    assert pipeline.compute(1).particles.colors is None


@pytest.mark.parametrize("wanted", ["Nothing", "Vectors"])
def test_a_property_that_cannot_colour_is_refused(pipeline, wanted):
    with pytest.raises(NotebookError, match=f"'{wanted}'.*Predicted Stiffness"):
        explore(pipeline, [wanted])


def test_a_pipeline_that_adds_nothing_is_refused():
    with pytest.raises(NotebookError, match="name one"):
        explore(Pipeline(source=PythonSource(delegate=Cloud())))


@pytest.fixture
def widgets(pipeline):
    pytest.importorskip("ipywidgets", reason="needs the extra notebook")
    above, turning, said = explore(pipeline).children
    choice, slider = above.children
    return choice, slider, turning, said


def test_all_results_can_be_chosen_and_all_frames_reached(widgets):
    choice, slider, *_ = widgets
    assert choice.options == ("Predicted Stiffness", "Kind")
    assert (slider.min, slider.max, slider.value) == (0, FRAMES - 1, 0)


def test_what_is_shown_follows_the_slider_and_the_choice(widgets):
    choice, slider, turning, said = widgets
    seen = [repr(turning._scene)]
    assert "<b>Predicted stiffness (eV/Å²)</b><br>0.02" in said.value
    assert "Model: a-model" in said.value
    slider.value = 2
    assert "<br>2.02" in said.value
    seen.append(repr(turning._scene))
    choice.value = "Kind"
    assert "2.02" not in said.value
    seen.append(repr(turning._scene))
    assert len(set(seen)) == 3


def test_a_frame_without_a_result_says_why_and_the_slider_goes_on(widgets):
    _, slider, turning, said = widgets
    before = repr(turning._scene)
    slider.value = FRAMES - 1
    assert "The last frame has no next one." in said.value
    assert repr(turning._scene) == before
    slider.value = 1
    assert "Predicted stiffness" in said.value


def test_widgets_do_not_show_each_other_and_leave_the_scene_empty(pipeline):
    pytest.importorskip("ipywidgets", reason="needs the extra notebook")
    import ovito

    alone = repr(explore(pipeline).children[1]._scene)
    assert not len(ovito.scene.pipelines)
    assert len(repr(explore(pipeline).children[1]._scene)) == pytest.approx(len(alone), rel=0.01)
