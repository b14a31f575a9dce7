"""One shard as a client sees it: the connection to its present attempt, what has been asked of it, and what is kept for it.

Requests are answered in the order in which they were made. A new connection begins with what the shard is to know first; then
whatever has not been answered is said again, and a shard applies what it has had already no second time.
"""

import logging
import time
from collections import deque

import zmq

from ..transport.endpoint import Security
from . import wire
from .dealer import Dealer
from .host import NOTHING_KEPT
from .wire import BadMessage, Message

_log = logging.getLogger("dsgd.server")


class Line:
    """The way to one shard.

    Parameters
    ----------
    context : zmq.Context
    security : Security
    shard, worker, attempt : int
        The shard; who asks.

    Attributes
    ----------
    reached : int
        The attempt of the shard that it is connected to, or was last; -1 before there was one.
    tried : float
        When it connected last.
    unanswered, answers : deque of Message
        Requests, and as far as they have come the answers to the first of them.
    """

    def __init__(self, context: zmq.Context, security: Security, shard: int, worker: int, attempt: int):
        self._context, self._security = context, security
        self.shard, self._worker, self._attempt = shard, worker, attempt
        self.reached, self.tried = -1, 0.0
        self.unanswered: deque[Message] = deque()
        self.answers: deque[Message] = deque()
        self._dealer: Dealer | None = None
        self._kept: Message | None = None
        self._links = 0

    def connect(self, address: str, attempt: int, first: Message | None) -> None:
        """Connect to the shard's ``attempt`` at its address; tell it ``first``, what this side holds, and what is unanswered."""
        if self._dealer is not None:
            self.drain()
            self._dealer.close()
        self._dealer = Dealer(self._context, self._security, address, self._links)
        self._links += 1
        self.reached, self.tried = attempt, time.monotonic()
        again = list(self.unanswered)[len(self.answers) :]
        for message in ([] if first is None else [first]) + [self.offering(wire.OFFER), *again]:
            self._dealer.send(message)

    def offering(self, kind: int) -> Message:
        """A message that says which snapshot of the shard this side holds."""
        version = NOTHING_KEPT if self._kept is None else self._kept.version
        return Message(kind, self._worker, self._attempt, version=version)

    def send(self, message: Message) -> None:
        """Send a message, if there is a connection that takes it; what is to be answered is sent again by the next one."""
        if self._dealer is not None:
            self._dealer.send(message)

    def broken(self) -> str | None:
        """Say what has become of the connection, or None while it stands, or is being made."""
        return "has not been started" if self._dealer is None else self._dealer.lost()

    @property
    def place(self) -> str:
        """Which shard, and where."""
        where = "" if self._dealer is None else f" at {self._dealer.address}"
        return f"parameter shard {self.shard}{where}"

    def take(self, seconds: float) -> Message | None:
        """See to the next message, which comes within ``seconds``, or not.

        An answer joins the others. What is to be kept is kept, and handed over when the shard asks for it.
        """
        if self._dealer is None:
            time.sleep(seconds)
            return None
        try:
            message = self._dealer.receive(seconds)
        except BadMessage as error:
            _log.warning("worker %d dropped a message of %s: %s", self._worker, self.place, error)
            return None
        if message is None:
            return None
        if message.kind == wire.KEEP and message.arrays:
            self._kept = message._replace(arrays=[message.arrays[0].copy()])
        elif message.kind == wire.RESTORE:
            if self._kept is not None:
                self.send(self._kept._replace(kind=wire.RESTORE, worker=self._worker, attempt=self._attempt))
        elif message.kind not in (wire.WAIT, wire.REFUSED):
            self.answers.append(message)
        return message

    def drain(self) -> list[Message]:
        """See to all that has come."""
        taken = []
        while (message := self.take(0.0)) is not None:
            taken.append(message)
        return taken

    def close(self, linger: float) -> None:
        """Close the connection; what has not been sent in ``linger`` seconds is dropped when the context ends."""
        if self._dealer is not None:
            self._dealer.close(linger)
