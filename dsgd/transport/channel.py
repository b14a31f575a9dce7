"""Messages between the ranks of one fit: every rank listens at one address and connects to the peers it talks to.

In come arrays, out come arrays, in order for each pair of ranks. A receive has a deadline and names the rank that it
waited for; it counts from the last sign of life of that rank, who works, or waits for one who does. A peer whose
connection breaks is reported at once, by libzmq's own watch over its sockets. What does not belong to this fit is refused
(by the handshake) or dropped and logged (by the header).
"""

import contextlib
import time
from collections import deque
from collections.abc import Callable, Mapping

import numpy as np
import zmq

from ..errors import WorkerLost
from . import frames, signs
from .endpoint import Security, configure, listen, logger
from .frames import HEADER_BYTES, INLINE, Header
from .link import Link

_SLICE = 0.05  # seconds between looks at the connections, the deadline and signals
_PARTING = 5.0  # seconds at most that a close may spend on sending what is under way


class Channel:
    """A rank's end of the conversation.

    Parameters
    ----------
    rank : int
    security : Security
    host : str
        Address of this machine at which to listen; nothing else is opened.
    port_range : (int, int) or None
        First and last port to try; None lets the system choose.
    deadline : float
        Seconds to wait for a peer.
    attempt : int
        Number of the attempt at the fit; messages of another attempt are dropped.

    Attributes
    ----------
    on_sign : callable
        Called with every sign of life for those who wait for this rank, while it waits itself.
    waited : float
        Seconds for which receives have waited so far.
    sent_bytes : int
        Of the messages sent so far, headers included; without signs of life, and what encryption and TCP add.
    """

    def __init__(
        self,
        rank: int,
        security: Security,
        *,
        host: str,
        port_range: tuple[int, int] | None = None,
        deadline: float = 30.0,
        attempt: int = 0,
    ):
        self.rank, self.deadline = rank, deadline
        self._security, self._fit, self._attempt = security, security.keys.fit, attempt
        self._links: dict[int, Link] = {}
        self._inbox: dict[int, deque[tuple[Header, memoryview]]] = {}
        self._expected: dict[int, int] = {}
        self._signs = signs.Signs(rank)
        self._silence: signs.Silence | None = None
        self._awaited: int | None = None
        self.on_sign: Callable[[], None] = lambda: None
        self.waited = 0.0
        self.sent_bytes = 0
        self._failed = False
        # One thread would encrypt what leaves and decrypt what comes one after the other.
        self._context = zmq.Context(io_threads=2)
        self._authenticator = security.authenticator(self._context)
        self._listener = self._context.socket(zmq.PULL)
        try:
            configure(self._listener)
            security.secure_listener(self._listener)
            self._listener.set(zmq.RCVTIMEO, int(_SLICE * 1000))
            self.address = listen(self._listener, host, port_range)
        except BaseException:
            self.close()
            raise

    def connect(self, addresses: Mapping[int, str]) -> None:
        """Connect to peers and wait until each has accepted.

        Raises
        ------
        WorkerLost
            When a peer refuses this rank's keys, or does not answer within the deadline.
        """
        for peer, address in addresses.items():
            self._links[peer] = Link(self._context, self._security, peer, address)
            self._inbox[peer] = deque()
            self._expected[peer] = 0
        until = time.monotonic() + self.deadline
        for link in self._links.values():
            link.await_handshake(until, self.deadline)

    def send(self, peer: int, kind: int, payload: np.ndarray) -> None:
        """Queue one message of at most ``CHUNK`` bytes and return.

        A payload longer than ``INLINE`` bytes is read later: it must not change until :meth:`flush` returns, or until
        the protocol proves that the peer has it.
        """
        link = self._links[peer]
        length = payload.nbytes
        code = frames.CODES[payload.dtype]
        header = frames.pack(kind, code, self.rank, self._attempt, self._fit, link.sent, length)
        try:
            if length <= INLINE:
                link.send_small(header + payload.tobytes())
            else:
                link.send_large(header, payload)
        except zmq.Again:
            raise self._lost(peer, f"{link.lost() or 'cannot be reached'}", "sent to it in", kind) from None
        link.sent += 1
        if kind != frames.LIFE:  # how many of these there are is a matter of time, not of what is done
            self.sent_bytes += HEADER_BYTES + length

    def flush(self) -> None:
        """Wait until every payload that was sent may be changed again."""
        for link in self._links.values():
            if not link.flush(self.deadline):
                raise WorkerLost(f"rank {link.peer} did not take its data from rank {self.rank} in {self.deadline:g} s")

    def receive(self, peer: int, kind: int, dtype: np.dtype, count: int | None = None) -> np.ndarray:
        """Return the next message from ``peer``, an array of shape (count,) that must not be written to.

        Raises
        ------
        WorkerLost
            When the peer is lost or silent past the deadline, or is in another operation.
        """
        inbox = self._inbox[peer]
        if not inbox:
            began = time.perf_counter()
            self._await(peer, kind)
            self.waited += time.perf_counter() - began
        header, payload = inbox.popleft()
        if (
            header.kind != kind
            or header.code != frames.CODES[dtype]
            or count not in (None, header.length // dtype.itemsize)
        ):
            raise self._out_of_step(header, kind, dtype, count)
        return np.frombuffer(payload, dtype)

    def _await(self, peer: int, kind: int) -> None:
        """Take messages in until there is one from ``peer``."""
        inbox = self._inbox[peer]
        self._awaited, self._silence = peer, None
        doomed = None
        while not inbox:
            if self._take_one():
                continue
            self._silence = self._silence or signs.Silence(self.deadline)
            if self._silence.to_be_told():
                self.give_sign()
                self.on_sign()
            if doomed or self._silence.too_long(peer):
                raise self._lost(peer, doomed or f"was silent for {self.deadline:g} seconds", "waited for it in", kind)
            # What a peer sent before its connection broke may still be under way: one more slice of patience.
            doomed = self._broken(peer)

    def _broken(self, peer: int) -> str | None:
        """Say what became of ``peer``, or of another rank without which it cannot go on."""
        reasons = {other: link.lost() for other, link in self._links.items()}
        if reasons[peer]:
            return reasons[peer]
        others = [f"rank {other} {reason}" for other, reason in reasons.items() if reason]
        return f"cannot go on, because {others[0]}" if others else None

    def _take_one(self) -> bool:
        """Move one message from the socket to its sender's inbox; False when none came within a slice."""
        try:
            first = self._listener.recv()
        except zmq.Again:
            return False
        try:
            header = frames.parse(first)
            payload = self._payload(header, first)
            sign = signs.read(payload) if header.kind == frames.LIFE else None
        except ValueError as error:
            logger.warning("rank %d dropped a message: %s", self.rank, error)
            while self._listener.get(zmq.RCVMORE):
                self._listener.recv()
            return True
        if header.kind == frames.ABORT:
            raise WorkerLost(f"rank {header.source} gave up: {bytes(payload).decode(errors='replace')}")
        self._expected[header.source] += 1
        if sign is None:
            self._inbox[header.source].append((header, payload))
        elif self._signs.take(header.source, sign):
            self._take_sign(header.source, sign)
        return True

    def _take_sign(self, source: int, sign: np.ndarray) -> None:
        """Whoever waits for this rank waits for the one that it waits for, too."""
        if self._silence is not None:
            self._silence.broken(source)
        if source == self._awaited and self._signs.hand_on(sign):
            self._spread(sign, source)
            self.on_sign()

    def give_sign(self) -> None:
        """Tell the peers that this rank is at work; those that cannot be reached are found out by who waits for them."""
        self._spread(self._signs.give())

    def _spread(self, sign: np.ndarray, source: int | None = None) -> None:
        for peer, link in self._links.items():
            if peer != source and link.lost() is None:
                with contextlib.suppress(WorkerLost):
                    self.send(peer, frames.LIFE, sign)

    def _payload(self, header: Header, first: bytes) -> memoryview:
        """Check the header against this conversation, then the payload against the header."""
        if (header.fit, header.attempt) != (self._fit, self._attempt):
            raise ValueError(f"it belongs to another fit or attempt ({header.attempt}, here {self._attempt})")
        if header.sequence != self._expected.get(header.source):
            expected = self._expected.get(header.source)
            raise ValueError(f"number {header.sequence} from rank {header.source}, expected {expected}")
        if header.length <= INLINE:
            payload = memoryview(first)[HEADER_BYTES:]
        elif self._listener.get(zmq.RCVMORE):
            payload = self._listener.recv(copy=False).buffer
        else:
            raise ValueError("its payload is missing")
        if len(payload) != header.length or self._listener_has_more(header):
            raise ValueError(f"its payload has {len(payload)} bytes, its header says {header.length}")
        return payload

    def _listener_has_more(self, header: Header) -> bool:
        return header.length > INLINE and bool(self._listener.get(zmq.RCVMORE))

    def _out_of_step(self, header: Header, kind: int, dtype: np.dtype, count: int | None) -> WorkerLost:
        found = frames.DTYPES[header.code]
        wanted = "values" if count is None else f"{count} values"
        return WorkerLost(
            f"the ranks are out of step: rank {self.rank} expected {wanted} of {dtype} in {frames.KINDS[kind]}, "
            f"rank {header.source} sent {header.length // found.itemsize} of {found} in {frames.KINDS[header.kind]}; "
            "every rank must call the same operations in the same order with buffers of the same length and dtype"
        )

    def _lost(self, peer: int, what: str, doing: str, kind: int) -> WorkerLost:
        return WorkerLost(f"rank {peer} {what} while rank {self.rank} {doing} {frames.KINDS[kind]}")

    def abort(self, reason: str) -> None:
        """Tell the peers that this rank gives up, as far as they can be reached; only closing is left then."""
        if self._failed or self._context.closed:
            return
        self._failed = True
        text = np.frombuffer(reason.encode()[: INLINE // 2], np.uint8)
        for peer, link in self._links.items():
            if link.lost() is None:
                try:
                    self.send(peer, frames.ABORT, text)
                except WorkerLost as error:
                    logger.info("rank %d could not be told: %s", peer, error)

    def close(self) -> None:
        """Send what is under way, for a bounded time, and release sockets, threads and memory."""
        if self._context.closed:
            return
        parting = 0.5 if self._failed else min(self.deadline, _PARTING)
        for link in self._links.values():
            link.close(parting)
        self._inbox.clear()
        self._listener.close(linger=0)
        self._authenticator.stop()
        self._context.destroy(linger=int(parting * 1000))
