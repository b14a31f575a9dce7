"""The all-reduce of ranks that share memory, as compiled loops that release the interpreter lock.

In come the arrays of one shared region (see :class:`dsgd.collectives.shared.SharedMemory`), the caller's progress and its
buffer; out comes the sum over the ranks, in place. The only synchronisation is a counter per rank, alone on its cache
lines, that its owner alone writes: the number of barriers at which the rank has arrived.

**Double buffering.** Whatever a rank copies in before barrier ``s`` lies in ``slots[s % 2]``, is read by the others between
``s`` and ``s + 1``, and is overwritten after ``s + 1`` at the earliest, so one barrier a step is enough. A segment's sum is
written to ``results[s % 2]`` between ``s`` and ``s + 1`` and read between ``s + 1`` and ``s + 2``.

**Order.** Every element is added in rank order, ``((x0 + x1) + x2) + ...``, whichever way the work is divided: the bits
depend on the number of ranks only.

**Waiting** is bounded: spin, then yield the core, then sleep, and after some milliseconds return the rank that is missing,
so that the caller can look at its deadline, at its peer and at signals, and call again with the same progress. The
functions are plain numba functions and can be called from another compiled loop, which returns to Python when they do::

    while step < steps:
        gradient(...)
        missing = allreduce(flags, slots, results, progress, buffer, rank, SPINS)
        if missing >= 0:
            return step  # the caller checks its deadline, finishes the all-reduce, and comes back
        update(...)
"""

import platform

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.core import cgutils
from numba.extending import intrinsic

LINE = 16  # int64 from one rank's flags to the next: two cache lines, because prefetchers fetch them in pairs
ARRIVED, LEFT, PID = range(3)  # columns of a rank's flags

STEP, WAITING, BARRIERS = range(3)  # fields of ``progress``
PROGRESS_FIELDS = 3

SMALL = 4096  # elements: up to here every rank adds up all slots itself, which saves a barrier
SPINS = 2000  # pauses before yielding, some tens of microseconds
_BLOCK = 1024
_YIELDS = 100
_NAPS = 100
_NAP_MICROSECONDS = 50

_sched_yield = types.ExternalFunction("sched_yield", types.int32())
_usleep = types.ExternalFunction("usleep", types.int32(types.uint32))
_ON_X86 = platform.machine() in ("x86_64", "AMD64")


def _address(context, builder, array_type, array, index):
    view = context.make_array(array_type)(context, builder, array)
    return cgutils.get_item_pointer(context, builder, array_type, view, [index], wraparound=False)


@intrinsic
def load_acquire(typing_context, array, index):
    """``array[index]`` (int64, 1-d); nothing that follows is read before it."""

    def generate(context, builder, signature, arguments):
        return builder.load_atomic(_address(context, builder, signature.args[0], *arguments), "acquire", 8)

    return types.int64(array, types.intp), generate


@intrinsic
def store_release(typing_context, array, index, value):
    """``array[index] = value`` (int64, 1-d); everything that precedes is visible before it."""

    def generate(context, builder, signature, arguments):
        array_value, index_value, stored = arguments
        address = _address(context, builder, signature.args[0], array_value, index_value)
        builder.store_atomic(stored, address, "release", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), generate


@intrinsic
def _pause(typing_context):
    """Tell the core that this is a spinning loop."""

    def generate(context, builder, signature, arguments):
        if _ON_X86:
            function = ir.FunctionType(ir.VoidType(), [])
            builder.call(cgutils.get_or_insert_function(builder.module, function, "llvm.x86.sse2.pause"), [])
        return context.get_dummy_value()

    return types.void(), generate


@njit(nogil=True, cache=True)
def _missing(flags, size, sequence):
    """First rank that has not arrived at the barrier, or -1."""
    for rank in range(size):
        if load_acquire(flags, rank * LINE + ARRIVED) < sequence:
            return rank
    return -1


@njit(nogil=True, cache=True)
def wait(flags, size, sequence, spins):
    """Wait a bounded time for all ranks to arrive at barrier ``sequence``.

    Returns
    -------
    int
        -1 when all have arrived, else the first rank that is missing.
    """
    for attempt in range(spins + _YIELDS + _NAPS):
        missing = _missing(flags, size, sequence)
        if missing < 0:
            return -1
        if attempt < spins:
            _pause()
        elif attempt < spins + _YIELDS:
            _sched_yield()
        else:
            _usleep(_NAP_MICROSECONDS)
    return _missing(flags, size, sequence)


@njit(nogil=True, cache=True)
def barrier(flags, progress, rank, spins):
    """Arrive at the next barrier, or go on waiting at it.

    Parameters
    ----------
    flags : ndarray of shape (size * LINE,), int64, shared
    progress : ndarray of shape (PROGRESS_FIELDS,), int64, private
        Where this rank stands; unchanged between a call that returned a missing rank and the call that continues it.
    rank, spins : int

    Returns
    -------
    int
        -1 when all ranks have arrived, else the first one that is missing: call again.
    """
    if progress[WAITING] == 0:
        progress[BARRIERS] += 1
        progress[WAITING] = 1
        store_release(flags, rank * LINE + ARRIVED, progress[BARRIERS])
    missing = wait(flags, flags.shape[0] // LINE, progress[BARRIERS], spins)
    if missing < 0:
        progress[WAITING] = 0
    return missing


@njit(nogil=True, cache=True)
def _copy(source, target):
    for i in range(target.shape[0]):
        target[i] = source[i]


@njit(nogil=True, cache=True)
def _copy_in(slot, buffer, start, own, other):
    """Copy the piece that begins at ``start``, but for the segment [own, other) that this rank adds up itself."""
    piece = buffer[start : start + slot.shape[0]]
    length = piece.shape[0]
    _copy(piece[:own], slot[:own])
    _copy(piece[other:length], slot[other:length])


@njit(nogil=True, cache=True)
def _add_slots(slots, offset, rank, own, result):
    """``result = slots[0] + slots[1] + ...`` in rank order, from ``offset`` on, with ``own`` in the place of ``slots[rank]``.

    ``own`` and ``result`` may be the same array. The running sum is kept in a block that fits the first-level cache.
    """
    length = result.shape[0]
    total = np.empty(min(_BLOCK, length), result.dtype)
    for begin in range(0, length, _BLOCK):
        end = min(begin + _BLOCK, length)
        n = end - begin
        _copy(own[begin:end] if rank == 0 else slots[0, offset + begin : offset + end], total[:n])
        for r in range(1, slots.shape[0]):
            addend = own[begin:end] if r == rank else slots[r, offset + begin : offset + end]
            for i in range(n):
                total[i] += addend[i]
        _copy(total[:n], result[begin:end])


@njit(nogil=True, cache=True)
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
        -1 when the sum is complete, else the first rank that is missing: call again with the same arguments.
    """
    if buffer.shape[0] <= min(SMALL, slots.shape[2]):
        return _allreduce_small(flags, slots, progress, buffer, rank, spins)
    return _allreduce_large(flags, slots, results, progress, buffer, rank, spins)


@njit(nogil=True, cache=True)
def _allreduce_small(flags, slots, progress, buffer, rank, spins):
    length = buffer.shape[0]
    if progress[WAITING] == 0:
        _copy(buffer, slots[(progress[BARRIERS] + 1) % 2, rank, :length])
    missing = barrier(flags, progress, rank, spins)
    if missing < 0:
        _add_slots(slots[progress[BARRIERS] % 2], 0, rank, buffer, buffer)
    return missing


@njit(nogil=True, cache=True)
def _allreduce_large(flags, slots, results, progress, buffer, rank, spins):
    """Pieces of the slots' width in a pipeline: before a barrier piece c is copied in, c - 1 added up, c - 2 copied out."""
    size, width = slots.shape[1], slots.shape[2]
    length = buffer.shape[0]
    pieces = (length + width - 1) // width
    while progress[STEP] <= pieces:
        step = progress[STEP]
        if progress[WAITING] == 0:
            sequence = progress[BARRIERS] + 1
            if step < pieces:
                begin, end = _segment(min(width, length - step * width), rank, size)
                _copy_in(slots[sequence % 2, rank], buffer, step * width, begin, end)
            if step >= 1:
                start = (step - 1) * width
                begin, end = _segment(min(width, length - start), rank, size)
                own = buffer[start + begin : start + end]
                _add_slots(slots[(sequence - 1) % 2], begin, rank, own, own)
                _copy(own, results[(sequence - 1) % 2, begin:end])
            if step >= 2:
                _copy_out(results[(sequence - 2) % 2], buffer, (step - 2) * width, rank, size)
        missing = barrier(flags, progress, rank, spins)
        if missing >= 0:
            return missing
        progress[STEP] += 1
    progress[STEP] = 0
    _copy_out(results[(progress[BARRIERS] - 1) % 2], buffer, (pieces - 1) * width, rank, size)
    return -1


@njit(nogil=True, cache=True)
def _segment(length, rank, size):
    """The part of a piece that ``rank`` adds up, in whole cache lines, so that no two ranks write to the same one."""
    share = (length + size - 1) // size
    share = (share + 15) // 16 * 16
    return min(rank * share, length), min((rank + 1) * share, length)


@njit(nogil=True, cache=True)
def _copy_out(result, buffer, start, rank, size):
    """Copy a summed piece into the buffer, but for the segment that this rank added up in place."""
    length = min(result.shape[0], buffer.shape[0] - start)
    begin, end = _segment(length, rank, size)
    _copy(result[:begin], buffer[start : start + begin])
    _copy(result[end:length], buffer[start + end : start + length])


@njit(nogil=True, cache=True)
def broadcast(flags, slots, progress, buffer, root, rank, spins):
    """Copy the root's ``buffer`` (uint8) into every rank's; parameters and result as for :func:`allreduce`."""
    width = slots.shape[2]
    length = buffer.shape[0]
    pieces = (length + width - 1) // width
    while progress[STEP] < pieces:
        start = progress[STEP] * width
        piece = buffer[start : start + width]
        if progress[WAITING] == 0 and rank == root:
            _copy(piece, slots[(progress[BARRIERS] + 1) % 2, root, : piece.shape[0]])
        missing = barrier(flags, progress, rank, spins)
        if missing >= 0:
            return missing
        if rank != root:
            _copy(slots[progress[BARRIERS] % 2, root], piece)
        progress[STEP] += 1
    progress[STEP] = 0
    return -1
