"""Losses of a score p for a target y that is -1 or +1, all functions of the margin m = y p.

Formulas: Hastie, Tibshirani & Friedman, *The Elements of Statistical Learning*, table 12.1; the modified Huber loss:
Zhang (2004), "Solving large scale linear prediction problems using stochastic gradient descent algorithms".
"""
# ruff: noqa: N805

from typing import NamedTuple

import numpy as np

from ..kernels.protocols import choose
from .formulas import constant, exp_of_negative, kink_curvature, log1p_unit
from .registry import register

# exp(80) and its inverse are both ordinary float32 numbers; beyond it the gradient is zero to any purpose.
MARGIN_LIMIT = 80.0


@register("log_loss", task="binary", domain="sign", link="logit", curvature_bound=0.25)
class LogLoss(NamedTuple):
    """Logistic regression: log(1 + exp(-m)).

    Examples
    --------
    >>> import numpy as np
    >>> LogLoss().value(np.array([0.0, 1e4]), np.array([1.0, -1.0])).round(4)
    array([6.931e-01, 1.000e+04])
    """

    def value(loss, score, target):
        margin = score * target
        return np.maximum(-margin, constant(0.0, margin)) + log1p_unit(exp_of_negative(-np.abs(margin)))

    def gradient(loss, score, target):
        # The same exponential as in ``value``, so that a loop that wants both computes it once.
        margin = score * target
        odds = exp_of_negative(-np.abs(margin))
        return -target * choose(margin > 0, odds, constant(1.0, margin)) / (constant(1.0, margin) + odds)

    def curvature(loss, score, target):
        odds = np.exp(-np.abs(score * target))
        return odds / ((1 + odds) * (1 + odds))

    def touching(loss, score, target):
        # tanh(m / 2) / (2 m), of Jaakkola & Jordan (2000), is a little less.
        return 0.5 / np.maximum(np.abs(score * target), 2)


@register("hinge", task="binary", domain="sign", link="identity", curvature_bound=np.inf, smooth=False)
class Hinge(NamedTuple):
    """Support vector machine: max(0, 1 - m). At its kink, m = 1, the derivative is -y, as below it."""

    def value(loss, score, target):
        return np.maximum(1 - score * target, 0)

    def gradient(loss, score, target):
        return choose(score * target <= 1, -target, constant(0.0, target))

    def curvature(loss, score, target):
        return kink_curvature(1 - score * target)


@register("squared_hinge", task="binary", domain="sign", link="identity", curvature_bound=2.0)
class SquaredHinge(NamedTuple):
    """Support vector machine with squared slack: max(0, 1 - m)^2."""

    def value(loss, score, target):
        slack = np.maximum(1 - score * target, 0)
        return slack * slack

    def gradient(loss, score, target):
        return -2 * target * np.maximum(1 - score * target, 0)

    def curvature(loss, score, target):
        return choose(score * target <= 1, constant(2.0, target), constant(0.0, target))

    def touching(loss, score, target):
        return constant(2.0, target)


@register("modified_huber", task="binary", domain="sign", link="clip", curvature_bound=2.0)
class ModifiedHuber(NamedTuple):
    """Squared hinge down to m = -1, and its tangent, -4 m, below: outliers pull with a bounded force.

    The probability of +1 is (p + 1) / 2, clipped to [0, 1].
    """

    def value(loss, score, target):
        slack = np.maximum(1 - score * target, 0)
        squared = np.minimum(slack, 2)
        return squared * squared + 4 * (slack - squared)

    def gradient(loss, score, target):
        return -2 * target * np.minimum(np.maximum(1 - score * target, 0), 2)

    def curvature(loss, score, target):
        return choose(np.abs(score * target) <= 1, constant(2.0, target), constant(0.0, target))

    def touching(loss, score, target):
        # Where the parabola's least value is that of the flat part.
        return 2 / np.maximum(-score * target, 1)
