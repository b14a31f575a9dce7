"""A gang that loses a rank begins again: a few times, for a limited time, and never for a mistake.

The fit begins again from the beginning, and its data are read again. What a lost rank is, and whether there is room for
another attempt, is the engine's to say.
"""

import logging
import time
from collections.abc import Callable
from typing import TypeVar

from ..errors import ConfigError, WorkerLost

_log = logging.getLogger(__name__)
# Times that a gang is submitted again; seconds since the fit began in which that is done; and for slots to come back.
AGAIN, _PATIENCE, COME_BACK = 3, 24 * 3600.0, 60.0
_LOOK = 0.5
_ORDINALS = ("first", "second", "third")

T = TypeVar("T")


class RankLost(WorkerLost):
    """A process or a rank has gone, for no reason of the data's or the configuration's: the gang may run again."""


def again(
    attempt: Callable[[], T],
    name: str,
    room: Callable[[], bool],
    come_back: float = COME_BACK,
    log: logging.Logger = _log,
) -> T:
    """Make an attempt, and others when a rank is lost.

    Parameters
    ----------
    attempt : callable
    name : str
        Of the fit, for the log.
    room : callable
        Whether there are slots for another attempt.
    come_back : float
        Seconds to wait for them.
    log : logging.Logger
        The engine's, which is warned of each new attempt.

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
            log.warning("%s begins again from the beginning, for the %s time: %s", name, _ORDINALS[number - 1], lost)
            _await(room, lost, come_back)
    raise AssertionError("the loop returns or raises")


def _await(room: Callable[[], bool], lost: RankLost, come_back: float) -> None:
    """Wait for slots: a cluster starts a process in the place of a lost one."""
    limit = time.monotonic() + come_back
    while not _asked(room):
        if time.monotonic() > limit:
            raise WorkerLost(f"{lost}; and no slots have come back for another attempt in {come_back:g} s") from lost
        time.sleep(_LOOK)


def _asked(room: Callable[[], bool]) -> bool:
    try:
        return room()
    except ConfigError:
        return False
