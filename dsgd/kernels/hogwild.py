"""Lock-free threads on one vector of weights (Hogwild: Niu, Recht, Re & Wright 2011): what one of them does.

Threads claim chunks of a block's runs or mini-batches, and work through each with the kernels of one thread. What they add to
weights that few rows use goes straight into the shared vector; two that write the same weight at the same instant lose one of
the two steps, which sparse rows make rare. Weights that many rows use would travel from core to core with every row: these,
the *hot* ones, each thread has in a copy of its own, and after a chunk :func:`merge` adds what the thread has changed in
it to the sums of all threads, and takes up what the others have. Merging is behind a lock that nobody waits for: a thread that is
refused goes on, and merges after another chunk.

A thread's ``own`` vector begins with its hot copies: the dense weights, then a slot for each other hot weight; it ends with its
intercepts. The weights in between are those of all threads: every own vector is a stretch of one long array (see
:mod:`dsgd.train.hogwild_views`), in which the shared weights lie at the same place, ``shift`` further from the stretch's
beginning than in the model. So the kernels need to know nothing of it: a row's codes are moved instead.
"""

from typing import Any, NamedTuple

import numpy as np

from .claims import STOP, claim, try_lock, unlock
from .compiling import compiled, helper
from .online import online_pass
from .protocols import rule_settle, schedule_rate
from .rows import Rows, codes_of
from .steps import local_steps


class State(NamedTuple):
    """Weights and the rule's state, flat and of one shape; None for what the rule does not use."""

    params: Any
    first: Any
    second: Any


class Meeting(NamedTuple):
    """Where a thread's hot copies meet those of the others.

    Attributes
    ----------
    together : State
        Of all threads: the hot weights, then the intercepts.
    seen : State
        What this thread found there when it last merged.
    hot : int
        Numbers at the head of an own vector that are copies; all but the intercepts where nothing is shared.
    share : float
        1 when the rule's state is a sum of what was met, which adds up like the weights; for moving averages, which do
        not, a thread's part in their mean.
    claims : ndarray of shape (CLAIMS,), int64
    """

    together: Any
    seen: Any
    hot: Any
    share: Any
    claims: Any


class Moves(NamedTuple):
    """From the weights that rows name to a thread's own vector.

    Attributes
    ----------
    low, length, slot : ndarray of shape (c,), int32
        The numbers ``low[q]`` to ``low[q] + length[q]`` of column ``q`` are hot, and are found ``slot[q]`` further on.
    place : ndarray of shape (d,), uint16, or (0,)
        Instead, for each weight its slot, counted from 1; 0 for those that are shared.
    shift : int32
        How much further on the shared weights are.
    """

    low: Any
    length: Any
    slot: Any
    place: Any
    shift: Any


class Room(NamedTuple):
    """Buffers for a run's moved codes and sparse part, each with a view that cannot be written, as rows are.

    ``begin`` is [0], the first row of the only run.
    """

    codes: Any
    codes_read: Any
    indptr: Any
    indptr_read: Any
    indices: Any
    indices_read: Any
    begin: Any


@helper
def move_codes(moves, codes, moved):
    """Write to ``moved`` where a thread finds the weights of ``codes``, of shape (n, c)."""
    low, length, slot, place, shift = moves.low, moves.length, moves.slot, moves.place, moves.shift
    if place.size:
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                j = codes[i, q]
                slot_of = np.int32(place[j])
                moved[i, q] = slot_of - 1 if slot_of else j + shift
        return
    for i in range(codes.shape[0]):
        for q in range(codes.shape[1]):
            j = codes[i, q]
            # One comparison for both ends, and no branch, so that the loop is one of vector instructions.
            moved[i, q] = j + (slot[q] if np.uint32(j - low[q]) < np.uint32(length[q]) else shift)


@helper
def move_entries(moves, rows, start, stop, room):
    """Write the sparse part of rows ``start`` to ``stop`` to the buffers; return where its values begin and end."""
    begin, end = rows.indptr[start], rows.indptr[stop]
    for i in range(stop - start + 1):
        room.indptr[i] = rows.indptr[start + i] - begin
    for e in range(begin, end):
        j = rows.indices[e]
        slot_of = np.int32(moves.place[j])
        room.indices[e - begin] = slot_of - 1 if slot_of else j + moves.shift
    return begin, end


@helper
def merge_stretch(own, together, seen, at, begin, count, share):
    """Merge ``count`` numbers, from ``begin`` on where threads meet, from ``at`` on in the thread's own vector."""
    if share == 1:
        for i in range(count):
            new = together[begin + i] + (own[at + i] - seen[begin + i])
            together[begin + i] = new
            own[at + i] = new
            seen[begin + i] = new
        return
    for i in range(count):
        new = together[begin + i] + share * (own[at + i] - together[begin + i])
        together[begin + i] = new
        own[at + i] = new
        seen[begin + i] = new


@helper
def merge_array(own, together, seen, hot, share):
    """Merge the hot numbers of one array, and the intercepts."""
    if own is not None:
        tail = together.size - hot
        merge_stretch(own, together, seen, 0, 0, hot, share)
        merge_stretch(own, together, seen, own.size - tail, hot, tail, share)


@helper
def solve_weights(rule, penalty, params, first, second, together, seen, hot, step):
    """Let the rule make the merged weights anew, if it is one of two sums whose weights are a function of them."""
    if second is not None:
        zero = params.dtype.type(0)
        tail = params.size - together.size
        for i in range(together.size if penalty.intercept else hot):
            j = i if i < hot else tail + i
            l1 = penalty.l1 if i < hot else zero
            l2 = penalty.l2 if i < hot else zero
            new = rule_settle(rule, params[j], first[j], second[j], zero, step, l1, l2)
            params[j] = new
            together[i] = new
            seen[i] = new


@compiled
def merge(rule, penalty, own, meeting, step):
    """Add what the thread has changed in its copies to the sums of all threads, and take up what the others have.

    ``step`` is the number of steps taken. Only one thread may merge at a time.
    """
    together, seen, hot, share = meeting.together, meeting.seen, meeting.hot, meeting.share
    merge_array(own.params, together.params, seen.params, hot, own.params.dtype.type(1))
    merge_array(own.first, together.first, seen.first, hot, share)
    merge_array(own.second, together.second, seen.second, hot, share)
    solve_weights(rule, penalty, own.params, own.first, own.second, together.params, seen.params, hot, step)


@helper
def try_merge(rule, penalty, own, meeting, step):
    """Merge, unless another thread does."""
    if meeting.together.params.size > 0 and try_lock(meeting.claims):
        merge(rule, penalty, own, meeting, step)
        unlock(meeting.claims)


@compiled
def extend_clock(schedule, clock, taken, step, count):
    """Enter the rates of the thread's next ``count`` steps, of which the first is number ``step`` of all."""
    if clock is not None:
        for t in range(count):
            clock[taken + t + 1] = clock[taken + t] + schedule_rate(schedule, step + t)


@compiled
def hogwild_online(
    loss, rule, schedule, penalty, rows, frame, bare, starts, run, edges, steps, own, last, clock, taken, meeting, moves,
    weight_scale, scratch, room,
):  # fmt: skip
    """Claim chunks of a block and step once for each of their rows, until none is left.

    Parameters
    ----------
    loss, rule, schedule, penalty, rows, frame, starts, run, last, clock, weight_scale, scratch
        As :func:`dsgd.kernels.online.online_pass` has them. ``last`` and ``clock`` are the thread's own, and count its own steps.
    bare : Frame
        ``frame`` without interactions, whose codes are moved with the others.
    edges : ndarray of shape (chunks + 1,), int64
        Chunk ``c`` is the runs ``starts[edges[c]:edges[c + 1]]``.
    steps : ndarray of shape (chunks + 1,), int64
        The number of each chunk's first step.
    own : State
    taken : int
        Steps that the thread has taken since the origin of ``last`` and ``clock``.
    meeting : Meeting
    moves : Moves
        With a shift of 0 rows are taken as they are.
    room : Room

    Returns
    -------
    loss_sum : float
        Sum of weight x loss of each row before its own step.
    taken : int
        The count after the call.
    """
    total = 0.0
    while meeting.claims[STOP] == 0:
        chunk = claim(meeting.claims)
        if chunk >= edges.size - 1:
            break
        step = steps[chunk]
        base = step - taken
        extend_clock(schedule, clock, taken, step, steps[chunk + 1] - step)
        for r in range(edges[chunk], edges[chunk + 1]):
            start = starts[r]
            stop = min(start + run, rows.label.size)
            codes = rows.codes[start:stop]
            indptr, indices, values = rows.indptr, rows.indices, rows.values
            if moves.shift:
                move_codes(moves, codes_of(rows, frame, start, stop, scratch.codes), room.codes)
                codes = room.codes_read[: stop - start]
                if indptr.size > 1:
                    begin, end = move_entries(moves, rows, start, stop, room)
                    indptr = room.indptr_read[: stop - start + 1]
                    indices = room.indices_read
                    values = values[begin:end]
            elif indptr.size > 1:
                indptr = indptr[start : stop + 1]
            part = Rows(
                rows.dense[start:stop], codes, indptr, indices, values, rows.label[start:stop], rows.weight[start:stop],
                rows.offset[start:stop],
            )  # fmt: skip
            loss_sum, step = online_pass(
                loss, rule, schedule, penalty, part, bare if moves.shift else frame, room.begin, run, own.params, own.first,
                own.second, last, clock, step, base, weight_scale, scratch,
            )  # fmt: skip
            total += loss_sum
        taken = step - base
        try_merge(rule, penalty, own, meeting, step)
    return total, taken


@compiled
def hogwild_steps(
    loss, rule, schedule, penalty, rows, frame, starts, bounds, run, edges, steps, own, last, clock, taken, meeting, sparse,
    weight_scale, grad, scratch,
):  # fmt: skip
    """Claim chunks of a block and take one step for each of their mini-batches, until none is left.

    Parameters are those of ``hogwild_online`` and of :func:`dsgd.kernels.steps.local_steps`; ``edges`` divide the mini-batches,
    ``grad`` is the thread's own. Rows are taken as they are: weights that are not hot lie where the rows name them.
    """
    total = 0.0
    while meeting.claims[STOP] == 0:
        chunk = claim(meeting.claims)
        if chunk >= edges.size - 1:
            break
        step = steps[chunk]
        base = step - taken
        extend_clock(schedule, clock, taken, step, steps[chunk + 1] - step)
        loss_sum, step, _ = local_steps(
            loss, rule, schedule, penalty, rows, frame, starts, bounds[edges[chunk] : edges[chunk + 1] + 1], run, own.params,
            own.first, own.second, last, clock, step, base, sparse, weight_scale, grad, None, 0, scratch,
        )  # fmt: skip
        total += loss_sum
        taken = step - base
        try_merge(rule, penalty, own, meeting, step)
    return total, taken
