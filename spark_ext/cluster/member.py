"""What runs in Spark's Python workers for a crew: one member, in a task of its own.

In come the member's orders and, where it is fed, its share of the rows: a row that says nothing but which share it is, or
all the share's cells, where the share is not on this executor's disk yet. It asks the driver to be let in, calls the
function, and takes leave. Out come its bytes or its failure, as rows; a start in whose place another has been let in ends in an
exception instead, so that Spark does not take its end for the member's.
"""

import contextlib
import json
import os
import pickle
import shutil
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pyspark import TaskContext

from dsgd.errors import WorkerLost
from dsgd.train import crew, place, versions
from dsgd.train import rank as ranks
from dsgd.train.engine import RankContext, no_gang
from dsgd.train.rank import LOST, Failure
from dsgd.transport import frames

from . import cells, line, presence, worker
from .reports import MOST, Mailbox
from .spool import local_directory, spool, unfinished

# Seconds between two questions whether to come in, and between two signs of life.
_ASK, _BEAT = 0.05, 0.5


@dataclass(frozen=True)
class Share:
    """A member's share of a DataFrame's rows.

    Attributes
    ----------
    feed : str
        Names the rows.
    number : int
    brought : bool
        Whether the task's rows are the cells of the share.
    """

    feed: str
    number: int
    brought: bool = False


@dataclass(frozen=True)
class Orders:
    """What a member is told by the driver.

    ``payload`` is pickled, as bytes or, where they are many, as Spark's broadcast of them; ``job`` counts the jobs that have
    been started for this member; ``patience`` is how many seconds it waits for an answer of the driver.
    """

    fit: str
    rank: int
    size: int
    function: str
    payload: Any
    versions: dict[str, str]
    how_to_ship: str
    mailbox: Mailbox
    job: int
    patience: float
    share: Share | None = None


def run(orders: Orders, rows: Iterator[Any]) -> Iterator[tuple]:
    """Be a member, inside a task."""
    if not _fed(orders.share, rows):
        missing = Failure(orders.rank, worker.MISSING, "its share of the rows is not on this executor")
        yield from cells.rows(0, orders.rank, missing)
        return
    membership = Membership(orders)
    outcome = ranks.run(orders.rank, "spark_ext.cluster.member:be_member", orders, membership)
    if not membership.leave():
        replaced = f"rank {orders.rank}: attempt {membership.attempt} has been replaced by a later one"
        raise worker.RankFailed(worker.mark(Failure(orders.rank, LOST, replaced)))
    yield from cells.rows(0, orders.rank, outcome if orders.rank == 0 or isinstance(outcome, Failure) else b"")


def _fed(share: Share | None, rows: Iterator[Any]) -> bool:
    """Whether the share, if there is one, is on this executor's disk, now that the task's rows have been read."""
    if share is None or not share.brought:
        for _ in rows:  # Spark would not use a Python worker again that has not read them.
            continue
        return share is None or os.path.exists(spool(share.feed, share.number))
    path = spool(share.feed, share.number)
    with unfinished(path, _task().taskAttemptId()) as file:
        for row in rows:
            file.write(row.data)
    return True


def _task() -> TaskContext:
    return TaskContext.get()  # type: ignore[return-value]


def be_member(orders: Orders, membership: "Membership") -> bytes:
    """Come in, and call the function; any error in here is the member's."""
    where = f"the Python worker of rank {orders.rank}"
    versions.compare(orders.versions, versions.installed(), where, orders.how_to_ship)
    told = membership.enter()
    if told is None:
        return b""  # There is nothing to do: the crew is over, or another start is the member.
    os.makedirs(told["directory"], mode=0o700, exist_ok=True)
    payload = orders.payload if isinstance(orders.payload, bytes) else orders.payload.value
    threads = max(1, _task().cpus())
    context = RankContext(
        orders.rank,
        orders.size,
        host=told["host"],
        machine=place.machine(),
        scratch=told["directory"],
        allgather=no_gang,
        report=membership.report,
        threads=threads,
        memory=worker.memory(),
        fallen=membership.fallen,
        attempt=told["attempt"],
        board=membership,
    )
    with place.limit_threads(threads):
        return ranks.find(orders.function)(context, pickle.loads(payload))


class Membership:
    """A start's conversation with the driver: coming in, signs of life, the board, reports, and leave.

    Parameters
    ----------
    orders : Orders

    Attributes
    ----------
    attempt : int or None
        Once it has come in.
    """

    def __init__(self, orders: Orders):
        self._orders = orders
        self.attempt: int | None = None
        self._directory = ""
        self._line: line.Line | None = None
        self._fallen, self._leaving = threading.Event(), threading.Event()
        self._beating = threading.Thread(target=self._beat, daemon=True, name="dsgd-beat")
        self._reported = 0

    def enter(self) -> dict[str, Any] | None:
        """Ask until the driver has decided; return what it says of the place, or None for a start that is not wanted."""
        self._line = line.Line(self._orders.mailbox, self._orders.rank, self._orders.patience)
        request = {"verb": line.START, "start": self._start()}
        while True:
            told, _ = self._line.ask(request)
            if told["state"] != presence.WAIT:
                break
            time.sleep(_ASK)
        if told["state"] == presence.GONE:
            return None
        self.attempt, self._directory = told["attempt"], told["directory"]
        self._beating.start()
        return told

    def _start(self) -> dict[str, Any]:
        task = _task()
        return {
            "member": self._orders.rank,
            "job": self._orders.job,
            "task": task.taskAttemptId(),
            "stage": task.stageId(),
            "machine": place.machine(),
            "directory": os.path.join(local_directory(), f"dsgd-{self._orders.fit}"),
        }

    def _beat(self) -> None:
        """Show the driver that this start lives, and hear whether the crew does; on a line of its own, as answers may be slow."""
        beats = line.Line(self._orders.mailbox, self._orders.rank, self._orders.patience)
        try:
            while not self._leaving.wait(_BEAT):
                answer, _ = beats.ask(self._header(line.BEAT))
                if answer["over"] or not answer["stands"]:
                    break
        except WorkerLost:
            pass  # Without the driver there is no crew.
        finally:
            self._fallen.set()
            beats.close()

    def _header(self, verb: str, **more: Any) -> dict[str, Any]:
        return {"verb": verb, "member": self._orders.rank, "attempt": self.attempt, **more}

    def fallen(self) -> bool:
        """Whether the crew is over, as far as this start is concerned."""
        return self._fallen.is_set()

    def post(self, name: str, value: bytes) -> None:
        """Write to the board; see :class:`dsgd.train.engine.Board`."""
        self._word(self._header(line.POST, name=name), crew.check_word(name, value))

    def read(self, name: str) -> bytes | None:
        """Read from the board; see :class:`dsgd.train.engine.Board`."""
        answer, value = self._word(self._header(line.READ, name=name), b"")
        return value if answer["found"] else None

    def _word(self, header: dict[str, Any], value: bytes) -> tuple[dict[str, Any], bytes]:
        assert self._line is not None
        answer, found = self._line.ask(header, value)
        if not answer["stands"]:
            raise WorkerLost(
                f"rank {self._orders.rank} has been started again elsewhere; attempt {self.attempt} has no board any more"
            )
        return answer, found

    def report(self, record: dict[str, Any]) -> None:
        """Send a record to the driver, if it is short and there have not been too many."""
        data = json.dumps(record).encode()
        if self._line is not None and len(data) <= frames.INLINE and self._reported < MOST:
            self._reported += 1
            self._line.tell(self._header(line.REPORT), data)

    def leave(self) -> bool:
        """Take leave, tidy up as the last one of this machine, and return whether this start counted to the end."""
        self._leaving.set()
        if self._line is None:
            return True
        told = {"stands": True, "last": False}
        if self.attempt is not None:
            with contextlib.suppress(WorkerLost):  # The outcome travels by Spark, which has its own way.
                told, _ = self._line.ask(self._header(line.LEAVE))
            self._beating.join(2 * _BEAT)
        self._line.close()
        if told["last"]:
            shutil.rmtree(self._directory, ignore_errors=True)
        return told["stands"]
