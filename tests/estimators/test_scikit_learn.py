"""The estimators as scikit-learn's own tools see them: its compliance checks, clones, pickles, searches."""

import pickle

import numpy as np
import pytest
from sklearn.base import clone
from sklearn.model_selection import GridSearchCV, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from dsgd import SGDClassifier, SGDRegressor

# What a check expects and why we do otherwise; each is expected to fail.
EXPECTED: dict[str, str] = {}


@parametrize_with_checks(
    [SGDClassifier(max_iter=20, tol=1e-10, random_state=0), SGDRegressor(max_iter=20, random_state=0)],
    expected_failed_checks=lambda estimator: EXPECTED,
)
def test_compliance(estimator, check):
    check(estimator)


@pytest.fixture(scope="module")
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 4))
    return X, (X @ [2.0, -1.0, 0.5, 0.0] + rng.logistic(size=300) > 0).astype(int)


def test_clones_and_pickles(data):
    X, y = data
    fitted = SGDClassifier(random_state=0, alpha=0.01).fit(X, y)
    assert clone(fitted).get_params() == fitted.get_params()
    assert not hasattr(clone(fitted), "coef_")
    np.testing.assert_array_equal(pickle.loads(pickle.dumps(fitted)).predict_proba(X), fitted.predict_proba(X))


def test_searches_and_pipelines(data):
    X, y = data
    search = GridSearchCV(SGDClassifier(random_state=0), {"alpha": [1e-3, 1.0]}, cv=2).fit(X, y)
    assert search.best_score_ > 0.7
    assert cross_val_score(make_pipeline(StandardScaler(), SGDClassifier(random_state=0)), X, y, cv=2).min() > 0.7
    assert cross_val_score(SGDRegressor(random_state=0), X, X @ [1.0, 2.0, 3.0, 4.0], cv=2).min() > 0.99
