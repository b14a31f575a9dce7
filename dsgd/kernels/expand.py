"""Interactions made on the fly: the codes of a mini-batch in, the codes and the crosses' positions out.

A cross is never stored: its position is a hash of its members' codes, ``start + (mix(codes) & mask)``, computed for the rows
of one mini-batch when they are needed. ``mix`` is a multiply-and-fold a member with odd 64-bit constants of the
xxHash family; it depends on the order of the members, which the feature spec fixes.
"""

import numpy as np

from .compiling import compiled, spliced

_SEED = np.uint64(0x27D4EB2F165667C5)
_MULTIPLIER = np.uint64(0x9E3779B185EBCA87)
_FOLD = np.uint64(32)


@spliced
def _mix(hashed, code):
    hashed = (hashed ^ np.uint64(code)) * _MULTIPLIER
    return hashed ^ (hashed >> _FOLD)


@compiled
def expand_codes(codes, start, stop, cross_columns, cross_start, cross_mask, out):
    """Write the codes of rows ``start`` to ``stop`` and, after them, the positions of their crosses.

    Parameters
    ----------
    codes : ndarray of shape (n, c), int32
    start, stop : int
        The rows; ``b = stop - start`` of them.
    cross_columns : ndarray of shape (m, q), int32
        Members of each cross as positions in a row's codes; -1 pads.
    cross_start, cross_mask : ndarray of shape (m,), int64
    out : ndarray of shape (at least b, c + m), int32
        Rows ``0`` to ``b`` are written.
    """
    c = codes.shape[1]
    m, q = cross_columns.shape
    for i in range(stop - start):
        row = codes[start + i]
        for j in range(c):
            out[i, j] = row[j]
        for k in range(m):
            hashed = _SEED
            for member in range(q):
                column = cross_columns[k, member]
                if column >= 0:
                    hashed = _mix(hashed, row[column])
            out[i, c + k] = np.int32(cross_start[k] + np.int64(hashed & np.uint64(cross_mask[k])))
