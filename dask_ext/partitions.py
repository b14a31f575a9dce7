"""Partitions that live on Dask's workers, as a dataset: what travels to a rank is futures, and the rows stay where they are.

In comes a Dask DataFrame or Array; each of its partitions is computed, put into Arrow or numpy form and kept by the worker that
has it. A rank reads the partitions of its own worker from that worker's memory; one that was given to another rank, to even
the ranks out, is brought to its worker by Dask.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from dsgd.data.block import Block
from dsgd.data.dataset import Dataset, Split, assign, require_rows
from dsgd.data.elements import Sample, values_per_row
from dsgd.data.encode import Encoder
from dsgd.data.resolve import Roles
from dsgd.data.spec import FeatureSpec
from dsgd.data.where import Where
from dsgd.errors import DataError

from .pieces import open_piece

# A rank may have this much more than its share before rows are moved to even the ranks out.
_UNEVEN = 1.25


@dataclass(frozen=True)
class Partition:
    """One partition: a table, or a matrix with its columns beside it, on the workers ``where``.

    ``data`` is a future in the client; in a rank it is what the future stood for, or None where another rank has the rows.
    """

    data: Any
    rows: int
    where: tuple[str, ...]


def evened(shares: list[list[Split]]) -> list[list[Split]]:
    """Hand over as few partitions as it takes until no rank has much more than its share; the last one may be cut.

    Examples
    --------
    >>> shares = [[Split("", 0, 0, 60, index=0), Split("", 0, 0, 30, index=1)], [Split("", 0, 0, 10, index=2)]]
    >>> [[(split.index, split.start, split.rows) for split in share] for share in evened(shares)]
    [[(0, 0, 60)], [(1, 0, 30), (2, 0, 10)]]
    """
    shares = [list(share) for share in shares]
    load = np.array([sum(split.rows for split in share) for share in shares])
    share_of_all = -(-int(load.sum()) // len(shares))
    while load.max() > _UNEVEN * share_of_all:
        heavy, light = int(load.argmax()), int(load.argmin())
        rows = int(min(load[heavy] - share_of_all, share_of_all - load[light]))
        fitting = [split for split in shares[heavy] if split.rows <= rows]
        split = max(fitting or shares[heavy], key=lambda split: (split.rows if fitting else -split.rows, split.place))
        shares[heavy].remove(split)
        if split.rows > rows:
            shares[heavy].append(replace(split, rows=split.rows - rows))
            split = replace(split, start=split.start + split.rows - rows, rows=rows)
        shares[light].append(split)
        load[heavy], load[light] = load[heavy] - split.rows, load[light] + split.rows
    return [sorted(share, key=lambda split: split.place) for share in shares]


class PartitionsDataset(Dataset):
    """Rows on Dask's workers.

    Parameters
    ----------
    partitions : sequence of Partition
    roles : Roles
    spec : FeatureSpec
    places : sequence of str
        The worker of each rank of the gang that is going to read.
    samples : dict, optional
        Of sparse vector columns, what a few rows have: see :mod:`dsgd.data.elements`.
    """

    divisible = False

    def __init__(
        self,
        partitions: Sequence[Partition],
        roles: Roles,
        spec: FeatureSpec,
        places: Sequence[str] = (),
        samples: Mapping[str, Sample] | None = None,
    ):
        self.partitions = list(partitions)
        self.roles = roles
        self.places = list(places)
        self.samples = dict(samples or {})
        self._spec = spec
        require_rows(sum(partition.rows for partition in partitions), "the Dask collection")

    @property
    def spec(self) -> FeatureSpec:
        """The features."""
        return self._spec

    def with_spec(self, spec: FeatureSpec) -> "PartitionsDataset":
        """Return the same rows with the features of a fitted model."""
        return PartitionsDataset(self.partitions, self.roles, spec, self.places, self.samples)

    def values_per_row(self) -> dict[str, np.ndarray | float]:
        """Of sparse vector columns the values of each element, guessed from a few rows."""
        return values_per_row(self._spec, self.samples)

    def release(self) -> None:
        """Let go of the rows on the workers, in the client: a traceback that is kept would otherwise keep them there."""
        for partition in self.partitions:
            partition.data.release()

    def splits(self) -> list[Split]:
        """One split for each partition that has rows."""
        return [Split("", 0, 0, p.rows, index=i) for i, p in enumerate(self.partitions) if p.rows]

    def shares(self, size: int) -> list[list[Split]]:
        """Give every rank the partitions of its own worker, and others of what some have too much."""
        splits = self.splits()
        return evened(self._local(splits)) if size == len(self.places) else assign(splits, size)

    def _local(self, splits: Sequence[Split]) -> list[list[Split]]:
        """Each partition to the rank with the least rows among those of the workers that hold it, or among all."""
        ranks: dict[str, list[int]] = defaultdict(list)
        for rank, address in enumerate(self.places):
            ranks[address].append(rank)
        shares: list[list[Split]] = [[] for _ in self.places]
        load = np.zeros(len(self.places), np.int64)
        for split in splits:
            here = [rank for address in self.partitions[split.index].where for rank in ranks[address]]
            rank = min(here or range(len(shares)), key=lambda rank: (load[rank], rank))
            shares[rank].append(split)
            load[rank] += split.rows
        return shares

    def only(self, splits: Sequence[Split]) -> tuple["PartitionsDataset", list[Split]]:
        """Return the dataset with the splits' partitions alone."""
        wanted = {split.index for split in splits}
        other = copy(self)
        other.samples = {}
        other.partitions = [p if i in wanted else replace(p, data=None) for i, p in enumerate(self.partitions)]
        return other, list(splits)

    def _open(self, split: Split) -> tuple[Dataset, Split]:
        """Return one partition as a dataset in memory, and the split's rows in it."""
        whole = open_piece(self.partitions[split.index].data, self.roles, self._spec)
        return whole, replace(split, index=0)

    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield a split's rows, named by their place in the partition."""
        whole, inner = self._open(split)
        for batch, where in whole.read_located(inner, batch_rows, threads):
            yield batch, Where(f"partition {split.index}", where.first)

    def labels(self, split: Split, batch_rows: int) -> Iterator[tuple[pa.Array, Where]]:
        """Yield a split's labels."""
        whole, inner = self._open(split)
        for labels, where in whole.labels(inner, batch_rows):
            yield labels, Where(f"partition {split.index}", where.first)

    def blocks(
        self,
        split: Split,
        encoder: Encoder,
        batch_rows: int,
        threads: int = 1,
        shuffle: np.random.Generator | None = None,
    ) -> Iterator[Block]:
        """Yield a split's rows encoded."""
        whole, inner = self._open(split)
        try:
            yield from whole.blocks(inner, encoder, batch_rows, threads, shuffle)
        except DataError as error:
            here = f"partition {split.index} of the Dask collection"
            raise DataError(str(error).replace("the data in memory", here)) from error
