"""``python -m benchmarks``: run the benchmarks, save their samples, and render docs/benchmarks.md."""

import argparse
import sys

from . import report
from .cases import BY_NAME, CASES, Case
from .isolate import BenchmarkError, call
from .results import failure, save, success

ROWS = 1_000_000


def measure(case: Case, rows: int, rounds: int | None) -> dict:
    """Run one case in its own process; a failure is a result too, and keeps its reason."""
    arguments = {"rounds": rounds or case.rounds, **case.arguments}
    if case.takes_rows:
        arguments["rows"] = rows
    try:
        outcome = call(case.function, cores=case.cores, seconds=case.seconds, **arguments)
    except BenchmarkError as error:
        return failure(case, rows, str(error))
    return success(case, rows, outcome)


def main(arguments: list[str] | None = None) -> int:
    """Run the named cases, or all; return 1 when one of them could not run."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=sorted(BY_NAME), metavar="NAME", help="cases to run: %(choices)s")
    parser.add_argument(
        "--rows",
        type=int,
        default=ROWS,
        help="rows of each data set; figures of other sizes than %(default)s are printed, not kept",
    )
    parser.add_argument("--rounds", type=int, help="turns that the sides take (default: each case's own)")
    options = parser.parse_args(arguments)
    failed = 0
    for case in CASES:
        if options.only and case.name not in options.only:
            continue
        print(f"{case.name} ...", flush=True)
        result = measure(case, options.rows, options.rounds)
        if options.rows == ROWS:
            save(result)
        failed += bool(result["problem"])
        print("\n".join(report.summary(result)), flush=True)
    if options.rows == ROWS:
        print(f"wrote {report.write()}")
    return int(failed > 0)


if __name__ == "__main__":
    sys.exit(main())
