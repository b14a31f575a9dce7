"""As :mod:`dsgd.kernels.column_steps`, for k outputs: scores, all-reduce and update of a block of the columns in one loop.

Weights, scores and state are flat, feature by feature and row by row (see :mod:`dsgd.kernels.multi_rows`).
"""

from .columns import partial_scores_multi, pull_back_scores_multi
from .compiling import compiled
from .coordinates import step_coordinate
from .multi import settle_touched_multi, update_touched_multi
from .multi_rows import unfold_multi
from .protocols import schedule_rate
from .shared import DONE, allreduce


@compiled
def column_steps_multi(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, begin, summed, run, params, first, second, last, clock, step,
    base, sparse, weight_scale, lead, grad, scores, average, averaged, meeting, scratch,
):  # fmt: skip
    """Take one optimiser step for each mini-batch of a block.

    Parameters
    ----------
    begin : int
        Mini-batch to begin with.
    summed : bool
        Whether ``scores`` are already the sums over the ranks for that one.
    sparse : bool
        Whether only dense weights and those that the mini-batch touches are stepped.
    lead : bool
        Whether this rank adds intercepts and offset.
    scores : ndarray of shape (at least k times the rows of the largest mini-batch,)
        As long on all ranks.
    average : ndarray of shape ((d + 1) k,) or None
        As of :func:`dsgd.kernels.column_steps.column_steps`.
    meeting : Meeting or None
        The region that the ranks share; without one the caller adds the scores of every mini-batch up.

    Returns
    -------
    loss_sum, batch, step, averaged, missing
        As of :func:`dsgd.kernels.column_steps.column_steps`.
    """
    kind = params.dtype.type
    zero = kind(0)
    outputs = scratch.scores.shape[1]
    table = scores.reshape((scores.size // outputs, outputs))
    width = rows.dense.shape[1]
    weights = params.size - outputs
    l1, l2 = penalty.l1, penalty.l2
    end = width * outputs if sparse else weights
    loss_sum = 0.0
    for s in range(begin, bounds.size - 1):
        a = bounds[s]
        z = bounds[s + 1]
        rate = kind(schedule_rate(schedule, step))
        if not summed:
            if last is not None:
                settle_touched_multi(
                    rule, penalty, rows, frame, starts, a, z, run, params, first, second, last, clock, rate, step, base,
                    scratch,
                )  # fmt: skip
            partial_scores_multi(rows, frame, starts, a, z, run, params, lead, table, scratch)
            if meeting is None:
                return loss_sum, s, step, averaged, DONE - 1
            missing = allreduce(
                meeting.flags, meeting.slots, meeting.results, meeting.progress, scores, meeting.rank, meeting.spins
            )
            if missing != DONE:
                return loss_sum, s, step, averaged, missing
        summed = False
        part, count = pull_back_scores_multi(loss, rows, frame, starts, a, z, run, table, weight_scale, grad, scratch)
        loss_sum += part
        unfold_multi(frame, grad, outputs, width)
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
    return loss_sum, bounds.size - 1, step, averaged, DONE
