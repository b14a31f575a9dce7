"""The compiled training loops of a linear model with k outputs, in mini-batches.

The counterparts of :mod:`dsgd.kernels.steps`, with the same arguments: ``params``, ``grad``, ``average`` and the rule's state
are flat, of (d + 1) * k numbers, weight ``j`` of output ``c`` at ``j * k + c``; ``last`` counts for every weight, so that one
``settle_all`` serves both. Targets are class numbers, and the loss reads all of a row's scores (``row_residual``).
A feature is touched when any of its k gradients is not zero, and then all k weights are stepped.
"""

import numpy as np

from .compiling import compiled, helper
from .coordinates import ask_for_coordinate, settle_coordinate, step_coordinate
from .multi_rows import fold_multi, pull_back_run_multi, scores_of_run_multi, unfold_multi
from .prefetch import FAR
from .protocols import row_residual, schedule_rate
from .rows import codes_of


@helper
def slopes_of_run_multi(loss, label, weights, start, stop, weight_scale, scores, slopes):
    """Write weight x derivatives to ``slopes``; return the sum of weight x loss."""
    total = 0.0
    for i in range(stop - start):
        weight = weight_scale
        if weights.size:
            weight *= weights[start + i]
        slope = slopes[i]
        total += weight * row_residual(loss, scores[i], label[start + i], slope)
        for c in range(slope.size):
            slope[c] *= weight
    return total


@compiled
def batch_gradient_multi(loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch):
    """Add to ``grad`` the gradient sum by raw columns of runs ``begin`` to ``end``.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss.
    count : int
        Number of rows.
    """
    scores, slopes, folded = scratch.scores, scratch.slopes, scratch.folded
    fold_multi(frame, params, scores.shape[1], folded)
    loss_sum = 0.0
    count = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run_multi(rows, codes, start, stop, folded, params, scores)
        loss_sum += slopes_of_run_multi(loss, rows.label, rows.weight, start, stop, weight_scale, scores, slopes)
        pull_back_run_multi(rows, codes, start, stop, slopes, scratch.product, grad)
        count += stop - start
    return loss_sum, count


@compiled
def anchored_gradient_multi(loss, rows, frame, starts, begin, end, run, params, anchor, weight_scale, grad, scratch):
    """As ``batch_gradient_multi``, of the difference of the gradients at ``params`` and at ``anchor``."""
    scores, slopes = scratch.scores, scratch.slopes
    outputs = scores.shape[1]
    fold_multi(frame, params, outputs, scratch.folded)
    fold_multi(frame, anchor, outputs, scratch.anchored)
    loss_sum = 0.0
    count = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run_multi(rows, codes, start, stop, scratch.anchored, anchor, scores)
        # A row's derivatives may take the place of its scores.
        slopes_of_run_multi(loss, rows.label, rows.weight, start, stop, weight_scale, scores, scores)
        scores_of_run_multi(rows, codes, start, stop, scratch.folded, params, slopes)
        loss_sum += slopes_of_run_multi(loss, rows.label, rows.weight, start, stop, weight_scale, slopes, slopes)
        for i in range(stop - start):
            for c in range(outputs):
                slopes[i, c] -= scores[i, c]
        pull_back_run_multi(rows, codes, start, stop, slopes, scratch.product, grad)
        count += stop - start
    return loss_sum, count


@helper
def _settle_feature(rule, penalty, outputs, params, first, second, last, clock, feature, rate, step, base):
    for j in range(feature * outputs, feature * outputs + outputs):
        settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, penalty.l1, penalty.l2)
        last[j] = step - base


@compiled
def settle_touched_multi(
    rule, penalty, rows, frame, starts, begin, end, run, params, first, second, last, clock, rate, step, base, scratch
):
    """Bring the penalty of every weight that runs ``begin`` to ``end`` use up to ``step``."""
    outputs = scratch.scores.shape[1]
    indptr, indices = rows.indptr, rows.indices
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                _settle_feature(
                    rule, penalty, outputs, params, first, second, last, clock, codes[i, q], rate, step, base
                )  # fmt: skip
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                if e + FAR < indptr[stop]:
                    ask_for_coordinate(np.intp(indices[e + FAR]) * outputs, last, params, first, second)
                _settle_feature(
                    rule, penalty, outputs, params, first, second, last, clock, indices[e], rate, step, base
                )  # fmt: skip


@helper
def _step_feature(rule, penalty, outputs, params, first, second, last, grad, feature, factor, rate, step, base):
    """Step a feature's weights, if its gradient is not zero, and clear it: a feature that comes twice is stepped once."""
    begin, end = feature * outputs, feature * outputs + outputs
    size = grad.dtype.type(0)
    for j in range(begin, end):
        size += abs(grad[j])
    if size == 0:
        return
    for j in range(begin, end):
        step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, penalty.l1, penalty.l2)
        grad[j] = 0
        if last is not None:
            last[j] = step - base


@helper
def update_touched_multi(
    rule, penalty, rows, frame, starts, begin, end, run, params, first, second, last, grad, factor, rate, step, base,
    scratch,
):  # fmt: skip
    """Step the weights of every feature that runs ``begin`` to ``end`` touch, and clear their gradient."""
    outputs = scratch.scores.shape[1]
    indptr, indices = rows.indptr, rows.indices
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                _step_feature(
                    rule, penalty, outputs, params, first, second, last, grad, codes[i, q], factor, rate, step, base
                )  # fmt: skip
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                if e + FAR < indptr[stop]:
                    ask_for_coordinate(np.intp(indices[e + FAR]) * outputs, grad, params, first, second)
                _step_feature(
                    rule, penalty, outputs, params, first, second, last, grad, indices[e], factor, rate, step, base
                )  # fmt: skip


@compiled
def local_steps_multi(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, run, params, first, second, last, clock, step, base,
    sparse, weight_scale, grad, average, averaged, scratch,
):  # fmt: skip
    """Take one optimiser step for each mini-batch; see :func:`dsgd.kernels.steps.local_steps`.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row at the weights of its step (the progressive loss).
    step, averaged : int
        The counts after the call.
    """
    kind = params.dtype.type
    zero = kind(0)
    outputs = scratch.scores.shape[1]
    weights = params.size - outputs
    l1, l2 = penalty.l1, penalty.l2
    dense = rows.dense.shape[1]
    end = dense * outputs if sparse else weights
    loss_sum = 0.0
    for s in range(bounds.size - 1):
        a = bounds[s]
        z = bounds[s + 1]
        rate = kind(schedule_rate(schedule, step))
        if last is not None:
            settle_touched_multi(
                rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, clock, rate, step, base, scratch
            )  # fmt: skip
        part, count = batch_gradient_multi(loss, rows, frame, starts, a, z, run, params, weight_scale, grad, scratch)
        loss_sum += part
        unfold_multi(frame, grad, outputs, dense)
        factor = kind(1.0 / max(count, 1))
        step += 1
        for j in range(end):
            step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, l1, l2)
            grad[j] = 0
        for j in range(weights, params.size):
            if penalty.intercept:
                step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, zero, zero)
            grad[j] = 0
        if sparse:
            update_touched_multi(
                rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, grad, factor, rate, step, base,
                scratch,
            )  # fmt: skip
        if average is not None:
            averaged += 1
            share = kind(1.0 / averaged)
            for j in range(params.size):
                average[j] += (params[j] - average[j]) * share
    return loss_sum, step, averaged
