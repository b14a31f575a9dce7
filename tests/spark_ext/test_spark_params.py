"""Params as Spark ML's own estimators have them: by keyword, with setters and getters, explained, copied, checked."""

import inspect
import pickle

import pytest

pytest.importorskip("pyspark")

from pyspark.ml import Estimator, Model
from pyspark.ml.base import Predictor
from pyspark.ml.classification import LinearSVC, LogisticRegression, ProbabilisticClassifier
from pyspark.ml.param.shared import HasMaxIter, HasThresholds, HasWeightCol
from pyspark.ml.regression import LinearRegression, Regressor

import spark_ext
from dsgd import ConfigError
from spark_ext.params.contract import ELSEWHERE

FACES = [spark_ext.SGDClassifier, spark_ext.SGDRegressor]
THEIRS = [(spark_ext.SGDClassifier, LogisticRegression), (spark_ext.SGDRegressor, LinearRegression)]
# Where a default of ours differs from Spark ML's: the loss and the shape of its corner are other things there.
OTHER_DEFAULTS = {"loss", "epsilon"}


def names(stage):
    return {param.name for param in stage.params}


@pytest.mark.parametrize(("ours", "theirs"), THEIRS)
def test_every_param_of_spark_ml_has_its_default_or_says_what_to_do(spark, ours, theirs):
    stage, other = ours(), theirs()
    assert names(other) - names(stage) <= set(ELSEWHERE)
    for name in names(other) & names(stage) - OTHER_DEFAULTS:
        assert stage.isDefined(name) == other.isDefined(name), name
        if other.isDefined(name):
            assert stage.getOrDefault(name) == other.getOrDefault(name), name


@pytest.mark.parametrize(("ours", "theirs"), [*THEIRS, (spark_ext.SGDClassifier, LinearSVC)])
def test_every_setter_and_getter_of_spark_ml_is_there(ours, theirs):
    accessors = {
        name for name in dir(theirs) if name[:3] in ("get", "set") and inspect.isfunction(getattr(theirs, name))
    }
    missing = {name for name in accessors if not hasattr(ours, name)}
    assert {name[3:4].lower() + name[4:] for name in missing} <= set(ELSEWHERE)


@pytest.mark.parametrize(("ours", "theirs"), THEIRS)
@pytest.mark.parametrize("name", ["solver", "maxBlockSizeInMB", "lowerBoundsOnCoefficients"])
def test_what_is_not_there_says_what_to_do(ours, theirs, name):
    with pytest.raises(ConfigError, match=f"'{name}' is not a parameter .*{ELSEWHERE[name][:20]}"):
        ours(**{name: 1})
    with pytest.raises(AttributeError, match=ELSEWHERE[name][:20]):
        getattr(ours(), f"set{name[0].upper()}{name[1:]}")
    assert not hasattr(ours(), f"get{name[0].upper()}{name[1:]}")


@pytest.mark.parametrize("face", FACES)
def test_a_stage_is_of_the_kinds_that_others_ask_for(face):
    stage = face()
    assert isinstance(stage, (Estimator, Predictor, HasMaxIter, HasWeightCol))
    if face is spark_ext.SGDClassifier:
        assert isinstance(stage, ProbabilisticClassifier)
        assert isinstance(stage, HasThresholds)
    else:
        assert isinstance(stage, Regressor)


@pytest.mark.parametrize("face", FACES)
def test_a_constructor_takes_keywords_and_shows_them(face):
    shown = inspect.signature(face).parameters
    assert set(shown) == names(face())
    assert {one.kind for one in shown.values()} == {inspect.Parameter.KEYWORD_ONLY}
    assert (shown["maxIter"].default, shown["weightCol"].default) == (100, None)
    with pytest.raises(TypeError, match="positional"):
        face("features")
    with pytest.raises(ConfigError, match="'maxIters' is not a parameter"):
        face(maxIters=3)
    with pytest.raises(ConfigError, match="'maxIters' is not a parameter"):
        face().setParams(maxIters=3)


@pytest.mark.parametrize("face", FACES)
def test_every_param_is_set_got_and_explained(face):
    stage = face()
    for param in stage.params:
        capital = param.name[0].upper() + param.name[1:]
        getter, setter = getattr(stage, f"get{capital}"), getattr(stage, f"set{capital}")
        assert param.doc[0].isupper(), f"{param.name} is not explained by a sentence"
        assert param.doc.endswith("."), f"{param.name} is not explained by a sentence"
        assert param.name.lower() in f"{getter.__doc__}{setter.__doc__}".lower()
        if stage.isDefined(param):
            value = stage.getOrDefault(param)
            assert getter() == value
            assert setter(value) is stage
            assert stage.isSet(param)
        assert f"{param.name}: {param.doc}" in stage.explainParams()
    assert "(default: 100, current: 7)" in stage.setMaxIter(7).explainParam("maxIter")


def test_params_with_a_value_become_of_its_kind():
    stage = spark_ext.SGDClassifier(maxIter=5.0, regParam=1, weightCol=None)
    assert (stage.getMaxIter(), type(stage.getMaxIter()), type(stage.getRegParam())) == (5, int, float)
    assert not stage.isSet("weightCol")
    assert not stage.setWeightCol("w").setWeightCol(None).isSet("weightCol")
    for wrong in ({"maxIter": 2.5}, {"labelCol": 3}, {"thresholds": [0.0, 0.0]}, {"initialModel": "a path"}):
        with pytest.raises(ConfigError, match=next(iter(wrong))):
            stage.setParams(**wrong)


def test_a_copy_is_of_its_own():
    stage = spark_ext.SGDClassifier(maxIter=5)
    other = stage.copy({stage.regParam: 0.5})
    assert (other.uid, other.getMaxIter(), other.getRegParam()) == (stage.uid, 5, 0.5)
    other.setMaxIter(6)
    assert (stage.getMaxIter(), stage.getRegParam()) == (5, 0.0)
    assert stage.extractParamMap({stage.tol: 1.0})[stage.tol] == 1.0
    assert stage.extractParamMap()[stage.maxIter] == 5
    assert spark_ext.SGDClassifier().uid != stage.uid
    assert stage.uid.startswith("SGDClassifier_")
    assert pickle.loads(pickle.dumps(stage)).getMaxIter() == 5


def test_a_subclass_has_params_of_its_own():
    """With accessors, and a constructor that may take what it wants."""

    class Later(spark_ext.SGDClassifier):
        def __init__(self, patience=3):
            super().__init__(nIterNoChange=patience)

    assert Later(4).getNIterNoChange() == 4
    assert list(inspect.signature(Later).parameters) == ["patience"]


@pytest.mark.parametrize("face", [LogisticRegression, spark_ext.SGDClassifier])
def test_a_threshold_and_thresholds_are_two_words_for_one(spark, face):
    """The rules of LogisticRegression, by itself and by ours."""
    stage = face()
    assert stage.getThreshold() == 0.5
    assert not stage.isSet("thresholds")
    stage.setThresholds([0.25, 0.75])
    assert stage.getThreshold() == pytest.approx(0.75)
    assert not stage.isSet("threshold")
    stage.setThreshold(0.4)
    assert stage.getThresholds() == pytest.approx([0.6, 0.4])
    assert not stage.isSet("thresholds")
    agreeing = face(threshold=0.4, thresholds=[0.6, 0.4])
    assert agreeing.getThreshold() == pytest.approx(0.4)
    with pytest.raises(ValueError, match="threshold"):
        face(threshold=0.4).setParams(thresholds=[0.5, 0.5]).getThreshold()
    with pytest.raises(ValueError, match=r"binary|two classes"):
        stage.setThresholds([0.1, 0.2, 0.7]).getThreshold()


def test_thresholds_that_cannot_be_are_refused_before_work_starts():
    for given, told in (
        ({"threshold": 1.5}, "between 0 and 1"),
        ({"threshold": 0.4, "thresholds": [0.5, 0.5]}, "different"),
    ):
        with pytest.raises(ConfigError, match=told):
            spark_ext.SGDClassifier(**given).fit(object())
    with pytest.raises(ConfigError, match="nor is"):
        spark_ext.SGDClassifier().getThresholds()


def test_spark_mls_own_name_of_the_squared_error_is_understood():
    assert spark_ext.SGDRegressor(loss="squaredError").core_parameters()["loss"] == "squared_error"


@pytest.mark.parametrize("model", [spark_ext.SGDClassificationModel, spark_ext.SGDRegressionModel])
def test_models_have_accessors_too(model):
    assert issubclass(model, Model)
    for name in ("setFeaturesCol", "getFeaturesCol", "setPredictionCol", "getWeightCol", "getOffsetCol"):
        assert callable(getattr(model, name))
    assert hasattr(model, "setThreshold") == (model is spark_ext.SGDClassificationModel)


def test_a_threshold_of_scores_may_be_any_number():
    hinge = spark_ext.SGDClassifier(loss="hinge", threshold=-1.5)
    assert hinge.core_parameters()["loss"] == "hinge"
    with pytest.raises(ConfigError, match="threshold must be between 0 and 1"):
        hinge.copy({hinge.loss: "log_loss"}).core_parameters()
