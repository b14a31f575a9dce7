"""The block store: a worker's rows, encoded once, then read every epoch from memory, from mapped files or from the source.

Comes in: a dataset, the worker's splits and a directory. Goes out: Blocks in the order of an epoch, and the statistics of the
pass that encoded them. Encoding is streaming: one batch is in memory at a time. Each block is kept at the nearest
level that has room:

1. in memory, up to ``memory_bytes``;
2. in a file of its own below ``directory``, up to ``cache_bytes``, mapped while it is in use and its pages given back afterwards;
3. not at all: its rows are read from the source and encoded again each epoch.

A file that has disappeared is made again from the source. Nothing grows with epochs, and ``close`` removes the files.
"""

import contextlib
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ConfigError, DataError
from ..seeding import ROWS, generator
from .arrays import Mapped, write_file
from .block import Block
from .dataset import Dataset, Split
from .encode import Encoder
from .gather_statistics import StatisticsPass
from .layout import Layout
from .order import EpochOrder, concatenate, rotated, take_rows
from .statistics import Statistics
from .targets import Finish

# A block is at most so many rows, and so many bytes: it is what an epoch holds in memory at a time.
BLOCK_ROWS = 1 << 17
BLOCK_BYTES = 32 << 20
MEMORY_BYTES = 256 << 20


@dataclass
class _Entry:
    """One block: which of its group it is, its rows, and where it is kept (in neither place: at the source)."""

    number: int
    rows: int
    block: Block | None = None
    path: str | None = None

    @property
    def at_source(self) -> bool:
        return self.block is None and self.path is None


@dataclass
class _Group:
    """Splits that are encoded together, and the blocks that they became."""

    splits: list[Split]
    entries: list[_Entry]


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
        Rows are permuted within their block as it is encoded, drawn from the row group's place in the seed tree; None keeps their order.
    memory_bytes : int
        Blocks to keep in memory.
    cache_bytes : int, optional
        Blocks to keep in files; without a limit by default.
    threads : int
        Threads that may decode Parquet.
    touched : bool
        Whether the statistics count the rows in which each categorical or sparse weight occurs.

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
        threads: int = 1,
        touched: bool = False,
    ):
        self._dataset = dataset
        self._encoder = Encoder(dataset.spec, dataset.roles, dtype)
        self._seed, self._threads = seed, threads
        self._batch_rows = block_rows(dataset.spec.layout, np.dtype(dtype))
        self._memory_left = memory_bytes
        self._disk_left = np.inf if cache_bytes is None else cache_bytes
        self._finish = Finish()
        os.makedirs(directory, exist_ok=True)
        self._directory = tempfile.mkdtemp(prefix="blocks-", dir=directory)
        self._finalizer = weakref.finalize(self, shutil.rmtree, self._directory, ignore_errors=True)
        try:
            self._groups, self.statistics = self._encode_all(splits, touched)
        except BaseException:
            self.close()
            raise

    @property
    def layout(self) -> Layout:
        """The layout of the weights."""
        return self._dataset.spec.layout

    @property
    def rows(self) -> int:
        """Number of rows of this worker."""
        return self.statistics.rows

    @property
    def disk_bytes(self) -> int:
        """Bytes of the block files now."""
        with os.scandir(self._directory) as entries:
            return sum(entry.stat().st_size for entry in entries)

    def __len__(self) -> int:
        return sum(len(group.entries) for group in self._groups)

    def __enter__(self) -> "BlockStore":
        return self

    def __exit__(self, *_):
        self.close()

    def close(self) -> None:
        """Remove the files and forget the blocks; safe to call twice."""
        self._groups = []
        self._finalizer()

    def blocks(self, order: EpochOrder | None = None) -> Iterator[Block]:
        """Yield all rows once, as blocks; a block's arrays are valid until the next block is asked for.

        Parameters
        ----------
        order : EpochOrder, optional
            Without one, blocks and rows come as they were encoded.
        """
        units = list(self._units())
        if order is not None:
            units = [units[i] for i in order.permutation(len(units))]
        for group, entries in units:
            firsts = [0] * len(entries)
            if order is not None:
                draws = order.first_rows(np.array([entry.rows for entry in entries]), group.splits[0].place)
                firsts = list(draws)
            for first, block in zip(firsts, self._open(group, entries), strict=True):
                yield from rotated(block, int(first))

    def relabel(self, mapping: Mapping[Any, float] | None) -> None:
        """Replace labels by what the loss wants, in every block, now and when it is encoded again.

        Parameters
        ----------
        mapping : dict, or None
            From each class, as in ``statistics.label.classes``, to -1 and +1, or 0 .. k-1; None keeps numbers as they are.

        Raises
        ------
        DataError
            When a label is not in the mapping, or mapping is None and labels are strings.
        """
        self._finish.set_labels(mapping, self.statistics.label, self._encoder)
        self._rewrite(self._finish.relabel)

    def impute(self, means: np.ndarray) -> None:
        """Replace missing values (NaN) of the dense part by ``means``, of shape (p,), now and when a block is encoded again."""
        self._finish.means = np.asarray(means)
        self._rewrite(self._finish.impute)

    def _rewrite(self, change: Callable[[Block], Block]) -> None:
        """Change the blocks that are kept."""
        for group in self._groups:
            for entry in group.entries:
                if entry.block is not None:
                    entry.block = change(entry.block)
                elif entry.path is not None:
                    mapped = self._map(group, entry)
                    changed = change(Block(**mapped.arrays))
                    self._write(entry.path, changed)
                    mapped.release()

    # ---- encoding

    def _encode_all(self, splits: Sequence[Split], touched: bool) -> tuple[list[_Group], Statistics]:
        statistics = StatisticsPass(self._dataset.spec, self._encoder.dtype, touched=touched)
        groups = []
        for members in grouped(splits, self._batch_rows):
            group = _Group(members, [])
            for number, block in enumerate(self._encode(members)):
                statistics.add(block)
                group.entries.append(self._keep(_Entry(number, block.rows), block, group))
            groups.append(group)
        return groups, statistics.result(self._encoder.labels)

    def _encode(self, splits: Sequence[Split]) -> Iterator[Block]:
        """Encode a group: a large split into several blocks, several small splits into one."""
        shuffle = None if self._seed is None else generator(self._seed, ROWS, *splits[0].place)
        if len(splits) == 1:
            yield from self._dataset.blocks(splits[0], self._encoder, self._batch_rows, self._threads, shuffle)
            return
        parts = [
            block
            for split in splits
            for block in self._dataset.blocks(split, self._encoder, self._batch_rows, self._threads)
        ]
        if not parts:
            return
        joined = concatenate(parts)
        yield joined if shuffle is None else take_rows(joined, shuffle.permutation(joined.rows))

    def _keep(self, entry: _Entry, block: Block, group: _Group) -> _Entry:
        if block.nbytes <= self._memory_left:
            self._memory_left -= block.nbytes
            entry.block = block
        elif block.nbytes <= self._disk_left:
            entry.path = os.path.join(self._directory, f"{group.splits[0].index}-{group.splits[0].start}-{entry.number}")
            self._disk_left -= self._write(entry.path, block)
        return entry

    def _write(self, path: str, block: Block) -> int:
        try:
            return write_file(path, vars(block), {"rows": block.rows})
        except OSError as error:
            raise ConfigError(
                f"a block of {block.nbytes:,} bytes could not be written below {self._directory}: {error}; limit the files with "
                "cache_bytes, or use a directory with more room"
            ) from error

    # ---- reading

    def _units(self) -> Iterator[tuple[_Group, list[_Entry]]]:
        """What an order permutes: kept blocks one by one; those at the source as they come out of their group."""
        for group in self._groups:
            yield from ((group, [entry]) for entry in group.entries if not entry.at_source)
            away = [entry for entry in group.entries if entry.at_source]
            if away:
                yield group, away

    def _open(self, group: _Group, entries: list[_Entry]) -> Iterator[Block]:
        if entries[0].at_source:
            yield from self._from_source(group, {entry.number for entry in entries})
            return
        for entry in entries:
            if entry.block is not None:
                yield entry.block
                continue
            mapped = self._map(group, entry)
            try:
                yield Block(**mapped.arrays)
            finally:
                mapped.release()

    def _from_source(self, group: _Group, numbers: set[int]) -> Iterator[Block]:
        for number, block in enumerate(self._encode(group.splits)):
            if number in numbers:
                yield self._finish(block)

    def _map(self, group: _Group, entry: _Entry) -> Mapped:
        assert entry.path is not None
        with contextlib.suppress(FileNotFoundError):
            return Mapped(entry.path)
        os.makedirs(self._directory, exist_ok=True)
        for block in self._from_source(group, {entry.number}):
            if block.rows != entry.rows:
                raise DataError(
                    f"{group.splits[0].path or 'the data'} has changed while it was in use: {block.rows} rows where there were {entry.rows}"
                )
            self._write(entry.path, block)
        return Mapped(entry.path)


def block_rows(layout: Layout, dtype: np.dtype) -> int:
    """Rows of a block: a function of the layout only, so that the same data is cut alike everywhere."""
    row = layout.dense * dtype.itemsize + layout.codes * 4 + 3 * dtype.itemsize
    return int(np.clip(BLOCK_BYTES // row, 256, BLOCK_ROWS))


def grouped(splits: Sequence[Split], rows: int) -> Iterator[list[Split]]:
    """Put small neighbouring splits together, up to ``rows`` rows; a larger one stays alone."""
    group: list[Split] = []
    for split in splits:
        if group and sum(member.rows for member in group) + split.rows > rows:
            yield group
            group = []
        group.append(split)
    if group:
        yield group
