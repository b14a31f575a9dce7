"""The all-reduce of ranks that share memory, as compiled loops that release the interpreter lock.

In come the arrays of one shared region (see :class:`dsgd.collectives.shared.SharedMemory`), the caller's progress and
its buffer; out comes the sum over the ranks, in place. The only synchronisation is a counter per rank, alone on its
cache lines, that its owner alone writes: the number of barriers at which the rank has arrived.

**Double buffering.** Whatever a rank copies in before barrier ``s`` lies in ``slots[s % 2]``, is read by the others
between ``s`` and ``s + 1``, and is overwritten after ``s + 1`` at the earliest, so one barrier a step is enough. A
segment's sum is written to ``results[s % 2]`` between ``s`` and ``s + 1`` and read between ``s + 1`` and ``s + 2``.

**Order.** Every element is added in rank order, ``((x0 + x1) + x2) + ...``, whichever way the work is divided: the bits
depend on the number of ranks only.

**Waiting** is bounded: spin, then yield the core, then sleep, and after some milliseconds return the rank that is
missing, so that the caller can look at its deadline, at its peer and at signals, and call again with the same
progress. The functions are plain numba functions and can be called from another compiled loop, which returns to
Python when they do::

    while step < steps:
        gradient(...)
        missing = allreduce(flags, slots, results, progress, buffer, rank, SPINS)
        if missing != DONE:
            return step  # the caller looks at its deadline, finishes the all-reduce, and comes back
        update(...)
"""

from typing import Any, NamedTuple

from .atomics import copy, load_acquire, nanoseconds, nap, pause, store_release, yield_core
from .compiling import exact, exact_helper

LINE = 16  # int64 from one rank's flags to the next: two cache lines, because prefetchers fetch them in pairs
ARRIVED, LEFT, PID, SIGNS = range(4)  # columns of a rank's flags; its signs of life are counted in the last

TAGS = 4  # two columns more: what the rank does at an even and at an odd barrier

STEP, WAITING, BARRIERS, TAG, WAITED = range(5)  # fields of ``progress``; the last counts nanoseconds
PROGRESS_FIELDS = 5

DONE = -1  # a rank that is missing is >= 0, one that does something else is ``DONE - 1 - rank``

SMALL = 4096  # elements: up to here every rank adds up all slots itself, which saves a barrier
SPINS = 50  # pauses before yielding, a microsecond or so: where two ranks share a core, the other waits for them to end
_BLOCK = 1024
_YIELDS = 1000  # longer than a nap, or two ranks could go on waking up for each other
_NAPS = 100
_NAP_MICROSECONDS = 50


class Meeting(NamedTuple):
    """The arguments of :func:`allreduce` but for the buffer, of one rank and one dtype."""

    flags: Any
    slots: Any
    results: Any
    progress: Any
    rank: Any
    spins: Any


@exact_helper
def _missing(flags, size, sequence):
    """First rank that has not arrived at the barrier, or DONE."""
    for rank in range(size):
        if load_acquire(flags, rank * LINE + ARRIVED) < sequence:
            return rank
    return DONE


@exact_helper
def _differing(flags, size, sequence, tag):
    """DONE when all ranks came to the barrier for the same reason, else ``DONE - 1`` minus the first that did not."""
    for rank in range(size):
        if flags[rank * LINE + TAGS + sequence % 2] != tag:
            return DONE - 1 - rank
    return DONE


@exact
def wait(flags, size, sequence, spins):
    """Wait a bounded time for all ranks to arrive at barrier ``sequence``.

    Returns
    -------
    int
        DONE when all have arrived, else the first rank that is missing.
    """
    for attempt in range(spins + _YIELDS + _NAPS):
        missing = _missing(flags, size, sequence)
        if missing == DONE:
            return DONE
        if attempt < spins:
            pause()
        elif attempt < spins + _YIELDS:
            yield_core()
        else:
            nap(_NAP_MICROSECONDS)
    return _missing(flags, size, sequence)


@exact
def barrier(flags, progress, rank, spins):
    """Arrive at the next barrier, or go on waiting at it.

    Parameters
    ----------
    flags : ndarray of shape (size * LINE,), int64, shared
    progress : ndarray of shape (PROGRESS_FIELDS,), int64, private
        Where this rank stands, unchanged between a call that returned a missing rank and the call that continues it. Its TAG
        is set by the caller and says what is being done: it must be the same on all ranks. WAITED grows by the nanoseconds
        that this rank had nothing to do but wait.
    rank, spins : int

    Returns
    -------
    int
        DONE when all ranks have arrived; a rank (>= 0) that is missing: call again; or ``DONE - 1 - rank`` for a rank whose
        TAG differs, after which nothing can be done together any more.
    """
    if progress[WAITING] == 0:
        progress[BARRIERS] += 1
        progress[WAITING] = 1
        flags[rank * LINE + TAGS + progress[BARRIERS] % 2] = progress[TAG]
        store_release(flags, rank * LINE + ARRIVED, progress[BARRIERS])
    missing = _missing(flags, flags.shape[0] // LINE, progress[BARRIERS])
    if missing != DONE:
        # Who comes last looks at no clock.
        began = nanoseconds()
        missing = wait(flags, flags.shape[0] // LINE, progress[BARRIERS], spins)
        progress[WAITED] += nanoseconds() - began
    if missing != DONE:
        return missing
    progress[WAITING] = 0
    return _differing(flags, flags.shape[0] // LINE, progress[BARRIERS], progress[TAG])


@exact_helper
def _add_slots(slots, offset, rank, own, result):
    """``result = slots[0] + slots[1] + ...`` in rank order, from ``offset`` on; ``own`` takes the place of ``slots[rank]``.

    Blocks fit the first-level cache, so that the running sum stays there while the ranks pass by.
    """
    for begin in range(0, result.shape[0], _BLOCK):
        end = min(begin + _BLOCK, result.shape[0])
        total = result[begin:end]
        for r in range(slots.shape[0]):
            addend = own[begin:end] if r == rank else slots[r, offset + begin : offset + end]
            if r == 0:
                copy(total, 0, addend, 0, end - begin)
            else:
                for i in range(end - begin):
                    total[i] += addend[i]


@exact
def allreduce(flags, slots, results, progress, buffer, rank, spins):
    """Sum ``buffer`` over the ranks, in place, or go as far as the peers allow.

    Parameters
    ----------
    flags : ndarray of shape (size * LINE,), int64, shared
    slots : ndarray of shape (2, size, width), shared, of the buffer's dtype
    results : ndarray of shape (2, width), shared, of the buffer's dtype
    progress : ndarray of shape (PROGRESS_FIELDS,), int64, private
    buffer : ndarray of shape (d,), float32, float64 or int64, C-contiguous
    rank, spins : int

    Returns
    -------
    int
        DONE when the sum is complete; else as for :func:`barrier`: for a rank (>= 0) call again with the same arguments.
    """
    size, width = slots.shape[1], slots.shape[2]
    small = buffer.shape[0] <= min(SMALL, width)
    pieces = 1 if small else (buffer.shape[0] + width - 1) // width
    last = 0 if small else pieces
    while progress[STEP] <= last:
        if progress[WAITING] == 0:
            step, sequence = progress[STEP], progress[BARRIERS] + 1
            if step < pieces:
                _copy_in(slots[sequence % 2, rank], buffer, step * width, -1 if small else rank, size)
            if step >= 1:
                _add_segment(slots[(sequence - 1) % 2], results[(sequence - 1) % 2], buffer, (step - 1) * width, rank)
            if step >= 2:
                _copy_out(results[(sequence - 2) % 2], buffer, (step - 2) * width, rank, size)
        missing = barrier(flags, progress, rank, spins)
        if missing != DONE:
            return missing
        progress[STEP] += 1
    progress[STEP] = 0
    if small:
        _add_slots(slots[progress[BARRIERS] % 2], 0, -1, buffer, buffer)
    else:
        _copy_out(results[(progress[BARRIERS] - 1) % 2], buffer, (pieces - 1) * width, rank, size)
    return DONE


@exact_helper
def _segment(length, rank, size):
    """The part of a piece that ``rank`` adds up (nobody's, when it is -1).

    It is made of whole cache lines, so that no two ranks write to the same one.
    """
    if rank < 0:
        return 0, 0
    share = (length + size - 1) // size
    share = (share + 15) // 16 * 16
    return min(rank * share, length), min((rank + 1) * share, length)


@exact_helper
def _add_segment(slots, results, buffer, start, rank):
    """Add this rank's segment of the piece at ``start`` up, into the results and into the buffer."""
    begin, end = _segment(min(slots.shape[1], buffer.shape[0] - start), rank, slots.shape[0])
    result = results[begin:end]
    _add_slots(slots, begin, rank, buffer[start + begin : start + end], result)
    copy(buffer, start + begin, result, 0, end - begin)


@exact_helper
def _copy_in(slot, buffer, start, rank, size):
    """Copy a piece of the buffer into the slot, but for the segment that this rank adds up itself."""
    length = min(slot.shape[0], buffer.shape[0] - start)
    begin, end = _segment(length, rank, size)
    copy(slot, 0, buffer, start, begin)
    copy(slot, end, buffer, start + end, length - end)


@exact_helper
def _copy_out(result, buffer, start, rank, size):
    """Copy a summed piece into the buffer, but for the segment that is there already."""
    length = min(result.shape[0], buffer.shape[0] - start)
    begin, end = _segment(length, rank, size)
    copy(buffer, start, result, 0, begin)
    copy(buffer, start + end, result, end, length - end)


@exact
def broadcast(flags, slots, progress, buffer, root, rank, spins):
    """Copy the root's ``buffer`` (uint8) into every rank's; parameters and result as for :func:`allreduce`."""
    width = slots.shape[2]
    pieces = (buffer.shape[0] + width - 1) // width
    while progress[STEP] < pieces:
        start = progress[STEP] * width
        length = min(width, buffer.shape[0] - start)
        if progress[WAITING] == 0 and rank == root:
            copy(slots[(progress[BARRIERS] + 1) % 2, root], 0, buffer, start, length)
        missing = barrier(flags, progress, rank, spins)
        if missing != DONE:
            return missing
        if rank != root:
            copy(buffer, start, slots[progress[BARRIERS] % 2, root], 0, length)
        progress[STEP] += 1
    progress[STEP] = 0
    return DONE
