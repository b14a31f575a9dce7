"""Small pieces that several losses share: each runs on arrays in Python and on scalars in compiled code.

In come scores and targets, out go the same shapes. All of them stay finite for finite arguments of a sane size
(``|score| <= 1e4`` in float32).
"""

import numpy as np
from numba.extending import overload, register_jitable

EXPONENT_LIMIT = 64.0
"""Where the log-link losses leave the exponential for its tangent: exp(64) = 6e27, so that a million such rows still
add up in float32."""

KINK_WIDTH = 1e-6
"""Distance from a kink below which the touching parabola gets no narrower."""


def constant(number, like):
    """An array full of ``number``, shaped as ``like``; compiled, the number itself."""
    return np.full_like(like, number)


@overload(constant)
def _constant(number, like):
    return lambda number, like: number


@register_jitable
def exponential(x):
    """The exponential of ``x``, held constant beyond :data:`EXPONENT_LIMIT`: the derivative of :func:`extended`."""
    return np.exp(np.minimum(x, EXPONENT_LIMIT))


@register_jitable
def extended(x):
    """The exponential of ``x``, continued by its tangent beyond :data:`EXPONENT_LIMIT`: convex, and never infinite."""
    return exponential(x) * (1 + np.maximum(x - EXPONENT_LIMIT, 0))


@register_jitable
def kink_curvature(distance):
    """Curvature of the parabola that touches max(0, u) at ``u = distance`` from above (de Leeuw & Lange 2009)."""
    return 0.5 / np.maximum(np.abs(distance), KINK_WIDTH)
