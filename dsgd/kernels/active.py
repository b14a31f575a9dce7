"""Marking and counting the weights that rows use."""

from .compiling import compiled
from .rows import codes_of


@compiled
def mark_rows(rows, frame, seen, count, limit, scratch):
    """Set ``seen[j]`` for every weight ``j`` of a code, interaction or sparse entry; stop above ``limit``.

    ``seen`` is (d,) bool, ``count`` how many are set before; ``scratch`` is (m, c + crosses) int32. Returns the count after.
    """
    indptr, indices = rows.indptr, rows.indices
    n = rows.label.size
    for start in range(0, n, scratch.shape[0]):
        codes = codes_of(rows, frame, start, min(start + scratch.shape[0], n), scratch)
        for i in range(codes.shape[0]):
            for q in range(codes.shape[1]):
                j = codes[i, q]
                if not seen[j]:
                    seen[j] = True
                    count += 1
        if indptr.size > 1:
            for e in range(indptr[start], indptr[min(start + scratch.shape[0], n)]):
                j = indices[e]
                if not seen[j]:
                    seen[j] = True
                    count += 1
        if count > limit:
            return count
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
