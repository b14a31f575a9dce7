"""What a step costs by the number of columns, memory and the wire: ``python -m benchmarks.columns``.

Two processes; synchronous training with sums of dense and of sparse gradients, column blocks, and MLlib's
LogisticRegressionWithSGD on the same rows. What is found goes to ``benchmarks/results/columns.json``, and from there into the
guide's table and picture, which ``--draw`` makes anew without running anything.
"""

import argparse
import json
import sys

from . import columns_page
from .isolate import BenchmarkError, call
from .results import DIRECTORY, conditions

RESULT = DIRECTORY / "columns.json"
# By way: columns with which it is measured, and rows. What costs seconds a step has fewer of both.
SIDES = {
    "columns": ((10_000, 100_000, 1_000_000, 10_000_000, 100_000_000), 100_000),
    "sync": ((10_000, 100_000, 1_000_000, 10_000_000), 100_000),
    "sync, dense sums": ((10_000, 100_000, 1_000_000, 10_000_000), 20_000),
    "mllib": ((10_000, 1_000_000, 10_000_000), 20_000),
}
# Columns for which bytes are counted.
WIRE = (10_000, 1_000_000)
_SECONDS = 180.0


def sample(way: str, d: int, rows: int) -> float:
    """Seconds of a step; runs in a process of its own."""
    from .column_runs import one

    return one(way, d, rows).seconds


def wire(d: int) -> float:
    """Bytes that a rank sends a step; runs in a process of its own."""
    from .ours import columns

    return columns.sent(d, 20_000)


def memory() -> dict:
    """What a rank has resident at most; runs in a process of its own."""
    from .column_runs import MEMORY_COLUMNS, ROWS
    from .ours import columns

    return columns.memory(MEMORY_COLUMNS, ROWS).detail


def measure() -> dict:
    """Run everything, each in a process of its own.

    Returns
    -------
    dict
        "steps": for each way and number of columns the median seconds of a step, or why there are none; "wire": bytes a step by
        columns; "memory": see :func:`benchmarks.ours.columns.memory`.
    """
    steps = []
    for way, (counts, rows) in SIDES.items():
        for d in counts:
            found: dict = {"way": way, "columns": d, "rows": rows}
            try:
                found["seconds"] = call("benchmarks.columns:sample", cores=2, seconds=_SECONDS, way=way, d=d, rows=rows)
            except BenchmarkError as error:
                found["problem"] = str(error).strip().splitlines()[-1]
            print(way, f"{d:,} columns:", found.get("seconds", found.get("problem")), flush=True)
            steps.append(found)
    sent = {str(d): call("benchmarks.columns:wire", cores=2, seconds=_SECONDS, d=d) for d in WIRE}
    return {
        **conditions(), "steps": steps, "wire": sent,
        "memory": call("benchmarks.columns:memory", cores=2, seconds=2 * _SECONDS),
    }  # fmt: skip


def main(arguments: list[str] | None = None) -> int:
    """Measure, or take what has been; write the guide's table and picture."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.columns", description=__doc__)
    parser.add_argument("--draw", action="store_true", help="make table and picture from the results that are there")
    if not parser.parse_args(arguments).draw:
        try:
            found = measure()
        except BenchmarkError as error:
            print(error, file=sys.stderr)
            return 1
        RESULT.write_text(json.dumps(found, indent=1) + "\n")
    if not RESULT.exists():
        print(f"{RESULT} is absent: run python -m benchmarks.columns without --draw first", file=sys.stderr)
        return 1
    for path in columns_page.write(json.loads(RESULT.read_text())):
        print(f"wrote {path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
