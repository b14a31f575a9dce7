"""Summaries: the metrics of Spark ML's own on the same predictions, computed when they are asked for."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml.feature import VectorAssembler
from sklearn.metrics import r2_score

import dsgd
import spark_ext
from dsgd import ConfigError, DataError
from spark_ext.models.summary import NoSummaryError

OVERALL = ("accuracy", "weightedTruePositiveRate", "weightedFalsePositiveRate", "weightedRecall", "weightedPrecision")
BY_LABEL = ("truePositiveRateByLabel", "falsePositiveRateByLabel", "precisionByLabel", "recallByLabel", "labels")
CURVES = ("roc", "pr", "fMeasureByThreshold", "precisionByThreshold", "recallByThreshold")
COLUMNS = ("labelCol", "predictionCol", "weightCol")
ERRORS = ("explainedVariance", "meanAbsoluteError", "meanSquaredError", "rootMeanSquaredError", "r2", "r2adj")
COUNTS = ("numInstances", "degreesOfFreedom", "devianceResiduals")


@pytest.fixture(scope="module")
def rows(spark):
    """Two and three classes, text, a number and weights, in one partition."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 2))
    frame = pd.DataFrame(X, columns=["a", "b"])
    frame["label"] = (X @ [2.0, -1.0] + rng.logistic(size=200) > 0).astype(float)
    frame["three"] = frame["label"] + (X[:, 1] > 0.5)
    frame["text"] = frame["label"].map({0.0: "no", 1.0: "yes"})
    frame["y"] = X @ [1.0, 3.0] + rng.normal(size=200)
    frame["w"] = rng.uniform(0.5, 2, 200)
    return (
        VectorAssembler(inputCols=["a", "b"], outputCol="features")
        .transform(spark.createDataFrame(frame))
        .coalesce(1)
        .cache()
    )


@pytest.fixture(scope="module")
def model(rows):
    return spark_ext.SGDClassifier(weightCol="w", regParam=0.01).fit(rows)


def same(ours, theirs, names):
    for name in names:
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-9, err_msg=name)


def test_metrics_of_two_classes_are_those_of_spark_ml(rows, model):
    ours, theirs = model.summary, model.toSparkML().evaluate(rows)
    same(ours, theirs, [*OVERALL, *BY_LABEL, "areaUnderROC"])
    np.testing.assert_allclose(ours.fMeasureByLabel(2.0), theirs.fMeasureByLabel(2.0))
    assert ours.weightedFMeasure() == pytest.approx(theirs.weightedFMeasure())
    for name in (*COLUMNS, "scoreCol"):
        assert getattr(ours, name) == getattr(theirs, name)
    for name in CURVES:
        found, expected = getattr(ours, name), getattr(theirs, name)
        assert found.columns == expected.columns
        np.testing.assert_allclose(np.array(found.collect()), np.array(expected.collect()), rtol=1e-9, err_msg=name)


def test_metrics_of_three_classes_are_those_of_spark_ml(rows):
    model = spark_ext.SGDClassifier(labelCol="three", maxIter=3).fit(rows)
    same(model.evaluate(rows), model.toSparkML().evaluate(rows), [*OVERALL, *BY_LABEL])
    assert not hasattr(model.summary, "areaUnderROC")


def test_metrics_of_text_are_those_of_its_positions(rows, model):
    core = dataclasses.replace(model.core, classes=np.array(["no", "yes"]))
    found = spark_ext.SGDClassificationModel(core)._set(labelCol="text", weightCol="w", predictionCol="").evaluate(rows)
    assert found.labels == ["no", "yes"]
    same(found, model.summary, OVERALL)
    assert found.areaUnderROC == pytest.approx(model.summary.areaUnderROC, abs=1e-4)


def test_errors_of_a_regression_are_those_of_spark_ml(rows):
    model = spark_ext.SGDRegressor(labelCol="y").fit(rows)
    ours, theirs = model.summary, model.toSparkML().evaluate(rows)
    same(ours, theirs, [*ERRORS, *COUNTS])
    np.testing.assert_allclose(np.array(ours.residuals.collect()), np.array(theirs.residuals.collect()), atol=1e-9)
    weighted = model._set(weightCol="w").evaluate(rows)
    same(weighted, model.toSparkML().evaluate(rows), [*ERRORS[:4], *COUNTS])
    table = weighted.predictions.toPandas()
    assert weighted.r2 == pytest.approx(r2_score(table["y"], table["prediction"], sample_weight=table["w"]))
    through = spark_ext.SGDRegressor(labelCol="y", fitIntercept=False).fit(rows)
    same(through.summary, through.toSparkML().evaluate(rows), ["r2", "r2adj", "degreesOfFreedom"])


def test_a_summary_runs_no_job_before_a_metric_is_read(spark, rows, model):
    tracker = spark.sparkContext.statusTracker()
    spark.sparkContext.setJobGroup("summary", "a test")
    try:
        found = model.evaluate(rows)
        assert found.labelCol == "label"
        assert "prediction" in found.predictions.columns
        assert len(model.summary.objectiveHistory) == model.summary.totalIterations == len(model.history_)
        assert not tracker.getJobIdsForGroup("summary")
        found.accuracy  # noqa: B018
        jobs = len(tracker.getJobIdsForGroup("summary"))
        assert jobs > 0
        found.weightedPrecision  # noqa: B018
        assert len(tracker.getJobIdsForGroup("summary")) == jobs
    finally:
        spark.sparkContext.setLocalProperty("spark.jobGroup.id", None)


def test_an_evaluation_is_a_mapping_of_dsgds_metrics(rows, model):
    found = model.evaluate(rows)
    table = rows.toPandas()
    X = np.array([vector.toArray() for vector in table["features"]])
    expected = model.core.evaluate(X, table["label"].to_numpy(), table["w"].to_numpy())
    assert dict(found) == pytest.approx(expected, rel=1e-5)
    assert found["accuracy"] == pytest.approx(found.accuracy)


def test_who_has_a_summary(rows, model, tmp_path):
    assert model.hasSummary
    assert model.copy({model.predictionCol: "guess"}).hasSummary
    model.save(str(tmp_path / "model"))
    loaded = spark_ext.SGDClassificationModel.load(str(tmp_path / "model"))
    assert not loaded.hasSummary
    with pytest.raises(RuntimeError, match="No training summary available for this SGDClassificationModel"):
        loaded.summary  # noqa: B018


def test_a_fit_of_files_has_a_summary_of_its_epochs(rows, tmp_path):
    rows.select("a", "b", "label").toPandas().to_parquet(tmp_path / "rows.parquet")
    dataset = dsgd.read_parquet(tmp_path / "rows.parquet", label="label")
    model = spark_ext.SGDClassifier(maxIter=2, numWorkers=1).fitParquet(dataset)
    assert len(model.summary.objectiveHistory) == model.summary.totalIterations
    with pytest.raises(NoSummaryError, match=r"evaluate\(spark.read.parquet"):
        model.summary.accuracy  # noqa: B018
    assert model.evaluate(dataset)["accuracy"] == pytest.approx(model.evaluate(rows).accuracy)


def test_rows_that_cannot_be_evaluated(rows, model):
    with pytest.raises(DataError, match="no column 'label'"):
        model.evaluate(rows.drop("label"))
    with pytest.raises(DataError, match="rows without a label"):
        model.evaluate(rows.selectExpr("features", "w", "if(a > 0, label, null) AS label")).accuracy  # noqa: B018
    with pytest.raises(ConfigError):
        spark_ext.SGDClassificationModel(model.core).summary  # noqa: B018
