"""Fits that go on from a model: after a warm start, with the state of the rule, on data in parts."""

import numpy as np
import pytest

from ..train.fits import train
from .problems import COLUMNS, RECIPES, close, problem


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
