"""The online pass: one optimiser step a row, fused (the loop that Vowpal Wabbit made known).

A row's weights are brought up to date, scored, and stepped with the slope of the loss in one go, so each of them is in the
cache for all three; there is no gradient buffer. It is ``local_steps`` with mini-batches of one row, for one output and
sparse updates, and gives the same weights up to rounding.
"""

from .compiling import compiled
from .coordinates import settle_coordinate, step_coordinate
from .protocols import loss_gradient, loss_value, schedule_rate
from .rows import codes_of


@compiled
def online_pass(
    loss, rule, schedule, penalty, rows, frame, starts, run, params, first, second, last, clock, step, base, weight_scale,
    scratch,
):  # fmt: skip
    """Step once for each row of each run, in order.

    Parameters are those of ``local_steps``; ``last`` is None when there is no penalty.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row before its own step (the progressive validation loss).
    step : int
        Steps taken since the start of training.
    """
    kind = params.dtype.type
    zero = kind(0)
    l1, l2 = penalty.l1, penalty.l2
    dense, label, weights, offset = rows.dense, rows.label, rows.weight, rows.offset
    indptr, indices, values = rows.indptr, rows.indices, rows.values
    center, scale = frame.center, frame.scale
    width = dense.shape[1]
    intercept = params.size - 1
    loss_sum = 0.0
    for r in range(starts.size):
        start = starts[r]
        stop = min(start + run, label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(start, stop):
            rate = kind(schedule_rate(schedule, step))
            score = params[intercept]
            if offset.size:
                score += offset[i]
            for j in range(width):
                z = dense[i, j]
                if scale.size:
                    z = (z - center[j]) * scale[j]
                score += params[j] * z
            if last is not None:
                for q in range(codes.shape[1]):
                    j = codes[i - start, q]
                    settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, l1, l2)
            for q in range(codes.shape[1]):
                score += params[codes[i - start, q]]
            if indptr.size > 1:
                for e in range(indptr[i], indptr[i + 1]):
                    j = indices[e]
                    if last is not None:
                        settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, l1, l2)
                    score += params[j] * values[e]
            weight = weight_scale
            if weights.size:
                weight *= weights[i]
            loss_sum += weight * loss_value(loss, score, label[i])
            slope = kind(weight * loss_gradient(loss, score, label[i]))
            step += 1
            for j in range(width):
                z = dense[i, j]
                if scale.size:
                    z = (z - center[j]) * scale[j]
                step_coordinate(rule, params, first, second, j, slope * z, rate, step, l1, l2)
            for q in range(codes.shape[1]):
                j = codes[i - start, q]
                step_coordinate(rule, params, first, second, j, slope, rate, step, l1, l2)
                if last is not None:
                    last[j] = step - base
            if indptr.size > 1:
                for e in range(indptr[i], indptr[i + 1]):
                    j = indices[e]
                    step_coordinate(rule, params, first, second, j, slope * values[e], rate, step, l1, l2)
                    if last is not None:
                        last[j] = step - base
            if penalty.intercept:
                step_coordinate(rule, params, first, second, intercept, slope, rate, step, zero, zero)
    return loss_sum, step
