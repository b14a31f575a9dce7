"""A gang of ranks on Dask's workers, as the driver sees it: whose turn it is, who lives, what is said, how it ends."""

import contextlib
import queue
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any, ClassVar

import distributed

from dsgd.errors import ConfigError
from dsgd.train import rank as ranks
from dsgd.train.again import RankLost
from dsgd.train.rank import LOST, Failure

from . import stopping, worker
from .orders import Orders
from .watching import TRAVEL, Watch, cancelled

# Seconds: for a cause to arrive after its consequence; for the last reports to arrive after the results.
_GRACE, _LAST_REPORTS = 3.0, 2.0
_LOOK = 0.5  # between two looks whether the worker of a result that travels is there
# Payloads above this many bytes are sent to their worker as data, not inside the task.
LARGE = 1 << 20


@contextlib.contextmanager
def turn(client: distributed.Client, addresses: Sequence[str], deadline: float) -> Iterator[None]:
    """Hold the workers for one fit, so that two gangs never wait for each other's threads.

    A lease on the scheduler per worker, taken in the order of the addresses; the leases of a driver that dies expire.
    """
    limit = time.monotonic() + deadline
    with contextlib.ExitStack() as held:
        for address in sorted(addresses):
            held_by_us = lease(client, address)
            # One call for a short wait, so that a fit that is cancelled does not come to its turn later.
            try:
                stopping.until(
                    lambda seconds, one=held_by_us: one.acquire(timeout=seconds),  # type: ignore[misc]
                    limit - time.monotonic(),
                )
            except TimeoutError:
                raise ConfigError(
                    f"other fits have held the worker {address} for {deadline:g} s; wait for them, give this fit"
                    " workers of its own (DaskEngine(workers=...)), or let it wait longer (turn_deadline=...)"
                ) from None
            held.callback(held_by_us.release)
        yield


def lease(client: distributed.Client, address: str) -> distributed.Semaphore:
    """Return what a fit holds while it has ranks on a worker."""
    return distributed.Semaphore(1, f"dsgd-{address}", scheduler_rpc=client.scheduler, loop=client.loop)


class Mail:
    """Reports of all fits of one client: one topic on the scheduler, so that nothing piles up there with the fits."""

    _of: ClassVar["weakref.WeakKeyDictionary[distributed.Client, Mail]"] = weakref.WeakKeyDictionary()
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, client: distributed.Client):
        self.topic = f"dsgd-reports-{client.id}"
        self._boxes: dict[str, queue.SimpleQueue] = {}
        client.subscribe_topic(self.topic, self._sort)

    @classmethod
    def of(cls, client: distributed.Client) -> "Mail":
        """The mail of a client, opened on first use."""
        with cls._lock:
            if client not in cls._of:
                cls._of[client] = cls(client)
            return cls._of[client]

    def _sort(self, event: tuple[float, dict]) -> None:
        letter = event[1]
        box = self._boxes.get(letter["fit"])
        if box is not None:
            box.put(letter["record"])

    @contextlib.contextmanager
    def box(self, fit: str) -> "Iterator[queue.SimpleQueue]":
        """The reports of one fit, while it runs."""
        self._boxes[fit] = queue.SimpleQueue()
        try:
            yield self._boxes[fit]
        finally:
            del self._boxes[fit]


def bounded(action: Callable[[], Any], deadline: float = 10.0) -> None:
    """Do something that a frozen worker may block, for a limited time, and whatever comes of it: tidying up only."""

    def body() -> None:
        with contextlib.suppress(OSError, ValueError, RuntimeError, TimeoutError):
            action()

    thread = threading.Thread(target=body, daemon=True, name="dsgd-tidy")
    thread.start()
    thread.join(deadline)


def _raise_first(failures: Sequence[Failure]) -> None:
    """Raise the failure that explains the others, if there are any; a death that was seen as RankLost."""
    if not failures:
        return
    first = min(failures, key=lambda failure: failure.severity)
    if first.kind == LOST:
        raise RankLost(first.message)
    ranks.raise_first(failures)


def _fetch(future: distributed.Future, arrived: "queue.SimpleQueue[Any]") -> None:
    """Put a result, or why there is none."""
    try:
        arrived.put(future.result(timeout=TRAVEL))
    except Exception as error:  # Of Dask's: those of the rank are in its result.
        arrived.put(error)


class Gang:
    """Ranks that have been submitted, until all have ended or one has failed; ``note`` takes the records that are no reports."""

    def __init__(
        self,
        client: distributed.Client,
        all_orders: Sequence[Orders],
        addresses: Sequence[str],
        note: Callable[[dict], bool] = lambda record: False,
    ):
        self._client, self._note = client, note
        self._orders = all_orders
        self._addresses = addresses
        self._outcomes: dict[int, bytes | Failure] = {}
        self._sent = 0
        self._received = 0

    def run(self, payloads: Sequence[Any], box: queue.SimpleQueue, on_report: Callable[[dict], None]) -> list[bytes]:
        """Run to the end, which is the results of all or the first cause of a failure."""
        futures = {}
        watch = Watch(self._client, self._addresses)
        try:
            for orders, address, payload in zip(self._orders, self._addresses, payloads, strict=True):
                futures[self._submit(orders, address, payload)] = orders.rank
            self._follow(futures, watch, lambda: self._drain(box, on_report))
        finally:
            watch.stop()
            self._drain(box, on_report)
            # Withdraws what still runs: its ranks see it in context.fallen(). Also on an interrupt.
            bounded(lambda: self._client.cancel(list(futures), force=True))
        self._wait_for_reports(lambda: self._drain(box, on_report))
        outcomes = [self._outcomes[orders.rank] for orders in self._orders]
        _raise_first([outcome for outcome in outcomes if isinstance(outcome, Failure)])
        return ranks.results(outcomes)

    def _submit(self, orders: Orders, address: str, payload: tuple[Any, list]) -> distributed.Future:
        return self._client.submit(
            worker.run_rank,
            orders,
            *payload,
            key=orders.key,
            workers=[address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )

    def _follow(self, futures: dict[distributed.Future, int], watch: Watch, drain: Callable[[], None]) -> None:
        pending, giving_up = set(futures), float("inf")
        while pending:
            stopping.check()
            drain()
            done: set[distributed.Future] = set()
            try:
                done, pending = distributed.wait(list(pending), timeout=0.25, return_when="FIRST_COMPLETED")
            except (TimeoutError, distributed.TimeoutError):
                pass
            except distributed.CancelledError as error:
                raise cancelled(self._client, error, "the ranks were cancelled, by Client.restart() say") from error
            for future in done:
                self._outcomes[futures[future]] = self._outcome(future, futures[future], watch)
            self._bury(watch.lost())
            failures = [outcome for outcome in self._outcomes.values() if isinstance(outcome, Failure)]
            if failures:
                giving_up = min(giving_up, time.monotonic() + _GRACE)
                if time.monotonic() >= giving_up or any(failure.severity < 2 for failure in failures):
                    _raise_first(failures)

    def _outcome(self, future: distributed.Future, rank: int, watch: Watch) -> bytes | Failure:
        if future.status != "finished":
            reason = future.exception(timeout=TRAVEL) if future.status == "error" else future.status
            return Failure(rank, LOST, f"Dask lost the task of rank {rank}: {reason}")
        # From a thread of its own: a result may be large, or its worker die before it is here.
        arrived: queue.SimpleQueue[Any] = queue.SimpleQueue()
        threading.Thread(target=_fetch, args=(future, arrived), daemon=True, name="dsgd-result").start()
        [address] = [place for one, place in zip(self._orders, self._addresses, strict=True) if one.rank == rank]
        while True:
            gone = address in watch.lost()
            try:
                found = arrived.get(timeout=_GRACE if gone else _LOOK)
            except queue.Empty:
                stopping.check()
                if not gone:
                    continue
                found = OSError(f"the worker {address} has left the cluster, or was killed")
            break
        if isinstance(found, BaseException):
            return Failure(rank, LOST, f"the result of rank {rank} was lost on its way: {found!r}")
        outcome, sent = found
        self._sent += sent
        return outcome

    def _bury(self, lost: set[str]) -> None:
        for orders, address in zip(self._orders, self._addresses, strict=True):
            if address in lost and orders.rank not in self._outcomes:
                message = f"the worker {address} of rank {orders.rank} has left the cluster, or was killed"
                self._outcomes[orders.rank] = Failure(orders.rank, LOST, message)

    def _drain(self, box: queue.SimpleQueue, on_report: Callable[[dict], None]) -> None:
        while not box.empty():
            self._received += 1
            record = box.get()
            if not self._note(record):
                on_report(record)

    def _wait_for_reports(self, drain: Callable[[], None]) -> None:
        limit = time.monotonic() + _LAST_REPORTS
        drain()
        while self._received < self._sent and time.monotonic() < limit:
            time.sleep(0.01)
            drain()
