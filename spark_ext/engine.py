"""The Spark engine: gangs as barrier stages over ``mapInArrow``, and aggregates as a shuffle tree, on DataFrames alone."""

import functools
import logging
import pickle
import re
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.functions import broadcast

from dsgd.errors import ConfigError, DSGDError, WorkerLost
from dsgd.train import rank as ranks
from dsgd.train import tree, versions

from . import cells, feed, slots, worker
from .session import Session, wrap

_log = logging.getLogger(__name__)
_SHIP = (
    "Every executor needs the driver's Python with dsgd and spark_ext: install it there, or ship a packed environment"
    " (spark.archives, or spark.addArtifacts(..., archive=True) on Connect) and point PYSPARK_PYTHON into it."
)
# Payloads above this many bytes travel as rows, not inside the function.
_LARGE = 1 << 20
# Seconds for tidying up to find free slots: other jobs may hold them for hours.
_SWEEP = 10.0


class SparkEngine:
    """Run ranks as tasks of a Spark application.

    Parameters
    ----------
    session : pyspark.sql.SparkSession or None
        Classic (3.5 or later) or Connect (4.0 or later); None takes the active one.
    turn_deadline : float
        Seconds that a fit waits for other fits of the same application to end.

    Attributes
    ----------
    feed : Feed or None
        A DataFrame whose rows the ranks of the next gangs are given, each a partition; see :mod:`spark_ext.feed`.

    Notes
    -----
    Spark has no channel from a running task to the Python driver: reports are not delivered (``reports`` is False).
    All results of a gang together are bounded by ``spark.driver.maxResultSize``, each as long as it wants to be.

    Examples
    --------
    >>> engine = SparkEngine(spark)  # doctest: +SKIP
    >>> engine.launch("dsgd.train.selftest:gather", [b"to", b"gether"], deadline=60.0)  # doctest: +SKIP
    [b'together', b'together']
    """

    name = "spark"
    reports = False

    def __init__(self, session: SparkSession | None = None, turn_deadline: float = 3600.0):
        session = session if session is not None else SparkSession.getActiveSession()
        if session is None:
            raise ConfigError("there is no active SparkSession; build one, or pass it: SparkEngine(session)")
        self._session: Session = wrap(session)
        self._turn_deadline = turn_deadline
        self._name = uuid.uuid4().hex
        self._leaves: dict[int, DataFrame] = {}
        self.feed: feed.Feed | None = None

    def slots(self) -> int:
        """Tasks that the application's executors can run at the same time, once they have registered."""
        return slots.settled(self._session)

    def launch(
        self,
        function: str,
        payloads: Sequence[Any],
        *,
        deadline: float = 60.0,
        on_report: Callable[[dict], None] = lambda record: None,
    ) -> list[bytes]:
        """Run a gang of ranks; see :meth:`dsgd.train.engine.Engine.launch`. ``on_report`` is never called (see Notes)."""
        ranks.find(function)
        self._refuse_dynamic_allocation()
        turn = self._session.turn()
        if not turn.acquire(timeout=self._turn_deadline):
            raise ConfigError(
                f"other fits have held this application for {self._turn_deadline:g} s; wait for them, or let this one wait"
                " longer (turn_deadline=...)"
            )
        try:
            slots.require(self._session, len(payloads))
            return self._gang(function, payloads, deadline)
        finally:
            turn.release()

    def _gang(self, function: str, payloads: Sequence[Any], deadline: float) -> list[bytes]:
        fit = uuid.uuid4().hex
        orders, frame = self._orders(fit, function, payloads, self._tasks(len(payloads)), deadline=deadline)
        body, tasks = functools.partial(worker.run_rank, orders), len(payloads)
        if self.feed is not None:
            body, frame = functools.partial(feed.run_rank, orders, self.feed.name), self.feed.frame.repartition(tasks)
            tasks = 0  # The user's own stages come first, and may take any time.
        gang = frame.mapInArrow(body, cells.SPARK, barrier=True)
        try:
            outcomes = cells.decode(self._collect(gang, tasks, deadline))
        except BaseException:
            # A rank that was killed has not tidied up.
            self._sweep(fit, *([self.feed.name] if self.feed is not None else []))
            raise
        return ranks.results(outcomes.values())

    def _refuse_dynamic_allocation(self) -> None:
        local = self._session.setting("spark.master", "").startswith("local")
        if self._session.setting("spark.dynamicAllocation.enabled", "false") == "true" and not local:
            raise ConfigError(
                "Spark does not start a gang (a barrier stage) under spark.dynamicAllocation.enabled=true; use"
                " mode=Sync(topology='engine'), which needs no gang, or turn dynamic allocation off"
            )

    def _orders(
        self, fit: str, function: str, payloads: Sequence[Any], frame: DataFrame, **more: Any
    ) -> tuple[worker.Orders, DataFrame]:
        """Pickle all payloads as one, so that what they share travels once, and choose their way to the workers."""
        size = len(payloads)
        pickled = pickle.dumps(list(payloads), protocol=5)
        inside: bytes | None = pickled
        if len(pickled) > _LARGE and self.feed is None:
            parts = [(part, bytearray(cell)) for part, cell in enumerate(cells.cut(pickled, cells.SHIPPED_CELL))]
            rows = self._session.spark.createDataFrame(parts, "part int, data binary")
            frame, inside = frame.crossJoin(broadcast(rows)), None
        orders = worker.Orders(fit, size, function, inside, versions.installed(), _SHIP, **more)
        return orders, frame

    def aggregate(self, function: str, payloads: Sequence[Any], combine: str, *, depth: int = 2) -> bytes:
        """Fold the results of all payloads; see :meth:`dsgd.train.engine.Engine.aggregate`.

        Needs no gang, so dynamic allocation and fewer slots than payloads are fine; Spark runs lost tasks again.
        ``context.scratch`` is the executor's own and stays until :meth:`close`.
        """
        ranks.find(function), ranks.find(combine)
        if self.feed is not None:
            raise ConfigError(
                "topology='engine' reads its data in every round, and a DataFrame arrives once; write it as Parquet and use"
                " fitParquet, or use topology='ring'"
            )
        shape = tree.levels(len(payloads), depth)
        fan = tree.fan_in(len(payloads), depth)
        orders, frame = self._orders(self._name, function, payloads, self._leaves_of(len(payloads)), fan=fan)
        level = frame.mapInArrow(functools.partial(worker.run_leaf, orders), cells.SPARK)
        for groups in shape[:-1]:
            met = level.repartition(len(groups), "group")
            level = met.mapInArrow(functools.partial(worker.run_fold, combine, fan), cells.SPARK)
        outcomes = cells.decode(self._collect(level))
        return ranks.results([ranks.fold(combine, list(outcomes.values()))])[0]

    def _tasks(self, count: int) -> DataFrame:
        """A frame of so many partitions of one row each."""
        return self._session.spark.range(0, count, 1, count)

    def _leaves_of(self, count: int) -> DataFrame:
        """The frame under the leaves of all aggregates of a size: Spark keeps it, and then prefers to run a leaf where it
        ran before, so that what a worker has cached is found again."""
        if count not in self._leaves:
            self._leaves[count] = self._tasks(count).persist()
        return self._leaves[count]

    def _collect(self, frame: DataFrame, tasks: int = 0, deadline: float = float("inf")) -> list[Any]:
        try:
            return self._session.collect(frame, tasks, deadline)
        except DSGDError:
            raise
        except Exception as error:
            raise _translate(str(error)) from None

    def _sweep(self, *names: str) -> None:
        """Remove what is left of a fit in the local directories, as far as tasks get there."""
        try:
            tasks = self._session.slots()
            self._session.collect(
                self._tasks(tasks).mapInArrow(functools.partial(worker.sweep, names), cells.SPARK), tasks, _SWEEP
            )
        except Exception as error:  # No slots, or the application goes down; its local directories go with it.
            _log.debug("could not sweep: %s", error)

    def close(self) -> None:
        """Remove what aggregates have cached; the session stays open."""
        kept, self._leaves = self._leaves, {}
        if kept:
            try:
                for leaves in kept.values():
                    leaves.unpersist()
            except Exception as error:  # The application is gone, and what it kept with it.
                _log.debug("could not let go of the leaves: %s", error)
            self._sweep(self._name)

    def __enter__(self) -> "SparkEngine":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _translate(text: str) -> DSGDError:
    """Say in Python what a failed job was about."""
    failure = worker.find_failure(text)
    if failure is not None:
        return failure.exception()
    missing = re.search(r"ModuleNotFoundError: No module named '([\w.]+)'", text)
    if missing:
        return ConfigError(f"Spark's Python workers have no module {missing[1]!r}. {_SHIP}")
    if "PYTHON_VERSION_MISMATCH" in text:
        return ConfigError(f"Spark's Python workers run another Python than the driver. {_SHIP}")
    rank = re.search(r"barrier task \w+\(\d+, (\d+)\)", text)
    return WorkerLost(f"Spark lost {f'rank {rank[1]}' if rank else 'a task'}: {_gist(text)}")


def _gist(text: str) -> str:
    """The lines of Spark's message that are not its stack.

    Examples
    --------
    >>> _gist("Job aborted: ExecutorLostFailure\\n\\tat org.apache.spark.Foo(Foo.scala:1)\\n")
    'Job aborted: ExecutorLostFailure'
    """
    text = re.sub(r"An error occurred while calling \S+\s*: ", "", text)
    lines = [line.strip() for line in text.splitlines() if not re.match(r"\s*(at |\.\.\. \d+ more)", line)]
    return " ".join(line for line in lines if line)[:2000]
