"""Sums of weighted outer products of rows, ``sum_i f_i x_i x_i'``: the curvature of a generalised linear objective.

The products are BLAS's, over blocks of rows whose scaled copy stays in the second-level cache, and are added up in float64. With
factors of one sign it is a symmetric product of the rows scaled by ``sqrt(|f|)``, half the arithmetic of a general one.
"""

import numpy as np

BLOCK = 1024


def weighted_gram(features: np.ndarray, factor: np.ndarray) -> np.ndarray:
    """Return ``features' diag(factor) features``.

    Parameters
    ----------
    features : ndarray of shape (n, a), float32 or float64
    factor : ndarray of shape (n,)

    Returns
    -------
    ndarray of shape (a, a), float64

    Examples
    --------
    >>> weighted_gram(np.array([[1.0, 2.0], [0.0, 1.0]]), np.array([4.0, 9.0])).tolist()
    [[4.0, 8.0], [8.0, 25.0]]
    """
    total = np.zeros((features.shape[1],) * 2)
    factor = factor.astype(features.dtype, copy=False)[:, None]
    sign = 1.0 if np.all(factor >= 0) else -1.0 if np.all(factor <= 0) else 0.0
    scale = np.sqrt(np.abs(factor)) if sign else factor
    for start in range(0, len(features), BLOCK):
        block = features[start : start + BLOCK]
        scaled = block * scale[start : start + BLOCK]
        # numpy hands a product of a matrix with its own transpose to BLAS's symmetric routine.
        total += sign * (scaled.T @ scaled) if sign else block.T @ scaled
    return total
