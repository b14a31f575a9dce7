"""Asynchronous training beside the synchronous ring: the time to one hold-out loss, with and without a slow worker.

Both are processes of this machine, with the same rule, mini-batches and validation rows; the ranks of the ring meet in shared
memory. A slow worker sleeps three times as long as each of its gradients took.
"""

import os
import time
from functools import cache
from pathlib import Path

import numpy as np

import dsgd
from dsgd.train.config import FitConfig
from dsgd.train.engine import RankContext
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

from ..measure import Sample

SLOWDOWN = 4
EPOCHS = 6
_BATCH = 4096
# The loss to reach is what the ring has after so many epochs.
_REACHED_AFTER = 3


class SlowedEngine(LocalEngine):
    """A local engine whose last worker is slow."""

    def launch(self, function, payloads, **keywords):
        """As :meth:`LocalEngine.launch`."""
        return super().launch(f"{__name__}:slow_rank", payloads, **keywords)

    def crew(self, function, payloads, **keywords):
        """As :meth:`LocalEngine.crew`."""
        return super().crew(f"{__name__}:slow_member", payloads, **keywords)


def slow_rank(context: RankContext, task) -> bytes:
    """A rank of a gang, of which the last one is slow; gradients are reduced one by one, so that it can be."""
    from dsgd.train import global_steps, worker

    global_steps.SharedMemory = type(None)  # ty: the compiled loop over a whole block has no place to sleep in
    if context.rank == context.size - 1:
        _slow_down()
    return worker.run_rank(context, task)


def slow_member(context: RankContext, task) -> bytes:
    """A member of a crew, of which the last one is slow."""
    from dsgd.train.asynchronous.member import run_member

    if context.rank == context.size - 1:
        _slow_down()
    return run_member(context, task)


def _slow_down() -> None:
    """Make whatever computes gradients and takes steps in this process slow; waiting and talking to others are not."""
    from dsgd.objective.passes import Pass
    from dsgd.train import stepwise
    from dsgd.train.hogwild import Hogwild

    Pass.add_batch = _slowly(Pass.add_batch)  # ty: gradients of mini-batches
    Hogwild.run = _slowly(Hogwild.run)  # ty: steps of a worker's own
    stepwise.update_dense = _slowly(stepwise.update_dense)  # ty: a rank's steps


def _slowly(function):
    def slow(*arguments, **keywords):
        begin = time.perf_counter()
        found = function(*arguments, **keywords)
        time.sleep((SLOWDOWN - 1) * (time.perf_counter() - begin))
        return found

    return slow


def run(directory: Path, mode, engine: LocalEngine, epochs: int = EPOCHS, seed: int = 0) -> list[dict]:
    """The history of a fit on two workers."""
    config = FitConfig(
        optimizer="adagrad", eta0=0.1, alpha=1e-5, batch_size=_BATCH, max_iter=epochs, tol=None, mode=mode, n_workers=2,
        seed=seed,
    )  # fmt: skip
    training, held_out = (dsgd.read_parquet(str(directory / part), label="label") for part in ("train", "test"))
    with engine:
        return list(fit(training, config, engine, validation=held_out).history)


@cache
def reached(directory: Path) -> float:
    """The hold-out loss that all sides run to."""
    return float(run(directory, dsgd.Sync(), LocalEngine(), _REACHED_AFTER)[-1]["validation"])


def to_loss(directory: Path, mode, *, slowed: bool) -> Sample:
    """Seconds of training, reading and encoding aside, until the loss is reached."""
    goal = reached(directory)
    history = run(
        directory, mode, SlowedEngine() if slowed else LocalEngine(), 3 * EPOCHS if not slowed else 2 * EPOCHS
    )
    losses = np.array([record["validation"] for record in history])
    met = np.flatnonzero(losses <= goal * 1.0005)
    if not len(met):
        raise RuntimeError(f"{mode} has not come to {goal:.5f} in {len(losses)} epochs: {losses.tolist()}")
    record = history[met[0]]
    return Sample(
        record["seconds"], float(losses[met[0]]), {"epochs": record["epoch"], "goal": goal, "pid": os.getpid()}
    )
