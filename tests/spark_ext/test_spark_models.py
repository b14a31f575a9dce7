"""Models: who predicts, Spark ML's twins, thresholds, single vectors, columns' metadata, the table of coefficients."""

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml.classification import LinearSVCModel, LogisticRegression, LogisticRegressionModel
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import array_to_vector, vector_to_array
from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.ml.regression import LinearRegressionModel
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import StructField, StructType

import spark_ext
from dsgd import ConfigError, DataError
from dsgd.data.spec import Categorical, FeatureSpec, Vector
from dsgd.fitted import LinearModel
from dsgd.fitted.coefficients import coefficient_rows
from spark_ext.models.predictions import add_predictions

COLUMNS = ["a", "b", "c"]
CLASSIFIERS = {
    "binary": ([[2.0, -1.0, 0.5]], [0.0, 1.0], "log_loss", "single", LogisticRegressionModel),
    "multinomial": (np.arange(9.0).reshape(3, 3) % 4, [0, 1, 2], "log_loss", "softmax", LogisticRegressionModel),
    "two of softmax": ([[2.0, -1.0, 0.5], [0.0, 1.0, 0.0]], [0, 1], "log_loss", "softmax", LogisticRegressionModel),
    "hinge": ([[2.0, -1.0, 0.5]], [0.0, 1.0], "squared_hinge", "single", LinearSVCModel),
}
OUTPUTS = ("rawPrediction", "probability", "prediction")


def linear(coef, classes=None, loss="squared_error", outputs="single", **spec):
    coef = np.array(coef, np.float32)
    spec = FeatureSpec(vectors=(Vector("features", coef.shape[1]),), **spec)
    intercept = np.linspace(0.1, 0.3, len(coef), dtype=np.float32)
    return LinearModel(coef, intercept, None if classes is None else np.array(classes), spec, loss, outputs=outputs)


def classifier(name):
    coef, classes, loss, outputs, _ = CLASSIFIERS[name]
    return spark_ext.SGDClassificationModel(linear(coef, classes, loss, outputs))


@pytest.fixture(scope="module")
def rows(spark):
    X = np.random.default_rng(0).normal(size=(60, 3))
    frame = spark.createDataFrame(pd.DataFrame(X, columns=COLUMNS).assign(id=range(60))).coalesce(1)
    return VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(frame).cache()


def python_plan(frame):
    """Whether any Python runs when a DataFrame is computed."""
    return "Python" in frame._jdf.queryExecution().executedPlan().toString()


def collected(frame):
    """The columns that models add, as arrays."""
    found = frame.toPandas()
    return {name: np.array(found[name].tolist()) for name in OUTPUTS if name in found}


def by_python(model, rows):
    outputs = {f"{name}Col": name for name in OUTPUTS[-1 if model.core.classes is None else 0 :]}
    return add_predictions(model.core, rows, "features", None, outputs, model.decision())


@pytest.mark.parametrize(
    ("name", "threshold"),
    [
        ("binary", None),
        ("binary", 0.7),
        ("multinomial", None),
        ("multinomial", 0.7),
        ("two of softmax", 0.7),
        ("hinge", 0.7),
    ],
)
def test_native_twin_and_python_predict_the_same(rows, name, threshold):
    model, kind = classifier(name), CLASSIFIERS[name][-1]
    if threshold is not None and model.numClasses == 2:
        model.setThreshold(threshold)
    elif threshold is not None:
        model.setThresholds([0.1, 0.2, 0.9])
    native = model.toSparkML()
    assert isinstance(native, kind)
    assert model.explainTransform(rows).startswith("native")
    transformed, python = model.transform(rows), by_python(model, rows)
    assert not python_plan(transformed)
    assert python_plan(python)
    expected = collected(native.transform(rows))
    for frame in (transformed, python):
        found = collected(frame)
        assert list(found) == list(expected)
        for column, values in expected.items():
            np.testing.assert_allclose(found[column], values, atol=2e-6)
    assert [f.metadata for f in transformed.schema.fields] == [f.metadata for f in native.transform(rows).schema.fields]
    assert [f.metadata for f in python.schema.fields] == [f.metadata for f in transformed.schema.fields]
    assert [f.dataType for f in python.schema.fields] == [f.dataType for f in transformed.schema.fields]


@pytest.mark.parametrize("loss", ["squared_error", "huber", "epsilon_insensitive", "quantile"])
def test_a_regression_has_a_twin(rows, loss):
    model = spark_ext.SGDRegressionModel(linear([[1.0, 2.0, 3.0]], loss=loss)).setPredictionCol("guess")
    native = model.toSparkML()
    assert isinstance(native, LinearRegressionModel)
    assert native.getPredictionCol() == "guess"
    found, expected = (m.transform(rows).select("guess").toPandas()["guess"] for m in (model, native))
    np.testing.assert_allclose(found, expected, atol=1e-6)
    python = add_predictions(model.core, rows, "features", None, {"predictionCol": "guess"})
    np.testing.assert_allclose(python.toPandas()["guess"], expected, atol=2e-6)


def test_a_twin_keeps_the_parameters_and_is_saved(rows, tmp_path):
    model = classifier("binary").setThresholds([0.2, 0.8]).setProbabilityCol("p").setRawPredictionCol("")
    native = model._set(regParam=0.5, labelCol="y").toSparkML()
    assert (native.getRegParam(), native.getLabelCol(), native.getProbabilityCol()) == (0.5, "y", "p")
    assert native.getThreshold() == pytest.approx(model.getThreshold())
    native.save(str(tmp_path / "native"))
    loaded = LogisticRegressionModel.load(str(tmp_path / "native"))
    assert model.transform(rows).columns == loaded.transform(rows).columns == [*rows.columns, "p", "prediction"]
    assert loaded.predict(Vectors.dense(1, 2, 3)) == model.predict(Vectors.dense(1, 2, 3))


def test_what_has_no_twin_says_why(spark):
    def why(model):
        with pytest.raises(ConfigError) as error:
            model.toSparkML()
        return str(error.value)

    coef, make = [[2.0, -1.0, 0.5]], spark_ext.SGDClassificationModel
    assert "such as 'no'" in why(make(linear(coef, ["no", "yes"], "log_loss")))
    assert "such as 1" in why(make(linear(coef, [1, 2], "log_loss")))
    assert "such as False" in why(make(linear(coef, [False, True], "log_loss")))
    assert "modified_huber" in why(make(linear(coef, [0, 1], "modified_huber")))
    assert "one classifier a class" in why(make(linear(coef * 3, [0, 1, 2], "hinge", "ovr")))
    assert "'poisson'" in why(spark_ext.SGDRegressionModel(linear(coef, loss="poisson")))
    assert "offsetCol='o'" in why(spark_ext.SGDRegressionModel(linear(coef)).setOffsetCol("o"))
    assert "missing='mean'" in why(spark_ext.SGDRegressionModel(linear(coef, missing="mean", means=(0.0,) * 3)))
    text = FeatureSpec(("a",), (Categorical("city", values=("Ulm",)),))
    core = LinearModel(np.ones((1, 3)), np.zeros(1), None, text, "squared_error")
    assert "['a', 'city']" in why(spark_ext.SGDRegressionModel(core))


@pytest.mark.parametrize(
    ("classes", "loss", "outputs"),
    [(["no", "yes"], "log_loss", "single"), ([False, True], "modified_huber", "single"), ([1, 2, 4], "hinge", "ovr")],
)
def test_python_predicts_labels_as_they_were(rows, classes, loss, outputs):
    coef = [[2.0, -1.0, 0.5]] if outputs == "single" else np.eye(3)
    model = spark_ext.SGDClassificationModel(linear(coef, classes, loss, outputs))
    assert model.explainTransform(rows).startswith("python: Spark ML")
    predicted = model.transform(rows)
    X = np.array([row.features.toArray() for row in rows.collect()])
    assert [row.prediction for row in predicted.collect()] == model.core.predict(X).tolist()
    assert predicted.schema["prediction"].metadata == {}
    assert ("probability" in predicted.columns) == (loss != "hinge")
    if loss != "hinge":
        np.testing.assert_allclose(collected(predicted)["probability"], model.core.predict_proba(X), atol=1e-6)


def test_other_forms_of_features_go_by_python(rows):
    model = classifier("binary")
    array = rows.withColumn("features", vector_to_array("features", "float32"))
    assert "not vector" in model.explainTransform(array)
    found, expected = collected(model.transform(array)), collected(model.transform(rows))
    np.testing.assert_allclose(found["probability"], expected["probability"], atol=1e-6)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (Vectors.dense(1.0, 2.0), "size 2; 3 was expected"),
        (Vectors.sparse(4, [0], [1.0]), "size 4; 3 was expected"),
        (Vectors.dense(1.0, float("nan"), 2.0), "NaN"),
        (Vectors.dense(1.0, float("inf"), 2.0), "infinity|inf"),
        (None, "every row needs"),
    ],
)
def test_rows_that_cannot_be_predicted_end_the_query(spark, value, message):
    one = spark.createDataFrame([(value,)], StructType([StructField("features", VectorUDT())]))
    model = classifier("binary")
    for predicted in (model.transform(one), by_python(model, one)):
        with pytest.raises(Exception, match=message):  # whose class depends on the version of Spark
            predicted.select("prediction").collect()


def test_a_vector_of_another_size_is_refused_when_metadata_tells(rows):
    narrow = VectorAssembler(inputCols=["a", "b"], outputCol="features").transform(rows.drop("features"))
    with pytest.raises(DataError, match="size 2 by its metadata, and the model was fitted on 3"):
        classifier("binary").transform(narrow)
    with pytest.raises(DataError, match="no column 'features'"):
        classifier("binary").transform(rows.drop("features"))


def test_thresholds_mean_what_they_mean_in_spark_ml(rows):
    """Against a model that Spark ML has trained, at every setting that both take."""
    labelled = rows.withColumn("label", (F.col("a") > 0).cast("double") + (F.col("b") > 0).cast("double"))
    reference = LogisticRegression(regParam=0.1).fit(labelled)
    coef, intercept = reference.coefficientMatrix.toArray(), reference.interceptVector.toArray()
    spec = FeatureSpec(vectors=(Vector("features", 3),))
    core = LinearModel(coef, intercept, np.arange(3.0), spec, "log_loss", outputs="softmax")
    ours = spark_ext.SGDClassificationModel(core)
    probabilities = np.array([row.probability.toArray() for row in reference.transform(rows).collect()])
    for thresholds in ([0.2, 0.5, 0.3], [0.0, 0.5, 0.5], [1.0, 1.0, 1.0]):
        expected = reference.setThresholds(thresholds).transform(rows).toPandas()["prediction"]
        ours.setThresholds(thresholds)
        scores = np.log(probabilities)
        np.testing.assert_array_equal(ours.decision().positions(scores, probabilities), expected)


def test_thresholds_that_do_not_suit_are_refused(rows):
    for name, settings, message in (
        ("multinomial", {"thresholds": [0.5, 0.5]}, "2 numbers, and the model has 3 classes"),
        ("multinomial", {"threshold": 0.4}, "threshold is for two classes"),
        ("hinge", {"thresholds": [0.5, 0.5]}, "loss='squared_hinge' has none"),
        ("binary", {"threshold": 1.5}, "between 0 and 1"),
        ("binary", {"threshold": 0.2, "thresholds": [0.5, 0.5]}, "say different things"),
    ):
        with pytest.raises(ConfigError, match=message):
            classifier(name)._set(**settings).transform(rows)
    assert classifier("hinge").getThreshold() == 0.0
    model = classifier("hinge").setThreshold(-1.5)
    assert (
        collected(model.transform(rows))["prediction"].mean()
        > collected(classifier("hinge").transform(rows))["prediction"].mean()
    )


@pytest.mark.parametrize("name", CLASSIFIERS)
def test_single_vectors(spark, name):
    model = classifier(name)
    native = model.toSparkML()
    for vector in (Vectors.dense(1.0, -2.0, 0.5), Vectors.sparse(3, [1], [4.0])):
        assert model.predict(vector) == native.predict(vector)
        np.testing.assert_allclose(model.predictRaw(vector), native.predictRaw(vector), atol=1e-5)
        if hasattr(native, "predictProbability"):
            np.testing.assert_allclose(model.predictProbability(vector), native.predictProbability(vector), atol=1e-6)
        else:
            with pytest.raises(ConfigError, match="has no probabilities"):
                model.predictProbability(vector)
    with pytest.raises(DataError, match="has 2 columns and the model was fitted on 3"):
        model.predict(Vectors.dense(1.0, 2.0))


def test_what_is_of_the_fit_cannot_be_set_on_a_model(spark):
    with pytest.raises(ConfigError, match="maxIter says how the model was fitted"):
        classifier("binary").setMaxIter(3)
    assert classifier("hinge").getLoss() == "squared_hinge"


def test_coefficients_by_the_names_of_attributes(rows, tmp_path):
    labelled = rows.withColumn("label", (F.col("a") > 0).cast("double"))
    model = spark_ext.SGDClassifier(maxIter=2, regParam=0.1).fit(labelled)
    model.save(str(tmp_path / "model"))
    for table in (
        model.coefficientTable(),
        spark_ext.SGDClassificationModel.load(str(tmp_path / "model")).coefficientTable(),
    ):
        assert [row.name for row in table] == COLUMNS
        np.testing.assert_allclose([row.coefficient for row in table], model.coefficients)
    unnamed = spark_ext.SGDClassifier(maxIter=2).fit(
        labelled.withColumn("features", array_to_vector(vector_to_array("features")))
    )
    assert [row.name for row in unnamed.coefficientTable()] == ["features_0", "features_1", "features_2"]


def test_a_table_of_categories():
    spec = FeatureSpec(("age",), (Categorical("city", values=("Ulm",)), Categorical("job", bits=2)))
    coef = np.array([[1.0, 2.0, 3.0, 0.0, 0.0, 4.0, 0.0], [0.0] * 7])
    core = LinearModel(coef, np.zeros(2), np.array(["no", "yes"]), spec, "log_loss", outputs="softmax")
    table = coefficient_rows(core)
    assert [tuple(row) for row in table if row.label == "no"] == [
        ("age", None, "no", 0, 1.0),
        ("city", "Ulm", "no", 1, 2.0),
        ("city", None, "no", 2, 3.0),
        ("job", None, "no", 5, 4.0),
    ]
    assert len(pd.DataFrame(table)) == 8


def test_files_are_predicted_by_python_too(spark, tmp_path):
    """A scan of Parquet hands columns on, not rows, and Spark goes another way then."""
    rows = [(float(i % 5), "ab"[i % 2], float(i % 3 > 0)) for i in range(40)]
    spark.createDataFrame(rows, "x double, c string, label double").write.parquet(str(tmp_path / "rows"))
    frame = spark.read.parquet(str(tmp_path / "rows"))
    model = spark_ext.SGDClassifier(featuresCol=["x", "c"], numWorkers=1, maxIter=1).fit(frame)
    found = model.transform(frame).select("probability", "rawPrediction", "prediction").collect()
    assert len(found) == 40
    assert {row.prediction for row in found} <= {0.0, 1.0}
