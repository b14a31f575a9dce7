"""The leaves of an aggregate as tasks on any worker, and the folding of their results as a tree of futures."""

import logging
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import distributed

from dsgd.errors import ConfigError, DSGDError, WorkerLost
from dsgd.train import rank as ranks
from dsgd.train.again import AGAIN

from . import worker
from .gang import LARGE, bounded
from .probing import SHIP
from .shipping import pack
from .watching import TRAVEL, wait

_log = logging.getLogger(__name__)


class _SharedLost(WorkerLost):
    """What the payloads share was on a worker that has gone: it is sent to another, and the tasks are submitted again."""


@dataclass(frozen=True)
class Leaves:
    """Where the leaves of one engine's aggregates run.

    Attributes
    ----------
    client : distributed.Client
    workers : list of str or None
        Addresses of the workers that may be used; None for all.
    deserted : float
        Seconds to wait for workers where there are none.
    who : str
        Part of the tasks' names.
    name : str
        Of the engine, whose leaves share a directory on each worker.
    """

    client: distributed.Client
    workers: list[str] | None
    deserted: float
    who: str
    name: str

    def aggregate(
        self, function: str, payloads: Sequence[Any], combine: str, shape: Sequence[Sequence[tuple[int, int]]]
    ) -> bytes:
        """Run the leaves, fold their results level by level, and return what is left."""
        for _ in range(AGAIN):
            try:
                return self._once(function, payloads, combine, shape)
            except _SharedLost as lost:
                _log.warning("%s; the tasks are submitted again", lost)
        return self._once(function, payloads, combine, shape)

    def _once(
        self, function: str, payloads: Sequence[Any], combine: str, shape: Sequence[Sequence[tuple[int, int]]]
    ) -> bytes:
        pinned: dict[str, Any] = {} if self.workers is None else {"workers": self.workers}
        level = [
            self.client.submit(
                worker.run_leaf,
                function,
                *shipped,
                index,
                len(payloads),
                self.name,
                1,
                key=f"dsgd-leaf-{self.who}-{uuid.uuid4().hex}",
                pure=False,
                **pinned,
            )
            for index, shipped in enumerate(self._share(payloads))
        ]
        submitted = list(level)
        try:
            for groups in shape:
                level = [
                    self.client.submit(ranks.fold, combine, level[start:stop], pure=False, **pinned)
                    for start, stop in groups
                ]
                submitted += level
            return ranks.results([self._fetch(level[0])])[0]
        finally:
            bounded(lambda: self.client.cancel(submitted))

    def _share(self, payloads: Sequence[Any]) -> list[tuple[Any, list[distributed.Future], int]]:
        """Ship all payloads as one, so that what they share (the weights, say) travels once a worker.

        It goes to one worker, from which the others have it. Dask's own broadcast never ends when a worker dies meanwhile.
        Payloads that hold futures travel one by one, so that a leaf waits for its own data only.
        """
        packed, futures = pack(list(payloads))
        if futures:
            return [(*pack([payload]), 0) for payload in payloads]
        try:
            shared = packed if len(packed) <= LARGE else self.client.scatter(packed, workers=self.workers, hash=False)
        except (distributed.TimeoutError, OSError) as error:
            raise _SharedLost(f"a worker has gone while data were sent to it: {error}") from error
        return [(shared, [], index) for index in range(len(payloads))]

    def _fetch(self, future: distributed.Future) -> Any:
        try:
            wait(self.client, [future], self.workers, self.deserted)
            return future.result(timeout=TRAVEL)
        except DSGDError:
            raise
        except ImportError as error:
            raise ConfigError(f"a worker cannot import what a task needs: {error}. {SHIP}") from error
        except distributed.CancelledError as error:
            raise _SharedLost(
                f"Dask cancelled a task of the aggregate, whose worker or data have gone: {error}"
            ) from error
        except (distributed.KilledWorker, distributed.TimeoutError, OSError) as error:
            raise WorkerLost(f"Dask gave up a task of the aggregate: {error}") from error
