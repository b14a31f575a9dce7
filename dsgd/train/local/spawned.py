"""A process that the driver has started, a rank's or one of a pool: fed over its input, heard over its output, and reaped.

It is ``python -m`` a module of this package: the user's script is never run again, guarded or not. Payloads go over private
pipes and results come back over them.
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
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, cast

from ...errors import ConfigError, WorkerLost
from .. import place
from ..rank import LOST, Failure
from . import frames
from .board import LocalBoard

# Seconds in which a process that has closed its output ends, and its threads do.
_GRACE = 2.0
_TAIL_LINES = 40


def pickle_all(payloads: Sequence[Any]) -> list[bytes]:
    """Return the payloads as they travel to processes; ConfigError where none can be started."""
    if not sys.executable:
        raise ConfigError("this Python has no executable to start processes with; use LocalEngine(processes=False)")
    return [pickle.dumps(payload, protocol=5) for payload in payloads]


class Child:
    """One rank's process, or one of a pool, and the threads that feed it, listen to it and relay what it prints."""

    def __init__(
        self,
        rank: int,
        threads: int,
        inbox: "queue.Queue[tuple[int, bytes, bytes]]",
        board: LocalBoard | None = None,
        module: str = "dsgd.train.local.child",
        left: dict[str, bytes] | None = None,
    ):
        self.rank = rank
        self._left = left
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
        self._listener = self._threads[1]
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
        """Take what is left with the driver, and serve the board, here: neither is to wait for what the driver has to do.

        Returns whether that was it.
        """
        if self._left is not None and tag in (frames.LEAVE, frames.REMOVE):
            name, data = frames.unpack(body)
            self._left.pop(name.decode(), None)  # Files lie in the order in which they were left last.
            if tag == frames.LEAVE:
                self._left[name.decode()] = data
            return True
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

    def heard_out(self) -> None:
        """Wait, a moment at most, until all that the process has said is here."""
        self._listener.join(timeout=_GRACE)

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
