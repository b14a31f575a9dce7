"""Fits on Spark with all that Spark can write down about them: the event log, and its log at DEBUG."""

import sys
from pathlib import Path

from clients import keep_keys, write_rows
from pyspark.sql import SparkSession

import dsgd
from spark_ext import SGDClassifier

folder = Path(sys.argv[1])
(folder / "written").mkdir()
keep_keys(folder)
spark = (
    SparkSession.builder.master("local[3]")
    .config("spark.ui.enabled", "false")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.local.dir", str(folder / "local"))
    .config("spark.eventLog.enabled", "true")
    .config("spark.eventLog.compress", "false")
    .config("spark.eventLog.dir", (folder / "written").as_uri())
    .config("spark.sql.shuffle.partitions", "2")
    .getOrCreate()
)
spark.sparkContext.setLogLevel("DEBUG")
rows = write_rows(folder)
dataset = dsgd.read_parquet(rows, label="y")
SGDClassifier(topology="ring", numWorkers=2, maxIter=2).fitParquet(dataset)
SGDClassifier(mode="async", optimizer="adagrad", numWorkers=1, maxIter=2).fitParquet(dataset)
frame = spark.read.parquet(rows)
# So many hashed weights to begin with that payloads are too large to travel inside the function.
wide = SGDClassifier(featuresCol=["a", "b"], labelCol="y", topology="ring", numWorkers=2, maxIter=2)
wide.fit(frame)
spark.stop()
