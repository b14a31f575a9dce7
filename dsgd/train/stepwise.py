"""The recipe of small steps: an update rule fed with mini-batch gradients.

On one rank, or between two averagings, whole blocks are stepped through in compiled code (``local_steps``, or the online
pass when a batch is one row). With several ranks and ``local_steps=1`` every mini-batch's gradient is summed over the ranks,
and each rank takes the same step (Dean et al. 2012 call it synchronous data parallelism); sparse gradients travel sparse.
"""

from typing import Any

import numpy as np

from ..collectives.base import Collective
from ..compression import compressed
from ..kernels import steps
from ..kernels.coordinates import clock_table, settle_all, update_dense
from ..kernels.online import online_pass
from ..kernels.rows import Rows
from ..objective.passes import Pass
from ..objective.problem import Problem
from ..objective.share import Share
from ..optim.schedules import lowered
from .batches import batches, bounds, steps_of_epoch
from .progress import Progress
from .recipe import Recipe
from .sparse_step import SparseStep

_LEAST_RATE_FACTOR = 1e-6


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
        self.averaged = 0

    def run(self, params: np.ndarray, state: dict[str, Any]) -> np.ndarray:
        """Return the trained parameters; ``state`` takes and brings the rule's arrays and the count of steps."""
        self.start(params, state)
        while True:
            mean_loss = self.epoch(len(self.progress.history))
            answer = self.average if self.average is not None and self.averaged else self.params
            objective = self._objective(mean_loss, answer)
            before = self.progress.stale
            stop = self.progress.round(objective, answer)
            if self.recipe.adaptive and self.progress.stale > before:
                stop = self._lower_rate() and len(self.progress.history) < self.progress.limit
                stop = not stop
            if stop:
                break
        state.update(step=self.step, first=self.first, second=self.second)
        return np.array(answer)

    def start(self, params: np.ndarray, state: dict[str, Any]) -> None:
        """Take up parameters and state."""
        size, dtype, slots = self.problem.size, self.problem.dtype, self.recipe.rule.slots
        self.params = np.array(params, dtype)
        self.anchor = self.params.copy() if self.collective.size > 1 else self.params
        self.step = int(state.get("step", 0))
        self.first = state.get("first") if slots > 0 else None
        self.second = state.get("second") if slots > 1 else None
        if slots > 0 and self.first is None:
            self.first, self.second = self.recipe.initial_state(self.params)
        lazy = self.recipe.sparse and self.recipe.rule.lazy and (self.problem.l1 > 0 or self.problem.l2 > 0)
        self.last = np.zeros(size, np.int32) if lazy else None
        self.average = np.zeros(size, dtype) if self.recipe.average else None

    # ---- an epoch

    def epoch(self, epoch: int) -> float:
        """Run one epoch; return the mean loss of the rows at the steps that used them."""
        self.base = self.step
        drawn = epoch if self.recipe.shuffle else None
        if self.average is not None and epoch & (epoch - 1) == 0:
            # Forget the average at epochs 1, 2, 4, 8, ...: it then covers at least the last third of the steps.
            self.averaged = 0
        if self.collective.size > 1 and self.recipe.local_steps == 1:
            loss = self._global_steps(drawn)
        else:
            loss = self._local_epoch(drawn)
        self._settle()
        sums = np.array([loss, self.own_rows], np.float64)
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1.0))

    def _local_epoch(self, epoch: int | None) -> float:
        loss = 0.0
        rounds = self.recipe.averagings(self.rows) if self.collective.size > 1 else 1
        steps = self.recipe.local_steps if rounds > 1 else None
        parts = self.share.training(epoch)
        if rounds == 1:
            self._make_clock(self.own_rows + 64)
            for arrays, starts in parts:
                loss += self._block(arrays, starts)
            self._average_ranks(self.own_rows)
            return loss
        assert steps is not None
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

    def _block(self, arrays: Rows, starts: np.ndarray) -> float:
        """Local optimiser steps over some runs of a block."""
        p, r = self.problem, self.recipe
        scale = p.dtype.type(p.weight_scale)
        if r.online:
            loss, self.step = online_pass(
                p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, self.work.run, self.params, self.first,
                self.second, self.last, self.clock, self.step, self.base, scale, self.work.scratch,
            )  # fmt: skip
            self._average_now()
            return loss
        kernel = steps.local_steps
        if p.outputs > 1:
            from ..kernels import multi

            kernel = multi.local_steps_multi
        per_batch = max(1, round(r.batch_rows / self.collective.size / self.work.run))
        loss, self.step, self.averaged = kernel(
            p.loss, r.rule, self.schedule, p.penalty(), arrays, p.frame, starts, bounds(len(starts), per_batch),
            self.work.run, self.params, self.first, self.second, self.last, self.clock, self.step, self.base, r.sparse,
            scale, self.work.gradient, None if r.sparse else self.average, self.averaged, self.work.scratch,
        )  # fmt: skip
        if r.sparse:
            self._average_now()
        return loss

    def _average_now(self) -> None:
        """Take the present weights into the average: once a block, because a wide vector costs as much as many rows."""
        if self.average is not None:
            self._settle()
            self.base = self.step
            self.averaged += 1
            self.average += (self.params - self.average) / self.averaged

    def _average_ranks(self, own_rows: int) -> None:
        """Replace the ranks' weights (and state) by their mean, weighted by the rows that each has used."""
        if self.collective.size == 1:
            return
        total = np.array([own_rows], np.float64)
        self.collective.allreduce(total)
        share = self.problem.dtype.type(own_rows / max(total[0], 1.0))
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
        parts = batches(self.share.training(epoch), self.work.run, self.own_rows, count)
        stepper = SparseStep(self) if self.recipe.sparse else None
        loss = 0.0
        for pieces in parts:
            loss += stepper.take(pieces) if stepper else self._dense_step(pieces)
        return loss

    def _dense_step(self, pieces) -> float:
        loss, rows = 0.0, 0
        for arrays, starts, begin, end in pieces:
            part, count = self.work.add_batch(arrays, starts, begin, end, self.params)
            loss += part
            rows += count
        buffer = self.work.buffer
        buffer[-1] = rows
        self.reducer.allreduce(buffer)
        self.work.unfold(self.work.gradient)
        self.update(buffer[-1])
        return loss

    def update(self, rows: float) -> None:
        """One step of all weights with the summed gradient of ``rows`` rows."""
        p = self.problem
        factor = p.dtype.type(1.0 / max(rows, 1.0))
        update_dense(
            self.recipe.rule, self.schedule, p.penalty(), p.outputs, self.params, self.first, self.second, self.work.gradient,
            factor, self.step,
        )  # fmt: skip
        self.step += 1
        if self.average is not None:
            self.averaged += 1
            self.average += (self.params - self.average) * p.dtype.type(1.0 / self.averaged)

    # ---- odds and ends

    def _make_clock(self, steps: int) -> None:
        constant = self.recipe.constant_rate or self.last is None
        self.clock = None if constant else clock_table(self.schedule, self.step, steps)

    def _settle(self) -> None:
        if self.last is not None:
            settle_all(
                self.recipe.rule, self.schedule, self.problem.penalty(), self.problem.outputs, self.params, self.first,
                self.second, self.last, self.clock, self.problem.layout.dense, self.step, self.base,
            )  # fmt: skip

    def _objective(self, mean_loss: float, answer: np.ndarray) -> float:
        if answer is self.params:
            return mean_loss + self.problem.penalty_value(answer)
        sums = np.array(self.work.loss(self.share.training(), answer))
        self.collective.allreduce(sums)
        return float(sums[0] / max(sums[1], 1e-300)) + self.problem.penalty_value(answer)

    def _lower_rate(self) -> bool:
        """Divide the rate by five; False once it is negligible."""
        self.schedule = lowered(self.schedule)
        return self.schedule.eta0 > _LEAST_RATE_FACTOR * self.recipe.schedule.eta0
