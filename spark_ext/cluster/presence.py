"""Which of a member's starts counts: Spark may start a task again, or start a twin of it, and only one may be the member.

In come the starts that ask to be let in, with the number of the job that they belong to, and what the driver decides of them;
out come an answer to each, and whether who speaks still counts. One lock; no I/O.
"""

import threading
import time
from dataclasses import dataclass, field
from typing import Any

# What a start is told that asks to be let in.
GO, WAIT, GONE = "go", "wait", "gone"


@dataclass
class Start:
    """One start of a member, in one task of one job.

    Attributes
    ----------
    member, job : int
        ``job`` counts the member's jobs.
    task, stage : int
        Spark's numbers; no two attempts at a task share the first one.
    machine, directory : str
        Where it runs, and the scratch directory that it proposes there.
    asked, heard : float
        When it was heard of first, and last.
    attempt : int or None
        Once it has been let in.
    host : str
        Under which the other members reach it, once it has been let in.
    left : bool
        Whether it has taken leave.
    """

    member: int
    job: int
    task: int
    stage: int
    machine: str
    directory: str
    asked: float = field(default_factory=time.monotonic)
    heard: float = field(default_factory=time.monotonic)
    attempt: int | None = None
    host: str = ""
    left: bool = False


class Presence:
    """Who is in.

    Attributes
    ----------
    over : bool
        Whether the crew has ended: nobody is let in any more.

    Examples
    --------
    >>> presence = Presence()
    >>> presence.expect(1, job=0)
    >>> first = Start(1, 0, task=7, stage=3, machine="m", directory="/tmp/a")
    >>> presence.ask(first)
    {'state': 'wait'}
    >>> presence.admit(first, attempt=0, host="10.0.0.1")
    >>> presence.ask(first)
    {'state': 'go', 'attempt': 0, 'host': '10.0.0.1', 'directory': '/tmp/a'}
    >>> presence.stands(1, 0), presence.stands(1, 1)
    (True, False)
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._jobs: dict[int, int] = {}
        self._starts: dict[tuple[int, int], Start] = {}
        self._current: dict[int, Start] = {}
        self._directories: dict[str, str] = {}
        self._littered: set[str] = set()
        self.over = False

    def expect(self, member: int, job: int) -> None:
        """From now on a member's starts come from this job; those of an earlier one count no more."""
        with self._lock:
            self._jobs[member] = job
            self._current.pop(member, None)
            self._starts = {key: start for key, start in self._starts.items() if start.member != member}

    def ask(self, told: Start) -> dict[str, Any]:
        """Answer a start that asks to be let in, for the first time or again."""
        with self._lock:
            if self.over or told.job != self._jobs.get(told.member):
                return {"state": GONE}
            start = self._starts.setdefault((told.member, told.task), told)
            start.heard = time.monotonic()
            if start.attempt is None:
                return {"state": WAIT}
            if self._current.get(start.member) is not start:
                return {"state": GONE}
            directory = self._directories[start.machine]
            return {"state": GO, "attempt": start.attempt, "host": start.host, "directory": directory}

    def waiting(self) -> list[Start]:
        """Starts that have asked and have not been let in, a member's latest only."""
        with self._lock:
            latest = {}
            for (member, _), start in sorted(self._starts.items()):
                if start.attempt is None:
                    latest[member] = start
            return list(latest.values())

    def current(self, member: int) -> Start | None:
        """The start that counts now."""
        with self._lock:
            return self._current.get(member)

    def admit(self, start: Start, attempt: int, host: str) -> None:
        """Let a start in, in the place of whatever was there; the first one of a machine has its way with the directory."""
        with self._lock:
            start.attempt, start.host, start.heard = attempt, host, time.monotonic()
            self._current[start.member] = start
            self._directories.setdefault(start.machine, start.directory)
            self._littered.add(start.machine)

    def stands(self, member: int, attempt: int) -> bool:
        """Whether a member's attempt is the one that counts; it is heard of so."""
        with self._lock:
            start = self._current.get(member)
            if start is None or start.attempt != attempt:
                return False
            start.heard = time.monotonic()
            return True

    def leave(self, member: int, attempt: int) -> dict[str, bool]:
        """Let a start go: whether it counted to the end, and whether it is the last one on its machine, to tidy up there."""
        with self._lock:
            start = self._current.get(member)
            if start is None or start.attempt != attempt:
                return {"stands": False, "last": False}
            start.left = True
            last = all(other.left for other in self._current.values() if other.machine == start.machine)
            if last:
                self._littered.discard(start.machine)
            return {"stands": True, "last": last}

    def litter(self, member: int) -> None:
        """Note that a member was stopped, be it while it tidied up as the last one."""
        with self._lock:
            if member in self._current:
                self._littered.add(self._current[member].machine)

    def littered(self) -> bool:
        """Whether there are machines on which nobody was left to tidy up, or nobody to the end."""
        with self._lock:
            return bool(self._littered)
