"""What is Spark's own in the estimators: kinds of feature columns, Pipelines, saved parameters, what a DataFrame cannot do."""

import os
import re
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Pipeline
from pyspark.ml.classification import LogisticRegression
from pyspark.ml.evaluation import BinaryClassificationEvaluator
from pyspark.ml.feature import VectorAssembler
from pyspark.ml.functions import vector_to_array
from pyspark.ml.linalg import Vectors
from pyspark.sql import functions as F  # noqa: N812

import dsgd
import spark_ext
from dsgd import CheckpointError, ConfigError, DataError
from dsgd.estimators.parameters import SAME
from spark_ext.cluster.feed import gathered
from spark_ext.params.names import CORE_NAMES

COLUMNS = ["a", "b", "c"]


@pytest.fixture(scope="module")
def people(spark):
    """Doubles of three scales, the same as vectors, as arrays and as sparse vectors, and a label."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3))
    y = (X @ [2.0, -1.0, 0.5] + rng.logistic(size=300) > 0).astype(float)
    frame = pd.DataFrame(X * [1.0, 10.0, 0.1], columns=COLUMNS).assign(label=y, held=np.arange(300) % 4 == 0)
    frame = VectorAssembler(inputCols=COLUMNS, outputCol="features").transform(spark.createDataFrame(frame))
    sparse = F.udf(lambda v: Vectors.sparse(3, range(3), v.toArray()), frame.schema["features"].dataType)
    return frame.withColumn("array", vector_to_array("features")).withColumn("sparse", sparse("features")).cache()


@pytest.fixture(scope="module")
def model(people):
    return spark_ext.SGDClassifier().fit(people)


def test_defaults_are_those_of_spark_ml(people, model):
    reference = LogisticRegression().fit(people)
    np.testing.assert_allclose(model.coefficients, reference.coefficients, rtol=0.01)
    assert model.intercept == pytest.approx(reference.intercept, rel=0.01, abs=0.01)
    assert model.numFeatures == model.coefficientMatrix.numCols == 3
    ours = spark_ext.SGDClassifier()
    for name in ("maxIter", "tol", "regParam", "elasticNetParam", "fitIntercept", "standardization", "predictionCol"):
        assert ours.getOrDefault(name) == LogisticRegression().getOrDefault(name), name


@pytest.mark.parametrize("column", ["features", "sparse"])
def test_a_penalty_means_what_it_means_in_spark_ml(people, column):
    """On the standardised scale, of sparse vectors too."""
    parameters = {"featuresCol": column, "regParam": 0.1, "elasticNetParam": 0.5}
    reference = LogisticRegression(**parameters).fit(people)
    ours = spark_ext.SGDClassifier(**parameters).fit(people)
    np.testing.assert_allclose(ours.coefficients, reference.coefficients, rtol=0.01, atol=1e-4)
    assert ours.intercept == pytest.approx(reference.intercept, rel=0.01, abs=0.01)


def test_predictions_are_spark_columns(people, model):
    predicted = model.transform(people)
    assert BinaryClassificationEvaluator().evaluate(predicted) == pytest.approx(model.evaluate(people)["auc"], abs=0.01)
    row = predicted.first()
    assert row.rawPrediction[0] == -row.rawPrediction[1]
    assert sum(row.probability) == pytest.approx(1)
    assert row.prediction == float(row.probability[1] > 0.5)


@pytest.mark.parametrize("column", ["array", "sparse"])
def test_a_model_of_another_form_of_the_same_numbers(people, model, column):
    # Sparse columns are scaled and not centred, so both stop at their own distance from the same optimum.
    other = spark_ext.SGDClassifier(featuresCol=column).fit(people)
    np.testing.assert_allclose(other.coefficients, model.coefficients, rtol=0.01)
    found = [row.probability[1] for row in other.transform(people).select("probability").collect()]
    expected = [row.probability[1] for row in model.transform(people).select("probability").collect()]
    np.testing.assert_allclose(found, expected, atol=0.01)


def test_a_pipeline_with_held_out_rows(people):
    frame = people.select(*COLUMNS, "label", "held")
    estimator = spark_ext.SGDRegressor(validationIndicatorCol="held", earlyStopping=True, maxIter=5)
    fitted = Pipeline(stages=[VectorAssembler(inputCols=COLUMNS, outputCol="features"), estimator]).fit(frame)
    history = fitted.stages[-1].history_
    assert history.column("validation")[-1] is not None
    assert fitted.transform(frame).select("prediction").count() == 300


def test_a_model_keeps_its_parameters(people, model, tmp_path):
    path = str(tmp_path / "model")
    renamed = model.copy({model.predictionCol: "guess"})
    renamed.write().save(path)
    loaded = spark_ext.SGDClassificationModel.load(path)
    assert loaded.uid == model.uid
    assert "guess" in loaded.transform(people).columns
    renamed.write().overwrite().save(path)
    with pytest.raises(ConfigError, match="is for regression"):
        spark_ext.SGDRegressionModel.load(path)
    (tmp_path / "model" / "metadata" / "part-00000").write_text("{}")
    with pytest.raises(CheckpointError, match=r"metadata/part-00000 is damaged"):
        spark_ext.SGDClassificationModel.load(path)


def test_nothing_is_left_of_a_feed(people):
    spark_ext.SGDClassifier(maxIter=1).fit(people)
    local = people.sparkSession.conf.get("spark.local.dir", None) or people.sparkSession.sparkContext.getConf().get(
        "spark.local.dir"
    )
    found = subprocess.run(
        ["find", local, "-name", "rank-*.arrow"], capture_output=True, text=True, check=True, timeout=60
    )
    assert os.path.isdir(local)
    assert found.stdout == ""


def test_what_a_data_frame_cannot_do(people):
    with pytest.raises(DataError, match="no column 'nope'"):
        spark_ext.SGDClassifier(labelCol="nope").fit(people)
    with pytest.raises(DataError, match="no column 'features'"):
        spark_ext.SGDClassifier().fit(people.drop("features"))
    with pytest.raises(DataError, match="categoricalCols names"):
        spark_ext.SGDClassifier(featuresCol=["a"], categoricalCols=["b"]).fit(people)
    with pytest.raises(ConfigError, match="'nope' is not a parameter"):
        spark_ext.SGDClassifier(nope=1)
    with pytest.raises(ConfigError, match="not available in this version"):
        spark_ext.SGDClassifier(mode="federated").fit(people)
    with pytest.raises(ConfigError, match=r"2 ranks need a column each at least, and there are 1"):
        spark_ext.SGDClassifier(mode="columns", featuresCol=["a"]).fit(people)


def test_every_parameter_is_in_the_table_or_used_by_the_face(spark):
    own = {
        *("featuresCol", "labelCol", "weightCol", "offsetCol", "predictionCol", "probabilityCol", "rawPredictionCol"),
        *("categoricalCols", "interactions", "hashBits", "missing", "validationIndicatorCol"),
        *("threshold", "thresholds", "initialModel", "verbose"),
        *("mode", "topology", "aggregationDepth", "localSteps", "compression", "numWorkers", "dtype"),
        *("staleness", "shards", "backupWorkers", "correction", "compensation", "snapshotSeconds", "restarts"),
        *("gridRows", "gridColumns", "saveTo", "overwrite"),
        *("minWorkers", "checkpointPath", "checkpointInterval"),
    }
    for face in (spark_ext.SGDClassifier(), spark_ext.SGDRegressor()):
        assert {param.name for param in face.params} - own <= set(CORE_NAMES)
    assert set(CORE_NAMES.values()) <= {*SAME, "random_state"}


def test_the_guide_shows_every_default_that_differs_and_every_parameter_that_is_not_there():
    guide = (Path(__file__).parents[2] / "docs" / "guides" / "spark.md").read_text()
    face = spark_ext.SGDClassifier()
    names = {core: name for name, core in CORE_NAMES.items()}
    spellings = {"categorical": "categoricalCols", "hash_bits": "hashBits", "n_workers": "numWorkers"}
    for core, default in dsgd.SGDClassifier().get_params().items():
        name = names.get(core, spellings.get(core, core))
        if core in ("penalty", "interactions"):
            continue  # one is a value of elasticNetParam, the other's default an empty list for a tuple
        if not face.hasParam(name):
            assert f"`{core}`" in guide, f"{core} is not among those that are not there"
        elif face.isDefined(name) and face.getOrDefault(name) != default:
            shown = repr(face.getOrDefault(name)).replace("'", '"')
            assert re.search(rf"^\| `{name}` \| `{re.escape(shown)}`", guide, flags=re.MULTILINE), (name, shown)


def test_batches_are_put_together_and_cut():
    import pyarrow as pa

    batches = [pa.record_batch({"x": list(range(n))}) for n in (3, 0, 2, 12, 1)]
    sizes = [batch.num_rows for batch in gathered(iter(batches), 5)]
    assert sum(sizes) == 18
    assert max(sizes) <= 5
