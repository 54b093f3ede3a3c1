"""The pages made from the code are those that the code makes now, and their examples run."""

import doctest
import itertools
import re

import pytest

from ovito_glassml.reproduce.docs import BY_HAND, COMMAND, DOCS, README, pages, sources, with_tables

MADE = pages()


@pytest.mark.parametrize("name", MADE)
def test_pages_are_what_the_code_makes(name):
    stored = (DOCS / name).read_text(encoding="utf-8") if (DOCS / name).is_file() else ""
    assert stored == MADE[name], f"{name} is not what the code says now; write it anew with: {COMMAND}"


@pytest.mark.parametrize("file", sources(), ids=lambda file: file.stem)
def test_the_help_in_ovitos_panel_is_the_beginning_of_the_reference(file):
    source = file.read_text(encoding="utf-8")
    assert source == sources()[file], f"its help is not what the docstring says now; write it anew with: {COMMAND}"
    title, *help_lines = itertools.takewhile(lambda line: line.startswith("#"), source.splitlines())
    assert title.startswith("##### Glass ML: ")
    assert 2 < len(help_lines) < 9
    assert not any(mark in line for line in help_lines for mark in ("`", "::"))


def test_the_tables_of_the_readme_are_what_the_code_makes():
    stored = README.read_text(encoding="utf-8")
    assert "<!-- modifiers -->\n\n| " in stored
    assert "<!-- scores -->\n\n| " in stored
    assert stored == with_tables(stored), f"The tables of the README are old; write them anew with: {COMMAND}"


def test_there_are_no_other_pages_and_each_can_be_reached():
    assert {file.name for file in DOCS.iterdir()} == {*MADE, *(f"{name}.md" for name in BY_HAND)}
    linked = set(re.findall(r"\]\((\w+\.md)\)", MADE["README.md"]))
    assert linked == {file.name for file in DOCS.iterdir()} - {"README.md"}


def test_the_examples_of_the_numeric_interface_run(monkeypatch):
    monkeypatch.chdir(README.parent)
    source = "\n\n".join(re.findall(r"(?ms)^```python\n(.*?)^```$", MADE["numerics.md"]))
    examples = doctest.DocTestParser().get_doctest(source, {}, "numerics.md", None, 0)
    assert len(examples.examples) > 25
    failures = []
    assert doctest.DocTestRunner(verbose=False).run(examples, out=failures.append).failed == 0, "".join(failures)
