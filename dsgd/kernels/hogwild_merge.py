"""How threads' copies of the hot weights meet: a thread's own vector and what all threads have in, both brought together out.

Sums of the rule's state add up. Changes of weights that agree are averaged instead of added, as far as they agree (Adasum: Maleki
et al., MLSys 2021), because threads that start alike would else go the same way twice.
"""

from typing import Any, NamedTuple

import numpy as np

from .claims import try_lock, unlock
from .compiling import compiled, helper
from .protocols import rule_settle


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
