"""The recipe for problems with few weights: full gradients, scaled by sampled curvature.

The problem is solved on a sample of the rows first (:mod:`dsgd.train.sample_solver`), which costs no pass over the data; then
every round is one pass that sums the gradient, and a step with the inverse of the sampled curvature (sub-sampled Newton;
sources in :mod:`dsgd.objective.curvature`). A round brings the remaining error down by about the relative error of the
sample, so a few rounds reach the optimum, whatever the columns' scales and correlations, and the target's: there is no
learning rate. Losses with kinks are rounded off within a small part of the mean error.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..objective.start import null_intercept
from .progress import Progress
from .quadratic import QuadraticModel, Quadratics
from .sample_solver import SampleSolver, lowered_floor

_HALVINGS = 12
# A fall is expected to be followed by others that add up to at most nine times as much.
_SLOWEST = 0.9
# With all rows in the sample a step is Newton's own, whose error shrinks quadratically near the optimum.
_EXACT_CONTRACTION = 0.1
# Where some weights are used by few rows, the sample says too little of them.
_UNEVEN_CONTRACTION = 0.5
# The curvature of kinks that are rounded off is that of few rows, and other rows' with every step.
_KINKED_CONTRACTION = 0.5
# A last step that nobody measures is taken if it promises no more than this part of the objective.
_SAFE_FALL = 0.05
# A fall that is a smaller part of the objective drowns in the rounding of its sums.
_ROUNDING_FALL = 1e-6


@dataclass
class _Point:
    """Weights, the objective there, and the mean gradient of the loss."""

    weights: np.ndarray
    value: float
    gradient: np.ndarray


class Newton:
    """The recipe over a field.

    Parameters
    ----------
    field : Field
    active : ndarray of shape (a,), int64
        The weights in use.
    progress : Progress
    fresh : bool
        Whether the weights to begin with are no model, so that a better beginning may be looked for.
    """

    def __init__(self, field: Any, active: np.ndarray, progress: Progress, fresh: bool = True):
        self.field, self.progress, self.problem, self.fresh = field, progress, field.problem, fresh
        self.sample = field.sample(active)
        self.quadratics = Quadratics(self.problem, active, self.sample)
        self.positions = self.quadratics.positions
        self.solver = SampleSolver(self.problem, self.sample, self.quadratics, self._agreed_step)
        self._last_fall = 0.0
        self._contraction = self._expected_contraction()

    def run(self, params: np.ndarray) -> np.ndarray:
        """Return the trained parameters."""
        exact = params.astype(np.float64)
        best = _Point(self._start(exact[self.positions]), np.inf, np.zeros(0))
        weights, halvings, floor = self._solve_sample(best.weights), 0, self.solver.floor
        self._last_fall = self.solver.last_fall
        while True:
            # The ranks' processors may round differently, and all must go on, or stop, alike.
            self.field.agree(weights)
            exact[self.positions] = weights
            partial = self.field.gradient(exact.astype(self.problem.dtype), self.solver.full_width)
            value = partial.loss / max(partial.rows, 1) + self.quadratics.penalty(weights)
            if self.solver.rises(value, best.value):
                if halvings == _HALVINGS:
                    weights = self._give_up(best, value, exact)
                    break
                halvings += 1
                weights, floor = self._nearer(weights, best, floor)
                continue
            best = _Point(weights, value, partial.gradient[self.positions] / max(partial.rows, 1))
            step, fall, floor = self._step(best, floor)
            stop = self.progress.round(value, exact, expected=value - fall)
            if not stop or fall <= _SAFE_FALL * abs(value):
                weights = weights + step
            # What a step leaves is what it gained, times the error of the curvature.
            if stop or self.progress.settled(self._left(fall, floor), value):
                break
            halvings, floor = 0, lowered_floor(floor, self.solver.floor)
        exact[self.positions] = weights
        return exact.astype(self.problem.dtype)

    def _start(self, weights: np.ndarray) -> np.ndarray:
        """The weights to begin with: the best model without features, if there is none."""
        if self.fresh and self.problem.intercept and self.problem.outputs == 1:
            weights = weights.copy()
            weights[-1] = null_intercept(self.problem.loss, self.sample.totals())
        return weights

    def _solve_sample(self, weights: np.ndarray) -> np.ndarray:
        return self.solver.solve(weights, self.fresh)

    def _step(self, best: _Point, floor: float) -> tuple[np.ndarray, float, float]:
        """The step from a point, what it should bring, and the floor that it was made with.

        With all rows in the sample, the length that is best by the sample's loss; otherwise the whole step.
        """
        step, fall = self._agreed_step(self._model(best, floor))
        if self.sample.fraction < 1:
            return step, fall, floor
        length = self.solver.length(best.weights, step, best.value)
        if length == 0 and floor < 1.0:
            return self._step(best, 1.0)
        return length * step, fall, floor

    def _nearer(self, weights: np.ndarray, best: _Point, floor: float) -> tuple[np.ndarray, float]:
        """After a rise: the safe step from the best weights, or half of the way back to them."""
        if floor < 1.0 and np.isfinite(best.value):
            return best.weights + self._agreed_step(self._model(best, 1.0))[0], 1.0
        return 0.5 * (weights + best.weights), floor

    def _give_up(self, best: _Point, value: float, exact: np.ndarray) -> np.ndarray:
        """No step in the model's direction lowers the objective: converged, if rounding hides what there may be left."""
        if not np.isfinite(best.value):
            self.progress.round(value, exact)  # which says what is wrong
        _, fall = self._agreed_step(self._model(best, 1.0))
        if fall <= _ROUNDING_FALL * self.solver.size(best.value):
            self.progress.settled(0.0, best.value)
        return best.weights

    def _agreed_step(self, model: QuadraticModel) -> tuple[np.ndarray, float]:
        step, fall = model.step()
        agreed = np.append(step, fall)
        self.field.agree(agreed)
        return agreed[:-1], float(agreed[-1])

    def _left(self, fall: float, floor: float) -> float:
        """By how much the objective is expected to be above its least after a step that lowers it by ``fall``.

        Falls that shrink slowly from step to step are the tail of a long way, whatever the sample promises.
        """
        ratio = self._contraction if floor <= 2 * self.solver.floor else _SLOWEST
        if self._last_fall > 0:
            ratio = min(max(ratio, fall / self._last_fall), _SLOWEST)
        self._last_fall = fall
        return fall * ratio / (1.0 - ratio)

    def _expected_contraction(self) -> float:
        """Part of the distance to the optimum, in objective, that a step is expected to leave."""
        if self.solver.kinked:
            return _KINKED_CONTRACTION
        if self.sample.fraction >= 1:
            return _EXACT_CONTRACTION
        if not self.sample.even:
            return _UNEVEN_CONTRACTION
        return min(_SLOWEST, 2.0 * len(self.positions) / (self.sample.fraction * self.problem.rows))

    def _model(self, point: _Point, floor: float) -> QuadraticModel:
        sums = self.sample.sums(point.weights, 1.0, self.solver.width, floor)
        return self.quadratics.model(sums, point.gradient, point.value, point.weights)
