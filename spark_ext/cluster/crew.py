"""A crew on Spark, as the driver sees it: a job of one task for each member, submitted again when the member dies.

In come the members' orders and the rows under their tasks; out come the lead's bytes. Nobody is let in before all members
have a slot, so that a crew that does not fit does nothing. When the lead has returned, or something has ended the crew, the
others hear it from the desk, and are stopped if they do not return.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence

from dsgd.errors import ConfigError, DSGDError, WorkerLost
from dsgd.train import crew
from dsgd.train.again import COME_BACK, RankLost
from dsgd.train.rank import LOST, Failure

from . import cells, slots, worker
from .desk import Desk
from .jobs import Member
from .kinds import Classic
from .messages import translate
from .presence import Presence, Start
from .session import Submitted

_log = logging.getLogger(__name__)
# Seconds: between two looks at the members; between two questions to Spark how their tasks are.
_LOOK, _LOOK_AROUND = 0.1, 1.0
# Seconds: before a second task of a job is judged, as Spark's records lag behind; without a sign of life, after which a member
# gives way to its twin; for stopped jobs, and then for their tasks, to end.
_JUDGE, _SILENT, _STOP, _GO = 0.5, 20.0, 30.0, 10.0
# Seconds between two attempts to stop jobs.
_AGAIN = 0.5
# Seconds for the members that are fed to find a slot, before the others look for theirs.
_PLACING = 10.0


class Crew:
    """All members, from the first to the last of their jobs.

    Parameters
    ----------
    session : Classic
    members : sequence of Member
    roll : dsgd.train.crew.Roll
    desk : Desk
    presence : Presence
    stir : threading.Event
        Set when there is something to do.
    """

    def __init__(
        self,
        session: Classic,
        members: Sequence[Member],
        roll: crew.Roll,
        desk: Desk,
        presence: Presence,
        stir: threading.Event,
    ):
        self._session, self._members, self._roll = session, members, roll
        self._desk, self._presence, self._stir = desk, presence, stir
        self._begun, self._looked = False, 0.0

    def run(self, deadline: float, on_report: Callable[[dict], None]) -> bytes:
        """Return the lead's bytes; whatever the end is, no job is left."""
        grace, began = 0.0, time.monotonic()
        try:
            while not self._roll.over:
                self._submit_first(began)
                self._stir.wait(_LOOK)
                self._stir.clear()
                self._deliver(on_report)
                self._take_ends()
                self._let_in()
                self._look(began, deadline)
                self._roll.check()
            grace = crew.LEAVE
        except Exception:
            grace = crew.LEAVE
            raise
        finally:
            self._end(grace)
        self._deliver(on_report)
        assert self._roll.result is not None
        return self._roll.result

    def _submit_first(self, began: float) -> None:
        """Submit all members' first jobs; those that are fed before the others, to find a slot where their rows are."""
        fed = [one for one in self._members if one.orders.share is not None]
        asked = {start.member for start in self._presence.waiting()}
        placed = all(one.rank in asked for one in fed) or time.monotonic() - began > _PLACING
        for one in self._members if placed else fed:
            if one.job is None:
                self._submit(one)

    def _submit(self, one: Member) -> None:
        self._presence.expect(one.rank, one.jobs + 1)
        one.submit(self._session, self._stir.set)

    def _deliver(self, on_report: Callable[[dict], None]) -> None:
        while not self._desk.reports.empty():
            on_report(self._desk.reports.get())

    def _take_ends(self) -> None:
        """Look at the jobs that have ended, until the lead's is among them."""
        for one in self._members:
            if one.job is not None and not (self._roll.over or one.ended or one.running):
                outcome = self._outcome(one)
                if isinstance(outcome, Failure) and outcome.kind == worker.MISSING:
                    self._bring(one)
                elif self._roll.ended(one.rank, self._roll.attempts[one.rank], outcome):
                    self._submit(one)
                else:
                    one.ended = True

    def _bring(self, one: Member) -> None:
        """Have a member's share brought to where it runs next."""
        _log.info("%s: its share of the rows is not where it runs; it is brought there", one.title)
        if self._presence.current(one.rank) is not None:  # This was not the job's first start.
            self._died_inside(one)
        one.bring()
        self._submit(one)

    def _died_inside(self, one: Member) -> None:
        """Count a death that Spark has made up for by itself, by running the task again."""
        self._roll.ended(
            one.rank,
            self._roll.attempts[one.rank],
            self._death(one, "its executor or its Python worker was lost, and Spark runs its task again"),
        )

    def _outcome(self, one: Member) -> bytes | Failure:
        """What a member's job has come to; its death, if Spark has lost it."""
        assert one.job is not None
        try:
            (outcome,) = cells.decode(one.job.result()).values()
            return outcome
        except DSGDError:
            raise
        except Exception as error:
            reason = translate(str(error))
            if not isinstance(reason, RankLost):
                raise reason from None
            return self._death(one, str(reason))

    def _death(self, one: Member, reason: str) -> Failure:
        return Failure(one.rank, LOST, f"rank {one.rank} ({one.title}) died: {reason}")

    def _let_in(self) -> None:
        """Let the starts in that ask for it: at first all at once."""
        waiting = self._presence.waiting()
        self._begun = self._begun or len(waiting) == len(self._members)
        for start in waiting if self._begun else []:
            one = self._members[start.member]
            there = self._presence.current(start.member)
            if there is not None and self._lives(one, there, start):
                continue
            host = "127.0.0.1" if slots.fixed(self._session) else self._session.host(start.stage, start.task)
            if host is None:
                continue
            if there is not None:
                self._died_inside(one)
            self._presence.admit(start, self._roll.attempts[one.rank], host)

    def _lives(self, one: Member, there: Start, start: Start) -> bool:
        """Whether a member is still there when another task of its job asks to be let in, a twin that has to wait."""
        now = time.monotonic()
        if there.left:
            return False
        if now - start.asked < _JUDGE:
            return True
        start.asked = now
        assert one.job is not None
        return now - there.heard < _SILENT and self._session.running(one.job.tag) > 1

    def _look(self, began: float, deadline: float) -> None:
        """Look once in a while whether all members have a slot, at first and later."""
        now = time.monotonic()
        if now - self._looked < _LOOK_AROUND:
            return
        self._looked = now
        if not self._begun and now > began + deadline:
            raise self._too_few(deadline)
        for one in self._members if self._begun else []:
            there = self._presence.current(one.rank)
            assert one.job is not None
            if one.ended or (there and now - there.heard < _SILENT) or self._session.running(one.job.tag):
                one.idle = now
            elif now - one.idle > max(deadline, COME_BACK):
                raise WorkerLost(
                    f"rank {one.rank} ({one.title}) cannot be started again: no task of it has run for"
                    f" {now - one.idle:.0f} s; see in Spark's own interface whether its slot has come back"
                )

    def _too_few(self, deadline: float) -> DSGDError:
        asked, found, size = len(self._presence.waiting()), self._session.slots(), len(self._members)
        what = f"{asked} of the crew's {size} members had a slot after {deadline:g} s"
        if found < size:
            return ConfigError(
                f"{what}: the application runs {found} tasks at the same time, and workers = slots - shards; lower n_workers"
                f" or shards, or {slots.MORE}"
            )
        return WorkerLost(f"{what}: other jobs hold the slots; wait for them, or lower n_workers")

    def _end(self, grace: float) -> None:
        """Tell the members that it is over, and stop those that are still there when the time of grace is."""
        self._presence.over = True
        limit = time.monotonic() + grace
        while any(one.running for one in self._members) and time.monotonic() < limit:
            self._stir.wait(_LOOK)
            self._stir.clear()
        still = [one for one in self._members if one.running]
        for one in still:
            self._presence.litter(one.rank)
        jobs = [one.job for one in still if one.job is not None]
        if jobs:
            # An interrupt may have come while this thread talked to the JVM: another one has a connection of its own.
            stopping = threading.Thread(target=self._stop, args=(jobs,), daemon=True, name="dsgd-stop")
            stopping.start()
            stopping.join(_STOP + _GO)

    def _stop(self, jobs: Sequence[Submitted]) -> None:
        limit = time.monotonic() + _STOP
        while any(not job.ended() for job in jobs) and time.monotonic() < limit:
            for job in jobs:
                job.withdraw()  # Again and again: a job that was not yet submitted could not be stopped.
            jobs[-1].ended(_AGAIN)
        limit = time.monotonic() + _GO
        while any(self._session.running(job.tag) for job in jobs) and time.monotonic() < limit:
            time.sleep(_LOOK)
        left = sum(not job.ended() or self._session.running(job.tag) > 0 for job in jobs)
        if left:
            _log.warning("%d tasks of a crew have not ended %g s after they were stopped; left behind", left, _GO)
