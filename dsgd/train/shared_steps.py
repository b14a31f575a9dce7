"""Global steps of ranks that share memory: a block's steps at a time, in compiled code that meets the other ranks itself."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from ..collectives.shared import SharedMemory
from ..kernels.reduced import reduced_steps
from ..kernels.rows import Rows
from ..kernels.shared import DONE
from .batches import cuts, stretches

if TYPE_CHECKING:
    from .stepwise import Stepwise


class SharedSteps:
    """Takes the dense global steps of a :class:`Stepwise`, whose parameters and state it works on."""

    def __init__(self, owner: "Stepwise", collective: SharedMemory):
        self._owner, self._collective = owner, collective

    def epoch(self, parts: Iterable[tuple[Rows, np.ndarray]], steps: int) -> float:
        """Take the ``steps`` steps of an epoch; returns this rank's sum of weight x loss."""
        o = self._owner
        done, loss = o.pauses.begin(steps)
        begun, end = o.step - done, o.step - done + steps
        for arrays, starts, edges, mark in stretches(cuts(parts, o.work.run, o.own_rows, steps), o.pauses.marks, done):
            loss += self._block(arrays, starts, edges)
            if mark:
                o.pauses.at(mark, loss)
        while o.step < end:
            # What the last block has left open; and steps for which this rank has no rows.
            o.reduce_and_update()
            o.pauses.at(o.step - begun, loss)
        return loss

    def _block(self, arrays: Rows, starts: np.ndarray, edges: np.ndarray) -> float:
        o = self._owner
        p, r, work = o.problem, o.recipe, o.work
        meeting = self._collective.meeting(work.buffer)
        average = o.averaged
        mean, count = (None, 0) if average is None else (average.mean, average.count)
        total, piece, summed = 0.0, 0, False
        while True:
            loss, reached, missing = reduced_steps(
                p.loss, r.rule, o.schedule, p.penalty(), arrays, p.frame, starts, edges, piece, summed, work.run, p.outputs,
                o.params, o.first, o.second, o.step, p.dtype.type(p.weight_scale), work.buffer, mean, count, meeting,
                work.scratch,
            )  # fmt: skip
            total += loss
            o.step += reached - piece
            if average is not None:
                average.count = count = average.count + reached - piece
            if missing == DONE:
                return total
            self._collective.resume(work.buffer, missing)
            piece, summed = reached, True
