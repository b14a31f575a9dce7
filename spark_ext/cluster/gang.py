"""A gang's barrier stage: from its payloads and, perhaps, a feed to the frame whose tasks are the ranks, and the job."""

import functools
from collections.abc import Sequence
from typing import Any

from pyspark.sql import DataFrame

from dsgd.data.dataset import require_rows
from dsgd.train.rank import Failure

from . import cells, feed, worker
from .leaves import tasks
from .ordering import order
from .post import NoPost, Post
from .session import Job, Session


def gang(
    session: Session,
    title: str,
    fit: str,
    function: str,
    payloads: Sequence[Any],
    deadline: float,
    *,
    letters: Post | NoPost,
    fed: feed.Feed | None,
) -> tuple[DataFrame, Job]:
    """The frame to collect, a task a rank, and how to watch it.

    Parameters
    ----------
    session : Session
    title, fit : str
        What Spark's interface calls it; a name that no other gang has.
    function, payloads, deadline
        As in :meth:`dsgd.train.engine.Engine.launch`.
    letters : Post or NoPost
        Takes the ranks' reports.
    fed : Feed or None
        The rows that the ranks are given.
    """
    size = len(payloads)
    frame = tasks(session, size) if fed is None else None
    orders, frame = order(
        session, fit, function, payloads, frame, deadline=deadline, mailbox=letters.mailbox, leaves=letters.leaves
    )
    if fed is None:
        body, together = functools.partial(worker.run_rank, orders), size
    else:
        body, frame = functools.partial(feed.run_rank, orders, fed.name), fed.frame.repartition(size)
        together = 0  # The user's own stages come first, and may take any time.
    ranks = frame.mapInArrow(body, cells.SPARK, barrier=True)
    return ranks, Job(f"{title}, {size} ranks", together, deadline, letters.deliver)


def of_rows(outcomes: dict[tuple[int, int], bytes | Failure]) -> dict[tuple[int, int], bytes | Failure]:
    """The outcomes; DataError when there are none, because Spark runs no tasks over a DataFrame that it knows to be empty."""
    require_rows(len(outcomes), "the DataFrame")
    return outcomes
