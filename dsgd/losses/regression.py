"""Losses of a score p that is the prediction itself, for a real target y; r = p - y.

Formulas: Huber (1964), "Robust estimation of a location parameter"; Vapnik (1995) for the epsilon-insensitive ones;
Koenker & Bassett (1978), "Regression quantiles".
"""
# ruff: noqa: N805

from typing import NamedTuple

import numpy as np

from ..kernels.protocols import choose
from .formulas import constant, kink_curvature
from .registry import register


@register("squared_error", task="regression", domain="real", link="identity", curvature_bound=1.0)
class SquaredError(NamedTuple):
    """Half the squared error: r^2 / 2."""

    def value(loss, score, target):
        return 0.5 * (score - target) * (score - target)

    def gradient(loss, score, target):
        return score - target

    def curvature(loss, score, target):
        return constant(1.0, score)


@register("huber", task="regression", domain="real", link="identity", curvature_bound=1.0)
class Huber(NamedTuple):
    """r^2 / 2 for \\|r\\| <= epsilon and its tangent, epsilon \\|r\\| - epsilon^2 / 2, beyond.

    Examples
    --------
    >>> import numpy as np
    >>> Huber(epsilon=1.0).value(np.array([0.5, 3.0]), np.zeros(2))
    array([0.125, 2.5  ])
    """

    epsilon: float = 0.1

    def value(loss, score, target):
        distance = np.abs(score - target)
        inner = np.minimum(distance, loss.epsilon)
        return inner * (distance - 0.5 * inner)

    def gradient(loss, score, target):
        return np.maximum(np.minimum(score - target, loss.epsilon), -loss.epsilon)

    def curvature(loss, score, target):
        return choose(np.abs(score - target) <= loss.epsilon, constant(1.0, score), constant(0.0, score))

    def touching(loss, score, target):
        return loss.epsilon / np.maximum(np.abs(score - target), loss.epsilon)


@register(
    "epsilon_insensitive", task="regression", domain="real", link="identity", curvature_bound=np.inf, smooth=False
)
class EpsilonInsensitive(NamedTuple):
    """Support vector regression: max(0, \\|r\\| - epsilon). At the kinks, \\|r\\| = epsilon, the derivative is 0.

    With epsilon = 0 it is the absolute error.
    """

    epsilon: float = 0.1

    def value(loss, score, target):
        return np.maximum(np.abs(score - target) - loss.epsilon, 0)

    def gradient(loss, score, target):
        error = score - target
        return choose(np.abs(error) > loss.epsilon, np.sign(error), constant(0.0, score))

    def curvature(loss, score, target):
        # The loss is a sum of two hinges, one a kink, so the touching parabolas add up.
        error = score - target
        return kink_curvature(error - loss.epsilon) + kink_curvature(error + loss.epsilon)


@register("squared_epsilon_insensitive", task="regression", domain="real", link="identity", curvature_bound=2.0)
class SquaredEpsilonInsensitive(NamedTuple):
    """Support vector regression with squared slack: max(0, \\|r\\| - epsilon)^2."""

    epsilon: float = 0.1

    def value(loss, score, target):
        slack = np.maximum(np.abs(score - target) - loss.epsilon, 0)
        return slack * slack

    def gradient(loss, score, target):
        error = score - target
        return 2 * np.sign(error) * np.maximum(np.abs(error) - loss.epsilon, 0)

    def curvature(loss, score, target):
        return choose(np.abs(score - target) >= loss.epsilon, constant(2.0, score), constant(0.0, score))

    def touching(loss, score, target):
        return constant(2.0, score)


@register("quantile", task="regression", domain="real", link="identity", curvature_bound=np.inf, smooth=False)
class Quantile(NamedTuple):
    """Pinball loss, least at the ``quantile`` of y: (1 - quantile) r for r > 0 and -quantile r for r <= 0.

    At the kink, r = 0, the derivative is the one from the left, -quantile.
    """

    quantile: float = 0.5

    def value(loss, score, target):
        error = score - target
        return np.maximum((1 - loss.quantile) * error, -loss.quantile * error)

    def gradient(loss, score, target):
        return choose(score > target, constant(1 - loss.quantile, score), constant(-loss.quantile, score))

    def curvature(loss, score, target):
        return kink_curvature(score - target)
