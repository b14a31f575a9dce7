"""How a fit begins, alike on every rank of a gang and in the driver of an engine's rounds: with which weights, and from where.

In comes a field of all rows and the parameters to start from; out come the positions of the weights that count, or the scale
of the targets.
"""

import numpy as np

from ..objective.active import with_nonzero
from ..objective.start import null_intercept, target_scale
from .field import Field


def active_weights(field: Field, params: np.ndarray, limit: int) -> np.ndarray | None:
    """Positions of the weights in use, those of the model to start from included; None when they are more than ``limit``."""
    active = field.active(limit) if limit > 0 else None
    return None if active is None else with_nonzero(field.problem, active, params, limit)


def begin_regression(field: Field, params: np.ndarray, fresh: bool) -> float:
    """Put ``fresh`` parameters of a regression at the null model, in place; return its targets' scale, in units of the score."""
    totals = field.totals()
    if fresh and field.problem.intercept:
        params[-1] = null_intercept(field.problem.loss, totals)
    return target_scale(field.problem.loss, totals)
