"""What a rank computes over its own rows: gradient sums, loss sums, curvature sums, whole local epochs.

This is where the choice between one and several outputs is made; above it nothing knows how many scores a row has.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from ..kernels import registry
from ..kernels.rows import Rows
from ..kernels.scratch import make_scratch
from ..losses.smoothing import smoothed
from .problem import Problem

# Rows whose gradient is summed in the fit's dtype before it is added to the total in float64. Wider gradients than
# _NARROW are folded in once a block, because the walk over d numbers would cost more than the rows.
_CHUNK_ROWS = 1 << 13
_NARROW = 1 << 14


@dataclass(frozen=True)
class Partial:
    """Sums over some rows; a monoid, divided once, after the reduction.

    Attributes
    ----------
    gradient : ndarray of shape ((d + 1) k,), float64
        Of the loss, by the parameters.
    loss : float
        Sum of weight x loss, weights scaled to a mean of 1.
    rows : int
    """

    gradient: np.ndarray
    loss: float
    rows: int

    def to_vector(self) -> np.ndarray:
        """Gradient, loss and rows as one float64 vector, which adds up over ranks."""
        return np.concatenate([self.gradient, [self.loss, self.rows]])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> "Partial":
        """The inverse of ``to_vector``."""
        return cls(vector[:-2], float(vector[-2]), int(vector[-1]))


class Pass:
    """One rank's computations over blocks, with the buffers that they share.

    Attributes
    ----------
    whole : bool
        Whether rows have all of their columns here.

    Parameters
    ----------
    problem : Problem
    batch_rows : int
        Most rows that a mini-batch of this rank will have; bounds the length of a run.
    in_order : bool
        Whether rows are visited in the order in which they are stored.
    run : int, optional
        Rows of a run, if others have decided that.
    """

    whole = True

    def __init__(self, problem: Problem, batch_rows: int = 1 << 20, in_order: bool = False, run: int | None = None):
        self.problem = problem
        self.run = problem.run_length(batch_rows, in_order) if run is None else run
        self.longest = 0
        self.scratch = self._make_scratch()
        # The gradient, and one more number that is reduced with it.
        self.buffer = np.zeros(problem.size + 1, problem.dtype)
        self.gradient = self.buffer[:-1]
        kind = "" if problem.outputs == 1 else "_multi"
        self._batch, self._anchored = registry.get(f"batch_gradient{kind}"), registry.get(f"anchored_gradient{kind}")

    def _make_scratch(self):
        layout = self.problem.layout
        codes = layout.codes + layout.crosses.count
        return make_scratch(self.problem.dtype, self.run, codes, layout.dense, self.problem.outputs, self.longest)

    def make_room(self, rows) -> None:
        """Let the buffers of the online pass hold the longest sparse row of a block."""
        longest = int(np.diff(rows.indptr).max(initial=0))
        if longest > self.longest:
            self.longest = longest
            self.scratch = self._make_scratch()

    def add_batch(self, rows, starts, begin: int, end: int, params, anchor=None, loss=None) -> tuple[float, int]:
        """Add the gradient sum of some runs, by raw columns, to ``self.gradient``; return loss sum and rows.

        ``loss`` may stand for the problem's own, where there is no anchor.
        """
        p = self.problem
        scale = p.dtype.type(p.weight_scale)
        if anchor is None:
            return self._batch(
                p.loss if loss is None else loss,
                rows,
                p.frame,
                starts,
                begin,
                end,
                self.run,
                params,
                scale,
                self.gradient,
                self.scratch,
            )
        return self._anchored(
            p.loss, rows, p.frame, starts, begin, end, self.run, params, anchor, scale, self.gradient, self.scratch
        )

    def full_gradient(
        self, parts: Iterable[tuple[Rows, np.ndarray]], params: np.ndarray, width: float = 0.0
    ) -> Partial:
        """Gradient and loss of all rows of ``parts`` (see Share.training), by standardised columns.

        Kinks of the loss are rounded off within ``width`` (:mod:`dsgd.losses.smoothing`).
        """
        rounded = smoothed(self.problem.loss, width)
        total = np.zeros(self.problem.size, np.float64)
        loss, rows = 0.0, 0
        narrow = self.problem.size < _NARROW
        for arrays, starts in parts:
            chunk = max(1, _CHUNK_ROWS // self.run) if narrow else len(starts)
            for begin in range(0, len(starts), chunk):
                part, count = self.add_batch(
                    arrays, starts, begin, min(begin + chunk, len(starts)), params, loss=rounded
                )
                loss += part
                rows += count
                total += self.gradient
                self.gradient[:] = 0
        self.unfold(total)
        return Partial(total, loss, rows)

    def unfold(self, gradient: np.ndarray) -> None:
        """Turn a gradient by raw columns into one by standardised columns, in place."""
        p = self.problem
        if p.frame.scale.size:
            matrix = gradient.reshape(-1, p.outputs)
            dense = matrix[: p.layout.dense]
            dense -= p.frame.center[:, None] * matrix[-1]
            dense *= p.frame.scale[:, None]

    def loss(self, parts: Iterable[tuple[Rows, np.ndarray]], params: np.ndarray) -> tuple[float, float]:
        """Sum of weight x loss over ``parts``, and sum of the weights, both scaled as the problem scales weights."""
        total, weight = 0.0, 0.0
        for arrays, starts in parts:
            part, count = self.add_batch(arrays, starts, 0, len(starts), params)
            total += part
            weight += self._weight(arrays, starts, count)
        self.gradient[:] = 0
        return total, weight

    def _weight(self, arrays: Rows, starts: np.ndarray, count: int) -> float:
        if not arrays.weight.size:
            return count * self.problem.weight_scale
        chosen = np.zeros(len(arrays.label), bool)
        for start in starts:
            chosen[start : start + self.run] = True
        return float(arrays.weight[chosen].sum(dtype=np.float64)) * self.problem.weight_scale
