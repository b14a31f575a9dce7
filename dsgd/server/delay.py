"""Delay compensation: a stale gradient is corrected for what the weights have done since it was computed.

Zheng et al., "Asynchronous stochastic gradient descent with delay compensation" (ICML 2017), the variant whose strength adapts to
the mean square of the gradients.
"""

import numpy as np

# The part of the old mean of squares that stays, and what keeps a division from zero.
KEPT, TINY = 0.95, 1e-7


class DelayCompensation:
    """Corrects gradients of a range of weights.

    Parameters
    ----------
    strength : float
        ``lambda_0``.
    params : ndarray
        The weights, in whose shape the mean of squares is kept.

    Attributes
    ----------
    squares : ndarray
        The running mean ``m`` of the gradients' squares, at each weight over the pushes that touched it.

    Examples
    --------
    >>> params = np.array([1.0])
    >>> correct = DelayCompensation(1.0, params)
    >>> correct(np.array([2.0]), slice(None), params, pulled=np.array([1.0])).tolist()  # nothing has changed since
    [2.0]
    """

    def __init__(self, strength: float, params: np.ndarray):
        self._strength, self._tiny = params.dtype.type(strength), params.dtype.type(TINY)
        self.squares = np.zeros_like(params)

    def __call__(self, gradient: np.ndarray, places, params: np.ndarray, pulled: np.ndarray) -> np.ndarray:
        """``g + lambda g^2 (w - w_pulled)`` with ``lambda = lambda_0 / sqrt(m)``: what the gradient would be now."""
        squares = self.squares[places] * KEPT + (1 - KEPT) * gradient * gradient
        self.squares[places] = squares
        strength = self._strength / np.sqrt(squares + self._tiny)
        return (gradient + strength * gradient * gradient * (params[places] - pulled[places])).astype(params.dtype)
