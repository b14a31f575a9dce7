"""A gang of ranks in processes of this machine, which stand and fall together.

All processes are killed and reaped when one fails, when the driver is interrupted, and when the driver itself dies.
"""

import contextlib
import json
import queue
import time
from collections.abc import Callable, Sequence
from typing import Any, NoReturn

from ...errors import WorkerLost
from .. import rank as ranks
from ..again import RankLost
from ..rank import Failure
from . import frames
from .spawned import Child, pickle_all

# Seconds in which the cause may still arrive after a rank has said that it lost a peer.
_GRACE = 2.0


class Gang:
    """The driver's view of the ranks: who has started, who waits in an all-gather, who has ended."""

    def __init__(self, children: list[Child], inbox: queue.Queue, on_report: Callable[[dict], None]):
        self.children = children
        self._inbox = inbox
        self._on_report = on_report
        self._started: set[int] = set()
        self._gathered: dict[int, bytes] = {}
        self._results: dict[int, bytes] = {}
        self._failures: list[Failure] = []

    def run(self, deadline: float) -> list[bytes]:
        """Serve the ranks until all have their results; raise the first cause as soon as one fails."""
        starting, giving_up = time.monotonic() + deadline, float("inf")
        while len(self._results) < len(self.children):
            now = time.monotonic()
            if len(self._started) < len(self.children) and now > starting:
                self._late(deadline)
            if now > giving_up or any(failure.severity < 2 for failure in self._failures):
                self._raise()
            try:
                self._handle(*self._inbox.get(timeout=0.2))
            except queue.Empty:
                continue
            if self._failures:
                giving_up = min(giving_up, time.monotonic() + _GRACE)
        return [self._results[rank] for rank in range(len(self.children))]

    def _raise(self) -> NoReturn:
        """Raise the first cause, once all that the ranks have said is here: RankLost if there is no cause but a rank's end."""
        for child in self.children:
            child.kill()
        for child in self.children:
            child.heard_out()
        with contextlib.suppress(queue.Empty):
            while True:
                _, tag, body = self._inbox.get_nowait()
                if tag == frames.REPORT:
                    self._on_report(json.loads(body))
                elif tag == frames.FAILURE:
                    self._failures.append(Failure.from_json(body))
        try:
            ranks.raise_first(self._failures)
        except WorkerLost as error:
            # A rank that has ended before it had begun does so again.
            if all(failure.severity > 0 and failure.rank in self._started for failure in self._failures):
                raise RankLost(str(error)) from error.__cause__
            raise

    def _late(self, deadline: float) -> NoReturn:
        missing = sorted(set(range(len(self.children))) - self._started)
        raise WorkerLost(f"ranks {missing} had not started after {deadline:g} s; the machine may be overloaded")

    def _handle(self, rank: int, tag: bytes, body: bytes) -> None:
        if tag == frames.HELLO:
            self._started.add(rank)
        elif tag == frames.REPORT:
            self._on_report(json.loads(body))
        elif tag == frames.RESULT:
            self._results[rank] = body
        elif tag == frames.FAILURE:
            self._failures.append(Failure.from_json(body))
        elif tag == frames.GATHER:
            self._gather(rank, body)
        elif rank not in self._results and all(failure.rank != rank for failure in self._failures):
            self._failures.append(self.children[rank].post_mortem())

    def _gather(self, rank: int, payload: bytes) -> None:
        self._gathered[rank] = payload
        if len(self._gathered) == len(self.children):
            everything = frames.pack([self._gathered[peer] for peer in range(len(self.children))])
            self._gathered.clear()
            for child in self.children:
                child.send(frames.GATHERED, everything)


def run_processes(
    function: str,
    payloads: Sequence[Any],
    deadline: float,
    on_report: Callable[[dict], None],
    *,
    scratch: str,
    threads: int,
    left: dict[str, bytes] | None = None,
) -> list[bytes]:
    """Run one rank a payload, each in a process of its own; ``left`` is brought up to date with what they leave here."""
    pickled = pickle_all(payloads)
    inbox: queue.Queue[tuple[int, bytes, bytes]] = queue.Queue()
    children: list[Child] = []
    try:
        for rank, payload in enumerate(pickled):
            children.append(Child(rank, threads, inbox, left=left))
            task = {"rank": rank, "size": len(pickled), "function": function, "scratch": scratch}
            more = {"threads": threads, "deadline": deadline, "leaves": left is not None}
            children[rank].begin({**task, **more}, payload)
        return Gang(children, inbox, on_report).run(deadline)
    finally:
        for child in children:
            child.end()
