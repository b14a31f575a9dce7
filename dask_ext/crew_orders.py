"""What a member of a crew is told by the driver, and the names under which the scheduler knows a crew's things."""

from dataclasses import dataclass


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
