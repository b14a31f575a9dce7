"""What the estimators of one machine do with their parameters and their data."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression

import dsgd
from dsgd import ConfigError, DataError, SGDClassifier, SGDRegressor, Sync
from dsgd.data.matrices import MatrixDataset
from dsgd.estimators import base, inputs
from dsgd.estimators.parameters import SAME, configuration
from dsgd.train.local import LocalEngine


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(400, 3))
    return X, np.where(X @ [2.0, -1.0, 0.5] + rng.logistic(size=400) > 0, "yes", "no")


def test_defaults_are_logistic_regression(data):
    X, y = data
    found = SGDClassifier(random_state=0, tol=1e-8).fit(X, y)
    reference = LogisticRegression(C=1.0, tol=1e-8).fit(X, y)
    assert found.coef_.dtype == np.float64
    np.testing.assert_allclose(found.coef_, reference.coef_, rtol=0.01)
    np.testing.assert_array_equal(found.classes_, ["no", "yes"])
    assert found.n_iter_ == len(found.history_)
    assert found.n_features_in_ == 3
    assert found.score(X, y) == pytest.approx(reference.score(X, y), abs=0.01)
    np.testing.assert_allclose(found.predict_log_proba(X), np.log(found.predict_proba(X)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_a_matrix_is_not_copied(data, dtype, monkeypatch):
    X, y = np.ascontiguousarray(data[0], dtype), data[1]
    seen = []
    wrap = MatrixDataset.wrap

    def spy(self, encoder, start, stop):
        block = wrap(self, encoder, start, stop)
        seen.append(np.shares_memory(block.dense, X))
        return block

    monkeypatch.setattr(MatrixDataset, "wrap", spy)
    SGDClassifier(max_iter=1).fit(X, y).predict(X)
    assert seen
    assert all(seen)


@pytest.mark.parametrize(
    ("X", "dtype", "expected"),
    [
        (np.eye(4), None, np.float64),
        (np.eye(4, dtype=np.float32), None, np.float32),
        (np.eye(4, dtype=int), None, np.float64),
        (scipy.sparse.eye(4, format="csr"), None, np.float64),
        (np.eye(4), "float32", np.float32),
        (pd.DataFrame(np.eye(4), columns=list("abcd")), None, np.float32),
    ],
)
def test_dtype(X, dtype, expected):
    assert SGDClassifier(dtype=dtype, max_iter=2).fit(X, [0, 1, 0, 1]).coef_.dtype == expected


def test_a_frame_by_the_names_of_its_columns(data):
    X, y = data
    frame = pd.DataFrame(X, columns=["a", "b", "c"]).assign(city=np.where(X[:, 0] > 0, "Ulm", "Bonn"), late=y, w=1.0)
    model = SGDClassifier(hash_bits=4, interactions=[], random_state=0).fit(frame, "late", sample_weight="w")
    assert model.feature_names_in_.tolist() == ["a", "b", "c", "city"]
    beside = SGDClassifier(hash_bits=4, random_state=0).fit(frame[["a", "b", "c", "city"]], y, np.ones(400))
    np.testing.assert_allclose(model.coef_, beside.coef_, rtol=1e-4, atol=1e-5)
    assert model.score(frame, "late") == np.mean(model.predict(frame) == y)
    assert model.weights_of("city")["weight"].shape == (1, 16)


@pytest.mark.parametrize("form", ["table", "batch"])
def test_arrow_by_the_names_of_its_columns(data, form):
    X, y = data
    table = pa.table({"a": X[:, 0], "city": pa.array(y).dictionary_encode(), "label": y})
    model = SGDClassifier(random_state=0).fit(table if form == "table" else table.to_batches()[0], "label")
    np.testing.assert_array_equal(model.feature_names_in_, ["a", "city"])
    assert model.score(table, "label") == 1.0


def test_weights_are_repeated_rows(data):
    X, y = data
    weight = np.random.default_rng(1).integers(0, 3, size=400)
    weighted = SGDClassifier(random_state=0, tol=1e-9).fit(X, y, weight)
    repeated = SGDClassifier(random_state=0, tol=1e-9).fit(np.repeat(X, weight, axis=0), np.repeat(y, weight))
    np.testing.assert_allclose(weighted.coef_, repeated.coef_, rtol=1e-3)


def test_partial_fit_knows_classes_that_come_later(data):
    X, y = data
    model = SGDClassifier(random_state=0)
    with pytest.raises(ConfigError, match="classes must be passed on the first call"):
        model.partial_fit(X, y)
    model.partial_fit(X[y == "yes"], y[y == "yes"], classes=["no", "yes"])
    for _ in range(20):
        model.partial_fit(X, y)
    assert model.classes_.tolist() == ["no", "yes"]
    assert model.score(X, y) > 0.7
    with pytest.raises(ConfigError, match="differ from those of the first call"):
        model.partial_fit(X, y, classes=["no", "maybe"])


def test_warm_start_goes_on(data):
    X, y = data
    model = SGDClassifier(random_state=0, warm_start=True, tol=1e-9).fit(X, y)
    before = model.coef_.copy()
    model.set_params(max_iter=1).fit(X, y)
    np.testing.assert_allclose(model.coef_, before, rtol=1e-3)


@pytest.mark.parametrize("ranks", [1, 2])
def test_a_seed_decides_everything(data, ranks):
    X, y = data
    first, second = (
        SGDClassifier(random_state=3, n_workers=ranks, optimizer="sgd", max_iter=3).fit(X, y) for _ in range(2)
    )
    np.testing.assert_array_equal(first.coef_, second.coef_)


def test_save_and_load(data, tmp_path):
    X, y = data
    model = SGDClassifier(loss="modified_huber", max_iter=5).fit(X, y)
    model.save(tmp_path / "model")
    loaded = SGDClassifier.load(tmp_path / "model")
    assert loaded.loss == "modified_huber"
    assert loaded.n_features_in_ == 3
    np.testing.assert_array_equal(loaded.predict_proba(X), model.predict_proba(X))
    with pytest.raises(ConfigError, match="SGDRegressor is for regression"):
        SGDRegressor.load(tmp_path / "model")


def test_loss_parameters_come_back(tmp_path):
    X = np.arange(20.0)[:, None]
    SGDRegressor(loss="quantile", quantile=0.9, max_iter=2).fit(X, X[:, 0]).save(tmp_path / "model")
    assert SGDRegressor.load(tmp_path / "model").quantile == 0.9


def test_validation_rows_of_the_user(data):
    X, y = data
    model = SGDClassifier(early_stopping=True, random_state=0, max_iter=5)
    model.fit(X[:300], y[:300], validation=(X[300:], y[300:]))
    assert model.history_.column("validation")[-1] is not None
    with pytest.raises(ConfigError, match="validation must be"):
        model.fit(X, y, validation=X)


def test_verbose_tells_of_every_epoch(data, capsys):
    X, y = data
    seen = []
    SGDClassifier(max_iter=3, tol=None, optimizer="sgd", verbose=seen.append).fit(X, y)
    assert [record["epoch"] for record in seen if "epoch" in record] == [1, 2, 3]
    SGDClassifier(max_iter=1, verbose=1).fit(X, y)
    assert "epoch 1, objective" in capsys.readouterr().err


def test_every_parameter_reaches_the_core():
    """A parameter of the constructor is handed on, or used by the face itself."""
    own = {
        "mode",
        "n_workers",
        "random_state",
        "dtype",
        "warm_start",
        "verbose",
        "n_jobs",
        "checkpoint",
        *inputs.FEATURES,
    }
    for face in (SGDClassifier, SGDRegressor):
        assert set(face().get_params()) - own <= set(SAME)
    changed = configuration(
        "classification", {"mode": Sync(topology="tree"), "penalty": "l1"}, dtype="float64", n_workers=3
    )
    assert (changed.mode.topology, changed.penalty, changed.n_workers, changed.dtype) == ("tree", "l1", 3, "float64")


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"loss": "nope"}, "loss must be one of"),
        ({"loss": "poisson"}, "is not for classification"),
        ({"mode": "federated"}, "not available in this version"),
        ({"random_state": -1}, "random_state"),
        ({"random_state": "x"}, "random_state"),
        ({"dtype": "float16"}, "dtype"),
        ({"alpha": -1.0}, "alpha"),
        ({"n_workers": 0}, "n_workers"),
        ({"categorical": ["a"]}, "a matrix has no column names"),
    ],
)
def test_parameters_that_are_refused(data, parameters, message):
    with pytest.raises(ConfigError, match=message):
        SGDClassifier(**parameters).fit(*data)


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        (np.eye(3), None, DataError, "requires y to be passed"),
        (np.eye(3), [1, 0], DataError, "y has shape"),
        (np.eye(3), [1, 1, 1], DataError, "class"),
        (np.eye(3), [0.5, 1.5, 2.5], DataError, "Unknown label type"),
        (np.eye(3), "late", ConfigError, "a matrix has no column names"),
        (np.ones(3), [0, 1, 0], DataError, "Reshape your data"),
        (np.array([[1.0], [np.nan], [0.0]]), [0, 1, 0], DataError, "in row 1"),
        ("file.parquet", "late", ConfigError, "read_parquet"),
        (pd.DataFrame({"a": [1.0, 2.0]}), "late", DataError, "'late'"),
    ],
)
def test_data_that_is_refused(X, y, error, message):
    with pytest.raises(error, match=message):
        SGDClassifier().fit(X, y)


def test_losses_without_probabilities_have_no_such_method(data):
    assert not hasattr(SGDClassifier(loss="hinge"), "predict_proba")
    assert hasattr(SGDClassifier(loss="modified_huber"), "predict_log_proba")
    assert not hasattr(SGDRegressor(), "decision_function")


def test_the_engine_is_closed_when_a_fit_fails(monkeypatch):
    closed = []
    monkeypatch.setattr(LocalEngine, "close", lambda self: closed.append(self))
    monkeypatch.setattr(base, "fit", lambda *args, **kwargs: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        SGDClassifier().fit(np.eye(2), [0, 1])
    assert len(closed) == 1


def test_estimators_are_imported_when_they_are_asked_for():
    assert "SGDClassifier" in dir(dsgd)
    with pytest.raises(AttributeError, match="no attribute 'SGDForest'"):
        dsgd.SGDForest  # noqa: B018


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"learning_rate": "cosine", "optimizer": "sgd"}, "learning_rate='cosine' falls to zero"),
        ({"early_stopping": True}, "early_stopping should be False"),
        ({"class_weight": "balanced"}, "class_weight 'balanced' is not supported"),
    ],
)
def test_what_partial_fit_cannot_know(data, parameters, message):
    with pytest.raises(ConfigError, match=message):
        SGDClassifier(**parameters).partial_fit(*data, classes=["no", "yes"])


def test_partial_fit_with_an_offset(data):
    X, _ = data
    model = SGDRegressor(random_state=0, fit_intercept=False)
    model.partial_fit(X, np.full(len(X), 5.0), offset=np.full(len(X), 5.0))
    np.testing.assert_array_equal(model.coef_, 0.0)


def test_a_fit_that_has_not_converged_says_so(data, recwarn):
    X, y = data
    SGDClassifier(random_state=0).fit(X, y)
    SGDClassifier(random_state=0, optimizer="sgd", max_iter=2, tol=None).fit(X, y)
    SGDClassifier(random_state=0).partial_fit(X, y, classes=["no", "yes"])
    assert not [caught for caught in recwarn if caught.category is ConvergenceWarning]
    with pytest.warns(ConvergenceWarning, match="max_iter=2"):
        SGDClassifier(random_state=0, optimizer="sgd", max_iter=2).fit(X, y)
