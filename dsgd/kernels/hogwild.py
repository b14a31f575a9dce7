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
from .compiling import compiled, helper, inlined
from .online import fetch_ahead, online_pass
from .protocols import rule_settle, schedule_rate
from .rows import Rows, codes_of
from .steps import local_steps

# Steps by which the penalty of a hot weight may be behind when it is used.
SLACK = 1 << 10


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
        How much further on the shared weights are; 0 when nothing moves.
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
    if shift == 0:
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                moved[i, q] = codes[i, q]
        return
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
def products(own, at, together, seen, begin, count):
    """Of ``count`` numbers, the squares of the thread's changes and of the others', and the products of both, summed up."""
    zero = own.dtype.type(0)
    mine, theirs, both = zero, zero, zero
    for i in range(count):
        my_change = own[at + i] - seen[begin + i]
        their_change = together[begin + i] - seen[begin + i]
        mine += my_change * my_change
        theirs += their_change * their_change
        both += my_change * their_change
    return np.float64(mine), np.float64(theirs), np.float64(both)


@helper
def agreement(own, together, seen, hot):
    """How far the thread's changes go the way of the others': part of its own, and of theirs, from 0 (across) to 1 (alike)."""
    tail = together.size - hot
    mine, theirs, both = products(own, 0, together, seen, 0, hot)
    mine_last, theirs_last, both_last = products(own, own.size - tail, together, seen, hot, tail)
    both += both_last
    if both <= 0:
        return 0.0, 0.0
    return min(both / (mine + mine_last), 1.0), min(both / (theirs + theirs_last), 1.0)


@helper
def add_stretch(own, at, together, seen, begin, count, mine, theirs):
    """Make ``count`` numbers what was seen, plus ``mine`` times the thread's changes and ``theirs`` times the others'."""
    for i in range(count):
        before = seen[begin + i]
        new = before + mine * (own[at + i] - before) + theirs * (together[begin + i] - before)
        together[begin + i] = new
        own[at + i] = new
        seen[begin + i] = new


@helper
def add_changes(own, together, seen, hot, mine, theirs):
    """Merge the hot numbers of one array, and the intercepts; of the changes, these parts."""
    if own is not None:
        kind = own.dtype.type
        tail = together.size - hot
        add_stretch(own, 0, together, seen, 0, hot, kind(mine), kind(theirs))
        add_stretch(own, own.size - tail, together, seen, hot, tail, kind(mine), kind(theirs))


@helper
def average_stretch(own, at, together, seen, begin, count, share):
    """Of ``count`` numbers, go ``share`` of the way from what is there to what the thread has."""
    for i in range(count):
        new = together[begin + i] + share * (own[at + i] - together[begin + i])
        together[begin + i] = new
        own[at + i] = new
        seen[begin + i] = new


@helper
def merge_state(own, together, seen, hot, share):
    """Merge an array of the rule's state: a sum where ``share`` is 1, else moving averages."""
    if own is not None:
        if share == 1:
            add_changes(own, together, seen, hot, 1.0, 1.0)
        else:
            tail = together.size - hot
            average_stretch(own, 0, together, seen, 0, hot, share)
            average_stretch(own, own.size - tail, together, seen, hot, tail, share)


@helper
def solve_stretch(rule, params, at, first, second, together, seen, begin, count, step, l1, l2):
    zero = params.dtype.type(0)
    for i in range(count):
        j = at + i
        new = rule_settle(rule, params[j], first[j], second[j], zero, step, l1, l2)
        params[j] = new
        together[begin + i] = new
        seen[begin + i] = new


@helper
def solve_weights(rule, penalty, params, first, second, together, seen, hot, step):
    """Let the rule make the merged weights anew, if it is one of two sums whose weights are a function of them."""
    if second is not None:
        zero = params.dtype.type(0)
        tail = together.size - hot
        solve_stretch(rule, params, 0, first, second, together, seen, 0, hot, step, penalty.l1, penalty.l2)
        if penalty.intercept:
            solve_stretch(rule, params, params.size - tail, first, second, together, seen, hot, tail, step, zero, zero)


@compiled
def merge(rule, penalty, own, meeting, step):
    """Add what the thread has changed in its copies to what all threads have, and take up what the others have changed.

    ``step`` is the number of steps taken. Only one thread may merge at a time.
    """
    together, seen, hot, share = meeting.together, meeting.seen, meeting.hot, meeting.share
    mine, theirs = 0.0, 0.0
    if not (share == 1 and own.second is not None):
        mine, theirs = agreement(own.params, together.params, seen.params, hot)
    add_changes(own.params, together.params, seen.params, hot, 1 - 0.5 * mine, 1 - 0.5 * theirs)
    merge_state(own.first, together.first, seen.first, hot, share)
    merge_state(own.second, together.second, seen.second, hot, share)
    solve_weights(rule, penalty, own.params, own.first, own.second, together.params, seen.params, hot, step)


@helper
def try_merge(rule, penalty, own, meeting, step):
    """Merge, unless another thread does."""
    if meeting.together.params.size > 0 and try_lock(meeting.claims):
        merge(rule, penalty, own, meeting, step)
        unlock(meeting.claims)


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
