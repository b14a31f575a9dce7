"""The processes of an aggregate on this machine: they stay between rounds, and what one of them cannot end another does.

A task belongs to one process, by its position among the payloads, so that the next round finds there what this one has left in
memory. Processes are those of :mod:`.leaf_child`, at the other end of pipes: they never run the user's script again, and
end when the driver does. One that has a task gives signs of life; when it dies, or is silent for too long, it is killed and
replaced, and its task is done again.
"""

import collections
import contextlib
import logging
import queue
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from ...errors import WorkerLost
from ..rank import Failure
from . import frames
from .spawned import Child, pickle_all

# Seconds without a sign of life after which a process that has a task is lost, where the payloads do not say.
SILENCE = 30.0
# Seconds in which a process must have started; how often a task is tried; seconds between two looks at who is silent.
_START, _ATTEMPTS, _LOOK = 60.0, 3, 0.2

_log = logging.getLogger(__name__)


@dataclass
class Seat:
    """One place of the pool: who sits there, and what it has to do in this round.

    Attributes
    ----------
    child : Child or None
    there : bool
        Whether the process has said that it runs.
    tasks : deque of int
        Positions of payloads, the first of which it works at if ``busy``.
    failed : int
        How often the first task has been tried in vain.
    silent : float
        Seconds since its last word, of those in which somebody listened.
    killed : str
        Why the driver has killed it.
    """

    child: Child | None = None
    there: bool = False
    tasks: collections.deque[int] = field(default_factory=collections.deque)
    busy: bool = False
    failed: int = 0
    silent: float = 0.0
    killed: str = ""


class Pool:
    """Processes that do the tasks of one engine's aggregates.

    Parameters
    ----------
    workers, threads : int
        Processes, and threads that each of them may use.
    scratch : str
        Directory of the tasks; the processes remove it when the driver has died.
    """

    def __init__(self, workers: int, threads: int, scratch: str):
        self._workers, self._threads, self._scratch = workers, threads, scratch
        self._turn = threading.Lock()
        self._inbox: queue.Queue[tuple[int, bytes, bytes]] = queue.Queue()
        self._seats: list[Seat] = []

    def fits(self, workers: int, threads: int, scratch: str) -> bool:
        """Whether this is the pool that one would make with these arguments."""
        return (workers, threads, scratch) == (self._workers, self._threads, self._scratch)

    def run(self, function: str, payloads: Sequence[Any], deadline: float) -> list[bytes | Failure]:
        """Do the tasks; return their bytes, or how they failed, in order.

        Raises
        ------
        WorkerLost
            When a process has died, or was silent for ``deadline`` seconds, at one task three times in a row.
        """
        pickled = pickle_all(payloads)
        task = {"size": len(payloads), "function": function, "scratch": self._scratch, "threads": self._threads}
        with self._turn:
            self._seats = self._seats or [Seat() for _ in range(self._workers)]
            for number, seat in enumerate(self._seats):
                seat.tasks.extend(range(number, len(payloads), self._workers))
            try:
                return self._follow({**task, "deadline": deadline}, pickled)
            except BaseException:
                # Also on an interrupt: nobody may answer the next round with what this one asked.
                self._end()
                raise

    def close(self) -> None:
        """Kill and reap the processes; a later round starts others."""
        with self._turn:
            self._end()

    def _end(self) -> None:
        for seat in self._seats:
            if seat.child is not None:
                seat.child.end()
        self._seats, self._inbox = [], queue.Queue()

    def _follow(self, task: dict[str, Any], payloads: Sequence[bytes]) -> list[bytes | Failure]:
        outcomes: dict[int, bytes | Failure] = {}
        looked = time.monotonic()
        while len(outcomes) < len(payloads):
            for number, seat in enumerate(self._seats):
                if seat.tasks and not seat.busy:
                    self._begin(number, seat, task, payloads[seat.tasks[0]])
            with contextlib.suppress(queue.Empty):
                self._handle(*self._inbox.get(timeout=_LOOK), outcomes)
            now = time.monotonic()
            # No more than a look's time: a driver that was stopped itself must hear what has been said meanwhile.
            self._look(min(now - looked, 2 * _LOOK), task["deadline"])
            looked = now
        return [outcomes[index] for index in range(len(payloads))]

    def _begin(self, number: int, seat: Seat, task: dict[str, Any], payload: bytes) -> None:
        if seat.child is None:
            try:
                seat.child = Child(number, self._threads, self._inbox, module="dsgd.train.local.leaf_child")
            except OSError as error:
                raise WorkerLost(f"a process of the pool cannot be started: {error}") from error
            seat.there = False
        seat.busy, seat.silent, seat.killed = True, 0.0, ""
        seat.child.begin({**task, "index": seat.tasks[0]}, payload)

    def _handle(self, number: int, tag: bytes, body: bytes, outcomes: dict[int, bytes | Failure]) -> None:
        seat = self._seats[number]
        seat.there, seat.silent = True, 0.0
        if tag in (frames.RESULT, frames.FAILURE):
            outcomes[seat.tasks.popleft()] = body if tag == frames.RESULT else Failure.from_json(body)
            seat.busy, seat.failed = False, 0
        elif tag not in (frames.HELLO, frames.SIGN):
            self._died(seat)

    def _died(self, seat: Seat) -> None:
        """The end of a process's output, after which nothing more can come from it."""
        assert seat.child is not None
        how = seat.killed or seat.child.how_it_ended()
        seat.child.end()
        seat.child = None
        if not seat.busy:
            return  # Between two rounds: the next task finds another process.
        seat.busy, seat.failed = False, seat.failed + 1
        said = f"the process of task {seat.tasks[0]} {how}"
        if seat.failed == _ATTEMPTS:
            raise WorkerLost(f"{said}; that was the end of {_ATTEMPTS} processes in a row at this task")
        _log.warning("%s; another one does the task again", said)

    def _look(self, passed: float, deadline: float) -> None:
        for seat in self._seats:
            seat.silent += passed
            limit = deadline if seat.there else _START
            if seat.busy and not seat.killed and seat.child is not None and seat.silent > limit:
                word = "silent" if seat.there else "not there"
                seat.killed = f"was {word} for {limit:g} s (frozen, or stuck), and was killed"
                seat.child.kill()
