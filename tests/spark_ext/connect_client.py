"""A script, not a test: fits through a Spark Connect server, told as one JSON object.

``python connect_client.py REMOTE PARQUET MODEL``. A process of its own, as a client is: it has no Java.
"""

import json
import sys

import numpy as np
import pandas as pd
from pyspark.ml import Pipeline, PipelineModel
from pyspark.sql import SparkSession

import spark_ext
from dsgd import ConfigError, Sync, read_parquet
from pipelines.faces import build, train
from spark_ext.cluster.engine import SparkEngine

COLUMNS = ["a", "b", "city"]


def main(remote, path, model_path):
    spark = SparkSession.builder.remote(remote).getOrCreate()
    rows = pd.read_parquet(path)
    frame = spark.createDataFrame(rows)
    dataset = read_parquet(path, label="label", hash_bits=6)
    models = {}
    for topology in ("ring", "engine"):
        for engine in ("local", "spark"):
            parameters = {"standardize": True, "n_workers": 2, "random_state": 0, "dtype": "float32"}
            models[engine, topology] = train(
                engine, build(engine, "classification", parameters, Sync(topology)), dataset
            )
    fitted = models["spark", "ring"]
    fitted.write().overwrite().save(model_path)
    estimator = spark_ext.SGDClassifier(featuresCol=COLUMNS, hashBits=6, numWorkers=2)
    piped = Pipeline(stages=[estimator]).fit(frame)
    piped.save(model_path + "-piped")
    piped = PipelineModel.load(model_path + "-piped")
    predicted = piped.transform(frame).select("prediction").toPandas()["prediction"].to_numpy()
    rounds = spark_ext.SGDClassifier(featuresCol=COLUMNS, hashBits=6, numWorkers=2, topology="engine").fit(frame)
    summary = fitted.evaluate(frame)
    try:
        fitted.toSparkML()
        twin = ""
    except ConfigError as error:
        twin = str(error)
    try:
        spark_ext.SGDClassifier(featuresCol=COLUMNS, hashBits=6, mode="async").fit(frame)
        shards = ""
    except ConfigError as error:
        shards = str(error)
    with SparkEngine(spark) as engine:
        slots = engine.slots()
        try:
            engine.launch("dsgd.train.selftest:describe", [None] * (slots + 1), deadline=60.0)
            refused = ""
        except ConfigError as error:
            refused = str(error)
    told = {
        "client": type(spark).__module__,
        "same": {
            topology: bool(np.array_equal(models["local", topology].model_.coef, models["spark", topology].core.coef))
            for topology in ("ring", "engine")
        },
        "accuracy": float(np.mean(predicted == rows["label"])),
        "rounds": rounds.evaluate(frame)["accuracy"],
        "reports": engine.reports,
        "measured": summary["accuracy"],
        "summary": [summary.accuracy, summary.areaUnderROC, summary["auc"]],
        "explained": fitted.explainTransform(frame),
        "twin": twin,
        "shards": shards,
        "slots": slots,
        "refused": refused,
    }
    spark.stop()
    print(json.dumps(told), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
