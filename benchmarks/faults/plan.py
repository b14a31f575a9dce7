"""Which faults meet which mode on which engine, and how often."""

from collections.abc import Iterator
from typing import NamedTuple

# Seconds without a sign of life after which a peer is lost, in fits on this machine and on a cluster.
DEADLINE, CLUSTER_DEADLINE = 3.0, 10.0
MODES = ("ring", "engine", "async", "columns")
FAULTS = {
    "kill": "a rank, worker or executor is killed (`kill -9`)",
    "freeze": "stopped for good (`SIGSTOP`)",
    "pause": "stopped for half a second, less than the deadline",
    "driver": "the driver is killed, and begun again by hand",
    "blocks": "all block files are deleted",
    "parquet": "a Parquet file is cut short while rows are read from it every epoch",
    "reset": "connections between ranks are reset, by a proxy",
    "delay": "bytes between ranks are held back for a second, by a proxy",
    "silence": "bytes between ranks are dropped from now on, by a proxy",
    "disk, checkpoint": "the disk of the checkpoints is full",
    "disk, scratch": "the disk of the block files is full from the beginning",
    "memory": "a rank is refused any more memory (`RLIMIT_AS`), while its blocks are mapped from files",
    "memory, Nanny": "a worker takes more memory than it may have, and its Nanny ends it",
}


class Case(NamedTuple):
    """A fault that is injected ``times`` times into fits of a mode on an engine."""

    fault: str
    mode: str
    engine: str
    times: int


# Often what costs a second, seldom what costs ten.
_LOCAL = {
    "kill": {"ring": 6, "engine": 6, "async": 16, "columns": 6},
    "freeze": {"ring": 2, "engine": 2, "async": 2, "columns": 2},
    "pause": {"ring": 10, "engine": 10, "async": 10, "columns": 10},
    "driver": {"ring": 2, "engine": 2, "async": 2, "columns": 2},
    "blocks": {"ring": 10, "async": 10, "columns": 10},
    "parquet": {"ring": 2, "async": 2, "columns": 2},
    "disk, checkpoint": {"ring": 2, "engine": 2, "async": 2, "columns": 2},
    "disk, scratch": {"ring": 2, "async": 2, "columns": 2},
    "memory": {"ring": 2, "async": 2, "columns": 2},
    "reset": {"ring": 2, "columns": 2},
    "delay": {"ring": 5, "columns": 5},
    "silence": {"ring": 2, "columns": 2},
}
_CLUSTERS = {
    "dask": {
        "kill": {"ring": 4, "engine": 4, "async": 4, "columns": 4},
        "pause": {"ring": 5, "engine": 5, "async": 5, "columns": 5},
        "memory, Nanny": {"ring": 2, "engine": 2, "async": 2, "columns": 2},
    },
    "spark": {
        "kill": {"ring": 2, "engine": 2, "async": 2, "columns": 2},
        "pause": {"ring": 3, "engine": 2, "async": 3, "columns": 3},
    },
}


def cases(engine: str, quick: bool = False) -> Iterator[Case]:
    """What happens on an engine; ``quick`` is each fault once, and killing alone on the clusters.

    Examples
    --------
    >>> sum(case.times for engine in ("local", "dask", "spark") for case in cases(engine)) >= 200
    True
    >>> next(cases("spark", quick=True))
    Case(fault='kill', mode='ring', engine='spark', times=1)
    """
    table = _LOCAL if engine == "local" else _CLUSTERS[engine]
    for fault, modes in table.items():
        for mode, times in modes.items():
            if not quick:
                yield Case(fault, mode, engine, times)
            elif engine == "local" or (fault, mode) == ("kill", "ring"):
                yield Case(fault, mode, engine, 1)
