"""Imports point downwards: every room of the package may import the rooms below it and no others."""

import ast
from collections import defaultdict
from pathlib import Path

import ovito_glassml

PACKAGE = Path(ovito_glassml.__file__).parent

#: From the ground up: each room, or several side by side that may not import each other. What a room may not import
#: although it lies below is named in `CLOSED`.
FLOORS = (
    {"errors"},
    {"locks", "structure"},
    {"files", "compile", "threads", "processes", "dimension", "displacements"},
    {"neighbours"},
    {"descriptors", "topology", "labels"},
    {"learn", "simulate", "adapter"},
    {"modifiers"},
    {"study", "batch"},
    {"workflow"},
    {"reproduce"},
    {"cli"},
    {"__main__"},
)
#: Doors that stay shut: the numbers know nothing of OVITO, models and users' workflows nothing of how ours were made.
CLOSED = {
    "study": {"simulate", "adapter", "modifiers"},
    "batch": {"simulate", "learn"},
    "modifiers": {"simulate"},
    "adapter": {"descriptors", "topology", "labels", "learn"},
}
#: The only rooms that know OVITO.
KNOW_OVITO = {"adapter", "modifiers", "batch", "workflow", "reproduce", "cli"}


def imports():
    """Every import of a module by another, wherever it stands: (module, imported module)."""
    for file in PACKAGE.rglob("*.py"):
        parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
        module = ".".join(part for part in parts if part != "__init__")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                yield from ((module, alias.name) for alias in node.names)
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    inner = PACKAGE.parent.joinpath(*node.module.split("."), alias.name)
                    is_module = inner.is_dir() or inner.with_suffix(".py").is_file()
                    yield module, f"{node.module}.{alias.name}" if is_module else node.module


def room(module):
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


OWN = [(one, other) for one, other in imports() if other.split(".")[0] == "ovito_glassml"]


def test_every_room_stands_on_a_floor():
    rooms = {file.stem for file in PACKAGE.iterdir() if file.suffix == ".py" or (file / "__init__.py").is_file()}
    assert rooms - {"__init__"} == set().union(*FLOORS)


def test_imports_point_downwards():
    floor = {name: number for number, names in enumerate(FLOORS) for name in names}
    upwards = [
        (one, other)
        for one, other in OWN
        if room(one) and room(other) and room(one) != room(other) and floor[room(other)] >= floor[room(one)]
    ]
    assert not upwards


#: The one modifier that needs a force field.
NEEDS_FORCES = "ovito_glassml.modifiers.harmonic_stiffness"


def test_closed_doors_stay_shut():
    opened = {one for one, other in OWN if room(other) in CLOSED.get(room(one), ())}
    assert opened == {NEEDS_FORCES}


def test_only_the_rooms_around_ovito_import_it():
    strangers = {room(one) for one, other in imports() if other.split(".")[0] == "ovito"} - {None}
    assert strangers <= KNOW_OVITO


def test_no_modules_import_each_other_in_a_circle():
    below = defaultdict(set)
    for one, other in OWN:
        if other != "ovito_glassml":  # which holds the version, and names that are imported when they are asked for
            below[one].add(other)
    done, path = set(), []

    def visit(module):
        assert module not in path, " → ".join([*path[path.index(module) :], module])
        if module in done:
            return
        path.append(module)
        for other in below[module]:
            visit(other)
        done.add(path.pop())

    for module in list(below):
        visit(module)
