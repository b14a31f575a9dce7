"""Which of a rank's runs belong to which global step.

An epoch of ``N`` rows has ``T = ceil(N / b)`` steps on every rank, however its rows are shared out: at step ``t`` a rank
with ``n`` rows takes those from ``t n / T`` to ``(t + 1) n / T``. So a step's mini-batch has about ``b`` rows over all
ranks, every row is used once an epoch, and a rank without rows still joins every step.
"""

import itertools
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from ..kernels.rows import Rows

Piece = tuple[Rows, np.ndarray, int, int]


def steps_of_epoch(rows: int, batch_rows: int) -> int:
    """``T``.

    Examples
    --------
    >>> steps_of_epoch(1000, 256)
    4
    """
    return max(1, -(-rows // batch_rows))


def cuts(
    parts: Iterable[tuple[Rows, np.ndarray]], run: int, rows: int, steps: int
) -> Iterator[tuple[Rows, np.ndarray, np.ndarray]]:
    """Yield each block (rows, starts) with the edges of the steps among its runs.

    Runs ``edges[s]`` to ``edges[s + 1]``, maybe none, are the block's part of a step: the first of the step that the block
    before has left open, the last of one that it leaves open itself. ``rows`` are the rank's own rows, all of which
    ``parts`` brings.
    """
    step, seen = 0, 0
    for arrays, starts in parts:
        sizes = np.minimum(run, len(arrays.label) - starts)
        ends = seen + np.cumsum(sizes)
        # A run belongs to the step in which its first row falls.
        owner = ((ends - sizes) * steps) // max(rows, 1)
        yield arrays, starts, np.searchsorted(owner, np.arange(step, owner[-1] + 2))
        step, seen = int(owner[-1]), int(ends[-1])


def stretches(
    parts: Iterable[tuple[Rows, np.ndarray, np.ndarray]], marks: Sequence[int], done: int
) -> Iterator[tuple[Rows, np.ndarray, np.ndarray, int]]:
    """Yield what :func:`cuts` does, without the first ``done`` steps, and divided where so many steps are taken as a mark says.

    The last of a stretch's edges leaves a step open, as that of a block does; at a mark that step, which is not begun, has no
    runs yet. The fourth is the mark, or 0.

    Examples
    --------
    >>> for _, _, edges, mark in stretches([(None, None, np.array([0, 2, 4, 6, 7]))], marks=[1, 3], done=1):
    ...     print(edges, mark)
    [2 4 6 6] 3
    [6 7] 0
    """
    step = 0
    for arrays, starts, edges in parts:
        begin, last = max(0, done - step), step + len(edges) - 2
        for mark in marks:
            if max(step, done) < mark <= last:
                at = mark - step
                yield arrays, starts, np.append(edges[begin : at + 1], edges[at]), mark
                begin = at
        if done <= last:
            yield arrays, starts, edges[begin:], 0
        step = last


def batches(parts: Iterable[tuple[Rows, np.ndarray]], run: int, rows: int, steps: int) -> Iterator[list[Piece]]:
    """Yield, for each of ``steps`` steps, the pieces (rows, starts, begin, end) of this rank; a piece lies in one block."""
    step = 0
    pieces: list[Piece] = []
    for arrays, starts, edges in cuts(parts, run, rows, steps):
        for number, (begin, end) in enumerate(itertools.pairwise(edges.tolist())):
            if number:
                yield pieces
                step, pieces = step + 1, []
            if end > begin:
                pieces.append((arrays, starts, begin, end))
    while step < steps:
        yield pieces
        step, pieces = step + 1, []


def bounds(count: int, runs_per_batch: int) -> np.ndarray:
    """Edges of mini-batches of ``runs_per_batch`` runs among ``count`` runs, nearly equal in size.

    Examples
    --------
    >>> bounds(11, 4)
    array([ 0,  3,  7, 11])
    """
    steps = max(1, round(count / runs_per_batch))
    steps = max(steps, -(-count // (2 * runs_per_batch)))
    return (np.arange(steps + 1) * count) // steps
