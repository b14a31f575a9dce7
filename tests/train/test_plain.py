"""Plain steps: scikit-learn's, up to rounding, wherever its classes have them; and by the formula where they have not."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from sklearn import linear_model

import dsgd
from dsgd import DataError, Sync
from dsgd.train.config import FitConfig

RATES = ("constant", "optimal", "invscaling", "adaptive")


def problem(kind: str = "dense", rows: int = 120):
    rng = np.random.default_rng(7)
    X = rng.normal(size=(rows, 5))
    score = X @ [1.0, 2.0, 0.0, -1.0, 0.5] + rng.logistic(size=rows)
    if kind == "sparse":
        X = scipy.sparse.csr_array(np.where(rng.uniform(size=X.shape) < 0.5, X, 0.0))
    return X, score, rng.uniform(0.2, 2.0, rows)


def same(name: str, X, y, weight=None, **options):
    """Fit scikit-learn's class and ours alike, and compare what they know."""
    defaults = {"eta0": 0.01, "alpha": 1e-2, "power_t": 0.3, "max_iter": 4, "tol": None, "shuffle": False}
    options = defaults | {"learning_rate": "constant"} | options
    theirs = getattr(linear_model, name)(**options).fit(X, y, sample_weight=weight)
    ours = getattr(dsgd, name)(**options).fit(X, y, sample_weight=weight)
    np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(ours.intercept_, theirs.intercept_, rtol=1e-9, atol=1e-12)
    assert ours.n_iter_ == theirs.n_iter_
    if "early_stopping" not in options:  # They count the rows held out, too.
        assert ours.t_ == theirs.t_
    assert ours.coef_.shape == theirs.coef_.shape
    return ours


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("rates", RATES)
@pytest.mark.parametrize("penalty", ["l2", "l1", "elasticnet"])
def test_the_steps_are_scikit_learns(kind, rates, penalty):
    X, score, weight = problem(kind)
    for classes in (score > 0, np.digitize(score, [-1, 1])):
        same("SGDClassifier", X, classes, weight, loss="log_loss", learning_rate=rates, penalty=penalty)
    same("SGDRegressor", X, score, weight, loss="huber", learning_rate=rates, penalty=penalty)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_the_average_is_scikit_learns(kind):
    X, score, weight = problem(kind)
    for average in (True, 200, 10_000):
        same("SGDClassifier", X, score > 0, weight, loss="hinge", average=average, learning_rate="invscaling")
    same("SGDClassifier", X, np.digitize(score, [0, 1]), loss="hinge", average=7, learning_rate="optimal")


@pytest.mark.parametrize("loss", ["hinge", "modified_huber", "squared_hinge", "huber", "squared_epsilon_insensitive"])
def test_losses_and_stopping_are_scikit_learns(loss):
    X, score, _ = problem()
    options = {"loss": loss, "learning_rate": "adaptive", "tol": 1e-3, "max_iter": 300, "n_iter_no_change": 2}
    ours = same("SGDClassifier", X, score > 0, fit_intercept=False, **options)
    assert 2 < ours.n_iter_ < 300


@pytest.mark.parametrize("name", ["SGDClassifier", "SGDRegressor"])
def test_early_stopping_is_scikit_learns(name):
    X, score, weight = problem()
    y = score > 0 if name == "SGDClassifier" else score
    options = {"loss": "hinge"} if name == "SGDClassifier" else {}
    options |= {"early_stopping": True, "validation_fraction": 0.3, "tol": 1e-3, "max_iter": 200, "n_iter_no_change": 3}
    ours = same(name, X, y, weight, learning_rate="constant", random_state=3, **options)
    assert ours.n_iter_ < 200


def test_parts_and_warm_starts_are_scikit_learns():
    X, score, _ = problem()
    options = {"eta0": 0.02, "alpha": 1e-2, "learning_rate": "invscaling", "power_t": 0.3, "average": 50}
    options["shuffle"] = False
    theirs, ours = linear_model.SGDRegressor(**options), dsgd.SGDRegressor(**options)
    for part in (slice(0, 30), slice(30, 70), slice(70, 120)):
        theirs.partial_fit(X[part], score[part])
        ours.partial_fit(X[part], score[part])
        np.testing.assert_allclose(ours.coef_, theirs.coef_, rtol=1e-9)
        assert ours.t_ == theirs.t_
    begun = same("SGDRegressor", X, score)
    options = {"eta0": 0.01, "learning_rate": "constant", "max_iter": 2, "tol": None, "shuffle": False, "alpha": 1e-2}
    later = dsgd.SGDRegressor(**options).fit(X, score, coef_init=begun.coef_, intercept_init=begun.intercept_)
    expected = linear_model.SGDRegressor(**options)
    expected.fit(X, score, coef_init=begun.coef_, intercept_init=begun.intercept_)
    np.testing.assert_allclose(later.coef_, expected.coef_, rtol=1e-9)


def by_hand(X, y, *, eta0, l1, l2, average, epochs, offset, everywhere):
    """The formula, weight by weight; ``everywhere`` says that l1 cuts the weights of zeros, too, as of columns of numbers."""
    weights, mean, taken = (np.zeros(X.shape[1]) for _ in range(3))
    gathered, intercept, step = 0.0, 0.0, 0
    for _ in range(epochs):
        for row, target in zip(X, y, strict=True):
            error = row @ weights + intercept + offset - target
            weights = weights * max(0.0, 1 - eta0 * l2) - eta0 * error * row
            intercept -= eta0 * error
            step += 1
            mean += (weights - mean) / (step - average + 1) if step >= average else 0.0
            gathered += eta0 * l1
            before, touched = weights.copy(), (row != 0) | everywhere
            up, down = np.maximum(0, weights - gathered - taken), np.minimum(0, weights + gathered - taken)
            weights = np.where(touched, np.where(weights > 0, up, down), weights)
            taken += weights - before
    return weights, mean


@pytest.mark.parametrize("kind", ["numbers", "categories"])
def test_columns_of_a_frame_and_an_average_of_what_l1_cuts(kind):
    X, y, _ = problem(rows=60)
    X[:, 1] = np.where(X[:, 1] > 0, 1.0, 0.0)
    frame = pd.DataFrame(X, columns=list("abcde"))
    if kind == "categories":
        # The weights of both categories move; the other numbers stay what they are.
        X = np.column_stack([np.delete(X, 1, axis=1), X[:, 1] == 0, X[:, 1] == 1]).astype(float)
        frame["b"] = np.where(frame["b"] > 0, "up", "down")
    options = {"eta0": 0.01, "alpha": 0.02, "penalty": "elasticnet", "l1_ratio": 0.5, "shuffle": False, "tol": None}
    model = dsgd.SGDRegressor(**options, average=5, max_iter=3, dtype="float64").fit(frame, y, offset=np.full(60, 0.5))
    everywhere = np.array([True] * 4 + [kind == "numbers"] * (X.shape[1] - 4))
    weights, mean = by_hand(X, y, eta0=0.01, l1=0.01, l2=0.01, average=5, epochs=3, offset=0.5, everywhere=everywhere)
    found = model.coef_ if kind == "numbers" else model.coef_[model.coef_ != 0]
    np.testing.assert_allclose(np.sort(found), np.sort(mean), rtol=1e-9)
    assert not np.allclose(weights, mean)


def test_standardised_steps_are_those_of_standardised_columns():
    X, y, _ = problem()
    X = 5.0 + X * [1.0, 10.0, 0.1, 3.0, 2.0]
    options = {"eta0": 0.01, "learning_rate": "constant", "alpha": 1e-2, "max_iter": 3, "tol": None, "shuffle": False}
    scaled = (X - X.mean(axis=0)) / X.std(axis=0)
    model = dsgd.SGDRegressor(standardize=True, **options).fit(X, y)
    expected = linear_model.SGDRegressor(**options).fit(scaled, y)
    np.testing.assert_allclose(model.predict(X), expected.predict(scaled), rtol=1e-9)


def test_a_seed_decides_the_order_and_threads_do_not():
    X, score, _ = problem()
    y = np.digitize(score, [-1, 1])
    options = {"learning_rate": "optimal", "alpha": 1e-2, "max_iter": 3, "tol": None}
    one, two, other = (
        dsgd.SGDClassifier(**options, **more).fit(X, y).coef_
        for more in ({"random_state": 1}, {"random_state": 1, "n_jobs": 2}, {"random_state": 2})
    )
    np.testing.assert_array_equal(one, two)
    assert np.abs(one - other).max() > 1e-3


@pytest.mark.parametrize(
    ("given", "plain"),
    [
        ({}, False),
        ({"eta0": 0.1}, True),
        ({"learning_rate": "optimal", "alpha": 0.1}, True),
        ({"learning_rate": "invscaling"}, False),
        ({"eta0": 0.1, "batch_size": 1}, False),
        ({"eta0": 0.1, "optimizer": "sgd"}, False),
        ({"eta0": 0.1, "n_workers": 2}, False),
        ({"eta0": 0.1, "mode": Sync("engine")}, False),
        ({"eta0": 0.1, "family": "multinomial"}, False),
        ({"eta0": 0.1, "learning_rate": "cosine"}, False),
    ],
)
def test_who_is_given_plain_steps(given, plain):
    assert FitConfig(**given).plain is plain


def test_steps_that_diverge_are_an_error():
    X, score, _ = problem()
    with pytest.raises(DataError, match="overflow occurred at epoch #1"):
        dsgd.SGDRegressor(eta0=1e300, alpha=0.0).fit(X, score)
