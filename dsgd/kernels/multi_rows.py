"""The pieces of the kernels for k outputs: scores of some rows, and their way back (see :mod:`dsgd.kernels.rows`).

The weights are a matrix of shape (d + 1, k), flat: weight ``j`` of output ``c`` is at ``j * k + c``, so that the k weights of a
feature, which a row uses together, are adjacent; the last k are the intercepts. The dense part of a run is one
matrix product each way, by BLAS, which wants runs of some 64 rows; the products' rounding depends on the length of a run,
and on nothing else.
"""

import numpy as np

from .compiling import allocating, helper
from .prefetch import AHEAD, FAR, prefetch, prefetch_entry


@allocating
def _product(dense, start, stop, folded, scores):
    np.dot(dense[start:stop], folded, scores)


@allocating
def _transposed_product(dense, start, stop, slopes, product):
    np.dot(dense[start:stop].T, slopes, product)


@helper
def fold_multi(frame, params, outputs, folded):
    """Write the weights that apply to raw dense columns to ``folded``, and in its last row the intercepts that go with them.

    ``folded`` has shape (p + 1, k).
    """
    width = folded.shape[0] - 1
    last = params.size - outputs
    for c in range(outputs):
        folded[width, c] = params[last + c]
    if frame.scale.size == 0:
        for j in range(width):
            for c in range(outputs):
                folded[j, c] = params[j * outputs + c]
        return
    for c in range(outputs):
        shift = 0.0
        for j in range(width):
            folded[j, c] = params[j * outputs + c] * frame.scale[j]
            shift += np.float64(folded[j, c]) * frame.center[j]
        folded[width, c] -= shift


@helper
def unfold_multi(frame, grad, outputs, dense_width):
    """Turn a gradient sum by raw dense columns into one by standardised columns, in place."""
    if frame.scale.size == 0:
        return
    last = grad.size - outputs
    for j in range(dense_width):
        for c in range(outputs):
            grad[j * outputs + c] = (grad[j * outputs + c] - frame.center[j] * grad[last + c]) * frame.scale[j]


@helper
def scores_of_run_multi(rows, codes, start, stop, folded, params, scores):
    """Write the scores of rows ``start`` to ``stop`` to ``scores``, of shape (at least stop - start, k)."""
    dense, offset = rows.dense, rows.offset
    indptr, indices, values = rows.indptr, rows.indices, rows.values
    n = stop - start
    outputs = scores.shape[1]
    width = dense.shape[1]
    if width:
        _product(dense, start, stop, folded[:width], scores[:n])
    else:
        scores[:n] = 0
    for i in range(n):
        shift = offset[start + i] if offset.size else folded.dtype.type(0)
        for c in range(outputs):
            scores[i, c] += folded[width, c] + shift
    for i in range(codes.shape[0]):
        for q in range(codes.shape[1]):
            if i + AHEAD < codes.shape[0]:
                prefetch_entry(params, np.intp(codes[i + AHEAD, q]) * outputs)
            base = codes[i, q] * outputs
            for c in range(outputs):
                scores[i, c] += params[base + c]
    if indptr.size > 1:
        for i in range(n):
            for e in range(indptr[start + i], indptr[start + i + 1]):
                if e + FAR < indptr[stop]:
                    prefetch_entry(params, np.intp(indices[e + FAR]) * outputs)
                base = indices[e] * outputs
                value = values[e]
                for c in range(outputs):
                    scores[i, c] += params[base + c] * value


@helper
def pull_back_run_multi(rows, codes, start, stop, slopes, product, grad):
    """Add the gradient of rows ``start`` to ``stop`` to ``grad``, given the slopes of each row's loss by its scores."""
    dense = rows.dense
    indptr, indices, values = rows.indptr, rows.indices, rows.values
    n = stop - start
    outputs = slopes.shape[1]
    width = dense.shape[1]
    if width:
        _transposed_product(dense, start, stop, slopes[:n], product)
        for j in range(width):
            for c in range(outputs):
                grad[j * outputs + c] += product[j, c]
    last = grad.size - outputs
    for i in range(n):
        for c in range(outputs):
            grad[last + c] += slopes[i, c]
    for i in range(codes.shape[0]):
        for q in range(codes.shape[1]):
            if i + AHEAD < codes.shape[0]:
                prefetch(grad, np.intp(codes[i + AHEAD, q]) * outputs)
            base = codes[i, q] * outputs
            for c in range(outputs):
                grad[base + c] += slopes[i, c]
    if indptr.size > 1:
        for i in range(n):
            for e in range(indptr[start + i], indptr[start + i + 1]):
                if e + FAR < indptr[stop]:
                    prefetch(grad, np.intp(indices[e + FAR]) * outputs)
                base = indices[e] * outputs
                value = values[e]
                for c in range(outputs):
                    grad[base + c] += slopes[i, c] * value
