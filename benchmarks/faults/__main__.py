"""``python -m benchmarks.faults``: inject faults, print the table, and with ``--write`` put it into docs/reliability.md.

What is written keeps the recorded results of cases that were not run again, so that engines can be run one at a time.
"""

import argparse
import importlib.util
import json
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from ..results import DIRECTORY, conditions
from . import page, watch
from .plan import FAULTS, MODES, cases
from .records import merged

RESULT = DIRECTORY / "faults.json"
_ENGINES = ("local", "dask", "spark")
_PACKAGES = {"dask": "distributed", "spark": "pyspark"}


def measure(
    engines: list[str], modes: list[str], faults: list[str], quick: bool, seed: int, side_by_side: int, minutes: float
) -> dict:
    """Run the sessions, some side by side, since much of their time is waiting."""
    until, sessions = time.time() + 60.0 * minutes, []
    for engine in engines:
        if engine in _PACKAGES and importlib.util.find_spec(_PACKAGES[engine]) is None:
            print(f"{engine}: {_PACKAGES[engine]} is not installed; its faults are left out", file=sys.stderr)
            continue
        for mode in modes:
            own = [case for case in cases(engine, quick) if case.mode == mode and case.fault in faults]
            if own:
                sessions.append((engine, mode, own, seed, until))
    with ThreadPoolExecutor(side_by_side) as pool:
        found = list(pool.map(lambda session: _timed(*session), sessions))
    told = [record for records, _ in found for record in records if not {"begins", "warm"} & set(record)]
    return {**conditions(), "told": told, "sessions": [session for _, session in found]}


def _timed(engine: str, mode: str, *more: Any) -> tuple[list[dict], dict[str, Any]]:
    """The records of the sessions of a mode on an engine, and how they went."""
    began = time.monotonic()
    records = watch.run(engine, mode, *more)
    seconds, load = round(time.monotonic() - began, 1), round(os.getloadavg()[0], 1)
    return records, {"engine": engine, "mode": mode, "seconds": seconds, "load": load}


def main(arguments: list[str] | None = None) -> int:
    """Return 1 when a fit hung or something was left behind."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.faults", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="each fault once, on clusters one")
    parser.add_argument("--write", action="store_true", help="write the table into docs/reliability.md")
    parser.add_argument(
        "--draw", action="store_true", help="write the table of the recorded results, without running anything"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--side-by-side", type=int, default=2, help="sessions at a time (default %(default)s)")
    parser.add_argument(
        "--minutes", type=float, default=25.0, help="after which no case is begun (default %(default)s)"
    )
    for name, choices in (("engines", _ENGINES), ("modes", MODES), ("faults", tuple(FAULTS))):
        parser.add_argument(f"--{name}", nargs="+", choices=choices, default=list(choices))
    options = parser.parse_args(arguments)
    if options.draw:
        print(f"wrote {page.write(json.loads(RESULT.read_text()))}")
        return 0
    what = options.engines, options.modes, options.faults
    result = measure(*what, options.quick, options.seed, options.side_by_side, options.minutes)
    bad = any(record.get("outcome") == "hung" or record.get("leaks") for record in result["told"])
    print("\n".join(page.section(result)))
    if options.write:
        planned = [case for engine in _ENGINES for case in cases(engine)]
        result = merged(json.loads(RESULT.read_text()) if RESULT.exists() else None, result, planned)
        RESULT.write_text(json.dumps(result, indent=1) + "\n")
        print(f"wrote {RESULT} and {page.write(result)}")
    return int(bad)


if __name__ == "__main__":
    sys.exit(main())
