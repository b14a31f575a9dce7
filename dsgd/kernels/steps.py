"""The compiled training loops of a linear model with one output, in mini-batches.

``batch_gradient`` is the gradient sum of one mini-batch; ``local_steps`` takes whole optimiser steps over a block without
coming back to Python. Both take the rows in runs (see :mod:`dsgd.kernels.rows`).

``params`` is the flat vector of ``d`` weights and the intercept; ``grad`` has the same shape, and is zero between steps.
``first`` and ``second`` are the rule's state, of the same shape, or None. ``last[j]`` is the step, counted from ``base``, up
to which weight ``j`` has had its penalty; it is None when there is no penalty or when every step updates all weights.
``clock[t]`` is the sum of the rates of the first ``t`` steps after ``base``, or None when the rate is constant.
"""

from typing import Any, NamedTuple

import numpy as np

from .compiling import compiled, helper
from .coordinates import ask_for_coordinate, settle_coordinate, step_coordinate
from .prefetch import FAR
from .protocols import loss_gradient, loss_value, schedule_rate
from .rows import codes_of, fetch_run, fold, pull_back_run, scores_of_run, unfold


class Scratch(NamedTuple):
    """Buffers of one thread: (run, c + m) int32, (run,), (run,), (p,) and (p,).

    For k outputs: (run, k), (run, k), (p + 1, k), (p + 1, k), and ``product`` (p, k). ``lanes`` is for the
    coordinates of one row; see :mod:`dsgd.kernels.online`.
    """

    codes: Any
    scores: Any
    slopes: Any
    folded: Any
    anchored: Any
    product: Any = None
    lanes: Any = None


class Penalty(NamedTuple):
    """Strengths of ``l1 |w| + l2/2 w^2``, and whether the intercept is trained at all."""

    l1: Any
    l2: Any
    intercept: Any


@helper
def slopes_of_run(loss, label, weights, start, stop, weight_scale, scores, slopes):
    """Write weight x derivative to ``slopes``; return the sum of weight x loss."""
    n = stop - start
    total = slopes.dtype.type(0)
    if weights.size:
        for i in range(n):
            target = label[start + i]
            weight = weight_scale * weights[start + i]
            total += weight * loss_value(loss, scores[i], target)
            slopes[i] = weight * loss_gradient(loss, scores[i], target)
        return np.float64(total)
    for i in range(n):
        target = label[start + i]
        total += loss_value(loss, scores[i], target)
        slopes[i] = weight_scale * loss_gradient(loss, scores[i], target)
    return np.float64(total * weight_scale)


@compiled
def batch_gradient(loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch):
    """Add to ``grad`` the gradient sum by raw columns of runs ``begin`` to ``end``.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss.
    count : int
        Number of rows.
    """
    scores, slopes, folded = scratch.scores, scratch.slopes, scratch.folded
    dense, indptr, indices, values = rows.dense, rows.indptr, rows.indices, rows.values
    label, weights, offset = rows.label, rows.weight, rows.offset
    intercept = fold(frame, params, dense.shape[1], folded)
    loss_sum = 0.0
    count = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run(dense, codes, indptr, indices, values, offset, start, stop, folded, intercept, params, scores)
        # Processors see by themselves that rows follow each other.
        if r + 1 < end and dense.shape[1] and starts[r + 1] != stop:
            fetch_run(dense, starts[r + 1], starts[r + 1] + run)
        loss_sum += slopes_of_run(loss, label, weights, start, stop, weight_scale, scores, slopes)
        pull_back_run(dense, codes, indptr, indices, values, start, stop, slopes, grad)
        count += stop - start
    return loss_sum, count


@compiled
def anchored_gradient(loss, rows, frame, starts, begin, end, run, params, anchor, weight_scale, grad, scratch):
    """As ``batch_gradient``, of the difference of the gradients at ``params`` and at ``anchor`` (Johnson & Zhang 2013)."""
    scores, slopes, folded, anchored = scratch.scores, scratch.slopes, scratch.folded, scratch.anchored
    dense, indptr, indices, values = rows.dense, rows.indptr, rows.indices, rows.values
    label, weights, offset = rows.label, rows.weight, rows.offset
    intercept = fold(frame, params, dense.shape[1], folded)
    at_anchor = fold(frame, anchor, dense.shape[1], anchored)
    loss_sum = 0.0
    count = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run(dense, codes, indptr, indices, values, offset, start, stop, anchored, at_anchor, anchor, slopes)
        scores_of_run(dense, codes, indptr, indices, values, offset, start, stop, folded, intercept, params, scores)
        for i in range(stop - start):
            target = label[start + i]
            weight = weight_scale
            if weights.size:
                weight *= weights[start + i]
            loss_sum += weight * loss_value(loss, scores[i], target)
            before = loss_gradient(loss, slopes[i], target)
            slopes[i] = weight * (loss_gradient(loss, scores[i], target) - before)
        pull_back_run(dense, codes, indptr, indices, values, start, stop, slopes, grad)
        count += stop - start
    return loss_sum, count


@compiled
def settle_touched(
    rule, penalty, rows, frame, starts, begin, end, run, params, first, second, last, clock, rate, step, base, scratch
):
    """Bring the penalty of every weight that runs ``begin`` to ``end`` use up to ``step``."""
    l1, l2 = penalty.l1, penalty.l2
    indptr, indices = rows.indptr, rows.indices
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                j = codes[i, q]
                settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, l1, l2)
                last[j] = step - base
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                if e + FAR < indptr[stop]:
                    ask_for_coordinate(np.intp(indices[e + FAR]), last, params, first, second)
                j = indices[e]
                settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, l1, l2)
                last[j] = step - base


@helper
def update_touched(
    rule, penalty, rows, frame, starts, begin, end, run, params, first, second, last, grad, factor, rate, step, base,
    scratch,
):  # fmt: skip
    """Step the weights whose gradient the runs made non-zero, each once, and clear their gradient."""
    l1, l2 = penalty.l1, penalty.l2
    indptr, indices = rows.indptr, rows.indices
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                j = codes[i, q]
                if grad[j] != 0:
                    step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, l1, l2)
                    grad[j] = 0
                    if last is not None:
                        last[j] = step - base
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                if e + FAR < indptr[stop]:
                    ask_for_coordinate(np.intp(indices[e + FAR]), grad, params, first, second)
                j = indices[e]
                if grad[j] != 0:
                    step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, l1, l2)
                    grad[j] = 0
                    if last is not None:
                        last[j] = step - base


@compiled
def local_steps(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, run, params, first, second, last, clock, step, base,
    sparse, weight_scale, grad, average, averaged, scratch,
):  # fmt: skip
    """Take one optimiser step for each mini-batch; batch ``s`` is the runs ``bounds[s]`` to ``bounds[s + 1]``.

    Parameters
    ----------
    step : int
        Steps taken since the start of training; the schedule and the rules count with it.
    base : int
        Value of ``step`` at the origin of ``last`` and ``clock``.
    sparse : bool
        Update the dense part and the touched weights only; otherwise all.
    average : ndarray of shape (d + 1,) or None
        Running mean of the iterates, of which it holds ``averaged`` before the call; None for no averaging.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row at the weights of its step (the progressive loss).
    step, averaged : int
        The counts after the call.
    """
    kind = params.dtype.type
    zero = kind(0)
    width = rows.dense.shape[1]
    size = params.size - 1
    l1, l2 = penalty.l1, penalty.l2
    end = width if sparse else size
    loss_sum = 0.0
    for s in range(bounds.size - 1):
        a = bounds[s]
        z = bounds[s + 1]
        rate = kind(schedule_rate(schedule, step))
        if last is not None:
            settle_touched(
                rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, clock, rate, step, base, scratch
            )  # fmt: skip
        part, count = batch_gradient(loss, rows, frame, starts, a, z, run, params, weight_scale, grad, scratch)
        loss_sum += part
        unfold(frame, grad, width)
        factor = kind(1.0 / max(count, 1))
        step += 1
        for j in range(end):
            step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, l1, l2)
            grad[j] = 0
        if penalty.intercept:
            step_coordinate(rule, params, first, second, size, grad[size] * factor, rate, step, zero, zero)
        grad[size] = 0
        if sparse:
            update_touched(
                rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, grad, factor, rate, step, base,
                scratch,
            )  # fmt: skip
        if average is not None:
            averaged += 1
            share = kind(1.0 / averaged)
            for j in range(size + 1):
                average[j] += (params[j] - average[j]) * share
    return loss_sum, step, averaged
