"""Common to a gang's ranks and an engine's rounds: opening a share of the rows, where to start from, packing the answer."""

import contextlib
import os
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.cache import any_open
from ..data.memory import resident
from ..data.numbering import Numbering
from ..data.sources import open_store
from ..data.store import MEMORY_BYTES
from ..errors import ConfigError
from ..objective.problem import Problem
from .check_labels import check_labels
from .config import FitConfig
from .engine import RankContext
from .plan import Plan
from .progress import Progress
from .task import FitTask, RankResult

# Of a worker's memory limit, the part that encoded blocks may take; and the bytes, beside vectors as long as the weights,
# that training needs after its rows are encoded (a sample of them, a block in use, kernels that are compiled).
_BLOCK_SHARE = 0.4
_TRAINING_BYTES, _VECTORS = 160 << 20, 6
# The recipe for many weights holds this part of the rows out, at most so many, if there are so many to begin with.
_WATCHED_PART = 0.02
_MOST_WATCHED = 20_000
_WATCHED_ROWS = 100_000


def open_stores(
    context: RankContext,
    task: FitTask,
    stack: contextlib.ExitStack,
    numbering: Numbering | None = None,
    moved: Callable[[], None] = lambda: None,
    parts: int = 1,
) -> tuple[Any, Any]:
    """The rank's training rows and validation rows (or None), encoded, and their weights numbered.

    ``moved`` is called for every block, here and whenever the stores are read. What a rank may keep in memory is for ``parts``
    pairs of stores, of which this is one.
    """
    config = task.config
    options: dict[str, Any] = {
        "dtype": np.dtype(config.dtype),
        "threads": config.threads_per_worker,
        "numbering": numbering,
        "moved": moved,
        "sparse_moments": config.standardize,  # 16 bytes a column: they may be more than the weights
        **memory_options(context, config, task.dataset.spec.layout.size),
    }
    options["memory_bytes"] = options.get("memory_bytes", MEMORY_BYTES) // parts
    os.makedirs(context.scratch, exist_ok=True)
    seed = config.seed if config.shuffle else None
    store: Any = stack.enter_context(open_store(task.dataset, task.splits, context.scratch, seed=seed, **options))
    check_labels(config, task.dataset, task.splits, store.statistics.label)
    if task.validation is None:
        return store, None
    if config.cache_bytes is not None:
        options["cache_bytes"] = max(0, config.cache_bytes - store.disk_bytes)
    validation, splits = task.validation, task.validation_splits
    held_out: Any = stack.enter_context(open_store(validation, splits, context.scratch, seed=None, **options))
    check_labels(config, validation, splits, held_out.statistics.label)
    return store, held_out


def watched_fraction(rows: int) -> float:
    """The part of the rows that is held out to tell when to stop, although nobody asked for it; 0 where there are few."""
    return min(_WATCHED_PART, _MOST_WATCHED / rows) if rows >= _WATCHED_ROWS else 0.0


def held_out_fraction(config: FitConfig, rows: int, validated: bool) -> tuple[float, bool]:
    """The part of the rows that is held out, and whether held-out rows only tell the recipe for many weights when to stop.

    ``validated`` says that the user gave validation rows.
    """
    if config.early_stopping:
        return (0.0 if validated else config.validation_fraction), False
    if config.optimizer != "auto" or config.tol is None:
        return 0.0, False
    return (0.0 if validated else watched_fraction(rows)), validated or rows >= _WATCHED_ROWS


def memory_options(context: RankContext, config: FitConfig, weights: int) -> dict[str, Any]:
    """How much of the rows may be kept, for :func:`dsgd.data.sources.open_store`.

    Raises
    ------
    ConfigError
        When the process is beyond ``memory_limit`` before it has read a row.
    """
    options: dict[str, Any] = {} if config.cache_bytes is None else {"cache_bytes": config.cache_bytes}
    limits = [limit for limit in (config.memory_limit, context.memory) if limit is not None]
    if not limits:
        return options
    begun = resident()
    # Of shares that lie in one process, the others' blocks are not what was there before.
    if config.memory_limit is not None and begun > config.memory_limit and not any_open():
        raise ConfigError(
            f"memory_limit={config.memory_limit:,} is less than the {begun:,} bytes that the process has resident before it "
            "reads a row; allow more, or let the workers be processes of their own"
        )
    limit = min(limits)
    training = _TRAINING_BYTES + _VECTORS * weights * np.dtype(config.dtype).itemsize
    return options | {"memory_bytes": int(limit * _BLOCK_SHARE), "memory_limit": limit - training}


def finish_stores(plan: Plan, *stores: Any) -> None:
    """Map labels to targets, impute missing values and rescale columns in the stores, those of them that there are."""
    scaling = plan.problem.scaling
    for store in stores:
        if store is not None:
            if plan.targets is not None:
                store.relabel(plan.targets)
            if plan.missing_means is not None:
                store.impute(plan.missing_means)
            if scaling.shift.size or scaling.sparse.size:
                store.rescale(scaling.shift, scaling.sparse)


def initial_params(problem: Problem, initial: dict[str, Any]) -> np.ndarray:
    """The flat vector to start from, given coefficients and intercepts on the original scale."""
    coef = np.asarray(initial["coef"])
    if coef.shape != (problem.outputs, problem.layout.size):
        raise ConfigError(
            f"Provided coef_init or intercept_init does not match dataset, or the model to start from: its coefficients are of "
            f"shape {coef.shape}, and this fit needs {(problem.outputs, problem.layout.size)}; start anew, or give the same "
            "features and classes"
        )
    # A fit without an intercept neither trains nor wants that of the model to start from. (Columns that are constant here may
    # still have a part in what the standardised model adds to every row.)
    intercept = np.asarray(initial["intercept"]) if problem.intercept else np.zeros(problem.outputs)
    return problem.scaling.standardised(coef, intercept)


def pack_result(
    plan: Plan,
    params: np.ndarray,
    state: dict[str, Any],
    progress: Progress,
    initial: dict[str, Any] | None,
    positions: np.ndarray | None = None,
    **more: np.ndarray,
) -> bytes:
    """A rank's answer, with ``more`` arrays; ``initial`` is what it started from, ``positions`` are those of numbered weights."""
    kept = None if initial is None else np.asarray(initial["coef"])
    coef, intercept = plan.problem.scaling.original(params, plan.problem.outputs, kept)
    arrays = {"coef": coef, "intercept": intercept, **more}
    if positions is not None:
        arrays["positions"] = positions
    for name in ("first", "second"):
        if state.get(name) is not None:
            arrays[f"state_{name}"] = state[name]
    return RankResult(arrays, _meta(plan, state, progress)).to_bytes()


def pack_rest(
    plan: Plan,
    coef: np.ndarray,
    intercept: np.ndarray,
    state: dict[str, Any],
    progress: Progress,
    kept: dict[str, Any],
    **more: np.ndarray,
) -> bytes:
    """A rank's answer without its weights, which it has kept: ``coef`` has shape (k, 0), and ``kept`` says where they are."""
    meta = _meta(plan, state, progress) | {"kept": kept}
    return RankResult({"coef": coef, "intercept": intercept, **more}, meta).to_bytes()


def _meta(plan: Plan, state: dict[str, Any], progress: Progress) -> dict[str, Any]:
    classes = None if plan.classes is None else plan.classes.tolist()
    return {
        "classes": classes,
        "class_kind": plan.statistics.label.kind,
        "outputs": plan.outputs,
        "step": int(state.get("step", 0)),
        "rule": state.get("rule"),
        "weight": plan.seen,
        "history": progress.history,
        "converged": progress.converged,
        "means": None if plan.missing_means is None else [float(v) for v in plan.missing_means],
        "rows": plan.problem.rows,
    }
