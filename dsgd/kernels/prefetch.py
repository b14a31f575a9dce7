"""Asking for memory before it is needed: the loads of a row's weights are scattered, and wait for one another otherwise."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# Rows between asking for a row's weights and using them: some hundred nanoseconds, about what memory takes to answer.
AHEAD = 4


def _prefetch(typing_context, array, index):
    """Have the cache line of ``array[index]`` (1-d) fetched, to be written; changes nothing else."""

    def generate(context, builder, signature, arguments):
        view = context.make_array(signature.args[0])(context, builder, arguments[0])
        address = cgutils.get_item_pointer(context, builder, signature.args[0], view, [arguments[1]], wraparound=False)
        byte, word = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, word, word, word])
        function = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        write, keep, data = (ir.Constant(word, value) for value in (1, 3, 1))
        builder.call(function, [builder.bitcast(address, byte), write, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


prefetch: Any = intrinsic(_prefetch)
