"""Members of a crew that are killed in the middle of their work: the functions that the tests' engines start."""

import os
import signal
import time

from dsgd.train.asynchronous import lead, member
from dsgd.train.asynchronous.own_steps import OwnSteps
from dsgd.train.asynchronous.steps import Steps
from dsgd.train.asynchronous.task import CrewTask
from dsgd.train.engine import RankContext
from dsgd.train.local import LocalEngine

_KINDS = (Steps, OwnSteps)


class MortalEngine(LocalEngine):
    """A local engine whose members run the functions of this module."""

    def crew(self, function, *arguments, **keywords):
        """As :meth:`LocalEngine.crew`."""
        assert function == "dsgd.train.asynchronous.member:run_member"
        return super().crew(f"{__name__}:run_member", *arguments, **keywords)


def die() -> None:
    """As ``kill -9`` does it."""
    os.kill(os.getpid(), signal.SIGKILL)


def run_member(context: RankContext, task: CrewTask) -> bytes:
    """Be a member that dies as the task's classes say: ``["who:when:times"]``, of which there may be several."""
    for order in os.environ.get("DSGD_TEST_DEATHS", "").split():
        who, when, times = (int(part) for part in order.split(":"))
        if who == context.rank and context.attempt < times:
            _doom(context, task, when)
    if os.environ.get("DSGD_TEST_SNAPSHOTS") == "none":
        member.ShardHost.keep = lambda host: []
    return member.run_member(context, task)


def _doom(context: RankContext, task: CrewTask, when: int) -> None:
    """Die at a worker's push number ``when``, or at a shard's message number ``when``."""
    count = 0
    if context.rank >= task.shards:
        for kind in _KINDS:

            def counted(*arguments, step=kind._step):
                nonlocal count
                count += 1
                if count == when:
                    die()
                return step(*arguments)

            kind._step = counted
        return
    handle = member.ShardHost.handle

    def heard(*arguments):
        nonlocal count
        count += 1
        if count == when:
            die()
        return handle(*arguments)

    lead.ShardHost.handle = heard


def slow(context: RankContext, task: CrewTask) -> bytes:
    """Be a member whose last worker sleeps at every step."""
    if context.rank == task.shards + task.workers - 1:
        for kind in _KINDS:

            def late(*arguments, step=kind._step):
                time.sleep(0.02)
                return step(*arguments)

            kind._step = late
    return member.run_member(context, task)
