"""Vectors of numbers as values in compiled functions: the same formula for many neighbours, or columns, at a time.

Loops over more than a few arrays stay scalar, because the compiler cannot know that the arrays do not overlap. Here a
function says what is done at once: ``z * current + back * previous`` for vectors reads like the formula for
numbers, and stays in registers. A vector has 64 bytes of the array that it is made for, two registers or one.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.core.typing.templates import AbstractTemplate, infer_global, signature
from numba.extending import intrinsic, lower_builtin, models, register_model

__all__ = [
    "VECTOR_BYTES",
    "lanes",
    "larger",
    "load",
    "magnitude",
    "root",
    "smaller",
    "spread",
    "spread_lanes",
    "store",
    "whole",
]

#: Bytes of a vector of the numbers that a kernel computes with.
VECTOR_BYTES = 64


class Vector(types.Type):
    """Type of a vector: that of its numbers, and how many there are."""

    def __init__(self, number: Any, count: int) -> None:
        self.number, self.count = number, count
        super().__init__(f"Vector({number}, {count})")


@register_model(Vector)
class _VectorModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Vector) -> None:
        number = manager.lookup(kind.number).get_value_type()
        super().__init__(manager, kind, ir.VectorType(number, kind.count))


def _count(like: Any) -> int:
    """Lanes of vectors like another vector, or as an array's numbers need them."""
    return like.count if isinstance(like, Vector) else VECTOR_BYTES * 8 // like.dtype.bitwidth


def _vector_function(function: Callable) -> Any:
    """`numba.extending.intrinsic`, whose arguments in compiled code are not those that type checkers see."""
    return intrinsic(function)


@_vector_function
def lanes(typing_context, like):  # type: ignore[no-untyped-def]
    """Number of lanes of a vector for an array."""
    count = _count(like)
    return types.intp(like), lambda context, builder, kind, arguments: context.get_constant(types.intp, count)


@_vector_function
def load(typing_context, array, at, like):  # type: ignore[no-untyped-def]
    """``array[at : at + lanes(like)]`` of a flat array."""
    vector = Vector(array.dtype, _count(like))

    def generate(context, builder, kind, arguments):  # type: ignore[no-untyped-def]
        address = _address(context, builder, array, arguments, context.get_value_type(vector))
        value = builder.load(address)
        value.align = array.dtype.bitwidth // 8
        return value

    return vector(array, types.intp, like), generate


@_vector_function
def store(typing_context, array, at, vector):  # type: ignore[no-untyped-def]
    """Write a vector to a flat array from `at` on, as numbers of the array's type; integers are rounded to zero."""

    def generate(context, builder, kind, arguments):  # type: ignore[no-untyped-def]
        target = ir.VectorType(context.get_value_type(array.dtype), vector.count)
        value = _converted(builder, arguments[2], vector.number, array.dtype, target)
        stored = builder.store(value, _address(context, builder, array, arguments, target))
        stored.align = array.dtype.bitwidth // 8
        return context.get_dummy_value()

    return types.void(array, types.intp, vector), generate


@_vector_function
def spread(typing_context, value, like):  # type: ignore[no-untyped-def]
    """The same number in all lanes."""
    vector = Vector(value, _count(like))

    def generate(context, builder, kind, arguments):  # type: ignore[no-untyped-def]
        return spread_lanes(builder, arguments[0], vector.count)

    return vector(value, like), generate


@_vector_function
def narrowed(typing_context, vector, like):  # type: ignore[no-untyped-def]
    """A vector of numbers of an array's type."""
    result = Vector(like.dtype, vector.count)

    def generate(context, builder, kind, arguments):  # type: ignore[no-untyped-def]
        return _converted(builder, arguments[0], vector.number, like.dtype, context.get_value_type(result))

    return result(vector, like), generate


def _address(context: Any, builder: Any, array: Any, arguments: Any, vector: Any) -> Any:
    data = context.make_array(array)(context, builder, arguments[0]).data
    return builder.bitcast(builder.gep(data, [arguments[1]]), vector.as_pointer())


def _converted(builder: Any, value: Any, number: Any, wanted: Any, target: Any) -> Any:
    if isinstance(wanted, types.Integer):
        return builder.fptosi(value, target)
    if number.bitwidth == wanted.bitwidth:
        return value
    return builder.fptrunc(value, target) if number.bitwidth > wanted.bitwidth else builder.fpext(value, target)


def spread_lanes(builder: Any, number: Any, count: int) -> Any:
    """LLVM code for a vector with the same number in all lanes."""
    integer = ir.IntType(32)
    nothing = ir.Constant(ir.VectorType(number.type, count), ir.Undefined)
    first = builder.insert_element(nothing, number, ir.Constant(integer, 0))
    return builder.shuffle_vector(first, nothing, ir.Constant(ir.VectorType(integer, count), [0] * count))


def _operator(function: Callable, instruction: str) -> None:
    """Teach the compiler an operator between vectors, and between a vector and a number of its type."""

    class Operator(AbstractTemplate):
        def generic(self, arguments: Any, keywords: Any) -> Any:
            vectors = [kind for kind in arguments if isinstance(kind, Vector)]
            if vectors and all(kind in (vectors[0], vectors[0].number) for kind in arguments):
                return signature(vectors[0], *arguments)
            return None

    def generate(context, builder, kind, arguments):  # type: ignore[no-untyped-def]
        count = kind.return_type.count
        both = zip(kind.args, arguments, strict=True)
        operands = [value if isinstance(part, Vector) else spread_lanes(builder, value, count) for part, value in both]
        # Products and sums may become one fused operation where the processor has it.
        return getattr(builder, instruction)(*operands, flags=("contract",))

    infer_global(function)(Operator)
    for pair in ((Vector, Vector), (Vector, types.Float), (types.Float, Vector)):
        lower_builtin(function, *pair)(generate)


for _function, _instruction in (
    (operator.add, "fadd"),
    (operator.iadd, "fadd"),
    (operator.sub, "fsub"),
    (operator.mul, "fmul"),
    (operator.imul, "fmul"),
    (operator.truediv, "fdiv"),
):
    _operator(_function, _instruction)


def _by_lane(name: str) -> Any:
    """Function of one vector that is an instruction of LLVM."""

    def function(typing_context, vector):  # type: ignore[no-untyped-def]
        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            kind = arguments[0].type
            called = f"llvm.{name}.v{vector.count}f{vector.number.bitwidth}"
            function = cgutils.get_or_insert_function(builder.module, ir.FunctionType(kind, [kind]), called)
            return builder.call(function, arguments)

        return vector(vector), generate

    function.__name__ = name
    return _vector_function(function)


root = _by_lane("sqrt")
whole = _by_lane("floor")
magnitude = _by_lane("fabs")


def _chosen(comparison: str) -> Any:
    """Function of two vectors that takes from each lane the number that compares."""

    def function(typing_context, first, second):  # type: ignore[no-untyped-def]
        def generate(context, builder, kind, arguments):  # type: ignore[no-untyped-def]
            return builder.select(builder.fcmp_ordered(comparison, *arguments), *arguments)

        return first(first, second), generate

    function.__name__ = "larger" if comparison == ">" else "smaller"
    return _vector_function(function)


larger, smaller = _chosen(">"), _chosen("<")
