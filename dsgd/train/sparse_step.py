"""A global step whose gradient travels sparse: only the features that some rank's rows touched are summed and updated."""

from typing import TYPE_CHECKING

import numpy as np

from ..kernels.coordinates import collect_touched, distinct, take_listed, update_listed
from ..kernels.multi import settle_touched_multi
from ..kernels.steps import settle_touched

if TYPE_CHECKING:
    from .stepwise import Stepwise


class SparseStep:
    """Takes the sparse global steps of a :class:`Stepwise`, whose parameters and state it works on."""

    def __init__(self, owner: "Stepwise"):
        self._owner = owner
        layout = owner.problem.layout
        # Dense weights and intercept are touched by every row: they head and end every list.
        self._always = np.append(np.arange(layout.dense, dtype=np.int32), np.int32(layout.size))
        self._listed = np.empty(1 << 12, np.int32)

    def take(self, pieces) -> float:
        """One step; returns this rank's sum of weight x loss."""
        o = self._owner
        loss, rows = 0.0, 0
        for arrays, starts, begin, end in pieces:
            self._settle(arrays, starts, begin, end)
        for arrays, starts, begin, end in pieces:
            part, count = o.work.add_batch(arrays, starts, begin, end, o.params)
            loss += part
            rows += count
        indices, values = self._gradient(pieces)
        total = np.array([rows], np.float64)
        o.collective.allreduce(total)
        indices, values = o.collective.allreduce_sparse(indices, values)
        factor = o.problem.dtype.type(1.0 / max(total[0], 1.0))
        p = o.problem
        update_listed(
            o.recipe.rule, o.schedule, p.penalty(), p.outputs, o.params, o.first, o.second, o.last, o.clock, indices,
            values.reshape(len(indices), p.outputs), factor, o.step, o.base,
        )  # fmt: skip
        o.step += 1
        return loss

    def _settle(self, arrays, starts, begin: int, end: int) -> None:
        o = self._owner
        if o.last is not None:
            settle = settle_touched if o.problem.outputs == 1 else settle_touched_multi
            rate = o.problem.dtype.type(o.schedule.rate(o.step))
            settle(
                o.recipe.rule, o.problem.penalty(), arrays, o.problem.frame, starts, begin, end, o.work.run, o.params,
                o.first, o.second, o.last, o.clock, rate, o.step, o.base, o.work.scratch,
            )  # fmt: skip

    def _gradient(self, pieces) -> tuple[np.ndarray, np.ndarray]:
        o = self._owner
        problem, work = o.problem, o.work
        count = 0
        for arrays, starts, begin, end in pieces:
            self._make_room(count, arrays, starts, begin, end)
            count = collect_touched(
                arrays, problem.frame, starts, begin, end, work.run, self._listed, count, work.scratch.codes
            )
        work.unfold(work.gradient)
        listed = self._listed[:count]
        listed.sort()
        touched = listed[: distinct(listed)]
        dense = problem.layout.dense
        indices = np.concatenate([self._always[:dense], touched, self._always[dense:]])
        values = np.empty((len(indices), problem.outputs), problem.dtype)
        take_listed(work.gradient, indices, problem.outputs, values)
        return indices, values[:, 0] if problem.outputs == 1 else values

    def _make_room(self, count: int, arrays, starts, begin: int, end: int) -> None:
        layout, run = self._owner.problem.layout, self._owner.work.run
        needed = (end - begin) * run * (layout.codes + layout.crosses.count)
        if arrays.indptr.size > 1:
            chosen = starts[begin:end]
            stops = np.minimum(chosen + run, len(arrays.label))
            needed += int((arrays.indptr[stops] - arrays.indptr[chosen]).sum())
        if count + needed > len(self._listed):
            self._listed = np.concatenate([self._listed[:count], np.empty(count + 2 * needed, np.int32)])
