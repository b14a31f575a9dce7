"""The statistics of a block: means, variances and row norms, in one pass at the speed of memory.

Sums are taken around the running mean, in the data's own precision over a tile of rows, and tiles are folded in
float64 by the parallel formula of Chan, Golub and LeVeque ("Updating formulae and a pairwise algorithm for computing
sample variances", 1979), so that a large mean costs no digits of the variance.
"""

import numpy as np

from .compiling import compiled, helper

_TILE = 256


@helper
def _tile_sums(dense, begin, end, weight, pilot, sums, squares, norms):
    """Add a tile's sums around ``pilot`` and its rows' squared norms."""
    p = dense.shape[1]
    weighted = weight.size > 0
    for i in range(begin, end):
        row = dense[i]
        norm = dense.dtype.type(0)
        if weighted:
            w = weight[i]
            for j in range(p):
                x = row[j] - pilot[j]
                sums[j] += w * x
                squares[j] += w * x * x
        else:
            for j in range(p):
                x = row[j] - pilot[j]
                sums[j] += x
                squares[j] += x * x
        for j in range(p):
            norm += row[j] * row[j]
        norms[i] = norm


@helper
def _tile_weight(weight, begin, end):
    if weight.size == 0:
        return float(end - begin)
    total = 0.0
    for i in range(begin, end):
        total += weight[i]
    return total


@compiled
def dense_moments(dense, weight, total, mean, m2, norms, scratch):
    """Fold the rows of a block into running moments; the values must be finite, or the means will not be.

    Parameters
    ----------
    dense : ndarray of shape (n, p)
    weight : ndarray of shape (n,) or (0,)
    total : ndarray of shape (p,), float64
        Weight that each column's moments hold so far; updated.
    mean, m2 : ndarray of shape (p,), float64
        Weighted means and sums of squared deviations from them; updated.
    norms : ndarray of shape (n,), float64
        Squared norms of the rows; written.
    scratch : ndarray of shape (3, p), dtype of ``dense``
    """
    n, p = dense.shape
    pilot, sums, squares = scratch[0], scratch[1], scratch[2]
    for j in range(p):
        pilot[j] = mean[j] if total[j] > 0 or n == 0 else dense[0, j]
    for begin in range(0, n, _TILE):
        end = min(n, begin + _TILE)
        for j in range(p):
            sums[j] = 0
            squares[j] = 0
        _tile_sums(dense, begin, end, weight, pilot, sums, squares, norms)
        added = _tile_weight(weight, begin, end)
        if added > 0:
            for j in range(p):
                shift = np.float64(sums[j]) / added
                delta = shift + (np.float64(pilot[j]) - mean[j])
                joined = total[j] + added
                m2[j] += max(squares[j] - shift * sums[j], 0.0) + delta * delta * total[j] * (added / joined)
                mean[j] += delta * (added / joined)
                total[j] = joined
                pilot[j] = mean[j]


@compiled
def dense_moments_missing(dense, weight, total, mean, m2, norms):
    """The same where NaN is a missing value: it is left out of every sum, and counts as zero in the norms."""
    n, p = dense.shape
    for i in range(n):
        w = weight[i] if weight.size else 1.0
        norm = 0.0
        for j in range(p):
            x = np.float64(dense[i, j])
            if not np.isnan(x):
                norm += x * x
                if w > 0:
                    total[j] += w
                    delta = x - mean[j]
                    mean[j] += delta * (w / total[j])
                    m2[j] += w * delta * (x - mean[j])
        norms[i] = norm


@compiled
def sparse_moments(indptr, indices, values, weight, start, sums, squares, norms):
    """Fold compressed rows into per-column sums (around zero, the value of most elements) and add to the rows' norms.

    Parameters
    ----------
    indptr, indices, values : the sparse part of a Block
    weight : ndarray of shape (n,) or (0,)
    start : int
        Weight index of the first sparse column.
    sums, squares : ndarray of shape (s,), float64
        Or both of shape (0,), if they are not wanted.
    norms : ndarray of shape (n,), float64
    """
    wanted = sums.size > 0
    for i in range(len(indptr) - 1):
        w = weight[i] if weight.size else 1.0
        for k in range(indptr[i], indptr[i + 1]):
            x, j = np.float64(values[k]), indices[k] - start
            if wanted:
                sums[j] += w * x
                squares[j] += w * x * x
            norms[i] += x * x


@compiled
def scalar_moments(values, weight):
    """Weight, mean, sum of squared deviations, smallest and largest of ``values``, of shape (n,); in two passes."""
    total, mean, m2 = 0.0, 0.0, 0.0
    low, high = np.inf, -np.inf
    for i in range(len(values)):
        w = weight[i] if weight.size else 1.0
        total += w
        mean += w * values[i]
        low, high = min(low, values[i]), max(high, values[i])
    if total > 0:
        mean /= total
    for i in range(len(values)):
        w = weight[i] if weight.size else 1.0
        m2 += w * (values[i] - mean) ** 2
    return total, mean, m2, low, high


@compiled
def count_values(bits, weight, keys, rows, weights, used, limit):
    """Count distinct labels in an open-addressed table.

    Parameters
    ----------
    bits : ndarray of shape (n,), int64
        The labels' float64 bit patterns.
    weight : ndarray of shape (n,) or (0,)
    keys, rows : ndarray of shape (2**t,), int64
        The table: the bit pattern in each slot, and its number of rows (0 marks an empty slot).
    weights : ndarray of shape (2**t,), float64
    used : int
        Slots in use.
    limit : int
        Give up when more than this many are needed.

    Returns
    -------
    int
        Slots in use, or -1 after giving up.
    """
    mask = len(keys) - 1
    for i in range(len(bits)):
        key = bits[i]
        hashed = np.uint64(key) * np.uint64(0x9E3779B97F4A7C15)
        slot = np.int64(hashed >> np.uint64(40)) & mask
        while rows[slot] > 0 and keys[slot] != key:
            slot = (slot + 1) & mask
        if rows[slot] == 0:
            if used == limit:
                return -1
            used += 1
            keys[slot] = key
        rows[slot] += 1
        weights[slot] += weight[i] if weight.size else 1.0
    return used
