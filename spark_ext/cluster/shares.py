"""The shares of a DataFrame's rows, in Spark's Python workers: into files of the executor, and into cells that Spark keeps.

What the driver does with them is in :mod:`spark_ext.cluster.kept`.
"""

import os
from collections.abc import Iterator

import pyarrow as pa
from pyspark import TaskContext

from .spool import spool, unfinished

# Bytes of a cell. Spark hands a plain Python function a hundred rows at a time: that must be little memory.
CELL = 256 << 10
_ARROW = pa.schema([("share", pa.int32()), ("part", pa.int32()), ("data", pa.binary())])
SPARK = "share int, part int, data binary"


def write_share(name: str, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Write a partition to its file, and give it back in cells; one empty cell when there are no rows."""
    task: TaskContext = TaskContext.get()  # type: ignore[assignment]
    share, parts = task.partitionId(), 0
    with unfinished(spool(name, share), task.taskAttemptId()) as file:
        for parts, cell in enumerate(_cells(batches), start=1):
            file.write(cell)
            yield _row(share, parts - 1, cell)
    if not parts:
        yield _row(share, 0, b"")


def _row(share: int, part: int, cell: bytes) -> pa.RecordBatch:
    values = zip(([share], [part], [cell]), _ARROW.types, strict=True)
    return pa.RecordBatch.from_arrays([pa.array(value, kind) for value, kind in values], schema=_ARROW)


class _Sink:
    """A file that a writer writes to, and that is read from its beginning meanwhile."""

    closed = False

    def __init__(self) -> None:
        self.held = bytearray()

    def write(self, data: bytes) -> int:
        self.held += data
        return len(data)

    def flush(self) -> None:
        """There is nothing below."""

    def whole(self, least: int) -> Iterator[bytes]:
        """Take cells from the beginning while ``least`` bytes are there."""
        while len(self.held) >= least:
            yield bytes(self.held[:CELL])
            del self.held[:CELL]


def _cells(batches: Iterator[pa.RecordBatch]) -> Iterator[bytes]:
    """The bytes of an Arrow stream, cut."""
    first = next(iter(batches), None)
    if first is None:
        return
    sink = _Sink()
    with pa.ipc.new_stream(sink, first.schema) as writer:
        writer.write_batch(first)
        yield from sink.whole(CELL)
        for batch in batches:
            writer.write_batch(batch)
            yield from sink.whole(CELL)
    yield from sink.whole(1)


def keep_cell(name: str, share: int, part: int, data: bytes) -> bool:
    """Add a cell to the share's file of this task, unless the executor has the share; True when it was added."""
    path = spool(name, share)
    if os.path.exists(path):
        return False
    os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
    with open(_partial(path), "ab" if part else "wb") as file:
        file.write(data)
    return True


def found(name: str, share: int) -> bool:
    """Whether the share is on this executor's disk: since an earlier task, or since this one has spooled it."""
    path = spool(name, share)
    if os.path.exists(_partial(path)):
        os.replace(_partial(path), path)
    return os.path.exists(path)


def _partial(path: str) -> str:
    task: TaskContext = TaskContext.get()  # type: ignore[assignment]
    return f"{path}.{task.taskAttemptId()}"
