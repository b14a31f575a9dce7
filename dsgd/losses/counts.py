"""Losses of a score p that is the logarithm of the predicted mean, for counts, amounts and a mixture of both.

Each is half the deviance of its distribution, less the terms that do not depend on the score (Jorgensen, *The Theory of
Dispersion Models*, 1997); so a value may be negative. Beyond exp(64) the exponential goes on as its tangent: the loss
stays convex and finite, and the gradient remains its derivative.
"""
# ruff: noqa: N805

from typing import NamedTuple

import numpy as np

from .formulas import exponential, extended
from .registry import register


@register("poisson", task="regression", domain="nonnegative", link="log", curvature_bound=np.inf)
class Poisson(NamedTuple):
    """Counts: exp(p) - y p, for y >= 0."""

    def value(loss, score, target):
        return extended(score) - target * score

    def gradient(loss, score, target):
        return exponential(score) - target

    def curvature(loss, score, target):
        return exponential(score)


@register("gamma", task="regression", domain="positive", link="log", curvature_bound=np.inf)
class Gamma(NamedTuple):
    """Positive amounts: p + y exp(-p), for y > 0."""

    def value(loss, score, target):
        return score + target * extended(-score)

    def gradient(loss, score, target):
        return 1 - target * exponential(-score)

    def curvature(loss, score, target):
        return target * exponential(-score)


@register("tweedie", task="regression", domain="nonnegative", link="log", curvature_bound=np.inf)
class Tweedie(NamedTuple):
    """Amounts with exact zeros (compound Poisson-gamma), variance proportional to mean^power, 1 < power < 2.

    With k = power, the value is exp((2 - k) p) / (2 - k) - y exp((1 - k) p) / (1 - k), for y >= 0. At the ends the
    formula divides by zero; there :func:`dsgd.losses.make_loss` gives :class:`Poisson` and :class:`Gamma`, whose
    gradients are its limits.
    """

    power: float = 1.5

    def value(loss, score, target):
        above, below = 2 - loss.power, 1 - loss.power
        return extended(above * score) / above - target * extended(below * score) / below

    def gradient(loss, score, target):
        return exponential((2 - loss.power) * score) - target * exponential((1 - loss.power) * score)

    def curvature(loss, score, target):
        above, below = 2 - loss.power, 1 - loss.power
        return above * exponential(above * score) - below * target * exponential(below * score)
