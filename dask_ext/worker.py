"""What runs on Dask's workers: the probe before a gang, the rank itself, and the two tasks of an aggregate.

Everything here is a module-level function, so that it travels by its name. A worker needs to reach the scheduler
and, if the rank's collective so wants, its peers; nothing needs to reach the client.
"""

import contextlib
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import distributed
from distributed.comm import get_address_host
from distributed.core import Status

from dsgd.errors import WorkerLost
from dsgd.train import place, scratch, versions
from dsgd.train import rank as ranks
from dsgd.train.engine import RankContext, no_gang
from dsgd.train.rank import LOST, Failure

from .shipping import unpack

# A rank looks this often, in seconds, whether its gang has fallen while it waits for the others.
_LOOK = 1.0
_ran: set[str] = set()
_swept: set[str] = set()
_ran_lock = threading.Lock()


@dataclass(frozen=True)
class Probe:
    """What a worker says of itself before a gang starts.

    ``process`` tells a worker from its successor at the same address.
    """

    process: str
    host: str
    machine: str
    directory: str
    versions: dict[str, str]


def probe() -> Probe:
    """Describe this worker."""
    worker = distributed.get_worker()
    return Probe(_process(), _host(worker), place.machine(), worker.local_directory, versions.installed())


def _process() -> str:
    return f"{os.getpid()}-{distributed.get_worker().id}"


def _host(worker: distributed.Worker) -> str:
    # Workers inside the client's own process have no address in a network.
    return "127.0.0.1" if worker.address.startswith("inproc:") else get_address_host(worker.address)


@dataclass(frozen=True)
class Orders:
    """What a rank is told by the driver.

    ``process`` is the one that was probed; ``here`` are the ranks of the same machine; ``topic`` brings reports home.
    """

    fit: str
    rank: int
    size: int
    function: str
    process: str
    scratch: str
    here: tuple[int, ...]
    threads: int
    deadline: float
    topic: str

    @property
    def key(self) -> str:
        """The task's key, known to its worker as well."""
        return f"dsgd-rank-{self.fit}-{self.rank}"


def run_rank(orders: Orders, payload: bytes, found: list[Any]) -> tuple[bytes | Failure, int]:
    """Be one rank, with the data of its payload's futures; return its result or its failure, and how many reports it sent."""
    refused = _refuse(orders)
    if refused:
        return Failure(orders.rank, LOST, f"rank {orders.rank} {refused}"), 0
    worker = distributed.get_worker()
    with (
        contextlib.closing(_Link(orders, worker)) as link,
        _removed_if_swept(orders.scratch),
        scratch.shared(orders.scratch, orders.rank, orders.here) as directory,
        place.limit_threads(orders.threads),
    ):
        context = RankContext(
            orders.rank,
            orders.size,
            host=_host(worker),
            machine=place.machine(),
            scratch=directory,
            allgather=link.allgather,
            report=link.report,
            threads=orders.threads,
            memory=memory(worker),
            fallen=link.fallen,
        )
        return ranks.run(orders.rank, "dask_ext.worker:call", orders.function, context, payload, found), link.sent


def memory(worker: distributed.Worker) -> int | None:
    """Resident bytes beyond which Dask begins to spill or pauses the worker; None without a limit."""
    manager = worker.memory_manager
    fractions = [part for part in (manager.memory_spill_fraction, manager.memory_pause_fraction) if part]
    return int(manager.memory_limit * min(fractions, default=1.0)) if manager.memory_limit else None


@contextlib.contextmanager
def _removed_if_swept(path: str) -> Iterator[None]:
    try:
        yield
    finally:
        if path in _swept:
            shutil.rmtree(path, ignore_errors=True)


def call(function: str, context: RankContext, payload: bytes, found: list[Any]) -> bytes:
    """Unpack the payload and call the function, so that an error in either is the rank's."""
    return ranks.find(function)(context, unpack(payload, found))


def _refuse(orders: Orders) -> str | None:
    """Why this task must not run: Dask runs a task again elsewhere, or later, when a worker has died."""
    if _process() != orders.process:
        return "was moved: its worker has died and come back"
    with _ran_lock:
        if orders.key in _ran:
            return "was started a second time: its result was lost"
        _ran.add(orders.key)
    return None


class _Link:
    """How a rank meets the others and talks to the driver: through the scheduler."""

    def __init__(self, orders: Orders, worker: distributed.Worker):
        self._orders = orders
        self._worker = worker
        self._round = 0
        self._inbox: distributed.Queue | None = None
        self.sent = 0

    def report(self, record: dict) -> None:
        """Send a record to the driver, as an event."""
        self.sent += 1
        self._worker.log_event(self._orders.topic, {"fit": self._orders.fit, "record": record})

    def fallen(self) -> bool:
        """Whether the driver has cancelled this task, or is gone (the scheduler then withdraws it), or the worker leaves."""
        if self._worker.status not in (Status.running, Status.paused):
            return True
        task = self._worker.state.tasks.get(self._orders.key)
        return task is None or task.state != "executing"

    def allgather(self, payload: bytes) -> list[bytes]:
        """Meet the others: all put into one queue, rank 0 collects and publishes."""
        self._round += 1
        client = distributed.get_client(timeout=self._orders.deadline)
        limit = time.monotonic() + self._orders.deadline
        inbox = self._inbox = self._inbox or distributed.Queue(meeting(self._orders.fit), client=client)
        board = distributed.Variable(meeting(self._orders.fit), client=client)
        inbox.put([self._orders.rank, bytes(payload)], timeout=self._orders.deadline)
        if self._orders.rank == 0:
            arrived: dict[int, bytes] = {}
            while len(arrived) < self._orders.size:
                rank, part = self._patiently(inbox.get, limit)
                arrived[rank] = part
            board.set([self._round, [arrived[rank] for rank in range(self._orders.size)]])
        while True:
            number, parts = self._patiently(board.get, limit)
            if number == self._round:
                return [bytes(part) for part in parts]
            self._check(limit)
            time.sleep(0.02)  # It still shows the previous meeting.

    def close(self) -> None:
        """Let go of the queue: the scheduler forgets it when all ranks have.

        The driver removes the board, unless it is gone, or was quicker to give up than rank 0 was to write.
        """
        if self._inbox is None:
            return
        self._inbox.close()
        if self._orders.rank == 0 and self.fallen():
            distributed.Variable(meeting(self._orders.fit), client=distributed.get_client()).delete()

    def _patiently(self, get: Callable[..., Any], limit: float) -> Any:
        while True:
            try:
                return get(timeout=_LOOK)
            except TimeoutError:
                self._check(limit)

    def _check(self, limit: float) -> None:
        if self.fallen():
            raise WorkerLost(f"rank {self._orders.rank} stops: another rank has failed, or the driver has left")
        if time.monotonic() > limit:
            raise WorkerLost(
                f"rank {self._orders.rank} waited {self._orders.deadline:g} s for the others; are their workers busy?"
            )


def meeting(fit: str) -> str:
    """Name of the queue and of the variable through which the ranks of a fit meet."""
    return f"dsgd-meeting-{fit}"


def sweep(path: str) -> None:
    """Remove a scratch directory; a rank that still runs, and may write there once more, removes it when it ends."""
    _swept.add(path)
    shutil.rmtree(path, ignore_errors=True)


def run_leaf(
    function: str, payloads: bytes, found: list[Any], place_in: int, index: int, size: int, name: str, threads: int
) -> bytes | Failure:
    """Be one leaf of an aggregate."""
    worker = distributed.get_worker()
    directory = kept(worker.local_directory, name)
    os.makedirs(directory, mode=0o700, exist_ok=True)
    context = RankContext(
        index,
        size,
        host=_host(worker),
        machine=place.machine(),
        scratch=directory,
        allgather=no_gang,
        threads=threads,
        memory=memory(worker),
    )
    with place.limit_threads(threads):
        return ranks.run(index, "dask_ext.worker:call_one", function, context, payloads, found, place_in)


def call_one(function: str, context: RankContext, payloads: bytes, found: list[Any], place_in: int) -> bytes:
    """Unpack all payloads, which share what they have in common, and call the function with this leaf's."""
    return ranks.find(function)(context, unpack(payloads, found)[place_in])


def kept(local_directory: str, name: str) -> str:
    """The directory that the leaves of one engine keep on a worker."""
    return os.path.join(local_directory, f"dsgd-{name}")


def sweep_kept(name: str, dask_worker: distributed.Worker) -> None:
    """Remove what the leaves of an engine have kept on this worker; Dask fills in ``dask_worker``."""
    sweep(kept(dask_worker.local_directory, name))
