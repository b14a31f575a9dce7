"""A dataset: where rows come from, cut into splits, and read split by split on the workers.

A Dataset knows its columns (a FeatureSpec and the roles of the others) and yields Arrow batches; it reads nothing until it is
asked, is picklable, and is what travels to workers. A Split is a few words: a file, a row group, a range of rows.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from ..errors import DataError
from .block import Block
from .column_blocks import ColumnBlock
from .encode import Encoder
from .layout import Layout
from .resolve import Roles
from .spec import FeatureSpec
from .where import Where


@dataclass(frozen=True)
class Split:
    """Some rows of one row group.

    Attributes
    ----------
    path : str
        The file; empty for data in memory.
    row_group : int
    start : int
        First row within the row group.
    rows : int
        Number of rows, before filters.
    first_row : int
        Row of the file that the row group begins with.
    index : int
        Number of the row group within the dataset: the place in the seed tree from which its rows' shuffle is drawn.
    partition : tuple of (str, value)
        Values of the Hive partition columns.
    """

    path: str
    row_group: int
    start: int
    rows: int
    first_row: int = 0
    index: int = 0
    partition: tuple[tuple[str, Any], ...] = ()

    @property
    def place(self) -> tuple[int, int]:
        """What splits are sorted by."""
        return self.index, self.start

    def cut(self, pieces: int) -> list["Split"]:
        """Divide into ``pieces`` ranges of nearly equal numbers of rows, leaving out empty ones."""
        edges = (self.start + self.rows * i // pieces for i in range(pieces + 1))
        return [replace(self, start=a, rows=b - a) for a, b in pairwise(edges) if b > a]


class Dataset(ABC):
    """Rows with features, and perhaps a label, a weight and an offset; made by ``read_parquet`` and ``as_dataset``."""

    roles: Roles
    # Whether a rank can be given some of the columns of rows that others have too.
    divisible = True
    # Whether the splits tell how many rows there are.
    counted = True
    # The layout by which rows are cut into blocks, where it is not that of these columns: ranks with other columns of the same
    # rows cut them alike.
    cut_like: Layout | None = None

    @property
    @abstractmethod
    def spec(self) -> FeatureSpec:
        """The features; resolved and checked at first use."""

    @abstractmethod
    def with_spec(self, spec: FeatureSpec) -> "Dataset":
        """Return the same rows with the features of a fitted model, for predictions."""

    @abstractmethod
    def splits(self) -> list[Split]:
        """The dataset's rows as splits, in a fixed order."""

    @abstractmethod
    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield a split's rows, at most ``batch_rows`` at a time, each batch with where it is from."""

    def read(self, split: Split, batch_rows: int = 1 << 17, threads: int = 1) -> Iterator[pa.RecordBatch]:
        """Yield a split's rows as Arrow batches of the columns in use, strings as dictionaries."""
        for batch, _ in self.read_located(split, batch_rows, threads):
            yield batch

    def labels(self, split: Split, batch_rows: int) -> Iterator[tuple[pa.Array, Where]]:
        """Yield a split's labels as they are in the source, at most ``batch_rows`` at a time, with where they are from."""
        for batch, where in self.read_located(split, batch_rows):
            yield batch.column(batch.schema.get_field_index(self.roles.label)), where

    def blocks(
        self,
        split: Split,
        encoder: Encoder,
        batch_rows: int,
        threads: int = 1,
        shuffle: np.random.Generator | None = None,
    ) -> Iterator[Block]:
        """Yield a split's rows encoded, at most ``batch_rows`` at a time, each block's rows permuted by ``shuffle``."""
        for batch, where in self.read_located(split, batch_rows, threads):
            block = encoder(batch, where, shuffle) if batch.num_rows else None
            del batch  # so that it is not in memory while the block is used and the next batch is made
            if block is not None:
                yield block
            del block

    def shares(self, size: int) -> list[list[Split]]:
        """Share the splits out among ranks: by :func:`assign`, unless the dataset knows a rank that is nearer to its rows."""
        return assign(self.splits(), size)

    @property
    def anywhere(self) -> bool:
        """Whether any worker can read any split: files can be, rows in memory are where they are."""
        return False

    def of_columns(self, block: ColumnBlock) -> "Dataset":
        """Return the same rows with a block of the columns, cut into blocks of rows as with all of them."""
        other = self.with_spec(block.spec)
        other.cut_like = self.spec.layout
        return other

    def values_per_row(self) -> dict[str, np.ndarray | float]:
        """Of sparse vector columns, as far as it is known without reading rows: values a row, or those of each element."""
        return {}

    def only(self, splits: Sequence[Split]) -> tuple["Dataset", list[Split]]:
        """Return what a worker needs for its splits: data in memory is cut down to their rows, files travel as names."""
        return self, list(splits)


def assign(splits: Sequence[Split], size: int) -> list[list[Split]]:
    """Share splits out among ranks so that their rows balance: the largest first, to the rank with the least.

    Splits stay whole as long as no rank gets more than a tenth above the average; otherwise the rows are shared out evenly,
    in order, and splits are cut where a rank's share ends. A rank may get nothing when there are fewer rows than ranks. The
    answer depends on nothing but the arguments.

    Parameters
    ----------
    splits : sequence of Split
    size : int
        Number of ranks, at least 1.

    Returns
    -------
    list of list of Split
        One list a rank, each in the order of files and rows.

    Examples
    --------
    >>> splits = [Split("a", 0, 0, 600), Split("a", 1, 0, 300, 600, 1), Split("b", 0, 0, 300, 0, 2)]
    >>> shares = assign(splits, 2)
    >>> [sum(split.rows for split in share) for share in shares]
    [600, 600]
    """
    splits = sorted((split for split in splits if split.rows), key=_place)
    if not splits:
        return [[] for _ in range(size)]
    average = sum(split.rows for split in splits) / size
    shares = _largest_first(splits, size)
    if max(sum(split.rows for split in share) for share in shares) > 1.1 * average:
        shares = _cut_evenly(splits, size)
    return [_join(sorted(share, key=_place)) for share in shares]


def _place(split: Split) -> tuple[int, int]:
    return split.place


def _cut_evenly(splits: Sequence[Split], size: int) -> list[list[Split]]:
    """Give each rank the next ``1 / size`` of all rows; a split is cut only where a rank's rows end within it."""
    total = sum(split.rows for split in splits)
    shares: list[list[Split]] = [[] for _ in range(size)]
    first = 0
    for split in splits:
        for rank, share in enumerate(shares):
            low, high = max(first, total * rank // size), min(first + split.rows, total * (rank + 1) // size)
            if low < high:
                share.append(replace(split, start=split.start + low - first, rows=high - low))
        first += split.rows
    return shares


def _largest_first(splits: Sequence[Split], size: int) -> list[list[Split]]:
    shares: list[list[Split]] = [[] for _ in range(size)]
    load = np.zeros(size, np.int64)
    for split in sorted(splits, key=lambda s: (-s.rows, s.place)):
        rank = int(load.argmin())
        shares[rank].append(split)
        load[rank] += split.rows
    return shares


def _join(share: list[Split]) -> list[Split]:
    """Put neighbouring ranges of one row group together again, so that it is decoded once."""
    joined: list[Split] = []
    for split in share:
        last = joined[-1] if joined else None
        if last and (last.index, last.start + last.rows) == split.place:
            joined[-1] = replace(last, rows=last.rows + split.rows)
        else:
            joined.append(split)
    return joined


def require_rows(rows: int, what: str) -> None:
    """Raise DataError when a whole dataset, ``what``, has no rows."""
    if rows == 0:
        raise DataError(f"{what} has no rows; a fit needs at least one (check the path and the filters)")
