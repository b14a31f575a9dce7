"""What a rank of a gang does in a sweep: it opens its rows once, trains all lanes, measures them, and trains the best again."""

import time
from typing import Any

import numpy as np

from ...data.arrays import pack
from ...data.matrices import MatrixDataset
from ...data.statistics import Statistics
from ..config import FitConfig
from ..engine import RankContext
from ..plan import Plan, make_plan
from ..stores import pack_result
from ..worker import Rank, joined
from .lane import Lane, Whole
from .passes import gradients
from .scores import measure, metrics_of
from .splits import Places, check_split, statistics_of_split, sums_of_split
from .task import SweepTask
from .turns import take_turns


def run_sweep(context: RankContext, task: SweepTask) -> bytes:
    """Train and measure as one rank of a gang; returns rank 0's answer, and nothing from the others."""
    with joined(context, task.fit) as (collective, stack, moved):
        return Sweep(context, task, Rank(context, task.fit, collective, stack, moved)).run()


class Sweep:
    """One rank's sweep, after it has met the others and encoded its rows."""

    def __init__(self, context: RankContext, task: SweepTask, rank: Rank):
        self._context, self._task, self._rank = context, task, rank
        dataset = task.fit.dataset
        first = dataset.first if isinstance(dataset, MatrixDataset) else 0
        self._places = Places(task.fit.config.seed, first)
        self._made: dict[Any, Any] = {}

    def run(self) -> bytes:
        """The whole sweep."""
        marks = [time.perf_counter()]
        lanes = [lane for split in range(len(self._task.splits)) for lane in self._lanes(split)]
        take_turns([lane.train for lane in lanes], self._answer)
        shape = (len(self._task.splits), len(self._task.configs))
        marks.append(time.perf_counter())
        store, held_out = self._rank._stores
        found = measure(lanes, held_out or store, self._places, self._rank.collective, self._task.metrics)
        scores = found.reshape(len(self._task.metrics), *shape)
        epochs = np.array([len(lane.progress.history) for lane in lanes]).reshape(shape)
        converged = np.array([lane.progress.converged for lane in lanes]).reshape(shape)
        best = self._best(scores)
        marks.append(time.perf_counter())
        model = b"" if best is None else self._refit(best, lanes)
        if self._context.rank != 0:
            return b""
        arrays = {"scores": scores, "epochs": epochs, "converged": converged.astype(np.int64)}
        seconds = np.diff([*marks, time.perf_counter()]).tolist()
        head = pack(arrays, {"best": best, "seconds": seconds})
        return len(head).to_bytes(8, "little") + head + model

    def _lanes(self, split: int) -> list[Lane]:
        task, rank, left_out = self._task, self._rank, self._task.splits[split]
        statistics = rank.plan.statistics
        if not left_out.is_empty:
            groups = 1 if rank.plan.classes is None else len(rank.plan.classes)
            sums = sums_of_split(rank.share.store, self._places, rank.problem.outputs, groups, left_out)
            flat = sums.ravel()
            rank.collective.allreduce(flat)
            check_split(flat.reshape(sums.shape), split, task.cv)
            statistics = statistics_of_split(statistics, flat.reshape(sums.shape))
        lanes = []
        for config in task.configs:
            plan = self._plan(config, statistics)
            metrics_of(plan, task.metrics)  # before work starts, if there is no such score
            lanes.append(Lane(rank, config, plan, left_out, self._places, self._made))
        return lanes

    def _plan(self, config: FitConfig, statistics: Statistics) -> Plan:
        fit = self._task.fit
        return make_plan(config, fit.dataset, statistics, fit.classes, self._rank.problem.layout)

    def _answer(self, waiting: list[tuple[int, Any]]) -> dict[int, Any]:
        """The sums of all lanes that wait for some, one pass for those that one kernel serves."""
        groups: dict[tuple, list[tuple[int, Any]]] = {}
        for number, asked in waiting:
            name = repr(asked.loss), asked.problem.outputs, asked.share.held_out
            groups.setdefault(name, []).append((number, asked))
        answers: dict[int, Any] = {}
        for members in groups.values():
            sums = gradients([asked for _, asked in members], self._rank.collective)
            answers |= {number: partial for (number, _), partial in zip(members, sums, strict=True)}
        return answers

    def _best(self, scores: np.ndarray) -> int | None:
        if self._task.refit is None:
            return None
        means = scores[self._task.metrics.index(self._task.refit)].mean(axis=0)
        return int(np.argmax(np.nan_to_num(means, nan=-np.inf, neginf=-np.inf)))

    def _refit(self, best: int, lanes: list[Lane]) -> bytes:
        """The best configuration on all rows, as a fit of its own would train it; that is its lane where nothing was left out."""
        rank, config = self._rank, self._task.configs[best]
        model: Any = lanes[best]
        if not model.left_out.is_empty:
            plan = self._plan(config, rank.plan.statistics)
            model = Whole(rank, config, plan)
        if self._context.rank != 0:
            return b""
        return pack_result(model.plan, model.params, model.state, model.progress, None, rank.positions)
