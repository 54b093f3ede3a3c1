"""Numbers behind figures are collected row by row, and bars of several groups stand side by side."""

import numpy as np

from ovito_glassml.workflow.plotting import Columns, grouped_bars, new_axes, save_table


def test_what_is_one_value_stands_in_every_row_of_its_part(tmp_path):
    columns = Columns()
    columns.add(group="hot", radius=np.array([1.0, 2.5]), atoms=7)
    columns.add(group="cold", radius=[3.0], atoms=np.array([8]))
    columns.add(group="none", radius=[], atoms=[])
    assert columns == {"group": ["hot", "hot", "cold"], "radius": [1.0, 2.5, 3.0], "atoms": [7, 7, 8]}
    assert save_table(columns, tmp_path / "t.csv").read_text().split() == [
        "group,radius,atoms",
        "hot,1.0,7",
        "hot,2.5,7",
        "cold,3.0,8",
    ]


def test_bars_of_a_place_touch_and_lie_about_it():
    _, axis = new_axes(3, 3)
    grouped_bars(axis, {"one": [1, 2], "two": [3, 4]}, ("red", "blue"))
    bars = axis.patches
    assert [bar.get_height() for bar in bars] == [1, 2, 3, 4]
    np.testing.assert_allclose([bar.get_x() for bar in bars], [-0.4, 0.6, 0.0, 1.0], atol=1e-12)
    np.testing.assert_allclose([bar.get_width() for bar in bars], 0.4)
    assert axis.get_legend_handles_labels()[1] == ["one", "two"]
