"""Which weights a dataset uses at all: often few, however many a hash leaves room for."""

from collections.abc import Iterable

import numpy as np

from ..kernels.active import mark_rows
from ..kernels.rows import Rows
from .problem import Problem


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
    codes = np.zeros((256, problem.layout.codes + problem.layout.crosses.count), np.int32)
    for rows, _ in parts:
        count = mark_rows(rows, problem.frame, seen, count, limit, codes)
        if count > limit:
            return None
    return np.flatnonzero(seen)
