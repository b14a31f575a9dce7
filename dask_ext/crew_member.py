"""What runs on Dask's workers for a crew: its members, be they tasks or beside the tasks, and the word that it is over.

A member that serves the others takes no thread from the worker's tasks: an actor, the :class:`Host`, runs it in a thread of
its own. The others are tasks. All talk to the driver and to the board through the scheduler.
"""

import asyncio
import collections
import contextlib
import contextvars
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import distributed
from distributed.core import Status

from dsgd.train import place
from dsgd.train import rank as ranks
from dsgd.train.engine import RankContext, no_gang
from dsgd.train.rank import LOST, Failure

from . import directories, worker
from .crew_board import TaskBoard
from .crew_directory import member_directory
from .crew_orders import MemberOrders
from .watching import TRAVEL

# Seconds for a worker's client to reach the scheduler.
_CONNECT = 60.0
# What Dask raises for a task, data or an actor that it has lost.
LOST_BY_DASK = (
    OSError,
    RuntimeError,
    TimeoutError,
    distributed.TimeoutError,
    distributed.CancelledError,
    distributed.KilledWorker,
)
_lock = threading.Lock()
# The members that live in this process, by their crew.
_here: "collections.defaultdict[str, set[Link]]" = collections.defaultdict(set)

Ended = tuple[bytes | Failure, int]


class Link:
    """How a member hears that its crew is over, and talks to the driver."""

    def __init__(self, orders: MemberOrders, dask_worker: distributed.Worker, wanted: Callable[[], bool]):
        self._orders, self._worker, self._wanted = orders, dask_worker, wanted
        self._over = threading.Event()
        self._lock = threading.Lock()
        self.sent = 0

    def report(self, record: dict | None) -> None:
        """Send a record to the driver, as an event; None says that this member has started."""
        orders = self._orders
        with self._lock:
            self.sent += 1
            letter = {"fit": orders.fit, "record": [orders.rank, orders.attempt, record]}
            self._worker.log_event(orders.topic, letter)

    def end(self) -> None:
        """Note that the crew is over."""
        self._over.set()

    def leaving(self) -> bool:
        """Whether the worker leaves the cluster under a crew that goes on."""
        return not self._over.is_set() and self._worker.status not in (Status.running, Status.paused)

    def fallen(self) -> bool:
        """Whether the crew is over, or the driver has withdrawn this member or is gone, or the worker leaves."""
        return self._over.is_set() or self.leaving() or not self._wanted()


def end(fit: str) -> None:
    """Tell the members of a crew in this process that it is over."""
    with _lock:
        links = list(_here.get(fit, ()))
    for link in links:
        link.end()


def tidy(paths: Sequence[str]) -> None:
    """Remove the scratch directories of a crew from this machine."""
    for path in paths:
        directories.sweep(path)


def run_task(orders: MemberOrders, payload: bytes, found: list[Any]) -> Ended:
    """Be one member, as a task, with the data of its payload's futures; return how it ended and how many letters it sent."""
    refused = worker.refuse(orders)
    if refused:
        return Failure(orders.rank, LOST, f"rank {orders.rank} {refused}"), 0
    here = distributed.get_worker()

    def wanted() -> bool:
        task = here.state.tasks.get(orders.key)
        return task is not None and task.state == "executing"

    return _run(orders, Link(orders, here, wanted), payload, found)


class Host:
    """An actor in whose care members live beside the tasks of its worker, each in a thread of its own.

    Its method is a coroutine, so that it holds neither a thread of the worker's tasks nor that of other actors' methods.
    """

    def __init__(self, key: str):
        self._key = key

    async def run(self, orders: MemberOrders, payload: bytes, keys: Sequence[str]) -> Ended:
        """Be one member, with the data under the keys, and return as :func:`run_task` does."""
        refused = worker.refuse(orders)
        if refused:
            return Failure(orders.rank, LOST, f"rank {orders.rank} {refused}"), 0
        here, loop = distributed.get_worker(), asyncio.get_running_loop()
        link = Link(orders, here, lambda: self._key in here.state.actors)
        ended: asyncio.Future[Ended] = loop.create_future()

        def tell(outcome: Ended) -> None:
            if not ended.done():
                ended.set_result(outcome)

        def body() -> None:
            outcome = _with_data(orders, link, payload, keys)
            with contextlib.suppress(RuntimeError):  # The loop is closed: the worker has gone meanwhile.
                loop.call_soon_threadsafe(tell, outcome)

        # The context tells the thread which worker it belongs to.
        own = contextvars.copy_context()
        threading.Thread(target=own.run, args=(body,), daemon=True, name=f"dsgd-member-{orders.rank}").start()
        return await ended


def _with_data(orders: MemberOrders, link: Link, payload: bytes, keys: Sequence[str]) -> Ended:
    """Fetch what the driver has seen computed, and be the member; when it is lost meanwhile, the member is, too."""
    try:
        client = distributed.get_client(timeout=_CONNECT)
        found = [_future(key, client).result(timeout=TRAVEL) for key in keys]
    except LOST_BY_DASK as error:
        return Failure(orders.rank, LOST, f"the data of rank {orders.rank} were lost: {error!r}"), 0
    return _run(orders, link, payload, found)


def _future(key: str, client: distributed.Client) -> distributed.Future:
    return distributed.Future(key, client=client, state="memory")  # type: ignore[arg-type]  # a string, as in Variable.get


def _run(orders: MemberOrders, link: Link, payload: bytes, found: list[Any]) -> Ended:
    outcome = ranks.run(orders.rank, "dask_ext.crew_member:live", orders, link, payload, found)
    if link.leaving():  # It may have ended because of that, and is to live on elsewhere.
        outcome = Failure(orders.rank, LOST, f"the worker of rank {orders.rank} is leaving the cluster")
    return outcome, link.sent


def live(orders: MemberOrders, link: Link, payload: bytes, found: list[Any]) -> bytes:
    """Do a member's part: all that can go wrong around its function is a failure of its own."""
    here = distributed.get_worker()
    with (
        _listed(orders.fit, link),
        contextlib.closing(TaskBoard(orders.fit, distributed.get_client(timeout=_CONNECT))) as board,
        member_directory(orders.scratch, f"{orders.rank}-{orders.attempt}", link.fallen) as directory,
        place.limit_threads(orders.threads),
    ):
        link.report(None)
        context = RankContext(
            orders.rank,
            orders.size,
            host=worker.host(here),
            machine=place.machine(),
            scratch=directory,
            allgather=no_gang,
            report=link.report,
            threads=orders.threads,
            memory=worker.memory(here),
            fallen=link.fallen,
            attempt=orders.attempt,
            board=board,
        )
        return worker.call(orders.function, context, payload, found)


@contextlib.contextmanager
def _listed(fit: str, link: Link) -> Iterator[None]:
    with _lock:
        _here[fit].add(link)
    try:
        yield
    finally:
        with _lock:
            _here[fit].discard(link)
            if not _here[fit]:
                del _here[fit]
