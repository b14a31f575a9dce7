"""The driver of ``topology="engine"``: the same recipes as in a gang, over the engine's own aggregate."""

from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from ..collectives import SingleProcess
from ..data.arrays import pack
from ..kernels.coordinates import update_dense
from ..optim.schedules import stretched
from . import place
from .auto import solve_by_rounds
from .batches import steps_of_epoch
from .beginning import begin_regression
from .checkpoints.identity import moments_of
from .checkpoints.keeper import Keeper
from .checkpoints.kept import Kept
from .config import FitConfig, TrainedLinear
from .engine_field import EngineField, share_sums
from .progress import Progress
from .recipe import Recipe, make_recipe, resolved_batch
from .stores import initial_params, pack_result
from .task import RankResult

# Recipes that keep checkpoints of their own.
_GRADIENTS, _EPOCHS = "full gradients", "epochs of shares"


def fit_rounds(
    dataset, config: FitConfig, engine, validation, initial, classes, seen, on_report, orders=None
) -> TrainedLinear:
    """Train over rounds of the engine's aggregate; parameters and errors are those of :func:`dsgd.train.fit.fit`."""
    from .fit import make_tasks, trained

    field = EngineField(engine, make_tasks(dataset, config, validation, initial, classes, seen))
    try:
        keeper = None
        if orders is not None:
            keeper = Keeper(orders, [SingleProcess()], 0, ((0, field.problem.layout.size),), writes=True)
            keeper.check_rows(field.problem.rows, moments_of(field.plan.statistics))
            keeper.hold(None, field.problem.outputs)
        progress = Progress(config, field.problem.rows, field.validation, on_report, keeper=keeper)
        params = np.zeros(field.problem.size, field.problem.dtype)
        start = field.tasks[0].initial
        if start is not None:
            params = initial_params(field.problem, start)
        state: dict[str, Any] = {} if initial is None else dict(initial.state)
        # The same bits as in a gang, whose ranks have so many threads, and no more threads than the machine has left.
        with place.limit_threads(config.threads_per_worker):
            params = _train(field, config, progress, params, state, initial is None)
        if progress.best is not None:
            params = progress.best
        return trained(dataset, config, RankResult.from_bytes(pack_result(field.plan, params, state, progress, start)))
    finally:
        field.close()


def _train(field: EngineField, config: FitConfig, progress: Progress, params, state, fresh: bool) -> np.ndarray:
    problem, rule = field.problem, config.optimizer
    if rule == "auto":
        rule = "adagrad"
        solved = solve_by_rounds(
            field, config, config.n_workers, progress, params, state, fresh,
            regression=field.plan.classes is None, watched=field.held_out,
        )  # fmt: skip
        if solved is not None:
            return solved
    scale = begin_regression(field, params, fresh) if field.plan.classes is None else 1.0
    recipe = make_recipe(
        config,
        problem,
        rule=rule,
        rows=problem.rows,
        batch=resolved_batch(config, problem, rule, 1),
        entries=field.entries(),
        smoothness=_steepness(field),
        scale=scale,
        ranks=1,
    )
    # Whole local epochs where "auto" has many weights to find: full gradients are few steps, and each costs as much.
    if config.mode.local_steps == "epoch" or config.optimizer == "auto":
        return _local_epochs(field, recipe, progress, params, state, config.n_workers)
    return _full_gradients(field, recipe, progress, params, state)


def _steepness(field: EngineField) -> float:
    """Smoothness from the statistics alone: the mean squared norm of a row bounds the largest eigenvalue."""
    statistics, problem = field.plan.statistics, field.problem
    inner = getattr(problem.loss, "loss", problem.loss)
    bound = float(getattr(inner, "curvature_bound", 1.0))
    norm = problem.scaling.mean_norm(statistics) + problem.layout.codes + problem.layout.crosses.count
    return (bound if 0 < bound < np.inf else 1.0) * (norm + 1.0) + problem.l2


def _full_gradients(field: EngineField, recipe: Recipe, progress: Progress, params, state) -> np.ndarray:
    """One step of the rule a round, with the gradient of all rows."""
    problem = field.problem
    first, second, step = recipe.resume(params, state)
    began = step
    kept = progress.take_up(_GRADIENTS, params)
    if kept is not None:
        began, step = _go_on(kept, first, second)
    schedule = stretched(recipe.schedule, began + progress.limit)
    while True:
        sums = field.gradient(params)
        objective = sums.loss / sums.rows + problem.penalty_value(params)
        gradient = (sums.gradient / sums.rows).astype(problem.dtype)
        update_dense(
            recipe.rule, schedule, problem.penalty(), problem.outputs, params, first, second, gradient,
            problem.dtype.type(1), step,
        )  # fmt: skip
        step += 1
        # The objective is that of the weights before the step: another round to measure it would cost as much as a step.
        if progress.round(objective, params):
            state.update(step=step, first=first, second=second, rule=recipe.rule_name)
            return params
        progress.keep(_GRADIENTS, step, partial(_kept, params, first, second, began, step))


def _local_epochs(field: EngineField, recipe: Recipe, progress: Progress, params, state, shares: int) -> np.ndarray:
    """Every share trains an epoch by itself; the weights are averaged by rows (one-shot averaging: Zinkevich et al. 2010)."""
    problem = field.problem
    first, second, step = recipe.resume(params, state)
    began = step
    kept = progress.take_up(_EPOCHS, params)
    if kept is not None:
        began, step = _go_on(kept, first, second)
    taken = float(steps_of_epoch(-(-problem.rows // shares), recipe.batch_rows))
    if progress.epochs:
        taken = (step - began) / progress.epochs
    while True:
        # A cosine ends with the last epoch; what an epoch takes is known after the first.
        recipe = replace(recipe, schedule=stretched(recipe.schedule, began + progress.limit * taken))
        arrays = {name: a for name, a in (("params", params), ("first", first), ("second", second)) if a is not None}
        epoch = len(progress.history)
        vector = field.sums("epoch", recipe=recipe, arrays=pack(arrays, {}), number=epoch, step=step)
        means, tail = share_sums(vector, [len(a) for a in arrays.values()])
        loss, rows, weighted_step = tail
        for array, mean in zip(arrays.values(), means, strict=True):
            array[:] = mean
        step = round(weighted_step / max(rows, 1.0))
        taken = (step - began) / (epoch + 1)
        if progress.round(loss / max(rows, 1.0) + problem.penalty_value(params), params):
            state.update(step=step, first=first, second=second, rule=recipe.rule_name)
            return params
        progress.keep(_EPOCHS, step, partial(_kept, params, first, second, began, step))


def _kept(params, first, second, began: int, step: int) -> Kept:
    """What a recipe of rounds needs to go on."""
    vectors = {
        name: a.copy() for name, a in (("params", params), ("first", first), ("second", second)) if a is not None
    }
    return Kept(vectors, meta={"began": began, "step": step})


def _go_on(kept: Kept, first, second) -> tuple[int, int]:
    """Take up the rule's state, in place; return the count of steps before the fit, and now."""
    for name, array in (("first", first), ("second", second)):
        if array is not None:
            array[:] = kept.vectors[name]
    return int(kept.meta["began"]), int(kept.meta["step"])
