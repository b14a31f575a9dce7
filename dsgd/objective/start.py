"""Where a fit of a regression begins: the best model without features, which knows how far from zero the targets are."""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..kernels.rows import Rows
from ..losses.formulas import exponential

TOTALS = 5


def totals(target: np.ndarray, weight: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Weighted sums that add up over rows: weight, target, exp(offset), target - offset, and its square; float64."""
    weight, target, offset = (column.astype(np.float64) for column in (weight, target, offset))
    error = target - offset
    exposure = exponential(offset)
    return np.array([weight.sum(), weight @ target, weight @ exposure, weight @ error, weight @ (error * error)])


def totals_of_rows(parts: Iterable[tuple[Rows, np.ndarray]], run: int) -> np.ndarray:
    """The totals of the rows of some runs; see :meth:`dsgd.objective.share.Share.training`."""
    sums = np.zeros(TOTALS)
    for rows, starts in parts:
        chosen = (starts[:, None] + np.arange(run)).ravel()
        chosen = chosen[chosen < len(rows.label)]
        weight = rows.weight[chosen] if rows.weight.size else np.ones(len(chosen))
        offset = rows.offset[chosen] if rows.offset.size else np.zeros(len(chosen))
        sums += totals(rows.label[chosen], weight, offset)
    return sums


def null_intercept(loss: Any, sums: np.ndarray) -> float:
    """The intercept of a regression without features, by least squares or likelihood; 0 for other tasks.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> sums = totals(np.array([6.0, 8.0]), np.ones(2), np.zeros(2))
    >>> null_intercept(make_loss("huber"), sums), round(null_intercept(make_loss("poisson"), sums), 4)
    (7.0, 1.9459)
    """
    weight, target, exposure, error, _ = sums.tolist()
    if getattr(loss, "task", "") != "regression" or not weight > 0:
        return 0.0
    if loss.link == "log":
        return float(np.log(target / exposure)) if target > 0 and exposure > 0 else 0.0
    return error / weight


def target_scale(loss: Any, sums: np.ndarray) -> float:
    """The spread of a regression's targets, in units of the score; 1 where scores have a scale of their own.

    Examples
    --------
    >>> from dsgd.losses import make_loss
    >>> sums = totals(np.array([6.0, 8.0]), np.ones(2), np.zeros(2))
    >>> target_scale(make_loss("quantile"), sums), target_scale(make_loss("poisson"), sums)
    (1.0, 1.0)
    """
    weight, _, _, error, square = sums.tolist()
    if getattr(loss, "task", "") != "regression" or loss.link != "identity" or not weight > 0:
        return 1.0
    mean = error / weight
    variance = square / weight - mean * mean
    return float(np.sqrt(variance)) if variance > 1e-14 * square / weight else 1.0
