"""What a rank of a gang does, from its splits to the trained weights.

Every rank connects, encodes its rows once, merges the statistics, makes the same plan, trains, and rank 0 brings the result back.
"""

import contextlib
import os
from functools import reduce
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from ..collectives import connect
from ..collectives.base import Collective
from ..data.sources import open_store
from ..data.statistics import Statistics, merge
from ..errors import ConfigError
from ..objective.passes import Pass
from ..objective.problem import Problem
from ..objective.share import Share
from .engine import RankContext
from .field import GangField
from .newton import MOST_PARAMETERS, Newton
from .plan import Plan, make_plan, original_scale, standardised_scale
from .progress import Progress
from .recipe import make_recipe, resolved_batch
from .stepsize import needs_smoothness, smoothness
from .stepwise import Stepwise
from .svrg import SVRG
from .task import FitTask, RankResult

# Buffers up to this size are reduced in one piece.
_MAX_BUFFER = 64 << 20
# Of a worker's memory limit, the part that encoded blocks may take.
_BLOCK_SHARE = 0.4


def run_rank(context: RankContext, task: FitTask) -> bytes:
    """Train as one rank of a gang; returns rank 0's RankResult, and nothing from the others."""
    config = task.config
    layout = task.dataset.spec.layout
    largest = min(_MAX_BUFFER, (layout.size + 2) * 8)
    with contextlib.ExitStack() as stack:
        # Ranks share the machine's cores: BLAS threads beyond a rank's own would only get in the way.
        stack.enter_context(threadpool_limits(max(1, context.threads)))
        collective = connect(
            context,
            "ring" if config.mode.topology == "engine" else config.mode.topology,
            largest,
            keys=task.keys,
            encrypt=config.encrypt,
            deadline=config.deadline,
            port_range=config.port_range,
            interface=config.interface,
        )
        stack.callback(collective.close)
        rank = Rank(context, task, collective, stack)
        return rank.run()


def open_stores(context: RankContext, task: FitTask, stack: contextlib.ExitStack) -> tuple[Any, Any]:
    """The rank's training rows and validation rows (or None), encoded."""
    config = task.config
    options: dict[str, Any] = {"dtype": np.dtype(config.dtype), "threads": max(1, context.threads)}
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


class Rank:
    """One rank's fit, after it has met the others."""

    def __init__(self, context: RankContext, task: FitTask, collective: Collective, stack: contextlib.ExitStack):
        self.context, self.task, self.config, self.collective = context, task, task.config, collective
        store, held_out = open_stores(context, task, stack)
        statistics = self._merged(store.statistics)
        self.plan = make_plan(self.config, task.dataset.spec, statistics, task.classes)
        prepare_labels(self.plan, store, held_out)
        self.problem: Problem = self.plan.problem
        fraction = self.config.validation_fraction if self.config.early_stopping and held_out is None else 0.0
        most = max(1, -(-self._batch_rows("sgd") // collective.size))
        self.work = Pass(self.problem, most if collective.size > 1 or most > 1 else 64)
        self.share = Share(
            self.problem,
            store,
            self.work.run,
            seed=self.config.seed,
            rank=context.rank,
            fraction=fraction,
            validation=held_out,
        )
        self.field = GangField(self.share, self.work, collective, self.config.seed)
        own = np.array([self.share.training_rows()], np.float64)
        collective.allreduce(own)
        self.rows = int(own[0])
        validate = self.field.validation if self.share.held_out else _nothing
        report = context.report if context.rank == 0 else _ignore
        self.progress = Progress(self.config, self.rows, validate, report)

    def run(self) -> bytes:
        """Train and return the result as bytes."""
        state = self._initial_state()
        params = self._train(self._initial(), state)
        if self.progress.best is not None:
            params = self.progress.best
        if self.context.rank != 0:
            return b""
        return pack_result(self.plan, params, state, self.progress)

    def _merged(self, own: Statistics) -> Statistics:
        payloads = self.collective.allgather(own.to_bytes())
        return reduce(merge, [Statistics.from_bytes(payload) for payload in payloads])

    def _batch_rows(self, rule: str) -> int:
        return resolved_batch(self.config, self.problem.layout, rule, self.problem.outputs, self.collective.size)

    def _initial(self) -> np.ndarray:
        initial = self.task.initial
        if initial is None:
            return np.zeros(self.problem.size, self.problem.dtype)
        return initial_params(self.problem, initial)

    def _initial_state(self) -> dict[str, Any]:
        state = (self.task.initial or {}).get("state") or {}
        return dict(state)

    def _train(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        rule = self.config.optimizer
        if rule == "auto":
            active = self._few_weights()
            if active is not None:
                return Newton(self.field, active, self.progress).run(params)
            rule = "adagrad"
        steepness = self._smoothness(rule)
        recipe = make_recipe(
            self.config,
            self.problem,
            rule=rule,
            rows=self.rows,
            entries=self._entries(),
            smoothness=steepness,
            ranks=self.collective.size,
        )
        parts = (recipe, self.share, self.work, self.collective, self.progress, self.rows)
        if rule == "svrg":
            return SVRG(*parts).run(params)
        return Stepwise(*parts).run(params, state)

    def _few_weights(self) -> np.ndarray | None:
        """The weights in use, if "auto" may take the recipe for few weights."""
        inner = getattr(self.problem.loss, "loss", self.problem.loss)
        smooth = getattr(inner, "smooth", True)
        plain = self.config.mode.compression == "none" and self.config.mode.local_steps == 1
        if not smooth or not plain or self.config.average:
            return None
        limit = MOST_PARAMETERS // self.problem.outputs - 1
        return self.field.active(limit) if limit > 0 else None

    def _entries(self) -> float:
        """Mean number of codes, interactions and sparse values of a row, over all ranks."""
        layout = self.problem.layout
        sums = np.zeros(2)
        for rows, _ in self.share.training():
            sums += (float(rows.indptr[-1] - rows.indptr[0]), len(rows.label))
        self.collective.allreduce(sums)
        return layout.codes + layout.crosses.count + sums[0] / max(sums[1], 1.0)

    def _smoothness(self, rule: str) -> float:
        if not needs_smoothness(rule) or self.config.eta0 != "auto":
            return 1.0
        own = smoothness(self.problem, self.share, self._batch_rows(rule))
        return max(np.frombuffer(part, np.float64)[0] for part in self.collective.allgather(np.float64(own).tobytes()))


def initial_params(problem: Problem, initial: dict[str, Any]) -> np.ndarray:
    """The flat vector to start from, given coefficients and intercepts on the original scale."""
    coef = np.asarray(initial["coef"])
    if coef.shape != (problem.outputs, problem.layout.size):
        raise ConfigError(
            f"the model to start from has coefficients of shape {coef.shape}, and this fit needs "
            f"{(problem.outputs, problem.layout.size)}; start anew, or give the same features and classes"
        )
    return standardised_scale(problem, coef, np.asarray(initial["intercept"]))


def pack_result(plan: Plan, params: np.ndarray, state: dict[str, Any], progress: Progress) -> bytes:
    """Rank 0's answer."""
    coef, intercept = original_scale(plan.problem, params)
    arrays = {"coef": coef, "intercept": intercept}
    for name in ("first", "second"):
        if state.get(name) is not None:
            arrays[f"state_{name}"] = state[name]
    classes = None if plan.classes is None else plan.classes.tolist()
    meta = {
        "classes": classes,
        "class_kind": plan.statistics.label.kind,
        "outputs": plan.outputs,
        "step": int(state.get("step", 0)),
        "history": progress.history,
        "converged": progress.converged,
        "means": None if plan.missing_means is None else [float(v) for v in plan.missing_means],
        "rows": plan.problem.rows,
    }
    return RankResult(arrays, meta).to_bytes()


def _nothing(params: np.ndarray) -> None:
    return None


def _ignore(record: dict[str, Any]) -> None:
    """Only rank 0 reports."""
