"""How long each rank of a gang was busy in an epoch, and how long it waited for others: measured by all, told to all.

In: the collectives, which count the seconds that they wait. Out: two lists for the history. A step takes microseconds, and
many are taken in compiled loops, so it is epochs that are measured: two looks at a clock, and one small all-gather in a
place where the ranks meet anyway.
"""

import time
from typing import Any

import numpy as np

from ..collectives.base import Collective


class Stragglers:
    """The times of one rank, since it was made or asked last.

    Parameters
    ----------
    *circles : Collective
        Those in which the rank meets others, the ones that share its rows first: gathered in this order they bring the ranks'
        times in the ranks' order.

    Examples
    --------
    >>> from dsgd.collectives.single import SingleProcess
    >>> Stragglers(SingleProcess()).epoch()
    {}
    """

    def __init__(self, *circles: Collective):
        self._circles = [circle for circle in circles if circle.size > 1]
        self._begin()

    def _begin(self) -> None:
        self._began, self._before = time.perf_counter(), self._waited()

    def _waited(self) -> float:
        return sum(circle.waited for circle in self._circles)

    def epoch(self) -> dict[str, Any]:
        """End an epoch; called by all ranks.

        Returns
        -------
        dict
            ``busy`` and ``waiting``, lists of seconds in rank order: together they are the time since the epoch before ended.
            Nothing where there are no others.
        """
        if not self._circles:
            return {}
        waiting = self._waited() - self._before
        times = np.array([max(0.0, time.perf_counter() - self._began - waiting), waiting]).tobytes()
        for circle in self._circles:
            times = b"".join(circle.allgather(times))
        # What is waited here is nobody's next epoch.
        self._begin()
        return columns(np.frombuffer(times).reshape(-1, 2))


def columns(times: np.ndarray) -> dict[str, Any]:
    """Seconds busy and waiting, an array of shape (ranks, 2), as the history has them: with four digits.

    Examples
    --------
    >>> columns(np.array([[0.123456, 0.0], [0.1, 0.0234567]]))
    {'busy': [0.1235, 0.1], 'waiting': [0.0, 0.02346]}
    """
    lists = ([float(f"{seconds:.4g}") for seconds in column] for column in times.T)
    return dict(zip(("busy", "waiting"), lists, strict=True))
