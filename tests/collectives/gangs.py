"""Gangs for the tests of collectives: ranks as threads of this process, or as processes of their own.

A gang stays up and runs one named check of :mod:`checks` after another on every rank. Processes are started as
``python worker.py``, take commands as JSON lines and meet through files.
"""

import base64
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from dsgd.collectives import connect
from dsgd.transport import FitKeys

WORKER = Path(__file__).with_name("worker.py")
ROOT = Path(__file__).parents[2]


@dataclass
class Context:
    """What ``connect`` needs of a rank."""

    rank: int
    size: int
    machine: str
    scratch: str
    allgather: Callable[[bytes], list[bytes]]
    host: str = "127.0.0.1"


@dataclass(frozen=True)
class Setting:
    """A way to connect: ``machines`` says how many fake machines the ranks are dealt to in turn (0: one each)."""

    topology: str = "ring"
    encrypt: bool = True
    machines: int = 1
    deadline: float = 60.0
    processes: bool = False

    def machine(self, rank: int) -> str:
        return f"machine {rank % self.machines if self.machines else rank}"

    def connect(self, context: Context, keys: FitKeys):
        return connect(context, self.topology, 1 << 20, keys=keys, encrypt=self.encrypt, deadline=self.deadline)


class Threads:
    """Ranks as threads."""

    def __init__(self, setting: Setting, size: int):
        self.size = size
        self._pool = ThreadPoolExecutor(size)
        self._barrier = threading.Barrier(size)
        self._cards = [b""] * size
        self._scratch = tempfile.TemporaryDirectory()
        keys = FitKeys.generate()
        futures = [self._pool.submit(self._connect, setting, rank, keys) for rank in range(size)]
        self.collectives = [future.result(90) for future in futures]

    def _connect(self, setting: Setting, rank: int, keys: FitKeys):
        def allgather(payload: bytes) -> list[bytes]:
            self._cards[rank] = payload
            self._barrier.wait(30)
            return list(self._cards)

        return setting.connect(Context(rank, self.size, setting.machine(rank), self._scratch.name, allgather), keys)

    def run(self, check: Callable[..., object], *arguments: object) -> list:
        """What ``check(collective, *arguments)`` returns on every rank, or the exception it raised."""
        futures = [self._pool.submit(check, collective, *arguments) for collective in self.collectives]
        return [future.exception(90) or future.result() for future in futures]

    def close(self) -> None:
        for collective in self.collectives:
            collective.close()
        self._pool.shutdown()
        self._scratch.cleanup()


class Processes:
    """Ranks as processes."""

    def __init__(self, setting: Setting, size: int, keys: list[FitKeys] | None = None):
        self.size = size
        self._scratch = tempfile.TemporaryDirectory()
        keys = keys or [FitKeys.generate()] * size
        environment = {**os.environ, "PYTHONPATH": str(ROOT)}
        self.processes = [
            subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env=environment,
            )
            for _ in range(size)
        ]
        for rank in range(size):
            self.tell(rank, _to_json(setting, rank, size, self._scratch.name, keys[rank]))
        self.connected = [self.answer(rank) for rank in range(size)]

    def tell(self, rank: int, command: dict) -> None:
        self.processes[rank].stdin.write(json.dumps(command) + "\n")
        self.processes[rank].stdin.flush()

    def answer(self, rank: int) -> object:
        """The next result of a rank: a decoded value, ``(error's name, message)``, or None when it has ended."""
        line = self.processes[rank].stdout.readline()
        return decode(json.loads(line)) if line else None

    def run(self, check: Callable[..., object], *arguments: object) -> list:
        """What the check of that name returns on every rank."""
        for rank in range(self.size):
            self.tell(rank, {"check": check.__name__, "arguments": arguments})
        return [self.answer(rank) for rank in range(self.size)]

    def close(self) -> None:
        for process in self.processes:
            process.stdin.close()
        until = time.monotonic() + 20
        for process in self.processes:
            try:
                process.wait(max(0.1, until - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait(10)
            process.stdout.close()
        self._scratch.cleanup()


def start(setting: Setting, size: int) -> Threads | Processes:
    """Start a gang."""
    return (Processes if setting.processes else Threads)(setting, size)


def alone(setting: Setting) -> Setting:
    """The same with every rank a machine of its own."""
    return replace(setting, machines=0)


def encode(value: object) -> object:
    """JSON for what checks return: numbers, strings, bytes, and lists of them."""
    if isinstance(value, bytes):
        return {"bytes": base64.b64encode(value).decode()}
    if isinstance(value, (list, tuple)):
        return [encode(item) for item in value]
    return value


def decode(value: object) -> object:
    """The inverse of ``encode``; tuples come back as lists."""
    if isinstance(value, dict):
        return base64.b64decode(value["bytes"])
    return [decode(item) for item in value] if isinstance(value, list) else value


def _to_json(setting: Setting, rank: int, size: int, scratch: str, keys: FitKeys) -> dict:
    return {
        "setting": vars(setting),
        "rank": rank,
        "size": size,
        "scratch": scratch,
        "keys": [keys.fit, encode(keys.server), encode(keys.client), keys.token],
    }
