"""Tasks of an aggregate that freeze, and one that lasts: functions that the tests' engines run."""

import os
import signal
import time
from pathlib import Path

from dsgd.train.engine import RankContext


class Patience(tuple):
    """A payload, a path and how often to freeze, that says how long a silence may last."""

    deadline = 1.0


def freeze(context: RankContext, payload: Patience) -> bytes:
    """Stop this process, so often; a line in the file at the payload's path is one time."""
    path, times = payload
    marks = Path(path)
    frozen = len(marks.read_text()) if marks.exists() else 0
    if frozen < times:
        marks.write_text("." * (frozen + 1))
        os.kill(os.getpid(), signal.SIGSTOP)
    return b"thawed"


def work(context: RankContext, payload: Patience) -> bytes:
    """Take three times as long as a silence may last."""
    time.sleep(3 * payload.deadline)
    return b"done"


def last(context: RankContext, payload: str) -> bytes:
    """Leave a file in the scratch directory and this process's number at the path, and last for ten minutes."""
    Path(context.scratch, f"share-{context.rank}").write_bytes(b"x")
    Path(payload).write_text(str(os.getpid()))
    time.sleep(600.0)
    return b""
