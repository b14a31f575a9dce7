"""Training over an engine's own tree-aggregate: no gang, no sockets between workers, one engine job a round.

The driver runs the recipe and asks for sums over all rows; each share of the rows is a task that the engine may run anywhere and
run again. A worker keeps the shares that it has encoded for as long as the fit lasts, so that a later round finds them;
where it does not (another worker, a restarted one), it encodes them anew. A round costs an engine's job, so its natural
steps are full gradients and whole local epochs; there are no mini-batches here.
"""

import contextlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..collectives import SingleProcess
from ..data.arrays import unpack
from ..data.statistics import Statistics, merge
from ..objective.active import squares_of_features, used_weights
from ..objective.curvature import Sample, SamplePlan
from ..objective.passes import Partial, Pass
from ..objective.problem import Problem
from ..objective.share import Share, longest_run
from ..objective.start import totals_of_rows
from . import place, sample_parts
from .config import FitConfig
from .engine import RankContext
from .field import count_values
from .holding import Holding
from .plan import make_plan
from .progress import Progress
from .recipe import resolved_batch
from .stepwise import Stepwise
from .stores import finish_stores, open_stores
from .task import FitTask

FUNCTION = "dsgd.train.rounds:run_round"
ADD, MERGE, UNITE = (f"dsgd.train.rounds:{name}" for name in ("add_sums", "merge_statistics", "unite"))
# Fits whose encoded shares a worker process keeps; a fit that is over is pushed out by the next.
_MOST_FITS = 2
_BATCH_ROWS = 1024


@dataclass(frozen=True)
class Round:
    """One share's part of a round.

    Attributes
    ----------
    fit : str
        Identifies the fit among those that a worker has seen.
    share : int
    task : FitTask
    statistics : bytes
        Of all rows, merged; empty in the first round.
    work : str
        A method of :class:`ShareOnWorker`.
    arguments : dict of str to array or number
    """

    fit: str
    share: int
    task: FitTask
    statistics: bytes
    work: str
    arguments: dict[str, Any]

    @property
    def deadline(self) -> float:
        """Seconds of silence after which an engine that watches its own processes counts one as lost."""
        return self.task.config.deadline


def run_round(context: RankContext, job: Round) -> bytes:
    """Do one share's part of a round."""
    with (
        place.limit_threads(job.task.config.threads_per_worker),
        _HELD.use(job.fit, job.share, lambda: ShareOnWorker(context, job)) as held,
    ):
        held.plan(job.statistics)
        return getattr(held, job.work)(**job.arguments)


def add_sums(left: bytes, right: bytes) -> bytes:
    """Add vectors of float64."""
    return (np.frombuffer(left, np.float64) + np.frombuffer(right, np.float64)).tobytes()


def merge_statistics(left: bytes, right: bytes) -> bytes:
    """Merge statistics."""
    return merge(Statistics.from_bytes(left), Statistics.from_bytes(right)).to_bytes()


def unite(left: bytes, right: bytes) -> bytes:
    """Unite lists of positions; an empty answer ("too many") wins."""
    if not left or not right:
        return b""
    parts = [np.frombuffer(part, np.int64)[1:] for part in (left, right)]
    return np.concatenate([[-1], np.unique(np.concatenate(parts))]).astype(np.int64).tobytes()


class ShareOnWorker:
    """A share of the rows on the worker that encoded it, and what can be asked of it."""

    def __init__(self, context: RankContext, job: Round):
        self._task, self._number = job.task, job.share
        with contextlib.ExitStack() as opened:
            self._stores = open_stores(context, job.task, opened)
            self._stack = opened.pop_all()
        self._drawn: Sample | None = None
        self._share: Share | None = None

    def close(self) -> None:
        """Remove the encoded rows."""
        self._stack.close()

    def plan(self, statistics: bytes) -> None:
        """Make the plan from everybody's statistics, once."""
        if self._share is not None or not statistics:
            return
        config = self._task.config
        merged = Statistics.from_bytes(statistics)
        plan = make_plan(config, self._task.dataset, merged, self._task.classes, seen=self._task.seen)
        finish_stores(plan, *self._stores)
        store, held_out = self._stores
        fraction = config.validation_fraction if config.early_stopping and held_out is None else 0.0
        rows = len(store) and store.rows
        self._work = Pass(plan.problem, longest_run(_longest_batch(config, plan.problem), fraction, rows))
        self._share = Share(
            plan.problem,
            store,
            self._work.run,
            seed=config.seed,
            rank=self._number,
            fraction=fraction,
            validation=held_out,
        )

    @property
    def share(self) -> Share:
        """The share, once there is a plan."""
        if self._share is None:
            raise ValueError("the share has no plan yet")
        return self._share

    def statistics(self) -> bytes:
        """Statistics of the rows."""
        return self._stores[0].statistics.to_bytes()

    def gradient(self, params: np.ndarray, used: np.ndarray | None, width: float) -> bytes:
        """Gradient, loss and rows; ``used`` are the positions of the parameters that travel, if the others need not."""
        if used is not None:
            params = spread(params, used, self.share.problem.size)
        partial = self._work.full_gradient(self.share.training(), params, width)
        gradient = partial.gradient if used is None else partial.gradient[used]
        return Partial(gradient, partial.loss, partial.rows).to_vector().tobytes()

    def validation(self, params: np.ndarray) -> bytes:
        """Loss and weight of the validation rows."""
        return np.array(self._work.loss(self.share.validation(), params)).tobytes()

    def active(self, limit: int) -> bytes:
        """Positions of the weights in use, headed by -1; nothing when they are too many."""
        own = used_weights(self.share.problem, self.share.training(), limit)
        return b"" if own is None else np.concatenate([[-1], own]).astype(np.int64).tobytes()

    def entries(self) -> bytes:
        """Sparse values and rows."""
        return np.array([count_values(self.share), self._stores[0].rows], np.float64).tobytes()

    def squares(self, active: np.ndarray) -> bytes:
        """Sums of squares of the active features, and rows."""
        return squares_of_features(self.share.problem, self.share.training(), active).tobytes()

    def totals(self) -> bytes:
        """Sums over the targets."""
        return totals_of_rows(self.share.training(), self.share.run).tobytes()

    def sample(self, active: np.ndarray, plan: SamplePlan, step: int) -> bytes:
        """Sums of squares of the active weights' features, and every so-many-th sampled row."""
        return sample_parts.to_bytes(self._sample(active, plan), step)

    def sums(
        self, active: np.ndarray, plan: SamplePlan, weights: np.ndarray, part: float, width: float, floor: float
    ) -> bytes:
        """Loss, gradient and curvature of the sampled rows."""
        return self._sample(active, plan).sums(weights, part, width, floor).to_vector().tobytes()

    def along(
        self, active: np.ndarray, plan: SamplePlan, weights: np.ndarray, step: np.ndarray, part: float, width: float
    ) -> bytes:
        """Loss of the sampled rows along a step."""
        return self._sample(active, plan).along(weights, step, part, width).tobytes()

    def epoch(self, recipe: Any, arrays: bytes, number: int, step: int) -> bytes:
        """A local epoch from the given weights: the sums over rows of what it ended with."""
        state, _ = unpack(arrays, "the weights of the round")
        stepper = Stepwise(recipe, self.share, self._work, SingleProcess(), _no_progress(self._task.config), 0)
        stepper.start(state["params"], {**state, "step": step, "rule": recipe.rule_name})
        loss = stepper.epoch(number) * stepper.own_rows
        ended = [a for a in (stepper.params, stepper.first, stepper.second) if a is not None]
        rows = stepper.own_rows
        tail = [loss, rows, rows * stepper.step]
        return np.concatenate([*(rows * a.astype(np.float64) for a in ended), tail]).tobytes()

    def _sample(self, active: np.ndarray, plan: SamplePlan) -> Sample:
        if self._drawn is None:
            self._drawn = Sample(self.share, active, plan, self._task.config.seed, self._number)
        return self._drawn


_HELD: Holding[ShareOnWorker] = Holding(_MOST_FITS)


def spread(values: np.ndarray, positions: np.ndarray, size: int) -> np.ndarray:
    """A vector of ``size`` numbers, zero but for some positions.

    Examples
    --------
    >>> spread(np.array([2.0, 3.0]), np.array([0, 2]), 4).tolist()
    [2.0, 0.0, 3.0, 0.0]
    """
    out = np.zeros(size, values.dtype)
    out[positions] = values
    return out


def forget(fit: str) -> None:
    """Let the shares of a fit go, in this process."""
    _HELD.forget(fit)


def _longest_batch(config: FitConfig, problem: Problem) -> int:
    """Rows that a run may have: those of a mini-batch, where there are any and a pass does not go row by row."""
    if config.mode.local_steps == 1 and config.optimizer != "auto":
        return _BATCH_ROWS
    rows = resolved_batch(config, problem, "adagrad" if config.optimizer == "auto" else config.optimizer, 1)
    return rows if rows > 1 or problem.outputs > 1 else _BATCH_ROWS


def _no_progress(config: Any) -> Progress:
    return Progress(config, 0, lambda params: None, lambda record: None)
