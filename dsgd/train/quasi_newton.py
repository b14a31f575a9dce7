"""The recipe for smooth problems with some thousand weights: full gradients, whose changes tell the curvature.

A matrix of their curvature would be too large, and single steps need hundreds of epochs where columns are correlated.
Limited-memory BFGS with bounds (Byrd, Lu, Nocedal & Zhu 1995, as scipy has it) needs a gradient a round, however many ranks
there are. Under l1 a weight is the difference of two that are not negative, which makes the objective smooth and its zeros
exact. A weight is measured in units in which its own curvature is about 1, so that features that few rows have keep up.

Rank 0 searches, and the others make their sums where it says: all see the same weights, whatever their processors round to.
"""

from typing import Any

import numpy as np
from scipy.optimize import Bounds, OptimizeResult, minimize

from .progress import Progress

# Changes of the gradient that are remembered, and looks along a line at most.
_MEMORY, _LOOKS = 20, 30
# The search ends by the progress of the rounds, or where rounding hides a fall; not by limits of its own.
_OPTIONS = {"maxcor": _MEMORY, "maxls": _LOOKS, "maxiter": 1 << 30, "maxfun": 1 << 30, "ftol": 0.0, "gtol": 0.0}
# What rank 0 says is next.
_END, _SUM, _ROUND = 0.0, 1.0, 2.0
# Of a weight's curvature, where its feature is zero.
_LEAST = 1e-12


class QuasiNewton:
    """The recipe over a field.

    Parameters
    ----------
    field : Field
    active : ndarray of shape (a,), int64
        The weights in use.
    progress : Progress
    """

    def __init__(self, field: Any, active: np.ndarray, progress: Progress):
        self._field, self._progress, self._problem = field, progress, field.problem
        k = self._problem.outputs
        features = np.append(active, self._problem.layout.size) if self._problem.intercept else active
        self._positions = (features[:, None] * k + np.arange(k)).ravel()
        self._penalised = len(active) * k
        self._active = active
        self._exact = self._unit = np.zeros(0)
        self._stopped = False

    def run(self, params: np.ndarray) -> np.ndarray:
        """Return the trained parameters."""
        self._exact = params.astype(np.float64)
        self._unit = self._units()
        if self._field.leads:
            self._search(self._exact[self._positions])
        else:
            message = np.full(2 + len(self._positions), np.nan)
            while message[0] != _END:
                self._field.agree(message)
                self._obey(message)
        return self._exact.astype(params.dtype)

    def _units(self) -> np.ndarray:
        """The size that a step of each weight would have on its own, up to a factor."""
        p = self._problem
        steepest = float(getattr(getattr(p.loss, "loss", p.loss), "curvature_bound", 1.0))
        squares = self._field.squares(self._active) * (steepest if 0 < steepest < np.inf else 1.0)
        units = np.ones(len(self._positions))
        units[: self._penalised] = np.repeat(1.0 / np.sqrt(np.maximum(squares + p.l2, _LEAST)), p.outputs)
        return units

    def _search(self, start: np.ndarray) -> None:
        found = minimize(
            self._value_and_slope,
            self._split(start),
            jac=True,
            method="L-BFGS-B",
            bounds=self._bounds(len(start)),
            callback=self._accepted,
            options=_OPTIONS,
        )
        weights, value = self._joined(found.x), float(found.fun)
        if not self._progress.history:  # It began at the optimum, or could not leave the start.
            self._tell(_ROUND, value, weights)
        self._tell(_END, value, weights)

    def _value_and_slope(self, point: np.ndarray) -> tuple[float, np.ndarray]:
        weights, p = self._joined(point), self._problem
        partial = self._tell(_SUM, 0.0, weights)
        rows, penalised = max(partial.rows, 1), weights[: self._penalised]
        value = partial.loss / rows + 0.5 * p.l2 * float(penalised @ penalised)
        slope = partial.gradient[self._positions] / rows
        slope[: self._penalised] += p.l2 * penalised
        if not p.l1:
            return value, slope * self._unit
        unit = self._unit[: self._penalised]
        value += p.l1 * float(unit @ (point[: self._penalised] + point[len(weights) :]))
        below = p.l1 - slope[: self._penalised]
        slope[: self._penalised] += p.l1
        return value, np.concatenate([slope * self._unit, below * unit])

    def _accepted(self, intermediate_result: OptimizeResult) -> None:
        self._tell(_ROUND, float(intermediate_result.fun), self._joined(intermediate_result.x))
        if self._stopped:
            raise StopIteration

    def _tell(self, kind: float, value: float, weights: np.ndarray) -> Any:
        message = np.concatenate([[kind, value], weights])
        self._field.agree(message)
        return self._obey(message)

    def _obey(self, message: np.ndarray) -> Any:
        """Do what rank 0 says, as all ranks do; return the sums if that was the word."""
        kind, value = message[:2].tolist()
        self._exact[self._positions] = message[2:]
        if kind == _SUM:
            return self._field.gradient(self._exact.astype(self._problem.dtype))
        if kind == _ROUND:
            self._stopped = self._progress.round(value, self._exact, exact=True)
        elif not self._stopped:
            self._progress.settled(0.0, value)
        return None

    def _split(self, weights: np.ndarray) -> np.ndarray:
        """Weights as the search sees them: under l1 the parts above zero, and the free ones, and then the parts below."""
        point = weights / self._unit
        if not self._problem.l1:
            return point
        penalised = point[: self._penalised]
        return np.concatenate([np.maximum(penalised, 0.0), point[self._penalised :], np.maximum(-penalised, 0.0)])

    def _joined(self, point: np.ndarray) -> np.ndarray:
        weights = point[: len(self._positions)].copy()
        if self._problem.l1:
            weights[: self._penalised] -= point[len(weights) :]
        return weights * self._unit

    def _bounds(self, size: int) -> Bounds | None:
        if not self._problem.l1:
            return None
        lower = np.zeros(size + self._penalised)
        lower[self._penalised : size] = -np.inf
        return Bounds(lower, np.inf)
