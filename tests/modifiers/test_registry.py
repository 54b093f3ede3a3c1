"""One list of modifiers and viewport layers: OVITO's menu, type checkers and the package's names agree with it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

import ovito_glassml
from ovito_glassml.modifiers.registry import MODIFIERS, OVERLAYS, by_name

PACKAGE = Path(ovito_glassml.__file__).parent
PYPROJECT = PACKAGE.parent / "pyproject.toml"


ENTRIES = (*MODIFIERS, *OVERLAYS)


@pytest.mark.parametrize(("group", "entries"), [("OVITO.Modifier", MODIFIERS), ("OVITO.ViewportOverlay", OVERLAYS)])
def test_ovito_is_offered_what_is_registered_under_its_titles(group, entries):
    offered = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"][group]
    assert offered == {f"Glass ML: {entry.title}": entry.entry_point for entry in entries}


def test_type_checkers_see_the_registered_classes_where_they_are():
    imports = ast.parse((PACKAGE / "__init__.pyi").read_text()).body
    seen = {(node.module, node.names[0].name) for node in imports if isinstance(node, ast.ImportFrom)}
    assert seen == {(f"ovito_glassml.{one.package}.{one.module}", one.class_name) for one in ENTRIES}


def test_every_file_is_registered_and_named_once():
    files = {(folder, file.stem) for folder in ("modifiers", "overlays") for file in (PACKAGE / folder).glob("*.py")}
    files -= {("modifiers", "__init__"), ("modifiers", "registry"), ("overlays", "__init__")}
    assert files == {(entry.package, entry.module) for entry in ENTRIES}
    assert len(by_name()) == len(MODIFIERS)
    assert len(ENTRIES) == len({entry.title for entry in ENTRIES}) == len({entry.name for entry in ENTRIES})


def test_public_names_are_the_registered_classes():
    assert sorted(ovito_glassml.__all__) == sorted(entry.class_name for entry in ENTRIES)
    for entry in ENTRIES:
        assert getattr(ovito_glassml, entry.class_name) is entry.load()
    for overlay in OVERLAYS:
        assert overlay.shown_with in by_name()
    for modifier in MODIFIERS:
        assert set(modifier.example.before) <= set(by_name())
        assert set(modifier.example.parameters) <= set(modifier.load()().editable_traits())


def test_the_list_costs_nothing_to_read():
    code = "import sys, ovito_glassml.modifiers.registry; sys.exit('numpy' in sys.modules or 'ovito' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
