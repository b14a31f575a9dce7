"""The recipe for problems with few weights and a smooth loss: full gradients, scaled by sampled curvature.

The problem is solved on a sample of the rows first, which costs no pass over the data; then every round is one pass that
sums the gradient, and a step with the inverse of the sampled curvature (sub-sampled Newton; sources in
:mod:`dsgd.objective.curvature`). A round brings the remaining error down by about the relative error of the sample, so a few
rounds reach the optimum, whatever the columns' scales and correlations: there is no learning rate. Under l1 the step
minimises the quadratic model with the l1 term by coordinate descent (Lee, Sun & Saunders 2014).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.linalg

from ..kernels.descent import lasso_step
from ..objective.curvature import SampleSums
from ..objective.problem import Problem
from .progress import Progress

# Parameters beyond which the matrix of curvature costs more than it brings.
MOST_PARAMETERS = 1024
_SAMPLE_ROUNDS = 20
_HALVINGS = 12


@dataclass
class _Model:
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


class Newton:
    """The recipe over a field.

    Parameters
    ----------
    field : Field
    active : ndarray of shape (a,), int64
        The weights in use.
    progress : Progress
    """

    def __init__(self, field: Any, active: np.ndarray, progress: Progress):
        self.field, self.progress = field, progress
        problem: Problem = field.problem
        self.problem = problem
        k = problem.outputs
        features = np.append(active, problem.layout.size)
        self.positions = (features[:, None] * k + np.arange(k)).ravel()
        self.penalised = np.repeat(features < problem.layout.size, k)
        self.free = self.penalised | problem.intercept
        self.sample = field.sample(active)

    def run(self, params: np.ndarray) -> np.ndarray:
        """Return the trained parameters."""
        exact = params.astype(np.float64)
        weights = self._solve_sample(exact[self.positions])
        best, best_value, fall = None, np.inf, 0.0
        halvings = 0
        while True:
            exact[self.positions] = weights
            partial = self.field.gradient(exact.astype(self.problem.dtype))
            value = partial.loss / partial.rows + self._penalty(weights)
            if best is not None and not value <= best_value + 1e-7 * abs(best_value) and halvings < _HALVINGS:
                # The quadratic model promised too much here: go back half of the way.
                halvings += 1
                weights = 0.5 * (weights + best)
                continue
            halvings = 0
            best, best_value = weights, value
            stop = self.progress.round(value, exact, expected=fall)
            if stop:
                break
            model = self._model(partial.gradient[self.positions] / partial.rows, value, weights)
            step, fall = model.step()
            weights = weights + step
            if self.progress.settled(fall, value):
                exact[self.positions] = weights
                break
        return exact.astype(self.problem.dtype)

    def _solve_sample(self, weights: np.ndarray) -> np.ndarray:
        """Minimise the objective over the sampled rows alone."""
        best, best_value = weights, np.inf
        for _ in range(_SAMPLE_ROUNDS):
            sums = self.sample.sums(weights)
            value = sums.loss / sums.rows + self._penalty(weights)
            if not value < best_value * (1 + 1e-7) + 1e-12:
                weights = 0.5 * (weights + best)
                continue
            best, best_value = weights, value
            model = self._quadratic(sums, sums.gradient / sums.rows, value, weights)
            step, fall = model.step()
            weights = weights + step
            if fall <= 1e-6 * abs(value) + 1e-15:
                break
        return weights if np.isfinite(weights).all() else best

    def _model(self, gradient: np.ndarray, value: float, weights: np.ndarray) -> _Model:
        return self._quadratic(self.sample.sums(weights), gradient, value, weights)

    def _quadratic(self, sums: SampleSums, gradient: np.ndarray, value: float, weights: np.ndarray) -> _Model:
        p = self.problem
        matrix = sums.matrix / max(sums.rows, 1.0)
        self._support_rare(matrix)
        slope = gradient + p.l2 * weights * self.penalised
        matrix[np.diag_indices_from(matrix)] += p.l2 * self.penalised
        fixed = ~self.free
        slope[fixed] = 0.0
        matrix[fixed] = matrix[:, fixed] = 0.0
        matrix[fixed, fixed] = 1.0
        return _Model(value, slope, matrix, weights, p.l1 * self.penalised)

    def _support_rare(self, matrix: np.ndarray) -> None:
        """Raise the curvature of weights that the sample saw too rarely to what all rows say it is about."""
        squares = self.sample.squares
        if self.sample.fraction >= 1 or not squares.any():
            return
        k = self.problem.outputs
        diagonal = matrix[np.diag_indices_from(matrix)]
        typical = diagonal[-k:]  # the intercept's: the mean curvature of the loss
        least = (squares[:, None] / self.problem.rows * typical).ravel()
        missing = np.maximum(least - diagonal[:-k], 0.0)
        matrix[np.arange(len(missing)), np.arange(len(missing))] += missing

    def _penalty(self, weights: np.ndarray) -> float:
        own = weights[self.penalised]
        return self.problem.l1 * float(np.abs(own).sum()) + 0.5 * self.problem.l2 * float(own @ own)
