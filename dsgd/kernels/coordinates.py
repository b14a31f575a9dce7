"""One coordinate's step, and its catching up with the penalty: what every training loop does to the weights.

State that a rule does not use is ``None``, so that which arrays are touched is settled when the loop is compiled; a test of
it inside the loop halves the loop's speed.
"""

from .protocols import rule_settle, rule_update, schedule_rate
from .rows import compiled, inlined


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


@compiled
def settle_all(rule, schedule, penalty, params, first, second, last, clock, start, step, base):
    """Bring the penalty of weights ``start`` to the last but the intercept up to ``step``, and count from zero again."""
    rate = params.dtype.type(schedule_rate(schedule, step))
    for j in range(start, params.size - 1):
        settle_coordinate(rule, params, first, second, last, clock, j, rate, step, base, penalty.l1, penalty.l2)
        last[j] = 0


@compiled
def update_dense(rule, schedule, penalty, params, first, second, gradient, factor, step):
    """Step every coordinate with ``factor * gradient``, which is cleared; the intercept is the last and has no penalty."""
    kind = params.dtype.type
    zero = kind(0)
    rate = kind(schedule_rate(schedule, step))
    l1, l2 = penalty.l1, penalty.l2
    last = params.size - 1
    for j in range(last):
        step_coordinate(rule, params, first, second, j, factor * gradient[j], rate, step + 1, l1, l2)
        gradient[j] = 0
    if penalty.intercept:
        step_coordinate(rule, params, first, second, last, factor * gradient[last], rate, step + 1, zero, zero)
    gradient[last] = 0
