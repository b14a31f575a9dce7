"""Metrics of a real target: errors, explained variance, deviances; predictions are scores through the inverse link."""

import numpy as np
from scipy.special import xlogy

from .base import Metric, mean


class Errors(Metric):
    """Root mean squared error, mean absolute error and R2, the share of the target's variance that is explained.

    The variance comes from sums of y and y^2, which must add up over ranks; its relative error is about 1e-16 times
    (mean / standard deviation)^2 of the target.
    """

    def __init__(self, inverse_link):
        super().__init__(5)
        self.inverse_link = inverse_link

    def update(self, scores, target, weight):
        error = self.inverse_link(scores) - target
        self.sums += [
            weight.sum(),
            weight @ (error * error),
            weight @ np.abs(error),
            weight @ target,
            weight @ (target * target),
        ]

    def results(self):
        weight, squared, absolute, first, second = self.sums
        rounding = 1e-15 * second
        spread = second - first * first / weight if weight > 0 else 0.0
        return {
            "rmse": float(np.sqrt(mean(squared, weight))),
            "mae": mean(absolute, weight),
            "r2": float(1 - squared / spread) if spread > rounding else float("nan"),
        }


class Deviance(Metric):
    """Mean deviance of a Tweedie distribution: Poisson for power 1, gamma for power 2 (Jorgensen, 1997).

    Parameters
    ----------
    name : str
        Of the result.
    inverse_link : callable
    power : float
        Within [1, 2].
    """

    def __init__(self, name: str, inverse_link, power: float):
        super().__init__(2)
        self.name, self.inverse_link, self.power = name, inverse_link, power

    def update(self, scores, target, weight):
        predicted = np.maximum(self.inverse_link(scores), np.finfo(np.float64).tiny)
        self.sums += [weight @ self._deviance(predicted, target), weight.sum()]

    def _deviance(self, predicted, target):
        if self.power == 1:
            return 2 * (xlogy(target, target / predicted) - target + predicted)
        if self.power == 2:
            return 2 * (np.log(predicted / target) + target / predicted - 1)
        below, above = 1 - self.power, 2 - self.power
        return 2 * (target**above / (below * above) - target * predicted**below / below + predicted**above / above)

    def results(self):
        return {self.name: mean(*self.sums)}
