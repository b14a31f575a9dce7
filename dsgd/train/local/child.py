"""A rank in a process of its own: ``python -m dsgd.train.local.child``, started by the local engine and by nobody else.

It speaks frames with the driver over its standard input and output; what the rank itself prints goes to standard error.
When the driver is gone the input ends, and the process removes the scratch directory and ends at once, whatever it is
doing.
"""

import json
import os
import pickle
import queue
import shutil
import signal
import sys
import threading
import time
from typing import Any, BinaryIO

from ...errors import ConfigError, WorkerLost
from .. import crew, place
from .. import rank as ranks
from ..engine import RankContext, no_gang
from ..rank import Failure
from . import frames

# Seconds for the driver to answer a question for the board.
_ANSWER = 60.0
# How often, and after how many seconds, a scratch directory is looked at again once the driver is gone.
_SWEEPS, _SWEEP = 10, 0.1


class Driver:
    """The driver, as the rank sees it."""

    def __init__(self, source: BinaryIO, sink: BinaryIO):
        self._source, self._sink = source, sink
        self._lock = threading.Lock()
        self._inbox: queue.Queue[tuple[bytes, bytes]] = queue.Queue()
        self._over = threading.Event()
        self.scratch = ""
        threading.Thread(target=self._listen, daemon=True, name="dsgd-driver").start()

    def _listen(self) -> None:
        while (frame := frames.read(self._source)) is not None:
            if frame[0] == frames.OVER:
                self._over.set()
            else:
                self._inbox.put(frame)
        self._remove_scratch()
        os._exit(1)  # Only this ends a rank that is in the middle of a kernel.

    def _remove_scratch(self) -> None:
        """Remove the directory although other threads and processes, which end as well, may still write to it."""
        for _ in range(_SWEEPS):
            if not self.scratch or not os.path.isdir(self.scratch):
                return
            shutil.rmtree(self.scratch, ignore_errors=True)
            time.sleep(_SWEEP)

    def send(self, tag: bytes, body: bytes = b"") -> None:
        """Send a frame, from any thread."""
        with self._lock:
            frames.write(self._sink, tag, body)

    def over(self) -> bool:
        """Whether the driver has said that the crew is over."""
        return self._over.is_set()

    def receive(self, tags: bytes, deadline: float) -> tuple[bytes, bytes]:
        """Wait for the next frame, which must have one of these tags."""
        try:
            found, body = self._inbox.get(timeout=deadline)
        except queue.Empty:
            raise WorkerLost(f"the other ranks, or the driver, were not there after {deadline:g} s") from None
        if found not in tags:
            raise WorkerLost(f"the driver sent {found!r}, expected one of {tags!r}")
        return found, body


class PipeBoard:
    """The board, which the driver keeps, as a member sees it: safe to use from several threads."""

    def __init__(self, driver: Driver):
        self._driver = driver
        self._lock = threading.Lock()
        self._silent = False

    def post(self, name: str, value: bytes) -> None:
        """Write a value under a name."""
        self._driver.send(frames.POST, frames.pack([name.encode(), crew.check_word(name, value)]))

    def read(self, name: str) -> bytes | None:
        """The latest value under a name, or None."""
        with self._lock:  # One question at a time: answers carry no names, so none may be late either.
            if self._silent:
                raise WorkerLost("the board is gone: the driver did not answer an earlier question")
            self._silent = True
            self._driver.send(frames.READ, name.encode())
            tag, value = self._driver.receive(frames.WORD + frames.NO_WORD, _ANSWER)
            self._silent = False
        return value if tag == frames.WORD else None


def rebuild(pickled: bytes) -> Any:
    """Unpickle a payload; ConfigError when its classes cannot be imported here."""
    try:
        return pickle.loads(pickled)
    except (AttributeError, ImportError) as error:
        raise ConfigError(
            f"the payload cannot be rebuilt in another process: {error}; define its classes in a module that can be"
            " imported"
        ) from error


def _serve(driver: Driver) -> bytes | Failure:
    task = json.loads(driver.receive(frames.TASK, deadline=600.0)[1])
    sys.path[:] = task["path"]
    driver.scratch = task["scratch"]
    payload = driver.receive(frames.TASK, task["deadline"])[1]

    def allgather(mine: bytes) -> list[bytes]:
        driver.send(frames.GATHER, bytes(mine))
        return frames.unpack(driver.receive(frames.GATHERED, task["deadline"])[1])

    def leave(name: str, data: bytes | None) -> None:
        tag = frames.REMOVE if data is None else frames.LEAVE
        driver.send(tag, frames.pack([name.encode(), data or b""]))

    attempt = task.get("attempt")  # None in a gang.
    member = {} if attempt is None else {"attempt": attempt, "board": PipeBoard(driver)}
    context = RankContext(
        task["rank"],
        task["size"],
        host="127.0.0.1",
        machine=place.machine(),
        scratch=task["scratch"],
        allgather=allgather if attempt is None else no_gang,
        report=lambda record: driver.send(frames.REPORT, json.dumps(record).encode()),
        leave=leave if task.get("leaves") else None,
        threads=task["threads"],
        fallen=driver.over,
        **member,
    )
    try:
        return ranks.run(context.rank, task["function"], context, rebuild(payload))
    except ConfigError as error:
        return ranks.failure_of(context.rank, error)


def main() -> None:
    """Be one rank, from the driver's first frame to the last."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C reaches the whole group; the driver then kills its ranks.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    driver = Driver(sys.stdin.buffer, sink)
    driver.send(frames.HELLO)
    outcome = _serve(driver)
    sys.stderr.flush()
    if isinstance(outcome, Failure):
        driver.send(frames.FAILURE, outcome.to_json().encode())
    else:
        driver.send(frames.RESULT, outcome)
    sink.close()
    os._exit(0)  # Nothing is left to do, and the listening thread is still reading.


if __name__ == "__main__":
    main()
