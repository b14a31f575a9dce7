"""The losses once more, in plain float64 numpy, written from their definitions and sharing nothing with dsgd.

Each function takes scores and targets and returns the loss of every row and its derivative by the score. Binary targets are
-1 and +1, classes 0 .. k-1.
"""

import numpy as np
from scipy.special import expit, log_softmax, softmax


def log_loss(score, y):
    """log(1 + exp(-y s))."""
    return np.logaddexp(0, -y * score), -y * expit(-y * score)


def squared_hinge(score, y):
    """max(0, 1 - y s)^2."""
    slack = np.maximum(0, 1 - y * score)
    return slack**2, -2 * y * slack


def modified_huber(score, y):
    """max(0, 1 - y s)^2 for y s >= -1, else -4 y s."""
    margin = y * score
    slack = np.maximum(0, 1 - margin)
    linear = margin < -1
    return np.where(linear, -4 * margin, slack**2), np.where(linear, -4 * y, -2 * y * slack)


def squared_error(score, y):
    """(s - y)^2 / 2."""
    error = score - y
    return error**2 / 2, error


def huber(score, y, epsilon=0.1):
    """(s - y)^2 / 2 within epsilon of y, beyond it the tangent."""
    error = score - y
    far = np.abs(error) > epsilon
    value = np.where(far, epsilon * np.abs(error) - epsilon**2 / 2, error**2 / 2)
    return value, np.clip(error, -epsilon, epsilon)


def squared_epsilon_insensitive(score, y, epsilon=0.1):
    """max(0, |s - y| - epsilon)^2."""
    error = score - y
    slack = np.maximum(np.abs(error) - epsilon, 0)
    return slack**2, 2 * slack * np.sign(error)


def epsilon_insensitive(score, y, epsilon=0.1):
    """max(0, |s - y| - epsilon)."""
    error = score - y
    return np.maximum(np.abs(error) - epsilon, 0), np.where(np.abs(error) > epsilon, np.sign(error), 0.0)


def quantile(score, y, quantile=0.5):
    """(1 - quantile) (s - y) where that is positive, else -quantile (s - y)."""
    error = score - y
    return np.maximum((1 - quantile) * error, -quantile * error), np.where(error > 0, 1 - quantile, -quantile)


def hinge(score, y):
    """max(0, 1 - y s)."""
    margin = y * score
    return np.maximum(0, 1 - margin), np.where(margin < 1, -y, 0.0)


def tweedie(score, y, power=1.5):
    """exp((2 - power) s) / (2 - power) - y exp((1 - power) s) / (1 - power)."""
    above, below = np.exp((2 - power) * score), np.exp((1 - power) * score)
    return above / (2 - power) - y * below / (1 - power), above - y * below


def poisson(score, y):
    """exp(s) - y s: half the Poisson deviance, less what does not depend on s."""
    mean = np.exp(score)
    return mean - y * score, mean - y


def gamma(score, y):
    """s + y exp(-s): half the gamma deviance, less what does not depend on s."""
    ratio = y * np.exp(-score)
    return score + ratio, 1 - ratio


def multinomial(score, y):
    """Negative log of the softmax probability of class y; scores (n, k)."""
    rows = np.arange(len(y))
    slope = softmax(score, axis=1)
    slope[rows, y] -= 1
    return -log_softmax(score, axis=1)[rows, y], slope


LOSSES = {
    f.__name__: f
    for f in (
        log_loss,
        hinge,
        squared_hinge,
        modified_huber,
        squared_error,
        huber,
        epsilon_insensitive,
        squared_epsilon_insensitive,
        quantile,
        poisson,
        gamma,
        tweedie,
        multinomial,
    )
}
