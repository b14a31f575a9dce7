"""A gang that loses a rank begins again: a few times, for a limited time, and never for a mistake.

Its data are read again, and the fit goes on from its newest checkpoint; if it makes none, from the last epoch whose state the
driver keeps, or from the beginning. What a lost rank is, and whether there is room for another attempt, is the engine's to say.
"""

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import TypeVar

from ..errors import ConfigError, WorkerLost

_log = logging.getLogger(__name__)
# Times that a gang is submitted again; seconds since the fit began in which that is done; and for slots to come back.
AGAIN, _PATIENCE, COME_BACK = 3, 24 * 3600.0, 60.0
_LOOK = 0.5
# Seconds in which all ranks are waited for, where fewer would do.
PATIENCE = 15.0
_ORDINALS = ("first", "second", "third")

T = TypeVar("T")


@dataclass
class Carry:
    """What the attempts of a fit hand on.

    Attributes
    ----------
    left : dict of str to bytes
        What its ranks have left with the driver.
    seed : int or None
        Of the first attempt: one that was drawn is not drawn again.
    """

    left: dict[str, bytes] = field(default_factory=dict)
    seed: int | None = None


@dataclass
class Attempts:
    """The fits that are made by whoever may be called again: the same ones in the same order each time.

    Examples
    --------
    >>> attempts = Attempts()
    >>> first = attempts.next_fit()
    >>> attempts.begin()
    >>> attempts.next_fit() is first, attempts.next_fit() is first
    (True, False)
    """

    fits: list[Carry] = field(default_factory=list)
    count: int = 0
    # Of the checkpoints of fits that have lost a rank: these are gone on from, whatever the user said of others'.
    tokens: set[str] = field(default_factory=set)

    def begin(self) -> None:
        """Another attempt begins."""
        self.count = 0

    def next_fit(self) -> Carry:
        """What the next fit has been handed by the attempts before."""
        self.count += 1
        if self.count > len(self.fits):
            self.fits.append(Carry())
        return self.fits[self.count - 1]


_ATTEMPTS: ContextVar[Attempts | None] = ContextVar("dsgd_attempts", default=None)


def carry() -> Carry | None:
    """What the fit that begins now is handed by the attempts before; None where it is not begun again."""
    attempts = _ATTEMPTS.get()
    return None if attempts is None else attempts.next_fit()


def tokens() -> set[str]:
    """Tokens of the checkpoints that attempts before have made; what is added is known to those that follow."""
    attempts = _ATTEMPTS.get()
    return set() if attempts is None else attempts.tokens


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
    began, attempts = time.monotonic(), Attempts()
    for number in range(1, AGAIN + 2):
        attempts.begin()
        token = _ATTEMPTS.set(attempts)
        try:
            return attempt()
        except RankLost as error:
            lost = error
            if number > AGAIN or time.monotonic() - began > _PATIENCE:
                raise WorkerLost(f"{lost}; that was the last of {number} attempts") from error
            kept = any(fit.left for fit in attempts.fits)
            whence = "the last epoch that the driver has" if kept else "the beginning, or its newest checkpoint"
            log.warning("%s begins again from %s, for the %s time: %s", name, whence, _ORDINALS[number - 1], lost)
        finally:
            _ATTEMPTS.reset(token)
        _await(room, lost, come_back)
    raise AssertionError("the loop returns or raises")


def room_for(full: int, least: int | None, slots: Callable[[], int], patience: float = PATIENCE) -> Callable[[], bool]:
    """Whether there is room for another attempt: for all ranks, or after some time for as few as there may be.

    Parameters
    ----------
    full, least : int
        Ranks that there should be, and that there must be; None is all.
    slots : callable
        Ranks that there is room for now.
    patience : float
        Seconds from the first question, in which all are waited for.

    Examples
    --------
    >>> room = room_for(4, 2, lambda: 3, patience=0.0)
    >>> room_for(4, None, lambda: 3)(), room_for(4, 2, lambda: 3)(), room()
    (False, False, True)
    """
    asked: list[float] = []

    def room() -> bool:
        asked.append(time.monotonic())
        there = slots()
        return there >= full or (least is not None and there >= least and asked[-1] - asked[0] >= patience)

    return room


def refuse_least(least: int | None, full: int | None, grid: bool = False) -> None:
    """Raise ConfigError for a least number of ranks that is none, or more than all, or other than all of a ``grid``."""
    if least is None:
        return
    if grid:
        raise ConfigError(
            "min_workers is for fits that go on with fewer ranks, and a grid of mode='hybrid' has all of its ranks or none; "
            "leave it out"
        )
    if isinstance(least, bool) or not isinstance(least, int) or least < 1:
        raise ConfigError(f"min_workers must be an integer >= 1 or None, not {least!r}")
    if full is not None and least > full:
        raise ConfigError(f"min_workers={least} is more than n_workers={full}; give at most as many")


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
