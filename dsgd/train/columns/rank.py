"""What a rank of a grid does: from its rows and columns to its block of the trained weights."""

import contextlib
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ...collectives.base import Collective
from ...data.column_blocks import ColumnBlock
from ...data.layout import Layout
from ...data.numbering import can_number
from ...errors import DataError
from .. import place as places
from ..checkpoints.identity import moments_of
from ..checkpoints.keeper import Keeper, keeps
from ..checkpoints.weights import own_positions
from ..engine import RankContext
from ..recipe import Recipe, resolved_batch, updates_sparse
from ..stepsize import needs_smoothness, smoothness
from ..stores import pack_rest, pack_result
from ..task import FitTask
from ..worker import Rank
from .descent import ColumnStepwise
from .grid import Place, joined
from .keeping import BlockWriter, Keep
from .transpose import transposed
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
    ranges : tuple of (int, int)
        The block's weights among those of all columns.
    blocks : tuple of ColumnBlock
        Of the ranks along its row of the grid, where rows come with all of their columns and are to be divided by them.
    keep : Keep or None
        Who keeps the block's weights, where the rank has to keep them.
    """

    fit: FitTask
    place: Place
    whole: Layout
    ranges: tuple[tuple[int, int], ...]
    blocks: tuple[ColumnBlock, ...] = ()
    keep: Keep | None = None

    @property
    def weights(self) -> int:
        """Of the rank's own block."""
        return self.blocks[self.place.column].size if self.blocks else self.fit.dataset.spec.layout.size


def run_rank(context: RankContext, task: GridTask) -> bytes:
    """Train as one rank of a grid; the first row's ranks return their blocks, the others nothing."""
    config = task.fit.config
    writer = None if task.keep is None else task.keep.open(task.place.column, task.place.columns)
    with contextlib.ExitStack() as stack:
        stack.enter_context(places.limit_threads(config.threads_per_worker))
        along, down, moved = stack.enter_context(joined(context, task.place, config, task.fit.keys, task.weights))
        fit = transposed(context, task.fit, task.blocks, task.whole, along, stack, moved)
        return ColumnRank(context, replace(task, fit=fit), along, down, stack, moved, writer).run()


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
        writer: BlockWriter | None = None,
    ):
        self._along, self._whole, self._place, self._ranges = along, task.whole, task.place, task.ranges
        self._down, self._writer = down, writer
        # Rows are drawn alike by all that have them; one rank reports.
        report = context.report if context.rank == 0 else _ignore
        context = replace(context, rank=task.place.row, size=task.place.rows, report=report)
        super().__init__(context, task.fit, down, stack, moved)

    def _make_keeper(self) -> Keeper | None:
        orders, place = self.task.checkpoint, self._place
        if not keeps(orders, self.context):
            return None
        # The ranks of the first row of the grid have all weights between them.
        circles, writes = [self._along, self._down], place.row == 0
        return Keeper(orders, circles, place.rank, self._ranges, writes, self.context.leave)

    def _moments(self) -> list[list[float]]:
        return moments_of(self.plan.statistics, dense=False)

    def _kept_positions(self) -> np.ndarray:
        assert self.keeper is not None
        return own_positions(self._ranges, self.keeper.places())

    def _answer(self, params: np.ndarray, state: dict[str, Any]) -> bytes:
        # The intercept that every rank has, too; what standardisation takes from it is a matter of each block's columns.
        common = params[-self.problem.outputs :]
        if self._writer is None:
            return pack_result(self.plan, params, state, self.progress, self.initial, self.positions, common=common)
        outputs = self.problem.outputs
        kept = None if self.initial is None else np.asarray(self.initial["coef"])
        coef, intercept = self.plan.problem.scaling.original(params, outputs, kept)
        record = self._writer.write(self._ranges, coef, self.positions)
        return pack_rest(self.plan, coef[:, :0], intercept, state, self.progress, record, common=common)

    def _circles(self) -> tuple[Collective, ...]:
        return (self._along, self.collective)

    def _initial(self) -> np.ndarray:
        params = super()._initial()
        if self.initial is None:
            return params
        outputs = self.problem.outputs
        given = np.asarray(self.initial["intercept"], np.float64) if self.problem.intercept else np.zeros(outputs)
        # The intercept that all have holds what standardisation takes from the scores, of all columns.
        added = params[-outputs:] - given
        self._along.allreduce(added)
        params[-outputs:] = given + added
        return params

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
        # What is cheaper depends on all columns; and for some rules it is not the same step. A block's weights may be numbered
        # where those of all columns would not be.
        self._features = int(sums[1]) if can_number(self._whole) else self._whole.size
        whole = replace(layout, dense=int(sums[0]), size=self._features)
        sparse = updates_sparse(whole, recipe.batch_rows, max(sums[2], 1.0), self.collective.size > 1)
        return replace(recipe, online=False, sparse=sparse)

    def _make_descent(self, rule: str, recipe: Recipe) -> ColumnStepwise:
        assert isinstance(self.work, ColumnPass)
        circles = (self.collective, self._along)
        return ColumnStepwise(recipe, self.share, self.work, *circles, self.progress, self.rows, self._features)

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
