"""A script, not a test: fits in an application with settings of its own, told as one JSON object.

``python settings_client.py DIRECTORY``. A process of its own, since a process has one SparkContext: two cores a task, and
Spark's own interface, on loopback.
"""

import json
import os
import sys
import urllib.request

os.environ["PYSPARK_PYTHON"] = sys.executable

import numpy as np
import pandas as pd
from pyspark.sql import SparkSession

import spark_ext
from dsgd.train import selftest
from spark_ext.cluster import execution
from spark_ext.cluster.engine import SparkEngine

SETTINGS = {
    "spark.task.cpus": "2",
    "spark.ui.enabled": "true",
    "spark.ui.port": "0",
    "spark.ui.showConsoleProgress": "false",
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
}


def descriptions(context):
    """Of all jobs, as Spark's interface has them."""
    address = f"{context.uiWebUrl}/api/v1/applications/{context.applicationId}/jobs"
    with urllib.request.urlopen(address, timeout=60) as answer:
        return [job.get("description", "") for job in json.load(answer)]


def main(directory):
    builder = SparkSession.builder.master("local[4]").config("spark.local.dir", directory)
    for key, value in SETTINGS.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    try:
        with SparkEngine(spark) as engine:
            slots = engine.slots()
            gang = [record["threads"] for record in selftest.check(engine, 2)]
            leaf = json.loads(engine.aggregate("dsgd.train.selftest:threads", [None], "dsgd.train.selftest:bracket"))
        rng = np.random.default_rng(0)
        table = pd.DataFrame(rng.normal(size=(100, 2)), columns=["a", "b"]).assign(label=np.arange(100) % 2.0)
        estimator = spark_ext.SGDClassifier(featuresCol=["a", "b"], topology="engine", regParam=0.01)
        configs, fit = [], execution.fit

        def noted(dataset, config, *arguments, **more):
            configs.append(config.threads_per_worker)
            return fit(dataset, config, *arguments, **more)

        execution.fit = noted
        estimator.fit(spark.createDataFrame(table))
        estimator.copy().setThreadsPerWorker(1).fit(spark.createDataFrame(table))
        told = {"slots": slots, "gang": gang, "leaf": leaf, "uid": estimator.uid, "configs": configs}
        told["jobs"] = descriptions(spark.sparkContext)
    finally:
        spark.stop()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
