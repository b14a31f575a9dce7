"""The store of data that is in memory already: the user's arrays as one Block, without a copy and without files.

Rows stay in the user's order, because the arrays are the user's; an epoch visits short runs of them in random order. What must
change (labels mapped, columns rescaled) is copied, and nothing else.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from .block import Block
from .dataset import Split
from .encode import Encoder
from .gather_statistics import StatisticsPass
from .layout import Layout
from .matrices import MatrixDataset
from .order import EpochOrder
from .statistics import Statistics
from .targets import Finish
from .where import Where

_STATISTICS_ROWS = 1 << 16


class MemoryStore:
    """One worker's rows of a :class:`MatrixDataset`; the interface is that of :class:`dsgd.data.store.BlockStore`.

    Parameters
    ----------
    dataset : MatrixDataset
    splits : sequence of Split
        The worker's share; the rows of one range are wrapped, those of several are copied together.
    dtype : numpy dtype

    Attributes
    ----------
    layout : Layout
    rows : int
    statistics : Statistics
    disk_bytes : int
        Always 0.
    """

    disk_bytes = 0
    in_memory = True

    def __init__(
        self, dataset: MatrixDataset, splits: Sequence[Split], *, dtype=np.float32, sparse_moments: bool = True
    ):
        own, _ = dataset.only(splits)
        self._encoder = Encoder(own.spec, own.roles, dtype)
        self._block: Block | None = own.wrap(self._encoder, 0, own.X.shape[0])
        self._finish = Finish(own.spec.sparse_start)
        self.layout: Layout = own.spec.layout
        self.statistics = self._count(own, sparse_moments)

    def _count(self, own: MatrixDataset, sparse_moments: bool) -> Statistics:
        statistics = StatisticsPass(own.spec, self._encoder.dtype, sparse_moments)
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
