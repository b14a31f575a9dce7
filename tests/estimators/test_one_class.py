"""The one-class support vector machine: its optimum against libsvm's, its steps against scikit-learn's, and what it refuses."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import SGDOneClassSVM as Theirs
from sklearn.svm import OneClassSVM

from dsgd import ConfigError, DataError, SGDOneClassSVM, read_parquet


@pytest.fixture(name="X", scope="module")
def rows():
    rng = np.random.default_rng(5)
    return rng.normal(size=(401, 4)) + np.array([2.0, 0.0, -1.0, 0.5])


def objective(X, nu, weights, offset):
    return 0.5 * nu * weights @ weights + np.maximum(0, offset - X @ weights).mean() - nu * offset


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.parametrize("nu", [0.05, 0.2, 0.77])
def test_the_defaults_give_the_optimum(X, nu, container):
    model = SGDOneClassSVM(nu=nu).fit(container(X))
    reference = OneClassSVM(kernel="linear", nu=nu, tol=1e-6).fit(X)
    weights, offset = reference.coef_[0] / (nu * len(X)), reference.offset_[0] / (nu * len(X))
    np.testing.assert_allclose(model.coef_, weights, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(model.offset_, offset, rtol=1e-4)
    assert objective(X, nu, model.coef_, model.offset_[0]) <= objective(X, nu, weights, offset) + 1e-12
    scores = model.decision_function(container(X))
    # nu lies between the share of outliers and that of outliers and rows at the boundary.
    assert (scores < -1e-5).mean() <= nu <= (scores < 1e-5).mean()
    np.testing.assert_array_equal(model.predict(container(X)), np.where(scores >= 0, 1, -1))
    np.testing.assert_allclose(model.score_samples(container(X)), scores + model.offset_)


def test_every_row_may_be_an_outlier(X):
    model = SGDOneClassSVM(nu=1.0).fit(X)
    np.testing.assert_allclose(model.coef_, X.mean(axis=0))
    assert model.decision_function(X).max() <= 1e-12


def test_without_an_intercept_the_offset_is_one(X):
    model = SGDOneClassSVM(nu=0.3, fit_intercept=False).fit(X)
    assert model.offset_ == 1.0
    least = objective(X, 0.3, model.coef_, 1.0)
    moves = np.random.default_rng(0).normal(size=(50, 4))
    assert all(least <= objective(X, 0.3, model.coef_ + 1e-3 * move, 1.0) for move in moves)


def test_a_fit_that_is_cut_short_says_so(X):
    with pytest.warns(match="max_iter=2 steps"):
        assert SGDOneClassSVM(nu=0.3, max_iter=2).fit(X).n_iter_ == 2


@pytest.mark.parametrize("container", [np.asarray, scipy.sparse.csr_array], ids=["dense", "sparse"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("rates", ["constant", "optimal", "invscaling", "adaptive"])
def test_steps_and_their_order_are_scikit_learns(X, rates, container):
    given = {"nu": 0.3, "learning_rate": rates, "eta0": 0.01, "tol": 1e-3, "max_iter": 60, "random_state": 4}
    for average in (False, 500):
        ours = SGDOneClassSVM(average=average, **given).fit(container(X))
        theirs = Theirs(average=average, **given).fit(container(X))
        if container is np.asarray:  # Of sparse rows, they judge by a part of the penalty.
            assert ours.n_iter_ == theirs.n_iter_
        else:
            theirs = Theirs(average=average, **given | {"tol": None, "max_iter": ours.n_iter_}).fit(container(X))
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-6)
        np.testing.assert_allclose(ours.offset_, theirs.offset_, rtol=1e-6)
        assert ours.t_ == theirs.t_


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"nu": 0}, "nu must be"),
        ({"nu": 1.5}, "nu must be"),
        ({"learning_rate": "pa1"}, "learning_rate must be"),
        ({"eta0": 0.0}, "eta0 must be"),
        ({"max_iter": 2.5}, "max_iter must be"),
        ({"tol": -1}, "tol must be"),
        ({"average": "yes"}, "average must be"),
        ({"shuffle": 1}, "shuffle must be"),
        ({"power_t": -1, "learning_rate": "invscaling"}, "power_t must be"),
        ({"warm_start": "no"}, "warm_start must be"),
    ],
)
def test_wrong_parameters_are_told_by_name(X, given, message):
    for fit in (SGDOneClassSVM(**given).fit, SGDOneClassSVM(**given).partial_fit):
        with pytest.raises(ConfigError, match=f"^{message}"):
            fit(X)


def test_wrong_data_and_steps_that_diverge(X):
    with pytest.raises(DataError, match="NaN"):
        SGDOneClassSVM().fit(np.where(X > 2, np.nan, X))
    with pytest.raises(DataError, match="sample_weight has shape"):
        SGDOneClassSVM().fit(X, sample_weight=np.ones(3))
    with pytest.raises(DataError, match="overflow occurred at epoch"):
        SGDOneClassSVM(eta0=1e300, nu=1e-3).fit(X * 1e10)


def test_rows_of_zeros_have_the_minimum_at_zero():
    model = SGDOneClassSVM(nu=0.3).fit(np.zeros((10, 3)))
    assert (model.coef_.tolist(), model.offset_.tolist()) == ([0.0, 0.0, 0.0], [0.0])
    assert SGDOneClassSVM(nu=0.3, fit_intercept=False).fit(np.zeros((10, 3))).offset_.tolist() == [1.0]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_warm_start_goes_on_from_sparse_coefficients(X):
    steps = {
        "eta0": 0.01,
        "learning_rate": "constant",
        "max_iter": 2,
        "tol": None,
        "warm_start": True,
        "random_state": 0,
    }
    dense = SGDOneClassSVM(**steps).fit(X).fit(X)
    np.testing.assert_array_equal(SGDOneClassSVM(**steps).fit(X).sparsify().fit(X).coef_, dense.coef_)


def test_where_to_begin_must_be_numbers(X):
    with pytest.raises(ConfigError, match="coef_init must hold numbers"):
        SGDOneClassSVM().fit(X, coef_init=["a", "b", "c", "d"])


def test_files_are_not_taken(tmp_path):
    with pytest.raises(DataError, match="takes a matrix or a frame of numbers in memory"):
        SGDOneClassSVM().fit(read_parquet(tmp_path))
