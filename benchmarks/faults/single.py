"""A driver that is to be killed: ``python -m benchmarks.faults.single MODE ROWS CHECKPOINTS``.

It prints its epochs, and at the end its weights, as JSON lines.
"""

import json
import sys
from pathlib import Path

from .engines import Local


def main(mode: str, rows: str, checkpoints: str) -> None:
    """Fit."""
    bench = Local(mode, Path(rows), Path(checkpoints))
    weights = bench.fit(lambda record: print(json.dumps({"epoch": record["epoch"]}), flush=True))
    print(json.dumps({"weights": weights.tolist()}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
