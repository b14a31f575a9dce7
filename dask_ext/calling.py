"""Who calls a fit: a script or a notebook, an event loop that awaits it, or a task of Dask's.

There is one implementation, which waits. Under an asynchronous client it runs in a thread of its own, and what is awaited is
its end; an awaiting task that is cancelled ends it. Inside a task, the task leaves its worker's slot for the gang.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import Callable, Iterator
from typing import Any

import distributed
from distributed import threadpoolexecutor
from distributed.worker import thread_state

from dsgd.errors import ConfigError
from dsgd.train.again import COME_BACK, again, room_for

from .stopping import stopped_by

_log = logging.getLogger(__name__)
# Seconds: for a fit to end when nobody waits for it any more; for a worker that was lost to come back, when the fit may do with
# fewer.
_END = 60.0


def in_task() -> bool:
    """Whether this is a task of Dask's, in a thread of a worker."""
    try:
        distributed.get_worker()
    except ValueError:
        return False
    return hasattr(thread_state, "key")


def current() -> distributed.Client | None:
    """Return the task's client, or the current one; None where there is none.

    Raises
    ------
    ConfigError
        When it has been closed.
    """
    try:
        client = distributed.get_client() if in_task() else distributed.default_client()
    except ValueError:
        return None
    if client.status in ("closing", "closed"):
        raise ConfigError("the current client is closed; open another: Client(address)")
    return client


def call(work: Callable[[], Any]) -> Any:
    """Do a piece of work that waits for the cluster; under an asynchronous client return what is to be awaited."""
    client = current()
    if client is not None and client.asynchronous:
        return _awaited(client, work)
    return work()


async def _awaited(client: distributed.Client, work: Callable[[], Any]) -> Any:
    loop = asyncio.get_running_loop()
    ended: asyncio.Future = loop.create_future()
    stop = threading.Event()

    def settle(setter: Callable[[Any], None], value: Any) -> None:
        if not ended.done():
            setter(value)

    def body() -> None:
        setter: Callable[[Any], None] = ended.set_result
        try:
            with stopped_by(stop), client.as_current():
                value = work()
        except BaseException as error:
            setter, value = ended.set_exception, error
        with contextlib.suppress(RuntimeError):  # The loop has been closed: nobody waits.
            loop.call_soon_threadsafe(settle, setter, value)

    threading.Thread(target=body, daemon=True, name="dsgd-fit").start()
    try:
        return await asyncio.shield(ended)
    except asyncio.CancelledError:
        stop.set()
        await asyncio.wait([ended], timeout=_END)
        if ended.done():
            ended.exception()  # Known: it was asked for.
        raise


def fit(work: Callable[[], Any], name: str, size: int | None, least: int | None = None) -> Any:
    """Do the work of a fit, again if a worker is lost; see :func:`call`.

    Parameters
    ----------
    work : callable
    name : str
        Of the estimator, for the log.
    size : int or None
        Ranks; None is one a worker.
    least : int or None
        Ranks that are enough to go on with.

    Raises
    ------
    WorkerLost
        When workers were lost four times, or none has come back.
    """
    return call(lambda: _again(work, name, size, least))


def _again(work: Callable[[], Any], name: str, size: int | None, least: int | None) -> Any:
    client = current()
    if client is None:  # A cluster of the fit's own, which ends with it.
        return work()
    before = len(client.nthreads())
    room = room_for(before, None, lambda: len(client.nthreads()))

    def attempt() -> Any:
        nonlocal room
        if size is not None:
            room = room_for(size, least, lambda: sum(client.nthreads().values()))
        else:
            room = room_for(before, least or 1, lambda: len(client.nthreads()))
        return work()

    with stepped_aside():
        return again(attempt, name, lambda: room(), COME_BACK, _log)


@contextlib.contextmanager
def stepped_aside() -> Iterator[None]:
    """Inside a task, leave its slot to others while it waits for them, unless it has done so (``worker_client``)."""
    if not in_task() or not getattr(threadpoolexecutor.thread_state, "proceed", False):
        yield
        return
    distributed.secede()
    try:
        yield
    finally:
        threadpoolexecutor.rejoin()
