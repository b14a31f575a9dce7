"""The plain pass: stochastic gradient descent as it is written down, one row a step, for one output.

A step shrinks all weights by the l2 penalty, moves those of the row along the loss's slope, takes the iterate into the average,
and cuts the row's weights by the l1 penalty that has gathered since each was last cut (Tsuruoka, Tsujii & Ananiadou 2009). In
comes the state of one line, out goes the state after some rows; the order of the rows is the caller's.

Weights are ``scale * params``, so that shrinking all of them is one product (Shalev-Shwartz, Singer & Srebro 2007). The sum of
the iterates is ``PAST * params + sums``: a step that adds ``c`` to ``params[j]`` takes ``PAST * c`` from ``sums[j]``, so that an
average costs a row's entries too (Xu 2011). ``fold`` writes both out.
"""

from typing import NamedTuple

import numpy as np

from .compiling import compiled, helper, inlined
from .prefetch import AHEAD, prefetch_at, prefetch_entry
from .protocols import loss_gradient, loss_value
from .rows import codes_of

# Places in ``numbers``: the scale; l1 that has gathered; sum of scales of averaged iterates; average intercept; sums of squares
# and of sizes of ``params``.
SCALE, GATHERED, PAST, MEAN, SQUARES, SIZES = range(6)
_STEEPEST = 1e12


class PlainStep(NamedTuple):
    """What does not change within an epoch.

    The rate of step ``t``, counted from 0, is ``eta0 / (start + t) ** power``; ``l1`` and ``l2`` are the penalty's strengths;
    ``average`` is the number of the first step that is averaged, counted from 1, or 0 for none; ``decay`` slows the intercept
    down, and ``pull`` is a constant slope of its own; ``positive`` is the class that counts as +1, or -1 for targets as they
    are.
    """

    eta0: float
    start: float
    power: float
    l1: float
    l2: float
    average: int
    intercept: bool
    decay: float
    pull: float
    positive: int


@inlined
def add_change(j, change, params, sums, past):
    """Add to one weight, in units of the scale; return what its square and its size grow by."""
    old = np.float64(params[j])
    params[j] += params.dtype.type(change)
    new = np.float64(params[j])
    if sums.size:
        sums[j] -= past * (new - old)
    return new * new - old * old, abs(new) - abs(old)


@inlined
def cut(j, params, sums, taken, numbers):
    """Take from one weight the l1 penalty that it has not paid yet."""
    scale = numbers[SCALE]
    old = np.float64(params[j])
    weight = scale * old
    left = weight
    if weight > 0:
        left = max(0.0, weight - (numbers[GATHERED] + taken[j]))
    elif weight < 0:
        left = min(0.0, weight + (numbers[GATHERED] - taken[j]))
    taken[j] += left - weight
    square, size = add_change(j, left / scale - old if left != 0 else -old, params, sums, numbers[PAST])
    numbers[SQUARES] += square
    numbers[SIZES] += size


@helper
def fold(params, sums, numbers):
    """Write the scale into the weights, and the sum of the iterates into ``sums``; sums of squares and sizes begin anew."""
    scale, past = numbers[SCALE], numbers[PAST]
    squares = 0.0
    sizes = 0.0
    for j in range(params.size - 1):
        if sums.size:
            sums[j] += past * params[j]
        params[j] = params.dtype.type(scale * params[j])
        squares += np.float64(params[j]) * params[j]
        sizes += abs(np.float64(params[j]))
    numbers[SCALE], numbers[PAST], numbers[SQUARES], numbers[SIZES] = 1.0, 0.0, squares, sizes


@inlined
def take_row(rows, frame, i, wide):
    """Write the dense part of row ``i``, standardised, to ``wide``."""
    for j in range(wide.size):
        z = rows.dense[i, j]
        if frame.scale.size:
            z = (z - frame.center[j]) * frame.scale[j]
        wide[j] = z


@inlined
def product(rows, codes, i, wide, params):
    """Inner product of row ``i``'s features and ``params``."""
    total = 0.0
    for j in range(wide.size):
        total += np.float64(wide[j]) * params[j]
    for q in range(codes.shape[1]):
        total += params[codes[0, q]]
    if rows.indptr.size > 1:
        for e in range(rows.indptr[i], rows.indptr[i + 1]):
            total += np.float64(rows.values[e]) * params[rows.indices[e]]
    return total


@inlined
def norm(rows, codes, i, wide):
    """Sum of squares of row ``i``'s features."""
    total = np.float64(codes.shape[1])
    for j in range(wide.size):
        total += np.float64(wide[j]) * wide[j]
    if rows.indptr.size > 1:
        for e in range(rows.indptr[i], rows.indptr[i + 1]):
            total += np.float64(rows.values[e]) * rows.values[e]
    return total


@inlined
def move_row(move, rows, codes, i, wide, params):
    """Add ``move`` times row ``i``'s features."""
    for j in range(wide.size):
        params[j] += params.dtype.type(move * wide[j])
    for q in range(codes.shape[1]):
        params[codes[0, q]] += params.dtype.type(move)
    if rows.indptr.size > 1:
        for e in range(rows.indptr[i], rows.indptr[i + 1]):
            params[rows.indices[e]] += params.dtype.type(move * rows.values[e])


@inlined
def move_and_sum(move, rows, codes, i, wide, params, sums, numbers):
    """As ``move_row``, where an average or sizes are wanted as well."""
    past = numbers[PAST]
    squares = 0.0
    sizes = 0.0
    for j in range(wide.size):
        square, size = add_change(j, move * wide[j], params, sums, past)
        squares += square
        sizes += size
    for q in range(codes.shape[1]):
        square, size = add_change(codes[0, q], move, params, sums, past)
        squares += square
        sizes += size
    if rows.indptr.size > 1:
        for e in range(rows.indptr[i], rows.indptr[i + 1]):
            square, size = add_change(rows.indices[e], move * rows.values[e], params, sums, past)
            squares += square
            sizes += size
    numbers[SQUARES] += squares
    numbers[SIZES] += sizes


@inlined
def fetch_row(rows, i):
    """Ask for row ``i``: in a shuffled epoch the next row may be anywhere."""
    prefetch_entry(rows.label, np.intp(i))
    for j in range(0, rows.dense.shape[1], 64 // rows.dense.itemsize):
        prefetch_at(rows.dense, np.intp(i), np.intp(j))
    if rows.indptr.size > 1:
        begin, end = rows.indptr[i], rows.indptr[i + 1]
        for e in range(begin, end, 64 // rows.values.itemsize):
            prefetch_entry(rows.values, np.intp(e))
        for e in range(begin, end, 64 // rows.indices.itemsize):
            prefetch_entry(rows.indices, np.intp(e))


@compiled
def shuffle_rows(order, seed):
    """Shuffle ``order`` in place (Durstenfeld 1964) with Marsaglia's generator (2003), 13-17-5, started at ``seed`` above 0.

    It is how scikit-learn draws the order of an epoch, from that of the epoch before and one seed for all of them.
    """
    state = np.uint64(seed)
    whole, half = np.uint64(0xFFFFFFFF), np.uint64(0x7FFFFFFF)
    for i in range(order.size - 1):
        state = (state ^ (state << np.uint64(13))) & whole
        state ^= state >> np.uint64(17)
        state = (state ^ (state << np.uint64(5))) & whole
        j = i + np.int64((state & half) % np.uint64(order.size - i))
        order[i], order[j] = order[j], order[i]


@inlined
def plain_rate(plan, step):
    """The rate of a step, counted from 0."""
    if plan.power == 0:
        return plan.eta0
    if plan.power == 1:
        return plan.eta0 / (plan.start + step)
    return plan.eta0 / (plan.start + step) ** plan.power


@compiled
def plain_scores(rows, frame, order, params, wide, scratch, out):
    """Write the scores of the rows ``order`` to ``out``; ``params`` are weights and intercept on the fit's scale."""
    for r in range(order.size):
        i = order[r]
        codes = codes_of(rows, frame, i, i + 1, scratch)
        take_row(rows, frame, i, wide)
        out[r] = params[params.size - 1] + product(rows, codes, i, wide, params)
        if rows.offset.size:
            out[r] += rows.offset[i]


@compiled
def plain_pass(loss, plan, rows, frame, order, params, sums, taken, numbers, step, wide, scratch):
    """Step once for each of the rows ``order``.

    Parameters
    ----------
    loss : a registered loss
    plan : PlainStep
    rows : Rows
    frame : Frame
    order : ndarray of shape (b,), int64
        Rows, in the order of their steps.
    params : ndarray of shape (d + 1,)
        Weights without their scale, and the intercept; changed.
    sums : ndarray of shape (d,), float64, or (0,)
        Of the iterates, for an average; changed.
    taken : ndarray of shape (d,), float64, or (0,)
        The l1 penalty that each weight has paid; changed.
    numbers : ndarray of shape (6,), float64
        See above; changed.
    step : int
        Steps taken so far.
    wide : ndarray of shape (p,)
        A buffer for the dense part of a row.
    scratch : ndarray of shape (1, codes), int32

    Returns
    -------
    objective : float
        Sum of the loss, weights aside, and the penalty, before each step.
    step : int
    """
    least = 1e-9 if params.itemsize == 8 else 1e-6
    last = params.size - 1
    simple = sums.size == 0 and plan.l1 == 0
    objective = 0.0
    for r in range(order.size):
        i = order[r]
        if r + 2 * AHEAD < order.size:
            fetch_row(rows, order[r + AHEAD])
            if rows.indptr.size > 1:
                prefetch_entry(rows.indptr, np.intp(order[r + 2 * AHEAD]))
        codes = codes_of(rows, frame, i, i + 1, scratch)
        take_row(rows, frame, i, wide)
        scale = numbers[SCALE]
        inner = product(rows, codes, i, wide, params)
        score = params[last] + scale * inner
        if rows.offset.size:
            score += rows.offset[i]
        target = np.float64(rows.label[i])
        if plan.positive >= 0:
            target = np.float64(1.0) if target == plan.positive else np.float64(-1.0)
        rate = plain_rate(plan, step)
        objective += loss_value(loss, score, target) + plan.pull * params[last]
        objective += 0.5 * plan.l2 * scale * scale * numbers[SQUARES] + plan.l1 * scale * numbers[SIZES]
        slope = min(max(loss_gradient(loss, score, target), -_STEEPEST), _STEEPEST)
        change = -rate * slope
        if rows.weight.size:
            change *= rows.weight[i]
        folded = False
        if plan.l2 != 0:
            numbers[SCALE] *= max(0.0, 1.0 - rate * plan.l2)
            if numbers[SCALE] < least:
                fold(params, sums, numbers)
                folded = True
        move = change / numbers[SCALE]
        if move != 0 and simple:
            if folded:
                inner = product(rows, codes, i, wide, params)
            # |w + m x|^2 = |w|^2 + m (2 w x + m |x|^2): no need to look at the old and the new of each weight.
            if plan.l2 != 0:
                numbers[SQUARES] += move * (2.0 * inner + move * norm(rows, codes, i, wide))
            move_row(move, rows, codes, i, wide, params)
        elif move != 0:
            move_and_sum(move, rows, codes, i, wide, params, sums, numbers)
        if plan.intercept:
            params[last] += params.dtype.type((change - rate * plan.pull) * plan.decay)
        step += 1
        if plan.average > 0 and step >= plan.average:
            numbers[PAST] += numbers[SCALE]
            numbers[MEAN] += (params[last] - numbers[MEAN]) / (step - plan.average + 1)
        if plan.l1 != 0:
            numbers[GATHERED] += rate * plan.l1
            for j in range(wide.size):
                cut(j, params, sums, taken, numbers)
            for q in range(codes.shape[1]):
                cut(codes[0, q], params, sums, taken, numbers)
            if rows.indptr.size > 1:
                for e in range(rows.indptr[i], rows.indptr[i + 1]):
                    cut(rows.indices[e], params, sums, taken, numbers)
    fold(params, sums, numbers)
    return objective, step
