"""The weights that a mini-batch touches, side by side: taken out of their vector before its scores, put back after its step.

A weight far from all others costs a miss of the cache whenever it is looked at. So each is looked at twice only: it is taken with
its state, scores, gradient and step are made of what was taken, and it is put back. Where weight and state lie beside each other
in memory (:func:`interleaved`) both are one miss.

Which weights are taken already is known without a table: a weight that is taken leaves its number in its place, and a number is
believed if the list of what was taken agrees (the sparse sets of Briggs & Torczon 1993). Between the two the vector is not to be
read. For one output.
"""

from typing import Any, NamedTuple

import numpy as np

from .compiling import helper, inlined
from .coordinates import ask_for_coordinate, settle_coordinate
from .prefetch import prefetch
from .protocols import rule_update
from .rows import codes_of

# Values between asking for a weight and taking it.
_AHEAD = 32


class Touched(NamedTuple):
    """What a mini-batch touches, each weight once, and where its values find them.

    Attributes
    ----------
    marks : ndarray of shape (size,)
        The vector of weights as unsigned integers of its width.
    places : ndarray of shape (at least the values of a mini-batch,), uint32
        Which of the weights taken each value belongs to; run by run, codes before sparse values.
    positions : ndarray of shape (at least the weights that a mini-batch touches,), uint32
    params, gradient, first, second : ndarray of the same shape, of the fit's dtype
        ``first`` and ``second`` None if the rule does not have them.
    since : ndarray of the same shape, int32, or None
        Up to which step a weight has had its penalty; None where none is lazy.
    count : ndarray of shape (1,), int64
        Weights taken.
    """

    marks: Any
    places: Any
    positions: Any
    params: Any
    gradient: Any
    first: Any
    second: Any
    since: Any
    count: Any


def interleaved(params: np.ndarray, slots: int, lazy: bool) -> tuple[np.ndarray, list[np.ndarray], np.ndarray | None]:
    """Room for weights, ``slots`` arrays of state and, if ``lazy``, steps, so that all of one weight lies together.

    Parameters
    ----------
    params : ndarray of shape (size,)
        The weights to begin with.
    slots : int
    lazy : bool

    Returns
    -------
    params : ndarray of shape (size,)
        A copy; this and the others are views of one array.
    state : list of ndarray of shape (size,)
        Zero.
    last : ndarray of shape (size,), int32, or None
        Zero.

    Examples
    --------
    >>> params, (first,), last = interleaved(np.ones(3, np.float32), 1, False)
    >>> params.strides, first.ctypes.data - params.ctypes.data, last
    ((8,), 4, None)
    """
    room = np.zeros((len(params), 1 + slots + lazy), params.dtype)
    room[:, 0] = params
    last = None
    if lazy:
        last = room.view(np.int32)[:, (1 + slots) * (params.itemsize // 4)]
    return room[:, 0], [room[:, 1 + slot] for slot in range(slots)], last


def make_touched(params: np.ndarray, first, second, last, values: int) -> Touched:
    """Room for what a mini-batch of ``values`` values touches.

    Examples
    --------
    >>> room = make_touched(np.zeros(9, np.float32), None, None, None, values=4)
    >>> room.marks.dtype, room.places.shape
    (dtype('uint32'), (4,))
    """
    dtype = params.dtype
    own_first, own_second = (None if array is None else np.empty(values, dtype) for array in (first, second))
    return Touched(
        marks=params.view(f"uint{8 * dtype.itemsize}"),
        places=np.zeros(values, np.uint32),
        positions=np.zeros(values, np.uint32),
        params=np.empty(values, dtype),
        gradient=np.empty(values, dtype),
        first=own_first,
        second=own_second,
        since=None if last is None else np.empty(values, np.int32),
        count=np.zeros(1, np.int64),
    )


@inlined
def _take(
    j, at, places, marks, positions, taken, gradient, params, first, own_first, second, own_second, last, since, count
):
    """Take weight ``j``, unless it is taken, and note which it is at ``places[at]``; return the new count."""
    # Unsigned numbers are compared once, and index without a look at their sign.
    number = marks[j]
    if number < marks.dtype.type(count) and positions[number] == j:
        places[at] = number
        return count
    places[at] = count
    positions[count] = j
    taken[count] = params[j]
    gradient[count] = 0
    if first is not None:
        own_first[count] = first[j]
    if second is not None:
        own_second[count] = second[j]
    if last is not None:
        since[count] = last[j]
    marks[j] = count
    return count + 1


@inlined
def _ask(j, params, first, second, last):
    if last is not None:
        prefetch(last, j)
    ask_for_coordinate(j, params, params, first, second)


@helper
def take_touched(rows, frame, starts, begin, end, run, params, first, second, last, touched, scratch):
    """Take what runs ``begin`` to ``end`` touch."""
    indptr, indices, places = rows.indptr, rows.indices, touched.places
    marks, positions, taken, gradient = touched.marks, touched.positions, touched.params, touched.gradient
    own_first, own_second, since = touched.first, touched.second, touched.since
    count = np.intp(0)
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        width = codes.shape[1]
        ahead = _AHEAD // max(width, 1) + 1
        for i in range(codes.shape[0]):
            for q in range(width):
                if i + ahead < codes.shape[0]:
                    _ask(np.intp(codes[i + ahead, q]), params, first, second, last)
                count = _take(
                    np.uint32(codes[i, q]), at, places, marks, positions, taken, gradient, params, first, own_first, second,
                    own_second, last, since, count,
                )  # fmt: skip
                at += 1
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                # The next rows' too, which are looked at next as a rule.
                if e + _AHEAD < indices.size:
                    _ask(np.intp(indices[e + _AHEAD]), params, first, second, last)
                count = _take(
                    np.uint32(indices[e]), at, places, marks, positions, taken, gradient, params, first, own_first, second,
                    own_second, last, since, count,
                )  # fmt: skip
                at += 1
    touched.count[0] = count


@helper
def settle_taken(rule, penalty, last, clock, rate, step, base, touched):
    """Bring the penalty of what was taken up to ``step``."""
    if last is not None:
        for i in range(touched.count[0]):
            settle_coordinate(
                rule, touched.params, touched.first, touched.second, touched.since, clock, i, rate, step, base, penalty.l1,
                penalty.l2,
            )  # fmt: skip


@helper
def step_taken(rule, penalty, factor, rate, step, touched):
    """Step what was taken; a weight whose gradient is zero rests."""
    # Every one is stepped, and kept or not: a branch around the step would keep the loop from vector registers.
    for i in range(touched.count[0]):
        _step(
            rule, touched.params, touched.first, touched.second, i, touched.gradient[i] * factor, rate, step, penalty.l1,
            penalty.l2,
        )  # fmt: skip


@inlined
def _step(rule, params, first, second, i, gradient, rate, step, l1, l2):
    weight, zero = params[i], params.dtype.type(0)
    if second is not None:
        f, s = first[i], second[i]
        moved, new_first, new_second = rule_update(rule, weight, f, s, gradient, rate, step, l1, l2)
        first[i] = new_first if gradient != 0 else f
        second[i] = new_second if gradient != 0 else s
    elif first is not None:
        f = first[i]
        moved, new_first, _ = rule_update(rule, weight, f, zero, gradient, rate, step, l1, l2)
        first[i] = new_first if gradient != 0 else f
    else:
        moved, _, _ = rule_update(rule, weight, zero, zero, gradient, rate, step, l1, l2)
    params[i] = moved if gradient != 0 else weight


@helper
def put_back(params, first, second, last, step, base, touched):
    """Put what was taken back; ``step`` counts the one that was just taken."""
    positions = touched.positions
    count = touched.count[0]
    for i in range(count):
        if i + _AHEAD < count:
            _ask(np.intp(positions[i + _AHEAD]), params, first, second, last)
        j = positions[i]
        params[j] = touched.params[i]
        if first is not None:
            first[j] = touched.first[i]
        if second is not None:
            second[j] = touched.second[i]
        if last is not None:
            last[j] = step - base - (touched.gradient[i] == 0)
