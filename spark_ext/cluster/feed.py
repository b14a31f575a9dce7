"""A DataFrame's rows as the ranks' data: they cross the JVM once, into a file of each rank, and are read from there.

In comes a DataFrame whose partitions a barrier stage hands to the ranks; each rank writes its partition to an Arrow file on
local disk, which is then a source like any other: read again when blocks do not fit the cache, and removed when the rank ends.
For the rounds of an engine, whose tasks come and go, see :mod:`spark_ext.cluster.shares`.
"""

import contextlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyspark import BarrierTaskContext
from pyspark.sql import DataFrame

from dsgd.data.dataset import Dataset, Split
from dsgd.data.elements import Sample, values_per_row
from dsgd.data.resolve import Roles
from dsgd.data.spec import FeatureSpec
from dsgd.data.where import Where
from dsgd.errors import WorkerLost

from . import worker
from .spool import spool, unfinished

# Seconds for the slowest rank to be fed, after the first: Spark itself ends the stage when one of its tasks is lost.
_FEEDING = 86_400.0


@dataclass(frozen=True)
class Feed:
    """A DataFrame on its way to the ranks of a gang, and the name of its files."""

    name: str
    frame: DataFrame


class FedDataset(Dataset):
    """The rows that a rank was fed; as many splits as there are ranks, and nobody knows their rows before they arrive.

    Parameters
    ----------
    name : str
        Of the feed.
    ranks : int
    roles : Roles
    spec : FeatureSpec
    indicator : (str, bool), optional
        A boolean column, and which of its values to read: training and validation rows come in one feed.
    samples : dict, optional
        Of sparse vector columns, what a few rows have: see :mod:`dsgd.data.elements`.
    """

    divisible = False
    counted = False

    def __init__(
        self,
        name: str,
        ranks: int,
        roles: Roles,
        spec: FeatureSpec,
        indicator: tuple[str, bool] | None = None,
        samples: Mapping[str, Sample] | None = None,
    ):
        self.name = name
        self.ranks = ranks
        self.roles = roles
        self.indicator = indicator
        self.samples = dict(samples or {})
        self._spec = spec

    def __repr__(self):
        return f"FedDataset({self.roles})"

    @property
    def spec(self) -> FeatureSpec:
        """The features."""
        return self._spec

    def with_spec(self, spec: FeatureSpec) -> "FedDataset":
        """Return the same rows with the features of a fitted model."""
        return FedDataset(self.name, self.ranks, self.roles, spec, self.indicator, self.samples)

    def values_per_row(self) -> dict[str, np.ndarray | float]:
        """Of sparse vector columns the values of each element, guessed from a few rows."""
        return values_per_row(self._spec, self.samples)

    def only(self, splits: Sequence[Split]) -> tuple["FedDataset", list[Split]]:
        """Return what a rank needs: all but what a few rows have."""
        return FedDataset(self.name, self.ranks, self.roles, self._spec, self.indicator), list(splits)

    def splits(self) -> list[Split]:
        """One split for each rank; its number of rows stands for "some"."""
        return [Split("", 0, 0, 1, index=rank) for rank in range(self.ranks)]

    def shares(self, size: int) -> list[list[Split]]:
        """Each rank its own."""
        return [[split] for split in self.splits()]

    def read_located(self, split: Split, batch_rows: int, threads: int = 1) -> Iterator[tuple[pa.RecordBatch, Where]]:
        """Yield the rows of a rank, which must be the one that asks."""
        path = spool(self.name, split.index)
        if not os.path.exists(path):
            raise WorkerLost(
                f"the rows of rank {split.index} are gone from {path}; was local disk tidied up while it trained?"
            )
        if not os.path.getsize(path):
            return
        where, first = f"partition {split.index} of the DataFrame", 0
        with pa.OSFile(path) as file, pa.ipc.open_stream(file) as reader:  # mapped pages would stay resident
            for batch in gathered(reader, batch_rows):
                yield self._chosen(batch, Where(where, first))
                first += batch.num_rows

    def _chosen(self, batch: pa.RecordBatch, where: Where) -> tuple[pa.RecordBatch, Where]:
        if self.indicator is None:
            return batch, where
        name, wanted = self.indicator
        chosen = pc.equal(batch.column(batch.schema.get_field_index(name)), wanted).fill_null(False)
        numbers = where.first + np.flatnonzero(chosen.to_numpy(zero_copy_only=False))
        return batch.filter(chosen), Where(where.path, where.first, numbers)


def gathered(batches: Iterator[pa.RecordBatch], rows: int) -> Iterator[pa.RecordBatch]:
    """Put small batches together, up to ``rows`` rows, and cut large ones."""
    kept: list[pa.RecordBatch] = []
    for batch in batches:
        if kept and sum(b.num_rows for b in kept) + batch.num_rows > rows:
            yield _joined(kept)
            kept = []
        for start in range(0, batch.num_rows, rows):
            kept.append(batch.slice(start, rows))
            if kept[-1].num_rows == rows:
                yield _joined(kept)
                kept = []
    if kept:
        yield _joined(kept)


def _joined(batches: list[pa.RecordBatch]) -> pa.RecordBatch:
    table = pa.Table.from_batches(batches).combine_chunks()
    return table.to_batches()[0] if table.num_rows else batches[0]


def run_rank(orders: worker.Orders, name: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write this task's rows to its file, and be a rank of the gang."""
    path = spool(name, BarrierTaskContext.get().partitionId())
    try:
        _write(path, batches)
        yield from worker.run_rank(replace(orders, first_deadline=_FEEDING), iter(()))
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with contextlib.suppress(OSError):
            os.rmdir(os.path.dirname(path))  # The last rank of the machine finds it empty.


def _write(path: str, batches: Iterator[pa.RecordBatch]) -> None:
    first = next(iter(batches), None)
    if first is None:
        with unfinished(path, os.getpid()):
            return
    with unfinished(path, os.getpid()) as file, pa.ipc.new_stream(file, first.schema) as writer:
        writer.write_batch(first)
        for batch in batches:
            writer.write_batch(batch)
