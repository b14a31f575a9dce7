"""What optimizer="auto" is for problems with few weights, or some thousand: rounds of full gradients, with their curvature."""

from typing import Any

import numpy as np

from ..losses.smoothing import steepness
from .beginning import active_weights, begin_regression
from .checkpoints.replay import LoggedField
from .config import FitConfig
from .newton import Newton
from .progress import Progress
from .quasi_newton import QuasiNewton
from .recipe import leave_steps

# Parameters up to which a matrix of curvature pays; and up to which rounds of gradients do. Beyond, data is for steps of single
# rows: many passes ahead by then, and stopped by held-out rows before they learn by heart.
MOST_OF_NEWTON, MOST_OF_ROUNDS = 1 << 10, 1 << 14
# Rows for each of many weights, at least: with fewer, held-out rows should say when to stop.
_ROWS = 2


def solve_by_rounds(
    field: Any,
    config: FitConfig,
    ranks: int,
    progress: Progress,
    params: np.ndarray,
    state: dict[str, Any],
    fresh: bool,
    *,
    regression: bool,
    watched: bool,
    newton: type[Newton] = Newton,
) -> np.ndarray | None:
    """Train by the recipe that optimizer="auto" is for this problem; None where it is one of steps, with ``state`` as it was.

    ``watched`` says that there are validation rows, by which many weights are stopped; ``newton`` is the recipe for few weights.
    """
    if not takes_rounds(config, ranks):
        return None
    few, many = most_weights(field.problem, watched)
    active = active_weights(field, params, max(few, many))
    if active is None:
        return None
    if progress.kept:
        field = LoggedField(field, progress)
        fresh = not field.begin(params) and fresh
    if len(active) <= few:
        params = newton(field, active, progress, fresh).run(params)
    else:
        if regression:
            begin_regression(field, params, fresh)
        params = QuasiNewton(field, active, progress).run(params)
    leave_steps(state, len(progress.history))
    return params


def takes_rounds(config: FitConfig, ranks: int) -> bool:
    """Whether the user leaves it to "auto" how to go on.

    Whoever says how to step (``eta0``, ``batch_size``, ``learning_rate``, ``warmup_steps``, ``average``) is given steps; so is
    who says how ranks share them, where there are several or an engine's epochs.
    """
    mode = config.mode
    steps = config.eta0 != "auto" or config.batch_size != "auto" or config.learning_rate != "constant"
    steps = steps or config.warmup_steps > 0 or bool(config.average)
    alone = ranks == 1 and mode.topology != "engine"
    exact = mode.compression == "none" and mode.local_steps == 1
    return (alone or exact) and not steps


def most_weights(problem: Any, watched: bool) -> tuple[int, int]:
    """Weights in use up to which Newton's steps are taken, and up to which quasi-Newton's are."""
    few, many = (count // problem.outputs - 1 for count in (MOST_OF_NEWTON, MOST_OF_ROUNDS))
    smooth = steepness(problem.loss) == 0 and not watched
    return few, min(many, problem.rows // _ROWS) if smooth else 0
