"""The recipe of a fit, resolved: which rule, schedule, batch and kind of update; what "auto" means.

"auto" is :class:`dsgd.train.newton.Newton` when the weights in use are few, because then it reaches the optimum in a few
passes; otherwise it is AdaGrad, whose steps need no tuning, row by row for one output.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from ..data.layout import Layout
from ..objective.problem import Problem
from ..optim.rules import make_rule
from ..optim.schedules import make_schedule
from .batches import steps_of_epoch
from .config import FitConfig
from .stepsize import automatic_rate, scale_of_rate

_BATCH, _LEAST_BATCH = 1024, 16
# How often an adaptive rate is lowered; by "auto", only until the noise of its steps is gone.
_MOST_LOWERINGS = 8
_LOWERINGS = {"auto": 3}
# Weights beyond the dense ones from which on a row touches so few of them that it is worth a step of its own.
_WIDE = 1 << 10


@dataclass(frozen=True)
class Recipe:
    """What :class:`dsgd.train.stepwise.Stepwise` and :class:`dsgd.train.svrg.SVRG` need to know.

    Attributes
    ----------
    rule, schedule : named tuples
        As the kernels take them, their numbers in the fit's dtype.
    batch_rows : int
        Rows of the global mini-batch.
    online : bool
        Row by row, fused.
    sparse : bool
        Steps touch only the weights that a batch uses.
    average : bool
    average_from : int
        Rows after which averaging begins: with the epoch that uses the next one.
    local_steps : int or "epoch"
    compression : str
    shuffle, constant_rate : bool
    lowerings : int
        How often the rate is lowered when the objective no longer falls.
    seed : int
    """

    rule: Any
    schedule: Any
    batch_rows: int
    online: bool
    sparse: bool
    average: bool
    average_from: int
    local_steps: Any
    compression: str
    shuffle: bool
    lowerings: int
    constant_rate: bool
    seed: int

    def averagings(self, rows: int) -> int:
        """Averagings of the weights in an epoch of ``rows`` rows over all ranks."""
        if self.local_steps == "epoch":
            return 1
        return max(1, -(-steps_of_epoch(rows, self.batch_rows) // self.local_steps))

    def initial_state(self, params: np.ndarray) -> tuple[np.ndarray | None, np.ndarray | None]:
        """The rule's state before the first step, consistent with ``params``."""
        slots = self.rule.slots
        # Not zeros_like, which writes them: memory that nobody has written to costs nothing.
        first = np.zeros(params.shape, params.dtype) if slots > 0 else None
        second = np.zeros(params.shape, params.dtype) if slots > 1 else None
        if self.rule_name == "FTRL" and first is not None:
            # The weight is a function of z: start from the z that gives this weight.
            first -= params * (self.rule.beta / self.rule.rate)
        return first, second

    @property
    def rule_name(self) -> str:
        """Whose state the arrays ``first`` and ``second`` are."""
        return type(self.rule).__name__

    def resume(self, params: np.ndarray, state: dict[str, Any]) -> tuple[np.ndarray | None, np.ndarray | None, int]:
        """The rule's state and its count of steps, from an earlier fit's ``state`` when that was of the same rule."""
        first, second = self.initial_state(params)
        if state.get("rule") != self.rule_name:
            return first, second, 0
        # Copies: ranks that are threads are given the same arrays.
        old = [
            None if a is None else np.array(state[name], a.dtype) for name, a in (("first", first), ("second", second))
        ]
        return old[0], old[1], int(state["step"])


def leave_steps(state: dict[str, Any], steps: int) -> None:
    """Leave the count of steps of a recipe that has no state of a rule to go on from."""
    state.clear()
    state.update(step=steps)


def in_dtype(tuple_: Any, dtype: np.dtype) -> Any:
    """Return a named tuple with its floats as ``dtype``, so that compiled formulas stay in that precision."""
    changed = {}
    for name, value in zip(tuple_._fields, tuple_, strict=True):
        if isinstance(value, float):
            changed[name] = dtype.type(value)
        elif hasattr(value, "_fields"):
            changed[name] = in_dtype(value, dtype)
    return tuple_._replace(**changed)


def updates_sparse(layout: Layout, batch_rows: int, entries: float, together: bool) -> bool:
    """Whether touching only what a batch uses is cheaper than a sweep over all weights.

    ``entries`` is the mean number of codes, interactions and sparse values of a row; ``together`` says whether ranks sum each
    mini-batch's gradient. Sums and sweeps over neighbouring numbers are that much faster than lists of indices.
    """
    factor = 16 if together else 4
    return layout.size > layout.dense and layout.size - layout.dense > factor * entries * batch_rows


def make_recipe(
    config: FitConfig,
    problem: Problem,
    *,
    rule: str,
    rows: int,
    batch: int,
    entries: float,
    smoothness: float,
    ranks: int,
    scale: float = 1.0,
) -> Recipe:
    """Resolve a configuration for a rule.

    Parameters
    ----------
    config : FitConfig
    problem : Problem
    rule : str
        A key of ``RULES``, or "svrg".
    rows : int
        Training rows of all ranks.
    batch : int
        Rows of the global mini-batch.
    entries : float
        Mean number of codes and sparse values of a row.
    smoothness : float
        Of a mini-batch's objective, for the rules that need it.
    ranks : int
    scale : float
        Of the target, in units of the score.
    """
    layout = problem.layout
    batch = min(batch, max(rows, 1))
    compression = config.mode.compression if ranks > 1 else "none"
    local = ranks == 1 or config.mode.local_steps != 1
    # Row by row only touched weights are stepped, however few there are: that is what makes the pass one loop.
    touched = updates_sparse(layout, batch, max(entries, 1.0), not local) or (batch == 1 and layout.size > layout.dense)
    sparse = touched and compression == "none" and rule != "svrg"
    rate = automatic_rate(rule, max(smoothness, 1e-12), scale_of_rate(rule, problem.loss, scale))
    rate = rate if config.eta0 == "auto" else float(config.eta0)
    update = make_rule("sgd" if rule == "svrg" else rule, rate=rate)
    schedule = _schedule(config, problem, rate, config.max_iter * steps_of_epoch(rows, batch))
    return Recipe(
        rule=in_dtype(update, problem.dtype),
        schedule=in_dtype(schedule, problem.dtype),
        batch_rows=batch,
        online=batch == 1 and problem.outputs == 1 and local and (sparse or layout.size == layout.dense),
        sparse=sparse,
        average=bool(config.average),
        average_from=0 if config.average is True else int(config.average),
        local_steps=config.mode.local_steps,
        compression=compression,
        shuffle=config.shuffle,
        lowerings=_LOWERINGS.get(config.optimizer, _MOST_LOWERINGS) if config.learning_rate == "adaptive" else 0,
        constant_rate=config.learning_rate in ("constant", "adaptive") and config.warmup_steps == 0,
        seed=config.seed,
    )


def _schedule(config: FitConfig, problem: Problem, rate: float, total_steps: int) -> Any:
    return make_schedule(
        config.learning_rate,
        eta0=rate,
        power_t=config.power_t,
        alpha=max(problem.l2, problem.l1, 1e-12),
        total_steps=total_steps,
        warmup_steps=config.warmup_steps,
    )


def resolved_batch(config: FitConfig, problem: Problem, rule: str, ranks: int) -> int:
    """Rows of the global mini-batch of :class:`dsgd.train.stepwise.Stepwise`.

    "auto" is one row for wide sparse data where ranks step by themselves; otherwise 1024, or less for few rows, so that an
    epoch has at least 64 steps.
    """
    if config.batch_size != "auto":
        return int(config.batch_size)
    layout = problem.layout
    wide = layout.size - layout.dense > _WIDE and problem.outputs == 1 and rule in ("adagrad", "ftrl")
    return (
        1
        if wide and (ranks == 1 or config.mode.local_steps != 1)
        else max(_LEAST_BATCH, min(_BATCH, problem.rows // 64))
    )
