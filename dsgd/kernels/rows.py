"""The pieces that every linear kernel is made of, for one output: scores of some rows, and their way back.

A kernel walks over *runs*: ``run`` consecutive rows that stay in the first-level cache between the forward and the backward
product, so that the features are read from memory once. Runs are visited in any order; that order is the shuffling.
A row's features are a dense part, categorical codes and a sparse part (see :class:`dsgd.data.block.Block`); absent parts
have zero width and cost nothing.

Standardised columns are never stored: with ``z = (x - center) * scale`` the score ``sum_j w_j z_j + b`` is the score of
``w_j scale_j`` with the intercept ``b - sum_j w_j scale_j center_j``, so a batch costs ``O(p)`` more and no pass over the data.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit

from .expand import expand_codes

# Reassociation lets dot products use vector registers; NaN and infinity keep their meaning, because a non-finite sum is
# how bad data is found.
FAST = {"reassoc", "contract", "arcp", "nsz"}
compiled = njit(nogil=True, cache=True, fastmath=FAST, error_model="numpy")
# For helpers of inner loops: spliced into the caller before it is typed, so that arrays are not handed over.
inlined = njit(nogil=True, fastmath=FAST, error_model="numpy", inline="always")


class Rows(NamedTuple):
    """The arrays of a block, in the order that the kernels know them (see Block for shapes and dtypes)."""

    dense: Any
    codes: Any
    indptr: Any
    indices: Any
    values: Any
    label: Any
    weight: Any
    offset: Any


class Frame(NamedTuple):
    """What is the same for all rows of a fit.

    ``center``, ``scale``: (p,), the standardisation of the dense part, or (0,) for none. ``cross_*``: see
    :class:`dsgd.data.layout.Crosses`.
    """

    center: Any
    scale: Any
    cross_columns: Any
    cross_start: Any
    cross_mask: Any


@compiled
def fold(frame, params, dense_width, folded):
    """Write the weights that apply to raw dense columns to ``folded``; return the intercept that goes with them."""
    b = params[params.size - 1]
    if frame.scale.size == 0:
        for j in range(dense_width):
            folded[j] = params[j]
        return b
    shift = 0.0
    for j in range(dense_width):
        folded[j] = params[j] * frame.scale[j]
        shift += np.float64(folded[j]) * frame.center[j]
    return params.dtype.type(b - shift)


@compiled
def unfold(frame, grad, dense_width):
    """Turn a gradient sum by raw dense columns into one by standardised columns, in place (its last entry is the sum)."""
    if frame.scale.size == 0:
        return
    total = grad[grad.size - 1]
    for j in range(dense_width):
        grad[j] = (grad[j] - frame.center[j] * total) * frame.scale[j]


@compiled
def codes_of(rows, frame, start, stop, scratch):
    """Codes of rows ``start`` to ``stop``, those of the interactions appended."""
    if frame.cross_start.size == 0:
        return rows.codes[start:stop]
    expand_codes(rows.codes, start, stop, frame.cross_columns, frame.cross_start, frame.cross_mask, scratch)
    return scratch[: stop - start]


@compiled
def dense_scores(dense, start, stop, folded, scores):
    """Add ``dense[start:stop] @ folded`` to ``scores``, four rows at a time to read the weights once for all four."""
    width = dense.shape[1]
    zero = folded.dtype.type(0)
    i = start
    while i + 4 <= stop:
        s0 = zero
        s1 = zero
        s2 = zero
        s3 = zero
        for j in range(width):
            w = folded[j]
            s0 += dense[i, j] * w
            s1 += dense[i + 1, j] * w
            s2 += dense[i + 2, j] * w
            s3 += dense[i + 3, j] * w
        scores[i - start] += s0
        scores[i - start + 1] += s1
        scores[i - start + 2] += s2
        scores[i - start + 3] += s3
        i += 4
    while i < stop:
        s0 = zero
        for j in range(width):
            s0 += dense[i, j] * folded[j]
        scores[i - start] += s0
        i += 1


@compiled
def dense_pull_back(dense, start, stop, slope, grad):
    """Add ``slope @ dense[start:stop]`` to ``grad[:p]``, four rows at a time to write the gradient once for all four."""
    width = dense.shape[1]
    i = start
    while i + 4 <= stop:
        c0 = slope[i - start]
        c1 = slope[i - start + 1]
        c2 = slope[i - start + 2]
        c3 = slope[i - start + 3]
        for j in range(width):
            grad[j] += c0 * dense[i, j] + c1 * dense[i + 1, j] + c2 * dense[i + 2, j] + c3 * dense[i + 3, j]
        i += 4
    while i < stop:
        c0 = slope[i - start]
        for j in range(width):
            grad[j] += c0 * dense[i, j]
        i += 1


@compiled
def scores_of_run(rows, codes, start, stop, folded, intercept, params, scores):
    """Write the scores of rows ``start`` to ``stop`` to ``scores``; ``codes`` are those of these rows."""
    n = stop - start
    for i in range(n):
        scores[i] = intercept
    if rows.offset.size:
        for i in range(n):
            scores[i] += rows.offset[start + i]
    if rows.dense.shape[1]:
        dense_scores(rows.dense, start, stop, folded, scores)
    width = codes.shape[1]
    if width:
        for i in range(n):
            s = scores[i]
            for j in range(width):
                s += params[codes[i, j]]
            scores[i] = s
    if rows.indptr.size > 1:
        for i in range(n):
            s = scores[i]
            for e in range(rows.indptr[start + i], rows.indptr[start + i + 1]):
                s += params[rows.indices[e]] * rows.values[e]
            scores[i] = s


@compiled
def pull_back_run(rows, codes, start, stop, slope, grad):
    """Add the gradient of rows ``start`` to ``stop`` to ``grad``, given the slope of each row's loss by its score."""
    n = stop - start
    if rows.dense.shape[1]:
        dense_pull_back(rows.dense, start, stop, slope, grad)
    width = codes.shape[1]
    total = grad.dtype.type(0)
    for i in range(n):
        total += slope[i]
    if width:
        for i in range(n):
            c = slope[i]
            for j in range(width):
                grad[codes[i, j]] += c
    if rows.indptr.size > 1:
        for i in range(n):
            c = slope[i]
            for e in range(rows.indptr[start + i], rows.indptr[start + i + 1]):
                grad[rows.indices[e]] += c * rows.values[e]
    grad[grad.size - 1] += total
