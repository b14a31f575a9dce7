"""The decorators of compiled kernels, and what each kind of function may do.

Kernels borrow: they neither own nor make arrays, so numba's reference counts are left out altogether. A count taken in an
inner loop is a locked instruction; without them arrays may be taken out of tuples and handed on freely, and a function takes
a fifth less time to compile. The price is that a function cannot return an array, unless it is ``spliced`` into its
caller or ``allocating``.
"""

from typing import Any

from numba import njit

from .cache import make_cache

# Reassociation lets dot products use vector registers; NaN and infinity keep their meaning, because a non-finite sum is
# how bad data is found.
FAST = {"reassoc", "contract", "arcp", "nsz"}
_njit: Any = njit
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST, "error_model": "numpy", "no_cfunc_wrapper": True}


def _cached(**options: Any):
    def decorate(function):
        dispatcher = _njit(**_OPTIONS, **options)(function)
        dispatcher._cache = make_cache(function)
        return dispatcher

    return decorate


compiled = _cached(_nrt=False)
"""A kernel: called from Python and from other kernels."""

helper = _cached(_nrt=False, no_cpython_wrapper=True)
"""A part of kernels, which Python cannot call: unpacking its arguments would be half of its compilation."""

allocating = _cached(_nrt=True)
"""A kernel that makes an array, or calls a function of numpy that does."""

inlined = _njit(**_OPTIONS, _nrt=False, no_cpython_wrapper=True, forceinline=True)
"""A part of inner loops, always merged into the caller's machine code."""

spliced = _njit(**_OPTIONS, _nrt=False, no_cpython_wrapper=True, inline="always")
"""A part that is merged before types are known, and so may return an array; costs its caller's compilation a copy."""
