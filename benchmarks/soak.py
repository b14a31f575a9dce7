"""Many fits in one process, and what stays behind: ``python -m benchmarks.soak --minutes 30 --out soak.json``.

Modes and engines take turns; after every round of them memory, open files, threads, temporary files and shared memory are
counted, over this process and its children (Java apart). The first rounds are warm-up: kernels are compiled, workers started,
caches filled. The status is 1 when anything grows after that.
"""

import argparse
import contextlib
import gc
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq

import dsgd

# Rounds that are not judged; parts of the others that are compared; growth of resident memory that is noise; and rounds for each
# of what may come in addition: pools of threads and connections fill up, and what a fit leaves behind comes with every one.
_WARM_UP, _PART, _NOISE_BYTES, _NOISE, _SELDOM = 2, 3, 24 << 20, 0.05, 10
_ROWS = 20_000
_POOLED = ("files", "threads")
COUNTED = ("files", "threads", "left", "shared")
Fit = Callable[[], Any]


def write_rows(folder: str) -> str:
    """A small Parquet file of numbers and categories with a label."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(_ROWS, 4))
    table = {name: x[:, i] for i, name in enumerate("abcd")}
    table["city"] = generator.integers(0, 500, _ROWS).astype(str)
    table["y"] = (x[:, 0] - x[:, 1] + generator.logistic(size=_ROWS) > 0).astype(np.int64)
    path = os.path.join(folder, "rows.parquet")
    pq.write_table(pa.table(table), path, row_group_size=_ROWS // 8)
    return path


def local_fits(path: str) -> dict[str, Fit]:
    """On this machine: ranks as threads (arrays) and as processes (files)."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(_ROWS, 10))
    y = (x[:, 0] > 0).astype(int)
    rows = dsgd.read_parquet(path, label="y")
    sync, hybrid = dsgd.Sync, dsgd.Hybrid

    def model(mode: Any, **more: Any) -> Any:
        return dsgd.SGDClassifier(**{"mode": mode, "n_workers": 2, "max_iter": 5, "tol": None} | more)

    return {
        "local threads ring": lambda: model(sync()).fit(x, y),
        "local threads tree": lambda: model(sync(topology="tree")).fit(x, y),
        "local threads engine": lambda: model(sync(topology="engine")).fit(x, y),
        "local threads columns": lambda: model("columns", optimizer="sgd").fit(x, y),
        "local threads async": lambda: model("async", optimizer="adagrad").fit(x, y),
        "local processes ring": lambda: model(sync()).fit(rows),
        "local processes async": lambda: model("async", optimizer="adagrad").fit(rows),
        "local processes grid": lambda: model(hybrid(rows=1, columns=2), optimizer="adagrad").fit(rows),
        "local cached files": lambda: model(sync(), cache_bytes=1 << 18, optimizer="adagrad").fit(rows),
    }


@contextlib.contextmanager
def dask_fits(path: str) -> Iterator[dict[str, Fit]]:
    """On a Dask cluster of this machine that stays the same."""
    import dask
    from distributed import Client, LocalCluster

    from dask_ext import SGDClassifier

    # Dask's own profile of an hour: for that long it grows with all that runs.
    dask.config.set({"distributed.worker.profile.enabled": False})
    place = tempfile.mkdtemp(prefix="soak-dask-")
    there = {"host": "127.0.0.1", "dashboard_address": ":0", "local_directory": place}
    with LocalCluster(n_workers=2, threads_per_worker=1, **there) as cluster, Client(cluster):
        rows = dsgd.read_parquet(path, label="y")
        yield {
            f"dask {name}": lambda mode=mode, more=more: SGDClassifier(
                mode=mode, n_workers=2, max_iter=5, tol=None, **more
            ).fit(rows)
            for name, mode, more in (
                ("ring", dsgd.Sync(), {}),
                ("engine", dsgd.Sync(topology="engine"), {}),
                ("async", "async", {"optimizer": "adagrad"}),
            )
        }


@contextlib.contextmanager
def spark_fits(path: str) -> Iterator[dict[str, Fit]]:
    """In a Spark session of this machine that stays the same."""
    from pyspark.sql import SparkSession

    from spark_ext import SGDClassifier

    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    place = tempfile.mkdtemp(prefix="soak-spark-")
    spark = (
        SparkSession.builder.master("local[3]")
        .config("spark.ui.enabled", "false")
        .config("spark.driver.host", "127.0.0.1")
        .config("spark.driver.bindAddress", "127.0.0.1")
        .config("spark.local.dir", place)
        .config("spark.sql.warehouse.dir", place)
        .getOrCreate()
    )
    spark.sparkContext.setLogLevel("ERROR")
    rows = dsgd.read_parquet(path, label="y")
    common = {"numWorkers": 2, "maxIter": 5, "tol": 0.0}
    try:
        yield {
            "spark ring": lambda: SGDClassifier(topology="ring", **common).fitParquet(rows),
            "spark engine": lambda: SGDClassifier(topology="engine", **common).fitParquet(rows),
            "spark async": lambda: SGDClassifier(
                mode="async", optimizer="adagrad", **common | {"numWorkers": 1}
            ).fitParquet(rows),
        }
    finally:
        spark.stop()


def _local(path: str) -> contextlib.AbstractContextManager[dict[str, Fit]]:
    return contextlib.nullcontext(local_fits(path))


ENGINES: dict[str, Callable[[str], contextlib.AbstractContextManager[dict[str, Fit]]]] = {
    "local": _local, "dask": dask_fits, "spark": spark_fits,
}  # fmt: skip


def look(folder: str) -> dict[str, float]:
    """What there is now."""
    gc.collect()
    own = psutil.Process()
    seen = {"rss": 0, "java": 0, "files": 0, "threads": 0, "processes": 0}
    for process in [own, *own.children(recursive=True)]:
        with contextlib.suppress(psutil.Error), process.oneshot():
            if process.name() == "java":
                seen["java"] += process.memory_info().rss
                continue
            seen["rss"] += process.memory_info().rss
            seen["files"] += process.num_fds()
            seen["threads"] += process.num_threads()
            seen["processes"] += 1
    seen["left"] = sum(len(names) for _, _, names in os.walk(folder))
    shared = Path("/dev/shm")
    mine = [path for path in shared.glob("dsgd-*") if path.stat().st_uid == os.getuid()] if shared.exists() else []
    return {**seen, "shared": len(mine)}


def run(fits: dict[str, Fit], folder: str, seconds: float, counts: dict[str, list[float]]) -> list[dict[str, float]]:
    """Fit in turns until the time is over; what there was after every round. ``counts`` takes the seconds of each fit."""
    until, rounds = time.monotonic() + seconds, []
    while time.monotonic() < until or len(rounds) < _WARM_UP + 2 * _PART:
        for name, fit in fits.items():
            began = time.monotonic()
            fit()
            counts.setdefault(name, []).append(time.monotonic() - began)
        time.sleep(1.0)  # What ends on its own (threads of sockets) may need a moment.
        rounds.append(look(folder))
    return rounds


def grown(rounds: list[dict[str, float]]) -> list[str]:
    """What has grown from the first judged rounds to the last ones.

    Examples
    --------
    >>> steady = {"rss": 1 << 30, "files": 50, "threads": 9, "left": 0, "shared": 0}
    >>> grown([steady] * 9), grown([steady] * 5 + [steady | {"files": 51 + i} for i in range(6)])
    ([], ['files: 50 at first, 56 in the end'])
    >>> grown([steady] * 20 + [steady | {"threads": 10}] * 20)
    []
    """
    judged = rounds[_WARM_UP:]
    first, last = judged[:_PART], judged[-_PART:]
    found = []
    for name in COUNTED:
        before, after = max(r[name] for r in first), min(r[name] for r in last)
        # The least of the last rounds: a thread that is just about to end is no leak.
        pooled = len(judged) // _SELDOM if name in _POOLED else 0
        if after > before + pooled:
            found.append(f"{name}: {before} at first, {max(r[name] for r in last)} in the end")
    before, after = (float(np.median([r["rss"] for r in part])) for part in (first, last))
    if after > before * (1 + _NOISE) + _NOISE_BYTES:
        found.append(f"rss: {before / 2**20:.0f} MiB at first, {after / 2**20:.0f} MiB in the end")
    return found


def main() -> int:
    """Run the engines one after the other, each for its part of the time."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--engines", default="local,dask,spark")
    parser.add_argument("--out")
    given = parser.parse_args()
    engines, report = given.engines.split(","), {}
    with contextlib.ExitStack() as stack:
        rows, folder = (stack.enter_context(tempfile.TemporaryDirectory(prefix="dsgd-soak-")) for _ in range(2))
        path = write_rows(rows)
        os.environ["TMPDIR"] = tempfile.tempdir = folder
        for engine in engines:
            counts: dict[str, list[float]] = {}
            with ENGINES[engine](path) as fits:
                rounds = run(fits, folder, 60 * given.minutes / len(engines), counts)
            problems = grown(rounds)
            report[engine] = {"rounds": rounds, "seconds": counts, "grown": problems}
            print(f"{engine}: {sum(map(len, counts.values()))} fits in {len(rounds)} rounds")
            print(f"  after warm-up {rounds[_WARM_UP]}\n  in the end    {rounds[-1]}")
            print("\n".join(f"  grown: {problem}" for problem in problems) or "  nothing has grown", flush=True)
    if given.out:
        Path(given.out).write_text(json.dumps(report, indent=1))
    return int(any(found["grown"] for found in report.values()))


if __name__ == "__main__":
    sys.exit(main())
