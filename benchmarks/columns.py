"""What a step costs by the number of columns, memory and the wire: ``python -m benchmarks.columns``.

Two processes; synchronous training with sums of dense and of sparse gradients, column blocks, and MLlib's
LogisticRegressionWithSGD on the same rows. What is found goes to ``benchmarks/results/columns.json``, and from there into the
guide's table and picture, which ``--draw`` makes anew without running anything.
"""

import argparse
import json
import sys
import time
from typing import Any

from . import columns_page
from .isolate import BenchmarkError, call
from .results import DIRECTORY, conditions

RANKS = 2
RESULT = DIRECTORY / "columns.json"
# By way: columns with which it is measured, and rows. What costs seconds a step has fewer of both.
SIDES = {
    "columns": ((10_000, 100_000, 1_000_000, 10_000_000, 100_000_000), 100_000),
    "sync": ((10_000, 100_000, 1_000_000, 10_000_000), 100_000),
    "sync, dense sums": ((10_000, 100_000, 1_000_000, 10_000_000), 20_000),
    "mllib": ((10_000, 1_000_000, 10_000_000), 20_000),
}
# Columns for which bytes are counted, and with how many rows; columns and rows with which memory is looked at.
WIRE, WIRE_ROWS = (10_000, 1_000_000), 20_000
MEMORY, MEMORY_ROWS = 200_000_000, 100_000
# Of a process, and of one with a JVM, which makes seven fits.
_SECONDS, _JVM_SECONDS = 180.0, 360.0


def sample(way: str, d: int, rows: int) -> float:
    """Seconds of a step; runs in a process of its own."""
    from .column_runs import one

    return one(way, d, rows).seconds


def wire(d: int, rows: int) -> float:
    """Bytes that a rank sends a step; runs in a process of its own."""
    from .ours import columns

    return columns.sent(d, rows)


def memory(d: int, rows: int) -> dict:
    """What a rank has resident at most; runs in a process of its own."""
    from .ours import columns

    return columns.memory(d, rows).detail


def measure() -> dict:
    """Run everything, each in a process of its own, and go on where one fails.

    Returns
    -------
    dict
        What :func:`benchmarks.results.conditions` said before anything ran, and "steps": for each way and number of columns the
        median seconds of a step; "wire": bytes a step by columns; "memory": see :func:`benchmarks.ours.columns.memory`. What
        could not be measured has "problem" instead, which says why.
    """
    found: dict = conditions()
    found["steps"] = [
        {"way": way, "columns": d, "rows": rows} | _ask("seconds", limit, "sample", way=way, d=d, rows=rows)
        for way, (counts, rows) in SIDES.items()
        for limit in [_JVM_SECONDS if way == "mllib" else _SECONDS]
        for d in counts
    ]
    found["wire"] = [{"columns": d} | _ask("bytes", _SECONDS, "wire", d=d, rows=WIRE_ROWS) for d in WIRE]
    found["memory"] = _ask("ranks", 2 * _SECONDS, "memory", d=MEMORY, rows=MEMORY_ROWS)
    return found


def _ask(name: str, seconds: float, function: str, **arguments: Any) -> dict:
    """What a function of this module finds, under ``name``; or "problem", why it found nothing."""
    began = time.monotonic()
    try:
        found = {name: call(f"benchmarks.columns:{function}", cores=RANKS, seconds=seconds, **arguments)}
    except BenchmarkError as error:
        lines = str(error).strip().splitlines()
        found = {"problem": lines[0] if len(lines) == 1 else f"{lines[0]} {lines[-1]}"}
    said = ", ".join(f"{key} {value:,}" if isinstance(value, int) else f"{value}" for key, value in arguments.items())
    print(f"{function} ({said}): {next(iter(found.values()))} [{time.monotonic() - began:.0f} s]", flush=True)
    return found


def main(arguments: list[str] | None = None) -> int:
    """Measure, or take what has been; write the guide's table and picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.columns", description=__doc__)
    parser.add_argument("--draw", action="store_true", help="make table and picture from the results that are there")
    if not parser.parse_args(arguments).draw:
        RESULT.write_text(json.dumps(measure(), indent=1) + "\n")
    if not RESULT.exists():
        print(f"{RESULT} is absent: run python -m benchmarks.columns without --draw first", file=sys.stderr)
        return 1
    for path in columns_page.write(json.loads(RESULT.read_text())):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
