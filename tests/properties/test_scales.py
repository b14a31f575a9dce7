"""Scales do not matter when standardised; the intercept and columns without spread are treated as such."""

import numpy as np
import pytest

from ..reference.optimum import Objective, solve
from ..train.fits import train
from .problems import COLUMNS, RECIPES, ROWS, RULES, problem


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("recipe", ["auto", "svrg", "averaged", "adagrad"])
def test_scales_do_not_matter_when_standardised(recipe, n_workers):
    X, y = problem()
    scale, shift = np.logspace(-3, 3, COLUMNS), np.array([0, 5, -3, 0, 100, 0])
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 10}) | {"alpha": 0.01, "dtype": "float64"}
    config |= {"standardize": True, "n_workers": n_workers}
    plain, scaled = train(X, y, **config), train(X * scale + shift, y, **config)
    np.testing.assert_allclose(scaled.coef * scale, plain.coef, rtol=1e-3, atol=1e-6)
    np.testing.assert_allclose(scaled.intercept + scaled.coef @ shift, plain.intercept, atol=1e-3)


@pytest.mark.parametrize("recipe", RECIPES)
def test_the_penalty_is_on_the_standardised_scale(recipe):
    """As in Spark ML with ``standardization=true``."""
    X, y = problem()
    X = X * np.logspace(-1, 1, COLUMNS)
    model = train(X, y, alpha=0.1, standardize=True, **RECIPES[recipe])
    best = solve("log_loss", (X - X.mean(0)) / X.std(0), np.where(y == 1, 1.0, -1.0), None, 0.1)
    np.testing.assert_allclose(model.coef[0] * X.std(0), best.coef, rtol=0.02, atol=2e-3)


@pytest.mark.parametrize("recipe", [*RECIPES, "adagrad", "sgd"])
def test_a_column_far_from_zero(recipe):
    """The year of a flight: 2013 with a spread of 0.3, in float32."""
    X, y = problem(2000)
    X = X.astype(np.float32)
    far = X.copy()
    far[:, 0] = 2013 + 0.3 * X[:, 0]
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 100}) | {"standardize": True, "alpha": 1e-3}
    model = train(far, y, **config)
    objective = Objective("log_loss", far.astype(float), np.where(y == 1, 1.0, -1.0))
    best = solve("log_loss", X, np.where(y == 1, 1.0, -1.0), None, 1e-3)
    allowed = 1e-3 if recipe in RECIPES else 0.02
    # The intercept is 2013 times the slope: its rounding to float32 shifts all scores a little.
    shift = float(np.abs(model.intercept[0])) * 2.0**-22
    assert (
        objective(model.coef, model.intercept)
        < Objective("log_loss", X, np.where(y == 1, 1.0, -1.0))(best.coef, best.intercept) * (1 + allowed) + shift
    )


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("rule", RULES)
def test_constant_columns(rule, standardize):
    X, y = problem()
    X = np.column_stack([X, np.full(ROWS, 7.0), np.zeros(ROWS)])
    model = train(X, y, optimizer=rule, standardize=standardize, max_iter=5, alpha=0.01)
    assert np.isfinite(model.coef).all()
    assert model.coef[0, -1] == 0
    assert standardize is False or model.coef[0, -2] == 0


@pytest.mark.parametrize("recipe", [*RECIPES, "adagrad"])
def test_the_intercept_is_not_penalised(recipe):
    X, y = problem()
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 200, "tol": None})
    model = train(X, y, alpha=1e3, **config)
    share = y.mean()
    assert np.abs(model.coef).max() < 1e-2
    assert model.intercept[0] == pytest.approx(np.log(share / (1 - share)), abs=0.05)


@pytest.mark.parametrize("recipe", RECIPES)
def test_without_an_intercept(recipe):
    X, y = problem()
    signs = np.where(y == 1, 1.0, -1.0)
    best = solve("log_loss", X, signs, None, 0.01, fit_intercept=False)
    model = train(X, y, alpha=0.01, fit_intercept=False, **RECIPES[recipe])
    assert model.intercept[0] == 0
    assert Objective("log_loss", X, signs, alpha=0.01)(model.coef, np.zeros(1)) < best.objective * (1 + 1e-4)
