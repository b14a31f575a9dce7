"""MLlib's LogisticRegressionWithSGD on an RDD of sparse vectors: the seconds of an iteration.

A job has costs that do not come with iterations: what is measured is the difference of a fit of more and one of fewer.
"""

import time
from statistics import median

import numpy as np
import scipy.sparse
from pyspark.mllib.classification import LogisticRegressionWithSGD
from pyspark.mllib.linalg import SparseVector
from pyspark.mllib.regression import LabeledPoint
from pyspark.sql import SparkSession

from ..measure import Sample


def points(spark: SparkSession, X: scipy.sparse.csr_matrix, y: np.ndarray, cores: int):
    """The rows as a cached RDD of labelled sparse vectors, in a partition a core."""
    d, edges = X.shape[1], X.indptr
    rows = [
        LabeledPoint(
            float(y[i] > 0), SparseVector(d, X.indices[edges[i] : edges[i + 1]], X.data[edges[i] : edges[i + 1]])
        )
        for i in range(len(y))
    ]
    cached = spark.sparkContext.parallelize(rows, cores).cache()
    cached.count()
    return cached


def train(rdd, rows: int, batch: int, iterations: int) -> float:
    """Seconds of a fit of ``iterations`` on ``batch`` of the ``rows`` rows each; nothing but their number ends it."""
    begun = time.perf_counter()
    LogisticRegressionWithSGD.train(
        rdd,
        iterations=iterations,
        step=0.1,
        miniBatchFraction=batch / rows,
        regParam=0.0,
        convergenceTol=0.0,
        validateData=False,
    )
    return time.perf_counter() - begun


def iteration(rdd, rows: int, batch: int, *, few: int = 2, many: int = 12, times: int = 1) -> Sample:
    """Seconds of an iteration on ``batch`` of the ``rows`` rows, from fits of ``few`` iterations and of ``many``, in turn.

    Of several ``times``, medians are compared.

    Raises
    ------
    RuntimeError
        When the longer fits took less time: then other work on the machine was measured.
    """
    turns = [[train(rdd, rows, batch, count) for count in (few, many)] for _ in range(times)]
    short, long = (median(seconds) for seconds in zip(*turns, strict=True))
    if long <= short:
        raise RuntimeError(f"{many} iterations took {long:.2f} s and {few} took {short:.2f} s: is the machine busy?")
    return Sample((long - short) / (many - few), detail={"iterations": many - few, "turns": turns})
