"""Loss, gradient and curvature over a sample of rows, in the weights that are in use.

A few thousand rows tell the curvature of the objective well enough to scale its gradient by (sub-sampled Newton: Erdogdu &
Montanari 2015; Roosta-Khorasani & Mahoney 2019), and a problem that has few weights is solved on them at once. The sample is
drawn by rows from the seed tree, so that the same seed and ranks give the same sample on every engine.
"""

from dataclasses import dataclass

import numpy as np

from ..kernels.active import add_squares
from ..kernels.rows import Rows
from ..losses.second import curvatures
from ..losses.smoothing import slack, smoothed
from ..seeding import SKETCH, generator
from .features import Features, better_sparse, dense_features, sparse_features, stack
from .problem import Problem
from .share import Share

# Rows of the sample for each weight; numbers that it may hold; and additions that a matrix of curvature may cost where they
# are scattered.
_ROWS_PER_WEIGHT = 200
_LEAST_ROWS = 1 << 12
_MOST_NUMBERS = 20_000_000
_MOST_ADDITIONS = 400_000_000
# Multiples of a step at which the loss is looked up.
LENGTHS = tuple(2.0**-power for power in range(-1, 12))


@dataclass(frozen=True)
class SamplePlan:
    """Which share of the rows is sampled, and whether they are kept sparse.

    Sparse rows are taken in large numbers, all of them if possible: they are cheap, and a weight that few rows use is known by
    those rows alone.
    """

    fraction: float
    sparse: bool


def plan_sample(rows: int, weights: int, entries: float, outputs: int = 1) -> SamplePlan:
    """Plan a sample of ``rows`` rows with ``weights`` weights in use, of which a row uses ``entries`` on average.

    Examples
    --------
    >>> plan_sample(1_000_000, 100, 100.0)
    SamplePlan(fraction=0.02, sparse=False)
    >>> plan_sample(100_000, 500, 40.0)
    SamplePlan(fraction=1.0, sparse=True)
    """
    weights, entries = max(weights, 1), max(entries, 1.0)
    if better_sparse(entries, weights):
        pairs = outputs * (outputs + 1) / 2
        wanted = min(_MOST_NUMBERS / entries, _MOST_ADDITIONS / (pairs * entries**2))
        return SamplePlan(min(1.0, wanted / max(rows, 1)), True)
    wanted = min(max(_LEAST_ROWS, _ROWS_PER_WEIGHT * weights), _MOST_NUMBERS / weights)
    # Data of a few samples' size is taken whole.
    whole = rows <= 2 * wanted or rows * weights <= _MOST_NUMBERS // 4
    return SamplePlan(1.0 if whole else wanted / rows, False)


@dataclass
class SampleSums:
    """Sums over the sampled rows, in the active weights and the intercept.

    Attributes
    ----------
    matrix : ndarray of shape ((a + 1) k, (a + 1) k), float64
    gradient : ndarray of shape ((a + 1) k,), float64
    loss, rows : float
    gap : float
        By how much the least loss may be lower than that of rounded kinks; see :func:`dsgd.losses.smoothing.slack`.
    """

    matrix: np.ndarray
    gradient: np.ndarray
    loss: float
    rows: float
    gap: float = 0.0

    def to_vector(self) -> np.ndarray:
        """All of it as one vector, which adds up over ranks."""
        return np.concatenate([self.matrix.ravel(), self.gradient, [self.loss, self.rows, self.gap]])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> "SampleSums":
        """The inverse of ``to_vector``."""
        size = round((len(vector) - 3 + 0.25) ** 0.5 - 0.5)
        square = size * size
        return cls(vector[:square].reshape(size, size), vector[square:-3], *vector[-3:].tolist())


class SampledRows:
    """Sampled rows, wherever they were drawn.

    Parameters
    ----------
    problem : Problem
    features : Features
        Of n rows and p = a + 1 columns.
    target, weight, offset : ndarray of shape (n,)
        Weights scaled as the problem scales them.
    """

    def __init__(
        self, problem: Problem, features: Features, target: np.ndarray, weight: np.ndarray, offset: np.ndarray
    ):
        self.problem, self.features = problem, features
        self.target, self.weight, self.offset = target, weight, offset

    def every(self, step: int) -> "SampledRows":
        """Every so-many-th row."""
        columns = (column[::step] for column in (self.target, self.weight, self.offset))
        return SampledRows(self.problem, self.features.every(step), *columns)

    def sums(
        self, weights: np.ndarray, part: float = 1.0, width: float = 0.0, floor: float = 0.0, curved: bool = True
    ) -> SampleSums:
        """Loss, gradient and curvature sums at active weights and intercept of shape ((a + 1) k,).

        Parameters
        ----------
        weights : ndarray of shape ((a + 1) k,)
        part : float
            Share of the sample to use: every so-many-th row, because the first ones may be alike.
        width : float
            Within which the loss's kinks are rounded off (:mod:`dsgd.losses.smoothing`).
        floor : float
            Of the curvature that certainly does not promise too much, the part that every row's counts for at least.
        curved : bool
            Whether the curvature, most of the work, is wanted; zero otherwise.
        """
        problem, loss = self.problem, smoothed(self.problem.loss, width)
        k = problem.outputs
        rows = self.every(step_of(part))
        features, target, weight = rows.features, rows.target, rows.weight
        scores = rows.scores(weights)
        if k == 1:
            value, slope = loss.value(scores, target), loss.gradient(scores, target)[:, None]
        else:
            value, slope = loss.value(scores, target), loss.residuals(scores, target)
        total_loss = float(np.dot(value.astype(np.float64), weight))
        gap = float(np.dot(slack(loss, scores, target).astype(np.float64), weight)) if width else 0.0
        gradient = features.pull_back((slope * weight[:, None]).astype(problem.dtype)).ravel()
        total = np.zeros((weights.size, weights.size))
        for (a, b), factor in curvatures(loss, scores, target, floor) if curved else ():
            block = features.gram((factor * weight).astype(problem.dtype))
            total[a::k, b::k] = block
            if a != b:
                total[b::k, a::k] = block
        return SampleSums(total, gradient, total_loss, float(len(target)), gap)

    def along(self, weights: np.ndarray, step: np.ndarray, part: float = 1.0, width: float = 0.0) -> np.ndarray:
        """Loss at ``weights + length * step`` for each of ``LENGTHS``, and last the number of rows; float64."""
        rows, loss = self.every(step_of(part)), smoothed(self.problem.loss, width)
        scores = rows.scores(weights)
        change = rows.scores(weights + step) - scores
        values = (loss.value(scores + scores.dtype.type(length) * change, rows.target) for length in LENGTHS)
        return np.array([*(np.dot(value.astype(np.float64), rows.weight) for value in values), len(rows.target)])

    def own_curvatures(self, weights: np.ndarray) -> np.ndarray:
        """Second derivative of each sampled row's loss by each of its scores alone; shape (n, k)."""
        scores = self.scores(weights)
        pairs = curvatures(self.problem.loss, scores, self.target)
        factors = {pair: factor for pair, factor in pairs if pair[0] == pair[1]}
        return np.stack([factors[c, c] for c in range(self.problem.outputs)], axis=1)

    def scores(self, weights: np.ndarray) -> np.ndarray:
        """Scores of the rows, of shape (n,), or (n, k) for several outputs."""
        w = weights.reshape(-1, self.problem.outputs).astype(self.problem.dtype)
        scores = self.features.scores(w) + self.offset[:, None]
        return scores[:, 0] if self.problem.outputs == 1 else scores


class Sample(SampledRows):
    """A rank's sampled rows, drawn from its share.

    Parameters
    ----------
    share : Share
    active : ndarray of shape (a,), int64
        Positions of the weights in use.
    plan : SamplePlan
    seed : int
    rank : int

    Attributes
    ----------
    squares : ndarray of shape (a,), float64
        Sums of squares of codes, interactions and sparse values over all rows of this rank.
    """

    def __init__(self, share: Share, active: np.ndarray, plan: SamplePlan, seed: int, rank: int):
        problem = share.problem
        self.active = active
        position = np.full(problem.layout.size, -1, np.int32)
        position[active] = np.arange(len(active))
        draw = generator(seed, SKETCH, rank)
        encode, width = sparse_features if plan.sparse else dense_features, len(active) + 1
        features, targets, weights, offsets = [], [], [], []
        self.squares = np.zeros(len(active), np.float64)
        for rows, starts in share.training():
            chosen = _rows_of(starts, share.run, len(rows.label))
            _add_squares(problem, rows, position, self.squares)
            if plan.fraction < 1:
                chosen = chosen[draw.random(len(chosen)) < plan.fraction]
            self._note(chosen)
            features.append(encode(problem, rows, chosen, position, width))
            targets.append(rows.label[chosen])
            weights.append(rows.weight[chosen] if rows.weight.size else np.ones(len(chosen), problem.dtype))
            offsets.append(rows.offset[chosen] if rows.offset.size else np.zeros(len(chosen), problem.dtype))
        empty = np.zeros(0, problem.dtype)
        super().__init__(
            problem,
            stack(features, width, problem.dtype, plan.sparse),
            np.concatenate([empty, *targets]),
            np.concatenate([empty, *weights]) * problem.dtype.type(problem.weight_scale),
            np.concatenate([empty, *offsets]),
        )

    def _note(self, chosen: np.ndarray) -> None:
        """Take notice of the rows of a block that are drawn; for samples that are told apart by rows."""


def _add_squares(problem: Problem, rows: Rows, position: np.ndarray, squares: np.ndarray) -> None:
    layout = problem.layout
    if layout.size > layout.dense:
        codes = np.zeros((256, layout.codes + layout.crosses.count), np.int32)
        add_squares(rows, problem.frame, position, squares, codes)


def step_of(part: float) -> int:
    """Every how many-th row makes up a part of the sample.

    Examples
    --------
    >>> step_of(0.1), step_of(1.0)
    (10, 1)
    """
    return max(1, round(1 / part))


def _rows_of(starts: np.ndarray, run: int, rows: int) -> np.ndarray:
    """Row numbers of all runs."""
    numbers = (starts[:, None] + np.arange(run)).ravel()
    return numbers[numbers < rows]
