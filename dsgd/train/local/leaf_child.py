"""A process of the pool of an aggregate: ``python -m dsgd.train.local.leaf_child``, started by the pool and by nobody else.

It does one task after the other, and ends with the driver, as a rank's process does (:mod:`.child`). While it has a task it
gives signs of life, so that the driver can tell one that works from one that is frozen.
"""

import json
import os
import signal
import sys
import time

from ...collectives.heartbeat import Heartbeat
from ...errors import ConfigError
from .. import rank as ranks
from ..rank import Failure
from . import frames
from .child import Driver, rebuild
from .leaf import run_leaf

# Seconds for a task's payload to follow its description.
_FOLLOWS = 600.0
# Seconds for the next task to come: for as long as the driver lives, whose end ends the process.
_IDLE = 1e9
# Seconds of processor time that are progress: a process that uses less for as long as a rank may be stuck is stuck.
_PROGRESS = 10.0


def _next_task(driver: Driver) -> dict:
    return json.loads(driver.receive(frames.TASK, deadline=_IDLE)[1])


def _run(driver: Driver, task: dict) -> bytes | Failure:
    sys.path[:] = task["path"]
    driver.scratch = task["scratch"]
    payload = driver.receive(frames.TASK, _FOLLOWS)[1]
    where = {name: task[name] for name in ("size", "scratch", "threads")}
    try:
        return run_leaf(task["function"], task["index"], rebuild(payload), **where)
    except ConfigError as error:
        return ranks.failure_of(task["index"], error)


def main() -> None:
    """Do tasks until the driver is gone, which ends the process wherever it is."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # A Ctrl-C reaches the whole group; the driver then ends its pool.
    sink = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    driver = Driver(sys.stdin.buffer, sink)
    driver.send(frames.HELLO)
    while True:
        task = _next_task(driver)
        signs = Heartbeat(
            lambda: driver.send(frames.SIGN), lambda: int(time.process_time() / _PROGRESS), task["deadline"]
        )
        with signs.working():
            outcome = _run(driver, task)
        sys.stderr.flush()
        if isinstance(outcome, Failure):
            driver.send(frames.FAILURE, outcome.to_json().encode())
        else:
            driver.send(frames.RESULT, outcome)


if __name__ == "__main__":
    main()
