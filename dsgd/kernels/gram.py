"""Second moments of sparse rows: copying the rows' entries by active weight, and sums over pairs of entries.

Entries are in CSR form over p = a + 1 features, the a active weights and the constant 1 of the intercept. A row of m entries
costs m^2 / 2 additions to the matrix, which for few entries is far less than the p^2 / 2 of a dense product.
"""

from .compiling import compiled
from .rows import codes_of


@compiled
def copy_entries(rows, frame, chosen, position, indptr, indices, values, constant, scratch):
    """Append the features of the rows ``chosen``: dense ones standardised, codes, interactions, sparse values, and the 1.

    ``position`` is (d,) int32, -1 for weights that are not wanted; ``indptr`` is (len(chosen) + 1,) int64 and its first entry
    set; ``constant`` is the place of the 1; ``indices`` and ``values`` have room. Returns the number of entries after.
    """
    dense = rows.dense
    center, scale = frame.center, frame.scale
    count = indptr[0]
    one = values.dtype.type(1)
    for r in range(chosen.size):
        i = chosen[r]
        for j in range(dense.shape[1]):
            value = dense[i, j]
            if scale.size:
                value = (value - center[j]) * scale[j]
            if value != 0:
                indices[count] = position[j]
                values[count] = value
                count += 1
        codes = codes_of(rows, frame, i, i + 1, scratch)
        for q in range(codes.shape[1]):
            a = position[codes[0, q]]
            if a >= 0:
                indices[count] = a
                values[count] = one
                count += 1
        if rows.indptr.size > 1:
            for e in range(rows.indptr[i], rows.indptr[i + 1]):
                a = position[rows.indices[e]]
                if a >= 0:
                    indices[count] = a
                    values[count] = rows.values[e]
                    count += 1
        indices[count] = constant
        values[count] = one
        count += 1
        indptr[r + 1] = count
    return count


@compiled
def add_gram(indptr, indices, values, weight, total):
    """Add ``sum_i weight_i x_i x_i'`` to ``total``, of shape (p, p) float64: half of it, the sum with its transpose being all."""
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            scaled = weight[i] * values[e]
            row = indices[e]
            total[row, row] += 0.5 * scaled * values[e]
            for f in range(indptr[i], e):
                total[row, indices[f]] += scaled * values[f]


@compiled
def add_largest(indptr, indices, values, weight, largest):
    """Raise ``largest[j]``, (p,) float64, to the largest weight x square of feature ``j``."""
    for i in range(indptr.size - 1):
        for e in range(indptr[i], indptr[i + 1]):
            square = weight[i] * values[e] * values[e]
            if square > largest[indices[e]]:
                largest[indices[e]] = square


@compiled
def row_forms(indptr, indices, values, matrix, out):
    """Write ``x_i' M x_i`` of every row to ``out``."""
    for i in range(indptr.size - 1):
        total = 0.0
        for e in range(indptr[i], indptr[i + 1]):
            for f in range(indptr[i], indptr[i + 1]):
                total += values[e] * matrix[indices[e], indices[f]] * values[f]
        out[i] = total
