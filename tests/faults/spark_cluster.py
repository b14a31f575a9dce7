"""A script, not a test: what happens to gangs and aggregates on a Spark cluster, told as one JSON object.

``python spark_cluster.py MASTER DIRECTORY``. A process of its own, since a process has one SparkContext.
"""

import _thread
import json
import os
import re
import sys
import threading
import time
from pathlib import Path

import psutil

from dsgd.errors import WorkerLost
from dsgd.train import selftest
from spark_ext.engine import SparkEngine

SELF = "dsgd.train.selftest:"


def session(master, directory):
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
    except (WorkerLost, KeyboardInterrupt) as error:
        return type(error).__name__
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


def main(master, directory):
    spark = session(master, directory)
    try:
        with SparkEngine(spark) as engine:
            found = selftest.check(engine, deadline=90.0)  # All slots, of executors that are still registering.
            told = {
                "ranks": [record["rank"] for record in found],
                "scratch": sorted({record["scratch"] for record in found}),
                "executors": len({psutil.Process(record["process"]).parent().ppid() for record in found}),
                "interrupt": stand(engine, directory, "interrupt", _thread.interrupt_main),
            }
            told["after_interrupt"] = len(selftest.check(engine, 2, deadline=90.0))
            leaf = str(Path(directory, "leaf"))
            told["leaf"] = engine.aggregate(SELF + "crash_once", [leaf], SELF + "bracket").decode()
            told["rounds"] = [times_seen(engine) for _ in range(4)]
            victim = selftest.check(engine, 2, deadline=90.0)[1]["process"]
            told["executor"] = stand(engine, directory, "executor", lambda: kill_executor(victim))
            told["after_executor"] = len(selftest.check(engine, 2, deadline=90.0))
            told["left"] = [path for path in told["scratch"] if os.path.exists(path)]
    finally:
        spark.stop()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
