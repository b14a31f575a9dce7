"""The connecting end of a parameter server: one connection, whose breaking is noticed."""

import zmq
from zmq.utils.monitor import recv_monitor_message

from ..transport.endpoint import Security
from . import wire
from .service import open_socket, receive_frames, send_frames
from .wire import Message

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_BROKEN = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
# Milliseconds for a connection to be made: a machine that is gone does not answer.
_CONNECT = 5000
_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | _REFUSED | _BROKEN


class Dealer:
    """A connection to one address.

    Parameters
    ----------
    context : zmq.Context
    security : Security
    address : str
    link : int
        How many connections there were before, to the same listener or its earlier attempts.
    """

    def __init__(self, context: zmq.Context, security: Security, address: str, link: int = 0):
        self.address, self._fit, self._link = address, security.keys.fit, link
        self._socket = open_socket(context, zmq.DEALER)
        (security.near() if address.startswith("ipc:") else security).secure_sender(self._socket)
        self._socket.set(zmq.CONNECT_TIMEOUT, _CONNECT)
        if "[" in address:
            self._socket.set(zmq.IPV6, 1)
        self._events = 0
        self._monitor = self._socket.get_monitor_socket(_WATCHED)
        self._socket.connect(address)

    def send(self, message: Message) -> bool:
        """Queue a message; False when the connection has broken."""
        try:
            send_frames(self._socket, wire.encode(message._replace(link=self._link), self._fit), zmq.NOBLOCK)
        except zmq.Again:
            return False
        return True

    def receive(self, seconds: float) -> Message | None:
        """The next message, or None when none has come in time.

        Raises
        ------
        BadMessage
            For what is no message of this fit.
        """
        try:
            frames = receive_frames(self._socket, zmq.NOBLOCK)
        except zmq.Again:
            if not self._socket.poll(int(1000 * seconds)):
                return None
            frames = receive_frames(self._socket, zmq.NOBLOCK)
        return wire.decode(frames, self._fit)

    def lost(self) -> str | None:
        """Say how the connection ended, or None while it stands, or is being made."""
        while self._monitor.poll(0):
            self._events |= int(recv_monitor_message(self._monitor)["event"])
        if self._events & _REFUSED:
            return "refused the connection: it died, has the keys of another fit, or only one side encrypts"
        return "closed its connection or died" if self._events & _BROKEN else None

    @property
    def accepted(self) -> bool:
        """Whether the other side has accepted this one's keys."""
        self.lost()
        return bool(self._events & zmq.EVENT_HANDSHAKE_SUCCEEDED)

    def close(self, linger: float = 0.0) -> None:
        """Close; what has not been sent in ``linger`` seconds is dropped when the context ends."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=int(1000 * linger))
