"""The compiled training loops of a linear model with one output.

``batch_gradient`` is the gradient sum of one mini-batch; ``local_steps`` takes whole optimiser steps over a block without
coming back to Python; ``online_pass`` is the limit of one row a step, fused: score, slope and update in one go over the
row's non-zeros. All of them take the rows in runs (see :mod:`dsgd.kernels.rows`).

``params`` is the flat vector of ``d`` weights and the intercept; ``grad`` has the same shape; ``state`` is (2, d + 1) or
(1, d + 1) or (0, d + 1), whatever the rule uses. ``last[j]`` is the step up to which coordinate ``j`` has had its penalty;
it is empty when there is no penalty or when every step updates all coordinates. ``clock[t]`` is the sum of the rates of
the first ``t`` steps.
"""

from typing import Any, NamedTuple

import numpy as np

from .protocols import loss_gradient, loss_value, rule_settle, rule_update, schedule_rate
from .rows import codes_of, compiled, fold, pull_back_run, scores_of_run, unfold


class Scratch(NamedTuple):
    """Buffers of one thread: (run, c + m) int32, (run,), (run,), (p,) and (p,)."""

    codes: Any
    scores: Any
    slopes: Any
    folded: Any
    anchored: Any


class Penalty(NamedTuple):
    """Strengths of ``l1 |w| + l2/2 w^2``, and whether the intercept is trained at all."""

    l1: Any
    l2: Any
    intercept: Any


@compiled
def slopes_of_run(loss, rows, start, stop, scores, weight_scale, slopes):
    """Write weight x derivative to ``slopes``; return the sum of weight x loss."""
    total = 0.0
    one = weight_scale
    for i in range(stop - start):
        target = rows.label[start + i]
        weight = one
        if rows.weight.size:
            weight = rows.weight[start + i] * weight_scale
        total += weight * loss_value(loss, scores[i], target)
        slopes[i] = weight * loss_gradient(loss, scores[i], target)
    return total


@compiled
def batch_gradient(loss, rows, frame, starts, first, last, run, params, weight_scale, grad, scratch):
    """Add to ``grad`` the gradient sum by raw columns of runs ``first`` to ``last``.

    Returns
    -------
    loss_sum, count : float
        Sum of weight x loss, and number of rows.
    """
    width = rows.dense.shape[1]
    intercept = fold(frame, params, width, scratch.folded)
    loss_sum = 0.0
    count = 0
    for r in range(first, last):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run(rows, codes, start, stop, scratch.folded, intercept, params, scratch.scores)
        loss_sum += slopes_of_run(loss, rows, start, stop, scratch.scores, weight_scale, scratch.slopes)
        pull_back_run(rows, codes, start, stop, scratch.slopes, grad)
        count += stop - start
    return loss_sum, count


@compiled
def anchored_gradient(loss, rows, frame, starts, first, last, run, params, anchor, weight_scale, grad, scratch):
    """As ``batch_gradient``, of the difference between the gradients at ``params`` and at ``anchor`` (Johnson & Zhang 2013)."""
    width = rows.dense.shape[1]
    intercept = fold(frame, params, width, scratch.folded)
    anchor_intercept = fold(frame, anchor, width, scratch.anchored)
    loss_sum = 0.0
    count = 0
    for r in range(first, last):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run(rows, codes, start, stop, scratch.anchored, anchor_intercept, anchor, scratch.slopes)
        scores_of_run(rows, codes, start, stop, scratch.folded, intercept, params, scratch.scores)
        for i in range(stop - start):
            target = rows.label[start + i]
            weight = weight_scale
            if rows.weight.size:
                weight = rows.weight[start + i] * weight_scale
            loss_sum += weight * loss_value(loss, scratch.scores[i], target)
            at_anchor = loss_gradient(loss, scratch.slopes[i], target)
            scratch.slopes[i] = weight * (loss_gradient(loss, scratch.scores[i], target) - at_anchor)
        pull_back_run(rows, codes, start, stop, scratch.slopes, grad)
        count += stop - start
    return loss_sum, count


@compiled
def update_coordinate(rule, params, state, j, gradient, rate, step, l1, l2):
    """One step of coordinate ``j``."""
    zero = params.dtype.type(0)
    if state.shape[0] == 0:
        params[j] = rule_update(rule, params[j], zero, zero, gradient, rate, step, l1, l2)[0]
    elif state.shape[0] == 1:
        params[j], state[0, j], _ = rule_update(rule, params[j], state[0, j], zero, gradient, rate, step, l1, l2)
    else:
        params[j], state[0, j], state[1, j] = rule_update(
            rule, params[j], state[0, j], state[1, j], gradient, rate, step, l1, l2
        )


@compiled
def settle_coordinate(rule, params, state, last, clock, j, step, base, l1, l2):
    """Bring the penalty of coordinate ``j`` up to ``step``."""
    now = step - base
    if last[j] == now:
        return
    zero = params.dtype.type(0)
    time = params.dtype.type(clock[now] - clock[last[j]])
    last[j] = now
    if state.shape[0] == 0:
        params[j] = rule_settle(rule, params[j], zero, zero, time, step, l1, l2)
    elif state.shape[0] == 1:
        params[j] = rule_settle(rule, params[j], state[0, j], zero, time, step, l1, l2)
    else:
        params[j] = rule_settle(rule, params[j], state[0, j], state[1, j], time, step, l1, l2)


@compiled
def settle_all(rule, params, state, last, clock, first, step, base, penalty):
    """Bring the penalty of weights ``first`` to the last up to ``step``, and start counting at zero again."""
    for j in range(first, last.size):
        settle_coordinate(rule, params, state, last, clock, j, step, base, penalty.l1, penalty.l2)
        last[j] = 0


@compiled
def update_range(rule, params, state, grad, start, stop, factor, rate, step, l1, l2):
    """Step coordinates ``start`` to ``stop`` with ``factor * grad``, and clear ``grad`` there."""
    for j in range(start, stop):
        update_coordinate(rule, params, state, j, grad[j] * factor, rate, step, l1, l2)
        grad[j] = 0


@compiled
def update_intercept(rule, params, state, grad, factor, rate, step, penalty):
    """Step the intercept, which has no penalty, if it is trained; clear its gradient."""
    j = params.size - 1
    zero = params.dtype.type(0)
    if penalty.intercept:
        update_coordinate(rule, params, state, j, grad[j] * factor, rate, step, zero, zero)
    grad[j] = 0


@compiled
def settle_touched(
    rule, rows, frame, starts, first, last_run, run, params, state, last, clock, step, base, penalty, scratch
):
    """Bring the penalty of all weights that runs ``first`` to ``last_run`` use up to ``step``."""
    for r in range(first, last_run):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(codes.shape[0]):
            for j in range(codes.shape[1]):
                settle_coordinate(rule, params, state, last, clock, codes[i, j], step, base, penalty.l1, penalty.l2)
        if rows.indptr.size > 1:
            for e in range(rows.indptr[start], rows.indptr[stop]):
                settle_coordinate(rule, params, state, last, clock, rows.indices[e], step, base, penalty.l1, penalty.l2)


@compiled
def update_touched(
    rule,
    rows,
    frame,
    starts,
    first,
    last_run,
    run,
    params,
    state,
    last,
    grad,
    factor,
    rate,
    step,
    base,
    penalty,
    scratch,
):
    """Step the weights whose gradient the runs made non-zero, each once, and clear their gradient."""
    for r in range(first, last_run):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                j = codes[i, q]
                if grad[j] != 0:
                    update_coordinate(rule, params, state, j, grad[j] * factor, rate, step, penalty.l1, penalty.l2)
                    grad[j] = 0
                    if last.size:
                        last[j] = step - base
        if rows.indptr.size > 1:
            for e in range(rows.indptr[start], rows.indptr[stop]):
                j = rows.indices[e]
                if grad[j] != 0:
                    update_coordinate(rule, params, state, j, grad[j] * factor, rate, step, penalty.l1, penalty.l2)
                    grad[j] = 0
                    if last.size:
                        last[j] = step - base


@compiled
def local_steps(
    loss,
    rule,
    schedule,
    penalty,
    rows,
    frame,
    starts,
    bounds,
    run,
    params,
    state,
    last,
    clock,
    step,
    base,
    sparse,
    weight_scale,
    grad,
    average,
    averaged,
    scratch,
):
    """Take one optimiser step for each mini-batch; batch ``s`` is the runs ``bounds[s]`` to ``bounds[s + 1]``.

    Parameters
    ----------
    step : int
        Steps taken before, since the start of training; the schedule and the rules count with it.
    base : int
        Steps taken before the origin of ``last`` and ``clock``.
    sparse : bool
        Update touched coordinates only; otherwise all.
    average : ndarray of shape (d + 1,) or (0,)
        Running mean of the iterates, of which it holds ``averaged`` before the call; empty for no averaging.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row at the weights of its step (the progressive loss).
    step, averaged : int
        The counts after the call.
    """
    width = rows.dense.shape[1]
    size = params.size - 1
    kind = params.dtype.type
    loss_sum = 0.0
    for s in range(bounds.size - 1):
        first = bounds[s]
        stop = bounds[s + 1]
        if last.size:
            settle_touched(
                rule, rows, frame, starts, first, stop, run, params, state, last, clock, step, base, penalty, scratch
            )
        part, count = batch_gradient(loss, rows, frame, starts, first, stop, run, params, weight_scale, grad, scratch)
        loss_sum += part
        unfold(frame, grad, width)
        rate = kind(schedule_rate(schedule, step))
        step += 1
        factor = kind(1.0 / max(count, 1))
        end = width if sparse else size
        update_range(rule, params, state, grad, 0, end, factor, rate, step, penalty.l1, penalty.l2)
        update_intercept(rule, params, state, grad, factor, rate, step, penalty)
        if sparse:
            update_touched(
                rule, rows, frame, starts, first, stop, run, params, state, last, grad, factor, rate, step, base,
                penalty, scratch,
            )  # fmt: skip
        if average.size:
            averaged += 1
            share = kind(1.0 / averaged)
            for j in range(size + 1):
                average[j] += (params[j] - average[j]) * share
    return loss_sum, step, averaged
