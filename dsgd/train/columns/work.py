"""A rank's computations over its columns: the gradient of a mini-batch, between whose halves the ranks sum their scores."""

from collections.abc import Iterable

import numpy as np

from ...collectives.base import Collective
from ...errors import ConfigError
from ...kernels.columns import (
    loss_of_scores,
    loss_of_scores_multi,
    partial_scores,
    partial_scores_multi,
    pull_back_scores,
    pull_back_scores_multi,
    rows_of_runs,
)
from ...kernels.rows import Rows
from ...objective.passes import Pass
from ...objective.problem import Problem

# Rows whose scores are summed at once, where nothing has to be smaller.
_MOST_ROWS = 1 << 16


class ColumnPass(Pass):
    """What :class:`Pass` does, on a block of the columns.

    Parameters
    ----------
    problem : Problem
        Of the block's weights.
    run : int
        Rows of a run, on all ranks.
    along : Collective
        Of the ranks with the other blocks of the same rows. All of them call for the same rows.
    """

    whole = False

    def __init__(self, problem: Problem, run: int, along: Collective):
        super().__init__(problem, run=run)
        self._along = along
        self._lead = along.rank == 0
        self._scores = np.empty(0, problem.dtype)
        multi = problem.outputs > 1
        self._forward = partial_scores_multi if multi else partial_scores
        self._backward = pull_back_scores_multi if multi else pull_back_scores
        self._loss = loss_of_scores_multi if multi else loss_of_scores

    def add_batch(self, rows, starts, begin: int, end: int, params, anchor=None, loss=None) -> tuple[float, int]:
        """Add the gradient sum of runs ``begin`` to ``end``; return their sum of weight x loss and their number of rows."""
        if anchor is not None:
            raise ConfigError("differences of gradients are not made of column blocks")
        total, count, step = 0.0, 0, max(1, _MOST_ROWS // self.run)
        for first in range(begin, end, step):
            part, n = self._add_some(rows, starts, first, min(first + step, end), params, loss)
            total += part
            count += n
        return total, count

    def _add_some(self, rows, starts, begin: int, end: int, params, loss) -> tuple[float, int]:
        p = self.problem
        scores, scale = self._scores_of(rows, starts, begin, end, params), p.dtype.type(p.weight_scale)
        return self._backward(
            p.loss if loss is None else loss, rows, p.frame, starts, begin, end, self.run, scores, scale, self.gradient,
            self.scratch,
        )  # fmt: skip

    def _scores_of(self, rows, starts, begin: int, end: int, params) -> np.ndarray:
        """Whole scores of runs ``begin`` to ``end``."""
        p = self.problem
        scores = self._room(rows_of_runs(starts[begin:end], self.run, len(rows.label)))
        self._forward(rows, p.frame, starts, begin, end, self.run, params, self._lead, scores, self.scratch)
        self._along.allreduce(scores.reshape(-1))
        return scores

    def loss(self, parts: Iterable[tuple[Rows, np.ndarray]], params: np.ndarray) -> tuple[float, float]:
        """As that of :class:`Pass`; without a gradient, which would be a vector as long as the weights."""
        p, step = self.problem, max(1, _MOST_ROWS // self.run)
        scale = p.dtype.type(p.weight_scale)
        total, weight = 0.0, 0.0
        for arrays, starts in parts:
            for begin in range(0, len(starts), step):
                end = min(begin + step, len(starts))
                scores = self._scores_of(arrays, starts, begin, end, params)
                total += self._loss(p.loss, arrays, starts, begin, end, self.run, scores, scale, self.scratch)
            weight += self._weight(arrays, starts, rows_of_runs(starts, self.run, len(arrays.label)))
        return total, weight

    def _room(self, rows: int) -> np.ndarray:
        """For the scores of so many rows: shape (rows,), or (rows, k)."""
        k = self.problem.outputs
        if len(self._scores) < rows * k:
            self._scores = np.empty(rows * k, self.problem.dtype)
        scores = self._scores[: rows * k]
        return scores if k == 1 else scores.reshape(rows, k)
