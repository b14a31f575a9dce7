"""Small steps on a block of the columns: gradients are summed down the grid, penalties along it."""

from itertools import pairwise
from typing import Any

import numpy as np

from ...collectives.base import Collective
from ...collectives.shared import SharedMemory
from ...kernels.column_steps import column_steps
from ...kernels.column_steps_multi import column_steps_multi
from ...kernels.columns import rows_of_runs
from ...kernels.coordinates import settle_and_sum
from ...kernels.rows import Rows
from ...kernels.shared import DONE
from ...kernels.touched import Touched, interleaved, make_touched
from ...objective.share import Share
from ..batches import bounds
from ..global_steps import GlobalSteps
from ..progress import Progress
from ..recipe import Recipe
from ..stepwise import Stepwise
from .work import ColumnPass


class ColumnStepwise(Stepwise):
    """:class:`Stepwise` on one rank of a grid.

    A single row of ranks cuts its mini-batches as one rank with all columns does; several, as ranks of synchronous training.

    Parameters
    ----------
    recipe : Recipe
    share : Share
        The rank's rows, of its columns.
    work : ColumnPass
    down, along : Collective
        Of the ranks with the same columns, and of those with the same rows.
    progress : Progress
    rows : int
        Training rows of all ranks down the grid.
    features : int
        Of all ranks along the grid.
    """

    def __init__(
        self,
        recipe: Recipe,
        share: Share,
        work: ColumnPass,
        down: Collective,
        along: Collective,
        progress: Progress,
        rows: int,
        features: int,
    ):
        super().__init__(recipe, share, work, down, progress, rows)
        self._along, self._features = along, features
        self._scores = np.empty(0, self.problem.dtype)
        self._touched: Touched | None = None
        # Of the weights when they were settled last: the sums of their sizes and of their squares.
        self._norms = 0.0, 0.0
        self._always = np.zeros(self.problem.layout.dense + 1, self.problem.dtype)

    @property
    def _takes(self) -> bool:
        """Whether the compiled loop takes the weights out that a mini-batch touches."""
        return self.recipe.sparse and self.problem.outputs == 1 and self.collective.size == 1

    def _hold(self, params: np.ndarray, state: dict[str, Any], lazy: bool) -> None:
        if not self._takes:
            return super()._hold(params, state, lazy)
        # Without a copy between: these may be most of what a machine has room for.
        *held, self.step = self.recipe.resume(np.asarray(params, self.problem.dtype), state)
        used = [array for array in held if array is not None]
        self.params, own, self.last = interleaved(params, len(used), lazy)
        for array, old in zip(own, used, strict=True):
            array[:] = old
        self.first, self.second = (*own, None, None)[:2]

    def epoch(self, epoch: int) -> float:
        """Run one epoch; return the mean loss of the rows at the steps that used them."""
        self.base = self.step
        drawn = epoch if self.recipe.shuffle else None
        self.begin_average()
        if self.collective.size > 1:
            loss = GlobalSteps(self).epoch(drawn)
            self._settle()
            self._agree()
        else:
            loss = self._steps_of_blocks(drawn)
            self._settle()
        sums = np.array([loss, self.own_rows], np.float64)
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1.0))

    def _steps_of_blocks(self, epoch: int | None) -> float:
        self.make_clock(self.own_rows + 64)
        done, loss = self.pauses.begin(len(self.share.store))
        for number, (arrays, starts) in enumerate(self.share.training(epoch), 1):
            if number <= done:
                continue
            for chosen in self._pieces(starts):
                loss += self._block_steps(arrays, chosen)
                if self.recipe.sparse:
                    self.average_now()
            self.pauses.at(number, loss)
        return loss

    def _block_steps(self, arrays: Rows, starts: np.ndarray) -> float:
        """The steps of some runs of a block; ranks that share memory meet in compiled code."""
        edges = bounds(len(starts), self._runs_per_batch)
        scores = self._room(arrays, starts, edges)
        self._make_room_for_touched(arrays, starts, edges)
        along, total, batch, summed = self._along, 0.0, 0, False
        meeting = along.meeting(scores) if isinstance(along, SharedMemory) else None
        while True:
            part, batch, missing = self._compiled(arrays, starts, edges, batch, summed, scores, meeting)
            total += part
            if missing == DONE:
                return total
            if isinstance(along, SharedMemory):
                along.resume(scores, missing)
            else:
                along.allreduce(scores)
            summed = True

    def _compiled(self, arrays, starts, edges, batch: int, summed: bool, scores, meeting) -> tuple[float, int, int]:
        p, r, work = self.problem, self.recipe, self.work
        # Where few of many weights are stepped, the average is taken between the calls.
        average = None if r.sparse else self.averaged
        mean, count = (None, 0) if average is None else (average.mean, average.count)
        if p.outputs > 1:
            loss, batch, self.step, count, missing = column_steps_multi(
                p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, edges, batch, summed, work.run,
                self.params, self.first, self.second, self.last, self.clock, self.step, self.base, r.sparse,
                p.dtype.type(p.weight_scale), self._along.rank == 0, work.gradient, scores, mean, count, meeting, work.scratch,
            )  # fmt: skip
        else:
            loss, batch, self.step, count, missing = column_steps(
                p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, edges, batch, summed, work.run,
                self.params, self.first, self.second, self.last, self.clock, self.step, self.base,
                p.dtype.type(p.weight_scale), self._along.rank == 0, self._gradient(), scores, self._touched, mean, count,
                meeting, work.scratch,
            )  # fmt: skip
        if average is not None:
            average.count = count
        return loss, batch, missing

    def _room(self, arrays: Rows, starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """For the scores of the largest mini-batch: the same length on all ranks."""
        rows = max((rows_of_runs(starts[a:z], self.work.run, len(arrays.label)) for a, z in pairwise(edges)), default=0)
        largest = rows * self.problem.outputs
        if len(self._scores) < largest:
            self._scores = np.zeros(largest, self.problem.dtype)
        return self._scores

    def _gradient(self) -> np.ndarray:
        """Zero: of all weights, or of those that every row touches."""
        return self.work.gradient if self._touched is None else self._always

    def _make_room_for_touched(self, arrays: Rows, starts: np.ndarray, edges: np.ndarray) -> None:
        """For the weights that the largest mini-batch touches."""
        if not self._takes:
            return
        layout, runs = self.problem.layout, np.minimum(self.work.run, len(arrays.label) - starts)
        values = runs * (layout.codes + layout.crosses.count)
        if arrays.indptr.size > 1:
            values += arrays.indptr[starts + runs] - arrays.indptr[starts]
        largest = max((int(values[a:z].sum()) for a, z in pairwise(edges)), default=0)
        if self._touched is None or len(self._touched.places) < largest:
            self._touched = make_touched(self.params, self.first, self.second, self.last, largest)

    @property
    def _numbers(self) -> int:
        # Averages are taken as often as on a rank with all columns.
        return (self._features + 1) * self.problem.outputs

    def _settle_weights(self) -> None:
        if not self._takes:
            return super()._settle_weights()
        # All weights are looked at once, not again for the penalty's value.
        self._norms = settle_and_sum(
            self.recipe.rule, self.schedule, self.problem.penalty(), self.params, self.first, self.second, self.last,
            self.clock, self.problem.layout.dense, self.step, self.base,
        )  # fmt: skip

    def _penalty(self, answer: np.ndarray) -> float:
        # A block's is of its own weights alone. An epoch ends with all of them settled.
        known = self._takes and self.last is not None and answer is self.params
        value = self.problem.penalty_of(*self._norms) if known else super()._penalty(answer)
        sums = np.array([value], np.float64)
        self._along.allreduce(sums)
        return float(sums[0])
