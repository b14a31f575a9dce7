"""A script, not a test: saves what ``test_spark_saving.py`` loads under every version of Spark.

``python -m tests.spark_ext.save_pipelines``, from the project's root, writes ``tests/spark_ext/saved/spark-X.Y``: a Pipeline,
the PipelineModel that it fits, and the probabilities that this model gives to the rows of :func:`rows`.
"""

import json
import os
import sys
from pathlib import Path

import pyspark
from pyspark.ml import Pipeline
from pyspark.ml.feature import VectorAssembler
from pyspark.sql import SparkSession

import spark_ext

SAVED = Path(__file__).with_name("saved")


def rows(spark):
    """Some rows, the same under every version."""
    table = [(float(i % 7), float(i % 4), float(i % 7 > i % 4)) for i in range(28)]
    return spark.createDataFrame(table, "a double, b double, label double").coalesce(1)


def pipeline():
    """A stage of Spark's, and one of ours with Params of every kind that is saved."""
    classifier = spark_ext.SGDClassifier(
        regParam=0.1,
        maxIter=7,
        thresholds=[0.4, 0.6],
        averaging=False,
        stepSize="auto",
        localSteps=1,
        numWorkers=1,
        portRange=[4000, 5000],
    )
    return Pipeline(stages=[VectorAssembler(inputCols=["a", "b"], outputCol="features"), classifier])


def main():
    """Save both, and what the model says."""
    os.environ["PYSPARK_PYTHON"] = sys.executable
    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").getOrCreate()
    place = SAVED / "spark-{}.{}".format(*pyspark.__version__.split(".")[:2])
    unfitted = pipeline()
    unfitted.write().overwrite().save(str(place / "pipeline"))
    fitted = unfitted.fit(rows(spark))
    fitted.write().overwrite().save(str(place / "fitted"))
    told = [row.probability[1] for row in fitted.transform(rows(spark)).select("probability").collect()]
    (place / "probabilities.json").write_text(json.dumps(told))
    spark.stop()
    for checksum in place.rglob("*.crc"):
        checksum.unlink()


if __name__ == "__main__":
    main()
