"""Step sizes from the data, for users who give none: a smoothness bound, or the field's scale-free defaults.

A mini-batch of ``b`` rows drawn from many has an expected smoothness of about ``L + L_max / b``, where ``L`` is that of the
objective and ``L_max`` the largest of a single row (Gower et al. 2019, *SGD: general analysis and improved rates*).
"""

from typing import Any

import numpy as np

from ..kernels.rows import Rows
from ..objective.problem import Problem
from ..objective.share import Share

# Rules whose step is a fraction of the inverse smoothness, and that fraction; the others adapt by themselves.
_FRACTIONS = {"sgd": 0.5, "svrg": 0.3, "momentum": 0.05, "nesterov": 0.05}
_SCALE_FREE = {"adagrad": 0.1, "rmsprop": 0.01, "adam": 0.01, "adamw": 0.01, "ftrl": 0.15}
_ROWS = 2048
# Part of the weight whose rows may be larger than what counts as the largest.
_LARGER = 0.01
_POWER_STEPS = 12


def automatic_rate(rule: str, smoothness: float, scale: float = 1.0) -> float:
    """First learning rate of a rule; ``scale`` is a factor (:func:`scale_of_rate`)."""
    return scale * (_SCALE_FREE[rule] if rule in _SCALE_FREE else _FRACTIONS[rule] / smoothness)


def scale_of_rate(rule: str, loss: Any, scale: float) -> float:
    """Factor on a rule's rate where targets have a scale: steps that do not grow with the error must be told how large it is.

    FTRL keeps its own rate: its weights are a function of it, and it must not change from fit to fit.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> scale_of_rate("adagrad", make_loss("squared_error"), 50.0), scale_of_rate("sgd", make_loss("squared_error"), 50.0)
    (50.0, 1.0)
    """
    bounded = rule in _SCALE_FREE or not getattr(loss, "smooth", True)
    return scale if bounded and rule != "ftrl" else 1.0


def needs_smoothness(rule: str) -> bool:
    """Whether the rate of a rule is taken from the smoothness."""
    return rule in _FRACTIONS


def smoothness(problem: Problem, share: Share, batch_rows: int) -> float:
    """Upper estimate of a mini-batch objective's smoothness, from the first rows of this rank; 0 where there are none.

    Rows count by their weights: a heavy one takes as large a step as many. The largest eigenvalue of the second moments is found
    by power iteration. Losses without a bound on their curvature are
    given that of a score of zero.
    """
    matrix, weight = _first_rows(problem, share)
    if not weight.sum() > 0:
        return 0.0
    matrix = matrix * np.sqrt(weight)[:, None]
    vector = np.ones(matrix.shape[1]) / np.sqrt(matrix.shape[1])
    largest = 0.0
    for _ in range(_POWER_STEPS):
        image = matrix.T @ (matrix @ vector) / matrix.shape[0]
        largest = float(np.linalg.norm(image))
        if largest == 0.0:
            break
        vector = image / largest
    worst = _quantile(np.einsum("ij,ij->i", matrix, matrix), weight)
    return _curvature(problem.loss) * (1.1 * largest + worst / batch_rows) + problem.l2


def _curvature(loss) -> float:
    inner = getattr(loss, "loss", loss)
    bound = float(getattr(inner, "curvature_bound", 1.0))
    return bound if np.isfinite(bound) and bound > 0 else 1.0


def _quantile(sizes: np.ndarray, weight: np.ndarray) -> float:
    """The size that all rows but ``_LARGER`` of the weight stay below.

    Examples
    --------
    >>> _quantile(np.array([5.0, 1.0, 2.0]), np.array([1e-3, 1.0, 1.0]))
    2.0
    """
    order = np.argsort(sizes, kind="stable")
    total = np.cumsum(weight[order])
    return float(sizes[order[np.searchsorted(total, (1.0 - _LARGER) * total[-1])]])


def _first_rows(problem: Problem, share: Share) -> tuple[np.ndarray, np.ndarray]:
    """Some rows as a dense matrix of the columns that they use, the intercept included, and their weights."""
    for rows, starts in share.training():
        chosen = (starts[:, None] + np.arange(share.run)).ravel()
        chosen = chosen[chosen < len(rows.label)]
        chosen = np.sort(chosen[:: max(1, len(chosen) // _ROWS)])
        weight = rows.weight[chosen].astype(np.float64) if rows.weight.size else np.ones(len(chosen))
        return _as_matrix(problem, rows, chosen), weight * problem.weight_scale
    return np.zeros((0, 1)), np.zeros(0)


def _as_matrix(problem: Problem, rows: Rows, chosen: np.ndarray) -> np.ndarray:
    dense = rows.dense[chosen].astype(np.float64)
    if problem.frame.scale.size:
        dense = (dense - problem.frame.center) * problem.frame.scale
    parts = [dense, np.ones((len(chosen), 1))]
    if rows.codes.shape[1]:
        used, inverse = np.unique(rows.codes[chosen], return_inverse=True)
        block = np.zeros((len(chosen), min(len(used), 4 * _ROWS)))
        inverse = inverse.reshape(len(chosen), -1)
        for column in inverse.T:
            kept = column < block.shape[1]
            block[np.flatnonzero(kept), column[kept]] = 1.0
        parts.append(block)
    if rows.indptr.size > 1:
        parts.append(_sparse_part(rows, chosen))
    return np.concatenate(parts, axis=1)


def _sparse_part(rows: Rows, chosen: np.ndarray) -> np.ndarray:
    lengths = (rows.indptr[chosen + 1] - rows.indptr[chosen]).astype(int)
    entries = np.concatenate([np.arange(rows.indptr[i], rows.indptr[i + 1]) for i in chosen]).astype(int)
    used, inverse = np.unique(rows.indices[entries], return_inverse=True)
    block = np.zeros((len(chosen), min(len(used), 4 * _ROWS)))
    kept = inverse < block.shape[1]
    block[np.repeat(np.arange(len(chosen)), lengths)[kept], inverse[kept]] = rows.values[entries][kept]
    return block
