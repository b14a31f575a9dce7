"""What two threads can do at most: the gradient of two halves of the rows, each by a thread that never meets the other.

Comes in: dense arrays. Goes out: seconds of one half alone, and of both at once. Twice the first over the second is what two
ranks could gain over one if they never waited: all that they still share is the machine, its memory above all. Rows are
visited as training does, in shuffled runs, all of them in one mini-batch.
"""

import threading

import numpy as np

from dsgd.data import epoch_order
from dsgd.kernels.rows import Rows
from dsgd.kernels.steps import batch_gradient
from dsgd.losses import LogLoss
from dsgd.objective.problem import run_starts
from dsgd.seeding import ORDER, generator

from ..measure import Sample, timed
from .epochs import Loop, dense_store

_DEADLINE = 60.0


class Half:
    """Adds the gradient of the log-loss of its rows to ``gradient`` (of raw sums, intercept last) each time it is called."""

    def __init__(self, X: np.ndarray, y: np.ndarray):
        store, layout = dense_store(X, y)
        self.loop = Loop(layout, online=False)
        self.gradient = self.loop.grad
        shuffle = generator(0, ORDER)
        self.blocks = [
            (Rows(*(getattr(block, name) for name in Rows._fields)), run_starts(block.rows, self.loop.run, shuffle))
            for _, block in store.keyed_blocks(epoch_order(0, 0))
        ]

    def __call__(self) -> None:
        loop, one = self.loop, np.float32(1)
        for rows, starts in self.blocks:
            batch_gradient(
                LogLoss(), rows, loop.frame, starts, 0, len(starts), loop.run, loop.params, one, loop.grad, loop.scratch
            )


def halves(X: np.ndarray, y: np.ndarray) -> list[Half]:
    """The rows in two halves; an odd one is left out."""
    middle = len(y) // 2
    return [Half(X[part], y[part]) for part in (slice(0, middle), slice(middle, 2 * middle))]


def one(work: list[Half]) -> Sample:
    """Time the first half alone."""
    return timed(work[0])


def both(work: list[Half]) -> Sample:
    """Time two threads with a half each, from when both are there to when both are done."""
    start = threading.Barrier(len(work) + 1, timeout=_DEADLINE)

    def run(half: Half) -> None:
        start.wait()
        half()

    threads = [threading.Thread(target=run, args=(half,), daemon=True) for half in work]
    for thread in threads:
        thread.start()
    start.wait()

    def end() -> None:
        for thread in threads:
            thread.join(_DEADLINE)
            if thread.is_alive():
                raise TimeoutError(f"a pass over half of the rows takes longer than {_DEADLINE:.0f} s")

    return timed(end)
