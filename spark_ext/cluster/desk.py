"""The driver's end of a crew's conversation: the board, who is let in, and reports, behind one socket and in one thread.

In come the requests that :mod:`spark_ext.cluster.line` describes; each is answered at once, from the driver's memory. What the
thread that waits for the crew has to decide or to hand on is left for it: the starts that ask to be let in
(:mod:`spark_ext.cluster.presence`), and the reports.
"""

import logging
import queue
import threading
from collections.abc import Callable
from typing import Any

import zmq

from dsgd.foreign import read_object

from . import line
from .listening import Listener, Listening
from .presence import Presence, Start
from .session import Session

_log = logging.getLogger(__name__)
# Milliseconds between two looks at whether to stop.
_LOOK = 100
# Seconds for the thread to see that it is to stop.
_CLOSE = 10.0


class Desk:
    """The driver's end.

    Parameters
    ----------
    session : Session
    listening : Listening
    presence : Presence
    stir : callable
        Called, in the desk's own thread, when there is something to decide or to hand on.

    Attributes
    ----------
    mailbox : Mailbox
        Where members find the desk.
    reports : queue.SimpleQueue
        Records as they come, from members that count.

    Raises
    ------
    ConfigError
        When the driver cannot listen where Spark says.
    """

    def __init__(self, session: Session, listening: Listening, presence: Presence, stir: Callable[[], None]):
        self._presence, self._stir = presence, stir
        self.reports: queue.SimpleQueue[dict[str, Any]] = queue.SimpleQueue()
        self._words: dict[str, bytes] = {}
        self._listener = Listener(zmq.ROUTER, session, listening)
        self.mailbox = self._listener.mailbox
        self._open = True
        self._thread = threading.Thread(target=self._serve, daemon=True, name="dsgd-desk")
        self._thread.start()

    def _serve(self) -> None:
        socket = self._listener.socket
        while self._open:
            if not socket.poll(_LOOK):
                continue
            who, *frames = socket.recv_multipart()
            try:
                answer = self._answer(*line.read_request(frames))
            except (ValueError, KeyError, TypeError) as error:
                _log.warning("a request of a crew's member was dropped: %s", error)
                continue
            if answer is not None:
                socket.send_multipart([who, frames[0], *line.pack(*answer)])

    def _answer(self, request: dict[str, Any], value: bytes) -> tuple[dict[str, Any], bytes] | None:
        """The answer to a request; None for one that has none."""
        if request["verb"] == line.START:
            answer = self._presence.ask(Start(**request["start"]))
            self._stir()
            return answer, b""
        if request["verb"] == line.LEAVE:
            return self._presence.leave(request["member"], request["attempt"]), b""
        stands = self._presence.stands(request["member"], request["attempt"])
        if request["verb"] == line.REPORT:
            if stands:
                self.reports.put(read_object(value, "a report", ValueError))
                self._stir()
            return None
        return self._word(request, value, {"stands": stands, "over": self._presence.over})

    def _word(self, request: dict[str, Any], value: bytes, answer: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
        """The board; a member that counts no more neither writes nor reads it."""
        if request["verb"] == line.BEAT or not answer["stands"]:
            return answer, b""
        if request["verb"] == line.POST:
            self._words[request["name"]] = value
            return answer, b""
        if request["verb"] != line.READ:
            raise ValueError(f"there is no verb {request['verb']!r}")
        found = self._words.get(request["name"])
        return answer | {"found": found is not None}, found or b""

    def close(self) -> None:
        """Answer no more, and forget the board."""
        self._open = False
        self._thread.join(_CLOSE)
        self._listener.close()
