"""A gang that loses an executor or a rank is submitted again: a few times, for a limited time, and never for a mistake.

The fit begins again from the beginning, and its data are read again. From Parquet its weights are those that it would have
had; in which order Spark brings a DataFrame's rows may differ from one time to the next.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from dsgd.errors import ConfigError, WorkerLost

from .messages import RankLost

_log = logging.getLogger(__name__)
# Times that a gang is submitted again; seconds since the fit began in which that is done; and for slots to come back.
AGAIN, _PATIENCE, _COME_BACK = 3, 24 * 3600.0, 60.0
_LOOK = 0.5

T = TypeVar("T")


def again(attempt: Callable[[], T], name: str, room: Callable[[], bool]) -> T:
    """Make an attempt, and others when a rank is lost.

    Parameters
    ----------
    attempt : callable
    name : str
        Of the fit, for the log.
    room : callable
        Whether there are slots for another attempt.

    Raises
    ------
    WorkerLost
        When the last attempt lost a rank too, or no slots have come back for another.
    """
    began = time.monotonic()
    for number in range(1, AGAIN + 2):
        try:
            return attempt()
        except RankLost as lost:
            if number > AGAIN or time.monotonic() - began > _PATIENCE:
                raise WorkerLost(f"{lost}; that was the last of {number} attempts") from lost
            _log.warning("%s begins again from the beginning, for the %s time: %s", name, _ORDINALS[number - 1], lost)
            _await(room, lost)
    raise AssertionError("the loop returns or raises")


_ORDINALS = ("first", "second", "third")


def _await(room: Callable[[], bool], lost: RankLost) -> None:
    """Wait for slots: a cluster starts an executor in the place of a lost one."""
    limit = time.monotonic() + _COME_BACK
    while not _asked(room):
        if time.monotonic() > limit:
            raise WorkerLost(f"{lost}; and no slots have come back for another attempt in {_COME_BACK:g} s") from lost
        time.sleep(_LOOK)


def _asked(room: Callable[[], bool]) -> bool:
    try:
        return room()
    except ConfigError:
        return False
