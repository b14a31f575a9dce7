"""Mini-batch steps of ranks that share memory and have a block of the columns each: scores, all-reduce and update in one loop.

What :mod:`dsgd.kernels.reduced` is for gradients: steps of Python between them would cost more than a mini-batch's scores. Where
only touched weights are updated, a step costs as much as the batch has values, however many weights there are. For one output.
"""

from typing import Any, NamedTuple

import numpy as np

from .columns import partial_scores, pull_back_scores
from .compiling import compiled, helper
from .coordinates import ask_for_coordinate, step_coordinate
from .prefetch import FAR
from .protocols import schedule_rate
from .rows import codes_of, unfold
from .shared import DONE, allreduce
from .steps import settle_touched


class Gathered(NamedTuple):
    """The weights that a run touches, side by side: positions, gradients, weights and the rule's state or None.

    Each of shape (at least the values of a run,); the positions int32.
    """

    positions: Any
    gradients: Any
    params: Any
    first: Any
    second: Any


@helper
def _take(j, params, first, second, grad, gathered, count):
    """Move what belongs to weight ``j`` to the end of what is gathered, unless it is there; return the new count."""
    if grad[j] == 0:
        return count
    gathered.positions[count] = j
    gathered.gradients[count] = grad[j]
    gathered.params[count] = params[j]
    if first is not None:
        gathered.first[count] = first[j]
    if second is not None:
        gathered.second[count] = second[j]
    grad[j] = 0
    return count + 1


@helper
def _gather(codes, rows, start, stop, params, first, second, grad, gathered):
    """Gather the weights of some rows whose gradient is not zero, each once, and clear their gradient; return their number."""
    indptr, indices = rows.indptr, rows.indices
    count = 0
    for i in range(codes.shape[0]):
        for q in range(codes.shape[1]):
            count = _take(codes[i, q], params, first, second, grad, gathered, count)
    if indptr.size > 1:
        for e in range(indptr[start], indptr[stop]):
            # The next rows' too, which are looked at next as a rule.
            if e + FAR < indices.size:
                ask_for_coordinate(np.intp(indices[e + FAR]), grad, params, first, second)
            count = _take(indices[e], params, first, second, grad, gathered, count)
    return count


@helper
def _step_touched(
    rule, penalty, rows, frame, starts, begin, end, run, params, first, second, last, grad, factor, rate, step, base, gathered,
    scratch,
):  # fmt: skip
    """Step the weights that the runs touch. Side by side some are stepped at once, and a run's stay in the cache meanwhile."""
    l1, l2 = penalty.l1, penalty.l2
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        count = _gather(codes, rows, start, stop, params, first, second, grad, gathered)
        for i in range(count):
            step_coordinate(
                rule,
                gathered.params,
                gathered.first,
                gathered.second,
                i,
                gathered.gradients[i] * factor,
                rate,
                step,
                l1,
                l2,
            )
        for i in range(count):
            j = gathered.positions[i]
            params[j] = gathered.params[i]
            if first is not None:
                first[j] = gathered.first[i]
            if second is not None:
                second[j] = gathered.second[i]
            if last is not None:
                last[j] = step - base


@compiled
def column_steps(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, begin, summed, run, params, first, second, last, clock, step,
    base, sparse, weight_scale, lead, grad, scores, gathered, meeting, scratch,
):  # fmt: skip
    """Take one optimiser step for each mini-batch of a block; as :func:`dsgd.kernels.steps.local_steps`, on a block of columns.

    Parameters
    ----------
    begin : int
        Mini-batch to begin with.
    summed : bool
        Whether ``scores`` are already the sums over the ranks for that one.
    lead : bool
        Whether this rank adds intercept and offset.
    scores : ndarray of shape (at least the rows of the largest mini-batch,)
        As long on all ranks.
    gathered : Gathered
        Room for what a run touches.
    meeting : Meeting or None
        The region that the ranks share; without one the caller adds the scores of every mini-batch up.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row at the weights of its step.
    batch : int
        The first mini-batch whose step is still to be taken.
    step : int
        Steps taken.
    missing : int
        DONE, or what :func:`dsgd.kernels.shared.allreduce` says of a peer; something else than DONE where scores are to be
        added up.
    """
    kind = params.dtype.type
    zero = kind(0)
    width = rows.dense.shape[1]
    size = params.size - 1
    l1, l2 = penalty.l1, penalty.l2
    end = width if sparse else size
    loss_sum = 0.0
    for s in range(begin, bounds.size - 1):
        a = bounds[s]
        z = bounds[s + 1]
        rate = kind(schedule_rate(schedule, step))
        if not summed:
            if last is not None:
                settle_touched(
                    rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, clock, rate, step, base,
                    scratch,
                )  # fmt: skip
            partial_scores(rows, frame, starts, a, z, run, params, lead, scores, scratch)
            if meeting is None:
                return loss_sum, s, step, DONE - 1
            missing = allreduce(
                meeting.flags, meeting.slots, meeting.results, meeting.progress, scores, meeting.rank, meeting.spins
            )
            if missing != DONE:
                return loss_sum, s, step, missing
        summed = False
        part, count = pull_back_scores(loss, rows, frame, starts, a, z, run, scores, weight_scale, grad, scratch)
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
            _step_touched(
                rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, grad, factor, rate, step, base,
                gathered, scratch,
            )  # fmt: skip
    return loss_sum, bounds.size - 1, step, DONE
