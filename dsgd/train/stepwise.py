"""The recipe of small steps: an update rule fed with mini-batch gradients.

On one rank, or between two averagings, whole blocks are stepped through in compiled code (``local_steps``, or the online
pass when a batch is one row). With several ranks and ``local_steps=1`` every mini-batch's gradient is summed over the ranks,
and each rank takes the same step (Dean et al. 2012 call it synchronous data parallelism); sparse gradients travel sparse.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..collectives.base import Collective
from ..compression import compressed
from ..kernels import registry
from ..kernels.coordinates import clock_table, settle_all, update_dense
from ..kernels.online import online_pass
from ..kernels.rows import Rows
from ..objective.passes import Pass
from ..objective.problem import Problem
from ..objective.share import Share
from ..optim.schedules import lowered, stretched
from .averaging import IterateAverage
from .batches import batches, bounds, steps_of_epoch
from .checkpoints.stepping import DIVISOR, RECIPE, Pauses, restore, snapshot
from .global_steps import GlobalSteps
from .progress import Progress
from .recipe import Recipe

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
        self.lowered, self.began, self.epoch_step = 0, 0, 0
        # Whether the present epoch was begun by an earlier beginning of the fit.
        self.resumed = False
        self.pauses = Pauses(self)

    def run(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        """Return the trained parameters; ``state`` takes and brings the rule's arrays and the count of steps."""
        self.start(params, state)
        self.began = self.step
        kept = self.progress.take_up(RECIPE, self.params)
        if kept is not None:
            restore(self, kept)
        while True:
            if not self.resumed:
                self.epoch_step = self.step
            self._set_end(self.began)
            mean_loss = self.epoch(len(self.progress.history))
            answer = self.answer
            stop = self.progress.round(self._objective(mean_loss, answer), answer)
            if stop and not self._lower_rate():
                break
            self.progress.keep(RECIPE, self.step, lambda: snapshot(self, 0, 0.0))
        state.update(step=self.step, first=self.first, second=self.second, rule=self.recipe.rule_name)
        return answer

    @property
    def averaged(self) -> IterateAverage | None:
        """The average that this epoch's iterates go into, if they do."""
        return self.average if self.average is not None and self.average.active else None

    @property
    def answer(self) -> np.ndarray:
        """The model as it is now: the average, once there is one, else the weights; the same choice on every rank."""
        return self.params if self.averaged is None else self.averaged.mean

    def start(self, params: np.ndarray, state: dict[str, Any]) -> None:
        """Take up parameters and state."""
        lazy = self.recipe.sparse and self.recipe.rule.lazy and (self.problem.l1 > 0 or self.problem.l2 > 0)
        self._hold(params, state, lazy)
        self.anchor = self.params.copy() if self.collective.size > 1 else self.params
        size, dtype = self.problem.size, self.problem.dtype
        self.average = IterateAverage(size, dtype, self.recipe.average_from) if self.recipe.average else None

    def _hold(self, params: np.ndarray, state: dict[str, Any], lazy: bool) -> None:
        self.params = np.array(params, self.problem.dtype)
        self.first, self.second, self.step = self.recipe.resume(self.params, state)
        self.last = np.zeros(self.problem.size, np.int32) if lazy else None

    def _set_end(self, began: int) -> None:
        """Let a cosine end with the last epoch, by the steps of those so far; before the first, by those it should take."""
        epochs = len(self.progress.history)
        taken = (self.epoch_step - began) / epochs if epochs else self._steps_to_come()
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
        self.begin_average()
        if self.collective.size > 1 and self.recipe.local_steps == 1:
            loss = GlobalSteps(self).epoch(drawn)
            self._settle()
            self._agree()
        else:
            loss = self._local_epoch(drawn)
        sums = np.array([loss, self.own_rows], np.float64)
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1.0))

    def begin_average(self) -> None:
        """Begin an epoch of the average, unless an earlier beginning of the fit has."""
        if self.average is not None and not self.resumed:
            self.average.begin_epoch(self.rows)
        self.resumed = False

    def _local_epoch(self, epoch: int | None) -> float:
        rounds = self.recipe.averagings(self.rows) if self.collective.size > 1 else 1
        parts = self.share.training(epoch)
        return self._alone(parts) if rounds == 1 else self._rounds(parts, rounds)

    def _alone(self, parts: Iterable[tuple[Rows, np.ndarray]]) -> float:
        """An epoch without the other ranks, who may end at other weights: only a single rank can stop on the way."""
        done, loss = self.pauses.begin(len(self.share.store) if self.collective.size == 1 else 1)
        self.make_clock(self.own_rows + 64)
        for number, (arrays, starts) in enumerate(parts, 1):
            if number <= done:
                continue
            for chosen in self._pieces(starts):
                loss += self._block(arrays, chosen)
            self.pauses.at(number, loss)
        self._settle()
        self._average_ranks(self.own_rows)
        return loss

    def _rounds(self, parts: Iterable[tuple[Rows, np.ndarray]], rounds: int) -> float:
        """An epoch with several averagings."""
        done, loss = self.pauses.begin(rounds)
        for number, pieces in enumerate(batches(parts, self.work.run, self.own_rows, rounds), 1):
            if number <= done:
                continue
            self.base = self.step
            count = 0
            self.make_clock(self.own_rows // rounds + 2 * self.work.run)
            for arrays, starts, begin, end in pieces:
                chosen = starts[begin:end]
                loss += self._block(arrays, chosen)
                count += int(np.minimum(self.work.run, len(arrays.label) - chosen).sum())
            self._settle()
            self._average_ranks(count)
            self.pauses.at(number, loss)
        return loss

    def level(self) -> None:
        """Settle lazy penalties, and let all ranks have the same weights."""
        self._settle()
        if self.collective.size > 1:
            self._agree()

    def _pieces(self, starts: np.ndarray) -> list[np.ndarray]:
        """The runs of a block, cut where a wide vector of weights is to be averaged."""
        if self.averaged is None or not (self.recipe.sparse or self.recipe.online):
            return [starts]
        count = self.averagings_of(len(starts) * self.work.run)
        return [part for part in np.array_split(starts, count) if len(part)]

    def averagings_of(self, rows: int) -> int:
        """How often a wide vector of weights is averaged over so many rows."""
        return int(np.clip(rows * _NUMBERS_A_ROW // self._numbers, 1, _SNAPSHOTS))

    @property
    def _numbers(self) -> int:
        """Weights of the model."""
        return self.problem.size

    def _block(self, arrays: Rows, starts: np.ndarray) -> float:
        """Local optimiser steps over some runs of a block."""
        p, r = self.problem, self.recipe
        scale = p.dtype.type(p.weight_scale)
        if r.online:
            self.work.make_room(arrays)
            loss, self.step = online_pass(
                p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, self.work.run, self.params, self.first,
                self.second, self.last, self.clock, self.step, self.base, scale, self.work.scratch,
            )  # fmt: skip
            self.average_now()
            return loss
        kernel = registry.get("local_steps" if p.outputs == 1 else "local_steps_multi")
        average = None if r.sparse else self.averaged
        mean, count = (None, 0) if average is None else (average.mean, average.count)
        loss, self.step, count = kernel(
            p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, bounds(len(starts), self._runs_per_batch),
            self.work.run, self.params, self.first, self.second, self.last, self.clock, self.step, self.base, r.sparse,
            scale, self.work.gradient, mean, count, self.work.scratch,
        )  # fmt: skip
        if average is not None:
            average.count = count
        if r.sparse:
            self.average_now()
        return loss

    def average_now(self) -> None:
        """Take the present weights into the average; not at every step, because a wide vector costs as much as many rows."""
        if self.averaged is not None:
            self._settle()
            self.averaged.add(self.params)

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
        for array in self._state():
            array *= share
            self.collective.allreduce(array)

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
        if self.averaged is not None:
            self.averaged.add(self.params)

    # ---- odds and ends

    @property
    def _runs_per_batch(self) -> int:
        """Runs of this rank's part of a mini-batch."""
        return max(1, round(self.recipe.batch_rows / self.collective.size / self.work.run))

    def _state(self) -> list[np.ndarray]:
        """What goes with the weights: the rule's arrays and the average, those of them that there are."""
        mean = None if self.average is None else self.average.mean
        return [array for array in (self.first, self.second, mean) if array is not None]

    def _agree(self) -> None:
        """Give every rank rank 0's weights, and state: ranks may round differently.

        They settle lazy penalties at different steps, and may run on different processors; the weights decide when to stop,
        which all must do alike.
        """
        for array in (self.params, *self._state()):
            self.collective.broadcast(array)

    def make_clock(self, steps: int) -> None:
        """Tabulate the rates of the next steps, by which lazy penalties catch up."""
        self._clock_steps = steps
        constant = self.recipe.constant_rate or self.last is None
        self.clock = None if constant else clock_table(self.schedule, self.step, steps)

    def _settle(self) -> None:
        """Bring all lazy penalties up to the present step, and count from there."""
        if self.last is not None:
            self._settle_weights()
            # A sparse global step counts for dense weights too.
            self.last[: self.problem.layout.dense * self.problem.outputs] = 0
            self.base = self.step
            if self.clock is not None:
                self.make_clock(self._clock_steps)

    def _settle_weights(self) -> None:
        settle_all(
            self.recipe.rule, self.schedule, self.problem.penalty(), self.problem.outputs, self.params, self.first,
            self.second, self.last, self.clock, self.problem.layout.dense, self.step, self.base,
        )  # fmt: skip

    def _objective(self, mean_loss: float, answer: np.ndarray) -> float:
        # What ranks measured on their own way says little about the mean of where they ended.
        averaged_ranks = self.collective.size > 1 and self.recipe.local_steps == "epoch"
        if answer is self.params and not averaged_ranks:
            return mean_loss + self._penalty(answer)
        sums = np.array(self.work.loss(self.share.training(), answer))
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1e-300)) + self._penalty(answer)

    def _penalty(self, answer: np.ndarray) -> float:
        return self.problem.penalty_value(answer)

    def _lower_rate(self) -> bool:
        """Divide the rate and go on, unless that would be the last epoch or the rate is negligible."""
        if self.lowered == self.recipe.lowerings or not self.progress.converged or not self.progress.resume():
            return False
        self.schedule = lowered(self.schedule, DIVISOR)
        self.lowered += 1
        return True
