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

from .compiling import helper, spliced
from .expand import expand_codes
from .prefetch import AHEAD, FAR, prefetch, prefetch_at, prefetch_entry


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


def read_only(rows: Rows) -> Rows:
    """The rows as views that cannot be written.

    A kernel is compiled for the kinds of arrays that it is given, and those of a mapped file cannot be written: without this,
    rows of files and of memory, and frames of which a column cannot be written, would each have machine code of their own.
    """
    return Rows(*map(_view, rows))


def _view(array: np.ndarray) -> np.ndarray:
    if not array.flags.writeable:
        return array
    view = array.view()
    view.flags.writeable = False
    return view


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


@helper
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


@helper
def unfold(frame, grad, dense_width):
    """Turn a gradient sum by raw dense columns into one by standardised columns, in place (its last entry is the sum)."""
    if frame.scale.size == 0:
        return
    total = grad[grad.size - 1]
    for j in range(dense_width):
        grad[j] = (grad[j] - frame.center[j] * total) * frame.scale[j]


@spliced
def codes_of(rows, frame, start, stop, scratch):
    """Codes of rows ``start`` to ``stop``, those of the interactions appended."""
    if frame.cross_start.size == 0:
        return rows.codes[start:stop]
    expand_codes(rows.codes, start, stop, frame.cross_columns, frame.cross_start, frame.cross_mask, scratch)
    return scratch[: stop - start]


@helper
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


@helper
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


@helper
def scores_of_run(dense, codes, indptr, indices, values, offset, start, stop, folded, intercept, params, scores):
    """Write the scores of rows ``start`` to ``stop`` to ``scores``; ``codes`` are those of these rows."""
    n = stop - start
    if offset.size:
        for i in range(n):
            scores[i] = intercept + offset[start + i]
    else:
        for i in range(n):
            scores[i] = intercept
    if dense.shape[1]:
        dense_scores(dense, start, stop, folded, scores)
    if codes.shape[1]:
        code_scores(codes, params, scores)
    if indptr.size > 1:
        sparse_scores(indptr, indices, values, start, stop, params, scores)


@helper
def pull_back_run(dense, codes, indptr, indices, values, start, stop, slopes, grad):
    """Add the gradient of rows ``start`` to ``stop`` to ``grad``, given the slope of each row's loss by its score."""
    if dense.shape[1]:
        dense_pull_back(dense, start, stop, slopes, grad)
    if codes.shape[1]:
        code_pull_back(codes, slopes, grad)
    if indptr.size > 1:
        sparse_pull_back(indptr, indices, values, start, stop, slopes, grad)
    total = grad.dtype.type(0)
    for i in range(stop - start):
        total += slopes[i]
    grad[grad.size - 1] += total


@helper
def fetch_run(dense, start, stop):
    """Ask for the dense part of rows ``start`` to ``stop``: the next run of a shuffled epoch may be anywhere."""
    step = 64 // dense.itemsize
    for i in range(start, min(stop, dense.shape[0])):
        for j in range(0, dense.shape[1], step):
            prefetch_at(dense, i, j)


@helper
def code_scores(codes, params, scores):
    """Add the weights of each row's codes to its score."""
    for i in range(codes.shape[0]):
        if i + AHEAD < codes.shape[0]:
            for j in range(codes.shape[1]):
                prefetch(params, np.intp(codes[i + AHEAD, j]))
        s = scores[i]
        for j in range(codes.shape[1]):
            s += params[codes[i, j]]
        scores[i] = s


@helper
def code_pull_back(codes, slopes, grad):
    """Add each row's slope to the gradient of its codes."""
    for i in range(codes.shape[0]):
        if i + AHEAD < codes.shape[0]:
            for j in range(codes.shape[1]):
                prefetch(grad, np.intp(codes[i + AHEAD, j]))
        c = slopes[i]
        for j in range(codes.shape[1]):
            grad[codes[i, j]] += c


@helper
def sparse_scores(indptr, indices, values, start, stop, params, scores):
    """Add each row's sparse values times their weights to its score."""
    end = indptr[stop] - FAR
    for i in range(stop - start):
        s = scores[i]
        for e in range(indptr[start + i], indptr[start + i + 1]):
            if e < end:
                prefetch_entry(params, np.intp(indices[e + FAR]))
            s += params[indices[e]] * values[e]
        scores[i] = s


@helper
def sparse_pull_back(indptr, indices, values, start, stop, slopes, grad):
    """Add each row's slope times its sparse values to their gradient."""
    end = indptr[stop] - FAR
    for i in range(stop - start):
        c = slopes[i]
        for e in range(indptr[start + i], indptr[start + i + 1]):
            if e < end:
                prefetch(grad, np.intp(indices[e + FAR]))
            grad[indices[e]] += c * values[e]
