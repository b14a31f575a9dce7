"""What a rank of a grid does: from its rows and columns to its block of the trained weights."""

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...collectives.base import Collective
from ...data.layout import Layout
from ...errors import DataError
from .. import place as places
from ..engine import RankContext
from ..recipe import Recipe, resolved_batch, updates_sparse
from ..stepsize import needs_smoothness, smoothness
from ..stores import pack_result
from ..task import FitTask
from ..worker import Rank
from .descent import ColumnStepwise
from .grid import Place, joined
from .work import ColumnPass


@dataclass(frozen=True)
class GridTask:
    """One rank's part.

    Attributes
    ----------
    fit : FitTask
        Of the rank's rows and columns.
    place : Place
    whole : Layout
        Of all columns.
    """

    fit: FitTask
    place: Place
    whole: Layout


def run_rank(context: RankContext, task: GridTask) -> bytes:
    """Train as one rank of a grid; the first row's ranks return their blocks, the others nothing."""
    config, own = task.fit.config, task.fit.dataset.spec.layout
    with contextlib.ExitStack() as stack:
        stack.enter_context(places.limit_threads(config.threads_per_worker))
        along, down, moved = stack.enter_context(joined(context, task.place, config, task.fit.keys, own.size))
        return ColumnRank(context, task, along, down, stack, moved).run()


class ColumnRank(Rank):
    """One rank's fit, after it has met the others; its collective is the one down the grid."""

    def __init__(
        self,
        context: RankContext,
        task: GridTask,
        along: Collective,
        down: Collective,
        stack: contextlib.ExitStack,
        moved: Callable[[], None],
    ):
        self._along, self._whole = along, task.whole
        # Rows are drawn alike by all that have them; one rank reports.
        report = context.report if context.rank == 0 else _ignore
        context = replace(context, rank=task.place.row, size=task.place.rows, report=report)
        super().__init__(context, task.fit, down, stack, moved)

    def _answer(self, params: np.ndarray, state: dict[str, Any]) -> bytes:
        # The intercept that every rank has, too; what standardisation takes from it is a matter of each block's columns.
        common = params[-self.problem.outputs :]
        return pack_result(self.plan, params, state, self.progress, self.initial, self.positions, common=common)

    def _make_work(self, longest: int) -> ColumnPass:
        self._check_alike()
        # As long as it would be with all columns.
        run = replace(self.problem, layout=self._whole).run_length(longest, not self.config.shuffle)
        return ColumnPass(self.problem, run, self._along)

    def _check_alike(self) -> None:
        """Raise DataError unless all ranks along the row of the grid have the same rows in the same blocks."""
        store, held_out = self._stores
        seen = [fingerprint(part) for part in (store, held_out) if part is not None]
        for rank, other in enumerate(self._along.allgather(repr(seen).encode())):
            if other != repr(seen).encode():
                raise DataError(
                    f"rank {rank} does not have the same rows as this one: they differ in number, order, label, weight or "
                    "offset; the files have changed while they were read, or a filter does not choose the same rows every time"
                )

    def _batch_rows(self, rule: str) -> int:
        # Never a row at a time by default: each step is a sum over ranks.
        return resolved_batch(self.config, self.problem, rule, 2)

    def _longest_batch(self) -> int:
        # Also of a step of one row a run is no more than that.
        rule = "adagrad" if self.config.optimizer == "auto" else self.config.optimizer
        return max(1, -(-self._batch_rows(rule) // self.collective.size))

    def _train(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        rule = "adagrad" if self.config.optimizer == "auto" else self.config.optimizer
        if self.config.optimizer == "auto":
            self._watch()
        return self._train_stepwise(rule, params, state, self.initial is None)

    def _recipe(self, rule: str, batch: int, smoothness: float, scale: float = 1.0) -> Recipe:
        recipe = super()._recipe(rule, batch, smoothness, scale)
        layout = self.problem.layout
        sums = np.array([layout.dense, layout.size, self.field.entries()])
        self._along.allreduce(sums)
        # What is cheaper depends on all columns; and for some rules it is not the same step.
        whole = replace(layout, dense=int(sums[0]), size=int(sums[1]))
        sparse = updates_sparse(whole, recipe.batch_rows, max(sums[2], 1.0), self.collective.size > 1)
        return replace(recipe, online=False, sparse=sparse)

    def _make_descent(self, rule: str, recipe: Recipe) -> ColumnStepwise:
        assert isinstance(self.work, ColumnPass)
        return ColumnStepwise(recipe, self.share, self.work, self.collective, self._along, self.progress, self.rows)

    def _smoothness(self, rule: str) -> float:
        if not needs_smoothness(rule) or self.config.eta0 != "auto":
            return 1.0
        own = np.array([smoothness(self.problem, self.share, self._batch_rows(rule))])
        # No direction is steeper than the blocks' steepest together.
        self._along.allreduce(own)
        return max(np.frombuffer(part, np.float64)[0] for part in self.collective.allgather(own.tobytes()))


def fingerprint(store: Any) -> list[tuple]:
    """What ranks with other columns of the same rows must have alike: blocks, rows, and what belongs to no column."""
    found = []
    for key, block in store.keyed_blocks():
        extra = (zlib.crc32(array.tobytes()) for array in (block.label, block.weight, block.offset))
        found.append((*key, block.rows, *extra))
    return found


def _ignore(record: dict[str, Any]) -> None:
    """Only one rank reports."""
