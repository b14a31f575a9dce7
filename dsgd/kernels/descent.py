"""Coordinate descent on a quadratic with an l1 term: the inner problem of a Newton step under l1."""

import numpy as np

from .compiling import kept


@kept(nogil=True, error_model="numpy")
def lasso_step(matrix, gradient, weights, l1, sweeps, tolerance):
    """Minimise ``g.s + s.H s / 2 + sum_j l1_j |w_j + s_j|`` over ``s``.

    Parameters
    ----------
    matrix : ndarray of shape (a, a), float64
        ``H``, positive definite.
    gradient, weights, l1 : ndarray of shape (a,), float64
    sweeps : int
        At most so many passes over the coordinates.
    tolerance : float
        Stop when no coordinate moved by more than this times the largest weight.

    Returns
    -------
    ndarray of shape (a,)
        The step ``s``. See Friedman, Hastie & Tibshirani (2010), *Regularization paths ... via coordinate descent*.
    """
    size = gradient.size
    step = np.zeros(size)
    slope = gradient.copy()
    for _ in range(sweeps):
        moved = 0.0
        largest = 1e-12
        for j in range(size):
            h = matrix[j, j]
            if h <= 0.0:
                continue
            old = weights[j] + step[j]
            target = old - slope[j] / h
            shrink = l1[j] / h
            new = 0.0
            if target > shrink:
                new = target - shrink
            elif target < -shrink:
                new = target + shrink
            change = new - old
            largest = max(largest, abs(new))
            if change != 0.0:
                step[j] += change
                moved = max(moved, abs(change))
                for i in range(size):
                    slope[i] += matrix[j, i] * change
        if moved <= tolerance * largest:
            break
    return step
