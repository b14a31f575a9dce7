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
_EXACT: dict[str, Any] = {"nogil": True, "error_model": "numpy", "no_cfunc_wrapper": True}
_OPTIONS = _EXACT | {"fastmath": FAST}


def _cached(function, **options: Any):
    return kept(**_OPTIONS, **options)(function)


def compiled(function):
    """Compile a kernel: called from Python and from other kernels."""
    return _cached(function, _nrt=False)


def helper(function):
    """Compile a part of kernels, which Python cannot call: unpacking its arguments would be half of its compilation."""
    return _cached(function, _nrt=False, no_cpython_wrapper=True)


def exact(function):
    """As ``compiled``, with sums in the order in which they are written: all ranks must come to the same bits."""
    return kept(**_EXACT, _nrt=False)(function)


def exact_helper(function):
    """As ``helper``, with sums in the order in which they are written."""
    return kept(**_EXACT, _nrt=False, no_cpython_wrapper=True)(function)


def allocating(function):
    """Compile a kernel that makes an array, or calls a function of numpy that does."""
    return _cached(function, _nrt=True)


def kept(**options: Any):
    """numba's own compilation with the options given, and its code kept as that of the other kernels.

    numba's ``cache=True`` refuses to import where no directory can be written, and sees changes of one file only.
    """

    def decorate(function):
        dispatcher = _njit(**options)(function)
        dispatcher._cache = make_cache(function)
        return dispatcher

    return decorate


def inlined(function):
    """Compile a part of inner loops, always merged into the caller's machine code."""
    return _njit(**_OPTIONS, _nrt=False, no_cpython_wrapper=True, forceinline=True)(function)


def spliced(function):
    """Compile a part that is merged before types are known, and so may return an array; costs its caller's compilation a copy."""
    return _njit(**_OPTIONS, _nrt=False, no_cpython_wrapper=True, inline="always")(function)
