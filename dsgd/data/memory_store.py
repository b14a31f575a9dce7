"""The store of data that is in memory already: the user's arrays as one Block, without a copy and without files.

Rows cannot be permuted in place, because they belong to the user; an epoch's order is therefore made on the fly: short runs of
rows, in random order, are copied into a window that stays in the second-level cache, where the kernels find it. A pass costs
little more than reading the data, and sorted labels do no harm.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..kernels.gather import copy_rows
from .block import Block
from .dataset import Split
from .encode import Encoder
from .gather_statistics import StatisticsPass
from .layout import Layout
from .matrices import MatrixDataset
from .order import EpochOrder, mini_batches, take_rows
from .statistics import Statistics
from .targets import Finish
from .where import Where

# The window is copied to, and read from, the second-level cache; a run is long enough for the hardware to read ahead.
_WINDOW_BYTES = 1 << 20
_RUN_BYTES = 16 << 10
_LONGEST_RUN = 32
_STATISTICS_ROWS = 1 << 16


class MemoryStore:
    """One worker's rows of a :class:`MatrixDataset`; the interface is that of :class:`dsgd.data.store.BlockStore`.

    Parameters
    ----------
    dataset : MatrixDataset
    splits : sequence of Split
        The worker's share; the rows of one range are wrapped, those of several are copied together.
    dtype : numpy dtype
    touched : bool
        Whether the statistics count the rows in which each sparse weight occurs.

    Attributes
    ----------
    layout : Layout
    rows : int
    statistics : Statistics
    disk_bytes : int
        Always 0.
    """

    disk_bytes = 0

    def __init__(self, dataset: MatrixDataset, splits: Sequence[Split], *, dtype=np.float32, touched: bool = False):
        own, _ = dataset.only(splits)
        self._encoder = Encoder(own.spec, own.roles, dtype)
        self._block: Block | None = own.wrap(self._encoder, 0, own.X.shape[0])
        self._finish = Finish(own.spec.sparse_start)
        self.layout: Layout = own.spec.layout
        self.statistics = self._count(own, touched)

    def _count(self, own: MatrixDataset, touched: bool) -> Statistics:
        statistics = StatisticsPass(own.spec, self._encoder.dtype, touched=touched)
        for start in range(0, self._only.rows, _STATISTICS_ROWS):
            part = self._only.slice(start, min(start + _STATISTICS_ROWS, self._only.rows))
            statistics.add(part, Where("", own.first + start))
        return statistics.result(self._encoder.labels)

    @property
    def _only(self) -> Block:
        if self._block is None:
            raise ValueError("the store is closed")
        return self._block

    @property
    def rows(self) -> int:
        """Number of rows of this worker."""
        return self.statistics.rows

    def __len__(self) -> int:
        return 1 if self.rows else 0

    def __enter__(self) -> "MemoryStore":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Let the arrays go; safe to call twice."""
        self._block = None

    def relabel(self, mapping: Mapping[Any, float] | None) -> None:
        """Replace labels by what the loss wants; see :meth:`dsgd.data.store.BlockStore.relabel`."""
        self._finish.set_labels(mapping, self.statistics.label, self._encoder)
        self._block = self._finish.relabel(self._only)

    def impute(self, means: np.ndarray) -> None:
        """Replace missing values by ``means``, of shape (p,), in a copy if there are any."""
        self._finish.means = np.asarray(means)
        self._block = self._finish.impute(self._only)

    def rescale(self, shift: np.ndarray, factors: np.ndarray) -> None:
        """Shift and scale columns, in a copy; see :meth:`dsgd.data.store.BlockStore.rescale`."""
        self._finish.set_scales(shift, factors)
        self._block = self._finish.rescale(self._only)

    def keyed_blocks(self, order: EpochOrder | None = None) -> Iterator[tuple[tuple[int, ...], Block]]:
        """Yield the whole data as one block, in its own order whatever ``order`` is, with its key."""
        if self.rows:
            yield (0, 0, 0), self._only

    def mini_batches(self, order: EpochOrder | None, size: int) -> Iterator[Block]:
        """Yield mini-batches of ``size`` rows, the last one of what is left; valid until the next is asked for."""
        yield from mini_batches(self.blocks(order), size)

    def blocks(self, order: EpochOrder | None = None) -> Iterator[Block]:
        """Yield all rows once; a block's arrays are valid until the next block is asked for.

        Parameters
        ----------
        order : EpochOrder, optional
            Without one, the whole data is one block, in its own order.
        """
        if self.rows == 0:
            return
        if order is None:
            yield self._only
            return
        run, window = run_and_window(self._only)
        starts = order.permutation(-(-self.rows // run)) * run
        buffer = np.empty((window, self._only.dense.shape[1]), self._only.dense.dtype)
        for first in range(0, len(starts), window // run):
            rows = (starts[first : first + window // run, None] + np.arange(run)).ravel()
            yield self._take(rows[rows < self.rows], buffer)

    def _take(self, rows: np.ndarray, buffer: np.ndarray) -> Block:
        dense = buffer[: len(rows)]
        copy_rows(self._only.dense, rows, dense)
        empty = self._only.dense[:, :0]
        return replace(take_rows(replace(self._only, dense=empty), rows), dense=dense)


def run_and_window(block: Block) -> tuple[int, int]:
    """Rows of a run and of a window, powers of two, for the width of a block's rows."""
    row = max(block.nbytes // max(block.rows, 1), 1)
    run = min(_power_of_two(_RUN_BYTES // row), _LONGEST_RUN)
    return run, max(run, min(_power_of_two(_WINDOW_BYTES // row), 1 << 16))


def _power_of_two(value: int) -> int:
    """The largest power of two that is not above ``value``, and at least 1."""
    return 1 << max(int(value).bit_length() - 1, 0)
