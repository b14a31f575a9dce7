"""The sum of sparse vectors: merges of sorted index lists that add equal indices up in the order of the lists."""

import numpy as np

from .compiling import inlined, kept

# Lists from which on it is quicker to look at all their heads for each index than to go through the union list by list.
_MANY = 9


@inlined
def _merge_two(a_indices, a_values, b_indices, b_values, indices, values):
    """Write the sum of two sparse vectors, the first one's values first; return its length.

    Which list is next is as good as random, and a branch on it would be guessed wrongly half of the time: both heads are read
    and what is not wanted is taken as zero.
    """
    zero = values.dtype.type(0)
    width = values.shape[1]
    a, b, count = 0, 0, 0
    while a < a_indices.size and b < b_indices.size:
        x, y = a_indices[a], b_indices[b]
        from_a, from_b = x <= y, y <= x
        indices[count] = min(x, y)
        for j in range(width):
            values[count, j] = (a_values[a, j] if from_a else zero) + (b_values[b, j] if from_b else zero)
        a += from_a
        b += from_b
        count += 1
    while a < a_indices.size:
        indices[count] = a_indices[a]
        for j in range(width):
            values[count, j] = a_values[a, j]
        a += 1
        count += 1
    while b < b_indices.size:
        indices[count] = b_indices[b]
        for j in range(width):
            values[count, j] = b_values[b, j]
        b += 1
        count += 1
    return count


@inlined
def _merge_many(indices, values, offsets, heads, union, sums):
    """Write the sum of all lists to ``sums``, which is zero; return its length."""
    beyond = np.int64(1) << 32
    count = 0
    while True:
        lowest = beyond
        for i in range(heads.size):
            if heads[i] < offsets[i + 1]:
                lowest = min(lowest, np.int64(indices[heads[i]]))
        if lowest == beyond:
            return count
        union[count] = lowest
        for i in range(heads.size):
            if heads[i] < offsets[i + 1] and indices[heads[i]] == lowest:
                for j in range(values.shape[1]):
                    sums[count, j] += values[heads[i], j]
                heads[i] += 1
        count += 1


@kept(nogil=True)
def merge_sparse(indices, values, offsets):
    """Sum sparse vectors that lie one after the other.

    Parameters
    ----------
    indices : ndarray of shape (m,), int32
        Ascending and unique within each list.
    values : ndarray of shape (m, k)
    offsets : ndarray of shape (r + 1,), int64
        List ``i`` is ``offsets[i]:offsets[i + 1]``; at least one.

    Returns
    -------
    indices : ndarray of shape (u,), int32
        The union, ascending.
    values : ndarray of shape (u, k)
        For every index the sum over the lists that have it, added in the order of the lists.
    """
    lists = offsets.shape[0] - 1
    if lists >= _MANY:
        union = np.empty(indices.size, np.int32)
        sums = np.zeros((indices.size, values.shape[1]), values.dtype)
        count = _merge_many(indices, values, offsets, offsets[:-1].copy(), union, sums)
        return union[:count].copy(), sums[:count].copy()
    union, sums = indices[: offsets[1]].copy(), values[: offsets[1]].copy()
    for i in range(1, lists):
        own, addends = indices[offsets[i] : offsets[i + 1]], values[offsets[i] : offsets[i + 1]]
        longer = np.empty(union.size + own.size, np.int32)
        more = np.empty((union.size + own.size, values.shape[1]), values.dtype)
        count = _merge_two(union, sums, own, addends, longer, more)
        union, sums = longer[:count], more[:count]
    return union, sums
