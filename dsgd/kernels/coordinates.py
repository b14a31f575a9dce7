"""One coordinate's step, and its catching up with the penalty: what every training loop does to the weights.

State that a rule does not use is ``None``, so that which arrays are touched is settled when the loop is compiled; a test of
it inside the loop halves the loop's speed.
"""

import numpy as np

from .compiling import allocating, compiled, inlined
from .prefetch import FAR, prefetch
from .protocols import rule_settle, rule_update, schedule_rate
from .rows import codes_of

# Weights that are summed before their sum is added to others.
PIECE = 1 << 12


@inlined
def step_coordinate(rule, params, first, second, j, gradient, rate, step, l1, l2):
    """One step of coordinate ``j``."""
    zero = params.dtype.type(0)
    if second is not None:
        params[j], first[j], second[j] = rule_update(rule, params[j], first[j], second[j], gradient, rate, step, l1, l2)
    elif first is not None:
        params[j], first[j], _ = rule_update(rule, params[j], first[j], zero, gradient, rate, step, l1, l2)
    else:
        params[j], _, _ = rule_update(rule, params[j], zero, zero, gradient, rate, step, l1, l2)


@inlined
def ask_for_coordinate(j, other, params, first, second):
    """Have memory fetched for coordinate ``j``: of ``other`` (its gradient, say), its weight and its state."""
    prefetch(other, j)
    prefetch(params, j)
    if first is not None:
        prefetch(first, j)
    if second is not None:
        prefetch(second, j)


@inlined
def _ask_for_feature(feature, outputs, params, first, second, last):
    """Have memory fetched for the first of a feature's coordinates."""
    j = feature * outputs
    if last is not None:
        ask_for_coordinate(j, last, params, first, second)
    else:
        ask_for_coordinate(j, params, params, first, second)


@inlined
def settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, l1, l2):
    """Bring the penalty of coordinate ``j`` up to ``step``; a weight of zero stays there."""
    now = step - base
    since = last[j]
    if since != now and params[j] != 0:
        zero = params.dtype.type(0)
        # Without a clock the rate is constant, and a look into a long table is saved.
        time = (
            params.dtype.type(clock[now] - clock[since]) if clock is not None else rate * params.dtype.type(now - since)
        )
        if second is not None:
            params[j] = rule_settle(rule, params[j], first[j], second[j], time, step, l1, l2)
        elif first is not None:
            params[j] = rule_settle(rule, params[j], first[j], zero, time, step, l1, l2)
        else:
            params[j] = rule_settle(rule, params[j], zero, zero, time, step, l1, l2)


@allocating
def clock_table(schedule, step, count):
    """Sums of the rates of the first 0, 1, ... ``count`` steps after ``step``; shape (count + 1,), float64."""
    clock = np.zeros(count + 1)
    for t in range(count):
        clock[t + 1] = clock[t] + schedule_rate(schedule, step + t)
    return clock


@compiled
def settle_all(rule, schedule, penalty, outputs, params, first, second, last, clock, start, step, base):
    """Bring the penalty of every weight from feature ``start`` on up to ``step``, and count from zero again.

    The last ``outputs`` coordinates are intercepts and have none.
    """
    rate = params.dtype.type(schedule_rate(schedule, step))
    for j in range(start * outputs, params.size - outputs):
        settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, penalty.l1, penalty.l2)
        if last[j] != 0:  # weights that nothing has touched are read only
            last[j] = 0


@compiled
def settle_and_sum(rule, schedule, penalty, params, first, second, last, clock, start, step, base):
    """As :func:`settle_all`, for one output; returns the sum of the weights' sizes and that of their squares, from one look.

    Sums are of pieces of the weights, which are summed then: as exact as numpy's, and the same each time.
    """
    rate = params.dtype.type(schedule_rate(schedule, step))
    # Unsigned numbers index without a look at their sign; that, and passing over what rests at zero, halves the time.
    end = np.uint64(params.size - 1)
    lazy = np.uint64(start)
    sizes = 0.0
    squares = 0.0
    for begin in range(np.uint64(0), end, np.uint64(PIECE)):
        own_sizes = 0.0
        own_squares = 0.0
        for j in range(begin, min(begin + np.uint64(PIECE), end)):
            if params[j] != 0 or last[j] != 0:
                if j >= lazy:
                    settle_coordinate(
                        rule, params, first, second, last, clock, j, rate, step, base, penalty.l1, penalty.l2
                    )
                last[j] = 0
                weight = np.float64(params[j])
                own_sizes += abs(weight)
                own_squares += weight * weight
        sizes += own_sizes
        squares += own_squares
    return sizes, squares


@compiled
def update_dense(rule, schedule, penalty, outputs, params, first, second, gradient, factor, step):
    """Step every coordinate with ``factor * gradient``, which is cleared; the last ``outputs`` are intercepts."""
    kind = params.dtype.type
    zero = kind(0)
    rate = kind(schedule_rate(schedule, step))
    l1, l2 = penalty.l1, penalty.l2
    weights = params.size - outputs
    for j in range(weights):
        step_coordinate(rule, params, first, second, j, factor * gradient[j], rate, step + 1, l1, l2)
        gradient[j] = 0
    for j in range(weights, params.size):
        if penalty.intercept:
            step_coordinate(rule, params, first, second, j, factor * gradient[j], rate, step + 1, zero, zero)
        gradient[j] = 0


@compiled
def update_listed(
    rule, schedule, penalty, outputs, params, first, second, last, clock, indices, values, factor, step, base
):
    """Step the features ``indices``, with gradients ``factor * values`` of shape (m, k), settling them before.

    A feature at or beyond ``d`` is the intercept.
    """
    kind = params.dtype.type
    zero = kind(0)
    rate = kind(schedule_rate(schedule, step))
    l1, l2 = penalty.l1, penalty.l2
    weights = params.size - outputs
    for i in range(indices.size):
        if i + FAR < indices.size:
            _ask_for_feature(np.intp(indices[i + FAR]), outputs, params, first, second, last)
        for c in range(outputs):
            j = indices[i] * outputs + c
            gradient = factor * values[i, c]
            if j < weights:
                if last is not None:
                    settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, l1, l2)
                    last[j] = step + 1 - base
                step_coordinate(rule, params, first, second, j, gradient, rate, step + 1, l1, l2)
            elif penalty.intercept:
                step_coordinate(rule, params, first, second, j, gradient, rate, step + 1, zero, zero)


@compiled
def collect_touched(rows, frame, starts, begin, end, run, indices, count, scratch):
    """Append to ``indices``, from ``count`` on, the sparse features of the runs, repeats included; return the new count."""
    indptr, sparse = rows.indptr, rows.indices
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                indices[count] = codes[i, q]
                count += 1
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                indices[count] = sparse[e]
                count += 1
    return count


@compiled
def distinct(ascending):
    """Move an ascending list's values, each once, to its front; return how many they are.

    Examples
    --------
    >>> listed = np.array([2, 2, 3, 7, 7, 7], np.int32)
    >>> listed[: distinct(listed)].tolist()
    [2, 3, 7]
    """
    count = 0
    for i in range(ascending.size):
        value = ascending[i]
        if count == 0 or value != ascending[count - 1]:
            ascending[count] = value
            count += 1
    return count


@compiled
def take_listed(gradient, indices, outputs, values):
    """Move the gradients of features ``indices`` to ``values``, of shape (m, k), and clear them."""
    for i in range(indices.size):
        if i + FAR < indices.size:
            prefetch(gradient, np.intp(indices[i + FAR]) * outputs)
        for c in range(outputs):
            j = indices[i] * outputs + c
            values[i, c] = gradient[j]
            gradient[j] = 0


@compiled
def settle_listed(rule, schedule, penalty, outputs, params, first, second, last, clock, indices, step, base):
    """Bring the penalty of the features ``indices`` up to ``step``; a feature at or beyond ``d`` is the intercept."""
    rate = params.dtype.type(schedule_rate(schedule, step))
    weights = params.size - outputs
    for i in range(indices.size):
        if i + FAR < indices.size:
            _ask_for_feature(np.intp(indices[i + FAR]), outputs, params, first, second, last)
        for c in range(outputs):
            j = indices[i] * outputs + c
            if j < weights:
                settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, penalty.l1, penalty.l2)
                last[j] = step - base


@compiled
def list_touched(rows, frame, starts, begin, end, run, seen, stamp, indices, count, scratch):
    """Append to ``indices``, from ``count`` on, each sparse feature of the runs that is not listed yet; return the new count.

    ``seen[j]`` is ``stamp`` for a feature that is listed; ``indices`` has room for every feature once.
    """
    indptr, sparse = rows.indptr, rows.indices
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                j = codes[i, q]
                if seen[j] != stamp:
                    seen[j] = stamp
                    indices[count] = j
                    count += 1
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                j = sparse[e]
                if seen[j] != stamp:
                    seen[j] = stamp
                    indices[count] = j
                    count += 1
    return count
