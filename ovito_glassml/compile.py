"""One decorator for every compiled function, so that caching behaves alike everywhere."""

from __future__ import annotations

import itertools
import math
import os
import secrets
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import numba
import numpy as np
from numba import types
from numba.core import cgutils, codegen
from numba.core.bytecode import FunctionIdentity
from numba.core.caching import NullCache
from numba.core.compiler_lock import global_compiler_lock
from numba.core.registry import cpu_target
from numba.extending import intrinsic
from numba.np.arrayobj import populate_array

from ovito_glassml.locks import HeldError, locked

__all__ = [
    "compile_clock",
    "compiled",
    "compiling",
    "empty",
    "inlined",
    "inner",
    "kernel",
    "maker",
    "unowned",
    "unsigned",
]

#: Of an index that is known not to be negative: Numba adds the length to others where they are, at every access.
unsigned = np.uint64

#: Seconds after which people are told why nothing seems to happen; code that is there already loads faster.
PATIENCE = 0.5

#: Seconds after which a process that waits for another compiles by itself; no function takes as long.
LONGEST_WAIT = 300.0

#: Warnings given: Numba makes Python forget which it has shown.
_said: set[str] = set()

#: When the outermost compilation began that goes on now, and when the last lengthy one ended.
_began: float | None = None
_ended = -math.inf


def compiling() -> bool:
    """Whether this process compiles code for this machine or waits for another that does, once after installation.

    One function follows the other then, and the moments between them count, too.
    """
    began, now = _began, time.monotonic()
    return now - _ended < PATIENCE or (began is not None and now - began > PATIENCE)


def compiled(**options: Any) -> Callable[[Callable], Any]:
    """`numba.njit` with the machine code kept on disk wherever a folder can be written.

    Numba refuses to decorate a function at all when neither the package's own folder nor the
    user's cache folder (nor ``NUMBA_CACHE_DIR``) is writable, as in a shared installation
    without a home directory. The function is then compiled anew in every process.

    Two processes that file machine code for different types at the same time may swap it, and wrong code gives
    wrong numbers; a lock keeps them apart, on any system. It also spares them compiling the same function side by
    side: whoever comes second waits and loads. Where there can be no lock, or another process holds it for minutes,
    code is compiled without the folder.

    Numba also keeps the machine code of a caller when only the file of a function it calls has
    changed, with the old callee inside. Here the code is renewed then.

    Parameters
    ----------
    **options
        Passed on to `numba.njit`.
    """

    def decorate(function: Callable) -> Any:
        if numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
            return function
        settings = {**options, "no_cfunc_wrapper": True}  # nobody calls through pointers
        try:
            with _no_folder_called_tilde():
                dispatcher = numba.njit(cache=True, **settings)(function)
        except RuntimeError:
            dispatcher = numba.njit(**settings)(function)
        _renew_with_callees(dispatcher)
        _compile_once(dispatcher)
        return dispatcher

    return decorate


@contextmanager
def _no_folder_called_tilde() -> Iterator[None]:
    """Where the system does not know a user's home, as in a container, Numba would make a folder ``~`` to keep code."""
    if "XDG_CACHE_HOME" in os.environ or os.path.expanduser("~") != "~":
        yield
        return
    os.environ["XDG_CACHE_HOME"] = os.devnull  # no folder, so nothing is kept there
    try:
        yield
    finally:
        del os.environ["XDG_CACHE_HOME"]


def kernel(function: Callable) -> Any:
    """`compiled` for a function on one task, ``function(begin, end, …)``, see `ovito_glassml.threads.run_tasks`.

    Other threads run meanwhile, and division by zero gives infinity or NaN as in NumPy. Its first line should take
    the arrays' owners away, see `unowned`.
    """
    return compiled(nogil=True, error_model="numpy")(function)


def inner(function: Callable, **options: Any) -> Any:
    """`compiled` for a function that only compiled code calls.

    It has no way in from Python, which would take as long to compile as a short function, for itself and again
    with every caller, nor is its code kept, which every caller contains. References to arrays are not counted, as
    the kernel holds them all; a function that makes arrays is a `maker`.
    """
    settings = {"no_cpython_wrapper": True, "error_model": "numpy", "_nrt": False, **options}
    dispatcher = compiled(**settings)(function)
    if not numba.config.DISABLE_JIT:  # type: ignore[attr-defined]
        dispatcher._cache = NullCache()
        del dispatcher.compile  # no lock then
        # Numba would jump into nothing: hide the machine code from calls and refuse those.
        dispatcher._insert = lambda *arguments: None
        dispatcher._compile_for_args = partial(_refuse, function.__name__)
    return dispatcher


def maker(function: Callable) -> Any:
    """`inner` for a function that returns new arrays."""
    return inner(function, _nrt=True)


def inlined(function: Callable) -> Any:
    """`inner` for a few lines that every caller repeats: cheaper to compile than Numba's ``inline="always"``."""
    return inner(function, forceinline=True)


def _empty(typing_context, shape, number):  # type: ignore[no-untyped-def]
    """`numpy.empty`, which is compiled anew for every number type and number of axes, and takes longer each time."""
    axes = len(shape) if isinstance(shape, types.BaseTuple) else 1
    array = types.Array(number.dtype, axes, "C")

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        lengths = cgutils.unpack_tuple(builder, arguments[0]) if axes > 1 else [arguments[0]]
        itemsize = context.get_abi_sizeof(context.get_data_type(number.dtype))
        strides = [context.get_constant(types.intp, itemsize)]
        for length in reversed(lengths):
            strides.insert(0, builder.mul(strides[0], length))
        owner = context.nrt.meminfo_alloc_aligned(builder, strides[0], context.get_constant(types.uint32, 64))
        made = context.make_array(array)(context, builder)
        data = builder.bitcast(context.nrt.meminfo_data(builder, owner), made.data.type)
        populate_array(made, data, lengths, strides[1:], itemsize, owner)
        return made._getvalue()

    return array(shape, number), generate


empty: Any = np.empty if numba.config.DISABLE_JIT else intrinsic(_empty)  # type: ignore[attr-defined]


def _refuse(name: str, *arguments: Any, **options: Any) -> None:
    raise TypeError(f"Only compiled code can call {name}.")


def _unowned(typing_context, arrays):  # type: ignore[no-untyped-def]
    """The same arrays, in a tuple of arrays and of named tuples of arrays, but without an owner.

    Compiled code counts references to every array that it takes from a tuple, millions of times in a loop over
    neighbours. Whoever called the function holds the arrays, so there is nothing to count; never return them.
    """

    def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
        return _without_owner(context, builder, arrays, arguments[0])

    return arrays(arrays), generate


# Uncompiled code, see NUMBA_DISABLE_JIT, has nothing to take away.
unowned: Any = (lambda arrays: arrays) if numba.config.DISABLE_JIT else intrinsic(_unowned)  # type: ignore[attr-defined]


def _without_owner(context: Any, builder: Any, kind: Any, value: Any) -> Any:
    if isinstance(kind, types.BaseTuple):
        parts: Any = enumerate(kind)  # type: ignore[arg-type]
        items = [_without_owner(context, builder, part, builder.extract_value(value, k)) for k, part in parts]
        return context.make_tuple(builder, kind, items)
    if isinstance(kind, types.Array):
        array = context.make_array(kind)(context, builder, value)
        array.meminfo, array.parent = array.meminfo.type(None), array.parent.type(None)
        return array._getvalue()
    return value


def _renew_with_callees(dispatcher: Any) -> None:
    """Make the stamp by which cached code counts as fresh depend on the files of all callees."""
    # Numba offers no public way; without these attributes its own rule stays in force.
    file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    if not hasattr(file, "_source_stamp"):
        return
    function = dispatcher.py_func
    called = (function.__globals__.get(name) for name in function.__code__.co_names)
    stamps = [vars(callee.py_func).get("source_stamp") for callee in called if hasattr(callee, "py_func")]
    function.source_stamp = file._source_stamp = (file._source_stamp, *stamps)


def _compile_once(dispatcher: Any) -> None:
    """Let no process compile, or read or write machine code, while another one does so for the same function.

    The time is noted meanwhile, see `compiling`.
    """
    file: Any = getattr(getattr(dispatcher, "_cache", None), "_cache_file", None)
    kept = all(hasattr(file, name) for name in ("_cache_path", "_index_name"))
    compile_or_load = dispatcher.compile
    inside = False

    def compile_alone(signature: Any) -> Any:
        nonlocal inside
        # The compiler's own lock first, as a callee compiled for its caller finds it taken.
        with global_compiler_lock, compile_clock(), _late_code():
            _number_by_chance()
            if inside or not kept:  # inside: a function that calls itself
                return compile_or_load(signature)
            inside = True
            try:
                with _lock_of(file):
                    return compile_or_load(signature)
            except (HeldError, OSError) as error:
                dispatcher._cache = NullCache()
                _say_why(error)
                return compile_or_load(signature)
            finally:
                inside = False

    dispatcher.compile = compile_alone


def _number_by_chance() -> None:
    """Let the functions that are compiled next have names that no process gives to others.

    In machine code a function is named after its place, its types and a number. Numba counts from one in every
    process, so that code kept by one and code compiled by another may give one name to two functions that a factory
    made, as in `descriptors.products` and in Numba's own sorting; the linker then takes the first for both.
    """
    if hasattr(FunctionIdentity, "_unique_ids"):  # else another version of Numba
        FunctionIdentity._unique_ids = itertools.count(secrets.randbits(60))


class _LateLibrary(codegen.JITCodeLibrary):
    """What Numba makes of one function, optimised and translated to machine code once somebody wants to call that.

    Numba does both for every function in turn, and then again with each caller, which contains it. Here a function
    that only compiled code calls stays as it is for its callers.
    """

    _late = False

    def finalize(self) -> None:
        self._late = True
        super().finalize()

    def get_pointer_to_function(self, name: str) -> int:
        self._ensure_finalized()
        if self._late:
            if name not in {function.name for function in self._final_module.functions}:
                return 0
            self._late, self._shared_module = False, None
            self._optimize_final_module()
            self._final_module.verify()
            self._finalize_final_module()
            _set_environments(self)
        return super().get_pointer_to_function(name)

    def _optimize_functions(self, module: Any) -> None:
        """Only where references are counted, many of which vanish one by one; the rest is optimised all together."""
        if any(function.name == "NRT_incref" for function in module.functions):
            super()._optimize_functions(module)

    def _optimize_final_module(self) -> None:
        if not self._late:
            super()._optimize_final_module()

    def _finalize_final_module(self) -> None:
        if self._late:
            self._finalized = True
        else:
            super()._finalize_final_module()


#: Whether Numba's library is made of the parts that `_LateLibrary` puts off; in another version it works as ever.
_KNOWN_LIBRARY = all(
    hasattr(codegen.JITCodeLibrary, name)
    for name in ("_optimize_functions", "_optimize_final_module", "_finalize_final_module", "get_pointer_to_function")
)

#: What Numba lets a function know of Python, by the name under which machine code finds it, until there is such code.
_environments: dict[str, Any] = {}


def _set_environments(library: _LateLibrary) -> None:
    for variable in library._final_module.global_variables:
        if variable.name in _environments:
            library.codegen.set_env(variable.name, _environments.pop(variable.name))


@contextmanager
def _late_code() -> Iterator[None]:
    """Let Numba translate functions to machine code by `_LateLibrary` meanwhile; the compiler's lock is held."""
    generator: Any = cpu_target.target_context.codegen()
    known = all(hasattr(generator, name) for name in ("_library_class", "_engine", "set_env")) and _KNOWN_LIBRARY
    if not known or generator._library_class is _LateLibrary:  # another version of Numba, or a callee
        yield
        return
    set_env = generator.set_env

    def set_once_defined(name: str, environment: Any) -> None:
        if generator._engine.is_symbol_defined(name):
            set_env(name, environment)
        else:
            _environments[name] = environment

    generator.set_env, generator._library_class = set_once_defined, _LateLibrary
    try:
        yield
    finally:
        del generator.set_env, generator._library_class


@contextmanager
def _lock_of(file: Any) -> Iterator[None]:
    """The lock of a cached function. Its file stays, one for each, as many may wait for it on a network file system."""
    os.makedirs(file._cache_path, exist_ok=True)
    with locked(Path(file._cache_path, f"{file._index_name}.lock"), LONGEST_WAIT, keep=True):
        yield


def _say_why(error: Exception) -> None:
    why = f"{error.owner} has been at work there" if isinstance(error, HeldError) else str(error)
    sentence = f"Compiled code is neither loaded nor kept, because of its folder: {why}."
    if sentence not in _said:
        _said.add(sentence)
        warnings.warn(sentence, stacklevel=2)


@contextmanager
def compile_clock() -> Iterator[None]:
    """Note when the outermost compilation began; all of it happens in one thread at a time."""
    global _began, _ended
    outermost = _began is None
    if outermost:
        _began = time.monotonic()
    try:
        yield
    finally:
        if outermost:
            if compiling():
                _ended = time.monotonic()
            _began = None
