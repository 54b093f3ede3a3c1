"""Compiled functions are cached on disk, and the cache never answers for changed code."""

import os
import re
import socket
import subprocess
import sys
import types

import numba
import pytest

from ovito_glassml import neighbours
from ovito_glassml.descriptors.radial_histogram import radial_histogram
from ovito_glassml.descriptors.rdf import RDFDescriptors
from ovito_glassml.neighbours import average_within, neighbour_lists

#: Goes before a program: the operating system's locks fail, as they do on some network file systems.
WITHOUT_LOCKS = """
import fcntl
def refused(*arguments):
    raise OSError({code}, "not here")
fcntl.flock = refused
"""
LOCKS = pytest.mark.parametrize("code", ["", "errno.ENOLCK", "errno.EOPNOTSUPP", "errno.ENOSYS"])


def prologue(code):
    return code and "import errno" + WITHOUT_LOCKS.format(code=code)


def run(folder, code):
    """Printed output of a fresh process that works in `folder`."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write_module(folder, name, text):
    """A module with a modification time of its own, however fast the test is."""
    path = folder / f"{name}.py"
    path.write_text("from ovito_glassml.compile import compiled\n" + text)
    write_module.clock += 10
    os.utime(path, (write_module.clock, write_module.clock))


write_module.clock = 1_700_000_000


@pytest.mark.slow
def test_code_is_cached_and_renewed_when_a_function_further_down_changes(tmp_path):
    write_module(tmp_path, "deepest", "@compiled()\ndef deepest():\n    return 1\n")
    write_module(tmp_path, "middle", "from deepest import deepest\n@compiled()\ndef middle():\n    return deepest()\n")
    write_module(tmp_path, "top", "from middle import middle\n@compiled()\ndef top():\n    return middle()\n")
    ask = "from top import top; print(top(), sum(top.stats.cache_hits.values()))"
    assert run(tmp_path, ask) == "1 0"
    assert run(tmp_path, ask) == "1 1"
    write_module(tmp_path, "deepest", "@compiled()\ndef deepest():\n    return 2\n")
    assert run(tmp_path, ask) == "2 0"
    assert run(tmp_path, ask) == "2 1"


@pytest.mark.parametrize("shift", [-1, 1])
def test_code_of_another_process_never_stands_in_for_a_function_of_the_same_factory(shift, tmp_path):
    """The linker knows functions by names that contain a count, and counts of two processes may agree."""
    text = """
import numpy as np
from ovito_glassml.descriptors.products import row_product
@compiled()
def kept(out, *arguments):
    row_product(out, *arguments)
@compiled()
def fresh(out, *arguments):
    row_product(out, *arguments)
def right(function):
    a, b, out = np.ones((7, 6), "f4"), np.ones((7, 24), "f4"), np.zeros((7, 24), "f4")
    function(out.ravel(), 0, 24, a.ravel(), 0, 6, b.ravel(), 0, 24, 6, 7, 24)
    return (out[:6] == 7).all(), (out[6] == 0).all()
"""
    write_module(tmp_path, "both", text)
    count = "import itertools; from numba.core.bytecode import FunctionIdentity; import both;"
    count += " FunctionIdentity._unique_ids = itertools.count(1000 + {}); print(*both.right({}), {})"
    loaded = "sum(both.kept.stats.cache_hits.values())"
    assert run(tmp_path, count.format(0, "both.kept", loaded)) == "True True 0"
    code = "import both; both.right(both.kept); " + count.format(shift, "both.fresh", loaded)
    assert run(tmp_path, code) == "True True 1"


@LOCKS
def test_processes_that_start_together_compile_once(code, tmp_path):
    """With a callee of its own, as all kernels have, and a function that calls itself."""
    text = "@compiled()\ndef deep(value):\n    return deep(value - 1) + 1 if value > 0 else 0\n"
    text += "@compiled()\ndef top(value):\n    return deep(value) + deep(value + 1)\n"
    write_module(tmp_path, "both", text)
    code = prologue(code) + "from both import deep, top; print(top(3), sum(top.stats.cache_misses.values()))"
    started = [
        subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    assert sorted(process.communicate(timeout=120)[0].strip() for process in started) == ["7 0", "7 0", "7 1"]
    assert not list((tmp_path / "__pycache__").glob("*.held"))


def test_compiling_is_known_while_it_lasts_and_not_while_code_is_loaded(tmp_path):
    text = "@compiled()\ndef ordered(values):\n    return values[values.argsort()] * 2.0, sorted(values)\n"
    write_module(tmp_path, "lengthy", text)
    code = """
import threading, time
import numpy as np
from lengthy import ordered
from ovito_glassml.compile import compiling
work = threading.Thread(target=ordered, args=(np.arange(3.0),))
seen = set()
work.start()
while work.is_alive():
    seen.add(compiling())
    time.sleep(0.01)
time.sleep(0.6)
print(True in seen, compiling())
"""
    assert run(tmp_path, code) == "True False"
    assert run(tmp_path, code.replace("True in seen", "sum(ordered.stats.cache_hits.values())")) == "1 False"


def test_code_is_not_filed_while_another_process_holds_the_lock(tmp_path):
    """Two processes that file code for different types at once used to swap it, and numbers were wrong."""
    fcntl = pytest.importorskip("fcntl")
    write_module(tmp_path, "lonely", "@compiled()\ndef half(value):\n    return value / 2\n")
    code = "from lonely import half; print(half(1), half(1.0))"
    first = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
    assert first.communicate(timeout=120)[0].strip() == "0.5 0.5"
    (path,) = (tmp_path / "__pycache__").glob("lonely.half-*.lock")
    for file in (tmp_path / "__pycache__").glob("lonely.half-*.nb[ic]"):
        file.unlink()
    with path.open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        second = subprocess.Popen([sys.executable, "-c", code], cwd=tmp_path, stdout=subprocess.PIPE, text=True)
        with pytest.raises(subprocess.TimeoutExpired):
            second.communicate(timeout=6)
        assert not list((tmp_path / "__pycache__").glob("lonely.half-*.nbi"))
    assert second.communicate(timeout=120)[0].strip() == "0.5 0.5"
    assert len(list((tmp_path / "__pycache__").glob("lonely.half-*.nbc"))) == 2


@pytest.mark.parametrize("owner", ["gone", "elsewhere"])
def test_a_lock_that_a_process_left_does_not_stop_the_next(owner, tmp_path):
    """Where files are the locks: one of this machine is known to be gone, for one of another it waits a while."""
    pytest.importorskip("fcntl")
    write_module(tmp_path, "lonely", "@compiled()\ndef half(value):\n    return value / 2\n")
    host = socket.gethostname() if owner == "gone" else "node7"
    code = f"""
import warnings
from pathlib import Path
import lonely
from ovito_glassml import compile
compile.LONGEST_WAIT = 0.5
file = lonely.half._cache._cache_file
Path(file._cache_path).mkdir(exist_ok=True)
Path(file._cache_path, f"{{file._index_name}}.lock.held").write_text("4000000\\n{host}\\n")
with warnings.catch_warnings(record=True) as seen:
    print(lonely.half(1), *(warning.message for warning in seen))
"""
    said = (
        "" if owner == "gone" else " Compiled code is neither loaded nor kept, because of its folder: process 4000000"
    )
    assert run(tmp_path, prologue("errno.ENOLCK") + code).startswith("0.5" + said)
    assert len(list((tmp_path / "__pycache__").glob("lonely.half-*.nbc"))) == (owner == "gone")


def test_without_a_folder_to_keep_it_code_is_compiled_all_the_same(tmp_path):
    """A disk may be full, or a folder closed later on."""
    write_module(tmp_path, "lonely", "@compiled()\ndef half(value):\n    return value / 2\n")
    code = """
import os, shutil, warnings
import lonely
warnings.simplefilter("ignore")
shutil.rmtree("__pycache__", ignore_errors=True)
open("__pycache__", "w").close()
print(lonely.half(1), lonely.half(1.0))
"""
    assert run(tmp_path, code) == "0.5 0.5"


def test_a_user_without_a_home_gets_no_folder_that_is_called_tilde(tmp_path):
    """In a container, a user may have a number and nothing else."""
    write_module(tmp_path, "lonely", "@compiled()\ndef half(value):\n    return value / 2\n")
    (tmp_path / "__pycache__").touch()  # nothing can be kept there
    code = """
import os
for name in ("XDG_CACHE_HOME", "NUMBA_CACHE_DIR"):
    os.environ.pop(name, None)
os.path.expanduser = lambda path: path
import lonely
print(lonely.half(1), "XDG_CACHE_HOME" in os.environ)
"""
    assert run(tmp_path, code) == "0.5 False"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["__pycache__", "lonely.py"]


def references_counted(function, **replaced):
    """How many times the optimised code of a kernel, and of what it calls, takes a reference to an array."""
    body = types.FunctionType(function.py_func.__code__, {**function.py_func.__globals__, **replaced})
    copy = numba.njit(nogil=True, error_model="numpy")(body)  # inspected as compiled; what the cache holds is not
    copy.compile(function.signatures[0])
    text = copy.inspect_llvm(copy.signatures[0])
    found = re.findall(r"^define [^\n]*?@([^\s(]*)\((.*?)^}", text, re.MULTILINE | re.DOTALL)
    # Functions whose name begins so are the ways in from Python, once for a task.
    kernels = [code for name, code in found if name.startswith("_ZN") and not name.startswith("_ZN7cpython")]
    assert kernels
    return sum(len(re.findall(r"call[^\n]*@NRT_incref", code)) for code in kernels)


def test_kernels_count_no_references_to_the_arrays_that_they_are_given(shaken):
    """Counting made the RDF 2.5 times slower, and averages 2 times."""
    RDFDescriptors().compute(shaken)
    neighbour_lists(shaken, 3.0)
    average_within(shaken, shaken.positions, 3.0)
    for function in (radial_histogram, neighbours._count_block, neighbours._fill_block, neighbours._sum_within_block):
        assert references_counted(function) == 0
    owned = numba.njit(lambda arrays: arrays)
    assert references_counted(radial_histogram, unowned=owned) > 0


def test_only_compiled_code_calls_inner_functions(tmp_path):
    """Numba itself would jump into nothing, and the process would end."""
    text = """
from ovito_glassml.compile import compiled, inner
@inner
def deep(value):
    return value + 1
@compiled()
def top(value):
    return deep(value)
"""
    write_module(tmp_path, "layers", text)
    code = """
from layers import deep, top
for _ in range(2):
    try:
        deep(1)
    except TypeError as error:
        print(error, end=" ")
    print(top(1), end=" ")
"""
    assert run(tmp_path, code) == "Only compiled code can call deep. 2 Only compiled code can call deep. 2"


def test_inner_functions_become_machine_code_within_their_callers_alone(tmp_path):
    """Numba optimised and translated each of them, and again with every caller: a third of the time of first use."""
    text = """
import numpy as np
from ovito_glassml.compile import compiled, empty, inner, maker
@inner
def deepest(values):
    return max(values[0], 1.0)
@maker
def room(count):
    return empty((count, 2), np.float64)
@inner
def deep(values):
    return deepest(values) + values[1]
@compiled()
def first(count):
    values = room(count)
    values[0] = 3.0
    return deep(values[0]) + max(values[0])
@compiled()
def second(values):
    return deep(values) * 2.0
"""
    write_module(tmp_path, "layers", text)
    code = """
import numba
from numba.core.codegen import JITCodeLibrary
import numpy as np
numba.njit(lambda: 0)()  # what Numba itself needs once
translated = []
finish = JITCodeLibrary._finalize_specific
def counted(library):
    translated.append(library.name)
    finish(library)
JITCodeLibrary._finalize_specific = counted
from layers import first, second
print(first(4), second(np.ones(2)), *translated)
"""
    assert run(tmp_path, code) == "9.0 4.0 first second"
    assert run(tmp_path, code) == "9.0 4.0 first second"  # loaded


def test_what_others_compile_is_left_as_it_is(tmp_path):
    """After ours has been compiled, with functions of Numba's that were needed for it."""
    write_module(tmp_path, "ours", "@compiled()\ndef most(values):\n    return max(values[0], values[1])\n")
    code = """
import numba
import numpy as np
from ours import most
@numba.njit
def most_of_others(values):
    try:
        if values[0] < 0:
            raise ValueError("negative")
    except Exception:
        return -1.0
    return max(values[0], values[1])
print(most(np.arange(2.0)), most_of_others(np.arange(2.0)), most_of_others(-np.ones(2)))
print(type(next(iter(most_of_others.overloads.values())).library).__name__)
"""
    assert run(tmp_path, code) == "1.0 1.0 -1.0\nJITCodeLibrary"
