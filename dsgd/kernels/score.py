"""The compiled loops of predicting: the scores of a block's rows, for one output and for k of them.

``params`` is the flat vector of a model: for one output ``d`` weights and the intercept; for k outputs row ``j`` of a matrix
of shape (d + 1, k) holds the weights of position ``j``, and the last row the intercepts. Weights are on the scale of the data as
given, so there is no standardisation to undo. Rows are taken in runs, so that the buffers stay in the first-level cache.
"""

import numpy as np

from .compiling import compiled
from .multi_rows import scores_of_run_multi
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
def score_many(rows, frame, folded, params, scratch, out):
    """Write the scores of every row to ``out``, of shape (n, k).

    ``folded`` has shape (p + 1, k): the weights of the dense part, and the intercepts.
    """
    for start in range(0, out.shape[0], RUN):
        stop = min(start + RUN, out.shape[0])
        codes = codes_of(rows, frame, start, stop, scratch)
        scores_of_run_multi(rows, codes, start, stop, folded, params, out[start:stop])


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
    weights = params.reshape(-1, outputs)
    folded = np.concatenate([weights[: rows.dense.shape[1]], weights[-1:]])
    score_many(rows, frame, folded, params, scratch, out)
    return out


def plain_frame(crosses, dtype) -> Frame:
    """Return the frame of a model's own scale: its crosses, and no standardisation."""
    nothing = np.empty(0, dtype)
    return Frame(nothing, nothing, crosses.columns, crosses.start, crosses.mask)
