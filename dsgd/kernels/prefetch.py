"""Asking for memory before it is needed.

The weights of a row's categories are scattered over memory, and so are the runs of a shuffled epoch: where the processor cannot
guess what comes next, the loop tells it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Rows between asking for a row's weights and using them: some hundred nanoseconds, about what memory takes to answer.
AHEAD = 4
# Values of sparse rows between asking for a weight and using it.
FAR = 24


def _prefetch(typing_context, array, index):
    """Have the cache line of ``array[index]`` (1-d) fetched, to be written; changes nothing else."""

    def generate(context, builder, signature, arguments):
        _emit(context, builder, signature.args[0], arguments[0], [arguments[1]], write=1, level=3)
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _prefetch_entry(typing_context, array, index):
    """As ``_prefetch``, to be read."""

    def generate(context, builder, signature, arguments):
        _emit(context, builder, signature.args[0], arguments[0], [arguments[1]], write=0, level=3)
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _prefetch_at(typing_context, array, row, column):
    """Have the cache line of ``array[row, column]`` (2-d) fetched, to be read; changes nothing else.

    It stays out of the nearest cache, which the rows that are worked on fill.
    """

    def generate(context, builder, signature, arguments):
        _emit(context, builder, signature.args[0], arguments[0], list(arguments[1:]), write=0, level=2)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.intp), generate


def _emit(context, builder, array_type, array, indices, *, write: int, level: int) -> None:
    view = context.make_array(array_type)(context, builder, array)
    address = cgutils.get_item_pointer(context, builder, array_type, view, indices, wraparound=False)
    byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
    kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
    function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
    options = [ir.Constant(word, value) for value in (write, level, 1)]
    builder.call(function, [builder.bitcast(address, byte), *options])


prefetch: Any = intrinsic(_prefetch)
prefetch_entry: Any = intrinsic(_prefetch_entry)
prefetch_at: Any = intrinsic(_prefetch_at)
