"""Reports of running ranks, and files that they leave, at the rank's end: best-effort, and nobody waits for them.

The driver listens (:mod:`spark_ext.cluster.post`) at the address by which Spark knows it, with keys of this gang's own, which
travel inside Spark's task; a rank connects while it starts. A report is one frame: the header of :mod:`dsgd.transport.frames`
and a record as JSON. What is too long, or comes when there is no way, is dropped. A file is left by such a header with its name,
and a second frame with its bytes; without one it is removed.
"""

import contextlib
import json
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import zmq

from dsgd.errors import WorkerLost
from dsgd.transport import Security, frames
from dsgd.transport.link import Link

# The driver, among the ranks.
DRIVER = -1
# Rows of a gang's outcome that say how many reports a rank has sent, rather than its result.
SENT = 1
# Seconds: for a rank to find out at its end whether the driver can be reached; for the last reports to leave it, and to arrive.
_ANSWER, LAST = 0.5, 2.0
# Reports of a rank, and reports that wait at the driver, at most.
MOST = 10_000


def nobody(record: dict[str, Any]) -> None:
    """Take a report that nobody reads; a gang that is given this sends none."""


@dataclass(frozen=True)
class Mailbox:
    """Where a rank's reports go."""

    address: str
    security: Security


class Reporter:
    """A rank's end.

    Parameters
    ----------
    mailbox : Mailbox
    rank : int
    """

    def __init__(self, mailbox: Mailbox, rank: int):
        self._rank, self._fit = rank, mailbox.security.keys.fit
        self._sent, self._asked = 0, 0
        self._context = zmq.Context()
        self._link = Link(self._context, mailbox.security, DRIVER, mailbox.address)

    def report(self, record: dict[str, Any]) -> None:
        """Send a record, if there is a way."""
        self._asked += 1
        data = json.dumps(record).encode()
        if len(data) > frames.INLINE or self._sent >= MOST or self._link.lost():
            return
        header = frames.pack(frames.REPORT, 0, self._rank, 0, self._fit, self._sent, len(data))
        with contextlib.suppress(zmq.ZMQError):
            self._link.send_small(header + data)
            self._sent += 1

    def leave(self, name: str, data: bytes | None) -> None:
        """Leave a file with the driver; OSError when there is no way."""
        self._asked += 1
        if lost := self._link.lost():
            raise OSError(f"the driver cannot be reached: {lost}")
        header = frames.pack(frames.FILE, 0, self._rank, 0, self._fit, 0, len(data or b"")) + name.encode()
        try:
            if data is None:
                self._link.send_small(header)
            else:
                self._link.send_large(header, np.frombuffer(data, np.uint8))
        except zmq.ZMQError as error:
            raise OSError(f"the driver cannot be reached: {error}") from error

    def close(self) -> int | None:
        """Let the last reports leave; return how many there were, None when the driver could not be reached."""
        reached = self._reached()
        self._link.close(LAST if reached else 0.0)
        self._context.destroy(linger=int(1000 * LAST) if reached else 0)
        return self._sent if reached else None

    def _reached(self) -> bool:
        if not self._asked:
            return True
        try:
            self._link.await_handshake(time.monotonic() + _ANSWER, _ANSWER)
        except WorkerLost:
            return False
        return self._link.lost() is None
