"""SweepCV as users of scikit-learn know a search: attributes, columns, delegation, and errors that name what would work."""

import numpy as np
import pandas as pd
import pytest
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV, ParameterSampler

from dsgd import SGDClassifier, SGDRegressor, SweepCV
from dsgd.errors import ConfigError

GENERATOR = np.random.default_rng(0)
X = GENERATOR.standard_normal((600, 4))
Y = np.where(X[:, 0] + 0.5 * GENERATOR.standard_normal(600) > 0, "yes", "no")


def test_the_columns_are_those_of_scikit_learns_search():
    grid = [{"alpha": [1.0, 0.01]}, {"penalty": ["l1"], "alpha": [0.01]}]
    ours = SweepCV(SGDClassifier(random_state=0), grid, cv=3).fit(X, Y)
    theirs = GridSearchCV(SGDClassifier(random_state=0), grid, cv=3).fit(X, Y)
    assert set(ours.cv_results_) == set(theirs.cv_results_) | {"mean_n_iter"}
    for name, column in theirs.cv_results_.items():
        assert np.shape(ours.cv_results_[name]) == np.shape(column), name
        np.testing.assert_array_equal(np.ma.getmask(ours.cv_results_[name]), np.ma.getmask(column), name)
    assert ours.cv_results_["params"] == theirs.cv_results_["params"]
    assert len(pd.DataFrame(ours.cv_results_)) == 3
    np.testing.assert_allclose(ours.cv_results_["mean_test_score"], theirs.cv_results_["mean_test_score"], atol=0.03)


def test_the_best_answers():
    search = SweepCV(SGDClassifier(random_state=0), {"alpha": [100.0, 1e-3]}, scoring="neg_log_loss").fit(X, Y)
    alone = SGDClassifier(random_state=0, alpha=1e-3).fit(X, Y)
    assert (search.best_params_, search.best_index_, search.n_splits_) == ({"alpha": 1e-3}, 1, 5)
    assert search.best_score_ == search.cv_results_["mean_test_score"][1]
    assert search.best_estimator_.alpha == 1e-3
    assert search.classes_.tolist() == ["no", "yes"]
    assert search.n_features_in_ == 4
    np.testing.assert_array_equal(search.predict(X), alone.predict(X))
    np.testing.assert_array_equal(search.predict_proba(X), alone.predict_proba(X))
    assert search.score(X, Y) == -alone.evaluate(X, Y)["log_loss"]


def test_several_scores_name_their_columns():
    names = ["r2", "neg_mean_squared_error"]
    search = SweepCV(SGDRegressor(), {"alpha": [10.0, 0.0]}, cv=0.25, scoring=names, refit="r2").fit(
        X, X @ [1, 2, 3, 4]
    )
    assert search.multimetric_
    assert search.n_splits_ == 1
    assert search.cv_results_["rank_test_r2"].tolist() == [2, 1]
    assert search.cv_results_["mean_test_neg_mean_squared_error"][1] > -1e-3


def test_frames_weights_and_samplers_are_taken():
    frame = pd.DataFrame(X, columns=list("abcd")).assign(kind=np.where(X[:, 1] > 0, "u", "v"), w=np.abs(X[:, 2]), y=Y)
    tries = ParameterSampler({"alpha": [1e-3, 1e-2, 1e-1]}, 2, random_state=0)
    search = SweepCV(SGDClassifier(random_state=0), tries, cv=2).fit(frame, "y", "w")
    assert search.feature_names_in_.tolist() == ["a", "b", "c", "d", "kind"]
    assert search.predict(frame).shape == (600,)


def test_it_is_what_its_estimator_is():
    search = SweepCV(SGDClassifier(), {"alpha": [1.0]})
    assert is_classifier(search)
    assert is_regressor(SweepCV(SGDRegressor(), {"alpha": [1.0]}))
    assert clone(search).get_params()["estimator__alpha"] == "auto"
    assert not hasattr(SweepCV(SGDClassifier(loss="hinge"), {"alpha": [1.0]}), "predict_proba")
    with pytest.raises(NotFittedError):
        search.predict(X)
    assert not hasattr(SweepCV(SGDClassifier(), {"alpha": [1.0]}, refit=False).fit(X, Y), "predict")


@pytest.mark.parametrize(
    ("search", "word"),
    [
        (SweepCV(LogisticRegression(), {"C": [1.0]}), "GridSearchCV"),
        (SweepCV(SGDClassifier(), {"standardize": [True, False]}), "standardize"),
        (SweepCV(SGDClassifier(), {"alpha": [-1.0]}), "alpha"),
        (SweepCV(SGDClassifier(), {"alpha": 1.0}), "param_grid"),
        (SweepCV(SGDClassifier(), {"alpha": [1.0]}, cv=1), "cv must be"),
        (SweepCV(SGDClassifier(), {"alpha": [1.0]}, cv=None), "cv must be"),
        (SweepCV(SGDClassifier(), {"alpha": [1.0]}, scoring="f1"), "scoring must be"),
        (SweepCV(SGDClassifier(), {"alpha": [1.0]}, scoring=["accuracy", "roc_auc"]), "refit must be"),
        (SweepCV(SGDClassifier(early_stopping=True), {"alpha": [1.0]}), "early_stopping"),
        (SweepCV(SGDClassifier(), {"C": [1.0, 2.0]}), "'C' in param_grid is no parameter of SGDClassifier"),
        (SweepCV(SGDClassifier(), {"C": [1.0]}), "'C' in param_grid is no parameter of SGDClassifier"),
        (SweepCV(SGDClassifier, {"alpha": [1.0]}), r"wants brackets: SGDClassifier\(\)"),
        (SweepCV(SGDClassifier(), {"alpha": [1.0]}, verbose="yes"), "verbose must be"),
    ],
)
def test_mistakes_are_told_before_any_work(search, word):
    with pytest.raises(ConfigError, match=word):
        search.fit(X, Y)


def test_validation_rows_and_folds_are_not_both_taken():
    with pytest.raises(ConfigError, match="cv=None"):
        SweepCV(SGDClassifier(), {"alpha": [1.0]}).fit(X, Y, validation=(X, Y))


def test_the_seed_may_stand_in_the_grid():
    grid = {"random_state": [3], "alpha": [1.0, 0.01]}
    there = SweepCV(SGDClassifier(), grid, cv=3).fit(X, Y)
    here = SweepCV(SGDClassifier(random_state=3), {"alpha": grid["alpha"]}, cv=3).fit(X, Y)
    assert there.best_params_["random_state"] == 3
    np.testing.assert_array_equal(there.cv_results_["mean_test_score"], here.cv_results_["mean_test_score"])


def test_without_a_refit_the_best_is_named_as_in_scikit_learn():
    search = SweepCV(SGDClassifier(random_state=0), {"alpha": [100.0, 1e-3]}, scoring="neg_log_loss", refit=False)
    search.fit(X, Y)
    assert (search.best_params_, search.best_index_) == ({"alpha": 1e-3}, 1)
    assert search.best_score_ == search.cv_results_["mean_test_score"][1]
    assert not hasattr(search, "best_estimator_")
    search.set_params(scoring=["accuracy", "neg_log_loss"]).fit(X, Y)
    assert not hasattr(search, "best_params_")  # Of an earlier fit; with several scores there is no best.


def test_a_search_forgets_the_columns_of_the_one_before():
    search = SweepCV(SGDClassifier(random_state=0), {"alpha": [1e-3]}, cv=2).fit(
        pd.DataFrame(X, columns=list("abcd")), Y
    )
    assert search.feature_names_in_.tolist() == list("abcd")
    assert not hasattr(search.fit(X, Y), "feature_names_in_")


def test_a_score_that_a_split_cannot_have_is_told():
    rare = np.arange(len(X)) == 7
    with pytest.warns(UserWarning, match="test scores are non-finite"):
        SweepCV(SGDClassifier(random_state=0), {"alpha": [1e-3]}, cv=3, scoring="roc_auc").fit(X, rare)
