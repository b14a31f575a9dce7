"""A script, not a test: what happens to gangs and aggregates on a Spark cluster, told as one JSON object.

``python spark_cluster.py MASTER DIRECTORY``. A process of its own, since a process has one SparkContext.
"""

import _thread
import json
import logging
import os
import re
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import psutil

from dsgd import read_parquet
from dsgd.errors import WorkerLost
from dsgd.train import selftest
from dsgd.train.checkpoints import beginning
from spark_ext.cluster.engine import SparkEngine
from spark_ext.cluster.feed import FedDataset, Feed

SELF, CREW = "dsgd.train.selftest:", "dsgd.train.selftest_crew:"
FED = Path(__file__).parents[1] / "spark_ext" / "fed_members.py"


def session(master, directory, **more):
    os.environ["PYSPARK_PYTHON"] = sys.executable
    from pyspark.sql import SparkSession

    settings = {
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.executor.memory": "512m",
        "spark.executor.cores": "1",
        "spark.cores.max": "2",
        "spark.local.dir": f"{directory}/local",
        "spark.sql.warehouse.dir": f"{directory}/warehouse",
        **{f"spark.{key.replace('_', '.')}": value for key, value in more.items()},
    }
    builder = SparkSession.builder.master(master).appName("dsgd-faults")
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("OFF")
    return spark


def when_running(mark, action):
    """Do something once a rank shows that it runs."""

    def body():
        limit = time.monotonic() + 90.0
        while time.monotonic() < limit and not mark.exists():
            time.sleep(0.05)
        action()

    threading.Thread(target=body, daemon=True).start()


def stand(engine, directory, name, action):
    """Launch a gang that lasts, disturb it, and name what came of it."""
    marks = [Path(directory, f"{name}-{rank}") for rank in range(2)]
    when_running(marks[0], action)
    try:
        engine.launch(SELF + "stand", [(str(mark), 300.0) for mark in marks], deadline=90.0)
    except WorkerLost:
        return "WorkerLost"
    except KeyboardInterrupt:
        return "KeyboardInterrupt"
    return "nothing"


def times_seen(engine):
    """How often each of two leaves has been where it runs now."""
    told = engine.aggregate(SELF + "remember", ["left", "right"], SELF + "bracket").decode()
    return [int(number) for number in re.findall(r"[(\s](\d+) /", told)]


def kill_executor(process):
    for parent in psutil.Process(process).parents():
        if any("ExecutorBackend" in word for word in parent.cmdline()):
            parent.kill()
            return


def table():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 2))
    y = (X @ [2.0, -1.0] + rng.logistic(size=400) > 0).astype(float)
    return pd.DataFrame(X, columns=["a", "b"]).assign(label=y)


def estimator(**parameters):
    import spark_ext

    return spark_ext.SGDClassifier(featuresCol=["a", "b"], regParam=0.01, **parameters)


class Told(logging.Handler):
    """What a fit says in the log, and something to do when it has said it."""

    def __init__(self, pattern="", action=None):
        super().__init__()
        self.pattern, self.action, self.lines = pattern, action, []

    def emit(self, record):
        self.lines.append(f"{record.levelname} {record.getMessage()}")
        if self.action is not None and re.search(self.pattern, record.getMessage()):
            action, self.action = self.action, None
            action()


def told_by(action, pattern="", then=None):
    """What came of an action, and what the log says of it."""
    handler, log = Told(pattern, then), logging.getLogger("spark_ext")
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        return action(), handler.lines
    finally:
        log.removeHandler(handler)
        log.setLevel(logging.NOTSET)


def fit_that_loses_an_executor(spark, engine, path=None):
    """The same fit left alone and disturbed, on a file or a DataFrame: how far the weights are apart, and what was said."""
    if path is not None:
        table().to_parquet(path, row_group_size=100)
    beginning._CARRIED = 0.0  # Every epoch is left with the driver.
    learner = estimator(optimizer="sgd", learningRate="invscaling", maxIter=1500, tol=0.0, nIterNoChange=1500)
    victim = selftest.check(engine, 2, deadline=90.0)[1]["process"]

    def fit():
        if path is not None:
            return learner.fitParquet(read_parquet(path, label="label"))
        return learner.fit(spark.createDataFrame(table()))

    alone = fit()
    model, lines = told_by(fit, "epoch 2,", lambda: kill_executor(victim))
    return {
        "apart": float(np.abs(model.core.coef - alone.core.coef).max()),
        "warned": [line for line in lines if line.startswith("WARNING")],
        "begun": sum("epoch 1," in line for line in lines),
    }


def fit_under_dynamic_allocation(master, directory):
    """What Spark's own refusal of a gang leaves of a fit that asks for nothing."""
    more = {"dynamicAllocation_enabled": "true", "dynamicAllocation_maxExecutors": "2"}
    spark = session(master, directory, **more)
    try:
        frame = spark.createDataFrame(table())
        model, lines = told_by(lambda: estimator().fit(frame))
        return {"coefficients": list(model.coefficients), "said": [line for line in lines if "starts no gang" in line]}
    finally:
        spark.stop()


def ranks_and_rounds(engine, directory):
    """What gangs and aggregates come to when they are interrupted and when a task fails."""
    told = {"interrupt": stand(engine, directory, "interrupt", _thread.interrupt_main)}
    told["after_interrupt"] = len(selftest.check(engine, 2, deadline=90.0))
    leaf = str(Path(directory, "leaf"))
    told["leaf"] = engine.aggregate(SELF + "crash_once", [leaf], SELF + "bracket").decode()
    told["rounds"] = [times_seen(engine) for _ in range(4)]
    victim = selftest.check(engine, 2, deadline=90.0)[1]["process"]
    told["executor"] = stand(engine, directory, "executor", lambda: kill_executor(victim))
    told["after_executor"] = len(selftest.check(engine, 2, deadline=90.0))
    return told


def crews(spark, engine):
    """What crews come to when a member is killed, when an executor is, under fed members too, and when they are interrupted."""
    found = json.loads(engine.crew(CREW + "meet", [(1, 1)] * 2, servers=1, deadline=90.0))
    told = {"met": [record["attempt"] for record in found], "scratch": sorted({record["scratch"] for record in found})}
    spark.sparkContext.addPyFile(str(FED))
    starts, engine.feed = [], Feed("fed", spark.range(10_000))

    def note(record):
        starts.append([record["share"], record["attempt"]])
        if starts[-1] == [0, 0]:
            kill_executor(record["process"])

    payload = (FedDataset("fed", 2, None, None), 0, [1, 0])
    found = engine.crew("fed_members:stay", [payload] * 2, servers=0, deadline=90.0, on_report=note)
    told |= {"fed": json.loads(found), "starts": sorted(starts)}
    engine.feed = None
    try:
        engine.crew(CREW + "report_for_ever", [None] * 2, servers=1, on_report=lambda _: _thread.interrupt_main())
    except KeyboardInterrupt:
        told["interrupt"] = len(selftest.check(engine, 2, deadline=90.0))
    return told


def main(master, directory):
    """Everything on a standalone cluster; of what is the same there, executors of a local-cluster show a part."""
    standalone = master.startswith("spark:")
    spark = session(master, directory)
    try:
        with SparkEngine(spark) as engine:
            found = selftest.check(engine, deadline=90.0)  # All slots, of executors that are still registering.
            told = {
                "ranks": [record["rank"] for record in found],
                "scratch": sorted({record["scratch"] for record in found}),
                "executors": len({psutil.Process(record["process"]).parent().ppid() for record in found}),
            }
            if standalone:
                told |= ranks_and_rounds(engine, directory)
                told["crews"] = crews(spark, engine)
            path = str(Path(directory, "rows.parquet")) if standalone else None
            told["fit"] = fit_that_loses_an_executor(spark, engine, path)
            if standalone:
                told["coefficients"] = list(estimator().fit(spark.createDataFrame(table())).coefficients)
            scratch = told["scratch"] + told.get("crews", {}).get("scratch", [])
            told["left"] = [path for path in scratch if os.path.exists(path)]
    finally:
        spark.stop()
    if standalone:
        told["dynamic"] = fit_under_dynamic_allocation(master, directory)
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
