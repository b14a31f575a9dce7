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


@dataclass
class QuadraticModel:
    """The quadratic model of the objective at a point, in the active parameters."""

    value: float
    slope: np.ndarray
    matrix: np.ndarray
    weights: np.ndarray
    l1: np.ndarray

    def step(self) -> tuple[np.ndarray, float]:
        """The step to the model's minimum, and by how much the objective should fall."""
        if self.l1.any():
            step = lasso_step(self.matrix, self.slope, self.weights, self.l1, 1000, 1e-10)
            change = np.abs(self.weights + step) - np.abs(self.weights)
            fall = -(self.slope @ step + 0.5 * step @ self.matrix @ step + self.l1 @ change)
            return step, float(fall)
        step = -_solve(self.matrix, self.slope)
        return step, float(-0.5 * self.slope @ step)


def _solve(matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
    """Solve a symmetric system that may be singular where the data says nothing."""
    diagonal = np.diagonal(matrix)
    ridge = 1e-12 * max(float(diagonal.max(initial=0.0)), 1e-30)
    scale = 1.0 / np.sqrt(np.maximum(diagonal, ridge))
    scaled = matrix * scale[:, None] * scale
    scaled[np.diag_indices_from(scaled)] += 1e-10
    try:
        factor = scipy.linalg.cho_factor(scaled, check_finite=False)
        return scale * scipy.linalg.cho_solve(factor, scale * vector, check_finite=False)
    except scipy.linalg.LinAlgError:
        return scale * scipy.linalg.lstsq(scaled, scale * vector, check_finite=False)[0]


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
        self._support_rare(matrix)
        slope = gradient + p.l2 * weights * self._penalised
        matrix[np.diag_indices_from(matrix)] += p.l2 * self._penalised
        fixed = ~self._free
        slope[fixed] = 0.0
        matrix[fixed] = matrix[:, fixed] = 0.0
        matrix[fixed, fixed] = 1.0
        return QuadraticModel(value, slope, matrix, weights, p.l1 * self._penalised)

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
