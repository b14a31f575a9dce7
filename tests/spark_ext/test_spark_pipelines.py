"""Ours where Spark ML's own would stand: in tuning, in OneVsRest, nested in Pipelines, and saved within all of them."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.classification import LogisticRegression, OneVsRest, OneVsRestModel
from pyspark.ml.evaluation import BinaryClassificationEvaluator, RegressionEvaluator
from pyspark.ml.feature import StringIndexer, VectorAssembler
from pyspark.ml.tuning import (
    CrossValidator,
    CrossValidatorModel,
    ParamGridBuilder,
    TrainValidationSplit,
    TrainValidationSplitModel,
)

import spark_ext


@pytest.fixture(scope="module")
def rows(spark):
    """Two numbers, a word, and labels: of two classes, of three, and a number."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(120, 2)), columns=["a", "b"]).assign(city=rng.choice(["Ulm", "Kiel"], 120))
    score = frame["a"] - frame["b"] + (frame["city"] == "Ulm")
    frame = frame.assign(label=(score + rng.logistic(size=120) > 0).astype(float), price=score)
    frame["kind"] = np.digitize(score, [-0.5, 1.0]).astype(float)
    return spark.createDataFrame(frame).coalesce(1).cache()


@pytest.fixture(scope="module")
def vectors(rows):
    return VectorAssembler(inputCols=["a", "b"], outputCol="features").transform(rows).cache()


@pytest.fixture(scope="module")
def classifier():
    return spark_ext.SGDClassifier(numWorkers=1, maxIter=5, regParam=0.01)


def predictions(model, frame):
    return [row.prediction for row in model.transform(frame).select("prediction").collect()]


def test_a_grid_in_cross_validation_finds_what_logistic_regression_finds(vectors):
    """The same code, but for the class; the folds are the same by their seed."""
    measured = {}
    for estimator in (LogisticRegression(), spark_ext.SGDClassifier(numWorkers=1)):
        grid = ParamGridBuilder().addGrid(estimator.regParam, [0.01, 5.0]).build()
        tuning = CrossValidator(
            estimator=estimator,
            estimatorParamMaps=grid,
            evaluator=BinaryClassificationEvaluator(),
            numFolds=2,
            seed=1,
        )
        measured[type(estimator)] = tuning.fit(vectors)
    ours, theirs = measured[spark_ext.SGDClassifier], measured[LogisticRegression]
    np.testing.assert_allclose(ours.avgMetrics, theirs.avgMetrics, rtol=1e-3)
    np.testing.assert_allclose(ours.bestModel.coefficients, theirs.bestModel.coefficients, rtol=0.01)


def test_cross_validation_of_a_pipeline_comes_back(rows, tmp_path):
    """With its grid, its best model and its submodels, whose stages are Spark's and ours."""
    indexer = StringIndexer(inputCol="city", outputCol="place")
    assembler = VectorAssembler(inputCols=["a", "b", "place"], outputCol="features")
    classifier = spark_ext.SGDClassifier(numWorkers=1, maxIter=3)
    tuning = CrossValidator(
        estimator=Pipeline(stages=[indexer, assembler, classifier]),
        estimatorParamMaps=ParamGridBuilder().addGrid(classifier.regParam, [0.01, 0.1]).build(),
        evaluator=BinaryClassificationEvaluator(),
        numFolds=2,
        parallelism=2,
        collectSubModels=True,
    )
    tuning.save(str(tmp_path / "tuning"))
    again = CrossValidator.load(str(tmp_path / "tuning"))
    assert [{p.name: v for p, v in given.items()} for given in again.getEstimatorParamMaps()] == [
        {"regParam": 0.01},
        {"regParam": 0.1},
    ]
    fitted = again.fit(rows)
    fitted.save(str(tmp_path / "fitted"))
    loaded = CrossValidatorModel.load(str(tmp_path / "fitted"))
    assert loaded.avgMetrics == fitted.avgMetrics
    assert predictions(loaded, rows) == predictions(fitted, rows)
    (first, *_), *_ = loaded.subModels
    assert isinstance(first.stages[-1], spark_ext.SGDClassificationModel)
    assert loaded.getEstimator().getStages()[-1].getMaxIter() == 3


def test_a_train_validation_split_comes_back(rows, tmp_path):
    regressor = spark_ext.SGDRegressor(featuresCol=["a", "b", "city"], labelCol="price", hashBits=4, numWorkers=1)
    tuning = TrainValidationSplit(
        estimator=regressor,
        estimatorParamMaps=ParamGridBuilder().addGrid(regressor.regParam, [0.0, 10.0]).build(),
        evaluator=RegressionEvaluator(labelCol="price"),
        seed=2,
    )
    fitted = tuning.fit(rows)
    best, worst = sorted(fitted.validationMetrics)
    assert best == fitted.validationMetrics[0] < worst / 10
    fitted.save(str(tmp_path / "fitted"))
    loaded = TrainValidationSplitModel.load(str(tmp_path / "fitted"))
    assert loaded.validationMetrics == fitted.validationMetrics
    assert predictions(loaded, rows) == predictions(fitted, rows)


def test_one_against_the_rest_is_that_of_logistic_regression(vectors, classifier, tmp_path):
    """It copies columns' names, and the weight's, into a classifier whose kind it looks at."""
    weighted = vectors.selectExpr("features", "kind as label", "1 + abs(a) as w")
    models = {}
    for kind in (LogisticRegression(regParam=0.01), spark_ext.SGDClassifier(regParam=0.01, numWorkers=1)):
        models[type(kind)] = OneVsRest(classifier=kind, weightCol="w", parallelism=2).fit(weighted)
    ours = models[spark_ext.SGDClassifier]
    for found, expected in zip(ours.models, models[LogisticRegression].models, strict=True):
        np.testing.assert_allclose(found.coefficients, expected.coefficients, rtol=0.01, atol=1e-3)
    assert predictions(ours, weighted) == predictions(models[LogisticRegression], weighted)
    ours.save(str(tmp_path / "rest"))
    loaded = OneVsRestModel.load(str(tmp_path / "rest"))
    assert predictions(loaded, weighted) == predictions(ours, weighted)


def test_a_pipeline_within_a_pipeline_comes_back(rows, tmp_path):
    inner = Pipeline(stages=[spark_ext.SGDClassifier(featuresCol=["a", "city"], hashBits=4, numWorkers=1, maxIter=2)])
    after = spark_ext.SGDRegressor(
        featuresCol=["b", "prediction"], labelCol="price", predictionCol="guess", numWorkers=1, maxIter=2
    )
    outer = Pipeline(stages=[inner, after])
    outer.save(str(tmp_path / "outer"))
    fitted = Pipeline.load(str(tmp_path / "outer")).fit(rows)
    fitted.save(str(tmp_path / "fitted"))
    loaded = PipelineModel.load(str(tmp_path / "fitted"))
    assert loaded.transform(rows).select("guess").collect() == fitted.transform(rows).select("guess").collect()
    assert loaded.stages[0].stages[0].uid == inner.getStages()[0].uid


def test_maps_of_parameters_give_a_model_each(vectors, classifier):
    maps = [{classifier.regParam: strength, classifier.predictionCol: f"at{strength}"} for strength in (0.01, 1.0)]
    models = classifier.fit(vectors, maps)
    assert [model.getPredictionCol() for model in models] == ["at0.01", "at1.0"]
    strong, weak = (np.abs(model.coefficients.toArray()).sum() for model in reversed(models))
    assert strong < weak
    found = dict(classifier.fitMultiple(vectors, maps))
    np.testing.assert_array_equal(found[1].coefficients, models[1].coefficients)
    assert classifier.getRegParam() == 0.01
    assert classifier.getPredictionCol() == "prediction"
    assert {model.uid for model in models} == {classifier.uid}
