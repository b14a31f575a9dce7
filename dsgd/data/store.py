"""The block store: a worker's rows, encoded once, then read every epoch from memory, from mapped files or from the source.

Comes in: a dataset, the worker's splits and a directory. Goes out: Blocks in the order of an epoch, and the statistics of
the pass that encoded them. Encoding is streaming: one batch is in memory at a time. Each block is kept at the nearest
level that has room:

1. in memory, up to ``memory_bytes``;
2. in a file of its own below ``directory``, up to ``cache_bytes``, mapped while in use and its pages given back afterwards;
3. not at all: its rows are read from the source and encoded again each epoch.

A file that has disappeared is made again from the source. Nothing grows with epochs, and ``close`` removes the files.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import DataError
from .block import Block
from .cache import BlockCache, Kept
from .dataset import Dataset, Split
from .encode import Encoder
from .gather_statistics import StatisticsPass
from .groups import GroupEncoder
from .layout import Layout
from .numbering import Numbering
from .order import EpochOrder
from .statistics import Statistics
from .targets import Finish

MEMORY_BYTES = 256 << 20


@dataclass
class _Group:
    """Splits that are encoded together, and the blocks that they became."""

    splits: list[Split]
    kept: list[Kept]


class BlockStore:
    """Encoded blocks of one worker.

    Parameters
    ----------
    dataset : Dataset
    splits : sequence of Split
        This worker's share; may be empty.
    directory : str
        On local disk; a directory is made below it.
    dtype : numpy dtype
        float32 or float64.
    seed : int or None
        Rows are permuted within their block as it is encoded, drawn from the row group's place in the seed tree; None
        keeps their order.
    memory_bytes : int
        Blocks to keep in memory.
    cache_bytes : int, optional
        Blocks to keep in files; without a limit by default.
    memory_limit : int, optional
        Resident bytes of the process beyond which no further block is kept in memory.
    threads : int
        Threads that may decode Parquet.
    numbering : Numbering, optional
        Numbers the weights as this store meets them; several stores may share one.
    moved : callable
        Called for every block that is encoded or read.

    Attributes
    ----------
    layout : Layout
    rows : int
    statistics : Statistics
        Of this worker's rows.

    Raises
    ------
    DataError
        For rows that cannot be used; nothing is left in ``directory`` then.
    """

    def __init__(
        self,
        dataset: Dataset,
        splits: Sequence[Split],
        directory: str,
        *,
        dtype=np.float32,
        seed: int | None = 0,
        memory_bytes: int = MEMORY_BYTES,
        cache_bytes: int | None = None,
        memory_limit: int | None = None,
        threads: int = 1,
        numbering: Numbering | None = None,
        moved: Callable[[], None] = lambda: None,
        sparse_moments: bool = True,
    ):
        self._dataset, self._sparse_moments = dataset, sparse_moments
        self._encoder = Encoder(dataset.spec, dataset.roles, dtype, numbering)
        self._encode, self._moved = GroupEncoder(dataset, self._encoder, seed, threads, moved), moved
        self._finish = Finish(dataset.spec.sparse_start)
        self._cache = BlockCache(directory, memory_bytes, cache_bytes, memory_limit)
        self._groups: list[_Group] = []
        self._closed = False
        try:
            self.statistics: Statistics = self._encode_all(splits)
        except BaseException:
            self.close()
            raise

    @property
    def layout(self) -> Layout:
        """The layout of the dataset's weights, numbered or not."""
        return self._dataset.spec.layout

    @property
    def rows(self) -> int:
        """Number of rows of this worker."""
        return self.statistics.rows

    @property
    def disk_bytes(self) -> int:
        """Bytes of the block files now."""
        return self._cache.disk_bytes

    @property
    def in_memory(self) -> bool:
        """Whether all blocks are in memory."""
        return all(kept.block is not None for group in self._groups for kept in group.kept)

    def __len__(self) -> int:
        return sum(len(group.kept) for group in self._groups)

    def __enter__(self) -> "BlockStore":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Remove the files and forget the blocks; safe to call twice."""
        self._groups, self._closed = [], True
        self._cache.close()

    def keyed_blocks(self, order: EpochOrder | None = None) -> Iterator[tuple[tuple[int, ...], Block]]:
        """Yield each block with a key that is the same in every epoch; its arrays are valid until the next is asked for.

        ``order`` permutes the blocks; without one they come as they were encoded. Rows stay as they are within a block.
        """
        units = list(self._units())
        for i in range(len(units)) if order is None else order.permutation(len(units)):
            group, members = units[i]
            for kept, block in zip(members, self._read(group, members), strict=True):
                yield (*group.splits[0].place, kept.number), block

    def relabel(self, mapping: Mapping[Any, float] | None) -> None:
        """Replace labels by what the loss wants, in every block, now and when it is encoded again.

        Parameters
        ----------
        mapping : dict, or None
            From each class, as in ``statistics.label.classes``, to -1 and +1, or 0 .. k-1; None keeps numbers as they are.

        Raises
        ------
        DataError
            When a label is not in the mapping, mapping is None and labels are strings, or they were mapped before.
        """
        before = self._finish.copy()
        self._finish.set_labels(mapping, self.statistics.label, self._encoder)
        self._change(self._finish.relabel, before)

    def impute(self, means: np.ndarray) -> None:
        """Replace missing values (NaN) of the dense part by ``means``, of shape (p,), now and when encoded again."""
        before = self._finish.copy()
        self._finish.means = np.asarray(means)
        self._change(self._finish.impute, before)

    def rescale(self, shift: np.ndarray, factors: np.ndarray) -> None:
        """Subtract ``shift`` from the dense part and multiply sparse values by their columns' ``factors``, once.

        Parameters
        ----------
        shift : ndarray of shape (p,), or of shape (0,) for none
        factors : ndarray of shape (s,), or of shape (0,) for none
            Both of the blocks' dtype.
        """
        before = self._finish.copy()
        self._finish.set_scales(shift, factors)
        self._change(self._finish.rescale, before)

    def renumber(self, numbers: np.ndarray) -> None:
        """Replace each code ``j`` by ``numbers[j]``, in every block, now and when it is encoded again; once."""
        before = self._finish.copy()
        self._finish.numbers = numbers
        self._change(self._finish.renumber, before)

    def _change(self, change: Callable[[Block], Block], before: Finish) -> None:
        """Change the blocks that are kept; one whose file is gone is first made again as it was ``before``."""
        self._check_open()
        for group in self._groups:
            for kept in group.kept:
                if not kept.away:
                    self._cache.change(kept, change, partial(self._again, group, kept, before))

    def _check_open(self) -> None:
        """A closed store has no rows to give, which must not look like a share without rows."""
        if self._closed:
            raise ValueError("the store is closed")

    def _encode_all(self, splits: Sequence[Split]) -> Statistics:
        statistics = StatisticsPass(self._dataset.spec, self._encoder.dtype, self._sparse_moments)
        for members in self._encode.groups(splits):
            group = _Group(members, [])
            index, start = members[0].place
            for number, block in enumerate(self._encode(members)):
                statistics.add(block)
                group.kept.append(self._cache.put(f"{index}-{start}-{number}", number, block))
            self._groups.append(group)
        _give_back()
        return statistics.result(self._encoder.labels)

    def _units(self) -> Iterator[tuple[_Group, list[Kept]]]:
        """What an order permutes: kept blocks one by one; those that were not kept as they come out of their group."""
        self._check_open()
        for group in self._groups:
            yield from ((group, [kept]) for kept in group.kept if not kept.away)
            away = [kept for kept in group.kept if kept.away]
            if away:
                yield group, away

    def _read(self, group: _Group, members: list[Kept]) -> Iterator[Block]:
        if members[0].away:
            wanted = {kept.number for kept in members}
            for number, block in enumerate(self._encode(group.splits)):
                if number in wanted:
                    yield self._finish(block)
            _give_back()
            return
        for kept in members:
            self._moved()
            yield from self._cache.read(kept, partial(self._again, group, kept, self._finish))

    def _again(self, group: _Group, kept: Kept, finish: Finish) -> Block:
        """Make a block again from its source."""
        for number, block in enumerate(self._encode(group.splits)):
            if number == kept.number and block.rows == kept.rows:
                _give_back()
                return finish(block)
        raise DataError(
            f"{group.splits[0].path or 'the data'} has changed while it was in use; do not write to it during a fit"
        )


def _give_back() -> None:
    """Give the system what decoding has freed: it counts as resident until then, and the next decoding would take it up again."""
    pa.default_memory_pool().release_unused()
