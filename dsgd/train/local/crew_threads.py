"""A crew in threads of this process: payloads are passed by reference, and nothing is copied.

Threads cannot be killed, so no member dies; and one that does not return when the crew is over is left behind, with a line in
the log: it ends by itself, or when it next asks the board, which is gone, or with the process.
"""

import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from .. import crew
from .. import rank as ranks
from ..engine import RankContext, no_gang
from ..place import limit_threads
from .board import LocalBoard

_log = logging.getLogger(__name__)


class Members:
    """The members' threads, what they tell the driver, and the mark that the crew is over."""

    def __init__(self, function: str, payloads: Sequence[Any], threads: int, where: dict[str, Any]):
        self._function, self._payloads, self._threads, self._where = function, payloads, threads, where
        self._roll = crew.Roll(len(payloads), restarts=0)
        self._inbox: queue.Queue[tuple[str, int, Any]] = queue.Queue()
        self._over = threading.Event()
        self._board = LocalBoard()

    def run(self, on_report: Callable[[dict], None]) -> bytes:
        """Run until the lead has returned, and the others have had their time; return its bytes."""
        bodies = [
            threading.Thread(target=self._body, args=(rank,), name=f"dsgd-member-{rank}", daemon=True)
            for rank in self._roll.out()
        ]
        try:
            for body in bodies:
                body.start()
            self._follow(on_report, lambda: self._roll.over)
            self._over.set()
            leaving = time.monotonic() + crew.LEAVE
            self._follow(on_report, lambda: not self._roll.out() or time.monotonic() > leaving)
        finally:
            self._end(bodies)
        assert self._roll.result is not None
        return self._roll.result

    def _body(self, rank: int) -> None:
        context = RankContext(
            rank,
            len(self._payloads),
            allgather=no_gang,
            report=lambda record: self._inbox.put(("report", rank, record)),
            threads=self._threads,
            fallen=self._over.is_set,
            board=self._board,
            **self._where,
        )
        with limit_threads(self._threads):
            outcome = ranks.run(rank, self._function, context, self._payloads[rank])
        self._inbox.put(("end", rank, outcome))

    def _follow(self, on_report: Callable[[dict], None], enough: Callable[[], bool]) -> None:
        while not enough():
            self._roll.check()
            try:
                kind, rank, value = self._inbox.get(timeout=0.2)
            except queue.Empty:
                continue
            if kind == "report":
                on_report(value)
            else:
                self._roll.ended(rank, 0, value)

    def _end(self, bodies: Sequence[threading.Thread]) -> None:
        """Wait a little for the threads of a crew that is over, has failed, or was interrupted."""
        self._over.set()
        limit = time.monotonic() + (0.0 if self._roll.over else crew.LEAVE)
        for body in bodies:
            if body.ident is not None:
                body.join(max(0.1, limit - time.monotonic()))
        self._board.close()
        left = [rank for rank, body in enumerate(bodies) if body.is_alive()]
        if left:
            _log.warning(
                "ranks %s have not returned %g s after the crew ended, and are left behind: a thread cannot be stopped",
                left,
                crew.LEAVE,
            )


def run_alone(function: str, payload: Any, on_report: Callable[[dict], None], **where: Any) -> bytes:
    """Run a single member in the calling thread, so that an interrupt or a debugger meets it where it is."""
    context = RankContext(0, 1, allgather=no_gang, report=on_report, board=LocalBoard(), **where)
    return ranks.results([ranks.run(0, function, context, payload)])[0]


def run_threads(
    function: str,
    payloads: Sequence[Any],
    on_report: Callable[[dict], None],
    *,
    threads: int,
    **where: Any,
) -> bytes:
    """Run one member a payload, each in a thread; return the lead's bytes."""
    return Members(function, payloads, threads, where).run(on_report)
