"""Powers of two by the exponent's bits: what lets a compiled loop take the exponential of a vector of numbers at once.

The library's exponential is a call a number; made of arithmetic alone, it is inlined and vectorised with the loop around it.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_BIAS, _MANTISSA = 127, 23


def _power_of_two(typing_context, exponent):
    """``2.0 ** exponent`` in single precision, for an int32 of -126 to 127."""

    def generate(context, builder, signature, arguments):
        word = ir.IntType(32)
        biased = builder.add(arguments[0], ir.Constant(word, _BIAS))
        return builder.bitcast(builder.shl(biased, ir.Constant(word, _MANTISSA)), ir.FloatType())

    return types.float32(types.int32), generate


power_of_two: Any = intrinsic(_power_of_two)
