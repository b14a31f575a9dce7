"""One rank's way to one peer: the socket that sends, and libzmq's reports on its connection."""

import time

import numpy as np
import zmq
from zmq.utils.monitor import recv_monitor_message

from ..errors import WorkerLost
from .endpoint import Security, configure

_REFUSED = zmq.EVENT_HANDSHAKE_FAILED_AUTH | zmq.EVENT_HANDSHAKE_FAILED_PROTOCOL | zmq.EVENT_HANDSHAKE_FAILED_NO_DETAIL
_BROKEN = zmq.EVENT_DISCONNECTED | zmq.EVENT_CLOSED | zmq.EVENT_CONNECT_RETRIED
_WATCHED = zmq.EVENT_HANDSHAKE_SUCCEEDED | _REFUSED | _BROKEN


class Link:
    """The sending half of a connection.

    Attributes
    ----------
    peer : int
    sent : int
        Messages sent so far.
    """

    def __init__(self, context: zmq.Context, security: Security, peer: int, address: str):
        self.peer, self.sent, self._address = peer, 0, address
        self._events = 0
        self._under_way: list[zmq.MessageTracker] = []
        self._socket = context.socket(zmq.PUSH)
        configure(self._socket)
        security.secure_sender(self._socket)
        if "[" in address:
            self._socket.set(zmq.IPV6, 1)
        self._monitor = self._socket.get_monitor_socket(_WATCHED)
        self._socket.connect(address)

    def await_handshake(self, until: float, deadline: float) -> None:
        """Wait until the peer has accepted this rank; WorkerLost when it has not by the time ``until``."""
        while not self._events & zmq.EVENT_HANDSHAKE_SUCCEEDED:
            if self._events & (_REFUSED | _BROKEN):
                raise WorkerLost(
                    f"rank {self.peer} at {self._address} refused the connection: nobody listens there, or it has the "
                    "keys of another fit, or only one side encrypts"
                )
            if time.monotonic() > until:
                raise WorkerLost(f"rank {self.peer} at {self._address} did not answer within {deadline:g} seconds")
            self._monitor.poll(50)
            self._read_events()

    def _read_events(self) -> None:
        while self._monitor.poll(0):
            self._events |= int(recv_monitor_message(self._monitor)["event"])

    def lost(self) -> str | None:
        """Say how the connection ended, or None while it stands."""
        self._read_events()
        return "closed its connection or died" if self._events & (_REFUSED | _BROKEN) else None

    def send_small(self, frame: bytes) -> None:
        """Send a frame that is copied; zmq.Again when there is no connection."""
        self._socket.send(frame, zmq.NOBLOCK)

    def send_large(self, header: bytes, payload: np.ndarray) -> None:
        """Send a header and a payload that is not copied; zmq.Again when there is no connection."""
        self._socket.send(header, zmq.NOBLOCK | zmq.SNDMORE)
        tracker = self._socket.send(payload, zmq.NOBLOCK, copy=False, track=True)
        self._under_way.append(tracker)

    def flush(self, deadline: float) -> bool:
        """Wait until libzmq needs none of the payloads any more; False when the deadline passes first."""
        until = time.monotonic() + deadline
        for tracker in self._under_way:
            try:
                tracker.wait(max(0.0, until - time.monotonic()))
            except zmq.NotDone:
                return False
        self._under_way.clear()
        return True

    def close(self, linger: float) -> None:
        """Close the socket; what it has not sent in ``linger`` seconds is dropped when the context ends."""
        self._socket.disable_monitor()
        self._monitor.close(linger=0)
        self._socket.close(linger=int(linger * 1000))
