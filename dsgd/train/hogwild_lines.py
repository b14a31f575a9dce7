"""Arrays of one thread on cache lines of its own.

Comes in: an array, or buffers. Goes out: a copy that shares no cache line with anything else. numpy keeps small arrays side by
side; where two of different threads meet in a line, each write of one takes the line from the other's core, which costs more than
the row that is worked on.
"""

import numpy as np

from ..kernels.steps import Scratch

_BYTES = 128  # two cache lines, because cores fetch them in pairs


def apart(array: np.ndarray) -> np.ndarray:
    """Return a copy, C-contiguous, that begins on a line of its own and ends on one.

    Examples
    --------
    >>> copy = apart(np.arange(3.0))
    >>> copy.tolist(), copy.ctypes.data % 128
    ([0.0, 1.0, 2.0], 0)
    """
    room = np.zeros(array.nbytes + 2 * _BYTES, np.uint8)
    begin = -room.ctypes.data % _BYTES
    copy = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    copy[...] = array
    return copy


def scratch_apart(scratch: Scratch) -> Scratch:
    """Copies of all buffers."""
    return Scratch(*(None if buffer is None else apart(buffer) for buffer in scratch))
