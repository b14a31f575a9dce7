"""The buffers of one thread, made once a fit."""

import numpy as np

from .online import LANES
from .steps import Scratch


def make_scratch(dtype, run: int, codes: int, dense: int, outputs: int = 1, entries: int = 0) -> Scratch:
    """Return buffers for runs of ``run`` rows with ``codes`` codes (interactions included) and ``dense`` columns.

    ``entries`` is the most sparse entries of a row that the online pass will meet.

    Examples
    --------
    >>> make_scratch("float32", run=4, codes=0, dense=7, outputs=3).folded.shape
    (8, 3)
    """
    positions = np.zeros((run, codes), np.int32)
    if outputs == 1:
        lanes = np.zeros((5, sum(-(-count // LANES) * LANES for count in (codes, dense, entries))), dtype)
        scores, slopes, folded, anchored = (np.zeros(size, dtype) for size in (run, run, dense, dense))
        return Scratch(positions, scores, slopes, folded, anchored, lanes=lanes)
    # The intercepts are the last row of the folded weights.
    sizes = (run, run, dense + 1, dense + 1, dense)
    return Scratch(positions, *(np.zeros((size, outputs), dtype) for size in sizes))
