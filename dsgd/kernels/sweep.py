"""Sums over rows for many lanes at once: lanes are sets of k outputs that share the features, each with row weights of its own.

The weights are a matrix of shape (d + 1, m k), flat, lane after lane within a feature: one touch of a feature, or one product of
a run of rows, serves all lanes (see :mod:`dsgd.kernels.multi_rows`). A lane leaves out the rows whose number
(:mod:`dsgd.kernels.places`) is in its range ``low <= number < high``, and weighs the others by their class.
"""

from typing import Any, NamedTuple

from .compiling import compiled, helper
from .multi_rows import fold_multi, pull_back_run_multi, scores_of_run_multi
from .places import place_number
from .protocols import loss_gradient, loss_value, row_residual
from .rows import codes_of


class Lanes(NamedTuple):
    """What is a lane's own: ``low`` and ``high`` (m,), int64, and ``factor`` (m, c), the weight of each class's rows.

    ``c`` is 1 for regression. ``any_left_out`` says whether a range is not empty.
    """

    low: Any
    high: Any
    factor: Any
    any_left_out: Any


@helper
def _weigh_single(loss, lanes, number, group, score_row, slope_row, target, weight, sums):
    for lane in range(lanes.low.size):
        own = weight * lanes.factor[lane, group]
        if lanes.any_left_out and lanes.low[lane] <= number and number < lanes.high[lane]:
            own = weight * 0
        score = score_row[lane]
        sums[lane] += own * loss_value(loss, score, target)
        slope_row[lane] = own * loss_gradient(loss, score, target)


@helper
def _weigh_several(loss, lanes, number, group, score_row, slope_row, target, weight, sums):
    k = score_row.size // lanes.low.size
    for lane in range(lanes.low.size):
        own = weight * lanes.factor[lane, group]
        if lanes.any_left_out and lanes.low[lane] <= number and number < lanes.high[lane]:
            own = weight * 0
        slopes = slope_row[lane * k : lane * k + k]
        sums[lane] += own * row_residual(loss, score_row[lane * k : lane * k + k], target, slopes)
        for c in range(k):
            slopes[c] *= own


@helper
def group_of(target, groups, single):
    """Number of the class of a row, by which lanes weigh it."""
    if groups == 1:
        return 0
    if single:
        return 1 if target > 0 else 0
    return int(target)


@compiled
def sweep_gradient(loss, single, lanes, rows, frame, starts, begin, end, run, place, params, grad, sums, scratch):
    """Add to ``grad`` every lane's gradient sum by raw columns of runs ``begin`` to ``end``, and to ``sums`` its losses.

    Parameters
    ----------
    single : None, or anything else
        Whether a lane has one output, in which case it is None: then ``loss`` is one of a score.
    lanes : Lanes
    place : uint64
        The block's own number; see :func:`dsgd.kernels.places.place_number`.
    params, grad : ndarray of shape ((d + 1) m k,)
    sums : ndarray of shape (m,), float64
    scratch : Scratch
        For m k outputs.
    """
    scores, slopes = scratch.scores, scratch.slopes
    fold_multi(frame, params, scores.shape[1], scratch.folded)
    groups = lanes.factor.shape[1]
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run_multi(rows, codes, start, stop, scratch.folded, params, scores)
        for i in range(stop - start):
            target = rows.label[start + i]
            weight = params.dtype.type(1)
            if rows.weight.size:
                weight = rows.weight[start + i]
            number = place_number(place, start + i) if lanes.any_left_out else 0
            group = group_of(target, groups, single is None)
            if single is None:
                _weigh_single(loss, lanes, number, group, scores[i], slopes[i], target, weight, sums)
            else:
                _weigh_several(loss, lanes, number, group, scores[i], slopes[i], target, weight, sums)
        pull_back_run_multi(rows, codes, start, stop, slopes, scratch.product, grad)


@compiled
def sweep_scores(rows, frame, start, stop, run, params, out, scratch):
    """Write the scores of rows ``start`` to ``stop`` to ``out``, of shape (stop - start, m k)."""
    scores = scratch.scores
    fold_multi(frame, params, scores.shape[1], scratch.folded)
    for first in range(start, stop, run):
        last = min(first + run, stop)
        codes = codes_of(rows, frame, first, last, scratch.codes)
        scores_of_run_multi(rows, codes, first, last, scratch.folded, params, scores)
        for i in range(last - first):
            for c in range(scores.shape[1]):
                out[first - start + i, c] = scores[i, c]
