"""Without a renderer a slice is plotted: the atoms of a slab as circles in their colours."""

import numpy as np
import pytest
from matplotlib.collections import EllipseCollection

from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.adapter.render import RenderingUnavailable
from ovito_glassml.workflow import comparison
from ovito_glassml.workflow.comparison import Scene, draw_comparison, draw_slice
from ovito_glassml.workflow.plotting import new_axes
from ovito_glassml.workflow.sample_data import sample_file


@pytest.fixture(scope="module")
def glass():
    return open_trajectory(sample_file("stiffness/vibrations-cu50zr50-1e12-1.xyz.gz")).compute()


def test_circles_are_the_atoms_of_the_slab_those_in_front_last(glass):
    positions = np.asarray(glass.particles.positions)
    colours = np.random.default_rng(1).uniform(size=(len(positions), 3))
    _, axis = new_axes(3, 3)
    draw_slice(axis, glass, colours, 5.0, 2.5)
    (circles,) = (one for one in axis.collections if isinstance(one, EllipseCollection))
    middle = glass.cell[2, 2] / 2
    inside = np.flatnonzero(np.abs(positions[:, 2] - middle) < 2.5)
    inside = inside[np.argsort(positions[inside, 2])]
    np.testing.assert_allclose(circles.get_offsets(), positions[inside, :2])
    np.testing.assert_allclose(circles.get_facecolors()[:, :3], colours[inside])


def test_a_comparison_without_a_renderer_says_so(glass, tmp_path, monkeypatch):
    def fail(*arguments, **options):
        raise RenderingUnavailable("There is no driver.")

    monkeypatch.setattr(comparison, "render_property", fail)
    file, remark = draw_comparison(glass, tmp_path / "glass.png", Scene((("Stiffness", "measured"),), "stiffness"))
    assert file.stat().st_size > 20_000
    assert remark[:2] == ["There is no driver.", "So the picture shows a plotted slice."]
