"""Which weights are hot, so that every thread has a copy of its own, and where in a thread's vector each weight is found.

Comes in: the first rows that threads are given. Goes out: the hot weights, and how the codes of rows are moved to them. Where
weights are numbered as the data brings them (:mod:`dsgd.data.numbering`), the common values of a column have its lowest
numbers: then a hot weight is one of the first of its column, which a vector instruction can tell for sixteen codes at once.
Otherwise it takes a look into a table for each code.
"""

from typing import NamedTuple

import numpy as np

from ..kernels.expand import expand_codes
from ..kernels.hogwild_moves import Moves
from ..kernels.rows import Frame, Rows

# Hot weights at most: as many as cover most of what rows use, and few enough that merging them takes a tenth of a chunk's time.
SLOTS = 16384
# Rows that are counted.
SAMPLE = 1 << 13
# Part of the best coverage that the first numbers of the columns must have to be preferred to the table.
_NEARLY = 0.9


class Hot(NamedTuple):
    """The hot weights that are not dense, in the order of their slots, and the way to them.

    Attributes
    ----------
    weights : ndarray of shape (h,)
    moves : Moves
        The shift is left at 0.
    block : int
        By how much the shared weights are further on for each thread.
    rows : int
        How many were counted.
    """

    weights: np.ndarray
    moves: Moves
    block: int
    rows: int

    def moves_of(self, thread: int) -> Moves:
        """The way for a thread, counted from 0."""
        return self.moves._replace(shift=np.int32((thread + 1) * self.block))


def unmoved() -> Moves:
    """No moves at all."""
    none = np.zeros(0, np.int32)
    return Moves(none, none, none, np.zeros(0, np.uint16), np.int32(0))


def bare(frame: Frame) -> Frame:
    """The frame without its interactions."""
    return frame._replace(
        cross_columns=frame.cross_columns[:0], cross_start=frame.cross_start[:0], cross_mask=frame.cross_mask[:0]
    )


def choose_hot(rows: Rows, frame: Frame, size: int, slots: int, block: int) -> Hot:
    """Choose the hot weights by a sample of the rows.

    Parameters
    ----------
    rows : Rows
    frame : Frame
    size : int
        ``d``, the number of weights.
    slots : int
        Hot weights at most, besides the dense ones.
    block : int
        Length of a thread's own part, which begins with the dense weights.

    Returns
    -------
    Hot
    """
    codes, entries = _sample(rows, frame)
    first, counted = rows.dense.shape[1], min(SAMPLE, len(rows.label))
    counts = np.bincount(np.concatenate([codes.ravel(), entries]), minlength=size)
    repeated = np.flatnonzero(counts > 1)
    commonest = repeated[np.argsort(-counts[repeated], kind="stable")[:slots]]
    if codes.size and not entries.size and rows.indptr.size <= 1:
        low, length = _heads(codes, slots)
        heads = np.concatenate([np.arange(a, a + n) for a, n in zip(low, length, strict=True)])
        if counts[heads].sum() >= _NEARLY * counts[commonest].sum():
            slot = first + np.cumsum(length) - length - low
            low, length, slot = (array.astype(np.int32) for array in (low, length, slot))
            return Hot(heads, unmoved()._replace(low=low, length=length, slot=slot), block, counted)
    place = np.zeros(size, np.uint16)
    place[commonest] = first + 1 + np.arange(len(commonest))
    return Hot(commonest, unmoved()._replace(place=place), block, counted)


def _sample(rows: Rows, frame: Frame) -> tuple[np.ndarray, np.ndarray]:
    """Codes, those of interactions included, and sparse positions of the first rows."""
    n = min(SAMPLE, len(rows.label))
    codes = np.array(rows.codes[:n])
    if frame.cross_start.size:
        codes = np.zeros((n, rows.codes.shape[1] + frame.cross_start.size), np.int32)
        expand_codes(rows.codes, 0, n, frame.cross_columns, frame.cross_start, frame.cross_mask, codes)
    return codes, rows.indices[: rows.indptr[n]] if rows.indptr.size > 1 else rows.indices[:0]


def _heads(codes: np.ndarray, room: int) -> tuple[np.ndarray, np.ndarray]:
    """The first numbers of each column: the lowest, and how many, so that no two columns share one and all have room."""
    low = codes.min(axis=0).astype(np.int64)
    order = np.argsort(low, kind="stable")
    ends = codes.max(axis=0).astype(np.int64) + 1
    ends[order[:-1]] = np.minimum(ends[order[:-1]], low[order[1:]])
    # What columns of few values leave over goes to the others.
    length = np.zeros(len(low), np.int64)
    for q, left in zip(np.argsort(ends - low, kind="stable"), range(len(low), 0, -1), strict=True):
        length[q] = min(ends[q] - low[q], (room - length.sum()) // left)
    return low, length
