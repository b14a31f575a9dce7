"""Watching a cluster while something is waited for: a task whose workers have all gone would otherwise wait for ever."""

import contextlib
import threading
import time
from collections.abc import Collection, Sequence

import distributed

from dsgd.errors import WorkerLost
from dsgd.train.again import RankLost

from . import stopping

# Seconds: between two looks at the workers; for the scheduler to be silent; for a result to travel; for workers to come,
# where there are none (a Nanny starts one again within seconds, a cluster that scales within minutes).
_LOOK, _SILENT, TRAVEL, DESERTED = 1.0, 60.0, 600.0, 180.0


def cancelled(client: distributed.Client, error: BaseException, otherwise: str) -> WorkerLost:
    """Say why futures were cancelled: the scheduler has gone, or somebody has cancelled them."""
    if client.status != "running" or "scheduler" in str(error):
        return WorkerLost(f"Dask's scheduler has gone away, or cannot be reached any more: {error}")
    return WorkerLost(f"{otherwise}: {error}")


class Watch:
    """Looks after the workers from a thread of its own: a task that is pinned to a dead worker would wait for ever."""

    def __init__(self, client: distributed.Client, addresses: Sequence[str]):
        self._client = client
        self._addresses = set(addresses)
        self._stop = threading.Event()
        self._lost: set[str] = set()
        self._heard = self._seen = time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True, name="dsgd-watch")
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK):
            with contextlib.suppress(
                OSError, ValueError, RuntimeError, AttributeError
            ):  # No answer: the silence counts.
                present = set(self._client.nthreads())
                self._lost |= self._addresses - present
                self._heard = time.monotonic()
                if present & self._addresses if self._addresses else present:
                    self._seen = self._heard

    def lost(self) -> set[str]:
        """Workers that have left; raises WorkerLost when the scheduler itself says nothing."""
        if time.monotonic() - self._heard > _SILENT:
            raise WorkerLost(f"Dask's scheduler has not answered for {_SILENT:g} s")
        return set(self._lost)

    def alone(self) -> float:
        """Seconds for which none of the workers has been there; WorkerLost as for :meth:`lost`."""
        self.lost()
        return time.monotonic() - self._seen

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(timeout=_LOOK)


def wait(
    client: distributed.Client,
    futures: Sequence[distributed.Future],
    workers: Collection[str] | None = None,
    deserted: float = DESERTED,
    pinned: Collection[str] = (),
) -> None:
    """Wait until all futures have ended, or one in an error.

    Parameters
    ----------
    client : distributed.Client
    futures : sequence of Future
    workers : collection of str or None
        Addresses of the workers that may run their tasks; None for all.
    deserted : float
        Seconds to wait while there is no such worker.
    pinned : collection of str
        Addresses of workers each of which has tasks that no other may run.

    Raises
    ------
    RankLost
        When one of ``pinned`` has left.
    WorkerLost
        When there is no such worker for so long, or the scheduler does not answer.
    CancelledError
        When somebody has cancelled a task.
    """
    watch, pins = Watch(client, list(workers or ())), Watch(client, list(pinned))
    try:
        while not any(future.status == "error" for future in futures):
            stopping.check()
            # Of this process's clients it has to be the one whose futures these are.
            with contextlib.suppress(TimeoutError, distributed.TimeoutError), client.as_current():
                distributed.wait(list(futures), timeout=_LOOK)
                return
            if pins.lost():
                raise RankLost(f"the workers {sorted(pins.lost())} have left while their rows were encoded")
            if watch.alone() > deserted:
                who = f"of the workers {sorted(workers)}" if workers else "worker"
                raise WorkerLost(
                    f"the cluster has had no{'ne' if workers else ''} {who} for {deserted:g} s; the tasks that are left"
                    " cannot run: start workers, and fit again"
                )
    finally:
        watch.stop()
        pins.stop()
