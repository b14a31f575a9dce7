"""Which weights a dataset uses at all: often few, however many a hash leaves room for."""

from collections.abc import Iterable, Iterator

import numpy as np

from ..kernels.active import add_squares, mark
from ..kernels.expand import expand_codes
from ..kernels.rows import Rows
from .problem import Problem

_ROWS = 4096  # between two looks at the limit


def used_weights(problem: Problem, parts: Iterable[tuple[Rows, np.ndarray]], limit: int) -> np.ndarray | None:
    """Positions of the weights that some row uses, ascending, dense ones included.

    Parameters
    ----------
    problem : Problem
    parts : iterable of (Rows, starts)
    limit : int
        Give up when there are more.

    Returns
    -------
    ndarray of shape (a,), int64, or None
    """
    dense = problem.layout.dense
    if dense > limit:
        return None
    if dense == problem.layout.size:
        return np.arange(dense)
    seen = np.zeros(problem.layout.size, np.bool_)
    seen[:dense] = True
    count = dense
    for rows, _ in parts:
        for indices in _indices(problem, rows):
            count += mark(indices, seen)
            if count > limit:
                return None
    return np.flatnonzero(seen)


def with_nonzero(problem: Problem, active: np.ndarray, params: np.ndarray, limit: int) -> np.ndarray | None:
    """Add the weights that are not zero in ``params`` to those in use: the penalty is on them, whether rows use them or not.

    None when there are more than ``limit`` then.
    """
    given = np.flatnonzero(params[: problem.weights].reshape(-1, problem.outputs).any(axis=1))
    united = np.union1d(active, given)
    return united if len(united) <= limit else None


def squares_of_features(problem: Problem, parts: Iterable[tuple[Rows, np.ndarray]], active: np.ndarray) -> np.ndarray:
    """Sum of the squares of every active feature over the rows of all blocks, and the number of rows.

    Returns
    -------
    ndarray of shape (a + 1,), float64
    """
    layout, frame = problem.layout, problem.frame
    position = np.full(layout.size, -1, np.int32)
    position[active] = np.arange(len(active))
    sums, dense = np.zeros(len(active) + 1), np.zeros(layout.dense)
    scratch = np.zeros((256, layout.codes + layout.crosses.count), np.int32)
    for rows, _ in parts:
        if layout.size > layout.dense:
            add_squares(rows, frame, position, sums[:-1], scratch)
        for start in range(0, rows.label.size, _ROWS):
            some = rows.dense[start : start + _ROWS]
            some = (some - frame.center) * frame.scale if frame.scale.size else some
            dense += np.einsum("ij,ij->j", some, some)
        sums[-1] += rows.label.size
    wanted = active[active < layout.dense]
    sums[position[wanted]] = dense[wanted]
    return sums


def _indices(problem: Problem, rows: Rows) -> Iterator[np.ndarray]:
    """Codes, interactions and indices of sparse values, some rows at a time; each of shape (n, c)."""
    frame = problem.frame
    crossed = np.zeros((_ROWS, problem.layout.codes + problem.layout.crosses.count), np.int32)
    for start in range(0, rows.label.size, _ROWS):
        stop = min(start + _ROWS, rows.label.size)
        if frame.cross_start.size:
            expand_codes(rows.codes, start, stop, frame.cross_columns, frame.cross_start, frame.cross_mask, crossed)
            yield crossed[: stop - start]
        elif rows.codes.shape[1]:
            yield rows.codes[start:stop]
        if rows.indptr.size > 1:
            yield rows.indices[rows.indptr[start] : rows.indptr[stop], np.newaxis]
