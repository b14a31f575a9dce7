"""Where a thread's own vector has the weights that rows name: codes and sparse positions in, moved ones out.

See :mod:`dsgd.kernels.hogwild` for what own vectors are.
"""

from typing import Any, NamedTuple

import numpy as np

from .compiling import helper


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
