"""One epoch of the compiled loops over a store, as training runs it: mini-batches of averaged SGD, or online AdaGrad.

Comes in: a store (in memory or of Parquet) and an order of the rows. Goes out: seconds and the weights. Compilation is not
part of an epoch: run one before the clock counts.
"""

from collections.abc import Iterator
from typing import Any

import numpy as np

from dsgd.data import Block, EpochOrder, Layout, Numbering, as_dataset, open_store, read_parquet
from dsgd.kernels.online import online_pass
from dsgd.kernels.rows import Frame, Rows
from dsgd.kernels.scratch import make_scratch
from dsgd.kernels.steps import Penalty, local_steps
from dsgd.losses import LogLoss
from dsgd.objective.problem import RUN_BYTES, RUN_IN_ORDER, run_starts
from dsgd.optim.rules import SGD, AdaGrad
from dsgd.optim.schedules import Constant
from dsgd.seeding import ORDER, generator
from dsgd.train.recipe import in_dtype

from ..measure import Sample, Stopwatch

SIGNS = {0: -1.0, 1: 1.0}


def dense_store(X: np.ndarray, y: np.ndarray):
    """The user's arrays as a store, labels as -1 and +1, and its layout."""
    dataset = as_dataset(X, y)
    store = open_store(dataset, dataset.splits(), "")
    store.relabel(SIGNS)
    return store, store.layout


def parquet_store(path, directory, *, seed: int | None = 0):
    """The Parquet files of ``path`` encoded into a store, weights numbered as in training, and its layout."""
    dataset = read_parquet(str(path), label="label")
    numbering = Numbering(dataset.spec.layout)
    store = open_store(dataset, dataset.splits(), str(directory), seed=seed, numbering=numbering)
    store.relabel(SIGNS)
    return store, numbering.layout


class Loop:
    """The weights and buffers of a linear logistic model, and an epoch over a store's blocks.

    Parameters
    ----------
    layout : Layout
    online : bool
        One AdaGrad step a row; otherwise mini-batches of ``batch`` rows: of AdaGrad, touched weights only, when the data has
        categories, of SGD when all of it is dense.
    batch : int
    rate : float
    in_order : bool
        Whether rows are visited as they are stored.
    """

    def __init__(self, layout: Layout, *, online: bool, batch: int = 1024, rate: float = 0.1, in_order: bool = False):
        self.layout, self.online = layout, online
        row_bytes = 4 * (self.layout.dense + self.layout.codes)
        self.run = min(max((RUN_IN_ORDER if in_order else 1) * RUN_BYTES // row_bytes, 1), batch)
        self.run = 1 << (self.run.bit_length() - 1)
        self.batch = batch // self.run
        self.params = np.zeros(self.layout.size + 1, np.float32)
        adaptive = online or self.layout.codes > 0
        self.rule = in_dtype(AdaGrad() if adaptive else SGD(), np.dtype(np.float32))
        self.first = np.zeros_like(self.params) if adaptive else None
        self.schedule = in_dtype(Constant(rate), np.dtype(np.float32))
        self.penalty = Penalty(np.float32(0), np.float32(0), True)
        self.grad = np.zeros_like(self.params)
        p, run = self.layout.dense, self.run
        columns = self.layout.codes + self.layout.crosses.count
        self.scratch = make_scratch(np.float32, run, columns, p)
        nothing, crosses = np.zeros(0, np.float32), self.layout.crosses
        self.frame = Frame(nothing, nothing, crosses.columns, crosses.start, crosses.mask)
        self.step = 0

    def epoch(self, blocks: Iterator[tuple[tuple[int, ...], Block]], shuffle: np.random.Generator | None) -> float:
        """Train on every block once, its runs in the order drawn as training does; return the progressive loss sum."""
        return sum(self._block(block, shuffle) for _, block in blocks)

    def _block(self, block: Block, shuffle: np.random.Generator | None) -> float:
        rows = Rows(*(getattr(block, name) for name in Rows._fields))
        starts = run_starts(block.rows, self.run, shuffle)
        one = np.float32(1)
        if self.online:
            loss, self.step = online_pass(
                LogLoss(), self.rule, self.schedule, self.penalty, rows, self.frame, starts, self.run,
                self.params, self.first, None, None, None, self.step, 0, one, self.scratch,
            )  # fmt: skip
            return loss
        bounds = np.append(np.arange(0, len(starts), self.batch), len(starts))
        loss, self.step, _ = local_steps(
            LogLoss(), self.rule, self.schedule, self.penalty, rows, self.frame, starts, bounds, self.run,
            self.params, self.first, None, None, None, self.step, 0,
            self.layout.codes > 0, one, self.grad, None, 0, self.scratch,
        )  # fmt: skip
        return loss


def epoch(store, layout: Layout, order: EpochOrder | None, **options: Any) -> Sample:
    """Time one epoch of a fresh :class:`Loop`."""
    loop = Loop(layout, in_order=order is None, **options)
    loop.params.fill(0)  # has the system hand over the pages before the clock starts, as a second epoch finds them
    loop.grad.fill(0)
    if loop.first is not None:
        loop.first.fill(0)
    clock = Stopwatch()
    with clock.running():
        total = loop.epoch(store.keyed_blocks(order), None if order is None else generator(order.seed, ORDER))
    return Sample(clock.seconds, detail={"progressive_loss": total / store.rows})


def cold_epoch(path, directory) -> Sample:
    """Time everything from the Parquet files to the end of the first online epoch."""
    clock = Stopwatch()
    with clock.running():
        store, layout = parquet_store(path, directory)
        with store:
            loop = Loop(layout, online=True)
            total = loop.epoch(store.keyed_blocks(), None)
    return Sample(clock.seconds, detail={"progressive_loss": total / loop.step})
