"""A fit on a session's executors: from a configuration and a way to the rows to the trained weights.

Here is decided what Spark's settings decide: whether a gang can start, how many ranks there are beside parameter shards and how
many threads each has, what Spark's interface and the driver's log say of it, and what becomes of a gang that loses a rank.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from pyspark.sql import SparkSession

from dsgd.data.dataset import Dataset
from dsgd.errors import ConfigError
from dsgd.fitted.fitting import fit
from dsgd.train.again import again, refuse_least, room_for
from dsgd.train.config import FitConfig, TrainedLinear
from dsgd.train.modes import Async, Hybrid, Sync, by_shards, name_of

from . import allocation, progress, slots
from .engine import SparkEngine
from .feed import Feed
from .listening import Listening
from .muster import require_classic

_log = logging.getLogger(__name__)
# From a number of ranks: rows to train on, rows to validate on, and the DataFrame that they are fed from, if they are.
Rows = Callable[[int], tuple[Dataset, Dataset | None, Feed | None]]
_told: set[str] = set()


@dataclass(frozen=True)
class Run:
    """What a fit is told beside its configuration.

    Attributes
    ----------
    name : str
        What it is called: the estimator's uid.
    workers : int
        Ranks, or shares; 0 for all slots, less those of parameter shards.
    threads : int or None
        Threads of a rank; None for ``spark.task.cpus``.
    depth : int
        Levels of the tree-aggregate with topology="engine".
    verbose : int
        As in ``dsgd.display.shown``.
    least : int or None
        Ranks that are enough to go on with; None is as many as it began with.
    """

    name: str
    workers: int = 0
    threads: int | None = None
    depth: int = 2
    verbose: int = 0
    least: int | None = None


def train(session: SparkSession | None, config: FitConfig, rows: Rows, run: Run, **start: Any) -> TrainedLinear:
    """Train on a session's executors.

    Parameters
    ----------
    session : SparkSession or None
        None takes the active one.
    config : FitConfig
        Its ``n_workers`` and ``threads_per_worker`` are those of ``run``.
    rows : callable
        Called once for each attempt.
    run : Run
    **start
        ``initial``, ``classes`` and ``seen``, as in :func:`dsgd.train.fit.fit`.

    Raises
    ------
    ConfigError, DataError, WorkerLost
    """
    listening = Listening(config.encrypt, config.port_range, config.interface)
    with (
        progress.shown(run.name, config.max_iter, run.verbose) as report,
        SparkEngine(session, depth=run.depth, title=run.name, listening=listening) as engine,
    ):
        config = _placed(config, engine, run)
        engine.title = f"{run.name}: {_mode(config)}"

        rounds, full = config.mode.topology == "engine", config.n_workers
        refuse_least(run.least, full, isinstance(config.mode, Hybrid))
        if run.least is not None and (rounds or by_shards(config.mode)):
            raise ConfigError(
                "min_workers is for gangs, which stand and fall together; with mode='async' and topology='engine' what is lost "
                "is run again by itself; leave it out"
            )
        room = room_for(full, run.least, lambda: engine.session.slots())

        def attempt() -> TrainedLinear:
            nonlocal room
            now = config
            if run.least is not None and not rounds and not by_shards(config.mode):
                now = replace(config, n_workers=max(run.least, min(full, engine.session.slots())))
            room = room_for(full, run.least, lambda: engine.session.slots())
            train, validation, engine.feed = rows(now.n_workers)
            on_report = _noting(engine, report) if rounds else report
            return fit(train, now, engine, validation=validation, on_report=on_report, **start)

        if rounds or by_shards(config.mode):  # What is lost is run again one by one.
            return attempt()
        return again(attempt, run.name, lambda: room(), log=_log)


def _placed(config: FitConfig, engine: SparkEngine, run: Run) -> FitConfig:
    """The configuration with what Spark's settings say of it."""
    session = engine.session
    threads = slots.task_cpus(session) if run.threads is None else run.threads
    shards = by_shards(config.mode)
    if shards is not None:
        return replace(config, n_workers=_beside(shards, engine, run), threads_per_worker=threads)
    if allocation.forbids_gangs(session):
        if config.mode.topology != "engine":
            config = allocation.without_gang(config)
            _tell_once(session.key(), config)
        ranks = run.workers or allocation.shares(session)
    else:
        grid = config.mode.ranks if isinstance(config.mode, Hybrid) else 0
        ranks = run.workers or grid or engine.slots()
        if config.mode.topology != "engine":
            slots.require(session, ranks)  # before any job, the look at the columns' rows too
    return replace(config, n_workers=ranks, threads_per_worker=threads)


def _beside(mode: Async, engine: SparkEngine, run: Run) -> int:
    """Workers beside the parameter shards, which take a slot each."""
    session = require_classic(engine.session)
    room = allocation.shares(session) if allocation.forbids_gangs(session) else engine.slots()
    workers = run.workers or max(1, room - mode.shards)
    allocation.require_crew(session, mode.shards, workers)
    return workers


def _tell_once(application: str, config: FitConfig) -> None:
    if application not in _told:
        _told.add(application)
        _log.warning(
            "%s=true, under which Spark starts no gang (a barrier stage): fits of this application use topology='engine',"
            " localSteps=%r, a Spark job a round",
            allocation.SETTING,
            config.mode.local_steps,
        )


def _mode(config: FitConfig) -> str:
    mode = config.mode
    if isinstance(mode, Async):
        return f"mode async, staleness {mode.staleness}"
    if not isinstance(mode, Sync):
        return f"mode {name_of(mode)}"
    if mode.backup_workers:
        return f"mode sync, {mode.backup_workers} backup workers"
    steps = "" if mode.local_steps == 1 else f", localSteps={mode.local_steps}"
    return f"mode sync, topology {mode.topology}{steps}"


def _noting(engine: SparkEngine, report: progress.Report) -> progress.Report:
    """Have the engine know which epoch its next rounds belong to."""
    engine.epoch = 1

    def note(record: dict[str, Any]) -> None:
        engine.epoch = record["epoch"] + 1
        report(record)

    return note
