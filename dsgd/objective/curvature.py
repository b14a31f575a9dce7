"""Loss, gradient and curvature over a sample of rows, as dense matrices in the weights that are in use.

A few thousand rows tell the curvature of the objective well enough to scale its gradient by (sub-sampled Newton: Erdogdu &
Montanari 2015; Roosta-Khorasani & Mahoney 2019), and a problem that has few weights is solved on them at once. The sample is
drawn by rows from the seed tree, so that the same seed and ranks give the same sample on every engine.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from ..kernels.active import add_squares, copy_active
from ..kernels.rows import Rows
from ..losses import OneVersusRest, Softmax
from ..seeding import SKETCH, generator
from .share import Share

# Rows of the sample for each weight, and numbers in the sample's matrix at most.
_ROWS_PER_WEIGHT = 200
_LEAST_ROWS = 1 << 12
_MOST_NUMBERS = 20_000_000


def sample_rows(weights: int) -> int:
    """Rows of the sample, over all ranks, for so many weights."""
    wanted = max(_LEAST_ROWS, _ROWS_PER_WEIGHT * weights)
    return max(1, min(wanted, _MOST_NUMBERS // max(weights, 1)))


def chosen_fraction(rows: int, weights: int) -> float:
    """Share of the rows that is sampled; data of a few samples' size is taken whole."""
    wanted = sample_rows(weights)
    return 1.0 if rows <= wanted or rows * max(weights, 1) <= _MOST_NUMBERS // 4 else wanted / rows


@dataclass
class SampleSums:
    """Sums over the sampled rows, in the active weights and the intercept.

    Attributes
    ----------
    matrix : ndarray of shape ((a + 1) k, (a + 1) k), float64
    gradient : ndarray of shape ((a + 1) k,), float64
    loss, rows : float
    """

    matrix: np.ndarray
    gradient: np.ndarray
    loss: float
    rows: float

    def to_vector(self) -> np.ndarray:
        """All of it as one vector, which adds up over ranks."""
        return np.concatenate([self.matrix.ravel(), self.gradient, [self.loss, self.rows]])

    @classmethod
    def from_vector(cls, vector: np.ndarray) -> "SampleSums":
        """The inverse of ``to_vector``."""
        size = round((len(vector) - 2 + 0.25) ** 0.5 - 0.5)
        square = size * size
        return cls(vector[:square].reshape(size, size), vector[square:-2], float(vector[-2]), float(vector[-1]))


class Sample:
    """A rank's sampled rows.

    Parameters
    ----------
    share : Share
    active : ndarray of shape (a,), int64
        Positions of the weights in use.
    fraction : float
        Share of the rows to take.
    seed : int
    """

    def __init__(self, share: Share, active: np.ndarray, fraction: float, seed: int, rank: int):
        problem = share.problem
        self.problem, self.active = problem, active
        position = np.full(problem.layout.size, -1, np.int32)
        position[active] = np.arange(len(active))
        draw = generator(seed, SKETCH, rank)
        features, targets, weights, offsets = [], [], [], []
        self.squares = np.zeros(len(active), np.float64)
        for rows, starts in share.training():
            chosen = _rows_of(starts, share.run, len(rows.label))
            self._add_squares(rows, position)
            if fraction < 1:
                chosen = chosen[draw.random(len(chosen)) < fraction]
            features.append(self._features(rows, chosen, position))
            targets.append(rows.label[chosen])
            weights.append(rows.weight[chosen] if rows.weight.size else np.ones(len(chosen), problem.dtype))
            offsets.append(rows.offset[chosen] if rows.offset.size else np.zeros(len(chosen), problem.dtype))
        empty = np.zeros(0, problem.dtype)
        self.features = np.concatenate(features) if features else np.zeros((0, len(active) + 1), problem.dtype)
        self.target = np.concatenate([empty, *targets])
        self.weight = np.concatenate([empty, *weights]) * problem.dtype.type(problem.weight_scale)
        self.offset = np.concatenate([empty, *offsets])

    def _add_squares(self, rows: Rows, position: np.ndarray) -> None:
        layout = self.problem.layout
        if layout.size > layout.dense:
            add_squares(rows, self.problem.frame, position, self.squares, self._codes())

    def _codes(self, rows: int = 256) -> np.ndarray:
        layout = self.problem.layout
        return np.zeros((rows, layout.codes + layout.crosses.count), np.int32)

    def _features(self, rows: Rows, chosen: np.ndarray, position: np.ndarray) -> np.ndarray:
        problem = self.problem
        dense, frame = problem.layout.dense, problem.frame
        out = np.zeros((len(chosen), len(self.active) + 1), problem.dtype)
        out[:, :dense] = rows.dense[chosen]
        if frame.scale.size:
            out[:, :dense] -= frame.center
            out[:, :dense] *= frame.scale
        if problem.layout.size > dense:
            copy_active(rows, frame, chosen, position, out, self._codes(1))
        out[:, -1] = 1.0
        return out

    def sums(self, weights: np.ndarray, part: float = 1.0) -> SampleSums:
        """Loss, gradient and curvature sums at active weights and intercept of shape ((a + 1) k,).

        ``part`` is the share of the sample to use: every so-many-th row, because the first ones may be alike.
        """
        problem = self.problem
        k = problem.outputs
        rows = slice(None, None, max(1, round(1 / part)))
        features, target, weight = self.features[rows], self.target[rows], self.weight[rows]
        w = weights.reshape(-1, k).astype(problem.dtype)
        scores = features @ w + self.offset[rows, None]
        if k == 1:
            scores = scores[:, 0]
            value, slope = problem.loss.value(scores, target), problem.loss.gradient(scores, target)
        else:
            value, slope = problem.loss.value(scores, target), problem.loss.residuals(scores, target)
        loss = float(np.dot(value.astype(np.float64), weight))
        slope = slope * (weight if k == 1 else weight[:, None])
        gradient = (features.T @ slope.astype(problem.dtype)).astype(np.float64).ravel()
        total = np.zeros((w.size, w.size))
        for (a, b), factor in self._curvatures(scores, target):
            block = features.T @ (features * (factor * weight)[:, None].astype(problem.dtype))
            total[a::k, b::k] = block
            if a != b:
                total[b::k, a::k] = block
        return SampleSums(total, gradient, loss, float(len(target)))

    def _curvatures(self, scores: np.ndarray, target: np.ndarray) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
        """Second derivatives of each row's loss by its scores (a, b), for a <= b, those that are not zero."""
        loss = self.problem.loss
        if self.problem.outputs == 1:
            yield (0, 0), loss.curvature(scores, target)
        elif isinstance(loss, Softmax):
            p = loss.inverse_link(scores)
            for a in range(loss.outputs):
                for b in range(a, loss.outputs):
                    yield (a, b), p[:, a] * ((a == b) - p[:, b])
        elif isinstance(loss, OneVersusRest):
            for a in range(loss.outputs):
                sign = np.where(target == a, 1, -1).astype(scores.dtype)
                yield (a, a), loss.loss.curvature(scores[:, a], sign)


def _rows_of(starts: np.ndarray, run: int, rows: int) -> np.ndarray:
    """Row numbers of all runs."""
    numbers = (starts[:, None] + np.arange(run)).ravel()
    return numbers[numbers < rows]
