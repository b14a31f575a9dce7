"""Fits that go on from a model: after a warm start, with the state of the rule, on data in parts."""

import numpy as np
import pytest
import scipy.sparse

from dsgd import SGDClassifier, SGDRegressor
from dsgd.train.modes import Sync

from ..train.fits import train
from .problems import COLUMNS, RECIPES, RULES, close, problem


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("rule", ["sgd", "adagrad", "adam", "ftrl"])
def test_going_on_equals_not_stopping(rule, n_workers):
    """The state of the rule is kept: two fits of one epoch are a fit of two, but for the order of the rows."""
    X, y = problem()
    config = {"optimizer": rule, "eta0": 0.1, "tol": None, "n_workers": n_workers, "shuffle": False, "dtype": "float64"}
    whole = train(X, y, max_iter=2, **config)
    first = train(X, y, max_iter=1, **config)
    kept = {name: np.array(value) for name, value in first.state.items() if isinstance(value, np.ndarray)}
    second = train(X, y, max_iter=1, initial=first, **config)
    close(second, whole, 1e-9)
    assert second.steps == whole.steps
    for name, value in kept.items():  # what was handed in is not written to
        np.testing.assert_array_equal(first.state[name], value)


def test_the_state_of_another_rule_is_not_taken():
    X, y = problem()
    first = train(X, y, optimizer="adagrad", max_iter=1)
    model = train(X, y, optimizer="adam", max_iter=1, initial=first)
    assert np.isfinite(model.coef).all()


@pytest.mark.parametrize("rule", RULES)
def test_every_recipe_counts_its_steps(rule):
    automatic = rule == "auto"  # its steps are rounds; those of the others are of about a hundred rows
    model = train(*problem(), optimizer=rule, batch_size="auto" if automatic else 100, max_iter=3, tol=None)
    assert model.epochs == 3
    assert model.steps == (3 if automatic else pytest.approx(3 * 6, rel=0.25))


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_warm_start_is_at_the_optimum(recipe):
    X, y = problem()
    first = train(X, y, alpha=0.01, **RECIPES[recipe])
    again = train(X, y, alpha=0.01, initial=first, **RECIPES[recipe])
    assert again.epochs <= first.epochs
    close(again, first, 5e-3)


def test_data_in_parts_with_all_classes_named():
    X, y = problem(900)
    y = y + (X[:, 0] > 1)
    order = np.argsort(y, kind="stable")
    model = None
    for _ in range(10):
        for part in np.array_split(order, 3):  # each part has one class, or two
            config = {"optimizer": "adagrad", "max_iter": 1, "tol": None, "batch_size": 16}
            model = train(X[part], y[part], initial=model, classes=[0, 1, 2], **config)
    assert model.coef.shape == (3, COLUMNS)
    assert np.isfinite(model.coef).all()
    assert model.classes.tolist() == [0, 1, 2]


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("form", ["dense", "sparse", "engine"])
def test_a_column_that_is_constant_in_later_rows_keeps_its_weight(form, fit_intercept, n_workers):
    """With steps too small to matter the model stays as it is, whatever the later rows are standardised by."""
    X, y = problem()
    later = X[:200].copy()
    later[:, 0], later[:, 1] = 0.0, 3.0
    if form == "sparse":
        X, later = (scipy.sparse.csr_array(rows) for rows in (X, later))
    config = {"standardize": True, "fit_intercept": fit_intercept, "n_workers": n_workers, "dtype": "float64"}
    first = train(X, y, **config)
    tiny = {"optimizer": "sgd", "eta0": 1e-12, "max_iter": 1, "mode": Sync("engine" if form == "engine" else "ring")}
    second = train(later, y[:200], initial=first, **config | tiny)
    assert np.abs(first.coef).min() > 0.01
    close(second, first, 1e-9)


def test_a_column_that_is_constant_at_first_is_learnt_later():
    X, y = problem()
    start = X.copy()
    start[:, 0] = 2.0
    first = train(start, y, standardize=True, optimizer="adagrad", max_iter=2)
    assert first.coef[0, 0] == 0
    second = train(X, y, initial=first, standardize=True, optimizer="adagrad", max_iter=20)
    close(second, train(X, y, standardize=True), 0.1)


@pytest.mark.parametrize("mode", [Sync(), Sync("engine"), Sync("engine", local_steps="epoch")])
def test_every_rank_knows_the_weight_of_earlier_rows(mode):
    X, y = problem()
    config = {"optimizer": "adagrad", "max_iter": 1, "tol": None, "n_workers": 2, "mode": mode, "dtype": "float64"}
    first = train(X, y, **config)
    assert first.state["weight"] == len(y)
    added = train(X, y, initial=first, seen=first.state["weight"], **config)
    assert added.state["weight"] == 2 * len(y)
    close(added, train(X, y, initial=first, alpha=0.5 / len(y), **config), 1e-12)


@pytest.mark.parametrize("estimator", [SGDClassifier, SGDRegressor])
def test_parts_add_up_to_the_weight_that_the_penalty_goes_by(estimator):
    """``alpha="auto"`` is 1 / (weight of all rows so far): of the fit before, if there was one, and of every part."""
    X, y = problem()
    weight = np.linspace(0.5, 2.0, len(y))
    parts = np.array_split(np.arange(len(y)), 3)
    automatic, given = estimator(random_state=0), estimator(random_state=0)
    total = weight[parts[0]].sum()
    automatic.fit(X[parts[0]], y[parts[0]], weight[parts[0]])
    given.set_params(alpha=1 / total).fit(X[parts[0]], y[parts[0]], weight[parts[0]])
    for part in parts[1:]:
        total += weight[part].sum()
        automatic.partial_fit(X[part], y[part], sample_weight=weight[part])
        given.set_params(alpha=1 / total).partial_fit(X[part], y[part], sample_weight=weight[part])
        np.testing.assert_allclose(automatic.coef_, given.coef_, rtol=1e-10)
    again = automatic.set_params(warm_start=True, tol=1e-12).fit(X, y)
    close(again.model_, estimator(random_state=0, tol=1e-12).fit(X, y).model_, 1e-4)
