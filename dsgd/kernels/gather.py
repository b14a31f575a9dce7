"""Columns to rows: Arrow's column buffers in, one row-major matrix out, rows permuted on the way.

Arrow keeps each column apart; a kernel wants a row's values side by side. Both loops work through the rows in tiles small
enough to stay in the first-level cache, so that every cache line of the output is filled before it is evicted, and
write row ``i`` to row ``destination[i]``: the one shuffle of the data costs nothing on top.

Buffers are named by address, because the number of columns is not known when the loop is compiled; the caller keeps them alive.
"""

import numpy as np
from numba import carray, njit, types
from numba.core import cgutils
from numba.extending import intrinsic

_TILE = 128


@intrinsic
def _pointer(typing_context, address):
    """The integer ``address`` as a pointer that ``numba.carray`` takes."""

    def generate(context, builder, signature, arguments):
        return builder.inttoptr(arguments[0], cgutils.voidptr_t)

    return types.voidptr(types.uintp), generate


@njit(cache=True, nogil=True)
def gather_codes(addresses, table, table_start, destination, out):
    """Look dictionary indices up in tables of weight positions.

    Parameters
    ----------
    addresses : ndarray of shape (c,), uint64
        Where each column's ``n`` dictionary indices (int32, without nulls) begin.
    table : ndarray of int32
        The columns' tables, one after the other.
    table_start : ndarray of shape (c,), int64
        Where each column's table begins.
    destination : ndarray of shape (n,), int64
    out : ndarray of shape (n, c), int32
        ``out[destination[i], j] = table[table_start[j] + index[j][i]]``.
    """
    n, c = out.shape
    for begin in range(0, n, _TILE):
        end = min(n, begin + _TILE)
        for j in range(c):
            index = carray(_pointer(addresses[j]), (n,), np.uint32)
            base = np.uint64(table_start[j])
            for i in range(begin, end):
                out[np.uint64(destination[i]), j] = table[base + np.uint64(index[i])]


@njit(cache=True, nogil=True)
def gather_floats(addresses, sample, destination, first, out, sums):
    """Interleave columns of floats.

    Parameters
    ----------
    addresses : ndarray of shape (p,), uint64
        Where each column's ``n`` values begin.
    sample : ndarray
        An array whose dtype is that of the columns.
    destination : ndarray of shape (n,), int64
    first : int
        Column of ``out`` that the first of the columns goes to.
    out : ndarray of shape (n, at least first + p), float32 or float64
        ``out[destination[i], first + j] = column[j][i]``.
    sums : ndarray of shape (p,), float64
        The columns' sums are added to it: a sum that is not finite betrays a value that is not.
    """
    n = out.shape[0]
    for begin in range(0, n, _TILE):
        end = min(n, begin + _TILE)
        for j in range(len(addresses)):
            column = carray(_pointer(addresses[j]), (n,), sample.dtype)
            total = 0.0
            for i in range(begin, end):
                value = column[i]
                total += value
                out[np.uint64(destination[i]), first + j] = value
            sums[j] += total


@njit(cache=True, nogil=True)
def scatter_rows(source, destination, first, out, sums):
    """Copy whole rows: ``out[destination[i], first:first + w] = source[i]``; their sums are added to ``sums``."""
    n, w = source.shape
    for i in range(n):
        row = np.uint64(destination[i])
        for j in range(w):
            value = source[i, j]
            sums[j] += value
            out[row, first + j] = value


@njit(cache=True, nogil=True)
def scatter_sparse(indptr, indices, values, destination, out_indptr, out_indices, out_values):
    """Permute the rows of a compressed sparse matrix; ``out_indptr`` holds the new row starts already."""
    for i in range(len(indptr) - 1):
        target = out_indptr[destination[i]]
        for k in range(indptr[i], indptr[i + 1]):
            out_indices[target] = indices[k]
            out_values[target] = values[k]
            target += 1
