"""What every engine does to keep a crew: check what is asked for, count who has died and returned, and say how it ends.

Nothing here starts a member or talks to one: an engine tells the roll how each member ended, and the roll tells the engine
whether to start it again. Boards have the same limits on every engine, and check them here.
"""

import logging
import time

from ..errors import ConfigError, WorkerLost
from . import rank as ranks
from .rank import LOST, Failure

# Seconds: for members to return when the crew is over; for a cause to arrive after a member's word that it lost a peer.
LEAVE, GRACE = 5.0, 2.0
MOST_BYTES = 1 << 16
_log = logging.getLogger(__name__)


def check(size: int, servers: int, restarts: int) -> None:
    """Refuse a crew that cannot be: ConfigError."""
    if size < 1:
        raise ConfigError(f"a crew has at least one member, not {size}; give a payload for each")
    if not 0 <= servers <= size:
        raise ConfigError(f"servers must be 0 to {size}, the number of members, not {servers}")
    if restarts < 0:
        raise ConfigError(f"restarts must be at least 0, not {restarts}")


def check_word(name: str, value: bytes) -> bytes:
    """Return what is to be written on a board; ConfigError when it is too large.

    Examples
    --------
    >>> check_word("address", b"tcp://10.0.0.1:5555")
    b'tcp://10.0.0.1:5555'
    """
    if len(value) > MOST_BYTES:
        raise ConfigError(
            f"a value on the board has at most {MOST_BYTES} bytes, and {name!r} has {len(value)}: send large values"
            " over the members' own sockets, and leave the address on the board"
        )
    return bytes(value)


class Roll:
    """Who is in a crew: how often each member was started, who has returned, and how it all ends.

    Attributes
    ----------
    attempts : list of int
        The current attempt of each member.
    returned : set of int
        Members that have ended by themselves.
    result : bytes or None
        The lead's, once it has returned: the crew is over then.

    Examples
    --------
    >>> roll = Roll(2, restarts=1)
    >>> roll.ended(1, 0, Failure(1, LOST, "rank 1 was killed"))
    True
    >>> roll.attempts
    [0, 1]
    >>> roll.ended(0, 0, b"done"), roll.over
    (False, True)
    """

    def __init__(self, size: int, restarts: int):
        self.attempts = [0] * size
        self.returned: set[int] = set()
        self.result: bytes | None = None
        self._restarts, self._deaths = restarts, 0
        self._failures: list[Failure] = []
        self._giving_up = float("inf")

    @property
    def over(self) -> bool:
        """Whether the lead has returned."""
        return self.result is not None

    def out(self) -> list[int]:
        """Members that have not returned."""
        return [rank for rank in range(len(self.attempts)) if rank not in self.returned]

    def ended(self, rank: int, attempt: int, outcome: bytes | Failure) -> bool:
        """Take note of a member's end; return whether it is to be started again, as ``attempts[rank]``.

        A death is a failure of the kind LOST. The end of an earlier attempt, which runs on somewhere, counts for nothing.
        Once the crew is over, nobody is started again.

        Raises
        ------
        WorkerLost
            When that was one death too many.
        DSGDError
            As for :meth:`check`.
        """
        if attempt != self.attempts[rank] or rank in self.returned:
            return False
        if isinstance(outcome, Failure) and outcome.kind == LOST and not self.over:
            self._died(rank, outcome)
            return True
        self.returned.add(rank)
        if isinstance(outcome, Failure):
            if not self.over:
                self._failures.append(outcome)
                self._giving_up = min(self._giving_up, time.monotonic() + GRACE)
        elif rank == 0:
            self.result = outcome
        self.check()
        return False

    def check(self) -> None:
        """Raise what has ended a member and so the crew: at once, or a little later where the cause may still arrive."""
        if not self._failures:
            return
        causes = any(failure.severity < 2 for failure in self._failures)
        if causes or self.over or time.monotonic() > self._giving_up:
            ranks.raise_first(self._failures)

    def _died(self, rank: int, how: Failure) -> None:
        self._deaths += 1
        if self._deaths > self._restarts:
            deaths = "the first death" if self._deaths == 1 else f"death number {self._deaths}"
            raise WorkerLost(
                f"{how.message}; that was {deaths} in the crew, and no more than restarts={self._restarts} members are"
                " started again"
            )
        self.attempts[rank] += 1
        _log.warning("%s; it is started again (attempt %d)", how.message, self.attempts[rank])
