"""What a worker process keeps between an engine's rounds: one object a fit and share, made once, for the latest fits.

In come the names of a fit and of its share, and how to make what is kept; out comes the object, to one user at a time. What
is pushed out, or let go, while it is in use is closed by its last user: nobody meets a closed one.
"""

import contextlib
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import Generic, Protocol, TypeVar


class Closable(Protocol):
    """Something that holds files or memory until it is closed."""

    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=Closable)


class _Place(Generic[Kept]):
    """Where one share of one fit is kept; ``users`` and ``dropped`` belong to the lock of the whole."""

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.kept: Kept | None = None
        self.users = 0
        self.dropped = False

    def close(self) -> None:
        """Close what is kept; nobody uses it any more, and nobody finds it."""
        if self.kept is not None:
            self.kept.close()


class Holding(Generic[Kept]):
    """Shares of the latest fits.

    Parameters
    ----------
    most_fits : int
        Fits that are kept; the one that was used least recently goes first.

    Examples
    --------
    >>> import io
    >>> holding = Holding(1)
    >>> with holding.use("fit", 0, io.BytesIO) as share:
    ...     share.write(b"rows")
    4
    >>> with holding.use("fit", 0, io.BytesIO) as share:
    ...     share.getvalue()
    b'rows'
    """

    def __init__(self, most_fits: int):
        self._most_fits = most_fits
        self._lock = threading.Lock()
        self._fits: dict[str, dict[int, _Place[Kept]]] = {}

    @contextlib.contextmanager
    def use(self, fit: str, share: int, make: Callable[[], Kept]) -> Iterator[Kept]:
        """Give the share to this user alone, made by ``make`` if this process does not have it."""
        place = self._enter(fit, share)
        try:
            with place.turn:
                if place.kept is None:
                    place.kept = make()
                yield place.kept
        finally:
            self._leave(place)

    def forget(self, fit: str) -> None:
        """Let the shares of a fit go."""
        with self._lock:
            idle = self._drop(fit)
        _close(idle)

    def _enter(self, fit: str, share: int) -> _Place[Kept]:
        idle: list[_Place[Kept]] = []
        with self._lock:
            self._fits[fit] = self._fits.pop(fit, {})  # The fits are in the order of their last use.
            place = self._fits[fit].setdefault(share, _Place())
            place.users += 1
            while len(self._fits) > self._most_fits:
                idle += self._drop(next(iter(self._fits)))
        _close(idle)
        return place

    def _leave(self, place: _Place[Kept]) -> None:
        with self._lock:
            place.users -= 1
            last = place.dropped and place.users == 0
        if last:
            place.close()

    def _drop(self, fit: str) -> list[_Place[Kept]]:
        """Take a fit out; return those of its places that nobody uses, to be closed outside of the lock."""
        places = list(self._fits.pop(fit, {}).values())
        for place in places:
            place.dropped = True
        return [place for place in places if place.users == 0]


def _close(places: Iterable[_Place]) -> None:
    for place in places:
        place.close()
