"""Columns that add up to another leave directions in which nothing changes: weights stay where they begin along them."""

import numpy as np
import pytest

from ..reference.optimum import Objective
from .fits import train


def one_hot(rows: int, seed: int = 0):
    """Two columns of categories, one-hot with none dropped, beside numbers; and labels of them."""
    rng = np.random.default_rng(seed)
    parts = [np.eye(5)[rng.integers(0, 5, rows)], np.eye(12)[rng.integers(0, 12, rows)], rng.normal(size=(rows, 3))]
    X = np.hstack(parts)
    return X, X @ rng.normal(size=X.shape[1]) + rng.logistic(size=rows) > 0


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("rows", [3000, 60_000])
def test_weights_stay_small_without_a_penalty(dtype, standardize, rows):
    X, y = one_hot(rows)
    full = train(X, y, alpha=0.0, dtype=dtype, standardize=standardize, tol=1e-6)
    # The same model with the redundant columns left out.
    least = train(np.delete(X, [0, 5], axis=1), y, alpha=0.0, dtype="float64", tol=1e-8)
    signs = np.where(y, 1.0, -1.0)
    reached = Objective("log_loss", X, signs)(full.coef, full.intercept)
    best = Objective("log_loss", np.delete(X, [0, 5], axis=1), signs)(least.coef, least.intercept)
    assert reached == pytest.approx(best, rel=1e-6)
    assert np.abs(full.coef).max() < 2 * np.abs(least.coef).max()
    assert abs(full.intercept[0]) < 5


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_model_that_goes_on_from_the_optimum_stays_there(dtype):
    X, y = one_hot(4000)
    config = {"alpha": 0.0, "dtype": dtype, "standardize": True, "tol": 1e-6}
    first = model = train(X, y, **config)
    for _ in range(5):
        model = train(X, y, initial=model, **config)
    assert np.abs(model.coef - first.coef).max() < 0.2
    assert abs(model.intercept[0] - first.intercept[0]) < 0.2


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_columns_far_from_zero_are_not_taken_for_the_intercept(dtype):
    """A column that hardly varies beside its mean is nearly a multiple of the intercept, and not quite."""
    rng = np.random.default_rng(0)
    X = rng.normal(size=(20_000, 3))
    y = X @ [1.0, -1.0, 2.0] + rng.logistic(size=20_000) > 0
    near = train(X, y, alpha=0.0, dtype="float64", tol=1e-8)
    far = train(X + 1000, y, alpha=0.0, dtype=dtype, tol=1e-8)
    np.testing.assert_allclose(far.coef, near.coef, atol=0.05 if dtype == "float32" else 1e-3)
