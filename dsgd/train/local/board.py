"""The board of a crew on one machine: values by name in the driver's memory, under a lock, until the crew ends."""

import threading

from ...errors import WorkerLost
from .. import crew


class LocalBoard:
    """A :class:`dsgd.train.engine.Board` in this process.

    Examples
    --------
    >>> board = LocalBoard()
    >>> board.post("server-0", b"tcp://127.0.0.1:5555")
    >>> board.read("server-0"), board.read("server-1")
    (b'tcp://127.0.0.1:5555', None)
    """

    def __init__(self):
        self._lock = threading.Lock()
        self._words: dict[str, bytes] | None = {}

    def post(self, name: str, value: bytes) -> None:
        """Write a value under a name."""
        word = crew.check_word(name, value)
        with self._lock:
            self._open()[name] = word

    def read(self, name: str) -> bytes | None:
        """The latest value under a name, or None."""
        with self._lock:
            return self._open().get(name)

    def close(self) -> None:
        """Forget everything: whoever still writes or reads is told that the board is gone."""
        with self._lock:
            self._words = None

    def _open(self) -> dict[str, bytes]:
        if self._words is None:
            raise WorkerLost("the board is gone: the crew is over")
        return self._words
