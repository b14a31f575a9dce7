"""Column blocks of a DataFrame, whose rows lie on executors with all of their columns: the steps are those of mode="sync"."""

import numpy as np
import pytest

pytest.importorskip("pyspark")

from pyspark.ml.feature import VectorAssembler
from pyspark.ml.linalg import SparseVector, VectorUDT
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import DoubleType, StringType, StructField, StructType

import spark_ext
from dsgd import DataError
from dsgd.data.column_blocks import column_blocks

N, D = 300, 2000
# Steps of all rows: Spark deals them out in an order of its own.
OPTIONS = {
    "optimizer": "adagrad",
    "maxIter": 8,
    "tol": 0.0,
    "batchSize": N,
    "dtype": "float64",
    "seed": 0,
    "numWorkers": 2,
}
BLOCKS = [{"mode": "columns"}, {"mode": "hybrid", "gridRows": 1, "gridColumns": 2}]


@pytest.fixture(scope="module")
def words(spark):
    """Sparse vectors of many elements, dense ones, numbers and text; labels, weights, offsets, and rows to validate on."""
    rng = np.random.default_rng(0)
    fields = [StructField("sparse", VectorUDT()), StructField("city", StringType())]
    fields += [StructField(name, DoubleType()) for name in ("a", "b", "c", "label", "weight", "offset")]
    rows = []
    for _ in range(N):
        indices = np.sort(rng.choice(D, 12, replace=False))
        numbers, city = rng.normal(size=3), str(rng.choice(["Ulm", "Bonn", "Kiel"]))
        score = numbers.sum() + (indices < 700).sum() - 4.2
        extra = (float(score > 0), rng.uniform(0.5, 2), rng.normal())
        rows.append((SparseVector(D, indices, rng.normal(size=12)), city, *map(float, (*numbers, *extra))))
    frame = spark.createDataFrame(rows, StructType(fields)).repartition(3)
    frame = frame.withColumn("held", F.col("a") > 0.9)
    return VectorAssembler(inputCols=["a", "b", "c"], outputCol="dense").transform(frame).cache()


def compare(words, options, rtol=1e-8, modes=BLOCKS):
    plain = spark_ext.SGDClassifier(**OPTIONS | options).fit(words)
    for mode in modes:
        blocks = spark_ext.SGDClassifier(**OPTIONS | options | mode).fit(words)
        np.testing.assert_allclose(blocks.core.coef, plain.core.coef, rtol=rtol, atol=1e-12)
        np.testing.assert_allclose(blocks.core.intercept, plain.core.intercept, rtol=rtol)
        for name in ("objective", "validation"):
            found, wanted = (m.history_.column(name) for m in (blocks, plain))
            assert found == pytest.approx(wanted)


def test_sparse_vectors(words):
    compare(words, {"featuresCol": "sparse", "weightCol": "weight", "offsetCol": "offset"})


def test_dense_vectors_and_rows_to_validate_on(words):
    options = {"featuresCol": "dense", "validationIndicatorCol": "held", "earlyStopping": True, "batchSize": 250}
    rows = words.where(~F.col("held")).count()
    assert 0 < rows < N
    compare(words, options | {"batchSize": rows}, modes=BLOCKS[:1])


def test_plain_columns_and_vectors_together(words):
    options = {"featuresCol": ["a", "city", "sparse", "b"], "hashBits": 6, "standardization": False}
    compare(words, options, modes=BLOCKS[1:])


def test_fewer_partitions_with_rows_than_ranks(words):
    compare(words.where(F.col("a") > 1.5).coalesce(1), {"featuresCol": "sparse", "batchSize": 100}, modes=BLOCKS[:1])


def test_a_vector_of_another_length_is_named(spark, words):
    longer = spark.createDataFrame(
        [(SparseVector(D + 1, [0], [1.0]), 1.0)], StructType([*words.select("sparse", "label").schema])
    )
    with pytest.raises(
        DataError, match=r"'sparse' has a vector of length 2001 in row \d+ of partition \d of the DataFrame"
    ):
        spark_ext.SGDClassifier(mode="columns", featuresCol="sparse", **OPTIONS).fit(
            words.select("sparse", "label").union(longer)
        )


def test_a_few_rows_tell_where_blocks_are_cut(words):
    """Numbers are read in order, and cost less than values whose weights are looked up: there are twelve of these in a row."""
    estimator = spark_ext.SGDClassifier(mode="columns", featuresCol=["a", "b", "c", "sparse"], **OPTIONS)
    dataset, _, _ = estimator._feed(words, 2)
    values = dataset.values_per_row()["sparse"]
    assert values.shape == (D,)
    assert values.sum() == pytest.approx(12)
    first, second = column_blocks(dataset.spec, 2, {"sparse": values})
    assert [first.load, second.load] == pytest.approx([6.375, 6.375], rel=0.1)
    assert first.spec.columns == ("a", "b", "c", "sparse")
    plain, _, _ = spark_ext.SGDClassifier(featuresCol="sparse", **OPTIONS)._feed(words, 2)
    assert plain.values_per_row() == {}
