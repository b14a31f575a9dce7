"""A shard among its workers: from messages to events and back, and how it comes back when its process has died.

A shard is told what it is by a message of the lead (START). It hands a snapshot to one of its workers every so often; when it
is started again, the workers that come back say what they hold, and it goes on from the newest. No disk, no machine is
needed but those that the fit has anyway; what was pushed after the snapshot is lost.
"""

import logging
import time
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from ..data.arrays import pack, unpack
from . import wire
from .shard import Answer, Event, Join, Leave, ParameterShard, Pull, Push, Refused, Welcome
from .weights import Pushed
from .wire import Message

_log = logging.getLogger("dsgd.server")
# Seconds for workers to come back to a shard that has been started again, before it goes on with what it has been offered.
_COME_BACK = 5.0
# Flags of STEP: there is a push, of listed features, with changes of the rule's state; there is a pull, of all features.
PUSH, LISTED, FIRST, SECOND, PULL, ALL = 1, 2, 4, 8, 16, 32
NOTHING_KEPT = -1


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
    ):
        self.number, self.attempt, self._make = number, attempt, make
        self._workers, self._seconds, self._extra, self._now = workers, snapshot_seconds, extra, clock
        self.shard: ParameterShard | None = None
        self.start: bytes | None = None
        self.recovered: dict[str, Any] | None = None
        self._began, self._kept_at = clock(), -np.inf
        self._offers: dict[int, tuple[int, int]] = {}
        self._awaited: int | None = None
        self._asked_at = 0.0
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
        """Take a message of a worker; return those to send."""
        if message.kind in (wire.JOIN, wire.OFFER):
            self._offers[message.worker] = (message.version, message.attempt)
        elif message.kind == wire.RESTORE:
            return self._restore(message)
        if message.kind == wire.OFFER:
            return self._open() if self.shard is None else []
        if message.kind == wire.START:
            return self.begin(message.arrays[0].tobytes())
        if self.shard is None:
            self._waiting.append(message)
            return self._open()
        if message.kind == wire.STATE:
            return [self._state(message)]
        answers: list[Answer] = []
        for event in events_of(message):
            answers += self.shard.handle(event)
        messages = [message_of(answer) for answer in answers]
        if message.kind == wire.STEP and not message.flags & PULL:
            messages.append(Message(wire.NOTED, message.worker, message.attempt, clock=message.clock))
        return messages

    def tick(self) -> list[Message]:
        """What is to be sent because time has passed."""
        if self.shard is None:
            return self._open()
        if self._now() - self._kept_at < self._seconds or not self._offers:
            return []
        self._kept_at = self._now()
        return self.keep()

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

    # ---- beginning, and beginning again

    def _open(self) -> list[Message]:
        """Become a shard as soon as it is known which, and that nobody holds a newer one."""
        if self.recovering and not self._may_begin_anew():
            return self._ask()
        self.recovered = self.recovered or {}
        if self.start is None:
            return []
        if self.shard is None:
            self.shard = self._make(self.start)
        waiting, self._waiting = self._waiting, []
        return [answer for message in waiting for answer in self.handle(message)]

    def _may_begin_anew(self) -> bool:
        """Whether nobody will offer a snapshot any more."""
        all_here = len(self._offers) >= self._workers
        late = self._now() - self._began > _COME_BACK and bool(self._offers)
        return (all_here or late) and max(version for version, _ in self._offers.values()) == NOTHING_KEPT

    def _ask(self) -> list[Message]:
        """Ask who holds the newest snapshot for it, when all have come back, or it is late; another when that one is silent."""
        late = self._now() - self._began > _COME_BACK
        if not self._offers or not (late or len(self._offers) >= self._workers):
            return []
        if self._awaited is not None:
            if self._now() - self._asked_at < _COME_BACK:
                return []
            self._offers[self._awaited] = (NOTHING_KEPT, self._offers[self._awaited][1])
            self._awaited = None
            return self._open()
        self._awaited = max(self._offers, key=lambda worker: self._offers[worker][0])
        self._asked_at = self._now()
        return [Message(wire.RESTORE, self._awaited, self._offers[self._awaited][1])]

    def _restore(self, message: Message) -> list[Message]:
        if not self.recovering or not message.arrays:
            return []
        arrays, meta = unpack(message.arrays[0].data, f"the snapshot of shard {self.number}")
        self.start = arrays["start"].tobytes()[: meta["start_bytes"]]
        self.shard = self._make(self.start)
        self.shard.restore(arrays, meta)
        self.recovered = dict(meta["extra"])
        _log.warning("parameter shard %d goes on from its snapshot of version %d", self.number, self.shard.version)
        return self._open()

    def _state(self, message: Message) -> Message:
        """All weights, and what the lead wants to know about them."""
        assert self.shard is not None
        if message.flags:
            self.shard.weights.lower(message.step)
        shard = self.shard
        arrays, meta = shard.snapshot()
        meta |= {"penalty": shard.weights.penalty_value()}
        return Message(
            wire.STATE, message.worker, message.attempt, version=shard.version,
            arrays=[np.frombuffer(pack(arrays, meta), np.uint8)],
        )  # fmt: skip


def events_of(message: Message) -> Iterable[Event]:
    """The events that a message brings."""
    who = message.worker, message.attempt
    if message.kind == wire.JOIN:
        yield Join(*who)
    elif message.kind == wire.LEAVE:
        yield Leave(*who)
    elif message.kind == wire.STEP:
        arrays = iter(message.arrays)
        if message.flags & PUSH:
            indices = next(arrays) if message.flags & LISTED else None
            values = next(arrays)
            first = next(arrays) if message.flags & FIRST else None
            second = next(arrays) if message.flags & SECOND else None
            yield Push(
                *who, message.clock, message.version, Pushed(indices, values, message.rows, message.step, first, second)
            )
        if message.flags & PULL:
            yield Pull(*who, message.wanted, None if message.flags & ALL else next(arrays))


def message_of(answer: Answer) -> Message:
    """An answer as a message."""
    if isinstance(answer, Welcome):
        return Message(wire.WELCOME, answer.worker, answer.attempt, clock=answer.clock, version=answer.version)
    if isinstance(answer, Refused):
        return Message(wire.REFUSED, answer.worker, answer.attempt, clock=answer.latest)
    return Message(
        wire.WEIGHTS, answer.worker, answer.attempt, clock=answer.clock, version=answer.version, step=answer.step,
        arrays=[answer.values],
    )  # fmt: skip
