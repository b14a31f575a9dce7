"""What becomes of changes that several workers have made from the same weights, each without the others'.

Added up, changes that go the same way go it twice: with large steps that diverges. So of two changes the part in which they agree
counts once, as a mean, and what is orthogonal is added (Adasum: Maleki et al., "Scaling distributed training with adaptive
summation", MLSys 2021).
"""

import numpy as np

# Neighbouring numbers that are looked at together: weights are numbered as they are met, so these are about equally common, and
# what is common agrees far more than what is rare.
_TOGETHER = 16


def merged(own: np.ndarray, others: np.ndarray) -> np.ndarray:
    """What to add to weights that already have the ``others``' changes, so that they have both.

    With ``a`` for own and ``b`` for the others', both of the same weights, the two together are
    ``(1 - a b / 2 a a) a + (1 - a b / 2 b b) b``, where ``a b > 0``; otherwise ``a + b``; for each stretch of 16 numbers.

    Parameters
    ----------
    own, others : ndarray of shape (m,)
        Changes since the weights that ``own`` began with.

    Returns
    -------
    ndarray of shape (m,)

    Examples
    --------
    Changes that are alike count once; where one goes further, that one; orthogonal ones add up:

    >>> merged(np.array([2.0, 0.0]), np.array([2.0, 0.0])).tolist(), merged(np.array([1.0]), np.array([3.0])).tolist()
    ([0.0, 0.0], [0.0])
    >>> merged(np.array([2.0, 0.0]), np.array([0.0, 3.0])).tolist()
    [2.0, 0.0]
    """
    head = len(own) // _TOGETHER * _TOGETHER
    result = np.empty_like(own)
    for part in (slice(head), slice(head, None)):
        width = _TOGETHER if part.start is None else max(1, len(own) - head)
        a, b = own[part].reshape(-1, width), others[part].reshape(-1, width)
        both = np.einsum("ij,ij->i", a, b)
        mine, theirs = _parts(both, a), _parts(both, b)
        result[part] = ((1 - 0.5 * mine) * a - 0.5 * theirs * b).ravel()
    return result


def _parts(both: np.ndarray, change: np.ndarray) -> np.ndarray:
    """The part of each stretch's change in which the other agrees: at most all of it, where the other goes further."""
    squares = np.einsum("ij,ij->i", change, change)
    agree = both > 0
    parts = np.divide(both, squares, where=agree & (both < squares), out=agree.astype(change.dtype))
    return parts[:, None]
