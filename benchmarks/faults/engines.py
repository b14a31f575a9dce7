"""Where the fits run: processes of this machine, a Dask LocalCluster with Nannies, a Spark standalone cluster in small."""

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import psutil

import dsgd
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit

from . import members
from .plan import CLUSTER_DEADLINE, DEADLINE

RANKS, EPOCHS, BATCH = 2, 40, 64
ROWS, COLUMNS = 60_000, 6
# Epochs of a fit each of which is a job of Spark's.
_JOBS = 12
# Bytes that a Dask worker may have.
_MEMORY = 900_000_000
# Steps between two checkpoints; a part of an epoch.
STEPS = 300


def write_rows(path: Path) -> None:
    """The rows that all fits are made of, with a seed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    random = np.random.default_rng(0)
    x, city = random.normal(size=(COLUMNS, ROWS)).astype(np.float32), random.integers(0, 300, ROWS)
    y = (x.sum(axis=0) + 0.1 * (city % 7) + random.logistic(size=ROWS) > 0).astype(np.int8)
    table = pa.table({f"x{j}": values for j, values in enumerate(x)} | {"city": [f"c{v}" for v in city], "y": y})
    pq.write_table(table, path, row_group_size=ROWS // 20)


def mode_of(name: str) -> Any:
    """A mode's name in the plan as the library's own."""
    return {
        "ring": dsgd.Sync(topology="ring"),
        "engine": dsgd.Sync(topology="engine", local_steps="epoch"),
        "async": dsgd.Async(shards=1, snapshot_seconds=0.5),
        "columns": dsgd.Columns(),
    }[name]


class Local:
    """Fits in processes of this machine; the caller begins them again."""

    one_a_fit = False

    def __init__(self, mode: str, rows: Path, checkpoints: Path, fault: str = ""):
        self._mode, self._rows, self._checkpoints, self._fault = mode, rows, checkpoints, fault
        self.expected = RANKS + (mode == "async")

    def fit(self, on_report: Callable[[dict], None]) -> np.ndarray:
        """Fit; goes on from a checkpoint that is there. Returns the weights."""
        proxied = self._fault in ("reset", "delay", "silence")
        # A proxy in Python takes milliseconds a step.
        rows, steps = (BATCH * 32, STEPS // 32) if proxied else (BATCH, STEPS)
        config = FitConfig(
            mode=mode_of(self._mode), n_workers=RANKS, optimizer="adagrad", eta0=0.1, alpha=1e-4, batch_size=rows,
            max_iter=EPOCHS, tol=None, seed=1, standardize=True, deadline=DEADLINE,
            cache_bytes=0 if self._fault == "parquet" else None,
            checkpoint=dsgd.Checkpoint(str(self._checkpoints), seconds=None, steps=steps),
        )  # fmt: skip
        files = self._fault in ("blocks", "parquet", "disk, scratch", "memory")
        with members.DisturbedEngine(files, proxied) as engine:
            model = fit(dsgd.read_parquet(str(self._rows), label="y"), config, engine, on_report=on_report)
        return np.append(model.coef.ravel(), model.intercept)

    def victims(self) -> list[psutil.Process]:
        """The processes of the ranks, in their order, or of the pool."""
        return ranks_of(psutil.Process(), self._mode)

    def left(self) -> list[str]:
        """What else the engine has left, beside what any may leave."""
        return []

    def close(self) -> None:
        """Nothing lasts from fit to fit."""


def ranks_of(driver: psutil.Process, mode: str) -> list[psutil.Process]:
    """The processes that work for a driver on its machine."""
    word = "dsgd.train.local.leaf_child" if mode == "engine" else "dsgd.train.local.child"
    found = []
    for child in driver.children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(word in argument for argument in child.cmdline()):
                found.append(child)
    return sorted(found, key=lambda child: child.create_time())


class Dask:
    """Fits on a LocalCluster whose workers have Nannies, which bring them back."""

    one_a_fit = False
    expected = RANKS

    def __init__(self, mode: str, rows: Path, checkpoints: Path, fault: str = ""):
        import dask
        import distributed

        # So long after a death the cluster looks whether the worker is back, and gives up its place if not: which it is not when
        # it has been killed once more just then. The cluster would be a worker short for good; 15 seconds by default.
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1h"})
        self._mode, self._rows, self._checkpoints = mode, rows, checkpoints
        self._place = checkpoints.parent / "dask"
        self._cluster = distributed.LocalCluster(
            n_workers=RANKS, threads_per_worker=1, processes=True, host="127.0.0.1", dashboard_address=None,
            local_directory=str(self._place), memory_limit=_MEMORY,
        )  # fmt: skip
        self._client = distributed.Client(self._cluster)

    def fit(self, on_report: Callable[[dict], None]) -> np.ndarray:
        """As :meth:`Local.fit`, once all workers are there."""
        import dask_ext

        self._client.wait_for_workers(RANKS, timeout=60.0)
        model = dask_ext.SGDClassifier(
            mode=mode_of(self._mode), n_workers=RANKS, optimizer="adagrad", eta0=0.1, alpha=1e-4, batch_size=BATCH,
            max_iter=EPOCHS, tol=None, random_state=1, standardize=True, deadline=CLUSTER_DEADLINE, verbose=on_report,
            checkpoint=dsgd.Checkpoint(str(self._checkpoints), seconds=None, steps=STEPS),
        ).fit(dsgd.read_parquet(str(self._rows), label="y"))  # fmt: skip
        return np.append(model.coef_.ravel(), model.intercept_)

    def victims(self) -> list[psutil.Process]:
        """The workers that the scheduler knows."""
        known = [nanny for nanny in self._cluster.workers.values() if nanny.worker_address in self._known()]
        return [psutil.Process(nanny.pid) for nanny in known if nanny.pid is not None]

    def take_memory(self, random: np.random.Generator) -> None:
        """Have a worker take all the memory that it may have, beside what it has."""
        address = sorted(self._known())[int(random.integers(RANKS))]
        self._client.run(members.take_memory, _MEMORY, workers=[address], wait=False)

    def _known(self) -> list[str]:
        return list(self._cluster.scheduler.workers)

    def left(self) -> list[str]:
        """Tasks on the scheduler, and directories of fits."""
        tasks = self._client.run_on_scheduler(lambda dask_scheduler: list(dask_scheduler.tasks))
        return [f"task {task}" for task in tasks] + [str(path) for path in self._place.rglob("dsgd-*")]

    def close(self) -> None:
        """Stop the cluster."""
        self._client.close()
        self._cluster.close()


class Spark:
    """Fits on executors of one core of a standalone cluster, which Spark starts for one session (``local-cluster``)."""

    # A Python worker trains on for seconds after its executor was killed: what is told belongs to the fault before.
    one_a_fit = True

    def __init__(self, mode: str, rows: Path, checkpoints: Path, fault: str = ""):
        os.environ["PYSPARK_PYTHON"] = sys.executable
        os.environ.setdefault("JDK_JAVA_OPTIONS", "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC")
        from pyspark.sql import SparkSession

        self._mode, self._rows, self._checkpoints = mode, rows, checkpoints
        self._place = checkpoints.parent / "spark"
        self.expected = RANKS + (mode == "async")  # Shards need slots, too.
        settings = {
            "ui.enabled": "false", "ui.showConsoleProgress": "false", "driver.host": "127.0.0.1",
            "driver.bindAddress": "127.0.0.1", "executor.memory": "512m", "executor.cores": "1", "cores.max": str(self.expected),
            "local.dir": str(self._place), "sql.warehouse.dir": str(self._place / "warehouse"),
        }  # fmt: skip
        builder = SparkSession.builder.master(f"local-cluster[{self.expected},1,1024]").appName("dsgd-faults")
        for key, value in settings.items():
            builder = builder.config(f"spark.{key}", value)
        self._spark = builder.getOrCreate()
        self._spark.sparkContext.setLogLevel("OFF")

    def fit(self, on_report: Callable[[dict], None]) -> np.ndarray:
        """As :meth:`Local.fit`; the epochs are told in the log."""
        import spark_ext

        from .session import reading_epochs

        modes = {"async": {"mode": "async"}, "columns": {"mode": "columns"}}
        steps = {"topology": "engine", "localSteps": "epoch"} if self._mode == "engine" else {"topology": self._mode}
        model = spark_ext.SGDClassifier(
            **modes.get(self._mode, steps), numWorkers=RANKS, optimizer="adagrad", stepSize=0.1, regParam=1e-4,
            maxIter=_JOBS if self._mode == "engine" else EPOCHS, tol=0.0, nIterNoChange=EPOCHS, seed=1, deadline=CLUSTER_DEADLINE,
            checkpointPath=str(self._checkpoints), checkpointInterval=0.0,
            **({} if self._mode == "engine" else {"batchSize": BATCH}),
        )  # fmt: skip
        with reading_epochs("spark_ext", on_report):
            core = model.fitParquet(dsgd.read_parquet(str(self._rows), label="y")).core
        return np.append(core.coef.ravel(), core.intercept)

    def victims(self) -> list[psutil.Process]:
        """The executors."""
        found = []
        for child in psutil.Process().children(recursive=True):
            with contextlib.suppress(psutil.NoSuchProcess):
                if child.name() == "java" and any("ExecutorBackend" in word for word in child.cmdline()):
                    found.append(child)
        return found

    def left(self) -> list[str]:
        """Jobs that run, and directories of fits."""
        jobs = self._spark.sparkContext.statusTracker().getActiveJobsIds()
        return [f"job {job}" for job in jobs] + [str(path) for path in self._place.rglob("dsgd-*")]

    def close(self) -> None:
        """Stop the session, and with it the cluster."""
        self._spark.stop()


ENGINES = {"local": Local, "dask": Dask, "spark": Spark}
