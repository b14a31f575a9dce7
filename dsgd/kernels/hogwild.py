"""Lock-free threads on one vector of weights (Hogwild: Niu, Recht, Re & Wright 2011): what one of them does.

Threads claim chunks of a block's runs or mini-batches, and work through each with the kernels of one thread. What they add to
weights that few rows use goes straight into the shared vector; two that write the same weight at the same instant lose one of
the two steps, which sparse rows make rare. Weights that many rows use would travel from core to core with every row: of these,
the *hot* ones, each thread has copies of its own, and after a chunk it brings them together with those of the others
(:mod:`.hogwild_merge`). That is behind a lock that nobody waits for: a thread that is refused goes on, and merges after another
chunk.

A thread's ``own`` vector begins with its hot copies: the dense weights, then a slot for each other hot weight; it ends with its
intercepts. The weights in between are those of all threads: every own vector is a stretch of one long array (see
:mod:`dsgd.train.hogwild_copies`), in which the shared weights lie at the same place, ``shift`` further from the stretch's
beginning than in the model. So the kernels need to know nothing of it: a row's codes are moved instead.
"""

from .claims import STOP, claim
from .compiling import compiled
from .hogwild_merge import try_merge
from .hogwild_moves import move_codes, move_entries
from .hogwild_settle import settle_run
from .online import online_pass
from .rows import Rows, codes_of
from .steps import local_steps


@compiled
def hogwild_online(
    loss, rule, schedule, penalty, rows, frame, bare, starts, run, edges, steps, own, last, clock, base, part, meeting, moves,
    weight_scale, scratch, room,
):  # fmt: skip
    """Claim chunks of a block and step once for each of their rows, until none is left.

    The penalty of a step is taken by the step, and that of the steps since a weight was last used before each run: ``last[j]`` is
    the step, counted from ``base``, up to which that has been done, a step of the weight's own counting for one. Where threads
    share the weight they share ``last[j]`` too, and one that is behind takes nothing.

    Parameters
    ----------
    loss, rule, schedule, penalty, rows, frame, starts, run, clock, base, weight_scale, scratch
        As :func:`dsgd.kernels.online.online_pass` has them; ``clock`` covers all steps of the block, or is empty, so that one
        compiled kernel serves fits with a penalty and without.
    bare : Frame
        ``frame`` without interactions, whose codes are moved with the others.
    edges : ndarray of shape (chunks + 1,), int64
        Chunk ``c`` is the runs ``starts[edges[c]:edges[c + 1]]``.
    steps : ndarray of shape (chunks + 1,), int64
        The number of each chunk's first step.
    own : State
    last : ndarray of the shape of the own vectors, int32, or of (0,)
        Empty when there is no penalty.
    part : int
        Threads that have a copy of each hot weight.
    meeting : Meeting
    moves : Moves
        With a shift of 0 rows are taken as they are.
    room : Room

    Returns
    -------
    float
        Sum of weight x loss of each row before its own step.
    """
    total = 0.0
    while meeting.claims[STOP] == 0:
        chunk = claim(meeting.claims)
        if chunk >= edges.size - 1:
            break
        step = steps[chunk]
        for r in range(edges[chunk], edges[chunk + 1]):
            start = starts[r]
            stop = min(start + run, rows.label.size)
            codes = rows.codes[start:stop]
            indptr, indices, values = rows.indptr, rows.indices, rows.values
            if moves.shift or frame.cross_start.size:
                expanded = codes_of(rows, frame, start, stop, scratch.codes)
                move_codes(moves, expanded, room.codes)
                codes = room.codes_read[: stop - start]
            if indptr.size > 1:
                indptr = indptr[start : stop + 1]
                if moves.shift:
                    begin, end = move_entries(moves, rows, start, stop, room)
                    indptr = room.indptr_read[: stop - start + 1]
                    indices = room.indices_read
                    values = values[begin:end]
            settle_run(
                rule, schedule, penalty, codes, indptr, indices, own.params, own.first, own.second, last, clock, step, base,
                meeting.hot, part,
            )  # fmt: skip
            run_rows = Rows(
                rows.dense[start:stop], codes, indptr, indices, values, rows.label[start:stop], rows.weight[start:stop],
                rows.offset[start:stop],
            )  # fmt: skip
            loss_sum, step = online_pass(
                loss, rule, schedule, penalty, run_rows, bare, room.begin, run, own.params, own.first, own.second, None, None,
                step, base, weight_scale, scratch,
            )  # fmt: skip
            total += loss_sum
        try_merge(rule, penalty, own, meeting, step)
    return total


@compiled
def hogwild_steps(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, run, edges, steps, own, last, clock, base, meeting, sparse,
    weight_scale, grad, scratch,
):  # fmt: skip
    """Claim chunks of a block and take one step for each of their mini-batches, until none is left.

    Parameters are those of ``hogwild_online`` and of :func:`dsgd.kernels.steps.local_steps`; ``edges`` divide the mini-batches,
    ``grad`` is the thread's own. All threads share ``last``, if there is one: a thread that is behind takes back what another
    has taken for steps to come, so that the times still add up.
    """
    total = 0.0
    while meeting.claims[STOP] == 0:
        chunk = claim(meeting.claims)
        if chunk >= edges.size - 1:
            break
        loss_sum, step, _ = local_steps(
            loss, rule, schedule, penalty, rows, frame, starts, bounds[edges[chunk] : edges[chunk + 1] + 1], run, own.params,
            own.first, own.second, last, clock, steps[chunk], base, sparse, weight_scale, grad, None, 0, scratch,
        )  # fmt: skip
        total += loss_sum
        try_merge(rule, penalty, own, meeting, step)
    return total
