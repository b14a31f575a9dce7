"""Ours in the place of LogisticRegression and nothing else changed: the same coefficients, AUC and log-loss.

The rows are scikit-learn's breast cancer data, which are installed with it, and adult where it is there.
"""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Pipeline
from pyspark.ml.classification import LinearSVC, LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator, MulticlassClassificationEvaluator
from pyspark.ml.feature import OneHotEncoder, StringIndexer, VectorAssembler
from pyspark.ml.linalg import Vectors
from pyspark.ml.regression import LinearRegression
from sklearn.datasets import load_breast_cancer, load_iris

import spark_ext

from ..reference.datasets import data_file

NUMBERS = ["age", "fnlwgt", "education_num", "capital_gain", "capital_loss", "hours_per_week"]


def as_frame(spark, data, **columns):
    rows = {"features": [Vectors.dense(row) for row in data.data], "label": data.target.astype(float)} | columns
    return spark.createDataFrame(pd.DataFrame(rows)).coalesce(1).cache()


@pytest.fixture(scope="module")
def tumours(spark):
    data = load_breast_cancer()
    twice = np.arange(len(data.target)) % 3 == 0
    return as_frame(spark, data, weight=1.0 + twice)


@pytest.fixture(scope="module")
def flowers(spark):
    return as_frame(spark, load_iris())


def measured(model, rows):
    """AUC and log-loss, by Spark's own evaluators."""
    predicted = model.transform(rows)
    return [
        BinaryClassificationEvaluator().evaluate(predicted),
        MulticlassClassificationEvaluator(metricName="logLoss").evaluate(predicted),
    ]


def agree(ours, theirs, rows, scale=1.0):
    """Within the bounds that users are told: 1% of a coefficient (of what counts beside the largest), 0.1% of a measure."""
    expected = theirs.coefficients.toArray() * scale
    np.testing.assert_allclose(
        ours.coefficients.toArray() * scale, expected, rtol=0.01, atol=1e-3 * np.abs(expected).max()
    )
    assert ours.intercept == pytest.approx(theirs.intercept, rel=0.01, abs=1e-3)
    np.testing.assert_allclose(measured(ours, rows), measured(theirs, rows), rtol=1e-3)


@pytest.mark.parametrize(
    "params",
    [
        {"regParam": 0.01},
        {"regParam": 0.05, "elasticNetParam": 0.5},
        {"regParam": 0.02, "elasticNetParam": 1.0},
        {"regParam": 0.1, "fitIntercept": False},
        {"regParam": 0.1, "weightCol": "weight"},
        {"regParam": 0.1, "threshold": 0.8, "featuresCol": "features", "labelCol": "label", "tol": 1e-8},
    ],
    ids=lambda params: "-".join(params),
)
def test_a_binary_model_is_that_of_logistic_regression(tumours, params):
    scale = load_breast_cancer().data.std(axis=0)
    ours, theirs = (face(**params).fit(tumours) for face in (spark_ext.SGDClassifier, LogisticRegression))
    agree(ours, theirs, tumours, scale)
    found, expected = (model.transform(tumours).select("prediction").collect() for model in (ours, theirs))
    assert np.mean(np.array(found) == np.array(expected)) > 0.995


def test_a_multinomial_model_is_that_of_logistic_regression(flowers):
    params = {"regParam": 0.05, "family": "multinomial"}
    ours, theirs = (face(**params).fit(flowers) for face in (spark_ext.SGDClassifier, LogisticRegression))
    np.testing.assert_allclose(
        ours.coefficientMatrix.toArray(), theirs.coefficientMatrix.toArray(), rtol=0.01, atol=2e-3
    )
    np.testing.assert_allclose(ours.interceptVector, theirs.interceptVector, rtol=0.01, atol=2e-3)
    assert (ours.numClasses, ours.numFeatures) == (theirs.numClasses, theirs.numFeatures) == (3, 4)


def test_two_classes_by_either_family(tumours):
    """A multinomial model of two classes has half the coefficients, of either sign; half the penalty makes it the same."""
    frame = tumours.select("features", "label")
    one = spark_ext.SGDClassifier(family="binomial", regParam=0.05).fit(frame)
    two = spark_ext.SGDClassifier(family="multinomial", regParam=0.1).fit(frame)
    reference = LogisticRegression(family="multinomial", regParam=0.1).fit(frame)
    scale = load_breast_cancer().data.std(axis=0)
    matrix = two.coefficientMatrix.toArray() * scale
    np.testing.assert_allclose(matrix, reference.coefficientMatrix.toArray() * scale, rtol=0.01, atol=2e-3)
    np.testing.assert_allclose(matrix[1] - matrix[0], one.coefficients.toArray() * scale, rtol=0.02, atol=5e-3)


def test_a_weight_is_as_many_rows(tumours):
    """And its scale does not matter."""
    stage = spark_ext.SGDClassifier(regParam=0.1)
    repeated = stage.fit(tumours.union(tumours.where("weight = 2")))
    for weight in ("weight", "1000 * weight"):
        weighted = stage.copy({stage.weightCol: "w"}).fit(tumours.selectExpr("*", f"{weight} as w"))
        np.testing.assert_allclose(weighted.coefficients, repeated.coefficients, rtol=0.01, atol=1e-4)


@pytest.mark.parametrize(
    "params",
    [
        {"regParam": 0.0},
        {"regParam": 0.1},
        {"regParam": 0.1, "standardization": False},
        {"regParam": 0.1, "elasticNetParam": 1.0},
    ],
    ids=lambda params: "-".join(params),
)
def test_a_regression_is_that_of_spark_ml(spark, params):
    """LinearRegression divides an l2 penalty, and only that, by the standard deviation of the label, as the guide says."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(200, 3)) * [1.0, 5.0, 0.2]
    rows = {"features": [Vectors.dense(row) for row in X], "label": X @ [1.0, 0.5, -3.0] + rng.normal(size=200) + 4}
    frame = spark.createDataFrame(pd.DataFrame(rows)).coalesce(1)
    spread = frame.selectExpr("stddev(label)").first()[0]
    ours = spark_ext.SGDRegressor(
        **params | ({} if params.get("elasticNetParam") else {"regParam": params["regParam"] / spread})
    ).fit(frame)
    theirs = LinearRegression(**params).fit(frame)
    found, expected = (model.transform(frame).toPandas()["prediction"] for model in (ours, theirs))
    assert np.abs(found - expected).max() < 0.01 * spread


def test_a_support_vector_machine_is_that_of_spark_ml(tumours):
    ours = spark_ext.SGDClassifier(loss="hinge", regParam=0.1, tol=1e-8).fit(tumours)
    theirs = LinearSVC(regParam=0.1, tol=1e-8, maxIter=200).fit(tumours)
    areas = [BinaryClassificationEvaluator().evaluate(model.transform(tumours)) for model in (ours, theirs)]
    assert areas[0] == pytest.approx(areas[1], rel=1e-3)


@pytest.mark.timeout(300)
def test_the_usual_pipeline_on_adult(spark):
    """Words indexed and encoded, all in one sparse vector, as Spark ML's users do it; of rows that were not trained on."""
    rows = [spark.read.parquet(str(data_file("adult", f"{part}.parquet"))) for part in ("train", "test")]
    train, test = (part.selectExpr("*", "cast(income = '>50K' as double) as label").drop("income") for part in rows)
    words = [name for name in train.columns if name not in (*NUMBERS, "label")]
    indexed, encoded = [f"{name}_index" for name in words], [f"{name}_vector" for name in words]
    before = Pipeline(
        stages=[
            StringIndexer(inputCols=words, outputCols=indexed, handleInvalid="skip"),
            OneHotEncoder(inputCols=indexed, outputCols=encoded),
            VectorAssembler(inputCols=[*NUMBERS, *encoded], outputCol="features"),
        ]
    ).fit(train)
    train, test = (before.transform(part).select("features", "label").cache() for part in (train, test))
    ours, theirs = (face(regParam=0.01).fit(train) for face in (spark_ext.SGDClassifier, LogisticRegression))
    np.testing.assert_allclose(ours.coefficients, theirs.coefficients, rtol=0.01, atol=1e-3)
    np.testing.assert_allclose(measured(ours, test), measured(theirs, test), rtol=1e-3)
