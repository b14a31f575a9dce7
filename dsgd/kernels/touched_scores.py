"""The halves of a mini-batch's gradient by weights that were taken out of their vector (:mod:`dsgd.kernels.touched`).

As :mod:`dsgd.kernels.columns` does it for weights that lie in their places; for one output.
"""

from .compiling import helper
from .rows import codes_of, dense_pull_back, dense_scores, fold
from .steps import slopes_of_run


@helper
def scores_of_touched(rows, frame, starts, begin, end, run, params, lead, scores, touched, scratch):
    """As :func:`dsgd.kernels.columns.partial_scores`, of weights that were taken."""
    dense, indptr, values, places, taken = rows.dense, rows.indptr, rows.values, touched.places, touched.params
    offset = rows.offset[: rows.offset.size if lead else 0]
    intercept = fold(frame, params, dense.shape[1], scratch.folded)
    if not lead:
        intercept -= params[params.size - 1]
    row = 0
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        width = codes_of(rows, frame, start, stop, scratch.codes).shape[1]
        own = scores[row : row + stop - start]
        for i in range(stop - start):
            own[i] = intercept + (offset[start + i] if offset.size else 0)
        if dense.shape[1]:
            dense_scores(dense, start, stop, scratch.folded, own)
        for i in range(stop - start):
            s = own[i]
            for q in range(at + i * width, at + (i + 1) * width):
                s += taken[places[q]]
            own[i] = s
        at += (stop - start) * width
        if indptr.size > 1:
            shift = at - indptr[start]
            for i in range(stop - start):
                s = own[i]
                for e in range(indptr[start + i], indptr[start + i + 1]):
                    s += taken[places[e + shift]] * values[e]
                own[i] = s
            at += indptr[stop] - indptr[start]
        row += stop - start


@helper
def _pull_back_run(rows, width, start, stop, slopes, touched, at, grad):
    """Add the gradient of rows ``start`` to ``stop`` to that of what was taken; return where the next rows' places begin.

    ``at`` is where their own begin, ``width`` how many codes a row has, ``grad`` the gradient of dense columns and, last, of the
    intercept.
    """
    indptr, values, places, gradient = rows.indptr, rows.values, touched.places, touched.gradient
    if rows.dense.shape[1]:
        dense_pull_back(rows.dense, start, stop, slopes, grad)
    total = grad.dtype.type(0)
    for i in range(stop - start):
        c = slopes[i]
        total += c
        for q in range(at + i * width, at + (i + 1) * width):
            gradient[places[q]] += c
    grad[grad.size - 1] += total
    at += (stop - start) * width
    if indptr.size == 1:
        return at
    shift = at - indptr[start]
    for i in range(stop - start):
        c = slopes[i]
        for e in range(indptr[start + i], indptr[start + i + 1]):
            gradient[places[e + shift]] += c * values[e]
    return at + indptr[stop] - indptr[start]


@helper
def pull_back_touched(loss, rows, frame, starts, begin, end, run, scores, weight_scale, grad, touched, scratch):
    """As :func:`dsgd.kernels.columns.pull_back_scores`, to the gradient of weights that were taken."""
    slopes = scratch.slopes
    loss_sum = 0.0
    row = 0
    at = 0
    for r in range(begin, end):
        start = starts[r]
        stop = min(start + run, rows.label.size)
        width = codes_of(rows, frame, start, stop, scratch.codes).shape[1]
        whole = scores[row : row + stop - start]
        loss_sum += slopes_of_run(loss, rows.label, rows.weight, start, stop, weight_scale, whole, slopes)
        at = _pull_back_run(rows, width, start, stop, slopes, touched, at, grad)
        row += stop - start
    return loss_sum, row
