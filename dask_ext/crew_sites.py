"""The worker processes that a crew uses: which are there, what they have said of themselves, and who lives on them.

A site is one worker process, from the moment when the crew takes it until the process is gone; a worker that was started
again, at the same address or another, is a new site. Nothing here waits: the driver looks in again and again.
"""

import contextlib
import threading
import time
import uuid
from collections.abc import Collection, Mapping

import distributed

from dsgd.errors import ConfigError, WorkerLost
from dsgd.train import versions

from . import worker
from .crew_member import Host
from .gang import bounded, lease
from .probing import SHIP
from .watching import TRAVEL

# Seconds: between two looks at the workers; for the scheduler to be silent; for a site to get ready before others are tried;
# between two tries for a worker that another fit holds, and for one such try.
_LOOK, _SILENT, _SLOW, _AGAIN, _TRY = 0.5, 60.0, 10.0, 1.0, 0.1


class Presence:
    """The workers that are there, as a thread of its own sees them."""

    def __init__(self, client: distributed.Client):
        self._client = client
        self._stop = threading.Event()
        self._present: dict[str, int] = dict(client.nthreads())
        self._heard = time.monotonic()
        self._thread = threading.Thread(target=self._look, daemon=True, name="dsgd-presence")
        self._thread.start()

    def _look(self) -> None:
        while not self._stop.wait(_LOOK):
            # No answer: the silence counts.
            with contextlib.suppress(OSError, ValueError, RuntimeError, AttributeError, TypeError):
                self._present = dict(self._client.nthreads())
                self._heard = time.monotonic()

    def threads(self) -> dict[str, int]:
        """Threads of each worker, by address; raises WorkerLost when the scheduler itself says nothing."""
        if self._client.status in ("closing", "closed"):
            raise WorkerLost("the client was closed while its crew was at work")
        if time.monotonic() - self._heard > _SILENT:
            raise WorkerLost(f"Dask's scheduler has not answered for {_SILENT:g} s")
        return self._present

    def stop(self) -> None:
        """Stop looking."""
        self._stop.set()
        self._thread.join(timeout=_LOOK)


class Site:
    """One worker process, and the members that live there.

    Attributes
    ----------
    address : str
    tasks, servers : set of int
        Members that run there as tasks, and in the care of the site's actor.
    planned : bool
        Whether the crew began here.
    probe : Probe or None
        What the process has said of itself, once it has.
    actor : distributed.Actor or None
        Where servers live, once it is there.
    """

    def __init__(self, client: distributed.Client, address: str, who: str, hosts: bool, known: worker.Probe | None):
        self.address, self.probe, self.planned = address, known, known is not None
        self.tasks: set[int] = set()
        self.servers: set[int] = set()
        self.actor: distributed.Actor | None = None
        self._client = client
        self._opened = time.monotonic()
        pinned = {"workers": [address], "allow_other_workers": False, "pure": False}
        name = f"{who}-{uuid.uuid4().hex}"
        self._asked = None if known else client.submit(worker.probe, key=f"dsgd-probe-{name}", **pinned)
        key = f"dsgd-host-{name}"
        self._host = client.submit(Host, key, key=key, actor=True, **pinned) if hosts else None

    def ready(self) -> bool:
        """Whether members may be started here; ConfigError for a worker that has another version of a package."""
        if self._asked is not None and self._asked.status == "finished":
            answer = self._asked.result(timeout=TRAVEL)
            versions.compare(versions.installed(), answer.versions, f"the worker {self.address}", SHIP)
            self.probe, self._asked = answer, None
        if self._host is not None and self.actor is None and self._host.status == "finished":
            with self._client.as_current():  # The actor's calls go through the client that is current now.
                self.actor = distributed.Actor(Host, self.address, self._host.key)
        return self.probe is not None and (self._host is None or self.actor is not None)

    def broken(self) -> bool:
        """Whether the process is known to be gone, or another, though there is a worker at its address.

        ConfigError for a worker that lacks a package.
        """
        ended = [future for future in self.futures() if future.status not in ("pending", "finished")]
        for future in ended:
            error = future.exception(timeout=TRAVEL) if future.status == "error" else None
            if isinstance(error, ImportError):
                raise ConfigError(f"the worker {self.address} cannot import what a member needs: {error}. {SHIP}")
        return bool(ended)

    def futures(self) -> list[distributed.Future]:
        """What the process was asked for: its probe until it is here, and the actor."""
        return [future for future in (self._asked, self._host) if future is not None]

    def slow(self) -> bool:
        """Whether it has not got ready in good time: it is busy with other tasks, or frozen."""
        return time.monotonic() - self._opened > _SLOW and not self.ready()


class Sites:
    """The sites of one crew, and the workers that might become one.

    Parameters
    ----------
    client : distributed.Client
    who : str
        Part of the tasks' names.
    hosts : bool
        Whether the crew has servers, so that each site gets an actor for them.
    allowed : collection of str or None
        Workers that may be used; None for all.
    leases : contextlib.ExitStack
        Holds the workers until the crew ends.
    """

    def __init__(
        self,
        client: distributed.Client,
        who: str,
        hosts: bool,
        allowed: Collection[str] | None,
        leases: contextlib.ExitStack,
    ):
        self._client, self._who, self._hosts, self._allowed, self._leases = client, who, hosts, allowed, leases
        self._held: set[str] = set()
        self._tried: dict[str, float] = {}
        self.open: dict[str, Site] = {}

    def begin(self, probes: Mapping[str, worker.Probe]) -> None:
        """Open the sites where the crew begins, whose leases are held and which were probed."""
        self._held |= set(probes)
        for address, known in probes.items():
            self.open[address] = Site(self._client, address, self._who, self._hosts, known)

    def gone(self, present: Mapping[str, int]) -> list[Site]:
        """Sites whose process is no longer there."""
        return [site for site in self.open.values() if site.address not in present or site.broken()]

    def close(self, site: Site) -> None:
        """Let go of a site: its actor goes, and members that still live there see that they are not wanted."""
        self.open.pop(site.address, None)
        self._cancel(site.futures())

    def close_all(self) -> None:
        """Let go of all sites."""
        futures = [future for site in self.open.values() for future in site.futures()]
        self.open.clear()
        self._cancel(futures)

    def _cancel(self, futures: list[distributed.Future]) -> None:
        if futures:
            bounded(lambda: self._client.cancel(futures, force=True))

    def choose(self, server: bool, present: Mapping[str, int]) -> Site | None:
        """The site that is best for a member now, be it ready or not; None when no worker has room.

        A site that is taken anew is opened here.
        """
        allowed = {a: n for a, n in present.items() if self._allowed is None or a in self._allowed}
        found = sorted((self._cost(a, server), a) for a, threads in allowed.items() if self._room(a, server, threads))
        for _, address in found:
            if address not in self.open and self._lease(address):
                self.open[address] = Site(self._client, address, self._who, self._hosts, None)
            if address in self.open:
                return self.open[address]
        return None

    def _room(self, address: str, server: bool, threads: int) -> bool:
        return server or address not in self.open or len(self.open[address].tasks) < threads

    def _cost(self, address: str, server: bool) -> tuple:
        site = self.open.get(address)
        if site is None:
            return (False, 0, 0, True)
        tasks, servers = len(site.tasks), len(site.servers)
        return (site.slow(), tasks + servers if server else tasks, servers, False)

    def _lease(self, address: str) -> bool:
        """Whether the crew holds a worker, or has just got hold of it."""
        if address in self._held:
            return True
        if time.monotonic() - self._tried.get(address, -_AGAIN) < _AGAIN:
            return False
        self._tried[address] = time.monotonic()
        one = lease(self._client, address)
        if not one.acquire(timeout=_TRY):
            return False
        self._leases.callback(one.release)
        self._held.add(address)
        return True
