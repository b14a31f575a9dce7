"""A DataFrame's rows as the shares of an engine's rounds: they cross from the JVM once, and Spark keeps what comes of them.

In comes a DataFrame; each of its partitions becomes a share, whose task writes it to local disk as a rank is fed, and hands
the same bytes back to Spark in small cells, which Spark persists. The leaves of later rounds run over one small row a share,
persisted beside them, so that Spark prefers the executor that has the file. A leaf that runs on another one is missing its
share: the round is then run over the cells, which are spooled there on the way.
"""

import functools
from dataclasses import dataclass

from pyspark import StorageLevel
from pyspark.sql import DataFrame
from pyspark.sql import functions as F  # noqa: N812

from .shares import SPARK, keep_cell, write_share


@dataclass(frozen=True)
class Kept:
    """What Spark keeps of a feed: the cells of all shares, and a row for each share."""

    name: str
    count: int
    cells: DataFrame
    leaves: DataFrame

    @classmethod
    def of(cls, name: str, frame: DataFrame, count: int) -> "Kept":
        """Have Spark keep a frame in so many shares, from the first job on."""
        cells = frame.repartition(count).mapInArrow(functools.partial(write_share, name), SPARK)
        # On disk, since a file on local disk is what is read: memory is for whoever needs it.
        cells = cells.persist(StorageLevel.DISK_ONLY)
        return cls(name, count, cells, cells.where("part = 0").select("share").persist())

    def spooled(self) -> DataFrame:
        """The leaves again, each with its share spooled where it runs; a row a cell."""
        # No Arrow: its batches would be as large as a share. Not deterministic: a file is written, so that it is run.
        keep = F.udf(functools.partial(keep_cell, self.name), "boolean", useArrow=False).asNondeterministic()
        return self.cells.select("share", "part", keep("share", "part", "data").alias("kept"))

    def release(self) -> None:
        """Let Spark forget it."""
        self.leaves.unpersist()
        self.cells.unpersist()
