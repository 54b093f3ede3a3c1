"""One list of modifiers: OVITO's menu, type checkers and the package's names agree with it."""

import ast
import subprocess
import sys
import tomllib
from pathlib import Path

import ovito_glassml
from ovito_glassml.modifiers.registry import MODIFIERS, by_name

PACKAGE = Path(ovito_glassml.__file__).parent
PYPROJECT = PACKAGE.parent / "pyproject.toml"


def test_ovito_is_offered_the_registered_modifiers_under_their_titles():
    offered = tomllib.loads(PYPROJECT.read_text())["project"]["entry-points"]["OVITO.Modifier"]
    assert offered == {f"Glass ML: {modifier.title}": modifier.entry_point for modifier in MODIFIERS}


def test_type_checkers_see_the_registered_classes_where_they_are():
    imports = ast.parse((PACKAGE / "__init__.pyi").read_text()).body
    seen = {(node.module, node.names[0].name) for node in imports if isinstance(node, ast.ImportFrom)}
    assert seen == {(f"ovito_glassml.modifiers.{one.module}", one.class_name) for one in MODIFIERS}


def test_every_file_of_a_modifier_is_registered_and_named_once():
    files = {file.stem for file in (PACKAGE / "modifiers").glob("*.py")} - {"__init__", "registry"}
    assert files == {modifier.module for modifier in MODIFIERS}
    assert len(by_name()) == len(MODIFIERS) == len({modifier.title for modifier in MODIFIERS})


def test_public_names_are_the_registered_classes():
    assert sorted(ovito_glassml.__all__) == sorted(modifier.class_name for modifier in MODIFIERS)
    for modifier in MODIFIERS:
        assert getattr(ovito_glassml, modifier.class_name) is modifier.load()
        assert set(modifier.example.before) <= set(by_name())
        assert set(modifier.example.parameters) <= set(modifier.load()().editable_traits())


def test_the_list_costs_nothing_to_read():
    code = "import sys, ovito_glassml.modifiers.registry; sys.exit('numpy' in sys.modules or 'ovito' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
