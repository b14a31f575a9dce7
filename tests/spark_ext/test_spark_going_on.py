"""``initialModel``, by which a stream's micro-batches train one model on, and sources of rows that are not Parquet."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml.feature import VectorAssembler

import spark_ext
from dsgd import ConfigError, DataError, SGDClassifier

COLUMNS = ["a", "b"]


@pytest.fixture(scope="module")
def table():
    rng = np.random.default_rng(0)
    table = pd.DataFrame(rng.normal(size=(400, 2)), columns=COLUMNS)
    return table.assign(label=(2 * table["a"] - table["b"] + rng.logistic(size=400) > 0).astype(float))


@pytest.fixture(scope="module")
def halves(spark, table):
    """Frames of one partition each, so that rows keep their order."""
    return [spark.createDataFrame(part).coalesce(1).cache() for part in (table[:200], table[200:])]


@pytest.fixture(scope="module")
def first(halves):
    return spark_ext.SGDClassifier(featuresCol=COLUMNS, numWorkers=1, optimizer="adagrad", maxIter=3).fit(halves[0])


def going_on(model, **params):
    return spark_ext.SGDClassifier(featuresCol=COLUMNS, numWorkers=1, initialModel=model, **params)


def test_a_batch_is_an_epoch_as_partial_fit_is_in_dsgd(halves, table):
    """The same weights: start, optimiser's state, and the weight of the rows before, in which regParam='auto' counts."""
    model = spark_ext.SGDClassifier(
        featuresCol=COLUMNS,
        numWorkers=1,
        optimizer="adagrad",
        maxIter=1,
        tol=0.0,
        standardization=False,
        regParam="auto",
    ).fit(halves[0])
    later = going_on(model, optimizer="adagrad", standardization=False, regParam="auto").fit(halves[1])
    reference = SGDClassifier(optimizer="adagrad", dtype="float32", l1_ratio=0.0, random_state=0)
    for part in (table[:200], table[200:]):
        reference.partial_fit(part[[*COLUMNS, "label"]], "label", classes=[0.0, 1.0])
    assert len(later.history_) == 1
    np.testing.assert_allclose(later.coefficients, reference.coef_[0], rtol=1e-4)
    assert later._state["weight"] == 400


def test_more_epochs_may_be_asked_for(halves, first):
    assert len(going_on(first, maxIter=3, tol=0.0).fit(halves[1]).history_) == 3


def test_a_model_that_was_saved_is_gone_on_from(halves, first, tmp_path):
    first.save(str(tmp_path / "model"))
    later = going_on(spark_ext.SGDClassificationModel.load(str(tmp_path / "model"))).fit(halves[1])
    assert later.evaluate(halves[0])["auc"] > 0.8
    assert later.classes.tolist() == [0.0, 1.0]


def test_a_batch_need_not_hold_every_class(halves, first):
    later = going_on(first).fit(halves[1].where("label = 1"))
    assert later.classes.tolist() == [0.0, 1.0]


def test_what_does_not_go_on_is_refused(halves, first, tmp_path):
    frame = halves[1]
    with pytest.raises(ConfigError, match="model of classification, and SGDRegressor is for regression"):
        spark_ext.SGDRegressor(featuresCol=COLUMNS, initialModel=first).fit(frame)
    with pytest.raises(ConfigError, match="fitted with loss='log_loss', and this fit has loss='hinge'"):
        going_on(first, loss="hinge").fit(frame)
    with pytest.raises(ConfigError, match="learningRate='cosine' falls to zero"):
        going_on(first, learningRate="cosine", optimizer="sgd").fit(frame)
    with pytest.raises(ConfigError, match="earlyStopping compares epochs"):
        going_on(first, earlyStopping=True).fit(frame)
    with pytest.raises(DataError, match="'b'"):
        going_on(first).setFeaturesCol(["a"]).fit(frame)
    with pytest.raises(ConfigError, match="initialModel is a fitted model, which is not saved"):
        going_on(first).save(str(tmp_path / "estimator"))


@pytest.mark.timeout(300)
def test_a_streams_micro_batches_train_one_model(spark, halves, tmp_path):
    source = tmp_path / "source"
    for part in halves:
        part.write.mode("append").parquet(str(source))
    models = []

    def train(batch, number):
        estimator = spark_ext.SGDClassifier(featuresCol=COLUMNS, numWorkers=1, optimizer="adagrad", maxIter=1)
        models.append((estimator.setInitialModel(models[-1]) if models else estimator).fit(batch))

    stream = spark.readStream.schema(halves[0].schema).option("maxFilesPerTrigger", 1).parquet(str(source))
    query = stream.writeStream.foreachBatch(train).trigger(availableNow=True)
    query = query.option("checkpointLocation", str(tmp_path / "checkpoint")).start()
    try:
        assert query.awaitTermination(240)
    finally:
        query.stop()
    assert [model._state["weight"] for model in models] == [200, 400]
    assert models[-1].evaluate(halves[0])["auc"] > 0.8


def test_rows_of_the_jvm_are_as_good_as_parquet(spark, halves, first, tmp_path):
    """A table of CSV text, a query of it, and an RDD: none of them can be read again by the ranks."""
    halves[0].write.csv(str(tmp_path / "table"), header=True)
    read = spark.read.csv(str(tmp_path / "table"), header=True, schema="a double, b double, label double")
    read.createOrReplaceTempView("told")
    same = first.extractParamMap()
    again = spark_ext.SGDClassifier(featuresCol=COLUMNS, numWorkers=1, optimizer="adagrad", maxIter=3)
    for frame in (read, spark.sql("select label, b, a from told"), read.rdd.toDF(read.schema)):
        found = again.fit(frame.coalesce(1))
        np.testing.assert_allclose(found.coefficients, first.coefficients, rtol=1e-5)
    assert same[first.featuresCol] == COLUMNS


@pytest.mark.parametrize("estimator", [spark_ext.SGDClassifier, spark_ext.SGDRegressor])
def test_offsets_and_weights_of_a_data_frame(spark, halves, estimator):
    """An offset moves the intercept by as much; a weight of 2 is a row twice, in vectors of either kind."""
    frame = VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(halves[0])
    frame = frame.selectExpr("features", "label", "2.0 as two", "if(a > 0, 2.0, 1.0) as w")
    stage = estimator(numWorkers=1, regParam=0.01, dtype="float64", tol=1e-9)
    plain, moved = stage.fit(frame), stage.copy({stage.offsetCol: "two"}).fit(frame)
    assert moved.intercept == pytest.approx(plain.intercept - 2, abs=1e-3)
    np.testing.assert_allclose(moved.coefficients, plain.coefficients, rtol=1e-3)
    repeated = stage.fit(frame.union(frame.where("w = 2")))
    weighted = stage.copy({stage.weightCol: "w"}).fit(frame)
    np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, rtol=0.01)
