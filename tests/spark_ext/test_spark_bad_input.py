"""What cannot be fitted is refused in Python's words, with the column and a value: never with a Java stack."""

import re

import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml.linalg import Vectors, VectorUDT
from pyspark.sql import functions as F  # noqa: N812
from pyspark.sql.types import DoubleType, StructType

import spark_ext
from dsgd import ConfigError, DataError
from dsgd.errors import DSGDError

NAN, INF = float("nan"), float("inf")
VECTORS = StructType().add("features", VectorUDT()).add("label", DoubleType())
ARRAYS = "features array<double>, label double"
PLAIN = "a double, label double, w double"
GOOD = {
    "vectors": [(Vectors.dense(i % 5, i % 3), i % 2 + 0.0) for i in range(12)],
    "arrays": [([i % 5 + 0.0, i % 3 + 0.0], i % 2 + 0.0) for i in range(12)],
    "plain": [(i % 5 + 0.0, i % 2 + 0.0, 1.0) for i in range(12)],
}
SCHEMAS = {"vectors": VECTORS, "arrays": ARRAYS, "plain": PLAIN}


def fit(frame, estimator=spark_ext.SGDClassifier, **params):
    return estimator(numWorkers=1, maxIter=1, **params).fit(frame)


def refused(frame, told, error=DataError, **more):
    with pytest.raises(error, match=told) as found:
        fit(frame, **more)
    assert isinstance(found.value, DSGDError)
    assert not re.search(r"\bat (org|java|scala)\.|Py4J|Traceback", str(found.value))


@pytest.mark.parametrize(
    ("kind", "row", "told"),
    [
        ("vectors", (Vectors.dense(1, 2), None), r"column 'label' is null in row \d+ of partition 0"),
        ("vectors", (Vectors.dense(1, 2), NAN), "column 'label' is nan in row"),
        ("vectors", (None, 1.0), "column 'features' is null in row .* needs a vector"),
        ("vectors", (Vectors.dense(1, INF), 1.0), r"column 'features\[1\]' is inf in row"),
        ("vectors", (Vectors.sparse(3, {0: 1.0}), 1.0), "column 'features' has a vector of length 3 in row .* 2 was"),
        ("arrays", ([1.0, None], 1.0), r"column 'features\[1\]' is NaN in row"),
        ("arrays", ([1.0], 1.0), "column 'features' has a vector of length 1 in row .* 2 was"),
        ("plain", (None, 1.0, 1.0), "column 'a' is null in row .*missing='mean'"),
        ("plain", (1.0, 1.0, -1.5), "column 'w' is -1.5 in row .*not negative"),
        ("plain", (1.0, 1.0, None), "column 'w' is null in row"),
    ],
)
def test_a_value_is_told_with_its_column_and_row(spark, kind, row, told):
    frame = spark.createDataFrame([*GOOD[kind], row], SCHEMAS[kind])
    refused(frame, told, **({"featuresCol": ["a"], "weightCol": "w"} if kind == "plain" else {}))


def test_vectors_that_differ_between_partitions(spark):
    """Each partition alone would pass; the first rows, by which the length is told, are of one of them."""
    longer = spark.createDataFrame([(Vectors.dense(1, 2, 3), 1.0), (Vectors.dense(1, 2, 4), 0.0)], VECTORS)
    frame = spark.createDataFrame(GOOD["vectors"] * 8, VECTORS).coalesce(1).union(longer.coalesce(1))
    with pytest.raises(DataError, match="column 'features' has a vector of length 3 in row"):
        spark_ext.SGDClassifier(numWorkers=2, maxIter=1).fit(frame)


def test_rows_that_teach_nothing(spark):
    one = [(vector, 1.0) for vector, _ in GOOD["vectors"]]
    refused(spark.createDataFrame(one, VECTORS), r"at least two classes.*every label in column 'label' is 1\.0")
    refused(spark.createDataFrame([], VECTORS), "the DataFrame has no rows")
    refused(spark.createDataFrame([], PLAIN), "no rows", featuresCol=["a"])
    refused(spark.createDataFrame([(None, 1.0)], VECTORS), "column 'features' has no value")


@pytest.mark.parametrize(
    ("schema", "params", "told"),
    [
        (
            "a string, label double",
            {"featuresCol": "a"},
            r"featuresCol='a' is a column of string; .*featuresCol=\['a'\]",
        ),
        ("a double, label double", {"featuresCol": "a"}, "featuresCol='a' is a column of double; a column of vectors"),
        (
            "a map<string,double>, label double",
            {"featuresCol": ["a"]},
            "'a' of featuresCol is of type map<string,double>",
        ),
        ("a array<string>, label double", {"featuresCol": "a"}, "'a' of featuresCol is of type array<string>"),
        ("a date, label double", {"featuresCol": ["a"]}, "'a' of featuresCol is of type date.*categoricalCols"),
        ("a double, label map<string,int>", {"featuresCol": ["a"]}, "labelCol='label' is a column of map<string,int>"),
        (
            "a double, label int, w string",
            {"featuresCol": ["a"], "weightCol": "w"},
            "weightCol='w' is a column of string",
        ),
        (
            "a double, label int, w string",
            {"featuresCol": ["a"], "offsetCol": "w"},
            "offsetCol='w' is a column of string",
        ),
        (
            "a double, label int, v int",
            {"featuresCol": ["a"], "validationIndicatorCol": "v"},
            "validationIndicatorCol='v' is a column of int; booleans",
        ),
        (
            "a double, label int",
            {"featuresCol": ["a"], "weightCol": "v"},
            "no column 'v', which weightCol names; .*'label'",
        ),
        ("a double", {"featuresCol": ["a"]}, "no column 'label', which labelCol names"),
    ],
)
def test_a_column_of_another_type_is_refused_before_any_job(spark, schema, params, told):
    refused(unreadable(spark, schema), told, **params)


@pytest.mark.parametrize(
    ("schema", "params", "told"),
    [
        ("a double, label int, prediction int", {}, "column 'prediction', which predictionCol names, is there already"),
        ("a double, label int", {"probabilityCol": "p", "rawPredictionCol": "p"}, "both name the column 'p'"),
        ("a double, label int", {"weightCol": "a"}, "column 'a' is named by both featuresCol and weightCol"),
        ("a double, label int", {"labelCol": "a"}, "column 'a' is named by both featuresCol and labelCol"),
        ("a double, label int", {"featuresCol": []}, "featuresCol names no column"),
    ],
)
def test_columns_that_get_in_each_others_way(spark, schema, params, told):
    refused(unreadable(spark, schema), told, error=ConfigError, **{"featuresCol": ["a"]} | params)


def unreadable(spark, schema):
    """A frame whose rows cannot be had, so that a check that reads them fails otherwise."""
    return spark.createDataFrame([], schema).where(F.expr("raise_error('a job was started') is null"))


def test_a_regression_needs_numbers(spark):
    frame = unreadable(spark, "a double, label string")
    refused(
        frame, "labelCol='label' is a column of string; numbers", estimator=spark_ext.SGDRegressor, featuresCol=["a"]
    )


def test_what_fails_on_the_way_to_the_rows_is_told_without_a_stack(spark):
    failing = spark.createDataFrame(GOOD["arrays"], ARRAYS).withColumn(
        "features", F.expr("if(label > 0, features, cast(raise_error('no such sensor') as array<double>))")
    )
    refused(failing, "no such sensor", error=DSGDError)
    refused(failing.selectExpr("features[0] as a", "label"), "no such sensor", error=DSGDError, featuresCol=["a"])


def test_what_is_no_data_frame_of_rows_is_refused(spark):
    refused(pd.DataFrame({"a": [1.0], "label": [1.0]}), "fit takes a Spark DataFrame, not DataFrame", featuresCol=["a"])
    stream = spark.readStream.format("rate").load().selectExpr("cast(value as double) as a", "value % 2 as label")
    refused(stream, "foreachBatch.*initialModel=model", error=ConfigError, featuresCol=["a"])


@pytest.fixture(scope="module")
def people(spark):
    return spark.createDataFrame(GOOD["vectors"], SCHEMAS["vectors"])


def test_a_fit_that_goes_on_keeps_its_models_dtype(people):
    first = spark_ext.SGDClassifier(maxIter=1).fit(people)
    with pytest.raises(ConfigError, match="initialModel is of float32"):
        spark_ext.SGDClassifier(dtype="float64", initialModel=first).fit(people)


def test_a_model_does_not_replace_a_column(people):
    model = spark_ext.SGDClassifier(maxIter=1).fit(people)
    with pytest.raises(ConfigError, match="column 'prediction', which predictionCol names, is there already"):
        model.transform(model.transform(people))


def test_rows_that_cannot_be_measured_are_told_in_our_words(people):
    model = spark_ext.SGDClassifier(maxIter=1).fit(people)
    with pytest.raises(DataError, match="2"):
        model.evaluate(people.withColumn("label", F.lit(2.0)))["log_loss"]


def test_an_empty_name_is_no_column(people):
    assert spark_ext.SGDClassifier(maxIter=1, weightCol="", offsetCol="").fit(people).numFeatures


def test_names_of_the_other_packages_are_translated():
    for name, here in {"alpha": "regParam", "max_iter": "maxIter", "random_state": "seed"}.items():
        with pytest.raises(
            ConfigError, match=f"'{name}' is not a parameter of SGDClassifier; its name on Spark is '{here}'"
        ):
            spark_ext.SGDClassifier(**{name: 1})


@pytest.mark.parametrize("given", ["trips.parquet", [1, 2]])
def test_files_are_given_as_a_dataset(spark, given):
    with pytest.raises(ConfigError, match=r"fitParquet takes dsgd.read_parquet\(path, label=...\)"):
        spark_ext.SGDClassifier().fitParquet(given)


def test_a_model_that_is_there_is_replaced_by_sparks_own_call(spark, tmp_path):
    model = fit(spark.createDataFrame(GOOD["plain"], PLAIN), featuresCol=["a"])
    model.save(str(tmp_path / "model"))
    with pytest.raises(ConfigError, match=r"save with write\(\)\.overwrite\(\)"):
        model.save(str(tmp_path / "model"))
