"""A gang of ranks in threads of this process: payloads are passed by reference, and nothing is copied.

Threads cannot be killed. When one rank fails, the gang is marked as fallen: its peers find out in their next
``allgather`` or ``report``, or by asking ``context.fallen()``, which every long wait between peers should do.
"""

import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import WorkerLost
from .. import rank as ranks
from ..engine import RankContext
from ..place import limit_threads
from ..rank import Failure

# Seconds that ranks of a fallen gang are given to notice; after that they are left to end by themselves.
_FALL = 30.0


class Gang:
    """The meeting place of the ranks: an all-gather with a deadline, a way to the driver, and the mark of a fall."""

    def __init__(self, size: int, deadline: float):
        self.size = size
        self.deadline = deadline
        self.inbox: queue.Queue[tuple[str, int, Any]] = queue.Queue()
        self._fallen = threading.Event()
        self._arrived = threading.Condition()
        self._rounds: dict[int, dict[int, bytes]] = {}
        self._left: dict[int, int] = {}

    def fall(self) -> None:
        """Mark the gang as fallen and wake those who wait."""
        self._fallen.set()
        with self._arrived:
            self._arrived.notify_all()

    def fallen(self) -> bool:
        """Whether a rank has failed."""
        return self._fallen.is_set()

    def gather(self, rank: int, number: int, payload: bytes) -> list[bytes]:
        """Meet the others for the ``number``-th time."""
        with self._arrived:
            arrived = self._rounds.setdefault(number, {})
            arrived[rank] = payload
            self._arrived.notify_all()
            complete = self._arrived.wait_for(lambda: len(arrived) == self.size or self.fallen(), self.deadline)
            if len(arrived) < self.size:
                missing = sorted(set(range(self.size)) - set(arrived))
                reason = f"not there after {self.deadline:g} s" if not complete else "the gang has fallen"
                raise WorkerLost(f"rank {rank} waited for ranks {missing}: {reason}")
            self._left[number] = self._left.get(number, 0) + 1
            if self._left[number] == self.size:
                del self._rounds[number], self._left[number]
            return [arrived[peer] for peer in range(self.size)]

    def member(self, rank: int, **place: Any) -> RankContext:
        """Return the context of one rank."""
        met = 0

        def allgather(payload: bytes) -> list[bytes]:
            nonlocal met
            met += 1
            return self.gather(rank, met, bytes(payload))

        def report(record: dict) -> None:
            if self.fallen():
                raise WorkerLost(f"rank {rank} stops: another rank has failed")
            self.inbox.put(("report", rank, record))

        return RankContext(rank, self.size, allgather=allgather, report=report, fallen=self.fallen, **place)


def run_alone(function: str, payload: Any, on_report: Callable[[dict], None], **place: Any) -> list[bytes]:
    """Run a single rank in the calling thread, so that an interrupt or a debugger meets it where it is."""
    context = RankContext(0, 1, allgather=lambda mine: [bytes(mine)], report=on_report, **place)
    return ranks.results([ranks.run(0, function, context, payload)])


def run_threads(
    function: str,
    payloads: Sequence[Any],
    deadline: float,
    on_report: Callable[[dict], None],
    *,
    threads: int,
    **place: Any,
) -> list[bytes]:
    """Run one rank a payload, each in a thread; reports and results are handled in the calling thread."""
    gang = Gang(len(payloads), deadline)

    def body(rank: int) -> None:
        with limit_threads(threads):
            outcome = ranks.run(rank, function, gang.member(rank, threads=threads, **place), payloads[rank])
        gang.inbox.put(("end", rank, outcome))

    bodies = [
        threading.Thread(target=body, args=(rank,), name=f"dsgd-rank-{rank}", daemon=True) for rank in range(gang.size)
    ]
    for thread in bodies:
        thread.start()
    try:
        outcomes = _drain(gang, on_report)
    finally:
        gang.fall()  # Also on an interrupt, or an error of on_report; harmless when all have ended.
        limit = time.monotonic() + _FALL
        for thread in bodies:
            thread.join(max(0.0, limit - time.monotonic()))
    return ranks.results(outcomes)


def _drain(gang: Gang, on_report: Callable[[dict], None]) -> list[bytes | Failure]:
    """Handle what the ranks say until all have ended, or until the fallen have had their time; causes come first."""
    ended: dict[int, bytes | Failure] = {}
    failures: list[bytes | Failure] = []
    limit = float("inf")
    while len(ended) < gang.size and time.monotonic() < limit:
        try:
            kind, rank, value = gang.inbox.get(timeout=0.5)
        except queue.Empty:
            continue
        if kind == "report":
            on_report(value)
            continue
        ended[rank] = value
        if isinstance(value, Failure):
            failures.append(value)
            limit = min(limit, time.monotonic() + _FALL)
            gang.fall()
    return failures or [ended[rank] for rank in range(gang.size)]
