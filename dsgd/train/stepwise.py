"""The recipe of small steps: an update rule fed with mini-batch gradients.

On one rank, or between two averagings, whole blocks are stepped through in compiled code (``local_steps``, or the online
pass when a batch is one row). With several ranks and ``local_steps=1`` every mini-batch's gradient is summed over the ranks,
and each rank takes the same step (Dean et al. 2012 call it synchronous data parallelism); sparse gradients travel sparse.
"""

from typing import Any

import numpy as np

from ..collectives.base import Collective
from ..collectives.shared import SharedMemory
from ..compression import compressed
from ..kernels import registry
from ..kernels.coordinates import clock_table, settle_all, update_dense
from ..kernels.online import online_pass
from ..kernels.rows import Rows
from ..objective.passes import Pass
from ..objective.problem import Problem
from ..objective.share import Share
from ..optim.schedules import lowered, stretched
from .batches import batches, bounds, steps_of_epoch
from .progress import Progress
from .recipe import Recipe
from .shared_steps import SharedSteps
from .sparse_step import SparseStep

_DIVISOR = 5.0
_FADING = 4
# A wide vector is averaged at most so often an epoch, and no oftener than once in so many numbers a row.
_SNAPSHOTS = 64
_NUMBERS_A_ROW = 8


class Stepwise:
    """The recipe on one rank of a gang.

    Parameters
    ----------
    recipe : Recipe
        Rule, schedule, batch and mode, resolved.
    share : Share
    work : Pass
    collective : Collective
    progress : Progress
    rows : int
        Training rows of all ranks.
    """

    def __init__(self, recipe: Recipe, share: Share, work: Pass, collective: Collective, progress: Progress, rows: int):
        self.recipe, self.share, self.work = recipe, share, work
        self.collective, self.progress, self.rows = collective, progress, rows
        self.problem: Problem = share.problem
        self.step = 0
        self.schedule = recipe.schedule
        knobs = {"seed": recipe.seed} if recipe.compression == "int8" else {}
        self.reducer = compressed(collective, recipe.compression, exact_tail=1, **knobs)
        self.own_rows = share.training_rows()
        self.averaged = self.averaged_before = self._carried = 0
        self.lowered = 0

    def run(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        """Return the trained parameters; ``state`` takes and brings the rule's arrays and the count of steps."""
        self.start(params, state)
        began = self.step
        while True:
            self._set_end(began)
            mean_loss = self.epoch(len(self.progress.history))
            answer = self.answer
            stop = self.progress.round(self._objective(mean_loss, answer), answer)
            if stop and not self._lower_rate():
                break
        state.update(step=self.step, first=self.first, second=self.second, rule=self.recipe.rule_name)
        return np.array(answer)

    @property
    def averaging(self) -> bool:
        """Whether this epoch's iterates go into the average."""
        return self.average is not None and self._rows_used > self.recipe.average_from

    @property
    def answer(self) -> np.ndarray:
        """The model as it is now: the average, once there is one, else the weights; the same choice on every rank."""
        return self.average if self.average is not None and self.averaging else self.params

    def start(self, params: np.ndarray, state: dict[str, Any]) -> None:
        """Take up parameters and state."""
        size, dtype = self.problem.size, self.problem.dtype
        self.params = np.array(params, dtype)
        self.anchor = self.params.copy() if self.collective.size > 1 else self.params
        self.first, self.second, self.step = self.recipe.resume(self.params, state)
        lazy = self.recipe.sparse and self.recipe.rule.lazy and (self.problem.l1 > 0 or self.problem.l2 > 0)
        self.last = np.zeros(size, np.int32) if lazy else None
        self.average = np.zeros(size, dtype) if self.recipe.average else None
        self._rows_used = 0

    def _set_end(self, began: int) -> None:
        """Let a cosine end with the last epoch, by the steps of those so far; before the first, by those it should take."""
        epochs = len(self.progress.history)
        taken = (self.step - began) / epochs if epochs else self._steps_to_come()
        self.schedule = stretched(self.schedule, began + self.progress.limit * taken)

    def _steps_to_come(self) -> int:
        """Steps of an epoch on this rank: exact but for blocks of different lengths."""
        ranks = self.collective.size
        if ranks > 1 and self.recipe.local_steps == 1:
            return steps_of_epoch(self.rows, self.recipe.batch_rows)
        if self.recipe.online:
            return self.own_rows
        pieces = max(len(self.share.store), self.recipe.averagings(self.rows) if ranks > 1 else 1)
        runs = -(-self.own_rows // (self.work.run * pieces))
        return pieces * (len(bounds(runs, self._runs_per_batch)) - 1)

    # ---- an epoch

    def epoch(self, epoch: int) -> float:
        """Run one epoch; return the mean loss of the rows at the steps that used them."""
        self.base = self.step
        drawn = epoch if self.recipe.shuffle else None
        self._rows_used += self.rows
        # The past counts as a part of its steps, so that epoch e weighs about e^3 (Shamir & Zhang 2013).
        self.averaged_before += self.averaged - self._carried
        self.averaged = self._carried = self.averaged_before // _FADING
        if self.collective.size > 1 and self.recipe.local_steps == 1:
            loss = self._global_steps(drawn)
            self._settle()
            self._agree()
        else:
            loss = self._local_epoch(drawn)
        sums = np.array([loss, self.own_rows], np.float64)
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1.0))

    def _local_epoch(self, epoch: int | None) -> float:
        loss = 0.0
        rounds = self.recipe.averagings(self.rows) if self.collective.size > 1 else 1
        parts = self.share.training(epoch)
        if rounds == 1:
            self._make_clock(self.own_rows + 64)
            for arrays, starts in parts:
                for chosen in self._pieces(starts):
                    loss += self._block(arrays, chosen)
            self._settle()
            self._average_ranks(self.own_rows)
            return loss
        for pieces in batches(parts, self.work.run, self.own_rows, rounds):
            self.base = self.step
            count = 0
            self._make_clock(self.own_rows // rounds + 2 * self.work.run)
            for arrays, starts, begin, end in pieces:
                chosen = starts[begin:end]
                loss += self._block(arrays, chosen)
                count += int(np.minimum(self.work.run, len(arrays.label) - chosen).sum())
            self._settle()
            self._average_ranks(count)
        return loss

    def _pieces(self, starts: np.ndarray) -> list[np.ndarray]:
        """The runs of a block, cut where a wide vector of weights is to be averaged."""
        if not (self.averaging and (self.recipe.sparse or self.recipe.online)):
            return [starts]
        count = int(np.clip(len(starts) * self.work.run * _NUMBERS_A_ROW // self.problem.size, 1, _SNAPSHOTS))
        return [part for part in np.array_split(starts, count) if len(part)]

    def _block(self, arrays: Rows, starts: np.ndarray) -> float:
        """Local optimiser steps over some runs of a block."""
        p, r = self.problem, self.recipe
        scale = p.dtype.type(p.weight_scale)
        average = self.average if self.averaging else None
        if r.online:
            loss, self.step = online_pass(
                p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, self.work.run, self.params, self.first,
                self.second, self.last, self.clock, self.step, self.base, scale, self.work.scratch,
            )  # fmt: skip
            self._average_now()
            return loss
        kernel = registry.get("local_steps" if p.outputs == 1 else "local_steps_multi")
        loss, self.step, self.averaged = kernel(
            p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, bounds(len(starts), self._runs_per_batch),
            self.work.run, self.params, self.first, self.second, self.last, self.clock, self.step, self.base, r.sparse,
            scale, self.work.gradient, None if r.sparse else average, self.averaged, self.work.scratch,
        )  # fmt: skip
        if r.sparse:
            self._average_now()
        return loss

    def _average_now(self) -> None:
        """Take the present weights into the average; not at every step, because a wide vector costs as much as many rows."""
        if self.averaging:
            self._settle()
            self._add_to_average()

    def _add_to_average(self) -> None:
        self.averaged += 1
        self.average += (self.params - self.average) * self.problem.dtype.type(1.0 / self.averaged)

    def _average_ranks(self, own_rows: int) -> None:
        """Replace the ranks' weights (and state) by their mean, weighted by the rows that each has used."""
        if self.collective.size == 1:
            return
        total = np.array([own_rows], np.float64)
        self.collective.allreduce(total)
        if total[0] == 0:
            return
        share = self.problem.dtype.type(own_rows / total[0])
        # Only what changed since the last averaging is compressed, so that the error stays a fraction of a step.
        delta = np.append((self.params - self.anchor) * share, self.problem.dtype.type(0))
        self.reducer.allreduce(delta)
        self.params[:] = self.anchor + delta[:-1]
        self.anchor[:] = self.params
        for array in (self.first, self.second, self.average):
            if array is not None:
                array *= share
                self.collective.allreduce(array)

    def _global_steps(self, epoch: int | None) -> float:
        count = steps_of_epoch(self.rows, self.recipe.batch_rows)
        self._make_clock(count + 1)
        if isinstance(self.reducer, SharedMemory) and not self.recipe.sparse:
            return SharedSteps(self, self.reducer).epoch(self.share.training(epoch), count)
        parts = batches(self.share.training(epoch), self.work.run, self.own_rows, count)
        if not self.recipe.sparse:
            return sum(self._dense_step(pieces) for pieces in parts)
        stepper, loss = SparseStep(self), 0.0
        wanted = int(np.clip(self.rows * _NUMBERS_A_ROW // self.problem.size, 1, min(_SNAPSHOTS, count)))
        for number, pieces in enumerate(parts, 1):
            loss += stepper.take(pieces)
            if number * wanted // count > (number - 1) * wanted // count:
                self._average_now()
        return loss

    def _dense_step(self, pieces) -> float:
        loss = 0.0
        for arrays, starts, begin, end in pieces:
            part, count = self.work.add_batch(arrays, starts, begin, end, self.params)
            loss += part
            self.work.buffer[-1] += count
        self.reduce_and_update()
        return loss

    def reduce_and_update(self) -> None:
        """Sum gradient and number of rows over the ranks, and step all weights."""
        p, buffer = self.problem, self.work.buffer
        self.reducer.allreduce(buffer)
        self.work.unfold(self.work.gradient)
        factor = p.dtype.type(1) / max(buffer[-1], p.dtype.type(1))
        update_dense(
            self.recipe.rule, self.schedule, p.penalty(), p.outputs, self.params, self.first, self.second, self.work.gradient,
            factor, self.step,
        )  # fmt: skip
        buffer[-1] = 0
        self.step += 1
        if self.averaging:
            self._add_to_average()

    # ---- odds and ends

    @property
    def _runs_per_batch(self) -> int:
        """Runs of this rank's part of a mini-batch."""
        return max(1, round(self.recipe.batch_rows / self.collective.size / self.work.run))

    def _agree(self) -> None:
        """Give every rank rank 0's weights, and state: ranks may round differently.

        They settle lazy penalties at different steps, and may run on different processors; the weights decide when to stop,
        which all must do alike.
        """
        for array in (self.params, self.first, self.second, self.average):
            if array is not None:
                self.collective.broadcast(array)

    def _make_clock(self, steps: int) -> None:
        self._clock_steps = steps
        constant = self.recipe.constant_rate or self.last is None
        self.clock = None if constant else clock_table(self.schedule, self.step, steps)

    def _settle(self) -> None:
        """Bring all lazy penalties up to the present step, and count from there."""
        if self.last is not None:
            settle_all(
                self.recipe.rule, self.schedule, self.problem.penalty(), self.problem.outputs, self.params, self.first,
                self.second, self.last, self.clock, self.problem.layout.dense, self.step, self.base,
            )  # fmt: skip
            # A sparse global step counts for dense weights too.
            self.last[: self.problem.layout.dense * self.problem.outputs] = 0
            self.base = self.step
            if self.clock is not None:
                self._make_clock(self._clock_steps)

    def _objective(self, mean_loss: float, answer: np.ndarray) -> float:
        # What ranks measured on their own way says little about the mean of where they ended.
        averaged_ranks = self.collective.size > 1 and self.recipe.local_steps == "epoch"
        if answer is self.params and not averaged_ranks:
            return mean_loss + self.problem.penalty_value(answer)
        sums = np.array(self.work.loss(self.share.training(), answer))
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1e-300)) + self.problem.penalty_value(answer)

    def _lower_rate(self) -> bool:
        """Divide the rate and go on, unless that would be the last epoch or the rate is negligible."""
        if self.lowered == self.recipe.lowerings or not self.progress.converged or not self.progress.resume():
            return False
        self.schedule = lowered(self.schedule, _DIVISOR)
        self.lowered += 1
        return True
