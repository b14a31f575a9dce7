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
    """What is a lane's own: ``low`` and ``high`` (m,), int64, and ``factor`` (c, m), the weight of each class's rows.

    ``c`` is 1 for regression. ``any_left_out`` says whether a range is not empty. ``own``, of shape (2, m), is a buffer of the
    factors' dtype: the weights of a row, and sums of losses over a run.
    """

    low: Any
    high: Any
    factor: Any
    any_left_out: Any
    own: Any


@helper
def _weigh(lanes, number, group, weight):
    """Write what a row weighs in each lane to ``lanes.own[0]``."""
    own, factor = lanes.own[0], lanes.factor[group]
    zero = own.dtype.type(0)
    for lane in range(own.size):
        own[lane] = weight * factor[lane]
    if lanes.any_left_out:
        low, high = lanes.low, lanes.high
        for lane in range(own.size):
            own[lane] = zero if low[lane] <= number and number < high[lane] else own[lane]


@helper
def _slopes_single(loss, own, sums, scores, slopes, target):
    for lane in range(own.size):
        score = scores[lane]
        sums[lane] += own[lane] * loss_value(loss, score, target)
        slopes[lane] = own[lane] * loss_gradient(loss, score, target)


@helper
def _slopes_several(loss, own, sums, scores, slopes, target):
    k = scores.size // own.size
    for lane in range(own.size):
        part = slopes[lane * k : lane * k + k]
        sums[lane] += own[lane] * row_residual(loss, scores[lane * k : lane * k + k], target, part)
        for c in range(k):
            part[c] *= own[lane]


@helper
def _group_of(target, groups, signs):
    """Number of the class of a row, by which lanes weigh it; ``signs`` says that targets are -1 and +1."""
    if groups == 1:
        return 0
    if signs:
        return 1 if target > 0 else 0
    return int(target)


@compiled
def sweep_gradient(single, several, lanes, rows, frame, starts, begin, end, run, place, params, grad, sums, scratch):
    """Add to ``grad`` every lane's gradient sum by raw columns of runs ``begin`` to ``end``, and to ``sums`` its losses.

    Parameters
    ----------
    single, several : a loss of one score, or one of k; the other is None
    lanes : Lanes
    place : uint64
        The block's own number; see :func:`dsgd.kernels.places.place_number`.
    params, grad : ndarray of shape ((d + 1) m k,)
    sums : ndarray of shape (m,), float64
    scratch : Scratch
        For m k outputs.
    """
    scores, slopes = scratch.scores, scratch.slopes
    own, run_sums = lanes.own[0], lanes.own[1]
    fold_multi(frame, params, scores.shape[1], scratch.folded)
    groups, outputs = lanes.factor.shape[0], scores.shape[1] // own.size
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run_multi(rows, codes, start, stop, scratch.folded, params, scores)
        for lane in range(own.size):
            run_sums[lane] = 0
        for i in range(stop - start):
            target = rows.label[start + i]
            weight = rows.weight[start + i] if rows.weight.size else params.dtype.type(1)
            number = place_number(place, start + i) if lanes.any_left_out else 0
            _weigh(lanes, number, _group_of(target, groups, outputs == 1), weight)
            if several is not None:
                _slopes_several(several, own, run_sums, scores[i], slopes[i], target)
            if single is not None:
                _slopes_single(single, own, run_sums, scores[i], slopes[i], target)
        for lane in range(own.size):
            sums[lane] += run_sums[lane]
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
