"""The coordinates in which small steps converge at one rate whatever the columns' scales and correlations.

Comes in: a sample of the rows. Goes out: the inverse of the objective's curvature at some weights, by which mini-batch
gradients are multiplied (the preconditioned SVRG of Gonen, Orabona & Shalev-Shwartz 2016, *Solving ridge regression using
sketched preconditioned SVRG*; for averaged SGD the same step in whitened coordinates), and how smooth a mini-batch is in
those coordinates, which gives the rate. Under l1 only the diagonal is used, because the proximal step must act on each
weight by itself.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..losses import Softmax
from ..objective.problem import Problem
from .field import GangSample

# Weights in use beyond which the matrix costs more than it brings.
MOST_FEATURES = 1024
# Of the rows' sizes in the new coordinates, the one that counts as the largest; steps are safeguarded against the rest.
_LARGEST = 0.99
# Part of the typical curvature that every row counts for at least.
_LEAST = 0.02
# The curvature of a softmax is at most twice that of its outputs one by one.
_SOFTMAX = 2.0


@dataclass(frozen=True)
class Whitening:
    """A change of coordinates for the weights in use.

    Attributes
    ----------
    positions : ndarray of shape (a + 1,), int64
        Features: the weights in use, and last the intercept.
    matrix : ndarray of shape (k, a + 1, a + 1), or of shape (k, a + 1) for diagonal ones
        Inverse of the curvature for each output; or of shape (1, (a + 1) k, (a + 1) k), of all outputs together; zero for an
        intercept that is not trained.
    penalised : ndarray of shape (a + 1, 1), bool
    smoothness : float
        Of a mini-batch, in these coordinates.
    """

    positions: np.ndarray
    matrix: np.ndarray
    penalised: np.ndarray
    smoothness: float

    def step(self, problem: Problem, weights: np.ndarray, gradient: np.ndarray, rate: float) -> np.ndarray:
        """The weights, of shape (a + 1, k), after a step against ``gradient``, of the same shape, penalty included."""
        kind = problem.dtype.type
        if self.matrix.ndim == 3:
            gradient = gradient + kind(problem.l2) * weights * self.penalised
            columns = gradient.T if len(self.matrix) == problem.outputs else gradient.reshape(1, -1)
            moved = np.matmul(self.matrix, columns[:, :, None])[:, :, 0]
            return weights - kind(rate) * moved.T.reshape(weights.shape)
        size = kind(rate) * self.matrix.T
        moved = weights - size * gradient
        kept = np.sign(moved) * np.maximum(np.abs(moved) - size * kind(problem.l1), 0) / (1 + size * kind(problem.l2))
        return np.where(self.penalised, kept, moved)


def whitened_batch(features: int, rows: int) -> int:
    """Rows of a mini-batch: as many as the weights, because then its noise and its curvature count alike.

    Examples
    --------
    >>> whitened_batch(54, 100_000), whitened_batch(5000, 100_000), whitened_batch(54, 200)
    (64, 1024, 12)
    """
    wanted = 1 << max(6, int(np.ceil(np.log2(features + 1))))
    return max(1, min(wanted, 1024, rows // 16))


class Whitener:
    """Makes the coordinates from a sample, at whatever weights; every rank is given the same.

    Parameters
    ----------
    sample : GangSample
        Of the weights in use.
    problem : Problem
    active : ndarray of shape (a,), int64
        Weights in use.
    batch_rows : int
    label_mean : float
        Weighted mean of the targets, for losses whose curvature depends on it.
    """

    def __init__(self, sample: GangSample, problem: Problem, active: np.ndarray, batch_rows: int, label_mean: float):
        self._sample, self._problem, self._batch_rows = sample, problem, batch_rows
        self._typical = typical_curvature(problem.loss, label_mean)
        self.positions = np.append(active, problem.layout.size)
        self._penalised = np.append(np.ones(len(active), bool), False)

    def at(self, weights: np.ndarray) -> Whitening:
        """The coordinates at active weights, of shape ((a + 1) k,)."""
        problem = self._problem
        curvature = self._sample.curvature(weights, _LEAST * self._typical)
        bound = curvature.mean()
        # A feature that is rarer than one row in a mini-batch takes no larger steps than one that is not.
        rare = curvature.largest_squares(self._typical) / self._batch_rows
        for own, extra in zip(bound, rare, strict=True):
            own[np.diag_indices_from(own)] += extra + problem.l2 * self._penalised
        joint = isinstance(problem.loss, Softmax)
        smooth = _SOFTMAX if joint else 1.0
        if problem.l1:
            scale = 1.0 / np.sqrt(_positive(np.stack([np.diagonal(own) for own in bound])))
            scaled = bound * scale[:, :, None] * scale[:, None, :]
            smooth *= float(np.linalg.eigvalsh(scaled)[:, -1].max())
            matrix = scale**2
        else:
            joint = joint and weights.size <= MOST_FEATURES
            matrix = self._joint(weights, bound)[None] if joint else np.stack([_inverse(own) for own in bound])
            smooth = 1.0 if joint else smooth
        if not problem.intercept:
            last = problem.outputs if joint else 1
            matrix[:, -last:] = 0.0
            matrix[..., -last:] = 0.0
        largest = curvature.quantile(_blocks(matrix, problem.outputs), _LARGEST)
        matrix = matrix.astype(problem.dtype)
        curvature.agree(matrix.reshape(-1))
        return Whitening(self.positions, matrix, self._penalised[:, None], smooth + largest / self._batch_rows)

    def _joint(self, weights: np.ndarray, bound: np.ndarray) -> np.ndarray:
        """Inverse of the curvature of all outputs together, at flat positions ``feature k + output``."""
        k = self._problem.outputs
        sums = self._sample.sums(weights)
        full = sums.matrix / max(sums.rows, 1.0)
        for c in range(k):
            full[c::k, c::k] = bound[c]
        return _inverse(full)


def _blocks(matrix: np.ndarray, outputs: int) -> np.ndarray:
    """Each output's own part of the matrix."""
    if len(matrix) == outputs:
        return matrix
    return np.stack([matrix[0, c::outputs, c::outputs] for c in range(outputs)])


def typical_curvature(loss, label_mean: float) -> float:
    """Bound on a row's second derivative by its score; where there is none, its mean at the best constant score.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> typical_curvature(make_loss("log_loss"), 0.0), round(typical_curvature(make_loss("poisson"), 7.0), 6)
    (0.25, 7.0)
    """
    inner = getattr(loss, "loss", loss)
    bound = float(inner.curvature_bound)
    if np.isfinite(bound):
        return bound
    mean = np.float64(max(label_mean, 1e-12))
    return float(inner.curvature(np.log(mean), mean))


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a positive semi-definite matrix; coordinates without any curvature stand still."""
    diagonal = np.diagonal(matrix)
    idle = diagonal <= 0
    scale = 1.0 / np.sqrt(_positive(diagonal))
    scaled = matrix * scale[:, None] * scale
    scaled[np.diag_indices_from(scaled)] += np.where(idle, 1.0, 1e-7)
    inverse = scipy.linalg.cho_solve(scipy.linalg.cho_factor(scaled), np.eye(len(scaled)))
    inverse[idle] = inverse[:, idle] = 0.0
    return 0.5 * (inverse + inverse.T) * scale[:, None] * scale


def _positive(diagonal: np.ndarray) -> np.ndarray:
    return np.where(diagonal > 0, diagonal, 1.0)
