"""A member of a crew, as the driver keeps it: its orders, the rows under its tasks, and the job that it runs in now.

In comes what it is; out come Spark jobs of one task, one after the other as the member dies or has to have its rows brought.
"""

import functools
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from . import member
from .kinds import Classic
from .session import Submitted


@dataclass(frozen=True)
class Task:
    """A job of one task: a function over one partition of an RDD."""

    context: Any
    rdd: Any
    partition: int
    function: Callable[..., Any]

    def collect(self) -> list[Any]:
        """Run it."""
        return self.context.runJob(self.rdd, self.function, [self.partition])


@dataclass
class Member:
    """A member of the crew.

    Attributes
    ----------
    title : str
    orders : Orders
    rdd : pyspark.RDD
        Under its task; a member that is fed takes the partition of its share.
    cells : pyspark.RDD or None
        Under its task when its share is not where it runs.
    job : Submitted or None
    jobs : int
    ended : bool
    idle : float
        Since when it is neither in nor seen to run.
    """

    title: str
    orders: member.Orders
    rdd: Any
    cells: Any = None
    job: Submitted | None = None
    jobs: int = 0
    ended: bool = False
    idle: float = field(default_factory=time.monotonic)

    @property
    def rank(self) -> int:
        """Its number."""
        return self.orders.rank

    @property
    def running(self) -> bool:
        """Whether it has a job."""
        return self.job is not None and not self.job.ended()

    def submit(self, session: Classic, then: Callable[[], None]) -> None:
        """Start its next job."""
        self.jobs += 1
        orders = replace(self.orders, job=self.jobs)
        share = orders.share
        rdd, partition = (self.cells if share and share.brought else self.rdd), share.number if share else 0
        task = Task(session.spark.sparkContext, rdd, partition, functools.partial(member.run, orders))
        title = self.title if self.jobs == 1 else f"{self.title}, job {self.jobs}"
        self.job, self.idle = Submitted(session, task, title, then), time.monotonic()

    def bring(self) -> None:
        """Have its next job bring its share."""
        assert self.orders.share is not None
        self.orders = replace(self.orders, share=replace(self.orders.share, brought=True))
