"""Small functions that the members of a crew run, which show whether an engine keeps its contract: its tests' matter.

They meet on the board, die when they are told to, and wait with a deadline; what the lead returns tells what happened.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ..errors import WorkerLost
from .engine import RankContext

# Seconds: for the others to leave word, members that start again included; between two looks at the board.
_WAIT, _LOOK = 120.0, 0.02
# Seconds for which a member that does not listen works on at the most.
_DEAF = 120.0


def meet(context: RankContext, payload: Sequence[int]) -> bytes:
    """Leave word of oneself, wait for that of all others, and return it as JSON: a list of records in rank order.

    ``payload[r]`` says how often member r dies first, by SIGKILL, each time after it has seen that all have been started. A
    record has ``first``, the process in which the member was started at first.
    """
    mine = _mine(context)
    if context.attempt == 0:
        context.board.post(f"first-{context.rank}", _packed(mine))
    context.board.post(f"place-{context.rank}", _packed(mine))
    firsts = _collect(context, "first")
    if context.attempt < payload[context.rank]:
        os.kill(os.getpid(), signal.SIGKILL)
    places = _collect(context, "place", lambda record: record["attempt"] >= payload[record["rank"]])
    return _packed([place | {"first": first["process"]} for place, first in zip(places, firsts, strict=True)])


def share(context: RankContext, payload: Any) -> bytes:
    """Write a file to the scratch directory, and return as JSON how many of this machine's members' files are there."""
    Path(context.scratch, f"file-{context.rank}").write_bytes(b"x")
    context.board.post(f"place-{context.rank}", _packed(_mine(context)))
    here = [record for record in _collect(context, "place") if record["machine"] == context.machine]
    found = [record for record in here if Path(context.scratch, f"file-{record['rank']}").exists()]
    context.board.post(f"looked-{context.rank}", _packed({}))
    _collect(context, "looked")  # Nobody leaves before all have looked.
    return _packed({"scratch": context.scratch, "here": len(here), "found": len(found)})


def litter(context: RankContext, payload: str) -> bytes:
    """Meet, write the scratch directory's path to the file ``payload``, and let the last member fail."""
    Path(context.scratch, f"litter-{context.rank}").write_bytes(b"x")
    if context.rank == 0:
        Path(payload).write_text(context.scratch)
    context.board.post(f"place-{context.rank}", _packed(_mine(context)))
    _collect(context, "place")
    if context.rank == context.size - 1:
        return str(1 // 0).encode()
    _wait_until(context.fallen, context, "the crew's end")
    return b""


def write(context: RankContext, payload: int) -> bytes:
    """Post to the board, read it, and return as JSON what was found: nothing, the latest value, one of ``payload`` bytes."""
    board = context.board
    before = board.read("word")
    board.post("word", b"early")
    board.post("word", b"late")
    _wait_until(lambda: board.read("word") == b"late", context, "its own word")
    large = bytes(range(256)) * (payload // 256) + b"x" * (payload % 256)
    board.post("large", large)
    _wait_until(lambda: board.read("large") == large, context, f"{payload} bytes of its own")
    board.post("empty", b"")
    _wait_until(lambda: board.read("empty") is not None, context, "an empty value")
    return _packed([before is None, (board.read("word") or b"").decode(), len(board.read("large") or b"")])


def count(context: RankContext, payload: int) -> bytes:
    """Report 0, 1 .. ``payload`` - 1 to the driver; the lead returns when all have."""
    for step in range(payload):
        context.report({"rank": context.rank, "step": step})
    context.board.post(f"counted-{context.rank}", _packed({}))
    _collect(context, "counted")
    return b""


def wait_for_the_end(context: RankContext, payload: str) -> bytes:
    """Wait for the crew to be over, and leave a file ``over-<rank>`` in the directory ``payload``; the lead ends it."""
    context.board.post(f"place-{context.rank}", _packed(_mine(context)))
    if context.rank == 0:
        return _packed(_collect(context, "place"))
    _wait_until(context.fallen, context, "the crew's end")
    Path(payload, f"over-{context.rank}").touch()
    return b""


def hear_nothing(context: RankContext, payload: str) -> bytes:
    """Work on until there is a file ``payload``, whatever the lead does, which returns when all are there."""
    context.board.post(f"place-{context.rank}", _packed(_mine(context)))
    if context.rank == 0:
        return _packed(_collect(context, "place"))
    limit = time.monotonic() + _DEAF
    while time.monotonic() < limit and not Path(payload).exists():
        time.sleep(_LOOK)
    return b""


def report_for_ever(context: RankContext, payload: Any) -> bytes:
    """Report this process's number ten times a second, until the crew is over."""
    limit = time.monotonic() + _WAIT
    while time.monotonic() < limit and not context.fallen():
        context.report({"process": os.getpid(), "rank": context.rank, "attempt": context.attempt})
        time.sleep(0.1)
    return b""


def _mine(context: RankContext) -> dict:
    names = ("rank", "size", "attempt", "host", "machine", "scratch", "threads")
    return {name: getattr(context, name) for name in names} | {"process": os.getpid()}


def _packed(found: Any) -> bytes:
    return json.dumps(found).encode()


def _collect(context: RankContext, name: str, ready: Callable[[dict], bool] = lambda record: True) -> list[dict]:
    """Wait until every member has left a record under a name that is as wanted; return them in rank order."""
    found: dict[int, dict] = {}

    def complete() -> bool:
        for rank in set(range(context.size)) - set(found):
            value = context.board.read(f"{name}-{rank}")
            if value is not None and ready(json.loads(value)):
                found[rank] = json.loads(value)
        return len(found) == context.size

    _wait_until(lambda: complete() or context.fallen(), context, f"the others' {name!r}")
    if not complete():
        raise WorkerLost(f"rank {context.rank} saw the end of the crew while it waited for the others' {name!r}")
    return [found[rank] for rank in range(context.size)]


def _wait_until(condition: Callable[[], bool], context: RankContext, what: str) -> None:
    limit = time.monotonic() + _WAIT
    while not condition():
        if time.monotonic() > limit:
            raise WorkerLost(f"rank {context.rank} waited {_WAIT:g} s for {what} and saw nothing")
        time.sleep(_LOOK)
