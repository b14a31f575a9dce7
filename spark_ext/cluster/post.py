"""Reports of running ranks, at the driver's end: a socket of a gang's own, read in the thread that waits for the gang.

In comes where Spark knows the driver; what ranks send (:mod:`spark_ext.cluster.reports`) is handed on as it comes. That nobody
can listen, or reach whoever listens, is said in the log, and the gang goes on without.
"""

import contextlib
import json
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import zmq

from dsgd.errors import ConfigError
from dsgd.foreign import read_object
from dsgd.train.checkpoints.storage import MOST_CARRIED
from dsgd.train.rank import Failure
from dsgd.transport import frames

from .kinds import Classic
from .listening import Listener, Listening
from .reports import LAST, MOST, SENT, Mailbox, nobody
from .session import Session

_log = logging.getLogger(__name__)
# Bytes of a file beside its values, and of headers, names and cipher.
_BESIDE = 1 << 20
_told: set[str] = set()


class Post:
    """The driver's end: what has come is delivered in the thread that asks.

    Parameters
    ----------
    session : Session
    listening : Listening
    on_report : callable
    left : dict of str to bytes, or None
        Is given the files that ranks leave; None where they may not.

    Raises
    ------
    ConfigError
        When it cannot listen there.
    """

    def __init__(
        self,
        session: Session,
        listening: Listening,
        on_report: Callable[[dict], None],
        left: dict[str, bytes] | None = None,
    ):
        self._on_report, self._received, self._left = on_report, 0, left
        longest = 2 * frames.INLINE if left is None else MOST_CARRIED + _BESIDE
        self._listener = Listener(zmq.PULL, session, listening, RCVHWM=MOST, MAXMSGSIZE=longest)
        self.mailbox: Mailbox | None = self._listener.mailbox
        self._fit = self._listener.mailbox.security.keys.fit

    @property
    def leaves(self) -> bool:
        """Whether ranks may leave files."""
        return self._left is not None

    def deliver(self) -> None:
        """Hand on what has come."""
        for record in self._records():
            self._received += 1
            self._on_report(record)

    def _records(self) -> Iterator[dict[str, Any]]:
        while True:
            try:
                frame, *rest = self._listener.socket.recv_multipart(zmq.NOBLOCK)
            except zmq.Again:
                return
            try:
                header = frames.parse(frame)
                data = frame[frames.HEADER_BYTES :]
                if header.kind == frames.FILE:
                    self._take(header, data.decode(), rest)
                    continue
                if rest or header.kind != frames.REPORT or header.fit != self._fit or header.length != len(data):
                    raise ValueError("it is no report of this gang")
                yield read_object(data, "a report", ValueError)
            except ValueError as error:
                _log.warning("a report was dropped: %s", error)

    def _take(self, header: frames.Header, name: str, rest: list[bytes]) -> None:
        if self._left is None or header.fit != self._fit or len(rest) > 1 or header.length != sum(map(len, rest)):
            raise ValueError("it is no file of this gang")
        self._left.pop(name, None)
        # At most what two checkpoints may be, the one that is whole and the one that is being made.
        if rest and sum(map(len, self._left.values())) + header.length <= 2 * (MOST_CARRIED + _BESIDE):
            self._left[name] = rest[0]

    def last(self, outcomes: Mapping[tuple[int, int], bytes | Failure]) -> Iterable[bytes | Failure]:
        """Wait for the last reports, and return the ranks' own outcomes."""
        sent = [json.loads(data) for (group, _), data in outcomes.items() if group == SENT and isinstance(data, bytes)]
        if None in sent:
            self._tell()
        limit = time.monotonic() + LAST
        self.deliver()
        while self._received < sum(count or 0 for count in sent) and time.monotonic() < limit:
            time.sleep(0.01)
            self.deliver()
        return results(outcomes)

    def _tell(self) -> None:
        where = self.mailbox.address if self.mailbox else ""
        tell_once(
            f"the ranks cannot reach the driver at {where} (spark.driver.host, spark.driver.bindAddress, portRange)"
        )

    def close(self) -> None:
        """Listen no more."""
        self._listener.close()


def results(outcomes: Mapping[tuple[int, int], bytes | Failure]) -> list[bytes | Failure]:
    """What the ranks themselves have ended in."""
    return [outcome for (group, _), outcome in outcomes.items() if group != SENT]


class NoPost:
    """Where there is no way for reports, or nobody reads them."""

    mailbox: Mailbox | None = None
    leaves = False

    def deliver(self) -> None:
        """Nothing comes."""

    def last(self, outcomes: Mapping[tuple[int, int], bytes | Failure]) -> Iterable[bytes | Failure]:
        """The ranks' own outcomes."""
        return results(outcomes)


@contextlib.contextmanager
def post(
    session: Session, listening: Listening, on_report: Callable[[dict], None], left: dict[str, bytes] | None = None
) -> Iterator[Post | NoPost]:
    """Listen for a gang's reports and files, where there are any to come."""
    if (on_report is nobody and left is None) or not isinstance(session, Classic):
        yield NoPost()
        return
    try:
        opened = Post(session, listening, on_report, left)
    except ConfigError as error:
        tell_once(str(error))
        yield NoPost()
        return
    try:
        yield opened
    finally:
        opened.close()


def tell_once(why: str) -> None:
    """Say in the log, once a process and reason, that there are no reports."""
    if why not in _told:
        _told.add(why)
        _log.warning("no reports of running ranks: %s; the fit itself goes on without them", why)
