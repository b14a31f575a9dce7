"""Lock-free threads over the click set: an online AdaGrad epoch by one thread, by two, and by two that share nothing.

Comes in: a store of the click set's training rows. Goes out: seconds and the progressive loss (each row's before its own step),
which in a first epoch is a loss of rows not seen yet. Two threads that share nothing, each with weights of its own and half of
the runs of every block, are what two can do at most on the machine.
"""

import threading

import numpy as np

from dsgd.data import epoch_order
from dsgd.data.layout import Layout
from dsgd.kernels.rows import Rows
from dsgd.losses import LogLoss
from dsgd.objective.passes import Pass
from dsgd.objective.problem import Problem, run_starts
from dsgd.objective.scaling import no_scaling
from dsgd.optim.rules import AdaGrad
from dsgd.optim.schedules import Constant
from dsgd.seeding import ORDER, generator
from dsgd.train.hogwild import Hogwild
from dsgd.train.recipe import in_dtype

from ..measure import Sample, Stopwatch

_SINGLE = np.dtype(np.float32)
_DEADLINE = 120.0

Parts = list[tuple[Rows, np.ndarray]]


class Epoch:
    """The rows of a store in memory, their runs shuffled, and fits of one epoch over them."""

    def __init__(self, store, layout: Layout):
        scaling = no_scaling(_SINGLE)
        self.problem = Problem(
            LogLoss(),
            1,
            layout,
            scaling.frame(layout.crosses),
            scaling,
            _SINGLE,
            0.0,
            0.0,
            True,
            1.0,
            store.rows,
            np.zeros(0),
        )
        run, shuffle = Pass(self.problem).run, generator(0, ORDER)
        self.parts: Parts = []
        for _, block in store.keyed_blocks(epoch_order(0, 0)):
            rows = Rows(*(np.array(array) for array in self.problem.rows_of(block)))
            self.parts.append((rows, run_starts(block.rows, run, shuffle)))

    def threads(self, count: int) -> Hogwild:
        """Threads that begin at zero."""
        zero = np.zeros(self.problem.size, np.float32)
        rule, schedule = in_dtype(AdaGrad(), _SINGLE), in_dtype(Constant(0.1), _SINGLE)
        passes = [Pass(self.problem) for _ in range(count)]
        return Hogwild(rule, schedule, passes, zero, zero, online=True, sparse=True, constant_rate=True)

    def together(self, count: int) -> Sample:
        """Time an epoch of ``count`` threads on one vector of weights."""
        threads, clock = self.threads(count), Stopwatch()
        with clock.running():
            loss, rows = threads.run(self.parts)
        return Sample(clock.seconds, loss / rows)

    def apart(self) -> Sample:
        """Time an epoch of two threads that share nothing but the machine."""
        halves = [[(rows, starts[side::2]) for rows, starts in self.parts] for side in (0, 1)]
        work = [threading.Thread(target=self.threads(1).run, args=(half,), daemon=True) for half in halves]
        clock = Stopwatch()
        with clock.running():
            for thread in work:
                thread.start()
            for thread in work:
                thread.join(_DEADLINE)
                if thread.is_alive():
                    raise TimeoutError(f"half an epoch takes longer than {_DEADLINE:.0f} s")
        return Sample(clock.seconds)
