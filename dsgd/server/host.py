"""A shard among its workers: messages in, messages out, and how it comes back when its process has died.

A shard is told what it is by a message of the lead (START). It hands a snapshot to one of its workers every so often; when it
is started again, the workers that come back say what they hold, and it goes on from the newest. No disk, no machine is
needed but those that the fit has anyway; what was pushed after the snapshot is lost.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

import numpy as np

from ..data.arrays import pack, unpack
from ..errors import DataError
from ..foreign import is_count
from . import wire
from .events import Answer
from .shard import ParameterShard
from .translate import PULL, PUSH, check_counts, events_of, message_of
from .wire import BadMessage, Message

_log = logging.getLogger("dsgd.server")
# Seconds for workers to come back to a shard that has been started again, before it asks those that have for a snapshot.
_COME_BACK = 5.0
# Seconds between two signs of life to workers that wait for an answer.
_SIGN = 0.5
NOTHING_KEPT = -1
# How often a rate may be divided.
_MOST_LOWERED = 1000


class ShardHost:
    """One shard's side of the conversation.

    Parameters
    ----------
    number, attempt : int
        Of the shard.
    make : callable
        ``make(start: bytes) -> ParameterShard``, from what START brings.
    workers : int
        How many there are.
    snapshot_seconds : float
        Between two snapshots.
    extra : callable
        ``extra() -> dict``: JSON-ready, kept beside the shard's snapshots.
    clock : callable
        Seconds, monotonic.
    patience : float
        Seconds for a worker to hand over the snapshot that it has been asked for; and for workers that have not come back, while
        nobody has one: to begin anew is to lose everything.

    Attributes
    ----------
    shard : ParameterShard or None
        Once it is known which.
    start : bytes or None
        What START has brought.
    recovered : dict or None
        The ``extra`` of the snapshot from which it goes on, empty where there was none; None before that is known.
    """

    def __init__(
        self,
        number: int,
        attempt: int,
        make: Callable[[bytes], ParameterShard],
        workers: int,
        snapshot_seconds: float,
        extra: Callable[[], dict[str, Any]] = dict,
        clock: Callable[[], float] = time.monotonic,
        patience: float = 20.0,
    ):
        self.number, self.attempt, self._make = number, attempt, make
        self._workers, self._seconds, self._extra, self._now = workers, snapshot_seconds, extra, clock
        self._patience = patience
        self.shard: ParameterShard | None = None
        self.start: bytes | None = None
        self._told = False
        self.recovered: dict[str, Any] | None = None
        self._began, self._kept_at, self._signed_at, self._asked_at = clock(), -np.inf, clock(), 0.0
        # For each worker that is there the version of the snapshot that it holds, and its attempt.
        self._offers: dict[int, tuple[int, int]] = {}
        self._asked: set[tuple[int, int]] = set()
        self._awaited: int | None = None
        self._keeper = -1
        self._waiting: list[Message] = []

    @property
    def recovering(self) -> bool:
        """Whether it waits for its workers to come back."""
        return self.attempt > 0 and self.recovered is None

    def begin(self, start: bytes) -> list[Message]:
        """Take up what START brings, if it has not been taken up before."""
        if self.start is None:
            self.start = start
        return self._open()

    def handle(self, message: Message) -> list[Message]:
        """Take a message; return those to send.

        Raises
        ------
        BadMessage
            For what cannot be for this shard; nothing has come of it.
        """
        check_counts(message)
        if message.kind in (wire.JOIN, wire.OFFER):
            self._note(message)
        if message.kind == wire.RESTORE:
            return self._restore(message)
        if message.kind == wire.START:
            if not message.arrays:
                raise BadMessage("it is to say what this shard is, and says nothing")
            self._told = self.start is None
            return self.begin(message.arrays[0].tobytes())
        if self.shard is None:
            return self._wait(message)
        if message.kind == wire.STATE:
            return [self._state(message)]
        if message.worker >= self._workers:
            if message.kind == wire.OFFER:  # The lead's, which holds nothing.
                return []
            raise BadMessage(f"it is of worker {message.worker}, and there are {self._workers}")
        answers: list[Answer] = []
        for event in events_of(message, self.shard.weights):
            answers += self.shard.handle(event)
        messages = [message_of(answer) for answer in answers]
        if message.kind == wire.REST or (message.kind == wire.STEP and not message.flags & PULL):
            messages.append(Message(wire.NOTED, message.worker, message.attempt, clock=message.clock))
        return messages

    def tick(self) -> list[Message]:
        """What is to be sent because time has passed."""
        messages, now = self._open() if self.shard is None else [], self._now()
        if now - self._signed_at >= _SIGN:
            self._signed_at = now
            messages += self._signs()
        if now - self._kept_at >= self._seconds and self.shard is not None and self._offers:
            messages += self.keep()
            self._kept_at = self._now()
        return messages

    def keep(self) -> list[Message]:
        """Hand a snapshot to the next of the workers."""
        if self.shard is None or self.start is None or not self._offers:
            return []
        present = sorted(self._offers)
        self._keeper = next((worker for worker in present if worker > self._keeper), present[0])
        arrays, meta = self.shard.snapshot()
        begun = {"start": np.frombuffer(self.start.ljust(-(-len(self.start) // 8) * 8, b"\0"), np.int64)}
        meta |= {"extra": self._extra(), "start_bytes": len(self.start)}
        held = np.frombuffer(pack(arrays | begun, meta), np.uint8)
        to = self._offers[self._keeper][1]
        return [Message(wire.KEEP, self._keeper, to, version=self.shard.version, arrays=[held])]

    def _signs(self) -> list[Message]:
        """Signs of life to those that wait: for others, or for the shard to be there again, as long as that may take."""
        if self.shard is not None:
            waiting = self.shard.waiting()
        elif self._now() - self._began < 2 * self._patience:
            waiting = sorted({(message.worker, message.attempt) for message in self._waiting})
        else:
            waiting = []
        return [Message(wire.WAIT, worker, attempt) for worker, attempt in waiting]

    # ---- beginning, and beginning again

    def _note(self, message: Message) -> None:
        """A worker is there, and says which snapshot it holds."""
        known = self._offers.get(message.worker)
        if message.worker < self._workers and (known is None or known[1] <= message.attempt):
            self._offers[message.worker] = (message.version, message.attempt)
            if self._awaited == message.worker:  # What it was asked for is lost with its connection, or with itself.
                self._awaited = None

    def _wait(self, message: Message) -> list[Message]:
        """Keep a message until there is a shard to take it."""
        if message.kind == wire.OFFER:  # What was waiting here is said again.
            who = message.worker, message.attempt
            self._waiting = [other for other in self._waiting if (other.worker, other.attempt) != who]
        else:
            self._waiting.append(message)
        return self._open()

    def _open(self) -> list[Message]:
        """Become a shard as soon as it is known which, and that nobody holds a newer one."""
        if self.recovering and not self._may_begin_anew():
            return self._ask()
        self.recovered = self.recovered or {}
        if self.start is None:
            return []
        if self.shard is None:
            self.shard = self._made(self.start)
        if self.shard is None:
            return []
        waiting, self._waiting = self._waiting, []
        for message in waiting:
            if message.kind == wire.STEP and message.flags & PUSH:
                self.shard.expect(message.worker, message.attempt)
        return [answer for message in waiting for answer in self._handed(message)]

    def _made(self, start: bytes) -> ParameterShard | None:
        """The shard; None when another has said that it is what nobody could be, which is forgotten."""
        try:
            return self._make(start)
        except DataError as error:
            if not self._told:
                raise
            _log.warning("parameter shard %d dropped what it was told that it is: %s", self.number, error)
            self.start = None
            return None

    def _handed(self, message: Message) -> list[Message]:
        try:
            return self.handle(message)
        except BadMessage as error:
            _log.warning("parameter shard %d dropped a message of worker %d: %s", self.number, message.worker, error)
            return []

    def _may_begin_anew(self) -> bool:
        """Whether nobody will offer a snapshot any more."""
        late = self._now() - self._began > self._patience
        here = len(self._offers) >= self._workers or (late and bool(self._offers))
        return here and all(version == NOTHING_KEPT for version, _ in self._offers.values())

    def _ask(self) -> list[Message]:
        """Ask who holds the newest snapshot for it, when all have come back, or it is late; another when that one is silent."""
        now = self._now()
        if self._awaited is not None:
            if now - self._asked_at < self._patience:
                return []
            self._offers[self._awaited] = (NOTHING_KEPT, self._offers[self._awaited][1])
            self._awaited = None
        newest = max(self._offers, key=lambda worker: self._offers[worker][0], default=None)
        here = len(self._offers) >= self._workers or now - self._began > _COME_BACK
        if not here or newest is None or self._offers[newest][0] == NOTHING_KEPT:
            return []
        self._awaited, self._asked_at = newest, now
        attempt = self._offers[newest][1]
        self._asked.add((newest, attempt))
        return [Message(wire.RESTORE, newest, attempt)]

    def _restore(self, message: Message) -> list[Message]:
        """Go on from the snapshot that has been handed over, whether it comes late or not."""
        if not self.recovering or (message.worker, message.attempt) not in self._asked or not message.arrays:
            return []
        source = f"the snapshot of shard {self.number}"
        try:
            arrays, meta = unpack(message.arrays[0].data, source)
            start, extra = arrays["start"].tobytes()[: meta["start_bytes"]], dict(meta["extra"])
            shard = self._make(start)
            if not is_count(meta["lowered"], _MOST_LOWERED):
                raise DataError(f"its rate has been divided {meta['lowered']} times")
            shard.restore(arrays, meta)
        except (LookupError, TypeError, ValueError, OverflowError) as error:
            raise BadMessage(f"{source} is damaged: {error}") from error
        self.start, self.shard, self.recovered = start, shard, extra
        _log.warning("parameter shard %d goes on from its snapshot of version %d", self.number, self.shard.version)
        return self._open()

    def _state(self, message: Message) -> Message:
        """All weights, and what the lead wants to know about them."""
        assert self.shard is not None
        if message.flags:
            if message.step > _MOST_LOWERED:
                raise BadMessage(f"it is to divide the rate {message.step} times")
            self.shard.weights.lower(message.step)
        shard = self.shard
        arrays, meta = shard.snapshot()
        meta |= {"penalty": shard.weights.penalty_value()}
        return Message(
            wire.STATE, message.worker, message.attempt, version=shard.version,
            arrays=[np.frombuffer(pack(arrays, meta), np.uint8)],
        )  # fmt: skip
