"""A gang of ranks in processes of this machine, which stand and fall together.

Each rank is ``python -m dsgd.train.local.child``: the user's script is never run again, guarded or not. Payloads go
over private pipes and results come back over them. All processes are killed and reaped when one fails, when the driver
is interrupted, and when the driver itself dies.
"""

import collections
import contextlib
import json
import os
import pickle
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NoReturn, cast

from ...errors import ConfigError, WorkerLost
from .. import place
from .. import rank as ranks
from ..again import RankLost
from ..rank import LOST, Failure
from . import frames
from .board import LocalBoard

# Seconds in which the cause may still arrive after a rank has said that it lost a peer.
_GRACE = 2.0
_TAIL_LINES = 40


class Child:
    """One rank's process, or one of a pool, and the threads that feed it, listen to it and relay what it prints."""

    def __init__(
        self,
        rank: int,
        threads: int,
        inbox: "queue.Queue[tuple[int, bytes, bytes]]",
        board: LocalBoard | None = None,
        module: str = "dsgd.train.local.child",
    ):
        self.rank = rank
        self._inbox = inbox
        self._board = board
        self._outbox: queue.Queue[tuple[bytes, bytes] | None] = queue.Queue()
        self._tail: collections.deque[str] = collections.deque(maxlen=_TAIL_LINES)
        self._process = subprocess.Popen(
            [sys.executable, "-m", module],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=_environment(threads),
        )
        self._input = cast(BinaryIO, self._process.stdin)
        self._output = cast(BinaryIO, self._process.stdout)
        self._errors = cast(BinaryIO, self._process.stderr)
        self._threads = [
            threading.Thread(target=body, daemon=True, name=f"dsgd-child-{rank}")
            for body in (self._write, self._listen, self._relay)
        ]
        for thread in self._threads:
            thread.start()

    def begin(self, task: dict[str, Any], payload: bytes) -> None:
        """Tell the process who it is and what to do."""
        self.send(frames.TASK, json.dumps({**task, "path": sys.path}).encode())
        self.send(frames.TASK, payload)

    def send(self, tag: bytes, body: bytes = b"") -> None:
        """Queue a frame; a process that does not read blocks its own writer only."""
        self._outbox.put((tag, body))

    def _write(self) -> None:
        try:
            while (frame := self._outbox.get()) is not None:
                frames.write(self._input, *frame)
        except OSError:
            return  # It is gone: the listener reads the end of its output and tells the driver.

    def _listen(self) -> None:
        while (frame := frames.read(self._output)) is not None:
            if not self._answer(*frame):
                self._inbox.put((self.rank, *frame))
        self._inbox.put((self.rank, b"", b""))

    def _answer(self, tag: bytes, body: bytes) -> bool:
        """Serve the board here, so that nobody waits for what the driver has to do; tell whether that was it."""
        if self._board is None or tag not in (frames.POST, frames.READ):
            return False
        with contextlib.suppress(WorkerLost):  # The crew is over: this process is about to be killed.
            if tag == frames.POST:
                name, value = frames.unpack(body)
                self._board.post(name.decode(), value)
            else:
                found = self._board.read(body.decode())
                self.send(frames.NO_WORD if found is None else frames.WORD, found or b"")
        return True

    def _relay(self) -> None:
        for line in self._errors:
            text = line.decode(errors="replace")
            self._tail.append(text)
            sys.stderr.write(text)

    def post_mortem(self) -> Failure:
        """Describe a process that ended without a result."""
        return Failure(self.rank, LOST, f"rank {self.rank} {self.how_it_ended()}")

    def how_it_ended(self) -> str:
        """The rest of a sentence about a process that ended without a result."""
        try:
            code = self._process.wait(timeout=_GRACE)
        except subprocess.TimeoutExpired:
            return "closed its output before it had a result"
        self._threads[-1].join(timeout=_GRACE)
        how = f"was killed by signal {-code}" if code < 0 else f"ended with exit status {code}"
        hint = "; the system may have run out of memory" if code == -9 else ""
        printed = "".join(self._tail).strip()
        said = f". It last printed:\n{printed}" if printed else ""
        return f"{how} before it had a result{hint}{said}"

    def kill(self) -> None:
        """Kill the process, whose end its listener then tells."""
        self._process.kill()

    def end(self) -> None:
        """Kill the process if it lives, and reap it."""
        self._process.kill()
        self._process.wait()
        self._outbox.put(None)
        for thread in self._threads:
            thread.join(timeout=_GRACE)
        for stream in (self._output, self._errors, self._input):
            # Closing the input flushes what the dead process did not read.
            with contextlib.suppress(BrokenPipeError):
                stream.close()


def _environment(threads: int) -> dict[str, str]:
    package = str(Path(sys.modules["dsgd"].__file__ or "").resolve().parent.parent)
    path = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH", "")]))
    return {**os.environ, **place.thread_environment(threads), "PYTHONPATH": path}


class Gang:
    """The driver's view of the ranks: who has started, who waits in an all-gather, who has ended."""

    def __init__(
        self,
        children: list[Child],
        inbox: queue.Queue,
        on_report: Callable[[dict], None],
        left: dict[str, bytes] | None = None,
    ):
        self.children = children
        self._left = left
        self._inbox = inbox
        self._on_report = on_report
        self._started: set[int] = set()
        self._gathered: dict[int, bytes] = {}
        self._results: dict[int, bytes] = {}
        self._failures: list[Failure] = []

    def run(self, deadline: float) -> list[bytes]:
        """Serve the ranks until all have their results; raise the first cause as soon as one fails."""
        starting, giving_up = time.monotonic() + deadline, float("inf")
        while len(self._results) < len(self.children):
            now = time.monotonic()
            if len(self._started) < len(self.children) and now > starting:
                self._late(deadline)
            if now > giving_up or any(failure.severity < 2 for failure in self._failures):
                self._raise()
            try:
                self._handle(*self._inbox.get(timeout=0.2))
            except queue.Empty:
                continue
            if self._failures:
                giving_up = min(giving_up, time.monotonic() + _GRACE)
        return [self._results[rank] for rank in range(len(self.children))]

    def _raise(self) -> NoReturn:
        """Raise the first cause, once what the other ranks have left is here, too: RankLost if all there is is a death."""
        with contextlib.suppress(queue.Empty):
            while True:
                rank, tag, body = self._inbox.get_nowait()
                if tag in (frames.LEAVE, frames.REMOVE):
                    self._handle(rank, tag, body)
        try:
            ranks.raise_first(self._failures)
        except WorkerLost as error:
            if all(failure.severity > 0 for failure in self._failures):
                raise RankLost(str(error)) from error.__cause__
            raise

    def _late(self, deadline: float) -> NoReturn:
        missing = sorted(set(range(len(self.children))) - self._started)
        raise WorkerLost(f"ranks {missing} had not started after {deadline:g} s; the machine may be overloaded")

    def _handle(self, rank: int, tag: bytes, body: bytes) -> None:
        if tag == frames.HELLO:
            self._started.add(rank)
        elif tag == frames.REPORT:
            self._on_report(json.loads(body))
        elif tag == frames.RESULT:
            self._results[rank] = body
        elif tag == frames.FAILURE:
            self._failures.append(Failure.from_json(body))
        elif tag == frames.GATHER:
            self._gather(rank, body)
        elif tag in (frames.LEAVE, frames.REMOVE):
            self._keep(tag, *frames.unpack(body))
        elif rank not in self._results and all(failure.rank != rank for failure in self._failures):
            self._failures.append(self.children[rank].post_mortem())

    def _keep(self, tag: bytes, name: bytes, data: bytes) -> None:
        assert self._left is not None
        self._left.pop(
            name.decode(), None
        )  # A name's latest file is the last in the order, as the latest that was left.
        if tag == frames.LEAVE:
            self._left[name.decode()] = data

    def _gather(self, rank: int, payload: bytes) -> None:
        self._gathered[rank] = payload
        if len(self._gathered) == len(self.children):
            everything = frames.pack([self._gathered[peer] for peer in range(len(self.children))])
            self._gathered.clear()
            for child in self.children:
                child.send(frames.GATHERED, everything)


def pickle_all(payloads: Sequence[Any]) -> list[bytes]:
    """Return the payloads as they travel to processes; ConfigError where none can be started."""
    if not sys.executable:
        raise ConfigError("this Python has no executable to start processes with; use LocalEngine(processes=False)")
    return [pickle.dumps(payload, protocol=5) for payload in payloads]


def run_processes(
    function: str,
    payloads: Sequence[Any],
    deadline: float,
    on_report: Callable[[dict], None],
    *,
    scratch: str,
    threads: int,
    left: dict[str, bytes] | None = None,
) -> list[bytes]:
    """Run one rank a payload, each in a process of its own; ``left`` is brought up to date with what they leave here."""
    pickled = pickle_all(payloads)
    inbox: queue.Queue[tuple[int, bytes, bytes]] = queue.Queue()
    children: list[Child] = []
    try:
        for rank, payload in enumerate(pickled):
            children.append(Child(rank, threads, inbox))
            task = {"rank": rank, "size": len(pickled), "function": function, "scratch": scratch}
            more = {"threads": threads, "deadline": deadline, "leaves": left is not None}
            children[rank].begin({**task, **more}, payload)
        return Gang(children, inbox, on_report, left).run(deadline)
    finally:
        for child in children:
            child.end()
