"""The board of a crew: metadata of a task on the scheduler, which every worker and the driver reach.

Dask keeps the metadata of a task for as long as anybody wants the task. Here the driver does, and every member while it
lives: so words outlive who wrote them, and nothing is left when all have gone, the driver that was killed included. The task
itself does nothing, and nobody waits for it.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

import distributed

from dsgd.errors import WorkerLost
from dsgd.train import crew

from .crew_orders import board_key
from .gang import bounded

# Seconds for the scheduler to answer.
_ANSWER = 60.0


class TaskBoard:
    """A :class:`dsgd.train.engine.Board` on the scheduler, as a member sees it; safe to use from several threads."""

    def __init__(self, fit: str, client: distributed.Client):
        self._key = board_key(fit)
        self._client = client
        self._wanted = _want(self._key, client)

    def post(self, name: str, value: bytes) -> None:
        """Write a value under a name."""
        self._ask("set_metadata", keys=[self._key, name], value=crew.check_word(name, value))

    def read(self, name: str) -> bytes | None:
        """The latest value under a name, or None."""
        found = self._ask("get_metadata", keys=[self._key, name], default=None)
        return None if found is None else bytes(found)

    def close(self) -> None:
        """Let go of the board."""
        self._wanted.release()

    def _ask(self, handler: str, **message: Any) -> Any:
        try:
            call = getattr(self._client.scheduler, handler)
            return self._client.sync(call, asynchronous=False, callback_timeout=_ANSWER, **message)
        except (OSError, TimeoutError, distributed.TimeoutError, RuntimeError) as error:
            raise WorkerLost(f"the board is gone: Dask's scheduler does not answer: {error!r}") from error


@contextlib.contextmanager
def made(fit: str, client: distributed.Client, workers: list[str] | None) -> Iterator[distributed.Future]:
    """Make a board, and let go of it at the end; it is there until the last member has let go of it as well."""
    pinned: dict[str, Any] = {} if workers is None else {"workers": workers, "allow_other_workers": False}
    board = _want(board_key(fit), client, **pinned)
    try:
        yield board
    finally:
        bounded(board.release)


def _want(key: str, client: distributed.Client, **pinned: Any) -> distributed.Future:
    """Submit the task, which for a key that the scheduler knows only says that this client wants it, too."""
    return client.submit(bool, key=key, pure=False, **pinned)
