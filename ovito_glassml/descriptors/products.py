"""Small matrix products kept in vector registers: the inner loops of the density expansions.

What is summed here, out[i, n] = Σ_j a[i, j] b[j, n], is far too small for BLAS (a few dozen
neighbours, a dozen radial functions) and takes most of the time. A compiled loop would load and
store every sum for every j; instead a tile of a few rows, 32 to 64 bytes wide, stays in
registers until its sums are complete. Tiles are written down as LLVM vector code, which every
processor gets translated to the width that it has.

Twelve numbers in single precision fill a register of 32 bytes and half a second one. A tile of 48 bytes lets every
two rows share that one: a quarter fewer operations. Registers of 64 bytes have enough room as they are.

What is computed for vectors of neighbours comes in *blocks*: number i of neighbour j lies at
``j // lanes * step + i * lanes + j % lanes``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from llvmlite import ir
from numba import config, types
from numba.core import cgutils
from numba.core.codegen import get_host_cpu_features
from numba.extending import intrinsic

from ovito_glassml.compile import inlined
from ovito_glassml.descriptors.vectors import VECTOR_BYTES, lanes, spread_lanes

__all__ = ["PADDING_BYTES", "SHARED", "block_product", "block_sums", "padded", "row_product"]

#: Whether two rows share a register for the last 16 bytes of an odd multiple of them.
SHARED = "+avx512f" not in (config.CPU_FEATURES or get_host_cpu_features())  # type: ignore[attr-defined]

#: Rows of `b` and `out` are padded to a multiple of this.
PADDING_BYTES = 16 if SHARED else 32

#: Bytes of the wider of two kinds of tiles.
WIDE = 48 if SHARED else 64

#: Rows of one tile: more sums would not fit into the registers of every processor of the last decade.
TILE_ROWS = 6


def padded(count: int, itemsize: int) -> int:
    """Smallest number of items >= `count` that fills whole parts of vectors, at least 32 bytes."""
    part = PADDING_BYTES // itemsize
    return max(-(-count // part) * part, 32 // itemsize)


def _tile(rows: int, width: int, blocked: bool) -> Any:
    """Compiled function for a tile of `rows` rows of `width` bytes."""

    @intrinsic
    def tile(typing_context, out, out_at, out_row, a, a_at, a_step, b, b_at, b_step, count):  # type: ignore[no-untyped-def]
        number, offset = out.dtype, types.intp
        signature = types.void(out, offset, offset, a, offset, offset, b, offset, offset, offset)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            item = context.get_value_type(number)
            out_start, a_start, b_start = _starts(context, builder, signature, arguments, (0, 3, 6))
            _, _, out_row, _, _, a_step, _, _, b_step, count = arguments
            lanes = 8 * VECTOR_BYTES // number.bitwidth if blocked else 1
            a_row = ir.Constant(count.type, lanes)

            def products(j):  # type: ignore[no-untyped-def]
                column = builder.gep(a_start, [_column(builder, j, a_step, lanes)])
                factors = [builder.load(_row(builder, column, a_row, row)) for row in range(rows)]
                return _products(builder, factors, builder.gep(b_start, [builder.mul(j, b_step)]), width, item)

            zeros = [ir.Constant(vector, [0.0] * vector.count) for vector in _sum_types(item, rows, width)]
            sums = _summed(builder, zeros, ir.Constant(count.type, 1), count, products)
            targets = [_row(builder, out_start, out_row, row) for row in range(rows)]
            for total, target in zip(sums[:rows], targets, strict=True):
                _store(builder, total, target)
            for pair, total in enumerate(sums[rows:]):
                half = total.type.count // 2
                for part, target in enumerate(targets[2 * pair : 2 * pair + 2]):
                    lanes_of_part = ir.Constant(
                        ir.VectorType(ir.IntType(32), half), [part * half + k for k in range(half)]
                    )
                    end = builder.gep(target, [ir.Constant(count.type, 2 * half)])
                    _store(builder, builder.shuffle_vector(total, total, lanes_of_part), end)
            return context.get_dummy_value()

        return signature, generate

    return tile


def _column(builder: Any, j: Any, step: Any, lanes: int) -> Any:
    """Place of the first row of column j, see above."""
    if lanes == 1:
        return builder.mul(j, step)
    block = builder.mul(builder.lshr(j, ir.Constant(j.type, lanes.bit_length() - 1)), step)
    return builder.add(block, builder.and_(j, ir.Constant(j.type, lanes - 1)))


def _starts(context: Any, builder: Any, signature: Any, arguments: Sequence, positions: Sequence[int]) -> list[Any]:
    """Addresses where matrices begin: arrays at these positions among the arguments, each followed by a place."""
    starts = []
    for position in positions:
        array = context.make_array(signature.args[position])(context, builder, arguments[position])
        starts.append(builder.gep(array.data, [arguments[position + 1]]))
    return starts


def _row(builder: Any, start: Any, step: Any, row: int) -> Any:
    return builder.gep(start, [builder.mul(step, ir.Constant(step.type, row))])


def _sum_types(item: Any, rows: int, width: int) -> list[Any]:
    """Vectors of sums: one a row, and where rows share registers one for every two."""
    itemsize = 4 if isinstance(item, ir.FloatType) else 8
    whole = ir.VectorType(item, (32 if width == 48 else width) // itemsize)
    return [whole] * (rows + (rows + 1) // 2 if width == 48 else rows)


def _products(builder: Any, factors: list, b: Any, width: int, item: Any) -> list[tuple[Any, Any]]:
    """What is multiplied for one j, in the order of `_sum_types`."""
    whole = _sum_types(item, 1, width)[0]
    everywhere = [spread_lanes(builder, factor, whole.count) for factor in factors]
    vector = _load(builder, b, whole)
    products = [(factor, vector) for factor in everywhere]
    if width == 48:
        count, half = whole.count, whole.count // 2
        end = _load(builder, builder.gep(b, [ir.Constant(ir.IntType(64), count)]), ir.VectorType(item, half))
        index = ir.VectorType(ir.IntType(32), count)
        twice = builder.shuffle_vector(end, end, ir.Constant(index, list(range(half)) * 2))
        halves = ir.Constant(index, [*range(half), *range(count + half, 2 * count)])
        for row in range(0, len(factors), 2):
            pair = everywhere[row], everywhere[min(row + 1, len(factors) - 1)]
            products.append((builder.shuffle_vector(*pair, halves), twice))
    return products


def _summed(builder: Any, zeros: list, step: Any, count: Any, products: Callable[[Any], list]) -> list[Any]:
    """Write the loop ``for j in range(0, count, step)`` that adds products to sums, which it keeps in registers."""
    before = builder.block
    loop, done = builder.append_basic_block("tile.loop"), builder.append_basic_block("tile.done")
    builder.cbranch(builder.icmp_signed(">", count, ir.Constant(count.type, 0)), loop, done)

    builder.position_at_end(loop)
    j = builder.phi(count.type)
    j.add_incoming(ir.Constant(count.type, 0), before)
    sums = [builder.phi(zero.type) for zero in zeros]
    # One fused operation where the processor has it.
    updated = [
        builder.fadd(total, builder.fmul(*factors, flags=("contract",)), flags=("contract",))
        for total, factors in zip(sums, products(j), strict=True)
    ]
    following = builder.add(j, step)
    j.add_incoming(following, loop)
    builder.cbranch(builder.icmp_signed("<", following, count), loop, done)

    builder.position_at_end(done)
    results = [builder.phi(zero.type) for zero in zeros]
    for zero, total, value, result in zip(zeros, sums, updated, results, strict=True):
        for phi, latest in ((total, loop), (result, loop)):
            phi.add_incoming(zero, before)
            phi.add_incoming(value, latest)
    return results


def _load(builder: Any, address: Any, vector: Any) -> Any:
    value = builder.load(builder.bitcast(address, vector.as_pointer()))
    value.align = 4 if isinstance(vector.element, ir.FloatType) else 8
    return value


def _store(builder: Any, value: Any, address: Any) -> None:
    stored = builder.store(value, builder.bitcast(address, value.type.as_pointer()))
    stored.align = 4 if isinstance(value.type.element, ir.FloatType) else 8


@inlined
def tile_height(left):
    """Rows of the next tile: the last two are nearly equal, as a thin one would waste the registers."""
    if left >= 12:
        return 6
    return (left + 1) >> 1 if left > 6 else left


def _strip(width: int, blocked: bool) -> Callable:
    """Compiled function for any number of rows of `width` bytes."""
    one, two, three, four, five, six = (_tile(rows, width, blocked) for rows in range(1, TILE_ROWS + 1))

    @inlined  # a call would take forty arguments to the stack
    def strip(out, out_at, out_row, a, a_at, a_row, a_step, b, b_at, b_step, rows, count):
        row = 0
        while row < rows:
            height = tile_height(rows - row)
            o, p = out_at + row * out_row, a_at + row * a_row
            if height == 6:
                six(out, o, out_row, a, p, a_step, b, b_at, b_step, count)
            elif height == 5:
                five(out, o, out_row, a, p, a_step, b, b_at, b_step, count)
            elif height == 4:
                four(out, o, out_row, a, p, a_step, b, b_at, b_step, count)
            elif height == 3:
                three(out, o, out_row, a, p, a_step, b, b_at, b_step, count)
            elif height == 2:
                two(out, o, out_row, a, p, a_step, b, b_at, b_step, count)
            else:
                one(out, o, out_row, a, p, a_step, b, b_at, b_step, count)
            row += height

    return strip


def _product(blocked: bool) -> Callable:
    """Compiled product for any number of rows and any width."""
    wide, narrow = _strip(WIDE, blocked), _strip(32, blocked)

    @inlined
    def product(out, out_at, out_row, a, a_at, a_step, b, b_at, b_step, rows, count, width):
        a_row = lanes(a) if blocked else 1
        part = 16 // out.itemsize
        n = 0
        while n < width:
            left = (width - n) // part
            if left % 3 == 0 if SHARED else left >= 4:
                wide(out, out_at + n, out_row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows, count)
                n += WIDE // 16 * part
            else:
                narrow(out, out_at + n, out_row, a, a_at, a_row, a_step, b, b_at + n, b_step, rows, count)
                n += 2 * part

    return product


#: out[i, n] = Σ_j a[i, j] b[j, n], every matrix a part of a flat array.
#:
#: Parameters: `out`, where it begins, items from one row to the next; `a`, where it begins, items from one j to the
#: next, its rows being next to each other; `b` and the same; ranges of i, j and n, the last as `padded` gives it.
row_product = _product(blocked=False)

#: The same for `a` in blocks, see above.
block_product = _product(blocked=True)


def _sum_tile(rows: int) -> Any:
    """Compiled function for sums over blocks in `rows` rows."""

    @intrinsic
    def tile(typing_context, out, out_at, a, a_at, a_step, b, b_at, b_step, count):  # type: ignore[no-untyped-def]
        number, offset = out.dtype, types.intp
        signature = types.void(out, offset, a, offset, offset, b, offset, offset, offset)

        def generate(context, builder, signature, arguments):  # type: ignore[no-untyped-def]
            item = context.get_value_type(number)
            vector = ir.VectorType(item, 8 * VECTOR_BYTES // number.bitwidth)
            out_start, a_start, b_start = _starts(context, builder, signature, arguments, (0, 2, 5))
            a_step, b_step, count = arguments[4], arguments[7], arguments[8]
            a_row = ir.Constant(count.type, vector.count)

            def products(k):  # type: ignore[no-untyped-def]
                shared = _load(builder, builder.gep(b_start, [builder.mul(k, b_step)]), vector)
                column = builder.gep(a_start, [builder.mul(k, a_step)])
                return [(_load(builder, _row(builder, column, a_row, row), vector), shared) for row in range(rows)]

            zeros = [ir.Constant(vector, [0.0] * vector.count)] * rows
            sums = _summed(builder, zeros, ir.Constant(count.type, 1), count, products)
            name = f"llvm.vector.reduce.fadd.v{vector.count}f{number.bitwidth}"
            reduce = cgutils.get_or_insert_function(builder.module, ir.FunctionType(item, [item, vector]), name)
            for row, total in enumerate(sums):
                over_lanes = builder.call(reduce, [ir.Constant(item, 0.0), total], fastmath=("reassoc",))
                builder.store(over_lanes, builder.gep(out_start, [ir.Constant(count.type, row)]))
            return context.get_dummy_value()

        return signature, generate

    return tile


_sum_1, _sum_2, _sum_3, _sum_4, _sum_5, _sum_6 = (_sum_tile(rows) for rows in range(1, TILE_ROWS + 1))


@inlined
def block_sums(out, out_at, a, a_at, a_step, b, b_at, b_step, rows, count):
    """out[i] = Σ_j a[i, j] b[j] for `count` blocks of j.

    Parameters
    ----------
    out, a, b : flat contiguous arrays of one floating-point type
    out_at, a_at, b_at : int
        Where the numbers begin.
    a_step, b_step : int
        Items from one block to the next.
    rows, count : int
    """
    row = 0
    while row < rows:
        height = tile_height(rows - row)
        o, p = out_at + row, a_at + row * lanes(a)
        if height == 6:
            _sum_6(out, o, a, p, a_step, b, b_at, b_step, count)
        elif height == 5:
            _sum_5(out, o, a, p, a_step, b, b_at, b_step, count)
        elif height == 4:
            _sum_4(out, o, a, p, a_step, b, b_at, b_step, count)
        elif height == 3:
            _sum_3(out, o, a, p, a_step, b, b_at, b_step, count)
        elif height == 2:
            _sum_2(out, o, a, p, a_step, b, b_at, b_step, count)
        else:
            _sum_1(out, o, a, p, a_step, b, b_at, b_step, count)
        row += height
