"""Losses of k scores a row, for a target that is a class number 0 .. k-1: softmax, and one loss a class.

The row functions take one row and run compiled or in Python; the functions on matrices are vectorised numpy, for
reports and as the reference of the row functions. Source: Bishop, *Pattern Recognition and Machine Learning*, 4.3.4.
"""
# ruff: noqa: N805

from typing import Any, NamedTuple

import numpy as np
from numba.extending import register_jitable
from scipy.special import logsumexp, softmax

from ..kernels.protocols import loss_gradient, loss_value, register_row_loss
from .formulas import exp_of_negative
from .registry import distinct


def describe(**meaning):
    """Class decorator: register a loss over several scores, with the attributes that :class:`dsgd.losses.Loss` has.

    ``curvature_bound`` is of the largest eigenvalue of the second derivatives by a row's scores.
    """

    def decorate(cls):
        for name, value in {"task": "multiclass", "domain": "class", **meaning}.items():
            setattr(cls, name, value)
        return register_row_loss(distinct(cls))

    return decorate


@register_jitable
def _largest(scores):
    largest = scores[0]
    for j in range(1, scores.shape[0]):
        largest = max(largest, scores[j])
    return largest


@register_jitable
def softmax_value(scores, target):
    """Multinomial log-loss of one row: log(sum of exp(p_j)) - p_target.

    Parameters
    ----------
    scores : ndarray of shape (k,)
    target : int or float
        Class number.

    Returns
    -------
    float
    """
    largest = _largest(scores)
    total = 0.0
    for j in range(scores.shape[0]):
        total += exp_of_negative(scores[j] - largest)
    return np.log(total) + (largest - scores[int(target)])


@register_jitable
def softmax_residual(scores, target, residual):
    """Write the probabilities, less 1 at the target, to ``residual`` of shape (k,); return the row's loss.

    ``residual`` may be ``scores`` itself.
    """
    largest = _largest(scores)
    margin = largest - scores[int(target)]
    total = 0.0
    for j in range(scores.shape[0]):
        odds = exp_of_negative(scores[j] - largest)
        residual[j] = odds
        total += odds
    for j in range(residual.shape[0]):
        residual[j] /= total
    residual[int(target)] -= 1
    return np.log(total) + margin


@register_jitable
def ovr_residual(loss, scores, target, residual):
    """One-versus-rest: sum of ``loss`` over the k scores, with target +1 for the row's class and -1 for the others.

    Writes the derivative by each score to ``residual`` of shape (k,), which may be ``scores`` itself.
    """
    total = 0.0
    for j in range(scores.shape[0]):
        sign = 1.0 if j == int(target) else -1.0
        score = scores[j]
        total += loss_value(loss, score, sign)
        residual[j] = loss_gradient(loss, score, sign)
    return total


@describe(name="softmax", probabilities=True, smooth=True, curvature_bound=0.5)
class Softmax(NamedTuple):
    """Multinomial logistic regression over ``outputs`` classes.

    Examples
    --------
    >>> import numpy as np
    >>> Softmax(3).value(np.zeros((1, 3)), np.array([2])).round(4)
    array([1.0986])
    """

    outputs: int

    def value(loss, scores, target):
        """Loss of every row; scores of shape (n, k), target of shape (n,)."""
        own = np.take_along_axis(scores, np.asarray(target).astype(np.intp)[:, None], axis=1)
        return logsumexp(scores - own, axis=1)  # subtracting first keeps small losses of large scores

    def residual(loss, scores, target, residual):
        return softmax_residual(scores, target, residual)

    def residuals(loss, scores, target):
        """Derivatives by every score, of shape (n, k)."""
        return softmax(scores, axis=1) - indicators(target, loss.outputs, scores.dtype)

    def inverse_link(loss, scores):
        """Probabilities, of shape (n, k)."""
        return softmax(scores, axis=1)


@describe(
    name="one_versus_rest",
    probabilities=property(lambda loss: loss.loss.probabilities),
    smooth=property(lambda loss: loss.loss.smooth),
    curvature_bound=property(lambda loss: loss.loss.curvature_bound),
)
class OneVersusRest(NamedTuple):
    """A binary loss for each of ``outputs`` classes against the others.

    Probabilities, where ``loss`` has them, are each class's own, scaled to add up to 1 (uniform when all are 0).
    """

    loss: Any
    outputs: int

    def value(loss, scores, target):
        """Loss of every row; scores of shape (n, k), target of shape (n,)."""
        return loss.loss.value(scores, 2 * indicators(target, loss.outputs, scores.dtype) - 1).sum(axis=1)

    def residual(loss, scores, target, residual):
        return ovr_residual(loss.loss, scores, target, residual)

    def residuals(loss, scores, target):
        """Derivatives by every score, of shape (n, k)."""
        return loss.loss.gradient(scores, 2 * indicators(target, loss.outputs, scores.dtype) - 1)

    def inverse_link(loss, scores):
        """Probabilities, of shape (n, k); the scores themselves for a loss without probabilities."""
        own = loss.loss.inverse_link(scores)
        if not loss.loss.probabilities:
            return own
        total = own.sum(axis=1, keepdims=True)
        return np.where(total > 0, own, 1 / loss.outputs) / np.where(total > 0, total, 1)


def indicators(target, outputs, dtype=np.float64):
    """Matrix of shape (n, k) with 1 at each row's class and 0 elsewhere."""
    return (np.asarray(target)[:, None] == np.arange(outputs)).astype(dtype)
