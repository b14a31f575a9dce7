"""A number for every row by its place, from which it follows which rows a fit leaves out: no list of rows is kept.

The finaliser of SplitMix64 (Steele, Lea & Flood 2014) makes the row's number within its block, added to the block's own, a
uniform number of 32 bits.
"""

import numpy as np

from .compiling import compiled, inlined

_STEP = np.uint64(0x9E3779B97F4A7C15)
_FIRST, _SECOND = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_30, _27, _31, _32 = np.uint64(30), np.uint64(27), np.uint64(31), np.uint64(32)


@inlined
def place_number(place, i):
    """The number, within 0 .. 2**32 - 1, of row ``i`` of a block whose own is ``place``."""
    z = place + np.uint64(i) * _STEP
    z = (z ^ (z >> _30)) * _FIRST
    z = (z ^ (z >> _27)) * _SECOND
    return np.int64((z ^ (z >> _31)) >> _32)


@compiled
def place_numbers(place, out):
    """Write the numbers of the first rows to ``out``, int64."""
    for i in range(out.size):
        out[i] = place_number(place, i)
