"""Lock-free threads for a linear model with k outputs.

The counterpart of :func:`dsgd.kernels.hogwild.hogwild_steps`, with the same arguments, over the mini-batches of
:mod:`dsgd.kernels.multi`.
"""

from .claims import STOP, claim
from .compiling import compiled
from .hogwild_merge import try_merge
from .multi import local_steps_multi


@compiled
def hogwild_steps_multi(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, run, edges, steps, own, last, clock, base, meeting, sparse,
    weight_scale, grad, scratch,
):  # fmt: skip
    """As :func:`dsgd.kernels.hogwild.hogwild_steps`, for k outputs."""
    total = 0.0
    while meeting.claims[STOP] == 0:
        chunk = claim(meeting.claims)
        if chunk >= edges.size - 1:
            break
        loss_sum, step, _ = local_steps_multi(
            loss, rule, schedule, penalty, rows, frame, starts, bounds[edges[chunk] : edges[chunk + 1] + 1], run, own.params,
            own.first, own.second, last, clock, steps[chunk], base, sparse, weight_scale, grad, None, 0, scratch,
        )  # fmt: skip
        total += loss_sum
        try_merge(rule, penalty, own, meeting, step)
    return total
