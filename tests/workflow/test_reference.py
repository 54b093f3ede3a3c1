"""The reference of a modifier says what its source says, and fits into a terminal."""

import re

import pytest
from ovito.pipeline import FileSource

from ovito_glassml.modifiers.registry import MODIFIERS, by_name
from ovito_glassml.workflow.reference import markdown, parameters_of, printed, read_blocks

ENTRIES = pytest.mark.parametrize("entry", MODIFIERS, ids=lambda entry: entry.name)


@ENTRIES
def test_every_parameter_has_label_default_and_text(entry):
    modifier = entry.load()()
    found = {one.name: one for one in parameters_of(entry)}
    assert set(found) == set(modifier.editable_traits())
    for name, one in found.items():
        assert one.label == modifier.trait(name).label
        assert one.text.endswith("."), name
        value = getattr(modifier, name)
        shown = f'"{value}"' if isinstance(value, str) else str(value)
        shown = "none" if isinstance(value, FileSource) else shown
        assert re.match(rf"{re.escape(shown)}($|[,:]| [(])", one.default.replace("``", "").replace("'", '"')), name


def test_bounds_and_choices_are_said():
    values = {one.name: one.values for one in parameters_of(by_name()["nonaffine"])}
    assert values["cutoff"] == "above 0"
    assert values["active_share"] == "above 0, at most 1"
    assert values["reference_frame"] == "at least 0"
    assert values["frame_offset"] == "-1000000 to 1000000"
    assert values["labels"] == '``"threshold"`` or ``"quantile"``'
    assert values["color_by_result"] == ""


@ENTRIES
def test_a_terminal_of_80_columns_shows_it(entry):
    text = printed(entry)
    assert max(map(len, text.splitlines())) <= 80
    assert "`" not in text
    assert f"--modifier {entry.name} " in text
    assert all(f"  {name}: " in text for name in entry.load()().editable_traits())


def test_docstrings_are_read_as_paragraphs_outputs_and_code():
    blocks = read_blocks(
        """First.

        A formula in
        two lines::

            a = b
              + c

        Outputs of both:

        * ``One``: in
          two lines.
        * ``Two``: a table.

        Try ::

            glassml
        """
    )
    assert [(block.kind, block.text) for block in blocks] == [
        ("text", "First."),
        ("text", "A formula in two lines:"),
        ("code", "a = b\n  + c"),
        ("heading", "Outputs of both"),
        ("item", "``One``: in two lines."),
        ("item", "``Two``: a table."),
        ("text", "Try"),
        ("code", "glassml"),
    ]
    assert markdown(blocks).endswith("- `One`: in two lines.\n- `Two`: a table.\n\nTry\n\n```\nglassml\n```")
