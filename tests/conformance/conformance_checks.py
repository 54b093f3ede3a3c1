"""The behaviour that every modifier shares, one function a rule.

Each function takes a `Case` and raises AssertionError if the rule is broken. They are plain
functions, so that the matrix itself can be tested with modifiers that break a rule on purpose.
"""

from __future__ import annotations

import ast
import concurrent.futures
import csv
import inspect
import os
import pickle
import re
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import traits.api
from conformance_cases import (
    CUBE,
    SMALL,
    TRICLINIC,
    Case,
    Sample,
    added,
    computed,
    direct,
    glass,
    large_glass,
    pipeline,
    telling_frame,
    undefined,
    write_xyz,
    written,
)
from ovito.data import DataCollection, DataTable
from ovito.io import export_file

from ovito_glassml.adapter import progress
from ovito_glassml.adapter.files import open_trajectory
from ovito_glassml.errors import GlassMLError
from ovito_glassml.threads import limit_threads

HERE = Path(__file__).parent


# --- parameters and documentation -----------------------------------------------------------------


def check_constructs_without_arguments(case: Case) -> None:
    assert case.modifier().editable_traits()


def check_unknown_parameters_are_rejected(case: Case) -> None:
    with pytest.raises(Exception, match="no_such_parameter"):
        case.make(no_such_parameter=1)
    modifier = case.make()
    with pytest.raises(Exception, match="no_such_parameter"):
        modifier.no_such_parameter = 1


def check_parameters_survive_pickling(case: Case) -> None:
    parameters = altered_parameters(case)
    copy = pickle.loads(pickle.dumps(case.make(**parameters)))
    for name, value in parameters.items():
        assert getattr(copy, name) == value, f"{name} is lost"


def check_parameters_are_described(case: Case) -> None:
    modifier = case.make()
    docstrings = trait_docstrings(case.modifier)
    for name in modifier.editable_traits():
        trait = modifier.trait(name)
        assert trait.label, f"{name} has no label"
        assert trait.ovito_group, f"{name} has no group"
        text = docstrings.get(name, "")
        assert ":Default:" in text, f"{name} has no docstring with a default"
        assert len(text.split(":Default:")[0]) > 20, f"{name} is not explained"
        value = getattr(modifier, name)
        if isinstance(value, int | float) and not isinstance(value, bool):
            assert isinstance(trait.trait_type, traits.api.BaseRange), f"{name} has no bounds"
        if isinstance(value, float):
            assert "(" in trait.label, f"the label of {name} has no unit"


def check_help_text_and_exports(case: Case) -> None:
    module = sys.modules[case.modifier.__module__]
    first = inspect.getsource(module).splitlines()[0]
    assert first == f"##### {case.title} #####", "OVITO's panel shows no help"
    assert case.title.startswith("Glass ML:")
    assert case.modifier.__name__ in module.__all__, "generated code does not find the class"


def check_outputs_are_documented(case: Case) -> None:
    data = computed(case.make(), glass())
    text = inspect.getdoc(case.modifier)
    assert added(data) or (case.compares and written(data))
    # The name of a species may follow the second part of the name of an attribute.
    attributes = {".".join(name.split(".")[:2]) for name in data.attributes if name.startswith(case.prefix)}
    for name in [*added(data), *data.tables, *attributes]:
        assert f"``{name}``" in text, f"{name} is not documented"


def altered_parameters(case: Case) -> dict[str, Any]:
    """Values other than the defaults that the modifier must still accept."""
    modifier = case.make()
    changed: dict[str, Any] = dict(case.needed)
    for name in set(modifier.editable_traits()) - changed.keys():
        value = getattr(modifier, name)
        if isinstance(value, float):
            changed[name] = 1.1 * value if value else 0.05
        elif isinstance(value, bool) and name != "only_selected":
            changed[name] = not value
        elif name == "species":
            changed[name] = "Cu,Zr"
    return changed


def trait_docstrings(modifier: type) -> dict[str, str]:
    """Texts below the assignments in the bodies of a class and its bases."""
    found: dict[str, str] = {}
    for owner in reversed(modifier.__mro__):
        if owner.__module__.startswith(("traits.", "ovito.", "builtins")):
            continue
        body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # type: ignore[attr-defined]
        for statement, below in zip(body, [*body[1:], None], strict=True):
            targets = statement.targets if isinstance(statement, ast.Assign) else [getattr(statement, "target", None)]
            names = [target.id for target in targets if isinstance(target, ast.Name)]
            text = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            found |= {name: str(text) for name in names}
    return found


# --- progress, cancellation, cost -----------------------------------------------------------------


def check_progress_is_reported(case: Case) -> None:
    reports = list(direct(case.make(), glass())())
    assert any(isinstance(report, str) and report for report in reports), "no text"
    fractions = [report for report in reports if not isinstance(report, str)]
    assert fractions, "no fraction"
    assert all(0 <= fraction <= 1 for fraction in fractions)


#: Atoms of which work may go on before it shows that it can be stopped, with room for stages of unequal length.
LONGEST_STRETCH = 10_000


def check_cancels_quickly(case: Case) -> None:
    """By counting, since a clock measures the machine, too: signs of life come every few thousand atoms, and closing
    the generator at one of them ends the work. `tests/benchmarks/cancelling.py` takes the time."""
    if not case.is_local:
        return
    fewer, more = (direct(case.make(), large_glass(count)) for count in (8_000, 40_000))
    gained = _signs_of_life(more) - _signs_of_life(fewer)
    # Comparing two numbers an atom takes milliseconds.
    assert case.compares or gained >= 32_000 / LONGEST_STRETCH, f"32000 more atoms show {gained} more signs of life"
    growth = _lines_of_closing(more) - _lines_of_closing(fewer)
    assert growth < 1000, f"closing runs {growth} more lines of Python with 32000 more atoms"


def _signs_of_life(start: Any) -> int:
    """How often work in the worker reports or, if it has none, the generator yields; repetitions by the clock aside."""
    with _reports() as reports:
        yielded = list(start())
    return len(reports) or len(yielded)


@contextmanager
def _reports() -> Iterator[list[float]]:
    """Fractions that work in the worker reports, and 0 for its beginning."""
    reports: list[float] = []
    through_worker = progress.with_progress

    def counting(work: Callable[..., Any]) -> Any:
        def recorded(report: Callable[[float], None]) -> Any:
            reports.append(0.0)

            def note(fraction: float) -> None:
                reports.append(fraction)
                report(fraction)

            return work(note)

        return through_worker(recorded)

    users = [module for module in list(sys.modules.values()) if vars(module).get("with_progress") is through_worker]
    for module in users:
        module.with_progress = counting  # type: ignore[attr-defined]
    try:
        yield reports
    finally:
        for module in users:
            module.with_progress = through_worker  # type: ignore[attr-defined]


def _lines_of_closing(start: Any) -> int:
    """Lines of Python that run when a modifier is stopped at its second sign."""
    generator = start()
    for _ in range(2):  # a text, and a sign of life from the work
        next(generator)
    return _lines_run(generator.close)


def check_no_python_loop_over_atoms(case: Case) -> None:
    if not case.is_local:
        return
    fewer = 1000 if case.compares else 400  # too few atoms would have no intervals, whose cost is constant
    few, many, other = (direct(case.make(), large_glass(count)) for count in (fewer, 3300, 2 * fewer))
    for _ in range(2):  # libraries that the first run loads are listed by the second
        list(other())  # what is kept of a structure must not make the next run of it shorter
    with limit_threads(1):  # tasks that threads of before take would not be listed
        growth = _lines_run(lambda: list(many())) - _lines_run(lambda: list(few()))
    assert growth < 1000, f"3000 more atoms run {growth} more lines of Python"


#: Files with code that waits for the worker: how many lines of it run says how busy the machine is.
WAITING = {progress.__file__, concurrent.futures._base.__file__, threading.__file__}


def _lines_run(work: Callable[[], Any]) -> int:
    """Lines of Python that work runs, here and in its worker thread."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        if frame.f_code.co_filename in WAITING:
            return None
        count += event == "line"
        return trace

    before, before_in_threads, worker = sys.gettrace(), threading.gettrace(), progress._worker
    progress._worker = ThreadPoolExecutor(max_workers=1)
    threading.settrace(trace)
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
        threading.settrace(before_in_threads)  # type: ignore[arg-type]
        progress._worker.shutdown()
        progress._worker = worker
    return count


def check_results_are_reproducible_bit_by_bit(case: Case) -> None:
    sample = large_glass(5000) if case.is_local else glass()
    first = written(computed(case.make(), sample))
    with limit_threads(1):
        alone = written(computed(case.make(), sample))
    again = written(computed(case.make(), sample))
    for other in (alone, again):
        for name, values in first.items():
            assert values.tobytes() == other[name].tobytes(), f"{name} differs"


LIGHT_IMPORT = """
import importlib, sys
import ovito
import ovito_glassml
for module, name in {names!r}:
    getattr(importlib.import_module(module), name)()
print(*[name for name in ("torch", "sklearn", "xgboost", "shap", "optuna") if name in sys.modules])
"""


def check_import_is_light(case: Case) -> None:
    check_imports_together_are_light([case])


def check_imports_together_are_light(cases: list[Case]) -> None:
    """Also for the whole package at once."""
    names = [(case.modifier.__module__, case.modifier.__name__) for case in cases]
    heavy = run_python(LIGHT_IMPORT.format(names=names)).split()
    assert not heavy, f"{heavy} are imported"


def run_python(code: str, *arguments: object) -> str:
    """Run code in a new interpreter that finds the modules of this folder."""
    environment = dict(os.environ, PYTHONPATH=os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")]))
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=120)
    assert done.returncode == 0, f"exit status {done.returncode}: {done.stderr[-2000:]}"
    return done.stdout


# --- kinds of input -------------------------------------------------------------------------------


def is_clear(error: BaseException) -> bool:
    """One sentence for the user, with what is wrong and what to do."""
    text = str(error)
    return isinstance(error, GlassMLError) and "\n" not in text and text.endswith(".") and ";" in text


def outcome(
    modifier: Any, source: Sample | list[DataCollection], frame: int | None = None
) -> DataCollection | GlassMLError:
    """The result, or the error if it is a clear one."""
    try:
        return computed(modifier, source, frame)
    except Exception as error:
        if not is_clear(error):
            raise AssertionError(f"unclear: {type(error).__name__}: {error}") from error
        return error  # type: ignore[return-value]


def assert_defined(case: Case, data: DataCollection, sample: Sample) -> None:
    outputs = written(data)
    assert outputs
    for name, values in outputs.items():
        assert len(values) == len(sample.kinds)
        without = undefined(values)
        assert case.may_lack(name) or not without[case.answers_for(sample)].any(), f"{name} has atoms without value"
        assert without[~case.answers_for(sample)].all(), f"{name} has values for species that it cannot tell"


def assert_same(first: dict[str, np.ndarray], second: dict[str, np.ndarray], rtol: float = 1e-6) -> None:
    assert first.keys() == second.keys()
    for name, values in first.items():
        scale = np.abs(values[np.isfinite(values)]).max(initial=0.0)
        np.testing.assert_allclose(second[name], values, rtol=rtol, atol=rtol * scale, err_msg=name)


def check_data_without_particles(case: Case) -> None:
    empty = glass(count=1, frames=4).take(np.array([], dtype=int))
    result = outcome(case.make(), empty)
    if isinstance(result, DataCollection):
        assert written(result)
        assert all(len(values) == 0 for values in written(result).values())
    nothing = outcome(case.make(), [DataCollection() for _ in range(4)])
    assert isinstance(nothing, GlassMLError), "nothing to work on is no error"


def check_open_and_mixed_boundaries(case: Case) -> None:
    """An open side is the same as vacuum on that side of a periodic cell."""
    fixed = {"number_density": 0.05} if case.has("number_density") else {}
    for pbc in ((False, False, False), (True, True, False), (False, True, False)):
        sample = glass(TRICLINIC, pbc)
        stretched = TRICLINIC * np.where(pbc, 1, 4)[:, None]
        vacuum = replace(sample, cell=stretched, pbc=(True, True, True))
        result = computed(case.make(**fixed), sample)
        assert_defined(case, result, sample)
        # Other cells order the neighbours otherwise: rounding as where atoms are moved or turned, below.
        if case.is_local:
            assert_same(written(result), written(computed(case.make(**fixed), vacuum)), rtol=1e-5)
        assert_defined(case, computed(case.make(), sample), sample)


def check_triclinic_cells(case: Case) -> None:
    """A lattice has many cells: another choice of vectors changes nothing."""
    sample = glass(TRICLINIC)
    skewed = np.array([TRICLINIC[0], TRICLINIC[1] + TRICLINIC[0], TRICLINIC[2] - TRICLINIC[1]])
    other = replace(sample, cell=skewed)
    # Neighbours come in another order: sums in single precision differ in their last digits, distances to the
    # training data by up to four millionths.
    assert_same(written(computed(case.make(), sample)), written(computed(case.make(), other)), rtol=5e-6)


def check_small_periodic_cells(case: Case) -> None:
    """Eight copies of a tiny cell are the same material."""
    sample = glass(SMALL)
    count = len(sample.kinds)
    outputs = written(computed(case.make(), sample))
    if not case.is_local:
        return
    repeated = written(computed(case.make(), sample.repeated()))
    assert_same(outputs, {name: values[:count] for name, values in repeated.items()}, rtol=1e-5)


def check_no_cell(case: Case) -> None:
    sample = glass(None)
    result = outcome(case.make(), sample)
    if not isinstance(result, DataCollection):
        assert "number_density" in str(result)
        result = computed(case.make(number_density=0.05), sample)
    assert_defined(case, result, sample)


def check_one_species(case: Case) -> None:
    sample = glass(names={1: "Cu"})
    assert_defined(case, computed(case.make(), sample), sample)


def check_unnamed_types(case: Case) -> None:
    sample = glass()
    unnamed = replace(sample, names={1: "", 2: ""})
    named = written(computed(case.make(), sample))
    result = outcome(case.make(), unnamed)
    if not isinstance(result, DataCollection) or case.compares:  # whose attributes have names of species
        assert isinstance(result, DataCollection) or "species" in str(result)
        result = computed(case.make(species="Cu,Zr"), unnamed)
    assert_same(named, written(result), rtol=0)


def check_shuffled_identifiers(case: Case) -> None:
    """Each frame has its atoms in another order; the frame that is looked at keeps its own."""
    sample = glass()
    rng = np.random.default_rng(5)
    frames = sample.frames()
    shuffled = [sample.take(rng.permutation(len(sample.kinds))).frames()[number] for number in range(len(frames))]
    ordered = written(computed(case.make(), frames))
    shown = telling_frame(case.make())
    shuffled[shown] = frames[shown]
    mixed = written(computed(case.make(), shuffled))
    assert_same(ordered, mixed)


def check_changing_number_of_atoms(case: Case) -> None:
    sample = glass()
    count = len(sample.kinds)
    frames = [sample.take(np.arange(count - number)).frames()[number] for number in range(len(sample.positions))]
    line = pipeline(frames, case.make())
    for number in (0, 7, 3):
        data = line.compute(number)
        outputs = written(data)
        assert outputs
        assert all(len(values) == count - number for values in outputs.values())
        assert_counted(case, data)


def assert_counted(case: Case, data: DataCollection) -> None:
    without = np.any([undefined(values) for values in written(data).values()], axis=0)
    assert data.attributes.get(f"{case.prefix}undefined") == without.sum(), "atoms without value are not counted"


def check_two_dimensions_are_refused(case: Case) -> None:
    frames = glass().frames()
    for data in frames:
        data.cell_.is2D = True
    _assert_refused(case, frames, "two-dimensional")
    for thickness in (0.2, 1.0, 14.0):  # as LAMMPS writes them, which OVITO does not flag
        flat, cell = glass(), CUBE.copy()
        positions, cell[2, 2] = flat.positions.copy(), thickness
        positions[:, :, 2] = 1e-6 * np.arange(len(flat.kinds)) / len(flat.kinds)
        _assert_refused(case, replace(flat, positions=positions, cell=cell).frames(), "two-dimensional")


def check_non_finite_coordinates_are_refused(case: Case) -> None:
    for value in (np.nan, np.inf):
        frames = glass().frames()
        frames[0].particles_.positions_[3, 1] = value
        _assert_refused(case, frames, "non-finite")


def _assert_refused(case: Case, frames: list[DataCollection], reason: str) -> None:
    error = outcome(case.make(), frames)
    assert isinstance(error, GlassMLError), "no error"
    assert reason in str(error)
    data = frames[0].clone()
    with pytest.raises(GlassMLError):
        list(direct(case.make(), frames)(data))
    assert not written(data), "something is half-written"


def check_only_selected(case: Case) -> None:
    if not case.has("only_selected"):
        return
    sample = glass()
    everyone = written(computed(case.make(), sample))
    frames = sample.frames()
    selected = np.arange(len(sample.kinds)) % 3 == 0
    for data in frames:
        data.particles_.create_property("Selection", data=selected.astype(int))
    data = computed(case.make(only_selected=True), frames)
    if case.compares:
        alone = {name: values[0] for name, values in written(computed(case.make(), sample.take(selected))).items()}
        assert {name: values[0] for name, values in written(data).items()} == pytest.approx(alone)
        assert alone != pytest.approx({name: values[0] for name, values in everyone.items()})
        assert data.attributes[f"{case.prefix}undefined"] == (~selected).sum()
        return
    for name, values in written(data).items():
        assert undefined(values)[~selected].all(), f"{name} is set for atoms that are not selected"
        assert case.may_lack(name) or not undefined(values)[selected & case.answers_for(sample)].any()
    assert_counted(case, data)
    chosen = {name: values[selected] for name, values in written(data).items()}
    assert_same({name: values[selected] for name, values in everyone.items()}, chosen)


def check_missing_values_are_counted(case: Case) -> None:
    data = computed(case.make(), glass())
    assert_counted(case, data)


# --- symmetries -----------------------------------------------------------------------------------


def check_rotation(case: Case) -> None:
    sample = glass(TRICLINIC)
    rotation, _ = np.linalg.qr(np.random.default_rng(2).normal(size=(3, 3)))
    rotation *= np.sign(np.linalg.det(rotation))
    turned = sample.rotated(rotation)
    assert_same(written(computed(case.make(), sample)), written(computed(case.make(), turned)), rtol=1e-5)


def check_translation(case: Case) -> None:
    sample = glass(TRICLINIC)
    moved = sample.translated([31.7, -4.4, 9.2])
    assert_same(written(computed(case.make(), sample)), written(computed(case.make(), moved)), rtol=1e-5)


def check_permutation(case: Case) -> None:
    sample = glass(TRICLINIC)
    order = np.random.default_rng(4).permutation(len(sample.kinds))
    plain = {name: values[order] for name, values in written(computed(case.make(), sample)).items()}
    assert_same(plain, written(computed(case.make(), sample.take(order))))


# --- what is written ------------------------------------------------------------------------------


def check_other_data_is_untouched(case: Case) -> None:
    frames = glass().frames()
    count = frames[0].particles.count
    rng = np.random.default_rng(6)
    for data in frames:
        particles = data.particles_
        particles.create_property("Selection", data=np.arange(count) % 2)
        particles.create_property("Color", data=rng.uniform(0, 1, (count, 3)))
        bonds = particles.create_bonds(count=3)
        bonds.create_property("Topology", data=[[0, 1], [1, 2], [2, 3]])
    before = _untouchable(frames[telling_frame(case.make())])
    assert _untouchable(computed(case.make(), frames)) == before
    if case.has("color_by_result"):
        colored = _untouchable(computed(case.make(color_by_result=True), frames))
        assert colored.pop("Color") != before.pop("Color"), "color_by_result does nothing"
        assert colored == before


def _untouchable(data: DataCollection) -> dict[str, object]:
    particles = data.particles
    contents: dict[str, object] = {
        name: particles[name][...].tobytes()
        for name in ("Position", "Particle Identifier", "Particle Type", "Selection", "Color")
    }
    contents["types"] = [(kind.id, kind.name, tuple(kind.color)) for kind in particles.particle_types.types]
    contents["topology"] = particles.bonds.topology[...].tobytes()
    contents["cell"] = data.cell[...].tobytes()
    contents["periodic"] = tuple(data.cell.pbc)
    return contents


def check_tables_are_labelled(case: Case) -> None:
    for name, table in computed(case.make(), glass()).tables.items():
        assert_plots_unedited(name, table)


def assert_plots_unedited(name: str, table: DataTable) -> None:
    """OVITO draws the table with what it means on both axes: units, or names under the bars."""
    label = table.x.name if table.x is not None else table.axis_label_x
    assert table.title
    assert re.search(r"\(.+\)", label), f"the horizontal axis of {name} has no unit"
    assert table.y is not None, f"{name} has nothing to draw"
    assert re.search(r"\(.+\)|^Atoms$", table.y.name), f"the vertical axis of {name} has no unit"
    assert len(table.y), f"{name} is empty"
    if table.y.component_count > 1:
        assert len(set(table.y.component_names)) == table.y.component_count, f"curves of {name} have no names"
    if table.plot_mode == DataTable.PlotMode.Histogram:
        assert table.interval[0] < table.interval[1], f"{name} has no width"
    elif table.plot_mode == DataTable.PlotMode.BarChart:
        named = {kind.id for kind in table.x.types if kind.name}
        assert named >= set(np.asarray(table.x).tolist()), f"bars of {name} have no names"
    else:
        assert table.plot_mode == DataTable.PlotMode.Line, f"{name} is not drawn"
        assert (np.diff(table.x) >= 0).all(), f"the curve of {name} runs backwards"


def check_attributes_can_be_exported(case: Case, folder: Path) -> None:
    data = computed(case.make(), glass())
    names = [name for name in data.attributes if name not in ("SourceFrame", "SourceFile")]
    assert names, "there are no attributes"
    assert all(name.startswith(case.prefix) for name in names), f"{names} do not begin with {case.prefix}"
    file = folder / "attributes.txt"
    export_file(data, str(file), "txt/attr", columns=names)
    values = file.read_text().splitlines()[1].split()
    for name, text in zip(names, values, strict=True):
        value = data.attributes[name]
        if isinstance(value, str):
            assert text == value
        else:
            assert float(text) == pytest.approx(value, rel=1e-5, nan_ok=True)
    for name in data.tables:
        export_file(data, str(folder / "table.txt"), "txt/table", key=name)


def check_inserted_twice(case: Case) -> None:
    frames = glass().frames()
    once = computed(case.make(), frames)
    twice = pipeline(frames, case.make(), case.make()).compute(telling_frame(case.make()))
    assert_same(written(once), written(twice), rtol=0)
    assert set(once.tables) == set(twice.tables)
    for name in once.tables:
        np.testing.assert_array_equal(once.tables[name].xy(), twice.tables[name].xy())
    assert set(once.attributes) == set(twice.attributes)


# --- routes to the same numbers -------------------------------------------------------------------


def check_pipeline_and_apply_agree(case: Case, folder: Path) -> None:
    file = folder / "glass.xyz"
    write_xyz(glass(), file)
    line = open_trajectory(str(file))
    frames = glass().frames()
    line.modifiers.append(case.make())
    from_file = written(line.compute(telling_frame(case.make())))
    in_memory = written(computed(case.make(), frames))
    # Text may cost the last digit of a coordinate, from which a minimum is found to its tolerance.
    assert_same(from_file, in_memory, rtol=1e-9 if case.is_local else 1e-5)
    data = frames[0].clone()
    if case.needs_trajectory:
        with pytest.raises(GlassMLError, match="frames"):
            data.apply(case.make())
    else:
        data.apply(case.make())
        assert_same(in_memory, written(data), rtol=0)


def check_command_line_agrees(case: Case, folder: Path) -> None:
    from typer.testing import CliRunner

    from ovito_glassml.cli import app

    assert case.command, "there is no name for glassml apply --modifier"
    file, result = folder / "glass.xyz", folder / "result.xyz"
    write_xyz(glass(), file)
    line = open_trajectory(str(file))
    line.modifiers.append(case.make())
    shown = telling_frame(case.make())
    direct_result = line.compute(shown)
    command = ["apply", str(file), "--modifier", case.command, "-o", str(result)]
    # As on a command line: true, not True.
    command += [
        text for name, value in case.needed.items() for text in ("--set", f"{name}={value}".replace("True", "true"))
    ]
    run = CliRunner().invoke(app, [*command, "--attributes", str(folder / "result.csv")])
    assert run.exit_code == 0, run.output
    if case.compares:
        stored = list(csv.DictReader((folder / "result.csv").open()))[shown]
        for name, values in written(direct_result).items():
            assert float(stored[name]) == pytest.approx(values[0], rel=1e-9), name
        return
    by_command = open_trajectory(str(result)).compute(shown)
    for name, values in written(direct_result).items():
        stored = read_back(by_command, name)
        if direct_result.particles[name].types:
            assert class_names(stored) == class_names(direct_result.particles[name]), name
        else:
            np.testing.assert_allclose(stored[...], values, rtol=1e-6, atol=1e-7, err_msg=name)


def read_back(data: DataCollection, name: str) -> Any:
    """A property as the XYZ format names it, without spaces."""
    matches = [key for key in data.particles if key.replace("_", "") == name.replace(" ", "")]
    assert matches, f"{name} is not in the file, only {list(data.particles)}"
    return data.particles[matches[0]]


def class_names(typed: Any) -> list[str]:
    """Names of the classes of all atoms; files hold these without spaces, and numbers only where there is no name."""
    names = {kind.id: kind.name.replace(" ", "_") for kind in typed.types}
    return [names.get(number) or str(number) for number in np.asarray(typed[...]).tolist()]


SAVE_SESSION = """
import importlib, sys
import ovito
from ovito.io import import_file
source, session, module, name, parameters = sys.argv[1:]
line = import_file(source)
line.modifiers.append(getattr(importlib.import_module(module), name)(**eval(parameters)))
line.compute(0)
line.add_to_scene()
ovito.scene.save(session)
"""

LOAD_SESSION = """
import sys
import numpy as np
import ovito
from conformance_cases import written
session, result, frame = sys.argv[1:]
ovito.scene.load(session)
np.savez(result, **written(ovito.scene.pipelines[0].compute(int(frame))))
"""


def check_session_survives_saving(case: Case, folder: Path) -> None:
    parameters, expected = _altered_result(case, folder)
    session, result = folder / "saved.ovito", folder / "reloaded.npz"
    where = case.modifier.__module__, case.modifier.__name__
    run_python(SAVE_SESSION, folder / "glass.xyz", session, *where, repr(parameters))
    run_python(LOAD_SESSION, session, result, telling_frame(case.make()))
    _assert_stored(result, expected)


def check_generated_code_runs(case: Case, folder: Path) -> None:
    from ovito._codegen import codegen_pipeline

    parameters, expected = _altered_result(case, folder)
    line = open_trajectory(str(folder / "glass.xyz"))
    line.modifiers.append(case.make(**parameters))
    code = codegen_pipeline(line, False)
    result = folder / "generated.npz"
    code += f"""
import numpy
from conformance_cases import written
numpy.savez({str(result)!r}, **written(pipeline.compute({telling_frame(case.make())})))
"""
    run_python(code)
    _assert_stored(result, expected)


def _altered_result(case: Case, folder: Path) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A file in the folder, parameters that are no defaults, and what comes of both."""
    write_xyz(glass(), folder / "glass.xyz")
    parameters = altered_parameters(case)
    line = open_trajectory(str(folder / "glass.xyz"))
    line.modifiers.append(case.make(**parameters))
    return parameters, written(line.compute(telling_frame(case.make())))


def _assert_stored(file: Path, expected: dict[str, np.ndarray]) -> None:
    with np.load(file) as stored:
        assert_same(expected, {name: stored[name] for name in expected}, rtol=0)


#: Rules that need nothing but the modifier, and those that need a folder for files.
CHECKS = [
    function
    for name, function in list(globals().items())
    if name.startswith("check_") and name != "check_imports_together_are_light"
]
