"""What the package imports is what it declares to need, and type checkers may read its annotations."""

import ast
import re
import sys
import tomllib
from importlib import metadata, resources
from pathlib import Path

ROOT = Path(__file__).parents[1]
DISTRIBUTIONS = metadata.packages_distributions()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]

#: Which one to install depends on the graphics driver; what needs it says so.
CHOSEN_BY_HAND = {"cupy"}

#: The same module from another distribution: the one for this system has been installed.
TWINS = {"xgboost": "xgboost-cpu"}


def imported():
    """Modules of other distributions that any file of the package imports, and where."""
    found = {}
    for file in sorted((ROOT / "ovito_glassml").rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module]
            else:
                continue
            for name in {name.partition(".")[0] for name in names} - {"ovito_glassml", *sys.stdlib_module_names}:
                found.setdefault(name, file.relative_to(ROOT))
    return found


def names_of(requirements):
    return {re.match(r"[A-Za-z0-9._-]+", line)[0].lower() for line in requirements}


def distributions_of(module):
    """What holds a module, by the names that requirements use."""
    names = {name.lower() for name in DISTRIBUTIONS.get(module, [module])}
    return names | {TWINS[name] for name in names if name in TWINS} | {module.lower()}


def test_everything_imported_is_declared():
    declared = names_of(PROJECT["dependencies"])
    for requirements in PROJECT["optional-dependencies"].values():
        declared |= names_of(requirements)
    missing = {
        module: str(file)
        for module, file in imported().items()
        if module not in CHOSEN_BY_HAND and not distributions_of(module) & declared
    }
    assert missing == {}


def test_nothing_is_declared_that_is_not_imported():
    used = set().union(*map(distributions_of, imported()))
    assert names_of(PROJECT["dependencies"]) - used == set()


def test_the_package_says_that_it_is_typed():
    assert (resources.files("ovito_glassml") / "py.typed").is_file()
    assert "Typing :: Typed" in PROJECT["classifiers"]
