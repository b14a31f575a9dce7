"""Second derivatives of rows' losses by their scores, and the curvature that is safe in their place.

In come a loss of one or of several scores, the scores and the targets of n rows; out go vectors of shape (n,).
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from .softmax import OneVersusRest, Softmax


def curvatures(
    loss: Any, scores: np.ndarray, target: np.ndarray, floor: float = 0.0
) -> Iterator[tuple[tuple[int, int], np.ndarray]]:
    """Yield the second derivatives of each row's loss by its scores (a, b), for a <= b, those that are not zero.

    Parameters
    ----------
    loss : a loss of one score, or of k scores
    scores : ndarray of shape (n,), or (n, k)
    target : ndarray of shape (n,)
    floor : float
        Part of :func:`touching_curvature` that each is raised to at least; softmax, whose curvature never vanishes, has none.
    """
    if isinstance(loss, Softmax):
        p = loss.inverse_link(scores)
        for a in range(loss.outputs):
            for b in range(a, loss.outputs):
                yield (a, b), p[:, a] * ((a == b) - p[:, b])
    elif isinstance(loss, OneVersusRest):
        for a in range(loss.outputs):
            sign = np.where(target == a, 1, -1).astype(scores.dtype)
            yield (a, a), _raised(loss.loss, scores[:, a], sign, floor)
    else:
        yield (0, 0), _raised(loss, scores, target, floor)


def _raised(loss: Any, score: np.ndarray, target: np.ndarray, floor: float) -> np.ndarray:
    curvature = loss.curvature(score, target)
    if not floor:
        return curvature
    return np.maximum(curvature, score.dtype.type(floor) * touching_curvature(loss, score, target))


def touching_curvature(loss: Any, score: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Curvature of the parabola that touches a loss of one score and lies above it everywhere.

    No parabola lies above an exponential; there, it is the least curvature by which a row alone would move its score by no more
    than 1, over which an exponential is tame.
    """
    if hasattr(loss, "touching"):
        return loss.touching(score, target)
    curvature = loss.curvature(score, target)
    return np.maximum(curvature, np.abs(loss.gradient(score, target))) if loss.link == "log" else curvature
