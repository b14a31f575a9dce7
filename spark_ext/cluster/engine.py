"""The Spark engine: gangs as barrier stages over ``mapInArrow``, crews as jobs of one task, aggregates as a shuffle tree."""

import contextlib
import functools
import logging
import uuid
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from dsgd.errors import ConfigError, DSGDError
from dsgd.train import crew as crews
from dsgd.train import rank as ranks
from dsgd.train import tree
from dsgd.train.rank import Failure

from . import allocation, cells, slots, worker
from .feed import Feed
from .gang import gang, of_rows
from .kinds import Classic, wrap
from .leaves import Leaves
from .listening import Listening
from .litter import Litter
from .messages import translate
from .muster import Muster, require_classic
from .ordering import order
from .post import post
from .reports import nobody
from .session import Job, Session

_log = logging.getLogger(__name__)


class SparkEngine:
    """Run ranks as tasks of a Spark application.

    Parameters
    ----------
    session : pyspark.sql.SparkSession or None
        Classic (3.5 or later) or Connect (4.0 or later); None takes the active one.
    turn_deadline : float
        Seconds that a fit waits for other fits of the same application to end.
    depth : int
        Levels of the tree of an aggregate whose caller does not say.
    title : str
        What Spark's own interface calls the jobs; the ranks, or the epoch and the round, are added to it.
    listening : Listening
        How the driver listens for the ranks' reports.

    Attributes
    ----------
    feed : Feed or None
        A DataFrame whose rows the next gangs and aggregates are given, each rank or leaf a share; see
        :mod:`spark_ext.cluster.feed` and :mod:`spark_ext.cluster.shares`.
    epoch : int
        The epoch that the next aggregates belong to, for their titles; 0 where it is not known.

    Notes
    -----
    Reports need a way from the executors to the driver's own address, which a Connect client has not: there ``reports`` is
    False, and they are not delivered.
    All results of a gang together are bounded by ``spark.driver.maxResultSize``, each as long as it wants to be.

    Examples
    --------
    >>> engine = SparkEngine(spark)  # doctest: +SKIP
    >>> engine.launch("dsgd.train.selftest:gather", [b"to", b"gether"], deadline=60.0)  # doctest: +SKIP
    [b'together', b'together']
    """

    name = "spark"

    def __init__(
        self,
        session: SparkSession | None = None,
        turn_deadline: float = 86_400.0,
        *,
        depth: int = 2,
        title: str = "dsgd",
        listening: Listening | None = None,
    ):
        session = session if session is not None else SparkSession.getActiveSession()
        if session is None:
            raise ConfigError("there is no active SparkSession; build one, or pass it: SparkEngine(session)")
        self._session: Session = wrap(session)
        self._turn_deadline, self._depth = turn_deadline, depth
        self.title = title
        self._listening = listening or Listening()
        self._name = uuid.uuid4().hex
        self._leaves = Leaves(self._session)
        self._rounds = 0
        self._litter = Litter(self._session)
        self.feed: Feed | None = None
        self.epoch = 0

    @property
    def reports(self) -> bool:
        """Whether reports are delivered."""
        return isinstance(self._session, Classic)

    @property
    def session(self) -> Session:
        """The session, as the engine sees it."""
        return self._session

    def slots(self) -> int:
        """Tasks that the application's executors can run at the same time, once they have registered."""
        return slots.settled(self._session)

    def launch(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = nobody,
        left: dict[str, bytes] | None = None,
    ) -> list[bytes]:
        """Run a gang of ranks; see :meth:`dsgd.train.engine.Engine.launch`."""
        ranks.find(function)
        if allocation.forbids_gangs(self._session):
            raise ConfigError(
                f"Spark does not start a gang (a barrier stage) under {allocation.SETTING}=true; use"
                " mode=Sync(topology='engine'), which needs no gang, or turn dynamic allocation off"
            )
        with self._in_turn():
            slots.require(self._session, len(payloads))
            return self._gang(function, payloads, deadline, on_report, left)

    @contextlib.contextmanager
    def _in_turn(self) -> Iterator[None]:
        turn = self._session.turn()
        if not turn.acquire(timeout=self._turn_deadline):
            raise ConfigError(
                f"other fits have held this application for {self._turn_deadline:g} s; wait for them, or let this one wait"
                " longer (turn_deadline=...)"
            )
        try:
            yield
        finally:
            turn.release()

    def _gang(
        self,
        function: str,
        payloads: Sequence[Any],
        deadline: float,
        on_report: Callable[[dict], None],
        left: dict[str, bytes] | None,
    ) -> list[bytes]:
        fit = uuid.uuid4().hex
        with post(self._session, self._listening, on_report, left) as letters:
            frame, job = gang(
                self._session, self.title, fit, function, payloads, deadline, letters=letters, fed=self.feed
            )
            try:
                outcomes = cells.decode(self._collect(frame, job))
            except BaseException:
                letters.deliver()
                # A rank that was killed has not tidied up; one whose executor was may still write, so once more in the end.
                names = [fit, *([self.feed.name] if self.feed is not None else [])]
                self._sweep(*names)
                raise
            return ranks.results(letters.last(of_rows(outcomes)))

    def crew(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        servers: int,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = nobody,
        restarts: int = 32,
    ) -> bytes:
        """Run members that live and die one by one; see :meth:`dsgd.train.engine.Engine.crew`.

        Every member takes a slot, servers too. Needs no gang, so dynamic allocation is fine. With a feed, the members from
        ``servers`` on are given its rows, the first of them the first share: Spark keeps them until :meth:`close`.
        """
        ranks.find(function)
        crews.check(len(payloads), servers, restarts)
        session, workers = require_classic(self._session), len(payloads) - servers
        with self._in_turn():
            allocation.require_crew(session, servers, workers)
            kept = self._leaves.kept(workers, self.feed) if self.feed is not None and workers else None
            if kept is not None:  # Now, while there are slots for it.
                self._collect(kept.leaves, Job(f"{self.title}, keeping the rows"))
            muster = Muster(session, self.title, uuid.uuid4().hex, function, payloads, servers, kept)
            return muster.run(self._listening, deadline, on_report, restarts, self._sweep)

    def _sweep(self, *names: str) -> None:
        """Remove what a lost fit has left, now and in the end."""
        self._litter.suspect(*names)
        self._litter.remove(names, self.title)

    def aggregate(self, function: str, payloads: Sequence[Any], combine: str, *, depth: int | None = None) -> bytes:
        """Fold the results of all payloads; see :meth:`dsgd.train.engine.Engine.aggregate`.

        Needs no gang, so dynamic allocation and fewer slots than payloads are fine; Spark runs lost tasks again.
        ``context.scratch`` is the executor's own and stays until :meth:`close`.
        """
        ranks.find(function), ranks.find(combine)
        depth = self._depth if depth is None else depth
        tree.levels(len(payloads), depth)  # which refuses what cannot be
        leaves = self._leaves_of(len(payloads))
        outcome = self._round(leaves, function, payloads, combine, depth)
        if isinstance(outcome, Failure) and outcome.kind == worker.MISSING and self.feed is not None:
            _log.info("%s: a share of the rows is not where its leaf runs; it is brought there", self.title)
            spooled = self._leaves.kept(len(payloads), self.feed).spooled()
            outcome = self._round(spooled, function, payloads, combine, depth)
        return ranks.results([outcome])[0]

    def _round(
        self, frame: DataFrame, function: str, payloads: Sequence[Any], combine: str, depth: int
    ) -> bytes | Failure:
        """One job of the aggregate."""
        shape, fan = tree.levels(len(payloads), depth), tree.fan_in(len(payloads), depth)
        fed = None if self.feed is None else self.feed.name
        orders, frame = order(self._session, self._name, function, payloads, frame, fan=fan, feed=fed)
        level = frame.mapInArrow(functools.partial(worker.run_leaf, orders), cells.SPARK)
        for groups in shape[:-1]:
            met = level.repartition(len(groups), "group")
            level = met.mapInArrow(functools.partial(worker.run_fold, combine, fan), cells.SPARK)
        outcomes = of_rows(cells.decode(self._collect(level, Job(self._round_title(payloads)))))
        return ranks.fold(combine, list(outcomes.values()))

    def _round_title(self, payloads: Sequence[Any]) -> str:
        self._rounds += 1
        work, epoch = getattr(payloads[0], "work", ""), f", epoch {self.epoch}" if self.epoch else ""
        return f"{self.title}, {len(payloads)} shares{epoch}, round {self._rounds}{f' ({work})' if work else ''}"

    def _leaves_of(self, count: int) -> DataFrame:
        """The frame under the leaves of all aggregates of a size."""
        return self._leaves.under(count, self.feed)

    def _collect(self, frame: DataFrame, job: Job) -> list[Any]:
        try:
            return self._session.collect(frame, job)
        except BaseException as error:
            self._litter.suspect(self._name)
            if isinstance(error, DSGDError) or not isinstance(error, Exception):
                raise
            raise translate(str(error)) from None

    def close(self) -> None:
        """Remove what aggregates have cached, and what gangs have left that were lost; the session stays open."""
        names = self._leaves.release()
        self._litter.sweep([] if names is None else [self._name, *names], self.title)

    def __enter__(self) -> "SparkEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
