"""What members of fed crews do in tests; shipped to the workers by ``SparkContext.addPyFile``.

A payload is ``(dataset, servers, deaths)``: the rows, the number of members without rows, and how often each of the others
dies. Every start reports its process; the lead returns what all have told of their rows, as JSON.
"""

import json
import os
import signal
import time

from spark_ext.cluster.spool import spool

_WAIT = 120.0


def add_up(context, payload):
    """Tell the number and the sum of one's rows; who is to die does so then, and takes the file of its rows with it."""
    dataset, servers, deaths = payload
    share = context.rank - servers
    if share < 0:
        return _end(context, deaths)
    context.report({"share": share, "attempt": context.attempt, "process": os.getpid()})
    split = dataset.splits()[share]
    rows = [value for batch, _ in dataset.read_located(split, 1000) for value in batch.column("id").to_pylist()]
    told = {"rows": len(rows), "sum": sum(rows)}
    context.board.post(f"told-{share}-{context.attempt}", json.dumps(told).encode())
    if context.attempt < deaths[share]:
        os.unlink(spool(dataset.name, share))
        os.kill(os.getpid(), signal.SIGKILL)
    return _end(context, deaths)


def stay(context, payload):
    """As :func:`add_up`, but who is to die waits to be killed."""
    _, servers, deaths = payload
    share = context.rank - servers
    if share >= 0 and context.attempt < deaths[share]:
        context.report({"share": share, "attempt": context.attempt, "process": os.getpid()})
        limit = time.monotonic() + _WAIT
        while time.monotonic() < limit and not context.fallen():
            time.sleep(0.02)
        return b""
    return add_up(context, payload)


def _end(context, deaths):
    """Wait, as the lead, for all to have told after their last death; as another, for the end."""
    limit = time.monotonic() + _WAIT
    while time.monotonic() < limit and not context.fallen():
        told = [context.board.read(f"told-{share}-{count}") for share, count in enumerate(deaths)]
        if context.rank == 0 and all(told):
            return json.dumps([json.loads(word) for word in told]).encode()
        time.sleep(0.02)
    return b"null"
