"""The objective minimised over a sample of the rows: where the rounds over all rows begin, or nearly end, when it has all.

Kinks of the loss are rounded off, first within about the mean error and then ever more closely, so that every stage begins
near its end (the finite smoothing algorithm; sources in :mod:`dsgd.losses.smoothing`). Every step is as long as is best by the
loss along it. Where the second derivative promises too much, or vanishes, the curvature of parabolas that lie above the loss
takes its place.
"""

from collections.abc import Callable

import numpy as np

from ..losses.smoothing import smoothed, steepness
from ..objective.curvature import LENGTHS, SampleSums
from ..objective.problem import Problem
from .field import SampleField
from .quadratic import QuadraticModel, Quadratics

# The first part of the sample that is solved, and rows for each weight, at least, of it: fewer would lead astray.
FIRST_PART = 0.1
_FIRST_ROWS = 20
_ROUNDS = 40
# A value may be above the best by this part of it, which is rounding.
_ROUNDING = 1e-7
# A stage is over when a step brings less than this part of the objective: the last one, and those before.
_FALL, _FALL_OF_STAGE = 1e-4, 1e-2
# Of that, what a step cut short must have brought.
_STALE = 0.05
# Factor from one width to the next, and how often at most; the stages end when the rounding-off is worth no more than this
# part of the objective, by the duality gap: on all rows, and on some.
_NARROWER, _MOST_STAGES = 0.25, 12
_GAP, _GAP_OF_SOME = 5e-5, 2e-3
# Factor from the width on some rows to that on all.
_FULL_NARROWER = 0.1
# Beyond the rounded kinks, rows keep so much of their safe curvature.
_FLOOR = 0.02


class SampleSolver:
    """Minimises over the sample.

    Parameters
    ----------
    problem : Problem
    sample : SampleField
    quadratics : Quadratics
    agreed : callable
        Takes a model to the step, and the expected fall, that all ranks take.

    Attributes
    ----------
    kinked : bool
        Whether the loss has kinks, or a narrow bowl in their place.
    floor : float
        Part of the safe curvature that rows keep.
    width, full_width : float
        Within which kinks are rounded off in sums over the sample, and in sums over all rows.
    last_fall : float
        What the last step was expected to bring, when the sample has all rows; else 0.
    """

    def __init__(
        self,
        problem: Problem,
        sample: SampleField,
        quadratics: Quadratics,
        agreed: Callable[[QuadraticModel], tuple[np.ndarray, float]],
    ):
        self._loss, self._sample, self._quadratics, self._agreed = problem.loss, sample, quadratics, agreed
        self._rows = sample.fraction * problem.rows
        self._steepness = steepness(problem.loss)
        self.kinked = self._steepness > 0
        self.floor = _FLOOR if self.kinked else 0.0
        self.width = self.full_width = self.last_fall = self._largest = 0.0

    def solve(self, start: np.ndarray, fresh: bool) -> np.ndarray:
        """Return the minimum from ``start``, which is a model to go on from unless ``fresh``."""
        # Such a model is nearer than a tenth of a sample could come; the widths must be found in any case.
        parts: tuple[float, ...] = (1.0,) if fresh or self.kinked else ()
        if fresh and _FIRST_ROWS * len(start) < FIRST_PART * self._rows:
            parts = (FIRST_PART, 1.0)
        weights = start
        for part in parts:
            weights = self._solve_part(weights, part)
        return weights if np.isfinite(weights).all() else start

    def improve(self, near: np.ndarray) -> np.ndarray:
        """Return the minimum from weights near it: those that a similar problem has there."""
        weights = self._solve_part(near, 1.0)
        return weights if np.isfinite(weights).all() else near

    def size(self, value: float) -> float:
        """What rounding is measured by: a value near zero may be the difference of large ones."""
        self._largest = max(self._largest, abs(value) if np.isfinite(value) else 0.0)
        return max(abs(value) if np.isfinite(value) else 0.0, 1e-3 * self._largest)

    def rises(self, value: float, best: float) -> bool:
        """Whether a value is above the best so far by more than rounding, or none at all."""
        return not (np.isfinite(value) and value <= best + _ROUNDING * self.size(best))

    def _solve_part(self, weights: np.ndarray, part: float) -> np.ndarray:
        whole = self._sample.fraction * part >= 1
        if not self.kinked:
            return self._stage(weights, part, _FALL)[0]
        if not self.width:
            sums = self._sample.sums(weights, part)
            self.width = self._value(sums, weights) / self._steepness
        allowed = _GAP if whole else _GAP_OF_SOME
        for _ in range(_MOST_STAGES):
            weights, value, gap = self._stage(weights, part, _FALL_OF_STAGE)
            if smoothed(self._loss, self.width) == self._loss or gap <= allowed * abs(value):
                break
            self.width *= _NARROWER
        self.full_width = self.width * (1.0 if whole else _FULL_NARROWER)
        return self._stage(weights, part, _FALL)[0]

    def _value(self, sums: SampleSums, weights: np.ndarray) -> float:
        return sums.loss / max(sums.rows, 1.0) + self._quadratics.penalty(weights)

    def _stage(self, weights: np.ndarray, part: float, enough: float) -> tuple[np.ndarray, float, float]:
        """Newton's steps until one brings less than ``enough`` of the objective.

        Returns the weights, and the objective before the last step, and the gap that the rounding-off leaves.
        """
        floor, value, gap = self.floor, np.inf, np.inf
        for _ in range(_ROUNDS):
            sums, before = self._sample.sums(weights, part, self.width, floor), value
            value, gap = self._value(sums, weights), sums.gap / max(sums.rows, 1.0)
            model = self._quadratics.model(sums, sums.gradient / max(sums.rows, 1.0), value, weights)
            step, fall = self._agreed(model)
            length = self.length(weights, step, value, part)
            if length == 0:
                if floor == 1.0:
                    break
                floor = 1.0
                continue
            weights = weights + length * step
            if self._sample.fraction * part >= 1:
                self.last_fall = fall  # of the objective itself
            # A step that had to be cut short says little of what is left; one after which little fell, enough.
            short = length < 1.0
            if (fall if not short else before - value) <= enough * (_STALE if short else 1.0) * abs(value) + 1e-15:
                break
            floor = lowered_floor(floor, self.floor)
        return weights, value, gap

    def length(self, weights: np.ndarray, step: np.ndarray, value: float, part: float = 1.0) -> float:
        """How much of a step to take, by the loss along it: all of it, if that is as good as any, and 0 where it only rises."""
        sums = self._sample.along(weights, step, part, self.width)
        penalties = [self._quadratics.penalty(weights + length * step) for length in LENGTHS]
        values = np.nan_to_num(sums[:-1] / max(sums[-1], 1.0) + penalties, nan=np.inf, posinf=np.inf)
        whole, best = values[LENGTHS.index(1.0)], int(np.argmin(values))
        if not self.rises(whole, min(float(values[best]), value)):
            return 1.0
        return 0.0 if self.rises(float(values[best]), value) else LENGTHS[best]


def lowered_floor(floor: float, least: float) -> float:
    """The floor after a step that kept its promise."""
    return max(least, 0.1 * floor if floor > 1e-2 else 0.0)
