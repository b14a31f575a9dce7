"""A worker's connections to all shards, and what becomes of its requests when a shard dies.

Requests are answered in the order in which they were made. A shard whose connection breaks is looked for on the board, where its
next attempt leaves its address; whatever has not been answered is sent again then, and a shard applies what it has had already
no second time.
"""

import json
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence

import zmq

from ..errors import DSGDError, WorkerLost
from ..transport.endpoint import Security
from . import wire
from .dealer import Dealer
from .host import NOTHING_KEPT
from .wire import Message

_log = logging.getLogger("dsgd.server")
_SLICE = 0.05  # seconds between looks at the connections, the deadline and the engine's word


class CrewOver(DSGDError):
    """Nobody waits for this member any more: the crew has ended, or a later attempt has taken its place."""


def place_of(shard: int) -> str:
    """The name under which a shard's address is on the board."""
    return f"shard-{shard}"


def address_on(read: Callable[[str], bytes | None], shard: int) -> tuple[str, int] | None:
    """Address and attempt of a shard, if it has been started."""
    value = read(place_of(shard))
    if value is None:
        return None
    found = json.loads(value)
    return str(found["address"]), int(found["attempt"])


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
        Seconds without an answer, or for a shard to come back.
    over : callable
        Whether the crew is over.

    Attributes
    ----------
    on_new : callable
        ``on_new(shard) -> Message or None``: what a shard that has been started is told first.
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
    ):
        self._security, self._read, self.worker, self.attempt = security, read, worker, attempt
        self.shards, self._deadline, self._over = list(shards), deadline, over
        self._context = zmq.Context(io_threads=1)
        self._dealers: dict[int, Dealer] = {}
        self._attempts: dict[int, int] = {}
        self._unanswered: dict[int, deque[Message]] = {shard: deque() for shard in self.shards}
        self._answers: dict[int, deque[Message]] = {shard: deque() for shard in self.shards}
        self._kept: dict[int, Message] = {}
        self.on_new: Callable[[int], Message | None] = lambda shard: None

    # ---- requests

    def request(self, shard: int, message: Message) -> None:
        """Send a message that will be answered."""
        self._unanswered[shard].append(message)
        self._send(shard, message)

    def tell(self, shard: int, message: Message) -> None:
        """Send a message that is not answered, and that may be lost."""
        self._send(shard, message)

    def answer(self, shard: int) -> Message:
        """Wait for the answer to the oldest unanswered request.

        Raises
        ------
        WorkerLost
            When the shard is silent past the deadline, or does not come back.
        CrewOver
        """
        until = time.monotonic() + self._deadline
        while not self._answers[shard]:
            if self._take(shard, _SLICE):
                until = time.monotonic() + self._deadline
                continue
            self._check()
            dealer = self._dealers.get(shard)
            lost = "has not been reached" if dealer is None else dealer.lost()
            if lost:
                self._revive(shard, lost)
                until = time.monotonic() + self._deadline
            elif time.monotonic() > until:
                raise WorkerLost(
                    f"parameter shard {shard} at {self._dealers[shard].address} has not answered worker {self.worker} for "
                    f"{self._deadline:g} s; it may be overloaded: give it less to do (larger batches, more shards) or more "
                    "time (deadline=...)"
                )
        self._unanswered[shard].popleft()
        return self._answers[shard].popleft()

    def join(self) -> int:
        """Take part; return the number of the next push."""
        for shard in self.shards:
            self.request(shard, self._offering(wire.JOIN, shard))
        return max(self.answer(shard).clock for shard in self.shards)

    def leave(self) -> None:
        """Have nothing to do for a while."""
        for shard in self.shards:
            self.tell(shard, Message(wire.LEAVE, self.worker, self.attempt))

    # ---- connections

    def visit(self) -> None:
        """Connect to shards that have been started since, without waiting for anybody."""
        for shard in self.shards:
            found = address_on(self._read, shard)
            if found is not None and found[1] > self._attempts.get(shard, -1):
                self._connect(shard)

    def _offering(self, kind: int, shard: int) -> Message:
        kept = self._kept.get(shard)
        return Message(kind, self.worker, self.attempt, version=NOTHING_KEPT if kept is None else kept.version)

    def _send(self, shard: int, message: Message) -> None:
        if shard not in self._dealers:
            self._connect(shard)
        self._dealers[shard].send(message)  # What a broken connection does not take is sent again by whoever waits.

    def _connect(self, shard: int, beyond: str | None = None) -> None:
        """Connect to a shard as soon as its address is on the board; not to the address ``beyond`` of a dead attempt."""
        until = time.monotonic() + self._deadline
        while True:
            found = address_on(self._read, shard)
            if found is not None and (found[0] != beyond or self._attempts.get(shard, 0) < found[1]):
                break
            self._check()
            if time.monotonic() > until:
                raise WorkerLost(f"parameter shard {shard} has not been there for {self._deadline:g} s")
            time.sleep(_SLICE)
        if shard in self._dealers:
            self._dealers[shard].close()
        address, self._attempts[shard] = found
        self._dealers[shard] = Dealer(self._context, self._security, address)
        first = self.on_new(shard)
        if first is not None:
            self._dealers[shard].send(first)

    def _revive(self, shard: int, why: str) -> None:
        """Connect anew, and say again what has not been answered."""
        dealer = self._dealers.get(shard)
        if dealer is not None and not dealer.accepted and "refused" in why:
            raise WorkerLost(f"parameter shard {shard} at {dealer.address} {why}")
        # A connection that stood may have broken by itself; one that was never made leads nowhere.
        tried = None if dealer is None or dealer.accepted else dealer.address
        _log.info("worker %d looks for parameter shard %d, which %s", self.worker, shard, why)
        time.sleep(_SLICE)
        self._connect(shard, beyond=tried)
        self._dealers[shard].send(self._offering(wire.OFFER, shard))
        for message in self._unanswered[shard]:
            self._dealers[shard].send(message)

    def _take(self, shard: int, seconds: float) -> bool:
        """Take one message in; whether there was one that this worker waits for."""
        dealer = self._dealers.get(shard)
        if dealer is None:
            return False
        try:
            message = dealer.receive(seconds)
        except ValueError as error:
            _log.warning("worker %d dropped a message of parameter shard %d: %s", self.worker, shard, error)
            return False
        if message is None or self._aside(shard, message):
            return False
        self._answers[shard].append(message)
        return True

    def _aside(self, shard: int, message: Message) -> bool:
        """Whether a message is none of the answers that are waited for; it has been seen to."""
        if message.kind == wire.REFUSED:
            raise CrewOver(f"worker {self.worker} has been started again: attempt {message.clock} has taken its place")
        if message.kind == wire.KEEP:
            self._kept[shard] = message._replace(arrays=[message.arrays[0].copy()])
        elif message.kind == wire.RESTORE:
            kept = self._kept.get(shard)
            if kept is not None:
                self._dealers[shard].send(kept._replace(kind=wire.RESTORE, worker=self.worker, attempt=self.attempt))
        else:
            return False
        return True

    def _check(self) -> None:
        if self._over():
            raise CrewOver(f"worker {self.worker} stops: the crew is over")

    def close(self) -> None:
        """Send what is under way, for a bounded time, and release everything."""
        for dealer in self._dealers.values():
            dealer.close(linger=1.0)
        self._context.destroy(linger=1000)
