"""Global steps: every mini-batch's gradient is summed over the ranks, and each rank takes the same step."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..collectives.shared import SharedMemory
from .batches import batches, steps_of_epoch
from .shared_steps import SharedSteps
from .sparse_step import SparseStep

if TYPE_CHECKING:
    from .stepwise import Stepwise


class GlobalSteps:
    """Takes the global steps of a :class:`Stepwise`, whose parameters and state it works on."""

    def __init__(self, owner: "Stepwise"):
        self._owner = owner

    def epoch(self, epoch: int | None) -> float:
        """Take an epoch's steps; returns this rank's sum of weight x loss."""
        o = self._owner
        count = steps_of_epoch(o.rows, o.recipe.batch_rows)
        o.make_clock(count + 1)
        training = o.share.training(epoch)
        if isinstance(o.reducer, SharedMemory) and not o.recipe.sparse and o.work.whole:
            return SharedSteps(o, o.reducer).epoch(training, count)
        return self.take(batches(training, o.work.run, o.own_rows, count), count)

    def take(self, parts: Iterable, count: int) -> float:
        """Take a step for each mini-batch of pieces, about ``count`` of them; returns this rank's sum of weight x loss."""
        done, loss = self._owner.pauses.begin(count)
        if self._owner.recipe.sparse:
            return self._sparse(parts, count, done, loss)
        for number, pieces in enumerate(parts, 1):
            if number > done:
                loss += self._dense(pieces)
                self._owner.pauses.at(number, loss)
        return loss

    def _dense(self, pieces) -> float:
        o, loss = self._owner, 0.0
        for arrays, starts, begin, end in pieces:
            part, count = o.work.add_batch(arrays, starts, begin, end, o.params)
            loss += part
            o.work.buffer[-1] += count
        o.reduce_and_update()
        return loss

    def _sparse(self, parts: Iterable, count: int, done: int, loss: float) -> float:
        o = self._owner
        stepper = SparseStep(o)
        wanted = min(o.averagings_of(o.rows), count)
        for number, pieces in enumerate(parts, 1):
            if number <= done:
                continue
            loss += stepper.take(pieces)
            if number * wanted // count > (number - 1) * wanted // count:
                o.average_now()
            o.pauses.at(number, loss)
        return loss
