"""Tables of results are printed whole, whatever the width of the terminal."""

import pytest
from rich.console import Console

from ovito_glassml.cli import train
from ovito_glassml.learn.format import ResultTable

HEADINGS = ("configuration", "active", "inactive", "balanced accuracy", "average precision", "rate of events", "MCC")
ROWS = (("shear-kob-andersen-10", 1234, 5678, 0.125, 0.25, 0.5, 0.0625), ("mean", 1234, 5678, 0.125, 0.25, 0.5, 1.0))


@pytest.mark.parametrize("width", [40, 60, 100, 200])
def test_no_heading_and_no_number_is_cut(width, monkeypatch):
    console = Console(width=width, record=True, force_terminal=False)
    monkeypatch.setattr(train, "console", console)
    train._print_table(ResultTable("Held-out glasses", HEADINGS, ROWS, "How to read it"))
    text = console.export_text()
    words = text.split()
    assert "…" not in text
    assert all(word in words for heading in HEADINGS for word in heading.split())
    assert all(number in words for number in ("1234", "5678", "0.125", "0.250", "0.500", "0.062"))
    assert text.count("Held-out") == text.count("How to read it") == 1
    assert words.count("shear-kob-andersen-10") == words.count("mean") >= 1
    assert max(map(len, text.splitlines())) <= width
