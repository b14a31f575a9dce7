"""Staleness: how far ahead of the slowest a worker may be, and how many pushes make up a step."""

from dataclasses import dataclass

from ..errors import ConfigError


@dataclass(frozen=True)
class Policy:
    """When a shard applies pushes and answers pulls.

    A worker's clock is the number of its pushes. With ``staleness=0`` the pushes of one clock make up one step, which is taken
    when all workers that take part have pushed, and nobody pulls for the next clock before (bulk-synchronous). With a bound
    ``s`` every push is a step of its own, and a pull for clock ``c`` waits until no worker is below ``c - s`` (Ho et al.,
    "More effective distributed ML via a stale synchronous parallel parameter server", NIPS 2013). None never waits.

    Parameters
    ----------
    staleness : int or None
    backup_workers : int
        With ``staleness=0``: a step is taken when all but so many workers have pushed, and a push for a step that has been
        taken is dropped and counted (Chen et al., "Revisiting distributed synchronous SGD", 2016).

    Raises
    ------
    ConfigError
        For backup workers without ``staleness=0``, or numbers below 0.

    Examples
    --------
    >>> Policy(2).lets(clock=5, slowest=3), Policy(2).lets(clock=6, slowest=3), Policy(None).lets(clock=99, slowest=0)
    (True, False, True)
    >>> Policy(0, backup_workers=1).needed(workers=4)
    3
    """

    staleness: int | None = None
    backup_workers: int = 0

    def __post_init__(self):
        if self.staleness is not None and self.staleness < 0:
            raise ConfigError(f"staleness must be None or at least 0, not {self.staleness!r}")
        if self.backup_workers < 0:
            raise ConfigError(f"backup_workers must be at least 0, not {self.backup_workers!r}")
        if self.backup_workers and self.staleness != 0:
            raise ConfigError("backup_workers are for steps that all take together: they need staleness=0")

    @property
    def together(self) -> bool:
        """Whether the pushes of one clock are one step."""
        return self.staleness == 0

    def needed(self, workers: int) -> int:
        """Pushes that complete a step of ``workers`` workers; at least one."""
        return max(1, workers - self.backup_workers)

    def lets(self, clock: int, slowest: int) -> bool:
        """Whether a worker may pull for ``clock`` while the slowest of the others is at ``slowest``."""
        return self.staleness is None or clock - slowest <= self.staleness
