"""Predictions of a model with known weights, against the formulas; what is wrong with data is said in the user's words."""

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import scipy.sparse
from scipy.special import expit, softmax
from sklearn.linear_model import SGDClassifier as Reference

from dsgd import ConfigError, DataError, read_parquet
from dsgd.data.sources import as_dataset
from dsgd.data.tables import as_table
from dsgd.fitted import LinearModel

ROWS = 70_000  # More than one split, and more than one batch.


def model_of(X, coef, intercept, classes=None, loss="log_loss", outputs="single", **options):
    spec = as_dataset(X, **options).spec
    coef = np.atleast_2d(coef)
    return LinearModel(coef, np.atleast_1d(intercept).astype(coef.dtype), classes, spec, loss, outputs=outputs)


@pytest.fixture(scope="module", name="X")
def matrix():
    return np.random.default_rng(0).normal(size=(ROWS, 3))


@pytest.fixture(scope="module")
def binary(X):
    return model_of(X, [1.0, -2.0, 0.5], 0.25, np.array(["no", "yes"]))


@pytest.fixture
def frame():
    rng = np.random.default_rng(3)
    return pd.DataFrame(
        {"x": rng.normal(size=200), "city": rng.choice(["Ulm", "Bonn"], 200), "z": rng.normal(size=200)}
    )


def test_scores_and_probabilities(binary, X):
    scores = X @ binary.coef[0] + 0.25
    np.testing.assert_allclose(binary.decision_function(X), scores)
    np.testing.assert_allclose(binary.predict_proba(X)[:, 1], expit(scores))
    np.testing.assert_array_equal(binary.predict(X), np.where(scores > 0, "yes", "no"))


@pytest.mark.parametrize(
    "convert", [scipy.sparse.csr_matrix, np.asfortranarray, lambda X: X.astype(np.float32), pd.DataFrame]
)
def test_every_kind_of_matrix_gives_the_same(binary, X, convert):
    given = convert(X[:100])
    if isinstance(given, pd.DataFrame):
        given.columns = ["a", "b", "c"]
    np.testing.assert_allclose(binary.decision_function(given), binary.decision_function(X[:100]), rtol=1e-5, atol=1e-5)


def test_softmax(X):
    rng = np.random.default_rng(1)
    coef, intercept = rng.normal(size=(4, 3)), rng.normal(size=4)
    model = model_of(X, coef, intercept, np.array([2, 3, 5, 7]), outputs="softmax")
    scores = X[:50] @ coef.T + intercept
    np.testing.assert_allclose(model.predict_proba(X[:50]), softmax(scores, axis=1))
    np.testing.assert_array_equal(model.predict(X[:50]), np.array([2, 3, 5, 7])[scores.argmax(axis=1)])


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("loss", ["modified_huber", "log_loss"])
def test_probabilities_are_those_of_scikit_learn(X, classes, loss):
    """Scikit-learn's classifier is one-versus-rest for every loss."""
    y = np.random.default_rng(2).integers(classes, size=300)
    reference = Reference(loss=loss, max_iter=5, tol=None, random_state=0).fit(X[:300], y)
    outputs = "single" if classes == 2 else "ovr"
    model = model_of(X, reference.coef_, reference.intercept_, reference.classes_, loss=loss, outputs=outputs)
    np.testing.assert_allclose(model.predict_proba(X[:300]), reference.predict_proba(X[:300]), atol=1e-12)
    np.testing.assert_array_equal(model.predict(X[:300]), reference.predict(X[:300]))


def test_regression_predicts_the_mean(X):
    model = model_of(X, [0.1, 0.2, 0.3], 1.0, loss="poisson")
    np.testing.assert_allclose(model.predict(X[:20]), np.exp(X[:20] @ [0.1, 0.2, 0.3] + 1.0))


def test_offset_is_added_to_the_scores(binary, X):
    offset = np.linspace(-1, 1, 50)
    np.testing.assert_allclose(binary.decision_function(X[:50], offset), binary.decision_function(X[:50]) + offset)


def test_a_frame_and_its_file_give_the_same(frame, tmp_path):
    rng = np.random.default_rng(4)
    size = as_dataset(frame, categorical=["city"], hash_bits=3).spec.layout.size
    model = model_of(frame, rng.normal(size=size), 0.5, np.array([False, True]), hash_bits=3)
    pq.write_table(as_table(frame), tmp_path / "part.parquet", row_group_size=64)
    scores = model.decision_function(frame)
    np.testing.assert_array_equal(model.decision_function(read_parquet(tmp_path)), scores)
    np.testing.assert_array_equal(model.decision_function(frame[["z", "city", "x"]]), scores)
    weights = model.weights("city")["weight"]
    assert weights.shape == (1, 8)
    assert len(np.unique((scores - 0.5 - frame[["x", "z"]].to_numpy() @ model.coef[0, :2]).round(9))) == 2


def test_evaluate_knows_classes_by_their_names(binary, X):
    y = binary.predict(X)
    perfect = binary.evaluate(X, y)
    assert perfect["accuracy"] == 1.0
    assert perfect["auc"] > 0.999
    swapped = binary.evaluate(X, np.where(y == "yes", "no", "yes"))
    assert swapped["accuracy"] == 0.0
    half = binary.evaluate(X, np.where(np.arange(ROWS) % 2, "yes", y), np.arange(ROWS) % 2 == 0)
    assert half["accuracy"] == 1.0


def test_measures_add_up(binary, X):
    y = np.where(X[:, 0] > 0, "yes", "no")
    parts = binary.measure(X[:1000], y[:1000]).merge(binary.measure(X[1000:], y[1000:]))
    assert parts.results() == pytest.approx(binary.evaluate(X, y))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.drop(columns="city"), "no column 'city', and the model needs one"),
        (lambda frame: frame.assign(x="text"), "'x'.*expected to be a number"),
        (lambda frame: frame.assign(z=np.inf), "'z' is inf in row 0"),
        (lambda frame: frame.assign(x=[np.nan, *[1.0] * 199]), "'x' is null in row 0"),
    ],
)
def test_data_that_cannot_be_predicted(frame, change, message):
    size = as_dataset(frame, hash_bits=3).spec.layout.size
    model = model_of(frame, np.zeros(size), 0.0, np.array([0, 1]), hash_bits=3)
    with pytest.raises(DataError, match=message):
        model.predict(change(frame))


def test_questions_that_a_model_cannot_answer(binary, X):
    with pytest.raises(DataError, match="'maybe' is none of the model's classes 'no', 'yes'"):
        binary.evaluate(X[:3], ["no", "maybe", "yes"])
    with pytest.raises(DataError, match="the label is a number, and the classes of the model are text"):
        binary.evaluate(X[:3], [0, 1, 1])
    with pytest.raises(ConfigError, match="needs labels"):
        binary.evaluate(X[:3])
    with pytest.raises(DataError, match="2 columns and the model was fitted on 3"):
        binary.predict(X[:, :2])
    with pytest.raises(ConfigError, match="'hinge' has no probabilities"):
        model_of(X, [1.0, 1.0, 1.0], 0.0, np.array([0, 1]), loss="hinge").predict_proba(X[:3])
    with pytest.raises(ConfigError, match="regression has no probabilities"):
        model_of(X, [1.0, 1.0, 1.0], 0.0, loss="huber").predict_proba(X[:3])
    with pytest.raises(ConfigError, match="no column 'w'"):
        binary.weights("w")
    with pytest.raises(DataError, match=r"coefficients of shape \(1, 3\), not \(1, 2\)"):
        model_of(X, [1.0, 1.0], 0.0, np.array([0, 1]))
