"""What a rank of a gang does, from its splits to the trained weights.

Every rank connects, encodes its rows once, merges the statistics, makes the same plan, trains, and rank 0 brings the result back.
"""

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import reduce
from typing import Any

import numpy as np

from ..collectives import connect
from ..collectives.base import Collective
from ..data.statistics import Statistics, merge
from ..objective.passes import Pass
from ..objective.problem import RUN_ROWS, Problem
from ..objective.share import Share, longest_run
from ..objective.start import null_intercept
from . import place
from .auto import solve_by_rounds
from .beginning import active_weights, begin_regression
from .checkpoints.identity import digest_of, moments_of
from .checkpoints.keeper import Keeper, keeps
from .engine import RankContext
from .field import GangField
from .newton import Newton
from .plain import PlainSGD
from .plan import make_plan
from .progress import Progress
from .recipe import Recipe, make_recipe, resolved_batch
from .stepsize import needs_smoothness, smoothness
from .stepwise import Stepwise
from .stores import finish_stores, initial_params, open_stores, pack_result, watched_fraction
from .stragglers import Stragglers
from .svrg import SVRG
from .task import FitTask
from .used_weights import agree, make_numbering, narrow
from .whitened import WhitenedAverage, WhitenedSVRG, takes_whitened_steps
from .whitening import MOST_FEATURES, Whitener, whitened_batch

# Buffers up to this size are reduced in one piece.
_MAX_BUFFER = 64 << 20
# Rows of a run where mini-batches are small, so that rows that lie together do not make up much of one.
_WHITENED_RUN = 4


def run_rank(context: RankContext, task: FitTask) -> bytes:
    """Train as one rank of a gang; returns rank 0's RankResult, and nothing from the others."""
    with joined(context, task) as (collective, stack, moved):
        return Rank(context, task, collective, stack, moved).run()


@contextlib.contextmanager
def joined(
    context: RankContext, task: FitTask
) -> Iterator[tuple[Collective, contextlib.ExitStack, Callable[[], None]]]:
    """Meet the other ranks of a gang: yields the collective, a stack that is closed in the end, and what says "at work"."""
    config = task.config
    layout = task.dataset.spec.layout
    largest = min(_MAX_BUFFER, (layout.size + 2) * 8)
    with contextlib.ExitStack() as stack:
        # Ranks share the machine's cores: BLAS threads beyond a rank's own would only get in the way.
        stack.enter_context(place.limit_threads(config.threads_per_worker))
        collective = connect(
            context,
            "tree" if config.mode.topology == "tree" else "ring",
            largest,
            keys=task.keys,
            encrypt=config.encrypt,
            deadline=config.deadline,
            port_range=config.port_range,
            interface=config.interface,
        )
        stack.callback(collective.close)
        # Ranks differ in speed and in rows, by any time: a rank at work is waited for, whatever the deadline.
        yield collective, stack, stack.enter_context(collective.working())


class Rank:
    """One rank's fit, after it has met the others."""

    newton = Newton
    keeper: Keeper | None = None

    def __init__(
        self,
        context: RankContext,
        task: FitTask,
        collective: Collective,
        stack: contextlib.ExitStack,
        moved: Callable[[], None] = lambda: None,
    ):
        self.context, self.task, self.config, self.collective = context, task, task.config, collective
        spec, numbering = task.dataset.spec, make_numbering(task)
        store, held_out = open_stores(context, task, stack, numbering, moved)
        statistics, own_digest = self._merged(store.statistics), digest_of(store.statistics)
        self.keeper = self._make_keeper()
        self.initial, layout, self.positions = task.initial, spec.layout, None
        if numbering is not None:
            # Weights that a checkpoint has are numbered after those of the rows.
            more = None if self.keeper is None else self._kept_positions()
            numbering = agree(numbering, layout, task.initial, collective, (store, held_out), more)
            self.positions = numbering.positions
            if task.initial is not None:
                self.initial = narrow(task.initial, layout, self.positions)
            layout = numbering.layout
        self.plan = make_plan(self.config, task.dataset, statistics, task.classes, layout, task.seen)
        finish_stores(self.plan, store, held_out)
        self.problem: Problem = self.plan.problem
        if self.keeper is not None:
            self.keeper.check_rows(self.problem.rows, self._moments())
            self.keeper.hold(self.positions, self.problem.outputs, own_digest)
        self._stores = store, held_out
        fraction = self.config.validation_fraction if self.config.early_stopping and held_out is None else 0.0
        longest = longest_run(self._longest_batch(), fraction, self.problem.rows // collective.size)
        self.work = self._make_work(longest)
        self._take_up(fraction)

    def _make_keeper(self) -> Keeper | None:
        orders, size = self.task.checkpoint, self.task.dataset.spec.layout.size
        if not keeps(orders, self.context):
            return None
        rank = self.context.rank
        return Keeper(orders, [self.collective], rank, ((0, size),), writes=rank == 0, leave=self.context.leave)

    def _moments(self) -> list[list[float]]:
        """By which the rows of a checkpoint are told from others."""
        return moments_of(self.plan.statistics)

    def _kept_positions(self) -> np.ndarray:
        """Of this rank's weights, those that a checkpoint has."""
        assert self.keeper is not None
        return self.keeper.places()

    def _take_up(self, fraction: float, watch: bool = False) -> None:
        """Divide the rows into those for training and those for validation, and start the count of epochs."""
        store, held_out = self._stores
        rank, seed = self.context.rank, self.config.seed
        self.share = Share(
            self.problem, store, self.work.run, seed=seed, rank=rank, fraction=fraction, validation=held_out
        )
        self.field = GangField(self.share, self.work, self.collective, seed)
        own = np.array([self.share.training_rows()], np.float64)
        self.collective.allreduce(own)
        self.rows = int(own[0])
        validate = self.field.validation if self.share.held_out else _nothing
        report = self.context.report if rank == 0 else _ignore
        self.progress = Progress(self.config, self.rows, validate, report, watch, self.keeper)
        self.progress.times = Stragglers(*self._circles()).epoch

    def _circles(self) -> tuple[Collective, ...]:
        """The collectives in which this rank meets others."""
        return (self.collective,)

    def _watch(self) -> None:
        """Judge by the validation rows, or a few held out, when to stop: many weights go on learning rows by heart."""
        if self.config.tol is None or self.config.early_stopping:
            return
        if self.share.held_out:
            self._take_up(0.0, watch=True)
        elif fraction := watched_fraction(self.problem.rows):
            self._take_up(fraction, watch=True)

    def _make_work(self, longest: int) -> Pass:
        return Pass(self.problem, longest, in_order=not self.config.shuffle)

    def run(self) -> bytes:
        """Train and return the result as bytes."""
        state = self._initial_state()
        params = self._train(self._initial(), state)
        if self.progress.best is not None:
            params = self.progress.best
        return self._answer(params, state) if self.context.rank == 0 else b""

    def _answer(self, params: np.ndarray, state: dict[str, Any]) -> bytes:
        return pack_result(self.plan, params, state, self.progress, self.initial, self.positions)

    def _merged(self, own: Statistics) -> Statistics:
        payloads = self.collective.allgather(own.to_bytes())
        return reduce(merge, [Statistics.from_bytes(payload) for payload in payloads])

    def _batch_rows(self, rule: str) -> int:
        return resolved_batch(self.config, self.problem, rule, self.collective.size)

    def _longest_batch(self) -> int:
        """Rows that a run may have, so that mini-batches can be made of runs; any number in a pass row by row."""
        size = self.collective.size
        if self.config.plain:
            return 1
        if takes_whitened_steps(self.config, self.problem, size):
            return max(1, min(_WHITENED_RUN, self.problem.rows // 16 // size))
        rule, mode = self.config.optimizer, self.config.mode
        rows = self._batch_rows("adagrad" if rule == "auto" else rule)
        if rows > 1 or self.problem.outputs > 1 or rule == "svrg":
            return max(1, -(-rows // size))
        if size == 1:
            return RUN_ROWS
        # Row by row a run may be as long as what lies between two averagings.
        alone = mode.compression == "none" and mode.local_steps != 1
        between = mode.local_steps // size if isinstance(mode.local_steps, int) else RUN_ROWS
        return max(1, min(RUN_ROWS, between)) if alone else 1

    def _initial(self) -> np.ndarray:
        if self.initial is None:
            return np.zeros(self.problem.size, self.problem.dtype)
        return initial_params(self.problem, self.initial)

    def _initial_state(self) -> dict[str, Any]:
        state = (self.initial or {}).get("state") or {}
        return dict(state)

    def _train(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        rule, fresh = self.config.optimizer, self.initial is None
        if self.config.plain:
            return PlainSGD(self.config, self.plan, self.share, self.progress).run(params, state)
        if rule == "auto":
            rule = "adagrad"
            solved = solve_by_rounds(
                self.field, self.config, self.collective.size, self.progress, params, state, fresh,
                regression=self.plan.classes is None, watched=self.share.held_out, newton=self.newton,
            )  # fmt: skip
            if solved is not None:
                return solved
            self._watch()
        whitens = takes_whitened_steps(self.config, self.problem, self.collective.size)
        active = active_weights(self.field, params, MOST_FEATURES) if whitens else None
        if active is not None:
            return self._train_whitened(active, params, state)
        return self._train_stepwise(rule, params, state, fresh)

    def _train_stepwise(self, rule: str, params: np.ndarray, state: dict[str, Any], fresh: bool) -> np.ndarray:
        scale = begin_regression(self.field, params, fresh) if self.plan.classes is None else 1.0
        recipe = self._recipe(rule, self._batch_rows(rule), self._smoothness(rule), scale)
        return self._make_descent(rule, recipe).run(params, state)

    def _make_descent(self, rule: str, recipe: Recipe) -> Stepwise | SVRG:
        parts = (self.share, self.work, self.collective, self.progress, self.rows)
        return SVRG(recipe, *parts) if rule == "svrg" else Stepwise(recipe, *parts)

    def _train_whitened(self, active: np.ndarray, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        automatic = self.config.batch_size == "auto"
        batch = whitened_batch(len(active), self.rows) if automatic else int(self.config.batch_size)
        sample = self.field.sample(active)
        whitener = Whitener(sample, self.problem, active, batch, self.plan.statistics.label.mean)
        if self.initial is None and self.problem.intercept and self.problem.outputs == 1:
            params[-1] = null_intercept(self.problem.loss, sample.totals())
        # The smoothness is that of the coordinates, epoch by epoch.
        recipe = self._recipe(self.config.optimizer, batch, 1.0)
        kind = WhitenedSVRG if self.config.optimizer == "svrg" else WhitenedAverage
        return kind(recipe, self.field, self.progress, self.rows, whitener).run(params, state)

    def _recipe(self, rule: str, batch: int, smoothness: float, scale: float = 1.0) -> Recipe:
        config = self.config
        # Where no held-out rows say when to stop, the noise of the steps must not: the rate is lowered when nothing else helps.
        asked = (
            config.optimizer != "auto" or config.eta0 != "auto" or config.learning_rate != "constant" or config.average
        )
        if not asked and not self.share.held_out:
            config = replace(config, learning_rate="adaptive")
        return make_recipe(
            config,
            self.problem,
            rule=rule,
            rows=self.rows,
            batch=batch,
            entries=self.field.entries(),
            smoothness=smoothness,
            scale=scale,
            ranks=self.collective.size,
        )

    def _smoothness(self, rule: str) -> float:
        if not needs_smoothness(rule) or self.config.eta0 != "auto":
            return 1.0
        own = smoothness(self.problem, self.share, self._batch_rows(rule))
        return max(np.frombuffer(part, np.float64)[0] for part in self.collective.allgather(np.float64(own).tobytes()))


def _nothing(params: np.ndarray) -> None:
    return None


def _ignore(record: dict[str, Any]) -> None:
    """Only rank 0 reports."""
