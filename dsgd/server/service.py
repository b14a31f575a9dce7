"""The listening end of a parameter server: messages in, messages out, one thread, no opinion about what they say.

Every connection is authenticated by the keys of the fit before a byte of it is read; what is no message of this fit is dropped,
and logged once a sender. Answers go by the connection that a worker made last; what is found of an earlier one is dropped, as
it has been said again.
"""

import logging
import secrets
import time
from collections.abc import Callable, Iterable
from typing import Any

import zmq

from ..transport.endpoint import Security, configure, listen
from . import wire
from .address import near_address
from .wire import BadMessage, Message

_log = logging.getLogger("dsgd.server")
# Seconds between two calls of ``tick``, about.
_TICK = 0.1
# Messages that are not answered, and come by another way than those of the same worker that are.
_ONE_WAY = (wire.BEAT, wire.LEAVE)
# What CURVE adds to a frame.
_CIPHER_BYTES = 64

Handler = Callable[[Message], Iterable[Message]]


def open_socket(context: zmq.Context, kind: int) -> zmq.Socket:
    """A socket with the options of both ends: frames have a limit, and a peer that has vanished is noticed."""
    made = context.socket(kind)
    configure(made)
    made.set(zmq.MAXMSGSIZE, wire.CHUNK + _CIPHER_BYTES)
    # Answered by libzmq's own threads, however busy the process is.
    made.set(zmq.HEARTBEAT_IVL, 2000)
    made.set(zmq.HEARTBEAT_TIMEOUT, 20000)
    return made


def send_frames(endpoint: zmq.Socket, frames: list[Any], flags: int = 0) -> None:
    """Send the frames of a message; those after the first are large, and are not copied."""
    if len(frames) == 1:
        endpoint.send(frames[0], flags)
    else:
        endpoint.send_multipart(frames, flags, copy=False)


def receive_frames(endpoint: zmq.Socket, flags: int = 0) -> list[Any]:
    """Receive the frames of a message, as bytes and memoryviews."""
    frames: list[Any] = [endpoint.recv(flags)]
    while endpoint.get(zmq.RCVMORE):
        frames.append(endpoint.recv(copy=False).buffer)
    return frames


class Service:
    """Listens, and answers.

    Parameters
    ----------
    security : Security
    host : str
        Address of this machine, or the name of one of its network interfaces.
    port_range : (int, int) or None
    directory : str, optional
        Where those of the same machine connect, if nobody but this user may enter it.

    Attributes
    ----------
    address : str
        Where it listens.
    near : str or None
        Where it listens in the directory, if sockets can be there, and its path is short enough for one.
    """

    def __init__(
        self, security: Security, host: str, port_range: tuple[int, int] | None = None, directory: str | None = None
    ):
        self._fit = security.keys.fit
        # By worker and attempt: its latest connection, and libzmq's name for it.
        self._senders: dict[tuple[int, int], tuple[int, bytes]] = {}
        self._told: set[bytes] = set()
        self._context = zmq.Context(io_threads=2)
        self.near = None if directory is None else near_address(directory, f"s{secrets.token_hex(4)}")
        self._authenticator = security.authenticator(self._context, self.near is not None)
        try:
            self._socket = open_socket(self._context, zmq.ROUTER)
            self._listen_near(security)
            security.secure_listener(self._socket)
            self.address = listen(self._socket, host, port_range)
        except BaseException:
            self.close()
            raise

    def _listen_near(self, security: Security) -> None:
        """Listen in the directory, where that can be; each address keeps what was set when it was bound."""
        if self.near is None:
            return
        security.near().secure_listener(self._socket)
        try:
            self._socket.bind(self.near)
        except zmq.ZMQError as error:
            _log.info("no socket can be made at %s (%s): all use the network's address", self.near, error)
            self.near = None

    def serve(self, handle: Handler, tick: Callable[[], Iterable[Message] | None]) -> None:
        """Answer messages until ``tick``, which is called ten times a second and returns messages to send too, returns None.

        What ``handle`` refuses as a BadMessage is dropped.
        """
        while (messages := tick()) is not None:
            self.send(messages)
            until = time.monotonic() + _TICK
            while (left := until - time.monotonic()) > 0:
                taken = self._take()
                if taken is None:
                    self._socket.poll(int(1000 * left))
                    continue
                sender, message = taken
                try:
                    self.send(handle(message))
                except BadMessage as error:
                    self._drop(sender, error)

    def send(self, messages: Iterable[Message]) -> None:
        """Send messages to the workers that they are for, those of them that are known."""
        for message in messages:
            known = self._senders.get((message.worker, message.attempt))
            if known is not None:
                self._socket.send(known[1], zmq.SNDMORE)
                send_frames(self._socket, wire.encode(message, self._fit))

    def _take(self) -> tuple[bytes, Message] | None:
        """The next message and its sender, or None when there is none now."""
        while True:
            try:
                sender: bytes = self._socket.recv(zmq.NOBLOCK)
            except zmq.Again:
                return None
            try:
                frames = receive_frames(self._socket) if self._socket.get(zmq.RCVMORE) else []
                message = wire.decode(frames, self._fit)
            except BadMessage as error:
                self._drop(sender, error)
                continue
            if message.kind in _ONE_WAY:
                return sender, message
            who = message.worker, message.attempt
            known = self._senders.get(who)
            if known is None or known[0] <= message.link:
                self._senders[who] = message.link, sender
                return sender, message

    def _drop(self, sender: bytes, error: BadMessage) -> None:
        if sender not in self._told:
            self._told.add(sender)
            _log.warning(
                "%s dropped a message, and will drop others of its sender without a word: %s", self.address, error
            )

    def close(self, linger: float = 1.0) -> None:
        """Send what is under way, for a bounded time, and release everything."""
        if not self._context.closed:
            self._authenticator.stop()
            self._context.destroy(linger=int(1000 * linger))
