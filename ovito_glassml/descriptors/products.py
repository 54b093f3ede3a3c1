"""Small matrix products kept in vector registers: the inner loop of the density expansion.

What is summed here, out[i, n] = Σ_j a[i, j] b[j, n], is far too small for BLAS (a few dozen
neighbours, a dozen radial functions) and takes most of the time. A compiled loop would load and
store every sum for every j; instead a tile of up to six rows of one vector's width stays in
registers until its sum is complete. The tile is written down as LLVM vector code, which every
processor gets translated to the width that it has.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ovito_glassml.compile import inner

__all__ = ["PADDING_BYTES", "padded", "plain_row_product", "row_product"]

#: Rows of `b` and `out` are padded to a multiple of this.
PADDING_BYTES = 32

#: Rows of one tile: six vectors of sums fit into the registers of every processor of the last decade.
TILE_ROWS = 6


def padded(count: int, itemsize: int) -> int:
    """Smallest number of items >= `count` that fills whole vectors."""
    lanes = PADDING_BYTES // itemsize
    return -(-count // lanes) * lanes


def _tile(rows: int, vector_bytes: int) -> Any:
    """Compiled function for a tile of `rows` rows and one vector of `vector_bytes`."""

    @intrinsic
    def tile(typing_context, out, out_at, out_row, a, a_at, a_row, a_step, b, b_at, b_step, count):  # type: ignore[no-untyped-def]
        number, offset = out.dtype, types.intp
        signature = types.void(
            out, offset, offset, a, offset, offset, offset, b, offset, offset, offset
        )  # fmt: skip

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            vector = ir.VectorType(context.get_value_type(number), 8 * vector_bytes // number.bitwidth)

            def start(position):  # type: ignore[no-untyped-def]
                array = context.make_array(signature.args[position])(context, builder, arguments[position])
                return builder.gep(array.data, [arguments[position + 1]])

            out_start, a_start, b_start = start(0), start(3), start(7)
            _, _, out_row, _, _, a_row, a_step, _, _, b_step, count = arguments
            sums = _sums(builder, vector, rows, (a_start, a_row, a_step), (b_start, b_step), count)
            for row, total in enumerate(sums):
                address = builder.gep(out_start, [builder.mul(out_row, ir.Constant(out_row.type, row))])
                store = builder.store(total, builder.bitcast(address, vector.as_pointer()))
                store.align = number.bitwidth // 8
            return context.get_dummy_value()

        return signature, generate

    return tile


def _sums(builder: Any, vector: Any, rows: int, a: tuple, b: tuple, count: Any) -> list[Any]:
    """Write the loop over j, which keeps one vector of sums for each row."""
    b_start, b_step = b
    index, zeros = count.type, ir.Constant(vector, [0.0] * vector.count)
    before = builder.block
    loop, done = builder.append_basic_block("tile.loop"), builder.append_basic_block("tile.done")
    builder.cbranch(builder.icmp_signed(">", count, ir.Constant(index, 0)), loop, done)

    builder.position_at_end(loop)
    j = builder.phi(index)
    j.add_incoming(ir.Constant(index, 0), before)
    sums = [builder.phi(vector) for _ in range(rows)]
    address = builder.bitcast(builder.gep(b_start, [builder.mul(j, b_step)]), vector.as_pointer())
    b_vector = builder.load(address)
    b_vector.align = 4 if isinstance(vector.element, ir.FloatType) else 8
    updated = [_multiply_add(builder, total, a, row, j, b_vector) for row, total in enumerate(sums)]
    following = builder.add(j, ir.Constant(index, 1))
    j.add_incoming(following, loop)
    for total, value in zip(sums, updated, strict=True):
        total.add_incoming(zeros, before)
        total.add_incoming(value, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)

    builder.position_at_end(done)
    results = [builder.phi(vector) for _ in range(rows)]
    for result, value in zip(results, updated, strict=True):
        result.add_incoming(zeros, before)
        result.add_incoming(value, loop)
    return results


def _multiply_add(builder: Any, total: Any, a: tuple, row: int, j: Any, b_vector: Any) -> Any:
    """Write ``total + a[row, j] * b_vector``, as one fused operation where the processor has it."""
    start, a_row, a_step = a
    vector, integer = b_vector.type, ir.IntType(32)
    column = builder.gep(start, [builder.mul(j, a_step)])
    factor = builder.load(builder.gep(column, [builder.mul(a_row, ir.Constant(a_row.type, row))]))
    nothing = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(nothing, factor, ir.Constant(integer, 0))
    everywhere = ir.Constant(ir.VectorType(integer, vector.count), [0] * vector.count)
    spread = builder.shuffle_vector(first, nothing, everywhere)
    product = builder.fmul(spread, b_vector, flags=("contract",))
    return builder.fadd(total, product, flags=("contract",))


def _strip(vector_bytes: int) -> Callable:
    """Compiled function for any number of rows and one vector of `vector_bytes`."""
    one, two, three, four, five, six = (_tile(rows, vector_bytes) for rows in range(1, TILE_ROWS + 1))

    @inner
    def strip(out, out_at, out_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count):
        tiles = (rows + 5) // 6
        row = 0
        for t in range(tiles):
            # Tiles of nearly equal height: full ones and a thin one would waste the registers on the thin one.
            height = (rows - row + tiles - t - 1) // (tiles - t)
            o, p = out_at + row * out_row, a_at + row * a_row
            if height == 6:
                six(out, o, out_row, a, p, a_row, a_step, b, b_at, b_step, count)
            elif height == 5:
                five(out, o, out_row, a, p, a_row, a_step, b, b_at, b_step, count)
            elif height == 4:
                four(out, o, out_row, a, p, a_row, a_step, b, b_at, b_step, count)
            elif height == 3:
                three(out, o, out_row, a, p, a_row, a_step, b, b_at, b_step, count)
            elif height == 2:
                two(out, o, out_row, a, p, a_row, a_step, b, b_at, b_step, count)
            else:
                one(out, o, out_row, a, p, a_row, a_step, b, b_at, b_step, count)
            row += height

    return strip


_strip_64 = _strip(64)
_strip_32 = _strip(32)


@inner
def row_product(out, out_at, out_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count, width):
    """out[i, n] = Σ_j a[i, j] b[j, n], every matrix a strided part of a flat array.

    Parameters
    ----------
    out, a, b : flat contiguous arrays of one floating-point type
    out_at, a_at, b_at : int
        Where the matrices begin.
    out_row, a_row : int
        Items from one row i to the next.
    a_step, b_step : int
        Items from one j to the next.
    rows, count, width : int
        Ranges of i, j and n; `width` a multiple of `PADDING_BYTES`.
    """
    half = 32 // out.itemsize
    n = 0
    while n + 2 * half <= width:
        _strip_64(out, out_at + n, out_row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows, count)
        n += 2 * half
    if n < width:
        _strip_32(out, out_at + n, out_row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows, count)


@inner
def plain_row_product(out, out_at, out_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count, width):
    """`row_product` as it reads without LLVM: what it must agree with, but for the rounding of fused operations."""
    for i in range(rows):
        for n in range(width):
            total = out.dtype.type(0)
            for j in range(count):
                total += a[a_at + i * a_row + j * a_step] * b[b_at + j * b_step + n]
            out[out_at + i * out_row + n] = total
