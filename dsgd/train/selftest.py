"""Small functions that run on ranks and show whether an engine keeps its contract: its self-check, its tests' matter.

``check(engine)`` launches a small gang, lets it meet, and returns what every rank said about itself: a way to see what
a cluster gives before a long fit.
"""

import json
import os
import signal
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from threadpoolctl import threadpool_info

from ..errors import ConfigError, DataError, WorkerLost
from . import versions
from .engine import Engine, RankContext

_WAIT = 60.0


def check(engine: Engine, size: int | None = None, deadline: float = 60.0) -> list[dict]:
    """Launch a gang and return what each rank found: its place, its threads, and the versions of its software.

    Parameters
    ----------
    engine : Engine
    size : int or None
        Ranks; None for all of the engine's slots.
    deadline : float
        Seconds for the gang to start and to meet.

    Examples
    --------
    >>> from dsgd.train.local import LocalEngine
    >>> [record["rank"] for record in check(LocalEngine(processes=False), size=2)]
    [0, 1]
    """
    size = engine.slots() if size is None else size
    describe = "dsgd.train.selftest:describe"
    found = engine.launch(describe, [None] * size, deadline=deadline, on_report=lambda record: None)
    return [json.loads(record) for record in found]


def describe(context: RankContext, payload: Any) -> bytes:
    """Return what this rank knows of itself and, after meeting the others, of them, as JSON."""
    names = ("rank", "size", "host", "machine", "scratch", "threads")
    mine: dict[str, Any] = {name: getattr(context, name) for name in names}
    mine |= {"process": os.getpid(), "payload": payload, "versions": versions.installed()}
    mine["blas"] = max((library["num_threads"] for library in threadpool_info()), default=1)
    mine["met"] = [int(rank) for rank in context.allgather(str(context.rank).encode())]
    return json.dumps(mine).encode()


def threads(context: RankContext, payload: Any) -> bytes:
    """Return how many threads this rank may use, and how many its BLAS libraries use, as JSON: for a leaf too."""
    return json.dumps(
        [context.threads, max((library["num_threads"] for library in threadpool_info()), default=1)]
    ).encode()


def gather(context: RankContext, payload: bytes) -> bytes:
    """Meet the others and return everybody's payload, joined in rank order."""
    return b"".join(context.allgather(payload))


def share(context: RankContext, payload: Any) -> bytes:
    """Write a file to the scratch directory, meet, and return whether the files of this machine's ranks are there."""
    Path(context.scratch, f"file-{context.rank}").write_bytes(b"x")
    met = [json.loads(peer) for peer in context.allgather(json.dumps([context.machine, context.scratch]).encode())]
    here = [rank for rank, (machine, _) in enumerate(met) if machine == context.machine]
    found = all(Path(context.scratch, f"file-{rank}").exists() for rank in here)
    context.allgather(b"")  # Nobody leaves before all have looked.
    return json.dumps({"scratch": context.scratch, "found": found, "here": len(here)}).encode()


def identify(context: RankContext, payload: Any) -> bytes:
    """Return which object the payload is, and which thread of which process this rank is."""
    return json.dumps([id(payload), threading.get_ident(), os.getpid()]).encode()


def litter(context: RankContext, payload: str) -> bytes:
    """Leave a file in the scratch directory, write that directory's path to the file ``payload``, and fail."""
    Path(context.scratch, f"litter-{context.rank}").write_bytes(b"x")
    context.allgather(b"")
    if context.rank == 0:
        Path(payload).write_text(context.scratch)
    context.allgather(b"")
    raise DataError(f"rank {context.rank} was told to fail")


def blob(context: RankContext, payload: tuple[int, bytes]) -> bytes:
    """Return ``payload[0]`` bytes: the rank's number, then as much of ``payload[1]``, repeated, as fits."""
    size, pattern = payload
    filler = pattern or b"\0"
    return (bytes([context.rank]) + filler * (size // len(filler) + 1))[:size]


def measure(context: RankContext, payload: bytes) -> bytes:
    """Return the length of the payload and its last byte, as text."""
    return f"{len(payload)}:{payload[-1]}".encode()


def count(context: RankContext, payload: int) -> bytes:
    """Report 0, 1 .. ``payload`` - 1 to the driver."""
    for step in range(payload):
        context.report({"rank": context.rank, "step": step})
    return str(payload).encode()


def stand(context: RankContext, payload: tuple[str, float]) -> bytes:
    """Meet, leave a file of the name ``payload[0]`` to show that this rank runs, and last ``payload[1]`` seconds."""
    path, seconds = payload
    context.allgather(b"")
    Path(path).touch()
    limit = time.monotonic() + seconds
    while time.monotonic() < limit and not context.fallen():
        time.sleep(0.05)
    Path(path).unlink()
    return b""


def count_slowly(context: RankContext, payload: float) -> bytes:
    """Report this process's number ten times a second, for ``payload`` seconds."""
    limit = time.monotonic() + payload
    while time.monotonic() < limit and not context.fallen():
        context.report({"process": os.getpid()})
        time.sleep(0.1)
    return b""


def linger(context: RankContext, payload: float) -> bytes:
    """Meet, take ``payload`` seconds, meet again; return the two times between which this rank ran."""
    context.allgather(b"")
    start = time.time()
    time.sleep(payload)
    context.allgather(b"")
    return struct.pack("<dd", start, time.time())


def fail(context: RankContext, payload: str) -> bytes:
    """End as the payload says: "config", "data", "error" (a plain exception), "exit", "kill", "fine", or "wait".

    A rank told to "wait" looks for the fall of the gang, as a collective would, and raises WorkerLost when it sees it.
    """
    if payload == "config":
        raise ConfigError(f"rank {context.rank} was told to refuse its parameters")
    if payload == "data":
        raise DataError(f"rank {context.rank} was told to refuse its data: column 'x', row 7")
    if payload == "error":
        return str(1 // 0).encode()
    if payload == "exit":
        raise SystemExit(3)
    if payload == "kill":
        os.kill(os.getpid(), signal.SIGKILL)
    if payload == "wait":
        _wait_for_fall(context)
    return b"fine"


def _wait_for_fall(context: RankContext) -> None:
    limit = time.monotonic() + _WAIT
    while time.monotonic() < limit:
        if context.fallen():
            raise WorkerLost(f"rank {context.rank} saw the gang fall")
        time.sleep(0.02)
    raise WorkerLost(f"rank {context.rank} waited {_WAIT:g} s and saw nothing")


def number(context: RankContext, payload: tuple[Sequence[float], int]) -> bytes:
    """Return one of the numbers, as a float64: a leaf of an aggregate. All payloads share the sequence."""
    numbers, index = payload
    return struct.pack("<d", numbers[index])


def add(left: bytes, right: bytes) -> bytes:
    """Add two float64: an operation whose last bits show the order in which it was done."""
    return struct.pack("<d", struct.unpack("<d", left)[0] + struct.unpack("<d", right)[0])


def name(context: RankContext, payload: str) -> bytes:
    """Return the payload as text: a leaf of an aggregate."""
    return payload.encode()


def bracket(left: bytes, right: bytes) -> bytes:
    """Put two results in brackets: an operation that shows the whole tree."""
    return b"(" + left + b" " + right + b")"


def crash_once(context: RankContext, payload: str) -> bytes:
    """Kill this process the first time, and return the payload's name the next; ``payload`` is the path of the mark."""
    mark = Path(payload)
    if not mark.exists():
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return mark.name.encode()


def remember(context: RankContext, payload: str) -> bytes:
    """Count how often a file of this name was seen in the scratch directory, this time included."""
    path = Path(context.scratch, payload)
    with path.open("ab") as file:
        file.write(b".")
    return f"{path.stat().st_size} {path}".encode()
