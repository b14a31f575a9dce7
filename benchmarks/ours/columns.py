"""Steps of column blocks and of synchronous training, of two processes: their time, their memory, and what they send.

The rows lie in memory, 30 values each at random positions; 1,000 rows a step, AdaGrad, float32, logistic loss.
"""

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import psutil
import scipy.sparse

import dsgd
from dsgd.data import as_dataset
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

from ..measure import Sample

RANKS, BATCH, VALUES = 2, 1000, 30
WAYS = ("columns", "sync", "sync, dense sums")
# Seconds between two looks at the memory of the ranks.
_LOOK = 0.05


@cache
def rows(d: int, n: int) -> tuple[scipy.sparse.csr_matrix, np.ndarray]:
    """``n`` rows of ``d`` columns, and labels that have nothing to do with them."""
    rng = np.random.default_rng(0)
    indices = np.sort(rng.integers(0, d, (n, VALUES), dtype=np.int32), axis=1)
    values, indptr = np.ones(n * VALUES, np.float32), np.arange(0, n * VALUES + 1, VALUES)
    X = scipy.sparse.csr_matrix((values, indices.ravel(), indptr), shape=(n, d))
    X.sum_duplicates()
    return X, np.where(rng.random(n) < 0.5, 1.0, -1.0)


class DenseSums(LocalEngine):
    """The engine of one machine, whose ranks sum gradients as vectors of all weights, however few are touched."""

    def launch(self, function: str, payloads: Sequence[Any], **options: Any) -> list[bytes]:
        """Run the gang."""
        assert function == "dsgd.train.worker:run_rank"
        return super().launch("benchmarks.ours.columns:run_dense_rank", payloads, **options)


def run_dense_rank(context, task) -> bytes:
    """Be a rank of :class:`DenseSums`, in a process of its own."""
    from dsgd.train import recipe, worker

    recipe.updates_sparse = lambda *arguments: False
    return worker.run_rank(context, task)


def steps(d: int, n: int, *, way: str = "columns", alpha: float = 0.0, epochs: int = 8) -> Sample:
    """Median seconds of a step in the epochs after the first, which compiles and touches memory for the first time.

    ``way`` is one of ``WAYS``.
    """
    if way not in WAYS:
        raise ValueError(f"no such way: {way!r}; there are {', '.join(WAYS)}")
    mode = dsgd.Columns() if way == "columns" else dsgd.Sync()
    config = FitConfig(
        optimizer="adagrad",
        eta0=0.1,
        batch_size=BATCH,
        max_iter=epochs,
        tol=None,
        alpha=alpha,
        mode=mode,
        n_workers=RANKS,
    )
    with (DenseSums if way == "sync, dense sums" else LocalEngine)(processes=True) as engine:
        model = fit(as_dataset(*rows(d, n)), config, engine)
    seconds = np.diff([record["seconds"] for record in model.history])
    return Sample(float(np.median(seconds)) * epochs / model.state["step"])


def memory(d: int, n: int, *, epochs: int = 4) -> Sample:
    """Seconds of a step; and the peak of a rank's resident memory, until the second epoch has ended and until all is done.

    By the last report the ranks may have begun to pack their answers. ``least_bytes`` are resident in a rank that has hardly any
    weights and rows.
    """
    looking = threading.Event()
    trace: dict[int, list[int]] = {}

    def look() -> None:
        here = psutil.Process(os.getpid())
        while not looking.wait(_LOOK):
            for child in here.children():
                try:
                    trace.setdefault(child.pid, []).append(child.memory_info().rss)
                except psutil.NoSuchProcess:
                    continue

    marks: list[int] = []
    # No penalty, which would have a lazy rule remember a step for every weight, 4 bytes.
    config = FitConfig(
        optimizer="adagrad",
        eta0=0.1,
        batch_size=BATCH,
        max_iter=epochs,
        tol=None,
        alpha=0.0,
        mode=dsgd.Columns(),
        n_workers=RANKS,
    )
    watcher = threading.Thread(target=look)
    watcher.start()
    try:
        with LocalEngine(processes=True) as engine:
            model = fit(
                as_dataset(*rows(d, n)), config, engine,
                on_report=lambda record: marks.append(max(max(seen) for seen in trace.values())),
            )  # fmt: skip
    finally:
        looking.set()
        watcher.join(10 * _LOOK + 10)
    seconds = np.diff([record["seconds"] for record in model.history])
    state = 2 * 4 * d // RANKS
    blocks = n * VALUES // RANKS * 8
    detail = {
        "state_bytes": state, "block_bytes": blocks, "peak_bytes": marks[1],
        "with_answer_bytes": max(max(seen) for seen in trace.values()), "least_bytes": _resident_without_rows(),
    }  # fmt: skip
    return Sample(float(np.median(seconds)) * epochs / model.state["step"], detail=detail)


def _resident_without_rows() -> int:
    """What a rank has resident that trains hardly any weights on hardly any rows."""
    small = 1000
    trace: list[int] = []

    def note(record) -> None:
        trace.extend(child.memory_info().rss for child in psutil.Process(os.getpid()).children())

    config = FitConfig(
        optimizer="adagrad", eta0=0.1, batch_size=10, max_iter=2, tol=None, mode=dsgd.Columns(), n_workers=RANKS
    )
    with LocalEngine(processes=True) as engine:
        fit(as_dataset(*rows(200_000, small)), config, engine, on_report=note)
    return max(trace)


def sent(d: int, n: int) -> float:
    """Bytes that a rank sends a step, over sockets, counted where they leave; the mean of an epoch, its own sums included."""
    from dsgd.collectives import connect
    from dsgd.train.columns import grid

    circles: list[Any] = []

    def over_sockets(context, *arguments, **options):
        # Ranks that say they are on machines of their own do not meet in shared memory.
        circle = connect(replace(context, machine=f"machine {context.rank}"), *arguments, **options)
        if context.rank == 0 and context.size > 1:
            circles.append(circle)
        return circle

    found, grid.connect = [], over_sockets
    try:
        for epochs in (1, 2):
            config = FitConfig(
                optimizer="adagrad",
                eta0=0.1,
                batch_size=BATCH,
                max_iter=epochs,
                tol=None,
                mode=dsgd.Columns(),
                n_workers=RANKS,
            )
            with LocalEngine(processes=False) as engine:
                model = fit(as_dataset(*rows(d, n)), config, engine)
            found.append(circles.pop()._channel.sent_bytes)
    finally:
        grid.connect = connect
    return (found[1] - found[0]) / (model.state["step"] / 2)
