"""The quadratic model of the objective that a Newton step minimises, in the weights in use and the intercept.

Comes in: sums over all rows or a sample of them at some weights. Goes out: a step, and by how much the objective should fall.
Under l1 the step minimises the model with the l1 term by coordinate descent (Lee, Sun & Saunders 2014).
"""

from dataclasses import dataclass

import numpy as np
import scipy.linalg

from ..kernels.descent import lasso_step
from ..objective.curvature import SampleSums
from ..objective.problem import Problem
from .field import SampleField

# Times the rounding of the dtype: the part of the largest slope so far, and of the rows' own slopes, and the curvature in units
# of each parameter's own, that mean nothing; and times that curvature, how flat a model is looked at closely. Below the last
# no curvature is any.
_SLOPE_ROUNDING, _ROW_ROUNDING, _CURVATURE_ROUNDING, _SUSPECT, _NONE = 64.0, 16.0, 4.0, 16.0, 1e-16

# Rows of a matrix that are in extended precision at a time.
_ROWS = 128


@dataclass
class QuadraticModel:
    """The quadratic model of the objective at a point, in the active parameters.

    ``rounding`` is the slope and the curvature that mean nothing, in units of each parameter's own curvature.
    """

    value: float
    slope: np.ndarray
    matrix: np.ndarray
    weights: np.ndarray
    l1: np.ndarray
    rounding: tuple[float, float] = (0.0, 0.0)

    def step(self) -> tuple[np.ndarray, float]:
        """The step to the model's minimum, and by how much the objective should fall."""
        if self.l1.any():
            step = lasso_step(self.matrix, self.slope, self.weights, self.l1, 1000, 1e-10)
            change = np.abs(self.weights + step) - np.abs(self.weights)
            fall = -(self.slope @ step + 0.5 * step @ self.matrix @ step + self.l1 @ change)
            return step, float(fall)
        step = -_solve(self.matrix, self.slope, self.rounding)
        return step, float(-0.5 * self.slope @ step)


def _solve(matrix: np.ndarray, vector: np.ndarray, rounding: tuple[float, float]) -> np.ndarray:
    """Solve a symmetric system that may be singular where the data says nothing."""
    scale = _unit_curvature(matrix)
    scaled = matrix * scale[:, None] * scale
    slope, curvature = rounding
    try:
        factor, lower = scipy.linalg.cho_factor(scaled, check_finite=False)
        if np.square(np.diagonal(factor)).min(initial=np.inf) > _SUSPECT * max(curvature, _NONE):
            return scale * _refined((factor, lower), scaled, scale * vector)
    except scipy.linalg.LinAlgError:
        pass  # Singular by more than rounding: as below.
    # Columns that add up to another have directions in which nothing changes. What slope there is along them is rounding, and
    # divided by a curvature of about nothing it would carry the weights far away.
    values, directions = scipy.linalg.eigh(scaled, check_finite=False)
    slopes = directions.T @ (scale * vector)
    steep = (values > max(curvature, _NONE)) | ((np.abs(slopes) > slope) & (values > _NONE))
    return scale * (directions[:, steep] @ (slopes[steep] / values[steep]))


def _refined(factor: tuple[np.ndarray, bool], matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve with a Cholesky factor, and once more for what is left in extended precision.

    The result is that of the system to the last digit or two whatever the order in which a processor's LAPACK adds up, so that
    columns that are alike have weights that are alike (Demmel et al., "Error bounds from extra-precise iterative refinement",
    ACM TOMS 2006).
    """
    found = scipy.linalg.cho_solve(factor, vector, check_finite=False)
    left = np.empty_like(vector)
    for begin in range(0, len(vector), _ROWS):
        rows = slice(begin, begin + _ROWS)
        left[rows] = vector[rows] - matrix[rows].astype(np.longdouble) @ found
    return found + scipy.linalg.cho_solve(factor, left, check_finite=False)


def _unit_curvature(matrix: np.ndarray) -> np.ndarray:
    """Units of the parameters in which each one's own curvature is 1."""
    diagonal = np.diagonal(matrix)
    least = 1e-12 * max(float(diagonal.max(initial=0.0)), 1e-30)
    return 1.0 / np.sqrt(np.maximum(diagonal, least))


class Quadratics:
    """Makes the models.

    Parameters
    ----------
    problem : Problem
    active : ndarray of shape (a,), int64
        The weights in use.
    sample : SampleField

    Attributes
    ----------
    positions : ndarray of shape ((a + 1) k,)
        Of the active parameters, intercepts last, among all.
    """

    def __init__(self, problem: Problem, active: np.ndarray, sample: SampleField):
        self._problem, self._sample = problem, sample
        k = problem.outputs
        features = np.append(active, problem.layout.size)
        self.positions = (features[:, None] * k + np.arange(k)).ravel()
        self._steepest = 0.0
        self._penalised = np.repeat(features < problem.layout.size, k)
        self._free = self._penalised | problem.intercept

    def penalty(self, weights: np.ndarray) -> float:
        """The penalty of active parameters."""
        own = weights[self._penalised]
        return self._problem.l1 * float(np.abs(own).sum()) + 0.5 * self._problem.l2 * float(own @ own)

    def model(self, sums: SampleSums, gradient: np.ndarray, value: float, weights: np.ndarray) -> QuadraticModel:
        """The model at ``weights``, with the curvature of a sample and the loss's gradient of whichever rows."""
        p = self._problem
        matrix = sums.matrix / max(sums.rows, 1.0)  # a copy: the sums may be used again
        mean = float(np.diagonal(matrix)[-p.outputs :].mean())  # curvature of a row
        self._support_rare(matrix)
        slope = gradient + p.l2 * weights * self._penalised
        matrix[np.diag_indices_from(matrix)] += p.l2 * self._penalised
        fixed = ~self._free
        slope[fixed] = 0.0
        matrix[fixed] = matrix[:, fixed] = 0.0
        matrix[fixed, fixed] = 1.0
        self._steepest = max(self._steepest, float(np.abs(slope * _unit_curvature(matrix)).max(initial=0.0)))
        # Near the optimum slopes cancel, and what they leave is the rounding of those of single rows: about the root of the loss.
        of_rows = np.sqrt(2.0 * abs(value) / mean) if mean > 0 and np.isfinite(value) else 0.0
        noise = max(_SLOPE_ROUNDING * self._steepest, _ROW_ROUNDING * of_rows)
        rounding = float(np.finfo(p.dtype).eps) * np.array([noise, _CURVATURE_ROUNDING])
        return QuadraticModel(value, slope, matrix, weights, p.l1 * self._penalised, tuple(rounding.tolist()))

    def _support_rare(self, matrix: np.ndarray) -> None:
        """Raise the curvature of weights that the sample saw too rarely to what all rows say it is about."""
        squares = self._sample.squares
        if self._sample.fraction >= 1 or not squares.any():
            return
        k = self._problem.outputs
        diagonal = matrix[np.diag_indices_from(matrix)]
        typical = diagonal[-k:]  # the intercept's: the mean curvature of the loss
        least = (squares[:, None] / self._problem.rows * typical).ravel()
        missing = np.maximum(least - diagonal[:-k], 0.0)
        matrix[np.arange(len(missing)), np.arange(len(missing))] += missing
