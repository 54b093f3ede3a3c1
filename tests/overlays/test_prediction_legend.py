"""The layer drawn over real pictures: where it is, that it can be read, and that it is not there without a result."""

import conformance_checks
import numpy as np
import pytest
from conformance_cases import Case
from ovito.data import DataCollection
from ovito.pipeline import Pipeline, StaticSource
from ovito.vis import PythonViewportOverlay, TachyonRenderer, Viewport
from traits.api import TraitError

from ovito_glassml import PredictionLegendOverlay
from ovito_glassml.adapter.legend import color_table
from ovito_glassml.adapter.output import color_by, write_attributes
from ovito_glassml.adapter.prediction import Output, write_prediction
from ovito_glassml.adapter.render import _pixels

SIZE = (400, 300)
OUTPUTS = [
    Output("", "", "PredictedStiffness", "Predicted Stiffness", "Predicted stiffness (eV/Å²)"),
    Output("", "", "PredictedActivity", "Activity Probability", "Probability (0 to 1)"),
]


class Prediction:
    extrapolation = np.zeros(2)
    sample_extrapolation = 3.0


def scene(*outputs):
    """Two grey particles far apart, with these results."""
    data = DataCollection()
    data.create_particles(count=2).create_property("Position", data=[(0, 0, 0), (40, 0, 0)])
    for output in outputs:
        write_prediction(data, output, "a-model", Prediction, {output.main: np.array([1.0, 2.0])}, {})
        color_by(data, output.main, "1, 2", output.prefix)
    return data


def rendered(data, ground=(1, 1, 1), size=SIZE, **parameters):
    """RGB picture with the layer."""
    pipeline = Pipeline(source=StaticSource(data=data))
    pipeline.add_to_scene()
    try:
        view = Viewport(type=Viewport.Type.Top, camera_pos=(20, 0, 0), fov=100.0)
        view.overlays.append(PythonViewportOverlay(delegate=PredictionLegendOverlay(**parameters)))
        renderer = TachyonRenderer(ambient_occlusion=False, antialiasing=False)
        image = view.render_image(size=size, background=ground, renderer=renderer)
    except RuntimeError as error:
        pytest.skip(f"OVITO cannot render here: {error}")
    finally:
        pipeline.remove_from_scene()
    return _pixels(image)[..., :3].astype(int)


def changed(picture, ground):
    """Rectangle of the pixels that are not as without the layer: top, bottom, left, right in shares of the picture."""
    without = rendered(scene(OUTPUTS[0]), ground, picture.shape[1::-1], show_colors=False, show_trust=False)
    rows, columns = np.nonzero(np.abs(picture - without).sum(axis=2) > 30)
    height, width = picture.shape[:2]
    return rows.min() / height, (rows.max() + 1) / height, columns.min() / width, (columns.max() + 1) / width


def test_without_a_result_nothing_is_drawn():
    picture = rendered(scene())
    assert (picture[:100] == 255).all()


@pytest.mark.parametrize("ground", [(1, 1, 1), (0, 0, 0)], ids=["white", "black"])
def test_dark_text_stands_on_a_light_ground(ground):
    picture = rendered(scene(OUTPUTS[0]), ground)
    top, bottom, left, right = changed(picture, ground)
    assert top < 0.05
    assert left < 0.05
    height, width = picture.shape[:2]
    inside = picture[
        round(top * height) + 1 : round(bottom * height) - 1, round(left * width) + 1 : round(right * width) - 1
    ]
    brightness = inside.mean(axis=2)
    assert np.median(brightness) > 200
    assert 0.02 < (brightness < 130).mean() < 0.4


@pytest.mark.parametrize("position", ["top left", "top right", "bottom left", "bottom right"])
def test_the_legend_is_in_its_corner(position):
    top, bottom, left, right = changed(rendered(scene(OUTPUTS[0]), (0, 0, 0), position=position), (0, 0, 0))
    assert (top < 0.05) == position.startswith("top")
    assert (bottom > 0.95) == position.startswith("bottom")
    assert (left < 0.05) == position.endswith("left")
    assert (right > 0.95) == position.endswith("right")


def test_the_bar_runs_through_the_colours_of_the_particles():
    picture = rendered(scene(OUTPUTS[0]))
    table = np.round(255 * color_table(9)).astype(int)
    for colour in table:
        assert (np.abs(picture[:100] - colour).max(axis=2) < 12).any()
    without = rendered(scene(OUTPUTS[0]), show_colors=False)
    assert not (np.abs(without[:100] - table[4]).max(axis=2) < 12).any()


@pytest.mark.parametrize("size", [(400, 300), (800, 600)])
def test_the_text_grows_with_the_picture_and_with_its_parameter(size):
    def height(**parameters):
        top, bottom, *_ = changed(rendered(scene(OUTPUTS[0]), (0, 0, 0), size, **parameters), (0, 0, 0))
        return bottom - top

    assert height() == pytest.approx(0.025 * (7 * 1.45 + 1.4), abs=0.02)
    assert height(font_size=0.015) / height() == pytest.approx(0.6, abs=0.05)


def test_a_narrow_picture_holds_the_whole_legend():
    *_, right = changed(rendered(scene(OUTPUTS[0]), (0, 0, 0), (120, 400)), (0, 0, 0))
    assert 0.8 < right < 1.0


def test_the_last_result_is_shown_unless_another_is_named(monkeypatch):
    both = scene(*OUTPUTS)
    last, named = rendered(both), rendered(both, result="activity")
    np.testing.assert_array_equal(last, named)
    first = rendered(both, result="stiffness")
    assert (first != last).any()
    np.testing.assert_array_equal(rendered(both, result="scnn")[:100], 255)


def test_a_modifier_that_has_failed_leaves_no_legend():
    data = scene()
    write_attributes(data, "PredictedStiffness", {"no_cell": 0})
    assert (rendered(data)[:100] == 255).all()


@pytest.mark.parametrize(
    "check",
    [
        "constructs_without_arguments",
        "unknown_parameters_are_rejected",
        "parameters_survive_pickling",
        "parameters_are_described",
        "help_text_and_exports",
    ],
)
def test_it_obeys_the_rules_of_modifiers_that_are_not_about_data(check):
    getattr(conformance_checks, f"check_{check}")(Case("Glass ML: Prediction legend", PredictionLegendOverlay))


def test_parameters_that_are_none_are_refused():
    for wrong in ({"position": "middle"}, {"font_size": 0.0}, {"result": "rdf"}, {"no_such_parameter": 1}):
        with pytest.raises(TraitError):
            PredictionLegendOverlay(**wrong)
