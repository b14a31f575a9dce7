"""Runs a session in a process group of its own, and ends it when it has said nothing for too long: that fit hung."""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import IO

from .plan import Case

# Seconds that a fit may take; and the first one, with the start of its cluster, and with kernels that are compiled, which a
# busy machine takes minutes for.
LIMIT = {"local": 120.0, "dask": 180.0, "spark": 180.0}
WARM = 420.0
_ROOT = Path(__file__).resolve().parents[2]


def run(engine: str, mode: str, cases: Sequence[Case], seed: int, until: float) -> list[dict]:
    """Everything that the sessions of these cases said; a fit that hung is one more record, and the next case goes on after it.

    No case is begun after ``until``, in seconds since the epoch.
    """
    told: list[dict] = []
    left = list(cases)
    while left:
        with tempfile.TemporaryDirectory(prefix="faults-") as place:
            found, why = _session(engine, mode, left, seed, until, Path(place))
        told += found
        if why is None:
            return told
        begun = [Case(*record["begins"]) for record in found if "begins" in record]
        current = begun[-1] if begun else left[0]
        told.append({"case": current, "outcome": why, "detect": None, "repeated": 0, "leaks": []})
        print(f"{engine} {mode} {current.fault}: {why}", flush=True)
        left = left[left.index(current) + 1 :]
    return told


def _session(
    engine: str, mode: str, cases: Sequence[Case], seed: int, until: float, place: Path
) -> tuple[list[dict], str | None]:
    """What a session said, and why it did not get to its end."""
    scratch = place / "tmp"
    scratch.mkdir()
    plan = {"engine": engine, "mode": mode, "cases": cases, "seed": seed, "until": until, "place": str(place)}
    environment = {**os.environ, "TMPDIR": str(scratch), "OMP_NUM_THREADS": "1"}
    with (place / "log").open("wb") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.faults.session", json.dumps(plan)],
            cwd=_ROOT, env=environment, stdout=subprocess.PIPE, stderr=log, text=True, start_new_session=True,
        )  # fmt: skip
        lines: queue.Queue[str | None] = queue.Queue()
        assert process.stdout is not None
        threading.Thread(target=_read, args=(process.stdout, lines), daemon=True).start()
        told: list[dict] = []
        why, warm = None, False
        try:
            while (line := lines.get(timeout=LIMIT[engine] if warm else WARM)) is not None:
                warm = warm or "warm" in line
                if line.startswith("@"):
                    told.append(json.loads(line[1:]))
                    if "done" in told[-1]:
                        print(engine, mode, json.dumps(told[-1]), flush=True)
            code = process.wait(20.0)
            why = None if code == 0 else f"the session ended with {code}"
        except (queue.Empty, subprocess.TimeoutExpired):
            why = "hung"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            _unmount(place / "small")
    if why is not None:
        print((place / "log").read_text(errors="replace")[-8000:], file=sys.stderr)
    return told, why


def _read(stream: IO[str], lines: "queue.Queue[str | None]") -> None:
    for line in stream:
        lines.put(line)
    lines.put(None)


def _unmount(place: Path) -> None:
    if os.path.ismount(place):
        subprocess.run(["umount", "-l", str(place)], capture_output=True, check=False)
