"""The two kinds of session: classic, which has a gateway to the JVM, and Connect, which has DataFrames and tags only."""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from pyspark import InheritableThread
from pyspark.sql import SparkSession

from .session import Rows, Session

_DESCRIPTION = "spark.job.description"
# Attempts at the task of a stage of one, the latest, among which a running one is looked for.
_TASKS = 16


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

    def tagged(self, tag: str, frame: Rows, title: str) -> list[Any]:
        # This thread's own: the user's description and job group, which stays this job's too, are the user's thread's.
        context = self.spark.sparkContext
        context.addJobTag(tag)
        users = context.getLocalProperty(_DESCRIPTION)
        context.setLocalProperty(_DESCRIPTION, f"{users}: {title}" if users else title)
        return frame.collect()

    def held_up(self, tag: str) -> bool:
        from py4j.protocol import Py4JError

        try:
            stages = self._stages(tag)
        except (Py4JError, OSError, AttributeError):  # As above.
            return False
        return bool(stages) and not any(stage.numActiveTasks for stage in stages)

    def started(self, tag: str, tasks: int) -> bool:
        return any(
            stage.numTasks == tasks and stage.numActiveTasks + stage.numCompletedTasks + stage.numFailedTasks >= tasks
            for stage in self._stages(tag)
        )

    def running(self, tag: str) -> int:
        """Tasks of the job that run now."""
        from py4j.protocol import Py4JError

        try:
            return sum(stage.numActiveTasks for stage in self._stages(tag))
        except (Py4JError, OSError, AttributeError):  # As above.
            return 0

    def host(self, stage: int, task: int) -> str | None:
        """Under which host Spark knows the executor of a running task; None while Spark's own records lag behind."""
        from py4j.protocol import Py4JError

        try:
            store = self.spark.sparkContext._jsc.sc().statusStore()
            tasks = store.taskList(stage, store.lastStageAttempt(stage).attemptId(), _TASKS)
        except (Py4JError, AttributeError):  # There is no such stage yet, or no application any more.
            return None
        found = (tasks.apply(index) for index in range(tasks.size()))
        return next((one.host().strip("[]") for one in found if one.taskId() == task), None)

    def _stages(self, tag: str) -> list[Any]:
        """What Spark knows of the stages of the job."""
        tracker = self.spark.sparkContext.statusTracker()
        jobs = [
            tracker.getJobInfo(job) for job in self.spark.sparkContext._jsc.sc().statusTracker().getJobIdsForTag(tag)
        ]
        stages = [tracker.getStageInfo(stage) for job in jobs if job is not None for stage in job.stageIds]
        return [stage for stage in stages if stage is not None]

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

    def tagged(self, tag: str, frame: Rows, title: str) -> list[Any]:
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
