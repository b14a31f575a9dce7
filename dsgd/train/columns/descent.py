"""Small steps on a block of the columns: gradients are summed down the grid, penalties along it."""

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from ...collectives.base import Collective
from ...collectives.shared import SharedMemory
from ...kernels.column_steps import Gathered, column_steps
from ...kernels.columns import rows_of_runs
from ...kernels.rows import Rows
from ...kernels.shared import DONE
from ...objective.share import Share
from ..batches import Piece, bounds
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
    ):
        super().__init__(recipe, share, work, down, progress, rows)
        self._along = along
        self._scores = np.empty(0, self.problem.dtype)
        self._gathered: Gathered | None = None

    def epoch(self, epoch: int) -> float:
        """Run one epoch; return the mean loss of the rows at the steps that used them."""
        self.base = self.step
        drawn = epoch if self.recipe.shuffle else None
        if self.average is not None:
            self.average.begin_epoch(self.rows)
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
        training = self.share.training(epoch)
        if self.problem.outputs == 1 and self.averaged is None:
            return sum(self._block_steps(arrays, starts) for arrays, starts in training)
        count = max(1, self.own_rows // max(1, self.recipe.batch_rows))
        return GlobalSteps(self).take(self._batches(training), count)

    def _batches(self, training) -> Iterator[list[Piece]]:
        for arrays, starts in training:
            for begin, end in pairwise(bounds(len(starts), self._runs_per_batch).tolist()):
                yield [(arrays, starts, begin, end)]

    def _block_steps(self, arrays: Rows, starts: np.ndarray) -> float:
        """The steps of a block, for one output; ranks that share memory meet in compiled code."""
        edges = bounds(len(starts), self._runs_per_batch)
        scores = self._room(arrays, starts, edges)
        self._make_room_for_touched(arrays, starts)
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
        loss, batch, self.step, missing = column_steps(
            p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, edges, batch, summed, work.run, self.params,
            self.first, self.second, self.last, self.clock, self.step, self.base, r.sparse, p.dtype.type(p.weight_scale),
            self._along.rank == 0, work.gradient, scores, self._gathered, meeting, work.scratch,
        )  # fmt: skip
        return loss, batch, missing

    def _room(self, arrays: Rows, starts: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """For the scores of the largest mini-batch: the same length on all ranks."""
        largest = max(
            (rows_of_runs(starts[a:z], self.work.run, len(arrays.label)) for a, z in pairwise(edges)), default=0
        )
        if len(self._scores) < largest:
            self._scores = np.zeros(largest, self.problem.dtype)
        return self._scores

    def _make_room_for_touched(self, arrays: Rows, starts: np.ndarray) -> None:
        """For the weights that the largest run touches."""
        largest = 0
        if self.recipe.sparse:
            layout = self.problem.layout
            largest = self.work.run * (layout.codes + layout.crosses.count)
            if arrays.indptr.size > 1 and len(starts):
                stops = np.minimum(starts + self.work.run, len(arrays.label))
                largest += int((arrays.indptr[stops] - arrays.indptr[starts]).max())
        if self._gathered is None or len(self._gathered.positions) < largest:
            room = [None if a is None else np.empty(largest, a.dtype) for a in (self.params, self.first, self.second)]
            self._gathered = Gathered(np.empty(largest, np.int32), np.empty(largest, self.params.dtype), *room)

    def _objective(self, mean_loss: float, answer: np.ndarray) -> float:
        # A block's penalty is of its own weights alone.
        penalty = self.problem.penalty_value(answer)
        sums = np.array([penalty], np.float64)
        self._along.allreduce(sums)
        return super()._objective(mean_loss, answer) - penalty + float(sums[0])
