"""A process that makes the fits of a mode on an engine and disturbs them: ``python -m benchmarks.faults.session PLAN``.

PLAN is JSON. Goes out, as JSON lines: a sign of life whenever a fit begins, and what came of every fault.
"""

import contextlib
import faulthandler
import json
import logging
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil

from dsgd.errors import DSGDError, WorkerLost

from . import injuries
from .drivers import kill_drivers
from .engines import ENGINES, Local, write_rows
from .leaks import Before
from .plan import Case

# Epochs between two faults, least and most; seconds in which all ranks are waited for before one is hit.
_GAP, _THERE = (2, 7), 8.0
_OURS = ("dsgd", "dask_ext", "spark_ext")
# Seconds without a word, less than what a session is given.
_HANGS = 110.0
# Megabytes of a disk that is to be full.
_SMALL = 24


def say(**told: Any) -> None:
    """Tell whoever watches; where the process is if it says nothing more for long, goes to its log."""
    faulthandler.dump_traceback_later(_HANGS)
    print("@" + json.dumps(told), flush=True)


@contextlib.contextmanager
def reading_epochs(name: str, on_report: Callable[[dict], None]) -> Iterator[None]:
    """Take a fit's epochs from the log, for engines that tell them there."""

    class Epochs(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if found := re.search(r"epoch (\d+), objective", record.getMessage()):
                on_report({"epoch": int(found[1])})

    log, handler = logging.getLogger(name), Epochs()
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        yield
    finally:
        log.removeHandler(handler)


class Warned(logging.Handler):
    """When the library has warned of something, in this process's clock."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.times: list[float] = []
        for name in _OURS:
            logging.getLogger(name).addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        """Note the time."""
        self.times.append(time.monotonic())


class Disturbance:
    """Faults of one kind in fits of one kind, until there have been enough."""

    def __init__(self, case: Case, bench, injury: injuries.Injury, random: np.random.Generator, warned: Warned):
        self._case, self._bench, self._injury, self._random, self._warned = case, bench, injury, random, warned
        self._hits: list[dict[str, Any]] = []
        self._last, self._next = 0, int(random.integers(*_GAP))
        self._arm: threading.Thread | None = None
        self._before = 0  # faults before this fit

    def run(self, alone: float, reference: np.ndarray, before: Before) -> None:
        """Fit and disturb; tell what came of it. ``alone`` is the seconds of an undisturbed fit."""
        fits, spent, quality = 0, 0.0, []
        attempts = 0
        while (
            (len(self._hits) < self._case.times and attempts < 3 * self._case.times + 4)
            or attempts == 0
            or self._open()
        ):
            attempts += 1
            say(begins=self._case)
            began, first = time.monotonic(), len(self._hits)
            self._before = first
            if self._injury.at_start and first < self._case.times:
                self._hit()
            error: BaseException | None = None
            try:
                weights = self._bench.fit(self._heard)
            except (DSGDError, MemoryError, OSError) as raised:
                error = raised
            ended = time.monotonic()
            spent += ended - began
            if self._arm is not None:
                self._arm.join(_THERE + 5.0)
            self._injury.undo()
            left = before.left(self._bench)
            if error is None:
                fits, self._last, self._next = fits + 1, 0, int(self._random.integers(*_GAP))
                quality.append(float(np.abs(weights - reference).max() / np.abs(reference).max()))
            else:
                self._next = self._last + int(self._random.integers(*_GAP))
            self._conclude(first, error, ended, left)
        hits = max(len(self._hits), 1)
        for hit in self._hits:
            say(case=self._case, **{key: value for key, value in hit.items() if key not in ("at", "closed")})
        say(
            done=self._case,
            recover=(spent - fits * alone) / hits,
            apart=max(quality, default=None),
            hits=len(self._hits),
        )

    def _open(self) -> bool:
        """Whether the last fault ended the fit: it is begun again to its end."""
        return bool(self._hits) and "begun" in self._hits[-1]["outcome"] and not self._hits[-1].get("closed")

    def _conclude(self, first: int, error: BaseException | None, ended: float, left: list[str]) -> None:
        if first and error is None:
            self._hits[first - 1]["closed"] = True
        hits = self._hits[first:]
        for hit, following in zip(hits, [*hits[1:], None][: len(hits)], strict=True):
            until = ended if following is None else following["at"]
            seen = [moment for moment in self._warned.times if hit["at"] <= moment <= until]
            hit["outcome"] = "went on, with a warning" if seen else "went on"
            if following is None and error is not None:
                # A RankLost is what estimators begin again after by themselves; these fits are begun again by this program.
                name = WorkerLost.__name__ if isinstance(error, WorkerLost) else type(error).__name__
                hit["outcome"] = f"`{name}`, begun again"
                hit["said"] = str(error)[:300]
                seen = [*seen, ended]
            hit["detect"] = min(seen) - hit["at"] if seen else None
        if hits:
            hits[-1]["leaks"] = left
        elif left or error is not None:
            say(case=self._case, stray=repr(error)[:300] if error else None, leaks=left)

    def _heard(self, record: dict) -> None:
        epoch = int(record["epoch"])
        if epoch <= self._last and self._hits:
            self._hits[-1]["repeated"] += self._last - epoch + 1
        self._last = epoch
        free = self._arm is None or not self._arm.is_alive()
        free = free and not (self._bench.one_a_fit and len(self._hits) > self._before)
        if free and epoch >= self._next and len(self._hits) < self._case.times and not self._injury.at_start:
            self._next = epoch + int(self._random.integers(*_GAP))
            # Not in the thread that brings reports, which what follows may stop.
            self._arm = threading.Thread(target=self._hit, daemon=True)
            self._arm.start()

    def _hit(self) -> None:
        until = time.monotonic() + _THERE
        while self._injury.of_process and len(self._bench.victims()) < self._bench.expected:
            if time.monotonic() > until:
                return
            time.sleep(0.05)
        at = time.monotonic()
        with contextlib.suppress(psutil.NoSuchProcess, IndexError):  # The fit has ended meanwhile.
            self._injury.inflict()
            say(begins=self._case)  # A fit that is hit often may take long.
            self._hits.append({"at": at, "outcome": "", "detect": None, "repeated": 0, "leaks": []})


def main(plan: dict) -> None:
    """All cases of a plan, one after the other."""
    engine, mode, place = plan["engine"], plan["mode"], Path(plan["place"])
    rows, warned = place / "rows.parquet", Warned()
    write_rows(rows)
    random = np.random.default_rng(plan["seed"])
    bench: Any = None if engine == "local" else ENGINES[engine](mode, rows, place / "checkpoints")
    alone: dict[str, tuple[float, np.ndarray]] = {}
    with contextlib.ExitStack() as stack:
        small = place / "small"
        mounted = stack.enter_context(injuries.small_disk(small, _SMALL)) if engine == "local" else False
        for case in (Case(*parts) for parts in plan["cases"]):
            if time.time() > plan["until"]:
                say(skipped=case, reason="no time was left")
                continue
            say(begins=case)
            full = case.fault.startswith("disk")
            if full and not mounted:
                say(skipped=case, reason="nothing may be mounted here")
                continue
            checkpoints = (small if case.fault == "disk, checkpoint" else place) / "checkpoints"
            tempfile.tempdir = str(small) if case.fault == "disk, scratch" else os.environ["TMPDIR"]
            if engine == "local":
                bench = Local(mode, rows, checkpoints, case.fault)
            kind = case.fault if case.fault in ("blocks", "parquet", "memory", "reset", "delay", "silence") else ""
            if kind not in alone:
                if not alone:
                    began = time.monotonic()
                    bench.fit(lambda record: None)  # Kernels are compiled, or read from their cache.
                    say(warm=time.monotonic() - began)
                began = time.monotonic()
                weights = bench.fit(lambda record: None)
                alone[kind] = time.monotonic() - began, weights
            if case.fault == "driver":
                kill_drivers(case, rows, checkpoints, random, *alone[kind], say)
                continue
            injury = injuries.Injury(case.fault, bench, rows, checkpoints, random)
            Disturbance(case, bench, injury, random, warned).run(*alone[kind], Before())
        if bench is not None:
            bench.close()


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
