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
_ROUNDING = 1e-7
# A fall is expected to be followed by others that add up to at most nine times as much.
_SLOWEST = 0.9
# The sample is solved until a step brings less than this part of the objective; its first tenth, more cheaply, before it.
_SAMPLE_FALL = 1e-4
FIRST_PART = 0.1
# Rows for each weight, at least, of that tenth: fewer lead astray.
_FIRST_ROWS = 20
# With all rows in the sample a step is Newton's own, whose error shrinks quadratically near the optimum.
_EXACT_CONTRACTION = 0.1
# Where some weights are used by few rows, the sample says too little of them.
_UNEVEN_CONTRACTION = 0.5
# A last step that nobody measures is taken if it promises no more than this part of the objective.
_SAFE_FALL = 0.05


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
        self._last_sums: SampleSums | None = None
        self._largest = self._last_fall = 0.0
        self.contraction = self._contraction()

    def run(self, params: np.ndarray) -> np.ndarray:
        """Return the trained parameters."""
        exact = params.astype(np.float64)
        best, best_value = exact[self.positions], np.inf
        weights, halvings = self._solve_sample(best), 0
        while True:
            # The ranks' processors may round differently, and all must go on, or stop, alike.
            self.field.agree(weights)
            exact[self.positions] = weights
            partial = self.field.gradient(exact.astype(self.problem.dtype))
            value = partial.loss / max(partial.rows, 1) + self._penalty(weights)
            if not (np.isfinite(value) and value <= best_value + _ROUNDING * self._size(best_value)):
                # The quadratic model promised too much here: go back half of the way.
                if halvings == _HALVINGS:
                    weights = best
                    if not np.isfinite(best_value):
                        self.progress.round(value, exact)  # which says what is wrong
                    break
                halvings += 1
                weights = 0.5 * (weights + best)
                continue
            halvings = 0
            best, best_value = weights, value
            model = self._model(partial.gradient[self.positions] / partial.rows, value, weights)
            step, fall = self._agreed_step(model)
            stop = self.progress.round(value, exact, expected=value - fall)
            if not stop or fall <= _SAFE_FALL * abs(value):
                weights = weights + step
            # What a step leaves is what it gained, times the error of the curvature.
            if stop or self.progress.settled(self._left(fall), value):
                break
        exact[self.positions] = weights
        return exact.astype(self.problem.dtype)

    def _agreed_step(self, model: _Model) -> tuple[np.ndarray, float]:
        step, fall = model.step()
        agreed = np.append(step, fall)
        self.field.agree(agreed)
        return agreed[:-1], float(agreed[-1])

    def _size(self, value: float) -> float:
        """What rounding is measured by: a value near zero may be the difference of large ones."""
        self._largest = max(self._largest, abs(value) if np.isfinite(value) else 0.0)
        return max(abs(value) if np.isfinite(value) else 0.0, 1e-3 * self._largest)

    def _left(self, fall: float) -> float:
        """By how much the objective is expected to be above its least after a step that lowers it by ``fall``.

        Falls that shrink slowly from step to step are the tail of a long way, whatever the sample promises.
        """
        ratio = self.contraction
        if self._last_fall > 0:
            ratio = min(max(ratio, fall / self._last_fall), _SLOWEST)
        self._last_fall = fall
        return fall * ratio / (1.0 - ratio)

    def _contraction(self) -> float:
        """Part of the distance to the optimum, in objective, that a step is expected to leave."""
        if self.sample.fraction >= 1:
            return _EXACT_CONTRACTION
        if not self.sample.even:
            return _UNEVEN_CONTRACTION
        return min(_SLOWEST, 2.0 * len(self.positions) / (self.sample.fraction * self.problem.rows))

    def _solve_sample(self, weights: np.ndarray) -> np.ndarray:
        """Minimise the objective over the sampled rows alone: over a tenth of them first, which brings it near."""
        start = weights
        # A start that is not zero is a model to go on from, and nearer than a tenth of a sample could come.
        parts = (FIRST_PART, 1.0) if _FIRST_ROWS * len(self.positions) < FIRST_PART * self.rows_sampled else (1.0,)
        for part in parts if not start.any() else ():
            weights = self._solve_part(weights, part)
        return weights if np.isfinite(weights).all() else start

    @property
    def rows_sampled(self) -> float:
        """Rows of the sample over all ranks, about."""
        return self.sample.fraction * self.problem.rows

    def _solve_part(self, weights: np.ndarray, part: float) -> np.ndarray:
        best, best_value = weights, np.inf
        for _ in range(_SAMPLE_ROUNDS):
            sums = self.sample.sums(weights, part)
            value = sums.loss / max(sums.rows, 1.0) + self._penalty(weights)
            if not value <= best_value + _ROUNDING * self._size(best_value):
                weights = 0.5 * (weights + best)
                continue
            best, best_value = weights, value
            model = self._quadratic(sums, sums.gradient / max(sums.rows, 1.0), value, weights)
            if part == 1.0:
                self._last_sums = sums
            step, fall = self._agreed_step(model)
            weights = weights + step
            if self.sample.fraction * part >= 1:
                self._last_fall = fall  # of the objective itself
            if fall <= _SAMPLE_FALL * abs(value) + 1e-15:
                return weights
        return best

    def _model(self, gradient: np.ndarray, value: float, weights: np.ndarray) -> _Model:
        # The curvature of the sample's last step is as good as that of the point it led to.
        sums = self._last_sums or self.sample.sums(weights)
        self._last_sums = None
        return self._quadratic(sums, gradient, value, weights)

    def _quadratic(self, sums: SampleSums, gradient: np.ndarray, value: float, weights: np.ndarray) -> _Model:
        p = self.problem
        matrix = sums.matrix / max(sums.rows, 1.0)  # a copy: the sums may be used again
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
