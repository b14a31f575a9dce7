"""The problem that a fit solves: model, loss, penalty and standardisation, as every rank sees it.

The objective is ``sum_i weight_i loss_i / sum_i weight_i + l1 |w|_1 + l2/2 |w|_2^2``, on the standardised scale where columns
are standardised; the intercept is not penalised. Weights are scaled to a mean of 1 (``weight_scale``), so that a mini-batch's
gradient divided by its rows estimates the gradient of the objective without bias.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.block import Block
from ..data.layout import Layout
from ..kernels.rows import Frame, Rows, read_only
from ..kernels.steps import Penalty
from .scaling import Scaling

# Bytes of features in a run: it stays in the first-level cache between the forward and the backward product, and is long enough
# that jumping to the next one of a shuffled epoch costs little.
RUN_BYTES = 26 << 10
# Rows of a run at most; the matrix products of several outputs are at their best with so many.
RUN_ROWS = 64
# Times as long as that where rows are read in order: there, the second-level cache is as good, and loops begin less often.
RUN_IN_ORDER = 4
# Weights that a penalty is summed over at once.
_PIECE = 1 << 16


@dataclass(frozen=True)
class Problem:
    """A linear problem with ``k`` outputs over a layout of ``d`` weights.

    Attributes
    ----------
    loss : a loss of one score, or of k scores
    outputs : int
        ``k``.
    layout : Layout
    frame : Frame
        Standardisation and interactions, for the kernels.
    scaling : Scaling
        All of the standardisation.
    dtype : numpy dtype
    l1, l2 : float
        Strengths of the penalty.
    intercept : bool
        Whether the intercept is trained.
    weight_scale : float
        Rows over the sum of weights.
    rows : int
        Of all ranks.
    class_weight : ndarray of shape (classes,), or of shape (0,)
        Factor on the weight of each class's rows.
    """

    loss: Any
    outputs: int
    layout: Layout
    frame: Frame
    scaling: Scaling
    dtype: np.dtype
    l1: float
    l2: float
    intercept: bool
    weight_scale: float
    rows: int
    class_weight: np.ndarray

    @property
    def size(self) -> int:
        """Length of the flat vector of parameters: ``(d + 1) k``."""
        return (self.layout.size + 1) * self.outputs

    @property
    def weights(self) -> int:
        """Length of its penalised part: ``d k``."""
        return self.layout.size * self.outputs

    def penalty_value(self, params: np.ndarray) -> float:
        """Penalty of a vector of parameters."""
        weights = params[: self.weights]
        return self.penalty_of(
            _total(np.abs, weights) if self.l1 else 0.0, _total(np.square, weights) if self.l2 else 0.0
        )

    def penalty_of(self, sizes: float, squares: float) -> float:
        """Penalty of weights of whose sizes, and of whose squares, the sums are known."""
        return self.l1 * sizes + 0.5 * self.l2 * squares

    def penalty(self) -> Penalty:
        """The penalty as the kernels take it."""
        kind = self.dtype.type
        return Penalty(kind(self.l1), kind(self.l2), self.intercept)

    def rows_of(self, block: Block) -> Rows:
        """The block as the kernels take it, class weights applied."""
        weight = block.weight
        if self.class_weight.size:
            factor = self.class_weight[class_numbers(block.label, self.outputs)].astype(self.dtype)
            weight = factor * weight if weight.size else factor
        features = (block.dense, block.codes, block.indptr, block.indices, block.values)
        return read_only(Rows(*features, block.label, weight, block.offset))

    def run_length(self, most: int, in_order: bool = False) -> int:
        """Rows of a run: about ``RUN_BYTES`` of features, at most ``most``, a multiple of 4 where that is possible.

        With several outputs it is long enough for a matrix product; ``in_order`` says that rows are not shuffled.
        """
        if self.outputs > 1:
            return max(1, min(RUN_ROWS, most))
        row = max(8, self.layout.dense * self.dtype.itemsize + (self.layout.codes + self.layout.crosses.count) * 4)
        times = RUN_IN_ORDER if in_order else 1
        run = int(np.clip(times * RUN_BYTES // row // 4 * 4, 4, times * RUN_ROWS))
        return max(1, min(run, most))


def class_numbers(label: np.ndarray, outputs: int) -> np.ndarray:
    """Class number of each target: of -1 and +1 when there is one output, else the target itself."""
    return (label > 0).astype(np.intp) if outputs == 1 else label.astype(np.intp)


def run_starts(rows: int, run: int, generator: np.random.Generator | None) -> np.ndarray:
    """First rows of the runs of a block, in the order in which they are visited; shape (ceil(rows / run),), int64.

    Examples
    --------
    >>> run_starts(10, 4, None)
    array([0, 4, 8])
    """
    starts = np.arange(0, rows, run, dtype=np.int64)
    if generator is not None:
        generator.shuffle(starts)
    return starts


def _total(of: np.ufunc, weights: np.ndarray) -> float:
    """Sum of a function of the weights, piece by piece: in an order that depends on their number alone, unlike BLAS's."""
    return sum(
        float(of(weights[start : start + _PIECE], dtype=np.float64).sum()) for start in range(0, len(weights), _PIECE)
    )
