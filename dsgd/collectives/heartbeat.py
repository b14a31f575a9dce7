"""Signs of life: a rank that works by itself says so, and the deadlines of its peers count silence, not work.

Ranks encode at different speeds, and pass over different rows; the slowest may come to an operation minutes after the
first. Between two operations a thread gives a sign a tenth of the deadline apart: a counter in shared memory, a small
message on the network. A rank that waits gives none of its own, but hands on those of the rank that it waits for, so
that a wait ends with whoever is at the end of it. A process that is frozen, or cut off, gives no sign; a rank that does
nothing for too long (it reads from something that never answers) stops giving them.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

# Signs a deadline, so that a busy machine may swallow some.
_SIGNS = 10
# Seconds for which a rank may do one and the same thing, a block of rows at most, and still be taken to be at work.
STALLED = 1800.0


class Heartbeat:
    """The signs of one rank.

    Parameters
    ----------
    beat : callable
        Gives one sign; called with ``turn`` held, so that it may use what the operations use.
    position : callable
        A number that changes with every operation.
    deadline : float
        Seconds that peers wait after a sign.
    stalled : float
        Seconds without an operation, or a call of what :meth:`working` gives, after which no more signs are given.

    Attributes
    ----------
    turn : threading.Lock
        Held by an operation while it runs, which is when no signs are given.
    """

    def __init__(
        self, beat: Callable[[], None], position: Callable[[], int], deadline: float, stalled: float = STALLED
    ):
        self.turn = threading.Lock()
        self._beat, self._position = beat, position
        self._interval, self._stalled = deadline / _SIGNS, stalled
        self._done = 0

    @contextmanager
    def working(self) -> Iterator[Callable[[], None]]:
        """Give signs inside; yields what to call after each piece of work."""
        stop = threading.Event()
        thread = threading.Thread(target=self._run, args=(stop,), daemon=True, name="dsgd-heartbeat")
        thread.start()
        try:
            yield self._moved
        finally:
            stop.set()
            thread.join()

    def _moved(self) -> None:
        self._done += 1

    def _run(self, stop: threading.Event) -> None:
        last, since = None, time.monotonic()
        while not stop.wait(self._interval):
            here = (self._done, self._position())
            if here != last:
                last, since = here, time.monotonic()
            if time.monotonic() - since <= self._stalled and self.turn.acquire(blocking=False):
                try:
                    self._beat()
                finally:
                    self.turn.release()
