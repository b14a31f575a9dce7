"""Predictions on Spark by others: a pandas function that calls scikit-learn, written as its users write it.

Timed is a job that computes every column and keeps none of them (a "noop" write).
"""

import numpy as np
import pandas as pd
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import VectorUDT
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F  # noqa: N812
from sklearn.linear_model import LogisticRegression

from ..data import dense, dense_names, dense_truth
from ..measure import Sample, timed


def frame(spark: SparkSession, rows: int) -> DataFrame:
    """The dense set in memory, its columns as one array of floats and as one vector."""
    directory = dense(rows)
    read = spark.read.parquet(str(directory / "train"), str(directory / "test"))
    array = F.array(*dense_names()).alias("array")
    both = read.select(array).select("array", array_to_vector(F.col("array").cast("array<double>")).alias("features"))
    cached = both.repartition(4).cache()
    cached.count()
    return cached


def by_scikit(table: DataFrame, column: str) -> DataFrame:
    """Probabilities alone, as a vector: ``LogisticRegression.predict_proba`` over a column of vectors or of arrays."""
    model = LogisticRegression()
    model.classes_, model.coef_, model.intercept_ = np.array([0, 1]), dense_truth()[None], np.zeros(1)

    @F.pandas_udf("array<double>")  # type: ignore[call-overload]
    def probabilities(rows: pd.Series) -> pd.Series:
        return pd.Series(list(model.predict_proba(np.stack(rows.to_numpy()))))

    of_vectors = isinstance(table.schema[column].dataType, VectorUDT)
    values = vector_to_array(F.col(column), "float32") if of_vectors else F.col(column)
    return table.withColumn("probability", array_to_vector(probabilities(values)))


def computed(table: DataFrame) -> Sample:
    """Compute every column of every row."""
    return timed(table.write.format("noop").mode("overwrite").save)
