"""A crew on Dask's workers, as the driver sees it: who lives where, who is started again, what is said, how it ends.

Members that serve the others live in the care of an actor beside the tasks of its worker; the others are tasks. A member
is dead when its worker has left, or when Dask has lost its task or the actor; it is then started again where there is room,
and what may be left of it is withdrawn. One that does not end when the crew is over cannot be stopped: Dask stops no thread.
"""

import collections
import contextlib
import logging
import os
import queue
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import distributed

from dsgd.errors import WorkerLost
from dsgd.train import crew
from dsgd.train.rank import LOST, Failure

from . import crew_member, stopping, worker
from .crew_life import Life
from .crew_orders import MemberOrders, Plan
from .crew_sites import Presence, Site, Sites
from .gang import LARGE, bounded
from .shipping import pack
from .watching import TRAVEL

_log = logging.getLogger(__name__)
# Seconds: between two looks at the members; for the last reports to arrive after the results.
_LOOK, _LAST_REPORTS = 0.02, 2.0


class Crew:
    """The members of a crew, from their first start until the lead has returned and the others have had their time."""

    def __init__(self, client: distributed.Client, plan: Plan, roll: crew.Roll, sites: Sites):
        self._client, self._plan, self._roll, self._sites = client, plan, roll, sites
        self._packed = [pack(payload) for payload in plan.payloads]
        self._lives: dict[int, Life] = {}
        # Members that have not said yet that they have started: since when.
        self._starting = {rank: time.monotonic() for rank in roll.out()}
        self._scratch: dict[str, str] = {}
        # Letters of each attempt: how many it has sent, where it has ended, and how many are here.
        self._sent: dict[tuple[int, int], int] = {}
        self._received: collections.Counter[tuple[int, int]] = collections.Counter()

    def run(
        self,
        probes: Mapping[str, worker.Probe],
        board: distributed.Future,
        box: queue.SimpleQueue,
        on_report: Callable[[dict], None],
    ) -> bytes:
        """Run to the end, which is the lead's bytes or the first cause of a failure."""
        presence = Presence(self._client)

        def look() -> None:
            time.sleep(_LOOK)
            stopping.check()
            self._drain(box, on_report)
            present = presence.threads()
            self._follow(present)
            if not self._roll.over:
                self._roll.check()
                if board.status == "cancelled":  # Not "lost": what its task gave may be, and is made again.
                    raise WorkerLost("the crew was cancelled, by Client.restart() say")
                self._start(present)

        try:
            self._sites.begin(probes)
            while not self._roll.over:
                look()
            self._dismiss(look)
            self._wait_for_reports(lambda: self._drain(box, on_report))
        finally:
            presence.stop()
            self._withdraw()
        assert self._roll.result is not None
        return self._roll.result

    def _drain(self, box: queue.SimpleQueue, on_report: Callable[[dict], None]) -> None:
        while not box.empty():
            rank, attempt, record = box.get()
            self._received[rank, attempt] += 1
            if record is not None:
                on_report(record)
            elif attempt == self._roll.attempts[rank]:
                self._starting.pop(rank, None)

    def _follow(self, present: Mapping[str, int]) -> None:
        """Take note of the workers that have gone, and of the members that have ended."""
        for site in self._sites.gone(present):
            self._lose(site, {})
        for life in list(self._lives.values()):
            if self._lives.get(life.rank) is not life or not life.ended():
                continue
            outcome = life.outcome
            assert outcome is not None
            if isinstance(outcome, Failure) and outcome.kind == LOST:
                # Its process may have gone, or be another: whoever else lives there is given up with it.
                self._lose(life.site, {life.rank: outcome.message})
            else:
                self._sent[life.rank, life.attempt] = life.sent
                self._forget(life)
                self._roll.ended(life.rank, life.attempt, outcome)

    def _lose(self, site: Site, said: dict[int, str]) -> None:
        """Give up a site and all who live there, who are started again; ``said`` tells more of some."""
        self._sites.close(site)
        lives = [self._lives[rank] for rank in sorted(site.tasks | site.servers)]
        self._cancel(lives)
        for life in lives:
            self._forget(life)
        for life in sorted(lives, key=lambda life: life.rank not in said):
            rank = life.rank
            default = f"the worker {site.address} of rank {rank} has left the cluster, or was killed"
            if self._roll.ended(rank, life.attempt, Failure(rank, LOST, said.get(rank, default))):
                self._starting[rank] = time.monotonic()

    def _forget(self, life: Life) -> None:
        del self._lives[life.rank]
        self._starting.pop(life.rank, None)
        life.site.tasks.discard(life.rank)
        life.site.servers.discard(life.rank)

    def _cancel(self, lives: Sequence[Life]) -> None:
        """Withdraw members that are tasks; those in the care of an actor go with it."""
        futures = [life.future for life in lives if life.rank >= self._plan.servers]
        if futures:
            bounded(lambda: self._client.cancel(futures, force=True))

    def _start(self, present: Mapping[str, int]) -> None:
        """Start the members that are due where their worker is ready."""
        for rank in list(self._starting):
            life = self._lives.get(rank)
            ready = life is not None or self._computed(rank)
            if not ready and present:
                self._starting[rank] = time.monotonic()
            elif time.monotonic() - self._starting[rank] > self._plan.deadline:
                where = f"the worker {life.site.address} has not begun with it" if life else "no worker had room for it"
                raise WorkerLost(f"rank {rank} had not started after {self._plan.deadline:g} s: {where}")
            if life is None and ready:
                site = self._site(rank, present)
                if site is not None and site.ready():
                    self._begin(rank, site, present)

    def _computed(self, rank: int) -> bool:
        """Whether what a member's payload holds is there; until then it is not due, if there are workers to compute it."""
        futures = self._packed[rank][1]
        for future in futures:
            if future.status in ("error", "cancelled"):
                error = future.exception(timeout=TRAVEL) if future.status == "error" else future.status
                raise WorkerLost(f"the data of rank {rank} could not be computed: {error!r}")
        return all(future.status == "finished" for future in futures)

    def _site(self, rank: int, present: Mapping[str, int]) -> Site | None:
        first = self._sites.open.get(self._plan.addresses[rank])
        if first is not None and first.planned and self._roll.attempts[rank] == 0:
            return first
        return self._sites.choose(rank < self._plan.servers, present)

    def _begin(self, rank: int, site: Site, present: Mapping[str, int]) -> None:
        packed, futures = self._packed[rank]
        orders, kept = self._orders(rank, site, present), None
        try:
            if rank < self._plan.servers:
                assert site.actor is not None
                future: Any = site.actor.run(orders, packed, [future.key for future in futures])
                site.servers.add(rank)
            else:
                if len(packed) > LARGE:
                    kept = self._client.scatter(packed, workers=[site.address], hash=False)
                future = self._submit(orders, site, packed if kept is None else kept, futures)
                site.tasks.add(rank)
        except (OSError, RuntimeError, ValueError, TimeoutError, distributed.TimeoutError):
            self._lose(site, {})  # It has gone meanwhile; the member has not lived there yet.
            return
        self._lives[rank] = Life(rank, orders.attempt, site, future, kept)

    def _submit(self, orders: MemberOrders, site: Site, payload: Any, futures: list) -> distributed.Future:
        return self._client.submit(
            crew_member.run_task,
            orders,
            payload,
            futures,
            key=orders.key,
            workers=[site.address],
            allow_other_workers=False,
            retries=0,
            pure=False,
        )

    def _orders(self, rank: int, site: Site, present: Mapping[str, int]) -> MemberOrders:
        plan, probe = self._plan, site.probe
        assert probe is not None
        # Beside the worker's own directory, which goes when the worker does.
        scratch = os.path.join(os.path.dirname(probe.directory), f"dsgd-{plan.fit}")
        shared = present.get(site.address, 1) // (len(site.tasks) + 1)
        return MemberOrders(
            plan.fit,
            rank,
            len(plan.payloads),
            self._roll.attempts[rank],
            plan.function,
            probe.process,
            self._scratch.setdefault(probe.machine, scratch),
            plan.threads.get(site.address) or max(1, shared),
            plan.topic,
            plan.who,
        )

    def _dismiss(self, look: Callable[[], None]) -> None:
        """Tell the others that the crew is over, and give them time to return."""
        limit = time.monotonic() + crew.LEAVE
        addresses = sorted({life.site.address for life in self._lives.values()})
        if addresses:
            fit = self._plan.fit
            bounded(lambda: self._client.run(crew_member.end, fit, workers=addresses, on_error="ignore"))
        with contextlib.suppress(WorkerLost):  # The scheduler is silent: what the crew was for is here.
            while self._lives and time.monotonic() < limit:
                look()
        if self._lives:
            _log.warning(
                "ranks %s have not returned %g s after the crew ended, and are left behind on their workers: Dask cannot"
                " stop a thread",
                sorted(self._lives),
                crew.LEAVE,
            )

    def _wait_for_reports(self, drain: Callable[[], None]) -> None:
        limit = time.monotonic() + _LAST_REPORTS
        drain()
        while any(self._received[one] < sent for one, sent in self._sent.items()) and time.monotonic() < limit:
            time.sleep(0.01)
            drain()

    def _withdraw(self) -> None:
        """Let go of everything on the workers; members that still live see that they are not wanted."""
        if self._client.status in ("closing", "closed"):
            return  # The scheduler lets go of what a client wanted that has left, and the last members tidy up.
        self._cancel(list(self._lives.values()))
        machines = {site.probe.machine: site.address for site in self._sites.open.values() if site.probe}
        self._sites.close_all()
        # One worker a machine; where none is left that the crew knows, whoever is there looks.
        addresses = sorted(machines.values()) if set(self._scratch) <= set(machines) else None
        paths = sorted(set(self._scratch.values()))
        if paths:
            bounded(lambda: self._client.run(crew_member.tidy, paths, workers=addresses, on_error="ignore"))
