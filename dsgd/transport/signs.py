"""Signs of life between ranks: which of them are new, which are handed on, and how long there was none.

A sign is two numbers, the rank that gave it and how many it has given. A rank that waits hands on what reaches it by way
of the rank that it waits for, each sign once: where ranks wait for each other in a circle nobody gives any, and those
that go round come to an end.
"""

import time

import numpy as np

_FIELDS = 2
# The part of its deadline after which a rank that waits gives a sign, once.
_TELL = 0.1


class Signs:
    """The signs that one rank gives, has taken and has handed on.

    Parameters
    ----------
    rank : int

    Examples
    --------
    >>> sign = Signs(0).give()
    >>> other = Signs(1)
    >>> other.take(0, sign), other.take(0, sign), other.hand_on(sign), other.hand_on(sign)
    (True, False, True, False)
    """

    def __init__(self, rank: int):
        self._rank = rank
        self._given = 0
        self._taken: dict[tuple[int, int], int] = {}
        self._handed_on: dict[int, int] = {}

    def give(self) -> np.ndarray:
        """A new sign of this rank: an array of shape (2,), int64."""
        self._given += 1
        return np.array([self._rank, self._given], np.int64)

    def take(self, source: int, sign: np.ndarray) -> bool:
        """Whether a sign that came from the rank ``source`` is a new one on this way."""
        origin, number = sign.tolist()
        new = number > self._taken.get((source, origin), 0)
        if new:
            self._taken[source, origin] = number
        return new

    def hand_on(self, sign: np.ndarray) -> bool:
        """Whether others have not had this sign from here yet."""
        origin, number = sign.tolist()
        new = origin != self._rank and number > self._handed_on.get(origin, 0)
        if new:
            self._handed_on[origin] = number
        return new


def read(payload: memoryview) -> np.ndarray:
    """Return a sign from a message's bytes; ValueError when it is none."""
    if len(payload) != 8 * _FIELDS:
        raise ValueError(f"a sign of life has {8 * _FIELDS} bytes, not {len(payload)}")
    return np.frombuffer(payload, np.int64)


class Silence:
    """How long the peers have given no sign, as one that waits for them sees it.

    Parameters
    ----------
    deadline : float
        Seconds.

    Examples
    --------
    >>> Silence(deadline=60.0).too_long(3)
    False
    """

    def __init__(self, deadline: float):
        self._deadline = deadline
        self._begun = time.monotonic()
        self._heard: dict[int, float] = {}
        self._told = False

    def to_be_told(self) -> bool:
        """True once, when some of the deadline has passed: whoever waits for this rank is to hear of it now, so that its
        own deadline ends first, and all ranks learn which one was silent."""
        due = not self._told and time.monotonic() - self._begun > _TELL * self._deadline
        self._told = self._told or due
        return due

    def broken(self, peer: int) -> None:
        """Note a sign of a peer."""
        self._heard[peer] = time.monotonic()

    def too_long(self, peer: int) -> bool:
        """Whether the deadline has passed since the wait began, and since the peer's last sign."""
        return time.monotonic() - max(self._begun, self._heard.get(peer, 0.0)) > self._deadline
