"""The online pass: one optimiser step a row, fused (the loop that Vowpal Wabbit made known).

A row's weights are brought up to date, scored, and stepped with the slope of the loss in one go, so each of them is in the
cache for all three; there is no gradient buffer. It is ``local_steps`` with mini-batches of one row, for one output and
sparse updates, and gives the same weights up to rounding.

A row's weights and their state are gathered into short arrays, worked on there, and put back. Scattered as they are in memory,
every square root and division would be one of its own; side by side, a vector instruction does sixteen. A row's weights are all
different: every column owns a range of its own, and a block's sparse rows have no index twice. Of the arrays, ``lanes`` of
shape (5, lanes), rows 0 to 2 are weight, first and second state, 3 is the time since the penalty was last taken, and 4 the
value of the feature: 1 for a code. The codes come first, then the dense columns, which stay where they are from row to row,
then the row's sparse entries, each padded to whole vectors. What pads has the value 0, which no rule moves far and nobody reads.

The penalty of a weight is taken when a row next meets it, that of the step before included: ``last`` is the step up to which
it has been taken, and a flow for both times is one flow.
"""

import numpy as np

from .compiling import compiled, helper, inlined
from .coordinates import step_coordinate
from .prefetch import AHEAD, prefetch
from .protocols import loss_gradient, loss_value, rule_move, rule_settle, rule_update, schedule_rate
from .rows import codes_of

# Numbers that one vector instruction takes, at most.
LANES = 16


@helper
def whole_vectors(count):
    """``count`` rounded up to whole vectors."""
    return (count + LANES - 1) // LANES * LANES


@inlined
def prepare_lanes(codes, dense, padded, params, first, second, lanes):
    """Clear the lanes, set the values of ``codes`` codes, and take in the dense weights, whose penalty is taken."""
    for q in range(lanes.shape[1]):
        for k in range(4):
            lanes[k, q] = 0
        lanes[4, q] = 1 if q < codes else 0
    for j in range(dense):
        lanes[0, padded + j] = params[j]
        if first is not None:
            lanes[1, padded + j] = first[j]
        if second is not None:
            lanes[2, padded + j] = second[j]


@inlined
def put_back_dense(dense, padded, params, first, second, lanes):
    """Put the dense weights and their state back where they came from."""
    for j in range(dense):
        params[j] = lanes[0, padded + j]
        if first is not None:
            first[j] = lanes[1, padded + j]
        if second is not None:
            second[j] = lanes[2, padded + j]


@inlined
def gather_lane(q, j, params, first, second, last, clock, rate, now, lanes):
    """Copy weight ``j``, its state and its resting time to lane ``q``."""
    kind = params.dtype.type
    lanes[0, q] = params[j]
    if first is not None:
        lanes[1, q] = first[j]
    if second is not None:
        lanes[2, q] = second[j]
    if last is not None:
        # Without a clock the rate is constant, and a look into a long table is saved.
        lanes[3, q] = kind(clock[now] - clock[last[j]]) if clock is not None else rate * kind(now - last[j])


@inlined
def put_lane(q, j, params, first, second, last, now, lanes):
    """Put lane ``q`` back where it came from."""
    params[j] = lanes[0, q]
    if first is not None:
        first[j] = lanes[1, q]
    if second is not None:
        second[j] = lanes[2, q]
    if last is not None:
        last[j] = now


@inlined
def fetch_weight(j, params, first, second, last):
    """Ask for weight ``j`` and its state."""
    prefetch(params, j)
    if first is not None:
        prefetch(first, j)
    if second is not None:
        prefetch(second, j)
    if last is not None:
        prefetch(last, j)


@inlined
def fetch_ahead(codes, at, params, first, second, last):
    """Ask for what row ``at + AHEAD`` of ``codes`` will need, while the rows before it are worked on."""
    if at + AHEAD < codes.shape[0]:
        for q in range(codes.shape[1]):
            fetch_weight(np.intp(codes[at + AHEAD, q]), params, first, second, last)


@inlined
def fetch_entries_ahead(indptr, indices, i, params, first, second, last):
    """As ``fetch_ahead``, for the sparse part of row ``i + AHEAD``."""
    if i + AHEAD + 1 < indptr.size:
        for e in range(indptr[i + AHEAD], indptr[i + AHEAD + 1]):
            fetch_weight(np.intp(indices[e]), params, first, second, last)


@inlined
def settle_lanes(rule, end, lanes, step, l1, l2):
    """Bring the penalty of the first ``end`` lanes up to date."""
    for q in range(end):
        lanes[0, q] = rule_settle(rule, lanes[0, q], lanes[1, q], lanes[2, q], lanes[3, q], step, l1, l2)


@inlined
def move_lanes(rule, end, lanes, slope, rate, step, l1, l2):
    """One step of the first ``end`` lanes, whose penalty is left to the next settling."""
    for q in range(end):
        lanes[0, q], lanes[1, q], lanes[2, q] = rule_move(
            rule, lanes[0, q], lanes[1, q], lanes[2, q], slope * lanes[4, q], rate, step, l1, l2
        )


@inlined
def step_lanes(rule, end, lanes, slope, rate, step, l1, l2):
    """One step of the first ``end`` lanes."""
    for q in range(end):
        lanes[0, q], lanes[1, q], lanes[2, q] = rule_update(
            rule, lanes[0, q], lanes[1, q], lanes[2, q], slope * lanes[4, q], rate, step, l1, l2
        )


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
    center, scale, lanes = frame.center, frame.scale, scratch.lanes
    width = dense.shape[1]
    intercept = params.size - 1
    many = rows.codes.shape[1] + frame.cross_start.size
    padded = whole_vectors(many)
    entries = padded + whole_vectors(width)
    prepare_lanes(many, width, padded, params, first, second, lanes)
    loss_sum = 0.0
    for r in range(starts.size):
        start = starts[r]
        stop = min(start + run, label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        for i in range(start, stop):
            rate = kind(schedule_rate(schedule, step))
            now = step - base
            score = params[intercept]
            if offset.size:
                score += offset[i]
            for j in range(width):
                z = dense[i, j]
                if scale.size:
                    z = (z - center[j]) * scale[j]
                lanes[4, padded + j] = z
            if many > 0:
                fetch_ahead(codes, i - start, params, first, second, last)
                for q in range(codes.shape[1]):
                    gather_lane(q, codes[i - start, q], params, first, second, last, clock, rate, now, lanes)
            end = entries
            if indptr.size > 1:
                fetch_entries_ahead(indptr, indices, i, params, first, second, last)
                begin, count = indptr[i], indptr[i + 1] - indptr[i]
                end = entries + whole_vectors(count)
                for e in range(count):
                    gather_lane(entries + e, indices[begin + e], params, first, second, last, clock, rate, now, lanes)
                    lanes[4, entries + e] = values[begin + e]
                for q in range(entries + count, end):
                    lanes[4, q] = 0
            if last is not None:
                settle_lanes(rule, end, lanes, step, l1, l2)
            for q in range(end):
                score += lanes[0, q] * lanes[4, q]
            weight = weight_scale
            if weights.size:
                weight *= weights[i]
            loss_sum += weight * loss_value(loss, score, label[i])
            slope = kind(weight * loss_gradient(loss, score, label[i]))
            step += 1
            if last is not None:
                move_lanes(rule, end, lanes, slope, rate, step, l1, l2)
                for q in range(padded, entries):
                    lanes[3, q] = rate
            else:
                step_lanes(rule, end, lanes, slope, rate, step, l1, l2)
            for q in range(codes.shape[1]):
                put_lane(q, codes[i - start, q], params, first, second, last, now, lanes)
            if indptr.size > 1:
                for e in range(count):
                    put_lane(entries + e, indices[begin + e], params, first, second, last, now, lanes)
            if penalty.intercept:
                step_coordinate(rule, params, first, second, intercept, slope, rate, step, zero, zero)
    if last is not None:
        settle_lanes(rule, entries, lanes, step, l1, l2)
    put_back_dense(width, padded, params, first, second, lanes)
    return loss_sum, step
