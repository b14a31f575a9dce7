"""Drivers that are killed, and begun again from their checkpoints until one ends."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import psutil

from .leaks import SETTLE, shared_memory, temporary_files
from .plan import Case

_GONE = 10.0
_GAP = (2, 7)


def kill_drivers(
    case: Case,
    rows: Path,
    checkpoints: Path,
    random: np.random.Generator,
    alone: float,
    reference: np.ndarray,
    say: Callable[..., None],
) -> None:
    """Kill drivers of one fit after the other, ``case.times`` in all; tell what came of it."""
    hits, fits, spent, apart, last = 0, 0, 0.0, 0.0, 0
    repeated: list[int] = []
    while hits < case.times or last:
        say(begins=case)
        began, shared = time.monotonic(), shared_memory()
        stop = last + int(random.integers(*_GAP)) if hits < case.times else None
        found = _one(case.mode, rows, checkpoints, stop)
        if last and found["first"]:
            repeated[-1] = max(0, last - found["first"] + 1)
        if found["weights"] is not None:
            apart = max(apart, float(np.abs(np.array(found["weights"]) - reference).max() / np.abs(reference).max()))
            fits, last = fits + 1, 0
        else:
            hits, last = hits + 1, found["last"]
            repeated.append(0)
            files, memory = _left(shared)
            say(
                case=case,
                outcome="ranks end; begun again",
                detect=found["gone"],
                repeated=0,
                leaks=found["left"] + files + memory,
            )
            for name in files:
                _remove(Path(tempfile.gettempdir()) / name.removeprefix("file "))
        spent += time.monotonic() - began
    say(done=case, recover=(spent - fits * alone) / max(hits, 1), apart=apart, hits=hits, repeated=sum(repeated))


def _one(mode: str, rows: Path, checkpoints: Path, stop: int | None) -> dict:
    """A driver, killed at an epoch or let be."""
    command = [sys.executable, "-m", "benchmarks.faults.single", mode, str(rows), str(checkpoints)]
    driver = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    found: dict = {"first": 0, "last": 0, "weights": None, "gone": None, "left": []}
    assert driver.stdout is not None
    with driver, driver.stdout as output:
        for line in output:
            told = json.loads(line)
            found["weights"] = told.get("weights")
            found["first"] = found["first"] or told.get("epoch", 0)
            found["last"] = told.get("epoch", found["last"])
            if stop is not None and found["last"] >= stop and found["weights"] is None:
                orphans = psutil.Process(driver.pid).children(recursive=True)
                driver.kill()
                driver.wait()
                began = time.monotonic()
                _, alive = psutil.wait_procs(orphans, timeout=_GONE)
                found["gone"] = time.monotonic() - began
                found["left"] = [f"process {orphan.pid}" for orphan in alive]
                for orphan in alive:
                    orphan.kill()
                break
    return found


def _left(shared: set[str]) -> tuple[list[str], list[str]]:
    """Files and shared memory, as soon as there are none, or after some seconds: other fits of the machine have some, too."""
    until = time.monotonic() + SETTLE
    memory = shared_memory() - shared
    while True:
        files = temporary_files(Path(tempfile.gettempdir()))
        memory &= shared_memory()
        if not (files or memory) or time.monotonic() > until:
            return files, [f"shared memory {name}" for name in sorted(memory)]
        time.sleep(0.2)


def _remove(path: Path) -> None:
    import shutil

    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
