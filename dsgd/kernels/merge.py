"""The sum of sparse vectors: a merge of sorted index lists that adds equal indices up in the order of the lists."""

import numpy as np

from .compiling import kept


@kept(nogil=True)
def merge_sparse(indices, values, offsets):
    """Sum sparse vectors that lie one after the other.

    Parameters
    ----------
    indices : ndarray of shape (m,), int32
        Ascending and unique within each list.
    values : ndarray of shape (m, k)
    offsets : ndarray of shape (r + 1,), int64
        List ``i`` is ``offsets[i]:offsets[i + 1]``.

    Returns
    -------
    indices : ndarray of shape (u,), int32
        The union, ascending.
    values : ndarray of shape (u, k)
        For every index the sum over the lists that have it, added in the order of the lists.
    """
    lists = offsets.shape[0] - 1
    width = values.shape[1]
    heads = offsets[:-1].copy()
    union = np.empty(indices.shape[0], np.int32)
    sums = np.zeros((indices.shape[0], width), values.dtype)
    count = 0
    while True:
        lowest = np.int64(1) << 32
        for i in range(lists):
            if heads[i] < offsets[i + 1]:
                lowest = min(lowest, np.int64(indices[heads[i]]))
        if lowest == np.int64(1) << 32:
            return union[:count].copy(), sums[:count].copy()
        union[count] = lowest
        for i in range(lists):
            if heads[i] < offsets[i + 1] and indices[heads[i]] == lowest:
                for j in range(width):
                    sums[count, j] += values[heads[i], j]
                heads[i] += 1
        count += 1
