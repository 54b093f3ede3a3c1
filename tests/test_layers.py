"""Imports point downwards: every room of the package may import the rooms below it and no others."""

import ast
from collections import defaultdict
from pathlib import Path

import ovito_glassml

PACKAGE = Path(ovito_glassml.__file__).parent

#: From the ground up: each room, or several side by side that may not import each other. What a room may not import
#: although it lies below is named in `CLOSED`.
FLOORS = (
    {"errors", "progress"},
    {"locks", "structure"},
    {"files", "compile", "threads", "processes", "memory", "dimension", "displacements"},
    {"neighbours"},
    {"descriptors", "topology", "labels"},
    {"learn", "simulate", "adapter"},
    {"modifiers"},
    {"study", "batch", "overlays"},
    {"workflow"},
    {"reproduce"},
    {"cli"},
    {"__main__"},
)
#: Doors that stay shut: the numbers know nothing of OVITO, models and users' workflows nothing of how ours were made.
CLOSED = {
    "study": {"simulate", "adapter", "modifiers"},
    "batch": {"simulate", "learn"},
    "overlays": {"simulate", "learn"},
    "modifiers": {"simulate"},
    "adapter": {"descriptors", "topology", "labels", "learn"},
}
#: The only rooms that know OVITO.
KNOW_OVITO = {"adapter", "modifiers", "overlays", "batch", "workflow", "reproduce", "cli"}

#: Inside `learn`: what all methods share, and the numbers that one method alone has; the model of any method; the
#: models; what makes and judges them. Modules of a method's floor may build on each other.
LEARN_SHARED = {
    "averaged_sum",
    "card",
    "evaluation",
    "expected_error",
    "extrapolation",
    "format",
    "lengths",
    "sample_extrapolation",
    "torch_threads",
    "units",
}
LEARN_MAKES = {"data", "evaluate", "network", "train"}


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


def learn_floor(module):
    """0 numbers, files, scores; 1 any model, and the choice of one; 2 the models; 3 what makes and judges them."""
    *package, name = module.split(".")[2:]
    if not package:
        return 1 if name in ("model", "choice") else 0 if name in LEARN_SHARED else None
    return 2 if name == "model" else 3 if name in LEARN_MAKES else 0


def test_learn_has_four_floors_and_its_methods_do_not_know_each_other():
    inside = [(one, other) for one, other in OWN if room(one) == room(other) == "learn"]
    methods = {one: one.split(".")[2] for pair in inside for one in pair if one.count(".") == 3}
    assert not [module for pair in inside for module in pair if learn_floor(module) is None]
    assert not [pair for pair in inside if learn_floor(pair[0]) < learn_floor(pair[1])]
    strangers = [(one, other) for one, other in inside if other in methods and methods.get(one) != methods[other]]
    assert not strangers


def test_progress_is_defined_once():
    aliases = [file for file in PACKAGE.rglob("*.py") if "Progress = Callable" in file.read_text(encoding="utf-8")]
    assert [file.relative_to(PACKAGE).as_posix() for file in aliases if "simulate" not in file.parts] == ["progress.py"]


def test_functions_can_be_read_at_once():
    """No function has more than sixty lines without its docstring."""
    long = set()
    for file in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                said = node.body[0] if ast.get_docstring(node, clean=False) is not None else None
                lines = node.end_lineno - node.lineno + 1 - (said.end_lineno - said.lineno + 1 if said else 0)
                if lines > 60:
                    long.add(f"{file.relative_to(PACKAGE).as_posix()}:{node.name}")
    assert long == set()
