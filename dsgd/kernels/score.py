"""The compiled loops of predicting: the scores of a block's rows, for one output and for k of them.

``params`` is the flat vector of a model: for one output ``d`` weights and the intercept; for k outputs row ``j`` of a matrix
of shape (d + 1, k) holds the weights of position ``j``, and the last row the intercepts. Weights are on the scale of the data as
given, so there is no standardisation to undo. Rows are taken in runs, so that the buffers stay in the first-level cache.
"""

import numpy as np

from .compiling import compiled
from .expand import expand_codes
from .rows import Frame, Rows, codes_of, scores_of_run

RUN = 64


@compiled
def score_one(rows, frame, params, scratch, out):
    """Write the score of every row to ``out``, of shape (n,); ``scratch`` has shape (RUN, c + m), int32."""
    dense, indptr, indices, values, offset = rows.dense, rows.indptr, rows.indices, rows.values, rows.offset
    folded = params[: dense.shape[1]]
    intercept = params[params.size - 1]
    for start in range(0, out.size, RUN):
        stop = min(start + RUN, out.size)
        codes = codes_of(rows, frame, start, stop, scratch)
        scores = out[start:stop]
        scores_of_run(dense, codes, indptr, indices, values, offset, start, stop, folded, intercept, params, scores)


@compiled
def score_many(rows, frame, weights, scratch, out):
    """Write the scores of every row to ``out``, of shape (n, k); ``weights`` has shape (d + 1, k)."""
    n, outputs = out.shape
    last = weights.shape[0] - 1
    crossed = frame.cross_start.size > 0
    width = rows.codes.shape[1] + frame.cross_start.size
    for i in range(n):
        scores = out[i]
        for o in range(outputs):
            scores[o] = weights[last, o]
        if rows.offset.size:
            for o in range(outputs):
                scores[o] += rows.offset[i]
        for j in range(rows.dense.shape[1]):
            value = rows.dense[i, j]
            for o in range(outputs):
                scores[o] += value * weights[j, o]
        if crossed:
            expand_codes(rows.codes, i, i + 1, frame.cross_columns, frame.cross_start, frame.cross_mask, scratch)
            codes = scratch[0]
        else:
            codes = rows.codes[i]
        for q in range(width):
            position = codes[q]
            for o in range(outputs):
                scores[o] += weights[position, o]
        if rows.indptr.size > 1:
            for e in range(rows.indptr[i], rows.indptr[i + 1]):
                position = rows.indices[e]
                value = rows.values[e]
                for o in range(outputs):
                    scores[o] += value * weights[position, o]


def score_rows(rows: Rows, frame: Frame, params: np.ndarray, outputs: int) -> np.ndarray:
    """Return the scores of a block's rows.

    Parameters
    ----------
    rows : Rows
        Of n rows; the label and the weight are not read.
    frame : Frame
        Without standardisation.
    params : ndarray of shape ((d + 1) * k,), dtype of ``rows.dense``
    outputs : int
        k.

    Returns
    -------
    ndarray of shape (n,), or (n, k) for k > 1

    Examples
    --------
    >>> import numpy as np
    >>> from dsgd.data import make_block
    >>> from dsgd.data.layout import no_crosses
    >>> block = make_block(np.zeros(2), dense=np.eye(2))
    >>> frame = plain_frame(no_crosses(), np.float32)
    >>> score_rows(Rows(**vars(block)), frame, np.array([1, 2, 10], np.float32), 1).tolist()
    [11.0, 12.0]
    """
    n = rows.dense.shape[0]
    scratch = np.empty((RUN, rows.codes.shape[1] + frame.cross_start.size), np.int32)
    if outputs == 1:
        out = np.empty(n, params.dtype)
        score_one(rows, frame, params, scratch, out)
        return out
    out = np.empty((n, outputs), params.dtype)
    score_many(rows, frame, params.reshape(-1, outputs), scratch, out)
    return out


def plain_frame(crosses, dtype) -> Frame:
    """Return the frame of a model's own scale: its crosses, and no standardisation."""
    nothing = np.empty(0, dtype)
    return Frame(nothing, nothing, crosses.columns, crosses.start, crosses.mask)
