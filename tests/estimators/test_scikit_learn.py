"""The estimators as scikit-learn's own tools see them: its compliance checks, clones, pickles, searches."""

import pickle

import numpy as np
import pytest
import scipy.sparse
from sklearn import config_context
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import make_column_transformer
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingGridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dsgd import SGDClassifier, SGDOneClassSVM, SGDRegressor

# What scikit-learn expects to fail of its own SGD estimators: a row of weight 2 is one step, and the row given twice is two.
STEPS = {
    f"check_sample_weight_equivalence_on_{kind}_data": "of steps, a row's weight is the length of one of them"
    for kind in ("dense", "sparse")
}


@parametrize_with_checks(
    [
        SGDClassifier(max_iter=20, tol=1e-10, random_state=0),
        SGDRegressor(max_iter=20, random_state=0),
        SGDOneClassSVM(random_state=0),
    ]
)
def test_compliance(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")  # Without it, checks of other libraries' arrays are skipped.
    check(estimator)


@parametrize_with_checks(
    [
        SGDClassifier(learning_rate="optimal", alpha=1e-3, random_state=0),
        SGDRegressor(eta0=0.01, random_state=0),
        SGDOneClassSVM(learning_rate="constant", eta0=0.01, random_state=0),
    ],
    expected_failed_checks=lambda estimator: STEPS,
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_compliance_of_plain_steps(estimator, check, monkeypatch):
    monkeypatch.setenv("SCIPY_ARRAY_API", "1")
    check(estimator)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, (X @ [2.0, -1.0, 0.5, 0.0] + rng.logistic(size=300) > 0).astype(int)


ESTIMATORS = [
    SGDClassifier(random_state=0, alpha=0.01),
    SGDClassifier(random_state=0, learning_rate="optimal", alpha=0.01, average=True),
    SGDRegressor(random_state=0),
    SGDOneClassSVM(random_state=0, nu=0.2),
]


@pytest.mark.parametrize("estimator", ESTIMATORS, ids=lambda e: type(e).__name__)
def test_clones_and_pickles(estimator, data):
    X, y = data
    fitted = clone(estimator).fit(X, y)
    assert clone(fitted).get_params() == estimator.get_params()
    assert not hasattr(clone(fitted), "coef_")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict(X), fitted.predict(X))


def test_searches_and_pipelines(data):
    X, y = data
    search = GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-3, 1.0]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.7
    halving = HalvingGridSearchCV(
        SGDClassifier(random_state=0), {"alpha": [1e-3, 1.0, 10.0]}, cv=2, resource="max_iter", max_resources=8
    ).fit(X, y)
    assert halving.best_score_ > 0.7
    assert cross_val_score(make_pipeline(StandardScaler(), SGDClassifier(random_state=0)), X, y, cv=2).min() > 0.7
    assert cross_val_score(SGDRegressor(random_state=0), X, X @ [1.0, 2.0, 3.0, 4.0], cv=2).min() > 0.99


@pytest.mark.parametrize("library", ["pandas", "polars"])
def test_frames_through_a_column_transformer(library, data):
    """Columns keep their names on the way, and the model finds them by name."""
    X, y = data
    frame = pytest.importorskip(library).DataFrame({name: X[:, place] for place, name in enumerate("abcd")})
    scaled = make_column_transformer(
        (StandardScaler(), ["a", "b"]), remainder="passthrough", verbose_feature_names_out=False
    )
    model = make_pipeline(scaled, SGDClassifier(random_state=0)).set_output(transform=library).fit(frame, y)
    assert model[-1].feature_names_in_.tolist() == ["a", "b", "c", "d"]
    assert model.score(frame, y) > 0.7


def test_calibration(data):
    """Losses without probabilities get them from scikit-learn's calibration, which reads the tags and the scores."""
    X, y = data
    calibrated = CalibratedClassifierCV(SGDClassifier(loss="hinge", random_state=0), cv=2).fit(X, y)
    assert np.mean((calibrated.predict_proba(X)[:, 1] > 0.5) == y) > 0.7


def test_weights_are_routed_to_those_who_ask(data):
    X, y = data
    weight = np.where(np.arange(len(y)) % 2, 1.0, 3.0)
    with config_context(enable_metadata_routing=True):
        model = SGDClassifier(random_state=0, alpha=0.01).set_fit_request(sample_weight=True)
        scaler = StandardScaler().set_fit_request(sample_weight=False)
        piped = make_pipeline(scaler, model).fit(X, y, sample_weight=weight)
        search = GridSearchCV(model.set_score_request(sample_weight=True), {"alpha": [0.01]}, cv=2)
        search.fit(X, y, sample_weight=weight)
    direct = SGDClassifier(random_state=0, alpha=0.01).fit(StandardScaler().fit_transform(X), y, sample_weight=weight)
    np.testing.assert_allclose(piped[-1].coef_, direct.coef_)
    whole = SGDClassifier(random_state=0, alpha=0.01).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(search.best_estimator_.coef_, whole.coef_)


@pytest.mark.parametrize("estimator", ESTIMATORS[::2] + ESTIMATORS[3:], ids=lambda e: type(e).__name__)
def test_sparse_matrices_of_every_format(estimator, data):
    X, y = data
    X = np.where(np.abs(X) > 0.5, X, 0.0)
    expected = None
    for kind in ("csr", "csc", "coo", "lil", "dok", "bsr", "dia"):
        for container in (scipy.sparse.csr_array, scipy.sparse.csr_matrix):
            given = container(X).asformat(kind)
            found = clone(estimator).fit(given, y).predict(given)
            expected = found if expected is None else expected
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("estimator", ESTIMATORS[::2] + ESTIMATORS[3:], ids=lambda e: type(e).__name__)
def test_coefficients_to_sparse_and_back(estimator, data):
    X, y = data
    model = clone(estimator).fit(X, y)
    dense, predicted = model.coef_.copy(), model.predict(X)
    kept = pickle.loads(pickle.dumps(model.sparsify()))
    assert scipy.sparse.issparse(kept.coef_)
    np.testing.assert_array_equal(kept.predict(X), predicted)
    np.testing.assert_array_equal(kept.densify().coef_, dense)
