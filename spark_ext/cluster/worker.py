"""What runs in Spark's Python workers: the rank of a gang, and the two tasks of an aggregate.

Everything here is a module-level function, so that it travels by its name. A rank that fails ends its task with an exception
that carries a description of the failure in its message: Spark then ends the other ranks, and the driver reads it.
"""

import base64
import json
import os
import pickle
import re
import shutil
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyspark import BarrierTaskContext, TaskContext

from dsgd.errors import WorkerLost
from dsgd.train import place, scratch, versions
from dsgd.train import rank as ranks
from dsgd.train.engine import RankContext, no_gang
from dsgd.train.rank import Failure

from . import cells, reports, shares
from .meeting import Meeting
from .spool import local_directory

# Seconds that a rank which lost a peer waits before it says so: Spark reports the first failure only, and the peer's own
# reason is the better one.
_AFTER_THE_CAUSE = 3.0
# The kind of failure of a leaf whose share of the rows is elsewhere: the round is to be run again, with the rows.
MISSING = "missing"
# Characters of a failure at most: what is compressed may be of any length.
_LONGEST = 1 << 24
_MARK = re.compile(r"dsgd-failure\[([A-Za-z0-9+/=]+)\]")


@dataclass(frozen=True)
class Orders:
    """What the ranks of a fit, or the leaves of an aggregate, are told by the driver.

    ``payloads`` are all payloads pickled as one, or None when they come in the rows; ``fan`` is the number of neighbours
    that an aggregate folds together; ``feed`` names the rows that its leaves need on local disk, if they do; ``mailbox`` takes
    the ranks' reports, and their files if they are asked for (``leaves``). Ranks wait ``deadline`` seconds for each other, and
    ``first_deadline`` when they meet for the first time, if that is another.
    """

    fit: str
    size: int
    function: str
    payloads: bytes | None
    versions: dict[str, str]
    how_to_ship: str
    deadline: float = 60.0
    first_deadline: float | None = None
    fan: int = 1
    feed: str | None = None
    mailbox: reports.Mailbox | None = None
    leaves: bool = False


class RankFailed(Exception):
    """Ends a barrier task; its message carries the rank's failure to the driver."""


def find_failure(text: str) -> Failure | None:
    """Read the failure that a rank has put into the message of its exception.

    Examples
    --------
    >>> failure = Failure(0, "DataError", "column 'x' is missing")
    >>> find_failure(f"Job aborted: {mark(failure)}, at line 1") == failure
    True
    """
    found = _MARK.search(text)
    if found is None:
        return None
    try:
        return Failure.from_json(zlib.decompressobj().decompress(base64.b64decode(found[1]), _LONGEST))
    except (ValueError, zlib.error, WorkerLost):  # text that only looks like one
        return None


def mark(failure: Failure) -> str:
    """Text that :func:`find_failure` finds among other text."""
    return f"dsgd-failure[{base64.b64encode(zlib.compress(failure.to_json().encode())).decode()}]"


def run_rank(orders: Orders, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Be one rank of a gang, inside a barrier task."""
    task = BarrierTaskContext.get()
    rank, payload = task.partitionId(), _payload(orders, task.partitionId(), batches)
    reporter = None if orders.mailbox is None else reports.Reporter(orders.mailbox, rank)
    report = reports.nobody if reporter is None else reporter.report
    leave = reporter.leave if reporter is not None and orders.leaves else None
    outcome = ranks.run(rank, "spark_ext.cluster.worker:be_rank", orders, payload, task, report, leave)
    sent = 0 if reporter is None else reporter.close()
    if isinstance(outcome, Failure):
        if outcome.severity == 2:
            time.sleep(_AFTER_THE_CAUSE)
        raise RankFailed(mark(outcome))
    yield from cells.encode(0, rank, outcome)
    yield from cells.encode(reports.SENT, rank, json.dumps(sent).encode())


def be_rank(
    orders: Orders,
    payload: Callable[[], Any],
    task: BarrierTaskContext,
    report: Callable[[dict[str, Any]], None] = reports.nobody,
    leave: Callable[[str, bytes | None], None] | None = None,
) -> bytes:
    """Meet the other ranks, and call the function; any error in here is the rank's."""
    rank = task.partitionId()
    versions.compare(orders.versions, versions.installed(), f"the Python worker of rank {rank}", orders.how_to_ship)
    directory = os.path.join(local_directory(), f"dsgd-{orders.fit}")
    meeting = Meeting(task, orders.deadline, directory, orders.first_deadline)
    threads = max(1, task.cpus())
    with scratch.shared(meeting.directory, rank, meeting.here), place.limit_threads(threads):
        context = RankContext(
            rank,
            orders.size,
            host=meeting.host,
            machine=meeting.machine,
            scratch=meeting.directory,
            allgather=meeting.allgather,
            report=report,
            leave=leave,
            threads=threads,
            memory=memory(),
        )
        return ranks.find(orders.function)(context, payload())


def memory() -> int | None:
    """Bytes that this Python worker may have, where spark.executor.pyspark.memory bounds them; a tenth is left free."""
    megabytes = int(os.environ.get("PYSPARK_EXECUTOR_MEMORY_MB", "-1"))
    return (megabytes << 20) * 9 // 10 if megabytes > 0 else None


def _payload(orders: Orders, position: int, batches: Iterator[pa.RecordBatch]) -> Callable[[], Any]:
    """Read this task's rows now, which Spark wants read, and unpickle later, where an error is the function's."""
    shipped: dict[int, bytes] = {}
    for batch in batches:
        if orders.payloads is None:
            columns = (batch.column(name).to_pylist() for name in ("payload_part", "payload"))
            shipped |= {part: data for part, data in zip(*columns, strict=True) if part is not None}
    whole = orders.payloads if orders.payloads is not None else b"".join(shipped[part] for part in sorted(shipped))
    return lambda: pickle.loads(whole)[position]


def run_leaf(orders: Orders, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Be one leaf of an aggregate."""
    index = TaskContext.get().partitionId()  # type: ignore[union-attr]
    payload = _payload(orders, index, batches)
    if orders.feed is not None and not shares.found(orders.feed, index):
        outcome: bytes | Failure = Failure(index, MISSING, "its share of the rows is not on this executor")
    else:
        outcome = ranks.run(index, "spark_ext.cluster.worker:be_leaf", orders, payload, index)
    yield from cells.encode(index // orders.fan, index, outcome)


def be_leaf(orders: Orders, payload: Callable[[], Any], index: int) -> bytes:
    """Call the function of a leaf; any error in here is the leaf's."""
    versions.compare(orders.versions, versions.installed(), f"the Python worker of task {index}", orders.how_to_ship)
    directory = os.path.join(local_directory(), f"dsgd-{orders.fit}")
    os.makedirs(directory, mode=0o700, exist_ok=True)
    threads = max(1, TaskContext.get().cpus())  # type: ignore[union-attr]
    context = RankContext(
        index,
        orders.size,
        host="127.0.0.1",
        machine=place.machine(),
        scratch=directory,
        allgather=no_gang,
        threads=threads,
        memory=memory(),
    )
    with place.limit_threads(threads):
        return ranks.find(orders.function)(context, payload())


def run_fold(combine: str, fan: int, batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Fold the groups of one partition, each in order; a failure among the results goes up as it is."""
    groups: dict[int, list[bytes | Failure]] = {}
    for (group, _), outcome in cells.decode(cells.rows_of(batches)).items():
        groups.setdefault(group, []).append(outcome)
    for group, outcomes in groups.items():
        yield from cells.encode(group // fan, group, ranks.fold(combine, outcomes))


def sweep(names: Iterable[str], batches: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """Remove directories that ranks or leaves have left in this executor's local directory, and in those of dead ones.

    A standalone worker keeps the directories of executors that have died, beside those that live, until the application ends.
    """
    for _ in batches:
        continue
    here = Path(local_directory())
    for name in names:
        for path in (here / f"dsgd-{name}", *here.parent.parent.glob(f"executor-*/*/dsgd-{name}")):
            shutil.rmtree(path, ignore_errors=True)
    yield from ()
