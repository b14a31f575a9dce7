"""The online pass: one optimiser step a row, fused (the loop that Vowpal Wabbit made known).

A row's weights are brought up to date, scored, and stepped with the slope of the loss in one go, so each of them is in the
cache for all three; there is no gradient buffer. It is ``local_steps`` with mini-batches of one row, for one output and
sparse updates, and gives the same weights up to rounding.
"""

from .protocols import loss_gradient, loss_value, schedule_rate
from .rows import codes_of, compiled
from .steps import settle_coordinate, update_coordinate


@compiled
def standardised(frame, x, j):
    """Value of dense column ``j`` as the weights see it."""
    return (x - frame.center[j]) * frame.scale[j] if frame.scale.size else x


@compiled
def settled_score(rule, rows, codes, frame, i, at, params, state, last, clock, step, base, penalty):
    """Score of row ``i``, whose codes are ``codes[at]``, after its weights have had their penalty up to ``step``."""
    score = params[params.size - 1]
    if rows.offset.size:
        score += rows.offset[i]
    for j in range(rows.dense.shape[1]):
        score += params[j] * standardised(frame, rows.dense[i, j], j)
    lazy = last.size > 0
    if lazy:
        for q in range(codes.shape[1]):
            settle_coordinate(rule, params, state, last, clock, codes[at, q], step, base, penalty.l1, penalty.l2)
    for q in range(codes.shape[1]):
        score += params[codes[at, q]]
    if rows.indptr.size > 1:
        for e in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.indices[e]
            if lazy:
                settle_coordinate(rule, params, state, last, clock, j, step, base, penalty.l1, penalty.l2)
            score += params[j] * rows.values[e]
    return score


@compiled
def step_row(rule, rows, codes, frame, i, at, params, state, last, slope, rate, step, base, penalty):
    """Step the weights of row ``i`` with its slope."""
    l1 = penalty.l1
    l2 = penalty.l2
    lazy = last.size > 0
    for j in range(rows.dense.shape[1]):
        update_coordinate(rule, params, state, j, slope * standardised(frame, rows.dense[i, j], j), rate, step, l1, l2)
    for q in range(codes.shape[1]):
        j = codes[at, q]
        update_coordinate(rule, params, state, j, slope, rate, step, l1, l2)
        if lazy:
            last[j] = step - base
    if rows.indptr.size > 1:
        for e in range(rows.indptr[i], rows.indptr[i + 1]):
            j = rows.indices[e]
            update_coordinate(rule, params, state, j, slope * rows.values[e], rate, step, l1, l2)
            if lazy:
                last[j] = step - base
    if penalty.intercept:
        zero = params.dtype.type(0)
        update_coordinate(rule, params, state, params.size - 1, slope, rate, step, zero, zero)


@compiled
def online_pass(
    loss,
    rule,
    schedule,
    penalty,
    rows,
    frame,
    starts,
    run,
    params,
    state,
    last,
    clock,
    step,
    base,
    weight_scale,
    scratch,
):
    """Step once for each row of each run, in order.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row before its own step (the progressive validation loss).
    step : int
        Steps taken since the start of training.
    """
    kind = params.dtype.type
    loss_sum = 0.0
    for r in range(starts.size):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(start, stop):
            score = settled_score(
                rule, rows, codes, frame, i, i - start, params, state, last, clock, step, base, penalty
            )
            weight = weight_scale
            if rows.weight.size:
                weight = rows.weight[i] * weight_scale
            loss_sum += weight * loss_value(loss, score, rows.label[i])
            slope = kind(weight * loss_gradient(loss, score, rows.label[i]))
            rate = kind(schedule_rate(schedule, step))
            step += 1
            if slope != 0 or last.size == 0:
                step_row(rule, rows, codes, frame, i, i - start, params, state, last, slope, rate, step, base, penalty)
            else:
                for j in range(rows.dense.shape[1]):
                    update_coordinate(rule, params, state, j, slope, rate, step, penalty.l1, penalty.l2)
    return loss_sum, step
