"""Common to a gang's ranks and an engine's rounds: opening a share of the rows, where to start from, packing the answer."""

import contextlib
import os
from typing import Any

import numpy as np

from ..data.numbering import Numbering
from ..data.sources import open_store
from ..errors import ConfigError
from ..objective.problem import Problem
from .engine import RankContext
from .plan import Plan, original_scale, standardised_scale
from .progress import Progress
from .task import FitTask, RankResult

# Of a worker's memory limit, the part that encoded blocks may take.
_BLOCK_SHARE = 0.4


def open_stores(
    context: RankContext, task: FitTask, stack: contextlib.ExitStack, numbering: Numbering | None = None
) -> tuple[Any, Any]:
    """The rank's training rows and validation rows (or None), encoded, and their weights numbered."""
    config = task.config
    options: dict[str, Any] = {
        "dtype": np.dtype(config.dtype),
        "threads": config.threads_per_worker,
        "numbering": numbering,
    }
    if config.memory_limit is not None:
        options["memory_bytes"] = int(config.memory_limit * _BLOCK_SHARE)
    if config.cache_bytes is not None:
        options["cache_bytes"] = config.cache_bytes
    os.makedirs(context.scratch, exist_ok=True)
    seed = config.seed if config.shuffle else None
    store = stack.enter_context(open_store(task.dataset, task.splits, context.scratch, seed=seed, **options))
    if task.validation is None:
        return store, None
    held_out = open_store(task.validation, task.validation_splits, context.scratch, seed=None, **options)
    return store, stack.enter_context(held_out)


def prepare_labels(plan: Plan, *stores: Any) -> None:
    """Map labels to targets and impute missing values in the stores."""
    for store in stores:
        if store is not None:
            if plan.targets is not None:
                store.relabel(plan.targets)
            if plan.missing_means is not None:
                store.impute(plan.missing_means)


def initial_params(problem: Problem, initial: dict[str, Any]) -> np.ndarray:
    """The flat vector to start from, given coefficients and intercepts on the original scale."""
    coef = np.asarray(initial["coef"])
    if coef.shape != (problem.outputs, problem.layout.size):
        raise ConfigError(
            f"the model to start from has coefficients of shape {coef.shape}, and this fit needs "
            f"{(problem.outputs, problem.layout.size)}; start anew, or give the same features and classes"
        )
    return standardised_scale(problem, coef, np.asarray(initial["intercept"]))


def pack_result(
    plan: Plan, params: np.ndarray, state: dict[str, Any], progress: Progress, positions: np.ndarray | None = None
) -> bytes:
    """Rank 0's answer; ``positions`` are those of numbered weights."""
    coef, intercept = original_scale(plan.problem, params)
    arrays = {"coef": coef, "intercept": intercept}
    if positions is not None:
        arrays["positions"] = positions
    for name in ("first", "second"):
        if state.get(name) is not None:
            arrays[f"state_{name}"] = state[name]
    classes = None if plan.classes is None else plan.classes.tolist()
    meta = {
        "classes": classes,
        "class_kind": plan.statistics.label.kind,
        "outputs": plan.outputs,
        "step": int(state.get("step", 0)),
        "rule": state.get("rule"),
        "history": progress.history,
        "converged": progress.converged,
        "means": None if plan.missing_means is None else [float(v) for v in plan.missing_means],
        "rows": plan.problem.rows,
    }
    return RankResult(arrays, meta).to_bytes()
