"""Which features a mini-batch touches: what travels for it where data are sparse."""

from collections.abc import Sequence

import numpy as np

from ...kernels.coordinates import list_touched
from ...objective.passes import Pass
from ..batches import Piece


class Touched:
    """Lists features, with the buffers that this takes.

    Parameters
    ----------
    work : Pass
    """

    def __init__(self, work: Pass):
        self._work = work
        layout = work.problem.layout
        # Dense weights and intercept are touched by every row: they head and end every list.
        self._first, self._last = np.arange(layout.dense, dtype=np.int32), np.array([layout.size], np.int32)
        self._seen, self._listed = np.zeros(layout.size, np.int32), np.empty(layout.size, np.int32)
        self._stamp = 0

    def of(self, pieces: Sequence[Piece]) -> np.ndarray:
        """The features that the rows of a mini-batch touch, ascending; shape (m,), int32."""
        self._stamp += 1
        count, work = 0, self._work
        for arrays, starts, begin, end in pieces:
            count = list_touched(
                arrays, work.problem.frame, starts, begin, end, work.run, self._seen, self._stamp, self._listed, count,
                work.scratch.codes,
            )  # fmt: skip
        return np.concatenate([self._first, np.sort(self._listed[:count]), self._last])
