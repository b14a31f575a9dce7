"""A Spark session as the engine needs it: how many tasks fit, and a job that can be watched and stopped.

Two kinds: a classic session, which has a gateway to the JVM, and a Connect session, which has DataFrames and tags only.
"""

import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, ClassVar

from pyspark import InheritableThread
from pyspark.sql import DataFrame, SparkSession

from dsgd.errors import WorkerLost

_LOOK, _STOP = 0.1, 30.0
_DESCRIPTION = "spark.job.description"
# Seconds between two looks for executors; and for executors to come, where there are none.
_LOOK_AROUND, _DESERTED = 1.0, 180.0


def nothing() -> None:
    """Look at nothing while a job runs."""


@dataclass(frozen=True)
class Job:
    """What the driver is to know of a job, and what it does meanwhile.

    Attributes
    ----------
    title : str
        What Spark's own interface calls it.
    tasks : int
        Tasks that must run at once; 0 where they need not.
    deadline : float
        Seconds within which they must.
    look : callable
        Called a few times a second while the job runs, in the thread that waits for it.
    """

    title: str
    tasks: int = 0
    deadline: float = float("inf")
    look: Callable[[], None] = nothing


class Session(ABC):
    """What both kinds share: a job runs in a thread of its own, so that its tag and its description are its own."""

    # Gangs of one application take turns: one key, one lock.
    _turns: ClassVar[dict[str, threading.Lock]] = {}
    _turns_lock: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, session: SparkSession):
        self.spark: Any = session  # Its members differ between the kinds and the versions of Spark.

    def setting(self, key: str, default: str) -> str:
        """A setting of the session or of the application."""
        value = self.spark.conf.get(key, default)
        return default if value is None else value

    def turn(self) -> threading.Lock:
        """The lock under which gangs of this application take turns."""
        with self._turns_lock:
            return self._turns.setdefault(self.key(), threading.Lock())

    def collect(self, frame: DataFrame, job: Job) -> list[Any]:
        """Collect a frame's rows; stop the job when its tasks do not run at once by the deadline, or on an interrupt.

        Raises
        ------
        WorkerLost
            When the tasks did not start in time. Whatever Spark, or ``job.look``, raises passes through.
        """
        tag = f"dsgd-{uuid.uuid4().hex}"
        outcome: list[Any] = []
        thread = self.thread(lambda: outcome.append(_attempt(lambda: self.tagged(tag, frame, job.title))))
        thread.start()
        try:
            self._watch(thread, tag, job)
        except BaseException:
            # An interrupt may have come while this thread talked to the JVM, and its connection is then not to be trusted:
            # another thread has one of its own.
            stopping = threading.Thread(target=_attempt, args=(lambda: self.stop(tag),), daemon=True)
            stopping.start()
            stopping.join(_STOP)
            thread.join(_STOP)
            raise
        rows, error = outcome[0]
        if error is not None:
            raise error
        return rows

    def _watch(self, thread: threading.Thread, tag: str, job: Job) -> None:
        limit, started = time.monotonic() + job.deadline, job.tasks == 0
        seen = look = time.monotonic()
        while thread.is_alive():
            if time.monotonic() >= look:
                look = time.monotonic() + _LOOK_AROUND
                seen = seen if self.deserted() else time.monotonic()
            if time.monotonic() - seen > _DESERTED:
                raise WorkerLost(
                    f"the application has had no executor for {_DESERTED:g} s; what is left of the job cannot run: see in"
                    " Spark's own interface why, and fit again"
                )
            started = started or self.started(tag, job.tasks)
            if not started and time.monotonic() > limit:
                raise WorkerLost(
                    f"{job.tasks} tasks had not started together after {job.deadline:g} s: other jobs hold the slots; wait for"
                    " them, lower n_workers, or use mode=Sync(topology='engine')"
                )
            job.look()
            thread.join(_LOOK)

    @abstractmethod
    def key(self) -> str:
        """Names the application."""

    @abstractmethod
    def slots(self) -> int:
        """Tasks that can run at the same time."""

    def deserted(self) -> bool:
        """Whether there is no executor now, where the session can tell."""
        return False

    @abstractmethod
    def thread(self, body: Callable[[], None]) -> threading.Thread:
        """A thread in which a job may run."""

    @abstractmethod
    def tagged(self, tag: str, frame: DataFrame, title: str) -> list[Any]:
        """Collect the frame as a job that :meth:`stop` finds by the tag, and Spark's interface shows by the title."""

    @abstractmethod
    def started(self, tag: str, tasks: int) -> bool:
        """Whether that many tasks of the job are seen to run, or to have run."""

    @abstractmethod
    def stop(self, tag: str) -> None:
        """Stop the job."""


def _attempt(action: Callable[[], Any]) -> tuple[Any, BaseException | None]:
    try:
        return action(), None
    except BaseException as error:  # It is raised again in the thread that waits.
        return None, error


class Classic(Session):
    """A session of this process's own SparkContext."""

    def key(self) -> str:
        return self.spark.sparkContext.applicationId

    def slots(self) -> int:
        context = self.spark.sparkContext._jsc.sc()
        return int(context.maxNumConcurrentTasks(context.resourceProfileManager().defaultResourceProfile()))

    def deserted(self) -> bool:
        from py4j.protocol import Py4JError  # which a client of Connect need not have

        try:
            return self.slots() == 0
        except (Py4JError, OSError, AttributeError):  # The application is going down: the job itself says why.
            return False

    def thread(self, body: Callable[[], None]) -> threading.Thread:
        return InheritableThread(target=body, daemon=True)

    def tagged(self, tag: str, frame: DataFrame, title: str) -> list[Any]:
        # This thread's own: the user's description and job group, which stays this job's too, are the user's thread's.
        context = self.spark.sparkContext
        context.addJobTag(tag)
        users = context.getLocalProperty(_DESCRIPTION)
        context.setLocalProperty(_DESCRIPTION, f"{users}: {title}" if users else title)
        return frame.collect()

    def started(self, tag: str, tasks: int) -> bool:
        tracker = self.spark.sparkContext.statusTracker()
        jobs = [
            tracker.getJobInfo(job) for job in self.spark.sparkContext._jsc.sc().statusTracker().getJobIdsForTag(tag)
        ]
        stages = [tracker.getStageInfo(stage) for job in jobs if job is not None for stage in job.stageIds]
        return any(
            stage is not None
            and stage.numTasks == tasks
            and stage.numActiveTasks + stage.numCompletedTasks + stage.numFailedTasks >= tasks
            for stage in stages
        )

    def stop(self, tag: str) -> None:
        self.spark.sparkContext.cancelJobsWithTag(tag)


class Connect(Session):
    """A session of a Connect server."""

    def __init__(self, session: SparkSession):
        super().__init__(session)
        self._busy = False

    def key(self) -> str:
        return self.spark.session_id

    def slots(self) -> int:
        """The default parallelism: the cores of all executors, unless ``spark.default.parallelism`` says otherwise.

        Partition counts are not available here, so one is counted.
        """
        rows = self.spark.range(0, 1 << 20).selectExpr("spark_partition_id() AS p").distinct().count()
        return max(1, rows // int(self.setting("spark.task.cpus", "1")))

    def thread(self, body: Callable[[], None]) -> threading.Thread:
        return threading.Thread(target=body, daemon=True, name="dsgd-job")

    def tagged(self, tag: str, frame: DataFrame, title: str) -> list[Any]:
        self._busy = False
        self.spark.registerProgressHandler(self._progress)
        try:
            self.spark.addTag(tag)
            # The server describes the job itself; a tag may hold no comma.
            self.spark.addTag(title.replace(",", ""))
            return frame.collect()
        finally:
            self.spark.removeProgressHandler(self._progress)

    def _progress(
        self, stages: Iterable[Any] | None, inflight_tasks: int, operation_id: str | None, done: bool
    ) -> None:
        # The server does not say whose job this is; a user's other job may count for ours, and only the deadline suffers.
        self._busy = self._busy or inflight_tasks > 0 or any(stage.num_completed_tasks > 0 for stage in stages or ())

    def started(self, tag: str, tasks: int) -> bool:
        return self._busy

    def stop(self, tag: str) -> None:
        self.spark.interruptTag(tag)


def wrap(session: SparkSession) -> Session:
    """Choose the kind."""
    return Connect(session) if type(session).__module__.startswith("pyspark.sql.connect") else Classic(session)
