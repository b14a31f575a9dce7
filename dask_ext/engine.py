"""The Dask engine: gangs of ranks pinned to workers, crews with actors beside them, and trees of futures for aggregates."""

import contextlib
import uuid
from collections.abc import Callable, Sequence
from typing import Any

import distributed

from dsgd.errors import ConfigError
from dsgd.train import crew as crews
from dsgd.train import place, tree
from dsgd.train import rank as ranks
from dsgd.train.again import RankLost

from . import crew_board, directories, placement
from .crew import Crew
from .crew_orders import Plan
from .crew_sites import Sites
from .gang import LARGE, Gang, Mail, bounded, turn
from .leaves import Leaves
from .left import Left
from .meeting import meeting
from .orders import Orders
from .probing import probe
from .shipping import pack
from .watching import DESERTED


class DaskEngine:
    """Run ranks on the workers of a Dask cluster.

    One rank a worker process: the threads of the worker belong to its rank. When more ranks than workers are asked for,
    a worker takes several, one a thread at most.

    Parameters
    ----------
    client : distributed.Client or None
        A synchronous client; None takes the current one, or else starts a LocalCluster of one single-threaded worker a
        core, which :meth:`close` closes.
    workers : sequence of str or None
        Addresses of the workers that may be used; None for all.
    turn_deadline : float
        Seconds that a fit waits for other fits to leave its workers.
    deserted : float
        Seconds that an aggregate waits for workers where there are none.
    who : str
        Whose ranks these are: part of their tasks' names, which Dask's dashboard shows.

    Examples
    --------
    >>> from distributed import Client
    >>> client = Client(processes=False, n_workers=1, threads_per_worker=2, dashboard_address=None)
    >>> engine = DaskEngine(client)
    >>> engine.launch("dsgd.train.selftest:gather", [b"to", b"gether"], deadline=30.0, on_report=print)
    [b'together', b'together']
    >>> engine.close()
    >>> client.close()
    """

    name = "dask"

    def __init__(
        self,
        client: distributed.Client | None = None,
        workers: Sequence[str] | None = None,
        turn_deadline: float = 3600.0,
        deserted: float = DESERTED,
        who: str = "fit",
    ):
        self._owned = contextlib.ExitStack()
        self._client = client if client is not None else self._any_client()
        if self._client.status in ("closing", "closed"):
            raise ConfigError("the client is closed; open another: Client(address)")
        if self._client.asynchronous:
            raise ConfigError(
                "DaskEngine needs a synchronous client; found one with asynchronous=True, or a call from the event"
                " loop's thread; pass Client(address)"
            )
        self._workers = None if workers is None else list(workers)
        self._turn_deadline, self._deserted, self._who = turn_deadline, deserted, who
        self._name = uuid.uuid4().hex

    def _any_client(self) -> distributed.Client:
        try:
            return distributed.default_client()
        except ValueError:  # There is none.
            cluster = distributed.LocalCluster(
                n_workers=place.cores(), threads_per_worker=1, host="127.0.0.1", dashboard_address=None
            )
            self._owned.enter_context(cluster)
            return self._owned.enter_context(distributed.Client(cluster))

    def _threads(self) -> dict[str, int]:
        """Threads of each worker that may be used, by address."""
        present = dict(sorted(self._client.nthreads().items()))
        if self._workers is None:
            return present
        missing = sorted(set(self._workers) - set(present))
        if missing:
            raise ConfigError(f"the cluster has no workers {missing}; it has {list(present)}")
        return {address: present[address] for address in sorted(self._workers)}

    @property
    def client(self) -> distributed.Client:
        """The client that this engine works through."""
        return self._client

    def at_close(self, action: Callable[[], Any]) -> None:
        """Have something done when the engine is closed: what a fit has put on the workers let go of, say.

        Parameters
        ----------
        action : callable
            Without arguments; the last one given is called first.
        """
        self._owned.callback(action)

    def slots(self) -> int:
        """Workers of the cluster now: one rank each."""
        return len(self._threads())

    def places(self, size: int) -> list[str]:
        """Return where a gang of so many ranks will run, as long as the cluster stays the same.

        Parameters
        ----------
        size : int
            Ranks.

        Returns
        -------
        list of str
            Address of each rank's worker.
        """
        return placement.place(size, self._threads())[0]

    def launch(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = lambda record: None,
        left: dict[str, bytes] | None = None,
    ) -> list[bytes]:
        """Run a gang of ranks; see :meth:`dsgd.train.engine.Engine.launch`."""
        ranks.find(function)
        addresses, threads = placement.place(len(payloads), self._threads())
        with turn(self._client, sorted(set(addresses)), self._turn_deadline):
            probes = probe(self._client, sorted(set(addresses)), deadline, self._who)
            topic = Mail.of(self._client).topic
            leaves = left is not None
            orders = placement.orders(function, addresses, probes, threads, deadline, topic, self._who, leaves)
            return self._run(orders, addresses, payloads, on_report, left)

    def _run(
        self,
        orders: Sequence[Orders],
        addresses: Sequence[str],
        payloads: Sequence[Any],
        on_report: Callable[[dict], None],
        left: dict[str, bytes] | None,
    ) -> list[bytes]:
        fit = orders[0].fit
        files = Left(self._client, fit, left)
        try:
            with Mail.of(self._client).box(fit) as box:
                shipped = [self._ship(payload, address) for payload, address in zip(payloads, addresses, strict=True)]
                return Gang(self._client, orders, addresses, files.note).run(shipped, box, on_report)
        except BaseException as error:
            if isinstance(error, RankLost) and files.wanted:
                files.fetch()
            # A rank that was killed has left its directory: whoever is left on its machine removes it.
            for path in sorted({order.scratch for order in orders}):
                bounded(lambda path=path: self._client.run(directories.sweep, path, on_error="ignore"))  # type: ignore[misc]
            raise
        finally:
            files.remove()
            bounded(distributed.Variable(meeting(fit), client=self._client).delete)

    def crew(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        servers: int,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = lambda record: None,
        restarts: int = 32,
    ) -> bytes:
        """Run members that live and die one by one; see :meth:`dsgd.train.engine.Engine.crew`.

        Servers are hosted by an actor beside the tasks of its worker and need no slot; the others are placed as ranks are. A
        member that dies with its worker is started again on another that has room, or when the cluster brings one back, for which
        it waits ``deadline`` seconds. A member that does not return when the crew is over is left behind, with a line in the
        log: Dask cannot stop a thread. While the crew runs its workers cannot be retired gracefully: they hold an actor.
        """
        ranks.find(function)
        crews.check(len(payloads), servers, restarts)
        fit, mail = uuid.uuid4().hex, Mail.of(self._client)
        while True:
            addresses, threads = placement.place_crew(len(payloads), servers, self._threads())
            plan = Plan(fit, self._who, function, mail.topic, payloads, servers, deadline, addresses, threads)
            with turn(self._client, sorted(threads), self._turn_deadline), contextlib.ExitStack() as leases:
                if not set(threads) <= set(self._threads()):
                    continue  # A worker has left while others had their turn.
                probes = probe(self._client, sorted(threads), deadline, self._who)
                sites = Sites(self._client, self._who, servers > 0, self._workers, leases)
                with mail.box(fit) as box, crew_board.made(fit, self._client, self._workers) as board:
                    roll = crews.Roll(len(payloads), restarts)
                    return Crew(self._client, plan, roll, sites).run(probes, board, box, on_report)

    def _ship(self, payload: Any, address: str) -> tuple[Any, list[distributed.Future]]:
        """Return a payload as bytes, or as data on its worker, and the futures that it holds."""
        packed, futures = pack(payload)
        if len(packed) <= LARGE:
            return packed, futures
        return self._client.scatter(packed, workers=[address], hash=False), futures

    def aggregate(self, function: str, payloads: Sequence[Any], combine: str, *, depth: int = 2) -> bytes:
        """Fold the results of all payloads; see :meth:`dsgd.train.engine.Engine.aggregate`.

        Tasks run on any worker and are run again by Dask when theirs dies. ``context.scratch`` is the worker's own and
        stays until :meth:`close`.
        """
        ranks.find(function), ranks.find(combine)
        shape, threads = tree.levels(len(payloads), depth), self._threads()
        if not threads:
            raise ConfigError("the cluster has no workers; start some, or wait for them (client.wait_for_workers)")
        leaves = Leaves(self._client, self._workers, self._deserted, self._who, self._name)
        return leaves.aggregate(function, payloads, combine, shape)

    def close(self) -> None:
        """Remove what aggregates have cached, and close the cluster if this engine started it."""
        if self._client.status == "running":
            bounded(lambda: self._client.run(directories.sweep_kept, self._name, on_error="ignore"))
        self._owned.close()

    def __enter__(self) -> "DaskEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
