"""The halves of a mini-batch's gradient where each rank has some of the columns of all rows.

A rank's part of the scores goes out (``partial_scores``), is summed over the ranks by the caller, and comes back as slopes of its
own columns' gradient (``pull_back_scores``). Ranks visit the same rows in the same order, so a score is known by its place.
Like :func:`dsgd.kernels.steps.batch_gradient` cut in two; the ``_multi`` kinds are for k outputs.
"""

import numpy as np

from .compiling import compiled
from .multi import slopes_of_run_multi
from .multi_rows import fold_multi, pull_back_run_multi, scores_of_run_multi
from .rows import Rows, codes_of, fetch_run, fold, pull_back_run, scores_of_run
from .steps import slopes_of_run


@compiled
def partial_scores(rows, frame, starts, begin, end, run, params, lead, scores, scratch):
    """Write what these columns add to the scores of runs ``begin`` to ``end``.

    Parameters
    ----------
    lead : bool
        Whether this rank adds what belongs to no column: intercept and offset.
    scores : ndarray of shape (at least the rows of the runs,)

    Returns
    -------
    int
        Number of rows.
    """
    dense, indptr, indices, values = rows.dense, rows.indptr, rows.indices, rows.values
    offset = rows.offset[: rows.offset.size if lead else 0]
    intercept = fold(frame, params, dense.shape[1], scratch.folded)
    if not lead:
        intercept -= params[params.size - 1]
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        own = scores[at : at + stop - start]
        scores_of_run(
            dense, codes, indptr, indices, values, offset, start, stop, scratch.folded, intercept, params, own
        )
        if r + 1 < end and dense.shape[1] and starts[r + 1] != stop:
            fetch_run(dense, starts[r + 1], starts[r + 1] + run)
        at += stop - start
    return at


@compiled
def pull_back_scores(loss, rows, frame, starts, begin, end, run, scores, weight_scale, grad, scratch):
    """Add to ``grad`` the gradient sum by raw columns of runs ``begin`` to ``end``, given their whole scores.

    Returns
    -------
    loss_sum : float
        Sum of weight x loss.
    count : int
        Number of rows.
    """
    slopes = scratch.slopes
    loss_sum = 0.0
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        whole = scores[at : at + stop - start]
        loss_sum += slopes_of_run(loss, rows.label, rows.weight, start, stop, weight_scale, whole, slopes)
        pull_back_run(rows.dense, codes, rows.indptr, rows.indices, rows.values, start, stop, slopes, grad)
        at += stop - start
    return loss_sum, at


@compiled
def loss_of_scores(loss, rows, starts, begin, end, run, scores, weight_scale, scratch):
    """Sum of weight x loss of runs ``begin`` to ``end``, given their whole scores."""
    loss_sum = 0.0
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        whole = scores[at : at + stop - start]
        loss_sum += slopes_of_run(loss, rows.label, rows.weight, start, stop, weight_scale, whole, scratch.slopes)
        at += stop - start
    return loss_sum


@compiled
def loss_of_scores_multi(loss, rows, starts, begin, end, run, scores, weight_scale, scratch):
    """As :func:`loss_of_scores`, for scores of shape (n, k)."""
    loss_sum = 0.0
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        whole = scores[at : at + stop - start]
        loss_sum += slopes_of_run_multi(loss, rows.label, rows.weight, start, stop, weight_scale, whole, scratch.slopes)
        at += stop - start
    return loss_sum


@compiled
def partial_scores_multi(rows, frame, starts, begin, end, run, params, lead, scores, scratch):
    """As :func:`partial_scores`, for scores of shape (n, k)."""
    outputs = scores.shape[1]
    offset = rows.offset[: rows.offset.size if lead else 0]
    own = Rows(rows.dense, rows.codes, rows.indptr, rows.indices, rows.values, rows.label, rows.weight, offset)
    fold_multi(frame, params, outputs, scratch.folded)
    if not lead:
        for c in range(outputs):
            scratch.folded[scratch.folded.shape[0] - 1, c] -= params[params.size - outputs + c]
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        scores_of_run_multi(own, codes, start, stop, scratch.folded, params, scores[at : at + stop - start])
        at += stop - start
    return at


@compiled
def pull_back_scores_multi(loss, rows, frame, starts, begin, end, run, scores, weight_scale, grad, scratch):
    """As :func:`pull_back_scores`, for scores of shape (n, k)."""
    slopes = scratch.slopes
    loss_sum = 0.0
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        codes = codes_of(rows, frame, start, stop, scratch.codes)
        whole = scores[at : at + stop - start]
        loss_sum += slopes_of_run_multi(loss, rows.label, rows.weight, start, stop, weight_scale, whole, slopes)
        pull_back_run_multi(rows, codes, start, stop, slopes, scratch.product, grad)
        at += stop - start
    return loss_sum, at


def rows_of_runs(starts: np.ndarray, run: int, rows: int) -> int:
    """Number of rows of some runs of a block with ``rows`` rows."""
    return int(np.minimum(run, rows - starts).sum())
