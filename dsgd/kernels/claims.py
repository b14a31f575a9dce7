"""What threads that share memory claim from each other without waiting: the next piece of work, and a lock that may be refused.

Comes in: an array of int64 counters, each alone on its cache lines (``LINE`` apart). Goes out: the value that was there before
the change, which one atomic instruction makes (C++11 memory model, by LLVM).
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .compiling import inlined

LINE = 16  # int64 from one counter to the next: two cache lines, because prefetchers fetch them in pairs
NEXT, LOCK, STOP = 0, LINE, 2 * LINE  # places in an array of claims
CLAIMS = 3 * LINE  # its length


def _exchanging(operation: str):
    def typed(typing_context, array, index, value):
        def generate(context, builder: ir.IRBuilder, signature, arguments):
            array_value, index_value, new = arguments
            kind = signature.args[0]
            view = context.make_array(kind)(context, builder, array_value)
            address = cgutils.get_item_pointer(context, builder, kind, view, [index_value], wraparound=False)
            return builder.atomic_rmw(operation, address, new, "acq_rel")

        return types.int64(array, types.intp, types.int64), generate

    return typed


# Typed Any because numba takes the first argument away, which type checkers cannot know.
fetch_add: Any = intrinsic(_exchanging("add"))
exchange: Any = intrinsic(_exchanging("xchg"))


@inlined
def claim(claims):
    """The number of a piece of work that nobody else gets, counted from 0."""
    return fetch_add(claims, NEXT, 1)


@inlined
def try_lock(claims):
    """Whether the lock was free, and now is the caller's."""
    return exchange(claims, LOCK, 1) == 0


@inlined
def unlock(claims):
    """Give the lock back; what was written before is visible to whoever gets it next."""
    exchange(claims, LOCK, 0)
