"""What is written into OVITO's data, and what stays as it was."""

import numpy as np
import pytest

from ovito_glassml.adapter import output
from ovito_glassml.structure import Structure, StructureError


@pytest.fixture
def data(make_data):
    return make_data(np.arange(9.0).reshape(3, 3), np.eye(3) * 9)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int8, np.int32, np.int64])
def test_values_keep_their_precision(data, dtype):
    values = np.array([1, 2, 100], dtype=dtype)
    written = output.write_property(data, "Q", values)
    assert written[...].dtype == dtype
    np.testing.assert_array_equal(written[...], values)


def test_large_integers_survive(data):
    values = np.array([2**40, -(2**40), 3])
    assert output.write_property(data, "Q", values)[...].tolist() == values.tolist()


def test_truth_values_become_integers(data):
    assert output.write_property(data, "Q", np.array([True, False, True]))[...].tolist() == [1, 0, 1]


def test_columns_carry_names(data):
    values = np.arange(6.0).reshape(3, 2)
    written = output.write_property(data, "Q", values, components=["first", "second"])
    assert written.component_names == ("first", "second")
    np.testing.assert_array_equal(written[...], values)


def test_a_property_of_another_shape_is_replaced(data):
    output.write_property(data, "Q", np.zeros((3, 2)))
    output.write_property(data, "Q", np.ones(3, dtype=np.float32))
    np.testing.assert_array_equal(data.particles["Q"][...], np.ones(3))


def test_classes_have_names_and_colours(data):
    written = output.write_typed_property(data, "L", np.array([0, 1, -1]), {0: "low", 1: "high"}, {1: (1.0, 0.0, 0.0)})
    assert [(kind.id, kind.name) for kind in written.types] == [(0, "low"), (1, "high")]
    np.testing.assert_array_equal(written.type_by_name("high").color, [1, 0, 0])
    assert written[...].tolist() == [0, 1, -1]


def test_rows_of_selected_atoms_are_spread_over_all():
    mask = np.array([False, True, True, False])
    structure = Structure(np.eye(4, 3), mask=mask)
    spread = output.scatter(structure, np.array([5.0, 6.0]), np.nan)
    np.testing.assert_array_equal(spread, [np.nan, 5, 6, np.nan])
    rows = output.scatter(structure, np.array([[1, 2], [3, 4]]), -1)
    assert rows.tolist() == [[-1, -1], [1, 2], [3, 4], [-1, -1]]


def test_tables_replace_older_ones_of_their_name(data):
    x = ("r (Å)", np.arange(4))
    output.write_table(data, "rdf", "RDF", x=x, y={"a": np.ones(4), "b": np.zeros(4)}, y_label="g(r)")
    table = output.write_table(data, "rdf", "RDF", x=x, y={"a": np.ones(4)}, y_label="total g(r)")
    assert set(table.keys()) == {"r (Å)", "total g(r)"}
    np.testing.assert_array_equal(table.xy(), np.column_stack([np.arange(4), np.ones(4)]))
    assert len(data.tables) == 1


def test_histograms_count_every_finite_value(data):
    values = np.array([1.0, 2.0, 2.5, np.nan, 3.0])
    table = output.write_histogram(data, "h", "Histogram", values, "K (eV/Å²)", bins=4)
    assert table.y[...].tolist() == [1, 0, 1, 2]
    assert table.interval == (1.0, 3.0)
    assert table.axis_label_x == "K (eV/Å²)"


def test_a_histogram_of_nothing_is_empty(data):
    assert output.write_histogram(data, "h", "Histogram", np.array([np.nan]), "K").y[...].sum() == 0


@pytest.mark.parametrize("size", [0.0, 1e-300, 0.7, -0.7, 1e9, 1e300])
@pytest.mark.parametrize("steps", [0, 1, 5])
def test_values_that_differ_by_rounding_errors_are_in_one_histogram(data, size, steps):
    """Two equal atoms may get values whose range cannot be divided into bins."""
    other = size
    for _ in range(steps):
        other = np.nextafter(other, np.inf)
    table = output.write_histogram(data, "h", "Histogram", np.array([size, other]), "K")
    assert table.y[...].sum() == 2
    assert table.interval[0] < min(size, other) <= max(size, other) < table.interval[1]


def test_attributes_get_the_prefix(data):
    output.write_attributes(data, "Class", {"mean": 1.5, "count": 3})
    assert data.attributes["Class.mean"] == 1.5
    assert data.attributes["Class.count"] == 3


@pytest.mark.parametrize("before", [None, [1, 0, 1]])
def test_the_selection_survives_modifiers_that_change_it(data, before):
    if before is not None:
        data.particles_.create_property("Selection", data=before)
    with output.selection_guard(data):
        data.particles_.create_property("Selection", data=[0, 1, 0])
    after = data.particles.selection
    assert (None if after is None else after[...].tolist()) == before


def test_colours_run_from_the_smallest_to_the_largest_value(data):
    output.write_property(data, "Q", np.array([3.0, np.nan, 1.0]))
    output.color_by(data, "Q")
    red, _, blue = data.particles.colors[...].T
    assert red[0] > red[2]  # Viridis ends yellow and begins violet
    assert blue[0] < blue[2]


def test_particles_without_a_value_are_grey(data):
    output.write_property(data, "Q", np.array([3.0, np.nan, 1.0]))
    output.color_by(data, "Q")
    spread = np.ptp(data.particles.colors[...], axis=1)
    assert spread[1] == 0
    assert (spread[[0, 2]] > 0.3).all()


def test_nothing_to_colour_leaves_the_colours_alone(data):
    output.write_property(data, "Q", np.full(3, np.nan))
    output.color_by(data, "Q")
    assert data.particles.colors is None


# What an earlier run left in a file.

RADII = ("r2_1", "r2_3", "r10")


def with_old(data, *names, vectors=()):
    for name in names:
        data.particles_.create_property(name, data=np.full(3, -7.0))
    for name, width in vectors:
        data.particles_.create_property(name, components=width, data=np.full((3, width), -7.0))


@pytest.mark.parametrize(
    "old", ["PredictedStiffness", "predictedstiffness", "PREDICTEDSTIFFNESS", "predicted Stiffness"]
)
def test_a_name_from_a_file_is_replaced_by_the_name_it_was(data, old):
    """Files drop blanks, and OVITO drops capitals of what it reads from a dump."""
    with_old(data, old, "Mine")
    output.write_property(data, "Predicted Stiffness", np.arange(3.0))
    assert set(data.particles.keys()) == {"Position", "Mine", "Predicted Stiffness"}
    np.testing.assert_array_equal(data.particles["Predicted Stiffness"], np.arange(3.0))


@pytest.mark.parametrize("width", [2, 3, 40])
def test_a_vector_from_a_file_is_replaced_whatever_its_width(data, width):
    with_old(data, vectors=[("RDFDescriptors", width)])
    output.write_property(data, "RDF Descriptors", np.zeros((3, 3)), RADII)
    assert set(data.particles.keys()) == {"Position", "RDF Descriptors"}


@pytest.mark.parametrize(
    "old",
    [
        ("rdfdescriptorsr2_1", "rdfdescriptorsr2_3", "rdfdescriptorsr10"),
        ("rdfdescriptorsr2_05", "rdfdescriptorsr2_15", "rdfdescriptorsr7"),
        ("rdfdescriptorscu_r2_1", "rdfdescriptorszr_r2_1"),
        ("rdfdescriptors1", "rdfdescriptors2", "rdfdescriptors3", "rdfdescriptors4", "rdfdescriptors5"),
        ("rdfdescriptors_0", "rdfdescriptors_1"),
        ("RDFDescriptors[1]", "RDFDescriptors[2]"),
    ],
)
def test_columns_of_a_dump_are_replaced_by_the_vector_they_were(make_data, old):
    """Components that have the same names, those of other settings, and numbered ones."""
    data = make_data(np.eye(3), np.eye(3) * 9, types=[1, 2, 2], names={1: "Cu", 2: "Zr"})
    with_old(data, *old, "rdfdescriptorsmean", "rdfdescriptorspc1")
    output.write_property(data, "RDF Descriptors", np.zeros((3, 3)), RADII)
    kept = {"Position", "Particle Type", "rdfdescriptorsmean", "rdfdescriptorspc1"}
    assert set(data.particles.keys()) == {*kept, "RDF Descriptors"}


def test_what_only_looks_similar_stays(data):
    mine = [
        "My Predicted Stiffness",
        "PredictedStiffness2",
        "Predicted_Stiffness",
        "PredictedStiffnessOld",
        "Stiffness",
    ]
    lone = ["PrototypeSimilarity3", "PrototypeSimilarityMean", "PrototypeSimilarityExtrapolation"]
    with_old(data, *mine, *lone, vectors=[("Prototypes", 4)])
    output.write_property(data, "Predicted Stiffness", np.arange(3.0))
    output.write_property(data, "Prototype Similarity", np.zeros((3, 2)), ["Prototype 0", "Prototype 1"])
    output.write_typed_property(data, "Prototype", np.zeros(3, int), {0: "0 low"})
    written = {"Predicted Stiffness", "Prototype Similarity", "Prototype"}
    assert set(data.particles.keys()) == {"Position", "Prototypes", *mine, *lone, *written}


def test_text_that_a_class_became_in_a_file_is_replaced_by_the_class(data):
    data.particles_.create_property("TCPLabel", dtype=str, data=["Z12", "none", "Z12"])
    output.write_typed_property(data, "TCP Label", np.array([12, 0, 12]), {0: "none", 12: "Z12"})
    assert data.particles["TCP Label"][...].tolist() == [12, 0, 12]
    assert "TCPLabel" not in data.particles


def test_colours_by_type_are_those_of_the_types_and_leave_the_selection(data):
    data.particles_.create_property("Selection", data=[1, 0, 1])
    kinds, colours = {0: "no", 1: "yes"}, {0: (1.0, 0.0, 0.0), 1: (0.0, 0.0, 1.0)}
    output.write_typed_property(data, "Q", np.array([1, 0, 1], dtype=np.int32), kinds, colours)
    output.color_by_type(data, "Q")
    np.testing.assert_array_equal(data.particles.colors[...], [colours[1], colours[0], colours[1]])
    assert data.particles.selection[...].tolist() == [1, 0, 1]


def test_rows_are_computed_where_ovito_keeps_them(data):
    with output.new_rows(data, "Rows", "float32", ["a", "b"], None) as rows:
        rows[:] = np.arange(rows.size).reshape(rows.shape)
        assert np.shares_memory(rows, np.asarray(data.particles["Rows"]))
    assert data.particles["Rows"].component_names == ("a", "b")
    assert data.particles["Rows"].dtype == np.float32
    np.testing.assert_array_equal(data.particles["Rows"], rows)


def test_rows_of_atoms_that_are_left_out_are_undefined(data):
    mask = np.array([True, False, True])
    with output.new_rows(data, "Rows", "float32", ["a", "b"], mask) as rows:
        rows[mask] = 1
    np.testing.assert_array_equal(data.particles["Rows"], np.where(mask[:, None], [1.0, 1.0], np.nan))


def test_rows_that_do_not_fit_into_memory_are_refused(data, monkeypatch):
    monkeypatch.setattr("ovito_glassml.memory.physical_memory", lambda: 20.0)
    with (
        pytest.raises(StructureError, match=r"3 rows of 2 features take .* more than this machine's memory"),
        output.new_rows(data, "Rows", "float32", ["a", "b"], None),
    ):
        pass
    assert "Rows" not in data.particles


def test_rows_of_work_that_fails_leave_the_particles_as_they_were(data):
    def fail():
        with output.new_rows(data, "Rows", "float64", ["a"], None) as rows:
            rows[:] = 1
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert "Rows" not in data.particles
    output.write_property(data, "rows", np.zeros(data.particles.count))
    with pytest.raises(KeyboardInterrupt):
        fail()
    assert not np.any(data.particles["rows"])
    with output.new_rows(data, "Rows", "float64", ["a"], None) as rows:
        rows[:] = 1
    assert "rows" not in data.particles
    assert np.all(data.particles["Rows"])
