"""A crew in processes of this machine: each member lives and dies by itself, and is started again when it has died.

Members are processes as the ranks of a gang are (:mod:`.processes`), with the board in the driver's memory at the other
end of their pipes. All are killed and reaped when the crew ends, however it ends.
"""

import json
import queue
import time
from collections.abc import Callable, Sequence
from typing import Any

from ...errors import WorkerLost
from .. import crew
from ..rank import Failure
from . import frames
from .board import LocalBoard
from .spawned import Child, pickle_all


class Members:
    """The driver's view of the members: who has been started, who has died, who has returned."""

    def __init__(self, payloads: Sequence[bytes], roll: crew.Roll, task: dict[str, Any], deadline: float):
        self._payloads, self._roll, self._task, self._deadline = payloads, roll, task, deadline
        self._inbox: queue.Queue[tuple[int, bytes, bytes]] = queue.Queue()
        self._board = LocalBoard()
        self._children: dict[int, Child] = {}
        # Until when those that are being started must have said that they are there.
        self._starting: dict[int, float] = {}

    def run(self, on_report: Callable[[dict], None]) -> bytes:
        """Serve the members until the lead has returned, and the others have had their time; return its bytes."""
        try:
            for rank in self._roll.out():
                self._start(rank)
            self._follow(on_report, lambda: self._roll.over)
            for rank in self._roll.out():
                self._children[rank].send(frames.OVER)
            leaving = time.monotonic() + crew.LEAVE
            self._follow(on_report, lambda: not self._roll.out() or time.monotonic() > leaving)
        finally:
            self._board.close()
            for child in self._children.values():
                child.end()
        assert self._roll.result is not None
        return self._roll.result

    def _follow(self, on_report: Callable[[dict], None], enough: Callable[[], bool]) -> None:
        while not enough():
            self._roll.check()
            self._check_starts()
            try:
                rank, tag, body = self._inbox.get(timeout=0.2)
            except queue.Empty:
                continue
            if tag == frames.REPORT:
                on_report(json.loads(body))
            else:
                self._handle(rank, tag, body)

    def _handle(self, rank: int, tag: bytes, body: bytes) -> None:
        attempt = self._roll.attempts[rank]
        if tag == frames.HELLO:
            self._starting.pop(rank, None)
        elif tag == frames.RESULT:
            self._roll.ended(rank, attempt, body)
        elif tag == frames.FAILURE:
            self._roll.ended(rank, attempt, Failure.from_json(body))
        elif rank not in self._roll.returned:
            # The end of its output, after which nothing more can come from this process.
            died = self._children[rank].post_mortem()
            self._children[rank].end()
            if self._roll.ended(rank, attempt, died):
                self._start(rank)

    def _start(self, rank: int) -> None:
        try:
            child = Child(rank, self._task["threads"], self._inbox, self._board)
        except OSError as error:
            raise WorkerLost(f"the process of rank {rank} cannot be started: {error}") from error
        self._children[rank] = child
        self._starting[rank] = time.monotonic() + self._deadline
        child.begin({**self._task, "rank": rank, "attempt": self._roll.attempts[rank]}, self._payloads[rank])

    def _check_starts(self) -> None:
        late = sorted(rank for rank, limit in self._starting.items() if time.monotonic() > limit)
        if late and not self._roll.over:
            raise WorkerLost(f"ranks {late} had not started after {self._deadline:g} s; the machine may be overloaded")


def run_processes(
    function: str,
    payloads: Sequence[Any],
    deadline: float,
    on_report: Callable[[dict], None],
    restarts: int,
    *,
    scratch: str,
    threads: int,
) -> bytes:
    """Run one member a payload, each in a process of its own; return the lead's bytes."""
    pickled = pickle_all(payloads)
    task = {"size": len(pickled), "function": function, "scratch": scratch, "threads": threads, "deadline": deadline}
    return Members(pickled, crew.Roll(len(pickled), restarts), task, deadline).run(on_report)
