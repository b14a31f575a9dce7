"""Losses with kinks, rounded off within a width: what a method that needs curvature minimises in their place.

In comes a loss and a width h, out goes a smooth, convex loss that is h / 4 above it at a kink, and equal to it farther than h
from all kinks; with h = 0 it is the loss itself. A kink ``max(0, u)`` becomes ``(u + h)^2 / (4 h)`` for ``|u| < h``, as Huber
(1964) rounds off the absolute value; Madsen & Nielsen (1993), "A finite smoothing algorithm for linear l1 estimation", and
Chen (2007), "A finite smoothing algorithm for quantile regression", let h go to zero. Huber's own loss, whose kink is rounded
off within epsilon for good, becomes a wider one.
"""
# ruff: noqa: N805

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable

from ..kernels.protocols import choose, register_loss
from .binary import Hinge
from .formulas import constant, kink_curvature
from .registry import distinct
from .regression import EpsilonInsensitive, Huber, Quantile
from .softmax import OneVersusRest, indicators


@register_jitable
def rounded(u, width):
    """``max(0, u)``, rounded off within ``width`` of zero."""
    inner = np.maximum(np.minimum(u, width), -width) + width
    return inner * inner / (4 * width) + np.maximum(u - width, 0)


@register_jitable
def rounded_slope(u, width):
    """Derivative of :func:`rounded`."""
    return (np.maximum(np.minimum(u, width), -width) + width) / (2 * width)


@register_jitable
def rounded_curvature(u, width):
    """Second derivative of :func:`rounded`."""
    return choose(np.abs(u) <= width, constant(0.5, u) / width, constant(0.0, u))


@register_jitable
def rounded_slack(u, width):
    """Distance from the kink times that of the slope from the kink's own there; see :func:`slack`."""
    distance = np.abs(u)
    return distance * np.maximum(width - distance, 0) / (2 * width)


def _kernels_know(cls):
    return register_loss(distinct(cls))


@_kernels_know
class RoundedHinge(NamedTuple):
    """The hinge, rounded off within ``width`` of m = 1."""

    width: float

    def value(loss, score, target):
        return rounded(1 - score * target, loss.width)

    def gradient(loss, score, target):
        return -target * rounded_slope(1 - score * target, loss.width)

    def curvature(loss, score, target):
        return rounded_curvature(1 - score * target, loss.width)

    def touching(loss, score, target):
        return kink_curvature(1 - score * target, loss.width)

    def slack(loss, score, target):
        return rounded_slack(1 - score * target, loss.width)


@_kernels_know
class RoundedQuantile(NamedTuple):
    """The pinball loss, rounded off within ``width`` of r = 0."""

    quantile: float
    width: float

    def value(loss, score, target):
        error = score - target
        return rounded(error, loss.width) - loss.quantile * error

    def gradient(loss, score, target):
        return rounded_slope(score - target, loss.width) - loss.quantile

    def curvature(loss, score, target):
        return rounded_curvature(score - target, loss.width)

    def touching(loss, score, target):
        return kink_curvature(score - target, loss.width)

    def slack(loss, score, target):
        return rounded_slack(score - target, loss.width)


@_kernels_know
class RoundedTube(NamedTuple):
    """The epsilon-insensitive loss, rounded off within ``width`` of its two kinks."""

    epsilon: float
    width: float

    def value(loss, score, target):
        error = score - target
        return rounded(error - loss.epsilon, loss.width) + rounded(-error - loss.epsilon, loss.width)

    def gradient(loss, score, target):
        error = score - target
        return rounded_slope(error - loss.epsilon, loss.width) - rounded_slope(-error - loss.epsilon, loss.width)

    def curvature(loss, score, target):
        error = score - target
        return rounded_curvature(error - loss.epsilon, loss.width) + rounded_curvature(
            -error - loss.epsilon, loss.width
        )

    def touching(loss, score, target):
        error = score - target
        return kink_curvature(error - loss.epsilon, loss.width) + kink_curvature(-error - loss.epsilon, loss.width)

    def slack(loss, score, target):
        error = score - target
        return rounded_slack(error - loss.epsilon, loss.width) + rounded_slack(-error - loss.epsilon, loss.width)


@_kernels_know
class WideHuber(NamedTuple):
    """Huber's loss with a wider bowl, of the same slopes outside: ``epsilon / width`` times that of epsilon = width."""

    epsilon: float
    width: float

    def value(loss, score, target):
        distance = np.abs(score - target)
        inner = np.minimum(distance, loss.width)
        return inner * (distance - 0.5 * inner) * (loss.epsilon / loss.width)

    def gradient(loss, score, target):
        return np.maximum(np.minimum(score - target, loss.width), -loss.width) * (loss.epsilon / loss.width)

    def curvature(loss, score, target):
        error = score - target
        return choose(np.abs(error) <= loss.width, constant(loss.epsilon / loss.width, error), constant(0.0, error))

    def touching(loss, score, target):
        return loss.epsilon / np.maximum(np.abs(score - target), loss.width)

    def slack(loss, score, target):
        distance, slope = np.abs(score - target), loss.gradient(score, target)
        inner = np.minimum(distance, loss.epsilon)
        narrow = inner * (distance - 0.5 * inner)
        return np.maximum(narrow - loss.value(score, target) - 0.5 * (loss.width / loss.epsilon - 1) * slope * slope, 0)


def smoothed(loss: Any, width: float) -> Any:
    """Return a loss with its kinks rounded off within ``width`` in its score; a loss without any as it is.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> smoothed(make_loss("quantile"), 0.1)
    RoundedQuantile(quantile=0.5, width=0.1)
    >>> smoothed(make_loss("log_loss"), 0.1), smoothed(make_loss("huber", epsilon=2.0), 0.1)
    (LogLoss(), Huber(epsilon=2.0))
    """
    if isinstance(loss, OneVersusRest):
        return OneVersusRest(smoothed(loss.loss, width), loss.outputs)
    if not width > 0:
        return loss
    if isinstance(loss, Hinge):
        return RoundedHinge(width)
    if isinstance(loss, Quantile):
        return RoundedQuantile(loss.quantile, width)
    if isinstance(loss, EpsilonInsensitive):
        return RoundedTube(loss.epsilon, width)
    if isinstance(loss, Huber) and width > loss.epsilon:
        return WideHuber(loss.epsilon, width)
    return loss


def slack(loss: Any, scores: np.ndarray, target: np.ndarray) -> np.ndarray:
    """The duality gap that every row of rounded losses leaves, of shape (n,).

    It is ``l(p) + l*(g) - g p`` of the loss l itself (with conjugate l*) at the score p and the rounded loss's slope g there
    (Fenchel & Young). At the minimum of the rounded losses their slopes are feasible for the dual of the losses themselves, whose
    minimum is therefore at most the mean of the slacks lower than their value there.
    """
    if isinstance(loss, OneVersusRest):
        return slack(loss.loss, scores, 2 * indicators(target, loss.outputs, scores.dtype) - 1).sum(axis=1)
    return loss.slack(scores, target) if hasattr(loss, "slack") else np.zeros_like(scores)


def steepness(loss: Any) -> float:
    """The slope of a loss beyond its kinks, which turns a loss into a distance; 0 for one that has nothing to round off.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> steepness(make_loss("hinge")), steepness(make_loss("huber", epsilon=0.1)), steepness(make_loss("poisson"))
    (1.0, 0.1, 0.0)
    """
    loss = getattr(loss, "loss", loss)
    if isinstance(loss, Huber):
        return loss.epsilon
    return 1.0 if isinstance(loss, (Hinge, Quantile, EpsilonInsensitive)) else 0.0
