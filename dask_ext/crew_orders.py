"""What a crew is, what a member of it is told by the driver, and the names under which the scheduler knows its things."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Plan:
    """What a crew is and where it begins.

    Attributes
    ----------
    fit, who, function, topic : str
        As its members are told.
    payloads : sequence
    servers : int
        The first so many members live beside the tasks.
    deadline : float
        Seconds for a member to be started, at first and again.
    addresses : sequence of str
        Each member's first worker.
    threads : mapping of str to int
        Threads of a member on each of these workers.
    """

    fit: str
    who: str
    function: str
    topic: str
    payloads: Sequence[Any]
    servers: int
    deadline: float
    addresses: Sequence[str]
    threads: Mapping[str, int]


@dataclass(frozen=True)
class MemberOrders:
    """What a member is told by the driver.

    ``process`` is the one that was probed; ``topic`` brings reports home; ``who`` tells on Dask's dashboard whose member it is.
    """

    fit: str
    rank: int
    size: int
    attempt: int
    function: str
    process: str
    scratch: str
    threads: int
    topic: str
    who: str

    @property
    def key(self) -> str:
        """The task's key, of this attempt alone, known to its worker as well."""
        return f"dsgd-member-{self.who}-{self.fit}-{self.rank}-{self.attempt}"


def board_key(fit: str) -> str:
    """Key of the task with whose metadata the board lives and dies."""
    return f"dsgd-board-{fit}"
