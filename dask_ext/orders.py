"""What a rank of a gang is told by the driver."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Orders:
    """What a rank is told by the driver.

    ``process`` is the one that was probed; ``here`` are the ranks of the same machine; ``topic`` brings reports home;
    ``who`` tells on Dask's dashboard whose rank it is; ``leaves`` says whether ranks may leave files with the driver.
    """

    fit: str
    rank: int
    size: int
    function: str
    process: str
    scratch: str
    here: tuple[int, ...]
    threads: int
    deadline: float
    topic: str
    who: str = "fit"
    leaves: bool = False

    @property
    def key(self) -> str:
        """The task's key, known to its worker as well."""
        return f"dsgd-rank-{self.who}-{self.fit}-{self.rank}"
