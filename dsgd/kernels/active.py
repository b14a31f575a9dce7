"""Marking and counting the weights that rows use."""

from .compiling import compiled
from .rows import codes_of


@compiled
def mark(indices, seen):
    """Set ``seen[j]`` for every ``j`` in ``indices``, of shape (n, c); returns how many were not set before."""
    count = 0
    for i in range(indices.shape[0]):
        for q in range(indices.shape[1]):
            j = indices[i, q]
            count += not seen[j]
            seen[j] = True
    return count


@compiled
def add_squares(rows, frame, position, squares, scratch):
    """Add to ``squares[position[j]]`` the square of every code (1), interaction (1) and sparse value of weight ``j``.

    ``position`` is (d,) int32, -1 for weights that are not wanted; ``squares`` is float64.
    """
    indptr, indices, values = rows.indptr, rows.indices, rows.values
    n = rows.label.size
    for start in range(0, n, scratch.shape[0]):
        stop = min(start + scratch.shape[0], n)
        codes = codes_of(rows, frame, start, stop, scratch)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                a = position[codes[i, q]]
                if a >= 0:
                    squares[a] += 1.0
        if indptr.size > 1:
            for e in range(indptr[start], indptr[stop]):
                a = position[indices[e]]
                if a >= 0:
                    squares[a] += values[e] * values[e]


@compiled
def copy_active(rows, frame, chosen, position, out, scratch):
    """Write the codes, interactions and sparse values of the rows ``chosen`` to the columns ``position`` of ``out``.

    ``out`` is (len(chosen), a) and zero before; the dense part is not written.
    """
    indptr, indices, values = rows.indptr, rows.indices, rows.values
    for r in range(chosen.size):
        i = chosen[r]
        codes = codes_of(rows, frame, i, i + 1, scratch)
        for q in range(codes.shape[1]):
            a = position[codes[0, q]]
            if a >= 0:
                out[r, a] += 1
        if indptr.size > 1:
            for e in range(indptr[i], indptr[i + 1]):
                a = position[indices[e]]
                if a >= 0:
                    out[r, a] += values[e]
