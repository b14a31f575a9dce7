"""Small pieces that several losses share: each runs on arrays in Python and on scalars in compiled code.

In come scores and targets, out go the same shapes. All of them stay finite for finite arguments of a sane size
(``|score| <= 1e4`` in float32).
"""

import numpy as np
from numba import types
from numba.extending import overload, register_jitable

from ..kernels.powers import power_of_two

EXPONENT_LIMIT = 64.0
"""Where the log-link losses leave the exponential for its tangent: exp(64) = 6e27, so that a million such rows still
add up in float32."""

KINK_WIDTH = 1e-6
"""Distance from a kink below which the touching parabola gets no narrower."""


def constant(number, like):
    """An array full of ``number``, shaped as ``like``; compiled, the number in the precision of ``like``.

    A plain literal would carry a compiled float32 formula over to double, at twice the price.
    """
    return np.full_like(like, number)


@overload(constant, jit_options={"forceinline": True})
def _constant(number, like):
    return lambda number, like: type(like)(number)


def log1p_unit(x):
    """``log(1 + x)`` for x within [0, 1]."""
    return np.log1p(x)


@overload(log1p_unit, jit_options={"forceinline": True})
def _log1p_unit(x):
    if x != types.float32:
        return lambda x: np.log1p(x)

    def series(x):
        # 2 artanh(x / (2 + x)), whose argument is at most 1/3: eight terms are exact in single precision, and cost a
        # quarter of the library's function.
        t = x / (np.float32(2) + x)
        u = t * t
        p = np.float32(1 / 15)
        p = p * u + np.float32(1 / 13)
        p = p * u + np.float32(1 / 11)
        p = p * u + np.float32(1 / 9)
        p = p * u + np.float32(1 / 7)
        p = p * u + np.float32(1 / 5)
        p = p * u + np.float32(1 / 3)
        p = p * u + np.float32(1)
        return np.float32(2) * t * p

    return series


def exp_of_negative(x):
    """``exp(x)`` for x <= 0."""
    return np.exp(x)


@overload(exp_of_negative, jit_options={"forceinline": True})
def _exp_of_negative(x):
    if x != types.float32:
        return lambda x: np.exp(x)

    def series(x):
        # exp(x) = 2^n exp(r) with |r| <= log(2) / 2, where seven terms of the series leave 7e-9: arithmetic alone, which is
        # vectorised with the loop around it. Below -87, where the result is 1e-38, it stays what it is there.
        x = np.float32(-87) if x < np.float32(-87) else x  # NaN stays NaN
        n = np.int32(x * np.float32(1.4426950408889634) - np.float32(0.5))
        r = x - np.float32(n) * np.float32(0.6931471805599453)
        p = np.float32(1 / 5040)
        p = p * r + np.float32(1 / 720)
        p = p * r + np.float32(1 / 120)
        p = p * r + np.float32(1 / 24)
        p = p * r + np.float32(1 / 6)
        p = p * r + np.float32(1 / 2)
        p = p * r + np.float32(1)
        p = p * r + np.float32(1)
        return p * power_of_two(n)

    return series


@register_jitable
def exponential(x):
    """The exponential of ``x``, held constant beyond :data:`EXPONENT_LIMIT`: the derivative of :func:`extended`."""
    return np.exp(np.minimum(x, EXPONENT_LIMIT))


@register_jitable
def extended(x):
    """The exponential of ``x``, continued by its tangent beyond :data:`EXPONENT_LIMIT`: convex, and never infinite."""
    return exponential(x) * (1 + np.maximum(x - EXPONENT_LIMIT, 0))


@register_jitable
def kink_curvature(distance, width=KINK_WIDTH):
    """Curvature of the parabola that touches max(0, u) at ``u = distance`` from above (de Leeuw & Lange 2009).

    Also of the parabola that touches max(0, u) rounded off within ``width`` of zero.
    """
    return 0.5 / np.maximum(np.abs(distance), width)
