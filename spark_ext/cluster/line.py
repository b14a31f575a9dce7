"""A member's line to the driver: questions and answers with a deadline, and reports, which nobody answers.

A message is three frames: its number, a header as JSON, and raw bytes. The driver (:mod:`spark_ext.cluster.desk`) answers with
the same number. All requests may be made twice: what is not answered soon is asked again over a new connection, until the
deadline.
"""

import json
import struct
import threading
import time
from collections.abc import Sequence
from typing import Any

import zmq

from dsgd.errors import WorkerLost
from dsgd.foreign import read_object
from dsgd.transport.endpoint import configure

from .reports import Mailbox

START, BEAT, POST, READ, REPORT, LEAVE = "start", "beat", "post", "read", "report", "leave"
# Seconds: after which a question is asked again; between two looks for its answer; for the last words to leave.
_AGAIN, _LOOK, _LAST = 3.0, 0.1, 2.0
# Milliseconds before a connection that is refused is tried again.
_RECONNECT = 100
_NUMBER = struct.Struct("<Q")


def pack(header: dict[str, Any], value: bytes) -> list[bytes]:
    """The frames of a message, after its number."""
    return [json.dumps(header).encode(), value]


def read_request(frames: Sequence[bytes]) -> tuple[dict[str, Any], bytes]:
    """The header and the bytes of a message.

    Raises
    ------
    ValueError
        When it is none.

    Examples
    --------
    >>> read_request([b"8 bytes.", *pack({"verb": READ, "name": "x"}, b"")])
    ({'verb': 'read', 'name': 'x'}, b'')
    """
    if len(frames) != 3 or len(frames[0]) != _NUMBER.size:
        raise ValueError(f"expected a number, a header and a value, found {[len(frame) for frame in frames]} bytes")
    header = read_object(frames[1], "its header", ValueError)
    if "verb" not in header:
        raise ValueError("its header has no verb")
    return header, frames[2]


class Line:
    """One connection, for any thread of the member: one asks at a time.

    Parameters
    ----------
    mailbox : Mailbox
    member : int
        Whose line it is, for messages.
    patience : float
        Seconds to wait for an answer, all in all.
    """

    def __init__(self, mailbox: Mailbox, member: int, patience: float):
        self._mailbox, self._member, self._patience = mailbox, member, patience
        self._lock = threading.Lock()
        self._number = 0
        self._answered = self._closed = False
        self._context = zmq.Context()
        self._socket = self._connect()

    def _connect(self) -> zmq.Socket:
        socket = self._context.socket(zmq.DEALER)
        configure(socket)
        socket.set(zmq.RECONNECT_IVL, _RECONNECT)  # As all may be asked twice.
        self._mailbox.security.secure_sender(socket)
        if "[" in self._mailbox.address:
            socket.set(zmq.IPV6, 1)
        socket.connect(self._mailbox.address)
        return socket

    def ask(self, header: dict[str, Any], value: bytes = b"") -> tuple[dict[str, Any], bytes]:
        """Return the driver's answer.

        Raises
        ------
        WorkerLost
            When there is none in time, or the line is closed meanwhile.
        """
        with self._lock:
            limit = time.monotonic() + self._patience
            while not self._closed:
                self._send(header, value)
                answer = self._await(min(limit, time.monotonic() + _AGAIN))
                if answer is not None:
                    self._answered = True
                    return answer
                if time.monotonic() >= limit:
                    raise self._lost()
                self._socket.close(linger=0)
                self._socket = self._connect()
        raise WorkerLost(f"rank {self._member} has closed its line to the driver")

    def tell(self, header: dict[str, Any], value: bytes) -> None:
        """Send what has no answer; it is dropped when there is no way."""
        with self._lock:
            if not self._closed:
                self._send(header, value)

    def _send(self, header: dict[str, Any], value: bytes) -> None:
        self._number += 1
        # Queues have no limit: this does not block.
        self._socket.send_multipart([_NUMBER.pack(self._number), *pack(header, value)], zmq.NOBLOCK)

    def _await(self, limit: float) -> tuple[dict[str, Any], bytes] | None:
        while not self._closed:
            if self._socket.poll(int(1000 * _LOOK)):
                number, header, value = self._socket.recv_multipart()
                if number == _NUMBER.pack(self._number):
                    return json.loads(header), value
            elif time.monotonic() >= limit:
                return None
        return None

    def _lost(self) -> WorkerLost:
        return WorkerLost(
            f"rank {self._member} has had no answer from the driver at {self._mailbox.address} for {self._patience:g} s:"
            " executors must be able to connect to it there; set spark.driver.host to an address of the driver that they"
            " reach, spark.driver.bindAddress to the one at which it listens, and portRange to ports that are open"
        )

    def close(self) -> None:
        """Let the last words leave; who still asks is told at once."""
        self._closed = True
        with self._lock:
            linger = int(1000 * _LAST) if self._answered else 0
            self._socket.close(linger=linger)
            self._context.destroy(linger=linger)
