"""Saved as Spark saves its own: estimators, models, Pipelines of them, on any filesystem that Spark knows."""

import json

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Pipeline, PipelineModel
from pyspark.ml.feature import VectorAssembler

import dsgd
import spark_ext
from dsgd import CheckpointError, ConfigError
from spark_ext.models import storage

from . import save_pipelines


@pytest.fixture(scope="module")
def rows(spark):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(60, 2)), columns=["a", "b"])
    return spark.createDataFrame(frame.assign(label=(frame["a"] > frame["b"]).astype(float)))


@pytest.fixture(scope="module")
def pipeline():
    """A stage of Spark's own, and one of ours with parameters of every kind that JSON has to keep."""
    assembler = VectorAssembler(inputCols=["a", "b"], outputCol="features")
    classifier = spark_ext.SGDClassifier(maxIter=3, regParam=0.01, localSteps="epoch", averaging=True, numWorkers=1)
    return Pipeline(stages=[assembler, classifier])


@pytest.fixture(scope="module")
def fitted(pipeline, rows):
    return pipeline.fit(rows)


@pytest.fixture(scope="module")
def remote(spark, tmp_path_factory):
    """A filesystem that only the JVM reaches: Hadoop's viewfs, mounted on a local directory."""
    folder = tmp_path_factory.mktemp("remote")
    settings = spark.sparkContext._jsc.hadoopConfiguration()
    settings.set("fs.viewfs.mounttable.dsgd.link./store", folder.as_uri())
    yield "viewfs://dsgd/store", folder
    settings.unset("fs.viewfs.mounttable.dsgd.link./store")


def same(stage, other):
    assert type(other) is type(stage)
    assert other.uid == stage.uid
    assert {p.name: v for p, v in other.extractParamMap().items()} == {
        p.name: v for p, v in stage.extractParamMap().items()
    }


@pytest.mark.parametrize("where", ["local", "uri", "remote"])
def test_a_pipeline_and_its_model_come_back(pipeline, fitted, rows, tmp_path, remote, where):
    place = {"local": str(tmp_path), "uri": tmp_path.as_uri(), "remote": remote[0]}[where]
    pipeline.write().overwrite().save(f"{place}/pipeline")
    fitted.save(f"{place}/fitted")
    fitted.write().overwrite().save(f"{place}/fitted")
    same(pipeline.getStages()[1], Pipeline.load(f"{place}/pipeline").getStages()[1])
    loaded = PipelineModel.load(f"{place}/fitted")
    same(fitted.stages[1], loaded.stages[1])
    expected, found = (model.transform(rows).select("prediction").collect() for model in (fitted, loaded))
    assert found == expected


@pytest.mark.parametrize("estimator", [spark_ext.SGDClassifier, spark_ext.SGDRegressor])
def test_an_estimator_comes_back(spark, estimator, tmp_path):
    given = estimator(featuresCol=["a", "b"], interactions=[["a", "b"]], stepSize=0.5, cacheBytes=1 << 20)
    given.save(str(tmp_path / "estimator"))
    same(given, estimator.load(str(tmp_path / "estimator")))


def test_a_model_of_another_filesystem(fitted, remote):
    place, folder = remote
    model = fitted.stages[1]
    model.save(f"{place}/alone")
    with pytest.raises(ConfigError, match=r"exists already.*overwrite\(\)"):
        model.save(f"{place}/alone")
    model.write().overwrite().save(f"{place}/alone")
    same(model, spark_ext.SGDClassificationModel.load(f"{place}/alone"))
    assert [path.name for path in folder.iterdir() if path.name.startswith("alone")] == ["alone"]
    np.testing.assert_array_equal(dsgd.load(folder / "alone").coef, model.core.coef)
    with pytest.raises(CheckpointError, match="no saved model"):
        spark_ext.SGDClassificationModel.load(f"{place}/absent")
    (folder / "home").mkdir()
    with pytest.raises(ConfigError, match="not a saved model"):
        model.write().overwrite().save(f"{place}/home")


def test_a_model_that_cannot_be_replaced_stays(fitted, remote, monkeypatch):
    place, folder = remote
    fitted.stages[1].save(f"{place}/kept")
    before = sorted(path.name for path in folder.iterdir())
    rename = storage._Remote._rename

    def full(self, source, target):
        if str(source).endswith(".unfinished"):
            raise OSError("disk full")
        rename(self, source, target)

    monkeypatch.setattr(storage._Remote, "_rename", full)
    with pytest.raises(OSError, match="disk full"):
        fitted.stages[1].write().overwrite().save(f"{place}/kept")
    assert sorted(path.name for path in folder.iterdir()) == before
    same(fitted.stages[1], spark_ext.SGDClassificationModel.load(f"{place}/kept"))


def test_a_model_of_another_package_has_no_parameters_of_spark(fitted, rows, tmp_path):
    core = fitted.stages[1].core
    core.save(tmp_path / "model")
    loaded = spark_ext.SGDClassificationModel.load((tmp_path / "model").as_uri().replace("file://", "file:"))
    np.testing.assert_array_equal(loaded.core.coef, core.coef)


def test_a_scheme_that_nobody_knows_is_refused(fitted):
    with pytest.raises(ConfigError, match="no filesystem for 'nowhere://"):
        fitted.stages[1].save("nowhere://a/model")


@pytest.mark.parametrize("place", sorted(save_pipelines.SAVED.iterdir()), ids=lambda place: place.name)
def test_what_another_version_of_spark_saved_comes_back(spark, place):
    """Written once by ``save_pipelines.py`` under each version; read under the one that is installed."""
    expected = save_pipelines.pipeline().getStages()[1].extractParamMap()
    found = Pipeline.load(str(place / "pipeline")).getStages()[1].extractParamMap()
    # Spark keeps the defaults of the day on which a stage was saved.
    then = {"deadline": 60.0}
    assert {param.name: value for param, value in found.items()} == {p.name: v for p, v in expected.items()} | then
    predicted = PipelineModel.load(str(place / "fitted")).transform(save_pipelines.rows(spark))
    told = [row.probability[1] for row in predicted.select("probability").collect()]
    np.testing.assert_allclose(told, json.loads((place / "probabilities.json").read_text()), rtol=1e-6)
