"""Mini-batch steps of ranks that share memory: gradient, all-reduce and update in one compiled loop.

A step of Python between them would cost more than a small mini-batch's gradient, and ranks that are threads would take
turns at it. The loop comes back only when a peer is late beyond the bounded wait of :mod:`dsgd.kernels.shared`, so that the
caller can look at its deadline; it is then called again at the same step, with the sum complete.

There is one loop for one output and for k: which gradient it calls is settled when it is compiled, by the shape of the scores.
"""

from numba.extending import overload

from .compiling import compiled, helper
from .coordinates import update_dense
from .multi import batch_gradient_multi
from .multi_rows import unfold_multi
from .shared import DONE, allreduce
from .steps import batch_gradient


def _gradient(loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch):
    """Gradient sum by raw columns of some runs, for as many outputs as ``scratch`` has scores a row."""
    chosen = batch_gradient if scratch.scores.ndim == 1 else batch_gradient_multi
    return chosen(loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch)


@overload(_gradient)
def _compiled_gradient(loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch):
    scores = scratch.types[scratch.fields.index("scores")]
    chosen = batch_gradient if scores.ndim == 1 else batch_gradient_multi
    return lambda loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch: chosen(
        loss, rows, frame, starts, begin, end, run, params, weight_scale, grad, scratch
    )


@helper
def _reduce(buffer, meeting):
    return allreduce(
        meeting.flags, meeting.slots, meeting.results, meeting.progress, buffer, meeting.rank, meeting.spins
    )


@helper
def _update(rule, schedule, penalty, outputs, params, first, second, buffer, step, average, averaged):
    """Step all weights with the sum in ``buffer``, which is cleared, and take them into the average."""
    kind = params.dtype.type
    rows = buffer[buffer.size - 1]
    grad = buffer[: buffer.size - 1]
    update_dense(rule, schedule, penalty, outputs, params, first, second, grad, kind(1) / max(rows, kind(1)), step)
    buffer[buffer.size - 1] = 0
    if average is not None:
        share = kind(1.0 / averaged)
        for j in range(params.size):
            average[j] += (params[j] - average[j]) * share


@compiled
def reduced_steps(
    loss, rule, schedule, penalty, rows, frame, starts, edges, begin, summed, run, outputs, params, first, second, step,
    weight_scale, buffer, average, averaged, meeting, scratch,
):  # fmt: skip
    """Take the global steps whose mini-batches end in a block; a rank's piece ``s`` is runs ``edges[s]`` to ``edges[s + 1]``.

    Parameters
    ----------
    edges : ndarray of shape (m + 1,)
        Every piece but the last ends a step; the last is only added to the gradient, because the step goes on in the next
        block.
    begin : int
        Piece to begin with.
    summed : bool
        Whether ``buffer`` is already the sum over the ranks for that piece's step.
    outputs : int
        k.
    buffer : ndarray of shape ((d + 1) k + 1,)
        The gradient and the number of rows, not yet reduced; zero after a step.
    average, averaged
        As for :func:`dsgd.kernels.steps.local_steps`.
    meeting : Meeting
        The region that the ranks share.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of this rank's rows at the weights of their steps.
    piece : int
        The first piece whose step is still to be taken.
    missing : int
        DONE, or what :func:`dsgd.kernels.shared.allreduce` says of a peer.
    """
    grad = buffer[: buffer.size - 1]
    last = edges.size - 2
    loss_sum = 0.0
    for s in range(begin, last + 1):
        if not summed:
            part, count = _gradient(
                loss, rows, frame, starts, edges[s], edges[s + 1], run, params, weight_scale, grad, scratch
            )
            loss_sum += part
            buffer[buffer.size - 1] += count
            if s == last:
                break
            missing = _reduce(buffer, meeting)
            if missing != DONE:
                return loss_sum, s, missing
        summed = False
        unfold_multi(frame, grad, outputs, rows.dense.shape[1])
        taken = s - begin
        _update(
            rule, schedule, penalty, outputs, params, first, second, buffer, step + taken, average, averaged + taken + 1
        )  # fmt: skip
    return loss_sum, last, DONE
