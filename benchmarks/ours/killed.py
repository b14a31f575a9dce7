"""An asynchronous fit on processes of this machine, members of which are killed from outside while it runs.

Every member leaves its process id in a directory when it is started. A thread of the driver kills them (``kill -9``) at times
and in an order drawn from a seed: each time one of those that it may choose, once it has been started again if it has been
killed before.
"""

import os
import tempfile
import threading
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import psutil

import dsgd
from dsgd.train.config import FitConfig
from dsgd.train.engine import RankContext
from dsgd.train.fit import fit
from dsgd.train.local import LocalEngine

from .. import click

WORKERS, SHARDS = 2, 2
# Seconds between two looks for a process id; for a member to be there again.
_LOOK, _AGAIN = 0.05, 60.0
_ROWS_OF_A_STEP, _SNAPSHOT_SECONDS = 256, 0.5

Victims = Literal["workers", "shards", "everybody", "nobody"]
RANKS: dict[str, list[int]] = {
    "workers": list(range(SHARDS, SHARDS + WORKERS)),
    "shards": list(range(SHARDS)),  # the first of which leads
    "everybody": list(range(SHARDS + WORKERS)),
    "nobody": [],
}


class MarkedEngine(LocalEngine):
    """A local engine whose members leave their process ids in a directory, as files ``rank-attempt``."""

    def __init__(self, directory: Path):
        super().__init__(processes=True)
        self._directory = directory

    def crew(self, function, payloads, **keywords):
        """As :meth:`LocalEngine.crew`."""
        marked = [(function, str(self._directory), payload) for payload in payloads]
        return super().crew(f"{__name__}:marked_member", marked, **keywords)


def marked_member(context: RankContext, payload: tuple[str, str, Any]) -> bytes:
    """A member of a crew, which says first which process it is."""
    from dsgd.train import rank

    function, directory, task = payload
    mark = Path(directory, f"{context.rank}-{context.attempt}")
    partial = mark.with_suffix(".partial")
    partial.write_text(str(os.getpid()))
    partial.rename(mark)
    return rank.find(function)(context, task)


class Killer(threading.Thread):
    """Kills members until it has killed as many as it was told, or is stopped.

    Parameters
    ----------
    directory : Path
        Where the process ids are.
    ranks : list of int
        Who may be killed.
    count : int
    gap : (float, float)
        Seconds between two kills, least and most.
    seed : int

    Attributes
    ----------
    kills : list of (float, int, int)
        Seconds since it began, and who was killed: rank and attempt.
    failure : str or None
        Why it has given up.
    """

    def __init__(self, directory: Path, ranks: list[int], count: int, gap: tuple[float, float], seed: int):
        super().__init__(daemon=True, name="killer")
        self._directory, self._ranks, self._count, self._gap = directory, ranks, count, gap
        self._random = np.random.default_rng(seed)
        self._over = threading.Event()
        self.kills: list[tuple[float, int, int]] = []
        self.failure: str | None = None

    def run(self) -> None:
        """Kill."""
        begun, next_attempt = time.monotonic(), dict.fromkeys(self._ranks, 0)
        for _ in range(self._count):
            # Both are drawn whatever happens, so that a seed means the same plan every time.
            pause, rank = self._random.uniform(*self._gap), int(self._random.choice(self._ranks))
            if self._over.wait(pause):
                return
            process = self._process(rank, next_attempt[rank])
            if process is None:
                return
            process.kill()
            self.kills.append((round(time.monotonic() - begun, 3), rank, next_attempt[rank]))
            next_attempt[rank] += 1

    def _process(self, rank: int, attempt: int) -> psutil.Process | None:
        """The process of a member, as soon as it is there; None when all is over, or the member does not come."""
        mark, until = self._directory / f"{rank}-{attempt}", time.monotonic() + _AGAIN
        while not mark.exists():
            if self._over.wait(_LOOK):
                return None
            if time.monotonic() > until:
                self.failure = (
                    f"member {rank} has not been started for the time number {attempt + 1} within {_AGAIN:g} s"
                )
                return None
        try:
            process = psutil.Process(int(mark.read_text()))
            # A member that has returned has been reaped, and its number may be another's by now.
            return process if process.ppid() == os.getpid() else None
        except psutil.NoSuchProcess:
            return None

    def stop(self) -> None:
        """Kill nobody any more."""
        self._over.set()
        self.join(2 * _LOOK + 5.0)


def restarts(directory: Path) -> int:
    """How often members have been started again."""
    return sum(not mark.name.endswith("-0") for mark in directory.iterdir() if not mark.suffix)


def run(
    victims: Victims, kills: int, seed: int, rows: int, epochs: int, local_steps: int | str, gap: tuple[float, float]
) -> dict:
    """One fit.

    Returns
    -------
    dict
        "kills", "restarts", "epochs", "seconds" (all of the fit), "validation" and "objective" (at its end), and "failure",
        which says why fewer were killed than were to be.
    """
    data = click.click(rows)
    training, held_out = (dsgd.read_parquet(str(data / part), label="label") for part in ("train", "test"))
    mode = dsgd.Async(
        shards=SHARDS, local_steps=local_steps, snapshot_seconds=_SNAPSHOT_SECONDS, restarts=10 * max(kills, 1)
    )
    config = FitConfig(
        mode=mode, n_workers=WORKERS, optimizer="adagrad", eta0=0.1, alpha=1e-5, batch_size=_ROWS_OF_A_STEP,
        max_iter=epochs, tol=None, seed=seed,
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="dsgd-marks-") as name, MarkedEngine(Path(name)) as engine:
        killer = Killer(Path(name), RANKS[victims], kills, gap, seed)
        begun = time.monotonic()
        killer.start()
        try:
            model = fit(training, config, engine, validation=held_out)
        finally:
            killer.stop()
        seconds, again = time.monotonic() - begun, restarts(Path(name))
    last = model.history[-1]
    return {
        "kills": killer.kills,
        "failure": killer.failure,
        "restarts": again,
        "epochs": model.epochs,
        "seconds": round(seconds, 2),
        "validation": last["validation"],
        "objective": last["objective"],
    }
