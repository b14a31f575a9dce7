"""A Spark session as the engine needs it: how many tasks fit, and a job that can be watched and stopped."""

import threading
import time
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from pyspark.sql import SparkSession

from dsgd.errors import WorkerLost

_LOOK, _STOP = 0.1, 30.0
# Seconds between two looks for executors; for executors to come, where there are none; and without a running task, where other
# jobs hold the slots, as a user's own stages before a gang may have to wait for an hour.
_LOOK_AROUND, _DESERTED, _HELD_UP = 1.0, 180.0, 3600.0


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


class Rows(Protocol):
    """What a job collects: a DataFrame, or whatever else has rows."""

    def collect(self) -> list[Any]:
        """Run the job, in the calling thread, and return its rows."""
        ...


class Submitted:
    """A job in a thread of its own, whose tag and description are its own.

    Parameters
    ----------
    session : Session
    rows : Rows
    title : str
        What Spark's own interface calls it.
    then : callable
        Called in the job's thread when it has ended.

    Attributes
    ----------
    tag : str
    """

    def __init__(self, session: "Session", rows: Rows, title: str, then: Callable[[], None] = nothing):
        self.tag = f"dsgd-{uuid.uuid4().hex}"
        self._session, self._rows, self._title, self._then = session, rows, title, then
        self._withdrawn = False
        self._outcome: list[tuple[Any, BaseException | None]] = []
        self._thread = session.thread(self._body)
        self._thread.start()

    def _body(self) -> None:
        if not self._withdrawn:
            self._outcome.append(_attempt(lambda: self._session.tagged(self.tag, self._rows, self._title)))
        self._then()

    def ended(self, wait: float = 0.0) -> bool:
        """Whether the job has ended, within ``wait`` seconds."""
        self._thread.join(wait)
        return not self._thread.is_alive()

    def result(self) -> list[Any]:
        """The rows of a job that has ended; or what Spark has raised."""
        rows, error = self._outcome[0]
        if error is not None:
            raise error
        return rows

    def withdraw(self) -> None:
        """Have it stopped, from another thread, unless it has ended; one that has not yet begun needs to be stopped again."""
        self._withdrawn = True
        if not self.ended():
            stopping = threading.Thread(target=_attempt, args=(lambda: self._session.stop(self.tag),), daemon=True)
            stopping.start()
            stopping.join(_STOP)


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

    def collect(self, frame: Rows, job: Job) -> list[Any]:
        """Collect a frame's rows; stop the job when its tasks do not run at once by the deadline, or on an interrupt.

        Raises
        ------
        WorkerLost
            When the tasks did not start in time. Whatever Spark, or ``job.look``, raises passes through.
        """
        submitted = Submitted(self, frame, job.title)
        try:
            self._watch(submitted, job)
        except BaseException:
            # An interrupt may have come while this thread talked to the JVM, and its connection is then not to be trusted:
            # another thread has one of its own.
            submitted.withdraw()
            submitted.ended(_STOP)
            raise
        return submitted.result()

    def _watch(self, submitted: Submitted, job: Job) -> None:
        limit, started = time.monotonic() + job.deadline, job.tasks == 0
        seen = ran = look = time.monotonic()
        while not submitted.ended():
            if time.monotonic() >= look:
                look = time.monotonic() + _LOOK_AROUND
                seen = seen if self.deserted() else time.monotonic()
                ran = ran if self.held_up(submitted.tag) else time.monotonic()
            if time.monotonic() - seen > _DESERTED:
                raise WorkerLost(
                    f"the application has had no executor for {_DESERTED:g} s; what is left of the job cannot run: see in"
                    " Spark's own interface why, and fit again"
                )
            if time.monotonic() - ran > _HELD_UP:
                raise WorkerLost(
                    f"no task of the job has run for {_HELD_UP:g} s: other jobs hold the slots; wait for them, and fit again"
                )
            started = started or self.started(submitted.tag, job.tasks)
            if not started and time.monotonic() > limit:
                raise WorkerLost(
                    f"{job.tasks} tasks had not started together after {job.deadline:g} s: other jobs hold the slots; wait for"
                    " them, lower n_workers, or use mode=Sync(topology='engine')"
                )
            job.look()
            submitted.ended(_LOOK)

    @abstractmethod
    def key(self) -> str:
        """Names the application."""

    @abstractmethod
    def slots(self) -> int:
        """Tasks that can run at the same time."""

    def deserted(self) -> bool:
        """Whether there is no executor now, where the session can tell."""
        return False

    def held_up(self, tag: str) -> bool:
        """Whether the job has been submitted and no task of it runs, where the session can tell."""
        return False

    @abstractmethod
    def thread(self, body: Callable[[], None]) -> threading.Thread:
        """A thread in which a job may run."""

    @abstractmethod
    def tagged(self, tag: str, frame: Rows, title: str) -> list[Any]:
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
