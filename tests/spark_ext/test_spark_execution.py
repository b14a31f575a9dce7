"""How a fit runs on Spark: where a gang cannot start, what crosses the JVM, what is seen of it, what becomes of a lost rank."""

import logging
import subprocess
import threading

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Pipeline
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.tuning import CrossValidator, ParamGridBuilder
from pyspark.sql import SparkSession

import dsgd
import spark_ext
from dsgd.errors import ConfigError, DataError, WorkerLost
from dsgd.train import selftest
from dsgd.train.config import FitConfig
from dsgd.train.modes import Sync
from spark_ext import allocation, engine, execution, kept, post, retry, shares, worker
from spark_ext.engine import SparkEngine
from spark_ext.feed import Feed
from spark_ext.messages import RankLost, translate
from spark_ext.post import Listening

SELF = "dsgd.train.selftest:"
COLUMNS = ["a", "b", "city"]
FEATURES = {"featuresCol": COLUMNS, "hashBits": 6}


@pytest.fixture(scope="module")
def table():
    """Two numbers, a text and a label."""
    rng = np.random.default_rng(0)
    rows = pd.DataFrame(rng.normal(size=(600, 2)), columns=["a", "b"]).assign(city=rng.choice(["Ulm", "Kiel"], 600))
    score = 2 * rows["a"] - rows["b"] + (rows["city"] == "Ulm") + rng.logistic(size=600)
    return rows.assign(label=(score > 0).astype(float), held=np.arange(600) % 5 == 0)


@pytest.fixture(scope="module")
def people(spark, table):
    return spark.createDataFrame(table).cache()


@pytest.fixture(scope="module")
def by_ring(people):
    return spark_ext.SGDClassifier(**FEATURES).fit(people)


def counted(spark, frame):
    """The frame by way of a function that counts its rows, and the counter."""
    counter = spark.sparkContext.accumulator(0)

    def count(batches):
        for batch in batches:
            counter.add(batch.num_rows)
            yield batch

    return frame.mapInArrow(count, frame.schema), counter


def files_left(spark):
    local = spark.sparkContext.getConf().get("spark.local.dir")
    found = subprocess.run(["find", local, "-name", "*.arrow*"], capture_output=True, text=True, check=True, timeout=60)
    return found.stdout


def persisted(spark):
    return spark.sparkContext._jsc.sc().getPersistentRDDs().size()


def titles(spark, name):
    """What Spark's interface says of the jobs of a fit, in their order."""
    jobs = spark.sparkContext._jsc.sc().statusStore().jobsList(None)
    found = ((jobs.apply(i).jobId(), jobs.apply(i).description()) for i in range(jobs.size()))
    return [text.get() for _, text in sorted(found) if text.isDefined() and name in text.get()]


@pytest.mark.parametrize("localSteps", [1, "epoch"])
def test_a_data_frame_is_read_once_whatever_the_rounds(spark, people, by_ring, localSteps):
    frame, counter = counted(spark, people)
    before = persisted(spark)
    estimator = spark_ext.SGDClassifier(topology="engine", localSteps=localSteps, maxIter=8, **FEATURES)
    model = estimator.fit(frame)
    assert counter.value == 600
    assert len({title for title in titles(spark, estimator.uid) if ", round " in title}) > 4
    if localSteps == 1:
        np.testing.assert_allclose(model.coefficients, by_ring.coefficients, rtol=0.01, atol=0.01)
    assert persisted(spark) == before
    assert files_left(spark) == ""
