"""A worker's connections to all shards, and what becomes of its requests when a shard dies.

A shard whose connection breaks is looked for on the board, where its next attempt leaves its address, and what has not been
answered is sent there. While one shard is waited for, the others are looked after: one that comes back asks its workers for a
snapshot, and cannot tell who is only waiting elsewhere.
"""

import logging
import time
from collections.abc import Callable, Sequence

import zmq

from ..errors import DSGDError, WorkerLost
from ..transport.endpoint import Security
from . import wire
from .address import address_on
from .line import Line
from .wire import Message

_log = logging.getLogger("dsgd.server")
# Seconds between looks at the connection that is waited for, and the engine's word; at all connections; at the board, for shards
# that have been started again without a word; between two tries of an address.
_SLICE, _LOOK, _BOARD, _RETRY = 0.05, 0.25, 5.0, 1.0
# Deadlines for which a shard may say that it waits for others: they may have rows to encode, and are watched by the lead.
_LONGEST = 10


class CrewOver(DSGDError):
    """Nobody waits for this member any more: the crew has ended, or a later attempt has taken its place."""


class Client:
    """The shards, as one worker (or the lead) sees them.

    Parameters
    ----------
    security : Security
    read : callable
        The board's ``read``.
    worker, attempt : int
    shards : sequence of int
        Those to talk to.
    deadline : float
        Seconds without an answer or a sign of life, or for a shard to come back. Ten times as long may a shard say that an
        answer waits for other workers.
    over : callable
        Whether the crew is over.
    machine : str
        Identifies the operating system instance; shards of the same one have a nearer address.

    Attributes
    ----------
    waited : float
        Seconds for which it has waited for answers so far.
    on_new : callable
        ``on_new(shard) -> Message or None``: what a shard is told first at every new connection.
    """

    def __init__(
        self,
        security: Security,
        read: Callable[[str], bytes | None],
        worker: int,
        attempt: int,
        shards: Sequence[int],
        deadline: float,
        over: Callable[[], bool],
        machine: str = "",
    ):
        self._machine = machine
        self._read, self.worker, self.attempt = read, worker, attempt
        self.shards, self._deadline, self._over = list(shards), deadline, over
        self._context = zmq.Context(io_threads=1)
        self._lines = {shard: Line(self._context, security, shard, worker, attempt) for shard in self.shards}
        self._looked = self._read_at = time.monotonic()
        self.waited = 0.0
        self.on_new: Callable[[int], Message | None] = lambda shard: None

    # ---- requests

    def request(self, shard: int, message: Message) -> None:
        """Send a message that will be answered."""
        line = self._lines[shard]
        self._reach(line)
        line.unanswered.append(message)
        line.send(message)

    def tell(self, shard: int, message: Message) -> None:
        """Send a message that is not answered, and is lost where there is no connection."""
        self._reach(self._lines[shard])
        self._lines[shard].send(message)

    def answer(self, shard: int) -> Message:
        """Wait for the answer to the oldest unanswered request.

        Raises
        ------
        WorkerLost
            When the shard is silent past the deadline, or does not come back.
        CrewOver
        """
        began = time.monotonic()
        try:
            return self._answer(self._lines[shard], began)
        finally:
            self.waited += time.monotonic() - began

    def _answer(self, line: Line, began: float) -> Message:
        others = False
        until = began + self._deadline
        self._look_after()
        while not line.answers:
            message, now = line.take(_SLICE), time.monotonic()
            if message is not None:
                self._refused(message)
                if message.kind == wire.WAIT:
                    others, until = True, min(now, began + _LONGEST * self._deadline) + self._deadline
                continue
            self._check()
            if self._look_after(line):
                until = now + self._deadline
            elif now > until:
                raise self._silent(line, now - began, others)
        line.unanswered.popleft()
        return line.answers.popleft()

    def join(self) -> int:
        """Take part; return the number of the next push."""
        for shard in self.shards:
            self.request(shard, self._lines[shard].offering(wire.JOIN))
        return max(self.answer(shard).clock for shard in self.shards)

    def leave(self) -> None:
        """Have nothing to do for a while; return when all shards know."""
        for shard in self.shards:
            self.request(shard, Message(wire.REST, self.worker, self.attempt))
        for shard in self.shards:
            self.answer(shard)

    # ---- connections

    def visit(self) -> None:
        """Connect to shards that have been started since, or whose connection has broken, without waiting for anybody."""
        for line in self._lines.values():
            self._refused(*line.drain())
            self._mend(line, look=True)

    def _reach(self, line: Line) -> None:
        """Connect to a shard for the first time, if it is there."""
        if line.reached < 0:
            self._mend(line)

    def _look_after(self, awaited: Line | None = None) -> bool:
        """See to what has come from any shard, and to connections that have broken, every so often.

        Returns
        -------
        bool
            Whether the shard that is waited for has been started again.
        """
        now, fresh = time.monotonic(), False
        if now - self._looked < _LOOK:
            return False
        self._looked = now
        look = now - self._read_at > _BOARD
        if look:
            self._read_at = now
        for line in self._lines.values():
            if line.reached >= 0 or line is awaited:
                self._refused(*line.drain())
                fresh |= self._mend(line, look) and line is awaited
        return fresh

    def _mend(self, line: Line, look: bool = False) -> bool:
        """Connect anew where a connection has broken, or the shard has been started again; return whether it has been."""
        why, now = line.broken(), time.monotonic()
        if why is None and not look:
            return False
        found = self._find(line.shard)
        if found is None:
            return False
        fresh = found[1] > line.reached
        if fresh or (why is not None and now - line.tried > _RETRY):
            _log.info("worker %d connects to %s, which %s", self.worker, line.place, why or "has been started again")
            line.connect(*found, self.on_new(line.shard))
        return fresh

    def _find(self, shard: int) -> tuple[str, int] | None:
        try:
            return address_on(self._read, shard, self._machine)
        except (
            WorkerLost
        ):  # The board is out of reach, for a while or for ever: there are deadlines for what depends on it.
            self._check()
            return None

    def _refused(self, *messages: Message) -> None:
        for message in messages:
            if message.kind == wire.REFUSED:
                raise CrewOver(
                    f"worker {self.worker} has been started again: attempt {message.clock} has taken its place"
                )

    def _check(self) -> None:
        if self._over():
            raise CrewOver(f"worker {self.worker} stops: the crew is over")

    def _silent(self, line: Line, seconds: float, others: bool) -> WorkerLost:
        why, tried = line.broken(), f"worker {self.worker} has tried for {seconds:.3g} s"
        if why is not None:
            return WorkerLost(
                f"{line.place} {why}, and {tried} to reach it, or a later attempt of it: is its machine up, and do the workers "
                "reach it, and its ports (interface=..., port_range=...)?"
            )
        if others:
            return WorkerLost(
                f"{line.place} waits for workers that are alive and push nothing, and {tried}; give them less to do between two "
                "pushes (smaller batches, more workers), or more time (deadline=...)"
            )
        return WorkerLost(
            f"{line.place} has not answered, and {tried}; it may be overloaded: give it less to do (larger batches, more "
            "shards) or more time (deadline=...)"
        )

    def close(self) -> None:
        """Send what is under way, for a bounded time, and release everything."""
        for line in self._lines.values():
            line.close(linger=1.0)
        self._context.destroy(linger=1000)
