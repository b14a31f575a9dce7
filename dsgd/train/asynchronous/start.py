"""What all members of a crew agree on, from what the workers found in their lots: the plan, then the recipe and the ranges.

The lead merges the lots' findings into a few bytes, twice: statistics and numbering when all lots are encoded, measures when all
have been looked at again with the plan. Every member makes the same objects from them, as the ranks of a gang do.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import reduce
from typing import Any

import numpy as np

from ...data.arrays import pack, unpack
from ...data.numbering import Numbering, can_number, merge_numberings
from ...data.statistics import merge
from ...objective.problem import RUN_ROWS, Problem
from ...objective.share import longest_run
from ...objective.start import null_intercept, target_scale
from ...optim.schedules import multiplied, stretched
from ...server.policy import Policy
from ...server.ranges import Ranges, cut, stretches
from ...server.shard import ParameterShard
from ...server.weights import RangeWeights
from ..batches import steps_of_epoch
from ..config import FitConfig
from ..plan import Plan, make_plan
from ..recipe import Recipe, make_recipe, resolved_batch
from ..stores import held_out_fraction, initial_params
from ..used_weights import narrow, weights_of
from .findings import Measured, as_array, bytes_in, unpack_prepared
from .own_rows import most_rows, own_rows
from .task import CrewTask

# A list is worth its indices where it is so many times shorter than the whole.
_LISTS = 30
_RULE = "adagrad"  # of optimizer="auto"


def merge_prepared(task: CrewTask, found: Sequence[bytes], kept: np.ndarray | None = None) -> bytes:
    """The lots' findings as one, in the order of the lots; ``kept`` are the positions that a checkpoint has."""
    layout, codes = task.dataset.spec.layout, np.zeros(0, np.int32)
    parts = [unpack_prepared(part, layout) for part in found]
    statistics = reduce(merge, [part for part, _ in parts])
    if can_number(layout):
        lists = [used for _, used in parts]
        if task.initial is not None:
            lists.append(weights_of(task.initial, layout))
        if kept is not None:
            lists.append(kept[kept >= layout.dense].astype(np.int32))
        codes = merge_numberings(layout, lists).codes
    data = statistics.to_bytes()
    return pack({"statistics": as_array(data), "codes": codes}, {"bytes": len(data)})


def pack_start(prepared: bytes, measures: bytes, kept: bytes = b"") -> bytes:
    """What a shard is told at its beginning; ``kept`` is a checkpoint to go on from, if there is one."""
    parts = {"prepared": prepared, "measures": measures, "kept": kept}
    return pack(
        {name: as_array(part) for name, part in parts.items()}, {name: len(part) for name, part in parts.items()}
    )


def unpack_start(start: bytes) -> tuple[bytes, bytes, bytes]:
    """The inverse; DataError when it is no start."""
    arrays, meta = unpack(start, source := "the start of a shard")
    names = ("prepared", "measures", "kept")
    prepared, measures, kept = (bytes_in(arrays, name, meta.get(name), source) for name in names)
    return prepared, measures, kept


@dataclass(frozen=True)
class Agreed:
    """The plan, as every member makes it.

    Attributes
    ----------
    plan : Plan
    numbering : Numbering or None
    initial : dict or None
        As in the task, by the numbered weights.
    batch_rows : int
        Rows of a push.
    fraction : float
        Of the rows, held out.
    watch : bool
        Whether these only tell when to stop.
    longest : int
        Rows of a run at most.
    own_steps : bool
        Whether workers take steps of their own, and push what has changed.
    """

    plan: Plan
    numbering: Numbering | None
    initial: dict[str, Any] | None
    batch_rows: int
    fraction: float
    watch: bool
    longest: int
    own_steps: bool

    @property
    def problem(self) -> Problem:
        """The plan's problem."""
        return self.plan.problem


def agree(task: CrewTask, prepared: bytes) -> Agreed:
    """Make the plan from :func:`merge_prepared`'s bytes."""
    spec, initial, numbering = task.dataset.spec, task.initial, None
    layout = spec.layout
    statistics, codes = unpack_prepared(prepared, layout)
    if can_number(layout):
        numbering = merge_numberings(layout, [codes])
        if initial is not None:
            initial = narrow(initial, layout, numbering.positions)
        layout = numbering.layout
    config = task.config
    plan = make_plan(config, task.dataset, statistics, task.classes, layout, task.seen)
    fraction, watch = held_out_fraction(config, plan.problem.rows, task.validated)
    batch = rows_of_push(task, plan.problem)
    rows = plan.problem.rows // len(task.owners)
    longest = longest_run(_longest_batch(task, plan.problem, batch), fraction, rows)
    return Agreed(plan, numbering, initial, batch, fraction, watch, longest, task.mode.local_steps != 1)


def _longest_batch(task: CrewTask, problem: Problem, batch_rows: int) -> int:
    """Rows that are worked on together: a step's; or where each row is one, as many as a worker may take by itself."""
    if batch_rows > 1 or problem.outputs > 1:
        return batch_rows
    return min(RUN_ROWS, most_rows(task, batch_rows))


def rule_of(config: FitConfig) -> str:
    """The rule by its name."""
    return _RULE if config.optimizer == "auto" else config.optimizer


def rows_of_push(task: CrewTask, problem: Problem) -> int:
    """Rows of a push: those of a step, which all workers take together if ``staleness=0``."""
    rows = resolved_batch(task.config, problem, rule_of(task.config), 2)
    return max(1, -(-rows // task.workers)) if task.mode.staleness == 0 else rows


def merge_measured(found: Sequence[bytes]) -> bytes:
    """The lots' measures as one."""
    parts = [Measured.from_bytes(part) for part in found]
    load = np.zeros(max(len(part.load) for part in parts), np.int64)
    for part in parts:
        load[: len(part.load)] += np.array(part.load, np.int64)
    return Measured(
        sum(part.rows for part in parts),
        sum(part.values for part in parts),
        max((part.touched for part in parts if part.rows), default=0),
        max(part.smoothness for part in parts),
        np.sum([part.totals for part in parts], axis=0).tolist(),
        all(part.left for part in parts),
        load.tolist(),
    ).to_bytes()


@dataclass(frozen=True)
class Setup:
    """Everything before the first step.

    Attributes
    ----------
    agreed : Agreed
    measured : Measured
    recipe : Recipe
    ranges : Ranges
    listed : bool
        Whether pushes and pulls list the features that they touch.
    push_rows : int
        Rows of a push, which are several steps where they are more than ``recipe.batch_rows``.
    """

    agreed: Agreed
    measured: Measured
    recipe: Recipe
    ranges: Ranges
    listed: bool
    push_rows: int

    @property
    def own_steps(self) -> bool:
        """Whether workers take steps of their own, and push what has changed."""
        return self.agreed.own_steps


def set_up(task: CrewTask, agreed: Agreed, measures: bytes) -> Setup:
    """Resolve the recipe and the shards' ranges from :func:`merge_measured`'s bytes."""
    measured = Measured.from_bytes(measures)
    problem, config = agreed.problem, task.config
    totals = np.array(measured.totals)
    scale = target_scale(problem.loss, totals) if agreed.plan.classes is None else 1.0
    asked = config.optimizer != "auto" or config.eta0 != "auto" or config.learning_rate != "constant"
    if not asked:
        # An epoch that does not help may be the noise of the steps: the rate is lowered before that is believed.
        config = replace(config, learning_rate="adaptive")
    recipe = make_recipe(
        config, problem, rule=rule_of(config), rows=measured.rows, batch=agreed.batch_rows,
        entries=measured.values / max(problem.rows, 1), smoothness=measured.smoothness, ranks=1, scale=scale,
    )  # fmt: skip
    # What travels decides, not what is cheaper to add up: an index and a number for each feature, or a number for all.
    listed = problem.layout.size > problem.layout.dense and _LISTS * measured.touched < problem.layout.size
    rule, schedule = recipe.rule, recipe.schedule
    if task.mode.staleness != 0:
        rule, factor = corrected(rule, task.workers)
        schedule = multiplied(schedule, factor)
    pushes = steps_of_epoch(measured.rows, agreed.batch_rows) / (task.workers if task.mode.staleness == 0 else 1)
    schedule = stretched(schedule, config.max_iter * pushes)
    # Weights are numbered as the data brings them, the frequent ones first: ranges of one length would be of unlike load.
    features = problem.layout.size + 1
    parts = len(stretches(features)) - 1
    load = np.array(measured.load, np.float64) if listed and len(measured.load) == parts else np.ones(parts)
    rows = recipe.batch_rows
    if agreed.own_steps:
        layout = problem.layout
        travelling = (measured.touched if listed else layout.size + 1) * problem.outputs * (1 + rule.slots)
        values = layout.dense + measured.values / max(problem.rows, 1)
        rows = own_rows(
            task, recipe.batch_rows, rows=measured.rows, values=values * problem.outputs, travelling=travelling
        )
    return Setup(
        agreed,
        measured,
        replace(recipe, rule=rule, schedule=schedule),
        Ranges(cut(load, task.shards, features), problem.outputs),
        listed,
        rows,
    )


def corrected(rule: Any, workers: int) -> tuple[Any, float]:
    """A rule with momentum, less of it where asynchrony brings some by itself; and the factor on its rate that goes with it.

    Workers that push without waiting have the effect of a momentum of ``1 - 1 / workers`` (Mitliagkas, Zhang, Hadjis and Re,
    "Asynchrony begets momentum", 2016): the memory ``1 / (1 - beta)`` of the two together should be the one asked for. What a
    gradient moves in all, ``rate / (1 - beta)``, stays.

    Examples
    --------
    >>> from dsgd.optim.rules import make_rule
    >>> rule, factor = corrected(make_rule("momentum"), 4)
    >>> round(rule.beta, 3), round(factor, 3), corrected(make_rule("momentum"), 20)[0].beta
    (0.6, 4.0, 0.0)
    """
    if not hasattr(rule, "beta") or rule.slots != 1:
        return rule, 1.0
    beta = max(0.0, round(1.0 - workers * (1.0 - float(rule.beta)), 12))
    return rule._replace(beta=type(rule.beta)(beta)), (1.0 - beta) / (1.0 - float(rule.beta))


def first_params(setup: Setup, classes: Any) -> np.ndarray:
    """The weights to begin with: those given, or zero; a regression begins at its null model."""
    problem, initial = setup.agreed.problem, setup.agreed.initial
    if initial is not None:
        return initial_params(problem, initial)
    params = np.zeros(problem.size, problem.dtype)
    if classes is None and problem.intercept:
        params[-1] = null_intercept(problem.loss, np.array(setup.measured.totals))
    return params


def make_shard(task: CrewTask, setup: Setup, number: int, kept: bytes = b"") -> ParameterShard:
    """A shard at its beginning, or where a checkpoint was made."""
    recipe, problem, mode = setup.recipe, setup.agreed.problem, task.mode
    if kept:
        arrays, meta = unpack(kept, "the checkpoint of a shard")
        params, state = np.array(arrays["params"]), {**arrays, "rule": recipe.rule_name, "step": meta["step"]}
        lowered = int(meta["lowered"])
    else:
        params, lowered = first_params(setup, setup.agreed.plan.classes), 0
        state = dict((setup.agreed.initial or {}).get("state") or {})
    first, second, step = recipe.resume(params, state)
    own = [None if array is None else setup.ranges.part(array, number) for array in (params, first, second)]
    assert own[0] is not None
    penalty = problem.penalty()
    last = number == task.shards - 1
    weights = RangeWeights(
        recipe.rule, recipe.schedule, penalty if last else penalty._replace(intercept=False), problem.outputs, own[0],
        own[1], own[2], sparse=setup.listed, step=step, scaled=mode.correction == "rate",
        compensation=mode.compensation if mode.correction == "delay" else 0.0,
    )  # fmt: skip
    weights.lower(lowered)
    policy = Policy(mode.staleness, task.config.mode.backup_workers)
    remembered = 1 if setup.own_steps else 2 if mode.correction == "delay" else 0
    return ParameterShard(weights, policy, scaled=mode.correction == "rate", remembered=remembered)
