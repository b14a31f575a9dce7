"""Directories of fits that nobody on the executors tidies up: the driver has them removed, where its tasks get to.

A rank that is killed removes nothing, and what a stopped task had begun goes on for a moment after Spark has called it ended. The
names of fits that did not end well are therefore remembered, an application's together, and removed once more when its next fit
ends; at the latest they go with the application's own directories.
"""

import functools
import logging
import threading
from collections.abc import Sequence
from typing import ClassVar

from . import cells, worker
from .leaves import tasks
from .session import Job, Session

_log = logging.getLogger(__name__)
# Seconds for tidying up to find free slots: other jobs may hold them for hours.
_SWEEP = 10.0


class Litter:
    """What one engine has left behind, and what others of its application may have.

    Parameters
    ----------
    session : Session

    Examples
    --------
    >>> litter = Litter(session)  # doctest: +SKIP
    >>> litter.suspect("4e1f")  # doctest: +SKIP
    >>> litter.sweep([], "churn")  # doctest: +SKIP
    """

    _suspects: ClassVar[dict[str, list[str]]] = {}
    _lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, session: Session):
        self._session, self._key = session, session.key()
        self._left: list[str] = []

    def suspect(self, *names: str) -> None:
        """Have these removed by the next sweep, and by that of the application's next fit."""
        self._left = list(dict.fromkeys([*self._left, *names]))

    def sweep(self, names: Sequence[str], title: str) -> None:
        """Remove what fits of these names have left, and suspects; nothing is done where there are none."""
        with self._lock:
            before = self._suspects.pop(self._key, [])
        left, self._left = self._left, []
        found = [*names, *left, *before]
        if not found:
            return
        still = left if self.remove(found, title) else found
        with self._lock:
            self._suspects.setdefault(self._key, []).extend(still)

    def remove(self, names: Sequence[str], title: str) -> bool:
        """Remove directories by their fits' names now; whether tasks have got there."""
        try:
            slots = self._session.slots()
            sweep = functools.partial(worker.sweep, names)
            job = Job(f"{title}, tidying up", slots, _SWEEP)
            self._session.collect(tasks(self._session, slots).mapInArrow(sweep, cells.SPARK), job)
        except Exception as error:  # No slots, or the application goes down; its local directories go with it.
            _log.debug("could not sweep: %s", error)
            return False
        return True
