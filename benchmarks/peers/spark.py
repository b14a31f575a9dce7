"""Spark ML: from the Parquet path to a converged LogisticRegression, features assembled (or hashed) and cached.

Timed: reading, assembling, caching and fitting. Not timed: starting the session, and the evaluation on the held-out rows.
"""

import os
import sys
from pathlib import Path

import numpy as np
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.feature import FeatureHasher, VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.sql import DataFrame, SparkSession

from ..click import NUMBER_NAMES, STRING_NAMES
from ..data import dense_names
from ..measure import Sample, Stopwatch, log_loss

HASHED_FEATURES = 2**20  # Spark's vectors of coefficients are dense: more of them only slows it down

# The settings whose hold-out log-loss is lowest. Dense: the defaults. Click: at the defaults the rare values are fitted to the
# training rows and nothing is learnt for others; a penalty on the raw scale is what serves one-hot columns best.
BEST = {"dense": {"strength": 0.0, "standardize": True}, "click": {"strength": 1e-5, "standardize": False}}


def session(cores: int) -> SparkSession:
    """A ``local[cores]`` session with room for the cached features."""
    os.environ["PYSPARK_PYTHON"] = os.environ["PYSPARK_DRIVER_PYTHON"] = sys.executable
    builder = SparkSession.builder.master(f"local[{cores}]").appName("benchmark")
    settings = {
        "spark.driver.memory": "6g",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.shuffle.partitions": str(cores),
        "spark.driver.host": "127.0.0.1",
    }
    for key, value in settings.items():
        builder = builder.config(key, value)
    spark = builder.getOrCreate()
    spark.sparkContext.setLogLevel("ERROR")
    spark.range(1000).selectExpr("sum(id)").collect()  # the first job pays for the JVM's warm-up
    return spark


def dense_features() -> VectorAssembler:
    """The dense set's 100 columns as one vector."""
    return VectorAssembler(inputCols=dense_names(), outputCol="features")


def click_features() -> FeatureHasher:
    """The click set's columns hashed into one sparse vector."""
    return FeatureHasher(inputCols=[*NUMBER_NAMES, *STRING_NAMES], outputCol="features", numFeatures=HASHED_FEATURES)


def fit(spark: SparkSession, directory: Path, features, strength: float, standardize: bool = True) -> Sample:
    """Read ``directory/train``, transform with ``features``, cache, fit with ``regParam=strength``; evaluate on ``test``."""
    clock = Stopwatch()
    with clock.running():
        train = _read(spark, directory / "train", features).cache()
        model = LogisticRegression(regParam=strength, maxIter=100, standardization=standardize).fit(train)
    train.unpersist(blocking=True)
    loss = _hold_out_loss(model.transform(_read(spark, directory / "test", features)))
    detail = {"regParam": strength, "iterations": model.summary.totalIterations}
    return Sample(clock.seconds, loss, detail)


def _read(spark: SparkSession, directory: Path, features) -> DataFrame:
    return features.transform(spark.read.parquet(str(directory))).select("features", "label")


def _hold_out_loss(scored: DataFrame) -> float:
    rows = scored.select(vector_to_array("rawPrediction")[1].alias("score"), "label").toPandas()
    return log_loss(rows["score"].to_numpy(np.float64), rows["label"].to_numpy())
