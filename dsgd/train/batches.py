"""Which of a rank's runs belong to which global step.

An epoch of ``N`` rows has ``T = ceil(N / b)`` steps on every rank, however its rows are shared out: at step ``t`` a rank
with ``n`` rows takes those from ``t n / T`` to ``(t + 1) n / T``. So a step's mini-batch has about ``b`` rows over all
ranks, every row is used once an epoch, and a rank without rows still joins every step.
"""

from collections.abc import Iterable, Iterator

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


def batches(parts: Iterable[tuple[Rows, np.ndarray]], run: int, rows: int, steps: int) -> Iterator[list[Piece]]:
    """Yield, for each of ``steps`` steps, the pieces (rows, starts, begin, end) of this rank; a piece lies in one block.

    ``rows`` are the rank's own rows, all of which ``parts`` brings.
    """
    step, seen = 0, 0
    pieces: list[Piece] = []
    for arrays, starts in parts:
        sizes = np.minimum(run, len(arrays.label) - starts)
        ends = seen + np.cumsum(sizes)
        # A run belongs to the step in which its first row falls.
        owner = ((ends - sizes) * steps) // max(rows, 1)
        cuts = np.flatnonzero(np.diff(owner)) + 1
        for begin, end in zip([0, *cuts.tolist()], [*cuts.tolist(), len(starts)], strict=True):
            while step < owner[begin]:
                yield pieces
                step, pieces = step + 1, []
            pieces.append((arrays, starts, begin, end))
        seen = int(ends[-1])
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
