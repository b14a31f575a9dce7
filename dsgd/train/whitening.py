"""The coordinates in which small steps converge at one rate whatever the columns' scales and correlations.

Comes in: a sample of the rows. Goes out: the inverse of an upper bound on the objective's curvature, by which mini-batch
gradients are multiplied (the preconditioned SVRG of Gonen, Orabona & Shalev-Shwartz 2016, *Solving ridge regression using
sketched preconditioned SVRG*; for averaged SGD the same step in whitened coordinates), and how smooth a mini-batch is in
those coordinates, which gives the rate. Under l1 only the diagonal is used, because the proximal step must act on each
weight by itself.
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..objective.problem import Problem
from .field import GangSample

# Weights in use beyond which the matrix costs more than it brings.
MOST_FEATURES = 1024
# Of the rows' sizes in the new coordinates, the one that counts as the largest; steps are safeguarded against the rest.
_LARGEST = 0.99


@dataclass(frozen=True)
class Whitening:
    """A change of coordinates for the weights in use.

    Attributes
    ----------
    positions : ndarray of shape (a + 1,), int64
        Features: the weights in use, and last the intercept.
    matrix : ndarray of shape (a + 1, a + 1), or of shape (a + 1,) for a diagonal one
        Inverse of the curvature's bound, alike for each of the k outputs; zero for an intercept that is not trained.
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
        if self.matrix.ndim == 2:
            gradient = gradient + kind(problem.l2) * weights * self.penalised
            return weights - kind(rate) * (self.matrix @ gradient)
        size = kind(rate) * self.matrix[:, None]
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


def whiten(sample: GangSample, problem: Problem, active: np.ndarray, batch_rows: int, label_mean: float) -> Whitening:
    """Find the coordinates from a sample; every rank is given the same.

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
    curvature = typical_curvature(problem.loss, label_mean)
    penalised = np.append(np.ones(len(active), bool), False)
    bound = curvature * sample.moments()
    # A feature that is rarer than one row in a mini-batch takes no larger steps than one that is not.
    bound[np.diag_indices_from(bound)] += curvature * sample.largest_squares() / batch_rows
    smooth = 1.0
    if problem.l1:
        diagonal = np.diagonal(bound) + problem.l2 * penalised
        scale = 1.0 / np.sqrt(np.where(diagonal > 0, diagonal, 1.0))
        smooth = float(np.linalg.eigvalsh(bound * scale[:, None] * scale)[-1])
        matrix = scale**2
    else:
        bound[np.diag_indices_from(bound)] += problem.l2 * penalised
        matrix = _inverse(bound)
    if not problem.intercept:
        matrix[-1] = 0.0
        if matrix.ndim == 2:
            matrix[:, -1] = 0.0
    largest = curvature * sample.quantile(matrix, _LARGEST)
    matrix = matrix.astype(problem.dtype)
    sample.agree(matrix.reshape(-1))
    positions = np.append(active, problem.layout.size)
    return Whitening(positions, matrix, penalised[:, None], smooth + largest / batch_rows)


def typical_curvature(loss, label_mean: float) -> float:
    """Bound on a row's second derivative by its score; where there is none, its mean at the best constant score.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> typical_curvature(make_loss("log_loss"), 0.0), round(typical_curvature(make_loss("poisson"), 7.0), 6)
    (0.25, 14.0)
    """
    inner = getattr(loss, "loss", loss)
    bound = float(inner.curvature_bound)
    if np.isfinite(bound):
        return bound
    mean = np.float64(max(label_mean, 1e-12))
    return 2.0 * float(inner.curvature(np.log(mean), mean))


def null_intercept(loss, sample: GangSample) -> float:
    """The intercept of a log-link model without features, where such a model is better begun from than from zero."""
    target, exposure = sample.totals()
    return (
        float(np.log(target / exposure)) if getattr(loss, "link", "") == "log" and target > 0 and exposure > 0 else 0.0
    )


def _inverse(matrix: np.ndarray) -> np.ndarray:
    """Inverse of a positive semi-definite matrix; coordinates without any curvature stand still."""
    diagonal = np.diagonal(matrix)
    idle = diagonal <= 0
    scale = 1.0 / np.sqrt(np.where(idle, 1.0, diagonal))
    scaled = matrix * scale[:, None] * scale
    scaled[np.diag_indices_from(scaled)] += np.where(idle, 1.0, 1e-7)
    inverse = scipy.linalg.cho_solve(scipy.linalg.cho_factor(scaled), np.eye(len(scaled)))
    inverse[idle] = inverse[:, idle] = 0.0
    return 0.5 * (inverse + inverse.T) * scale[:, None] * scale
