"""One pass over a rank's rows that makes the sums of many lanes: their gradients, or their losses on rows they left out."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...data.block import Block
from ...kernels.rows import Rows
from ...kernels.scratch import make_scratch
from ...kernels.sweep import Lanes, sweep_gradient, sweep_scores
from ...objective.passes import Partial, Pass
from ...objective.problem import Problem
from .splits import LaneShare

# Bytes of a run's features, which stay in the second-level cache from one product to the other; and its rows.
_RUN_BYTES, _MOST_ROWS, _LEAST_ROWS = 128 << 10, 256, 32
# Rows whose gradients are summed in the fit's dtype before they are added up in float64, where that is not a longer walk.
_CHUNK_ROWS, _NARROW = 1 << 13, 1 << 14


@dataclass(frozen=True)
class Asked:
    """A lane's part of a pass: its rows, and where it wants the sums of which loss."""

    share: LaneShare
    work: Pass
    params: np.ndarray
    loss: Any

    @property
    def problem(self) -> Problem:
        """The lane's problem."""
        return self.work.problem


def run_length(problem: Problem) -> int:
    """Rows of a run where all rows are visited in order, so that a fit's shorter runs need not be kept to."""
    row = max(8, problem.layout.dense * problem.dtype.itemsize)
    return int(np.clip(_RUN_BYTES // row // 4 * 4, _LEAST_ROWS, _MOST_ROWS))


def lanes_of(asked: Sequence[Asked]) -> Lanes:
    """What the kernel needs to know of the lanes."""
    first = asked[0].problem
    groups = max(1, max(len(lane.problem.class_weight) for lane in asked))
    factor = np.ones((len(asked), groups))
    for row, lane in zip(factor, asked, strict=True):
        own = lane.problem.class_weight
        row[:] = (own if own.size else 1.0) * np.ones(groups) * lane.problem.weight_scale
    low, high = (np.array([getattr(lane.share.left_out, end) for lane in asked], np.int64) for end in ("low", "high"))
    factors = np.ascontiguousarray(factor.T, first.dtype)
    own = np.zeros((2, len(asked)), first.dtype)
    return Lanes(low, high, factors, bool((low != high).any()), own)


def gradients(asked: Sequence[Asked], collective: Any) -> list[Partial]:
    """Gradient and loss of every lane over the training rows of all ranks, in one pass, in the order of ``asked``.

    The lanes have equal losses, as many outputs each, and the same rows held out for validation.
    """
    share, outputs = asked[0].share, asked[0].problem.outputs
    run = share.run if share.held_out else run_length(share.problem)
    sums, rows = _Sums(asked, run), 0
    for key, block, starts in share.chosen():
        starts = starts if share.held_out else np.arange(0, block.rows, run)
        sums.add(plain_rows(block), starts, share.places.of(key))
        rows += int(np.minimum(run, block.rows - starts).sum())
    vector = np.concatenate([sums.total, sums.losses, [rows]])
    collective.allreduce(vector)
    size = sums.total.size
    matrix, losses = vector[:size].reshape(-1, len(asked), outputs), vector[size:-1]
    result = []
    for number, lane in enumerate(asked):
        gradient = np.ascontiguousarray(matrix[:, number]).ravel()
        lane.work.unfold(gradient)
        result.append(Partial(gradient, float(losses[number]), int(vector[-1])))
    return result


class _Sums:
    """The sums of the lanes while blocks go by."""

    def __init__(self, asked: Sequence[Asked], run: int):
        p = asked[0].problem
        outputs, self._run = len(asked) * p.outputs, run
        self._problem, self._lanes = p, lanes_of(asked)
        self._losses = (asked[0].loss, None) if p.outputs == 1 else (None, asked[0].loss)
        self._params = interleaved([lane.params for lane in asked], p.outputs)
        self._scratch = scratch_of(p, run, outputs)
        self._gradient = np.zeros(self._params.size, p.dtype)
        self.total = np.zeros(self._params.size)
        self.losses = np.zeros(len(asked))

    def add(self, rows: Rows, starts: np.ndarray, place: np.uint64) -> None:
        """Add a block."""
        chunk = max(1, _CHUNK_ROWS // self._run) if self._gradient.size < _NARROW else len(starts)
        for begin in range(0, len(starts), chunk):
            end = min(begin + chunk, len(starts))
            sweep_gradient(
                *self._losses, self._lanes, rows, self._problem.frame, starts, begin, end, self._run, place,
                self._params, self._gradient, self.losses, self._scratch,
            )  # fmt: skip
            self.total += self._gradient
            self._gradient[:] = 0


def scores(block: Block, start: int, stop: int, problem: Problem, params: np.ndarray, scratch: Any) -> np.ndarray:
    """Scores of some rows by interleaved parameters; shape (stop - start, m k)."""
    out = np.empty((stop - start, scratch.scores.shape[1]), problem.dtype)
    sweep_scores(plain_rows(block), problem.frame, start, stop, len(scratch.scores), params, out, scratch)
    return out


def interleaved(params: Sequence[np.ndarray], outputs: int) -> np.ndarray:
    """The parameters of lanes, each of shape ((d + 1) k,), as the kernels take them.

    Examples
    --------
    >>> interleaved([np.array([1.0, 2.0]), np.array([3.0, 4.0])], 1).tolist()
    [1.0, 3.0, 2.0, 4.0]
    """
    return np.stack([vector.reshape(-1, outputs) for vector in params], axis=1).ravel()


def scratch_of(problem: Problem, run: int, outputs: int) -> Any:
    """Buffers for runs of ``run`` rows and ``outputs`` scores a row."""
    layout = problem.layout
    scratch = make_scratch(problem.dtype, run, layout.codes + layout.crosses.count, layout.dense, max(outputs, 2))
    if outputs > 1:
        return scratch
    one = {name: np.ascontiguousarray(getattr(scratch, name)[:, :1]) for name in _BUFFERS}
    return scratch._replace(**one)


_BUFFERS = ("scores", "slopes", "folded", "anchored", "product")


def plain_rows(block: Block) -> Rows:
    """A block as the kernels take it, with the weights that it came with."""
    return Rows(**{name: getattr(block, name) for name in Rows._fields})
