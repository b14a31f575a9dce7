"""What compiled loops need to meet in shared memory: ordered loads and stores of counters, and ways to wait.

Ordering follows the C++11 memory model, by LLVM's atomic instructions; waiting uses the processor's hint for spinning loops
and the C library's ``sched_yield`` and ``usleep``, and is measured by its ``clock_gettime`` (Linux, macOS).
"""

import platform
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

# CLOCK_MONOTONIC, which has another number on macOS.
_MONOTONIC = 6 if platform.system() == "Darwin" else 1
_ON_X86 = platform.machine() in ("x86_64", "AMD64")


def _address(context, builder, array_type, array, index):
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index], wraparound=False)


def _load_acquire(typing_context, array, index):
    """``array[index]`` (int64, 1-d); nothing that follows is read before it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_address(context, builder, signature.args[0], *arguments), "acquire", 8)

    return types.int64(array, types.intp), generate


def _store_release(typing_context, array, index, value):
    """``array[index] = value`` (int64, 1-d); everything that precedes is visible before it."""

    def generate(context, builder, signature, arguments):
        array_value, index_value, stored = arguments
        address = _address(context, builder, signature.args[0], array_value, index_value)
        builder.store_atomic(stored, address, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


def _pause(typing_context):
    """Tell the core that this is a spinning loop; does nothing on processors other than x86."""

    def generate(context, builder, signature, arguments):
        if _ON_X86:
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


def _nanoseconds(typing_context):
    """The monotonic clock, int64; some 20 ns, as Linux answers it without entering the kernel."""

    def generate(context, builder, signature, arguments):
        whole, small = ir.IntType(64), ir.IntType(32)
        space = cgutils.alloca_once(builder, ir.ArrayType(whole, 2))
        function = ir.FunctionType(small, [small, space.type])
        clock = cgutils.get_or_insert_function(builder.module, function, "clock_gettime")
        builder.call(clock, [small(_MONOTONIC), space])
        seconds, rest = cgutils.unpack_tuple(builder, builder.load(space))
        return builder.add(builder.mul(seconds, whole(1_000_000_000)), rest)

    return types.int64(), generate


def _copy(typing_context, target, target_start, source, source_start, count):
    """``target[target_start:][:count] = source[source_start:][:count]`` for C-contiguous arrays of one dtype.

    One memcpy: it compiles at once where slices take long, and is fast at every length. Bounds are the caller's.
    """

    def generate(context, builder, signature, arguments):
        target_value, target_index, source_value, source_index, length = arguments
        target_type, source_type = signature.args[0], signature.args[2]
        to = _address(context, builder, target_type, target_value, target_index)
        of = _address(context, builder, source_type, source_value, source_index)
        itemsize = context.get_abi_sizeof(context.get_data_type(target_type.dtype))
        cgutils.raw_memcpy(builder, to, of, length, itemsize)
        return context.get_dummy_value()

    return types.void(target, types.intp, source, types.intp, types.intp), generate


# Typed Any because numba takes the first argument away, which type checkers cannot know.
load_acquire: Any = intrinsic(_load_acquire)
store_release: Any = intrinsic(_store_release)
copy: Any = intrinsic(_copy)
pause: Any = intrinsic(_pause)
nanoseconds: Any = intrinsic(_nanoseconds)
yield_core: Any = types.ExternalFunction("sched_yield", types.int32())
nap: Any = types.ExternalFunction("usleep", types.int32(types.uint32))
