"""A fit that nobody waits for any more: its thread looks here, wherever it waits, whether it is to stop."""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Iterator
from typing import TypeVar

import distributed

# Seconds between two looks.
_LOOK = 0.5
_stop: contextvars.ContextVar[threading.Event | None] = contextvars.ContextVar("dsgd-stop", default=None)

T = TypeVar("T")


class Stopped(BaseException):
    """The awaiting task was cancelled. No Exception, so that nothing on the way takes it for a failure of its own."""


@contextlib.contextmanager
def stopped_by(event: threading.Event) -> Iterator[None]:
    """Let an event stop what this thread does in the block."""
    token = _stop.set(event)
    try:
        yield
    finally:
        _stop.reset(token)


def check() -> None:
    """Raise Stopped when this thread is to stop."""
    event = _stop.get()
    if event is not None and event.is_set():
        raise Stopped("the task that awaited this fit was cancelled")


def until(look: Callable[[float], T], seconds: float) -> T:
    """Call ``look(timeout)`` for short times until it gives something true, and no longer than ``seconds``.

    Raises
    ------
    TimeoutError
    """
    limit = time.monotonic() + seconds
    while True:
        check()
        left = limit - time.monotonic()
        try:
            found = look(max(0.05, min(_LOOK, left)))
        except (TimeoutError, distributed.TimeoutError):  # Two classes before Python 3.11.
            found = None
        if found:
            return found
        if left <= _LOOK:
            raise TimeoutError
