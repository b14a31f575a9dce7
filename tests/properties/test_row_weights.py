"""Weights count as repeated rows, offsets add to the score, and the names of classes do not matter."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from ..train.fits import against_optimum, train
from .problems import RECIPES, ROWS, RULES, close, problem


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("recipe", RECIPES)
def test_a_weight_counts_as_repeated_rows(recipe, n_workers):
    X, y = problem()
    times = np.random.default_rng(1).integers(0, 4, ROWS)
    weighted = train(X, y, times.astype(float), alpha=0.01, n_workers=n_workers, **RECIPES[recipe])
    repeated = train(X.repeat(times, axis=0), y.repeat(times), alpha=0.01, n_workers=n_workers, **RECIPES[recipe])
    close(weighted, repeated, 0.05 if recipe == "averaged" else 1e-3)


@pytest.mark.parametrize("factor", [1e-3, 1e4])
@pytest.mark.parametrize("rule", ["auto", "svrg", "adagrad", "sgd"])
def test_the_scale_of_all_weights_does_not_matter(rule, factor):
    X, y = problem()
    weight = np.random.default_rng(2).random(ROWS) + 0.1
    config = {"optimizer": rule, "alpha": 0.01, "max_iter": 5, "dtype": "float64"}
    close(train(X, y, factor * weight, **config), train(X, y, weight, **config), 1e-6)


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_rows_of_no_weight_change_nothing_but_steps(kind, rule):
    """Full batches, so that the mini-batches do not depend on rows that count for nothing."""
    X, y = problem(64)
    wrong = np.concatenate([X, 1e3 * X]), np.concatenate([y, 1 - y])
    weight = np.repeat([1.0, 0.0], 64)
    config = {"optimizer": rule, "alpha": 0.01, "max_iter": 3, "dtype": "float64", "eta0": 0.01, "batch_size": 128}
    make = sparse.csr_matrix if kind == "sparse" else np.asarray
    close(train(make(wrong[0]), wrong[1], weight, **config), train(make(X), y, **config), 1e-6)


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("loss", ["log_loss", "poisson", "gamma", "squared_error"])
def test_offsets_add_to_the_score(loss, recipe):
    X, _ = problem()
    rng = np.random.default_rng(3)
    offset = rng.normal(1.0, 0.7, ROWS)
    score = 0.3 * X[:, 0] - 0.5 + offset
    targets = {
        "log_loss": np.where(score + rng.logistic(size=ROWS) > 0, 1.0, -1.0),
        "poisson": rng.poisson(np.exp(score)).astype(float),
        "gamma": rng.gamma(2.0, np.exp(score) / 2.0),
        "squared_error": score + rng.standard_normal(ROWS),
    }
    weight = rng.random(ROWS) + 0.5
    found = against_optimum(loss, X, targets[loss], weight, offset, alpha=0.01, **RECIPES[recipe])
    assert found.excess < (3e-4 if recipe == "averaged" else 1e-4)


@pytest.mark.parametrize("class_weight", ["balanced", {"no": 3.0, "yes": 0.5}, {"no": 2.0}])
def test_class_weights_as_scikit_learn(class_weight):
    X, y = problem()
    names = np.where(y == 1, "yes", "no")
    weight = np.random.default_rng(4).random(ROWS) + 0.2
    # "balanced" counts rows, whatever they weigh, as scikit-learn's SGDClassifier does.
    as_dict = class_weight
    if class_weight == "balanced":
        as_dict = dict(zip(["no", "yes"], ROWS / (2 * np.bincount(y)), strict=True))
    peer = LogisticRegression(C=np.inf, class_weight=as_dict, tol=1e-9, max_iter=500).fit(X, names, weight)
    for n_workers in (1, 2):
        model = train(X, names, weight, penalty=None, class_weight=class_weight, n_workers=n_workers)
        np.testing.assert_allclose(model.coef, peer.coef_, rtol=0.01, atol=1e-3)
        np.testing.assert_allclose(model.intercept, peer.intercept_, rtol=0.01, atol=1e-3)


def test_class_weights_of_several_classes():
    X, _ = problem()
    y = np.digitize(X[:, 0] + np.random.default_rng(5).logistic(size=ROWS), [-1, 1])
    weights = {0: 1.0, 1: 5.0, 2: 0.2}
    repeated = np.array([weights[value] for value in y.tolist()])
    close(train(X, y, class_weight=weights, alpha=0.01), train(X, y, repeated, alpha=0.01), 1e-4)


@pytest.mark.parametrize("rule", ["auto", "adagrad"])
def test_names_of_classes_do_not_matter(rule):
    X, _ = problem()
    y = np.digitize(X[:, 0] + 0.3 * X[:, 1], [-0.5, 0.5])
    config = {"optimizer": rule, "alpha": 0.01, "max_iter": 20, "dtype": "float64"}
    plain = train(X, y, **config)
    renamed = train(X, np.array(["c", "a", "b"])[y], **config)
    assert renamed.classes.tolist() == ["a", "b", "c"]
    np.testing.assert_allclose(renamed.coef[[2, 0, 1]], plain.coef, atol=1e-6)
    flipped = train(X, np.where(y == 0, "z", "y"), **config)
    straight = train(X, np.where(y == 0, "a", "b"), **config)
    np.testing.assert_allclose(flipped.coef, -straight.coef, atol=1e-6)
