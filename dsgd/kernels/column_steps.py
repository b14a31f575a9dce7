"""Mini-batch steps of ranks that share memory and have a block of the columns each: scores, all-reduce and update in one loop.

What :mod:`dsgd.kernels.reduced` is for gradients: steps of Python between them would cost more than a mini-batch's scores. Where
only touched weights are updated (:mod:`dsgd.kernels.touched`), a step costs as much as the batch has values, however many weights
there are. For one output.
"""

from .columns import partial_scores, pull_back_scores
from .compiling import compiled
from .coordinates import step_coordinate
from .protocols import schedule_rate
from .rows import unfold
from .shared import DONE, allreduce
from .touched import put_back, settle_taken, step_taken, take_touched
from .touched_scores import pull_back_touched, scores_of_touched


@compiled
def column_steps(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, begin, summed, run, params, first, second, last, clock, step,
    base, weight_scale, lead, grad, scores, touched, average, averaged, meeting, scratch,
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
    grad : ndarray
        Zero between steps; as long as ``params``, or of shape (p + 1,) with ``touched``.
    scores : ndarray of shape (at least the rows of the largest mini-batch,)
        As long on all ranks.
    touched : Touched or None
        Room for what a mini-batch touches, where steps are of dense weights and of these only; otherwise all weights are
        stepped. It goes on holding weights when a mini-batch's scores are still to be added up.
    average : ndarray of shape (d + 1,) or None
        Running mean of the iterates of steps of all weights, of which it holds ``averaged`` before the call; None for none.
    meeting : Meeting or None
        The region that the ranks share; without one the caller adds the scores of every mini-batch up.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row at the weights of its step.
    batch : int
        The first mini-batch whose step is still to be taken.
    step, averaged : int
        The counts after the call.
    missing : int
        DONE, or what :func:`dsgd.kernels.shared.allreduce` says of a peer; something else than DONE where scores are to be
        added up.
    """
    kind = params.dtype.type
    zero = kind(0)
    width = rows.dense.shape[1]
    size = params.size - 1
    tail = grad.size - 1
    l1, l2 = penalty.l1, penalty.l2
    loss_sum = 0.0
    for s in range(begin, bounds.size - 1):
        a = bounds[s]
        z = bounds[s + 1]
        rate = kind(schedule_rate(schedule, step))
        if not summed:
            if touched is not None:
                take_touched(rows, frame, starts, a, z, run, params, first, second, last, touched, scratch)
                settle_taken(rule, penalty, last, clock, rate, step, base, touched)
                scores_of_touched(rows, frame, starts, a, z, run, params, lead, scores, touched, scratch)
            else:
                partial_scores(rows, frame, starts, a, z, run, params, lead, scores, scratch)
            if meeting is None:
                return loss_sum, s, step, averaged, DONE - 1
            missing = allreduce(
                meeting.flags, meeting.slots, meeting.results, meeting.progress, scores, meeting.rank, meeting.spins
            )
            if missing != DONE:
                return loss_sum, s, step, averaged, missing
        summed = False
        if touched is not None:
            part, count = pull_back_touched(
                loss, rows, frame, starts, a, z, run, scores, weight_scale, grad, touched, scratch
            )
        else:
            part, count = pull_back_scores(loss, rows, frame, starts, a, z, run, scores, weight_scale, grad, scratch)
        loss_sum += part
        unfold(frame, grad, width)
        factor = kind(1.0 / max(count, 1))
        step += 1
        for j in range(tail):
            step_coordinate(rule, params, first, second, j, grad[j] * factor, rate, step, l1, l2)
            grad[j] = 0
        if penalty.intercept:
            step_coordinate(rule, params, first, second, size, grad[tail] * factor, rate, step, zero, zero)
        grad[tail] = 0
        if touched is not None:
            step_taken(rule, penalty, factor, rate, step, touched)
            put_back(params, first, second, last, step, base, touched)
        if average is not None:
            averaged += 1
            share = kind(1.0 / averaged)
            for j in range(size + 1):
                average[j] += (params[j] - average[j]) * share
    return loss_sum, bounds.size - 1, step, averaged, DONE
