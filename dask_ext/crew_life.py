"""One attempt of a crew's member, as the driver sees it: where it runs, and how it ended, once it has."""

import threading
from typing import Any

from dsgd.train.rank import LOST, Failure, failure_of

from .crew_member import LOST_BY_DASK
from .crew_sites import Site
from .watching import TRAVEL


class Life:
    """A member that was started.

    Parameters
    ----------
    rank, attempt : int
    site : Site
    future : Future or ActorFuture
        Ends in the member's outcome and the number of letters that it sent.
    kept : Future or None
        A payload that was sent to the worker as data, which stays there for as long as this is held.

    Attributes
    ----------
    outcome : bytes or Failure or None
    sent : int
        Letters, once there is an outcome.
    """

    def __init__(self, rank: int, attempt: int, site: Site, future: Any, kept: Any = None):
        self.rank, self.attempt, self.site, self.future, self._kept = rank, attempt, site, future, kept
        self.outcome: bytes | Failure | None = None
        self.sent = 0
        self._fetching = False

    def ended(self) -> bool:
        """Whether there is an outcome; never waits."""
        if not self._fetching and self.future.done():
            self._fetching = True
            # From a thread of its own: a result may be large, or its worker die before it is here.
            threading.Thread(target=self._fetch, daemon=True, name="dsgd-result").start()
        return self.outcome is not None

    def _fetch(self) -> None:
        try:
            outcome, self.sent = self.future.result(timeout=TRAVEL)
        except LOST_BY_DASK as error:
            where = f"on the worker {self.site.address}"
            outcome = Failure(self.rank, LOST, f"Dask lost rank {self.rank} {where}: {error!r}")
        except Exception as error:  # It ends the crew, and is raised for the user with its traceback.
            outcome = failure_of(self.rank, error)
        self.outcome = outcome
