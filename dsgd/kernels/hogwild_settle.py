"""Lazy penalties of threads that share weights: a row's weights in, brought up to date before its step.

``last[j]``, ``base`` and ``clock`` are those of :mod:`dsgd.kernels.steps`, counted in the steps of all threads; of two threads
that share a weight the one that is behind takes nothing. A step takes its own penalty by itself.
"""

from .compiling import compiled, helper, inlined
from .online import fetch_ahead
from .protocols import rule_settle, schedule_rate

# Steps by which the penalty of a hot weight may be behind when it is used.
SLACK = 1 << 10


@compiled
def extend_clock(schedule, clock, taken, step, count):
    """Enter the rates of ``count`` steps, the first of them number ``step``, after ``taken`` steps that are there."""
    for t in range(count):
        clock[taken + t + 1] = clock[taken + t] + schedule_rate(schedule, step + t)


@inlined
def settle_shared(rule, penalty, params, first, second, last, clock, j, rate, step, base, part, slack):
    """Bring the penalty of coordinate ``j`` up to ``step``, if it is more than ``slack`` steps behind.

    One of ``part`` threads that have a copy of it takes that part.
    """
    now = step - base
    since = last[j]
    if since + slack < now:
        last[j] = now
        if params[j] != 0:
            kind = params.dtype.type
            zero = kind(0)
            time = (kind(clock[now] - clock[since]) if clock.size else rate * kind(now - since)) / kind(part)
            if second is not None:
                params[j] = rule_settle(rule, params[j], first[j], second[j], time, step, penalty.l1, penalty.l2)
            elif first is not None:
                params[j] = rule_settle(rule, params[j], first[j], zero, time, step, penalty.l1, penalty.l2)
            else:
                params[j] = rule_settle(rule, params[j], zero, zero, time, step, penalty.l1, penalty.l2)


@compiled
def settle_stretch(rule, schedule, penalty, params, first, second, last, clock, start, stop, step, base, part):
    """Bring the penalty of coordinates ``start`` to ``stop`` up to ``step``; ``last`` stays where it is ahead."""
    rate = params.dtype.type(schedule_rate(schedule, step))
    for j in range(start, stop):
        settle_shared(rule, penalty, params, first, second, last, clock, j, rate, step, base, part, 0)


@compiled
def settle_features(rule, schedule, penalty, outputs, params, first, second, last, clock, features, step, base):
    """Bring the penalty of ``features`` up to ``step``; one at or beyond ``d`` is the intercept, which has none."""
    rate = params.dtype.type(schedule_rate(schedule, step))
    weights = params.size - outputs
    for i in range(features.size):
        for c in range(outputs):
            j = features[i] * outputs + c
            if j < weights:
                settle_shared(rule, penalty, params, first, second, last, clock, j, rate, step, base, 1, 0)


@inlined
def settle_used(rule, penalty, params, first, second, last, clock, j, rate, step, base, hot, part):
    """Settle a weight that a row is about to use, and count the penalty of the row's own step.

    The step takes that by itself; of a hot weight, which is used often, it is nearly all.
    """
    share = part if j < hot else 1
    slack = SLACK if j < hot else 0
    settle_shared(rule, penalty, params, first, second, last, clock, j, rate, step, base, share, slack)
    last[j] += share


@helper
def settle_run(
    rule, schedule, penalty, codes, indptr, indices, params, first, second, last, clock, step, base, hot, part
):
    """Bring the penalty of what a run uses up to its first step, and count that of its own steps.

    ``part`` is the number of threads with a copy of each hot weight.
    """
    if last.size:
        rate = params.dtype.type(schedule_rate(schedule, step))
        for i in range(codes.shape[0]):
            fetch_ahead(codes, i, params, first, second, last)
            for q in range(codes.shape[1]):
                j = codes[i, q]
                settle_used(rule, penalty, params, first, second, last, clock, j, rate, step, base, hot, part)
        if indptr.size > 1:
            for e in range(indptr[0], indptr[indptr.size - 1]):
                j = indices[e]
                settle_used(rule, penalty, params, first, second, last, clock, j, rate, step, base, hot, part)
