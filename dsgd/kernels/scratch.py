"""The buffers of one thread, made once a fit."""

import numpy as np

from .steps import Scratch


def make_scratch(dtype, run: int, codes: int, dense: int, outputs: int) -> Scratch:
    """Return buffers for runs of ``run`` rows with ``codes`` codes (interactions included) and ``dense`` columns."""
    rows = (run,) if outputs == 1 else (run, outputs)
    columns = (dense,) if outputs == 1 else (dense, outputs)
    return Scratch(
        np.zeros((run, codes), np.int32),
        np.zeros(rows, dtype),
        np.zeros(rows, dtype),
        np.zeros(columns, dtype),
        np.zeros(columns, dtype),
    )
