"""Scales do not matter when standardised; the intercept and columns without spread are treated as such."""

import numpy as np
import pytest
import scipy.sparse

from dsgd.train.modes import Sync

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


@pytest.mark.parametrize("recipe", [*RECIPES, "adagrad", "adam"])
def test_a_column_so_far_from_zero_that_float32_has_few_digits_left(recipe):
    """Its deviations are kept by themselves: they are 1/100,000 of the mean."""
    X, y = problem(2000)
    far = X.copy()
    far[:, 0] += 1e5
    far = far.astype(np.float32)
    config = RECIPES.get(recipe, {"optimizer": recipe, "max_iter": 5}) | {"standardize": True, "alpha": 1e-3}
    near = train(far.astype(np.float64) - np.array([1e5, 0, 0, 0, 0, 0]), y, **config)
    model = train(far, y, **config)
    np.testing.assert_allclose(model.coef, near.coef, rtol=1e-3, atol=1e-4 if recipe in RECIPES else 1e-3)


def some_sparse(rows: int = ROWS):
    """Sparse columns of different scales, one constant and one without a value; two classes."""
    X, y = problem(rows)
    X = np.where(np.random.default_rng(1).random(X.shape) < 0.5, 0.0, X + 0.5) * np.logspace(-2, 2, COLUMNS)
    return np.column_stack([X, np.full(rows, 7.0), np.zeros(rows)]), y


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize(
    "config",
    [
        {},
        {"penalty": "l1"},
        RECIPES["svrg"],
        {"mode": Sync("engine")},
        {"mode": Sync("engine"), "optimizer": "sgd", "max_iter": 300, "tol": 1e-8},
    ],
    ids=str,
)
def test_sparse_columns_are_scaled(config, n_workers):
    """Not centred, which changes the intercept alone: with the penalty, the optimum is that of dense columns."""
    X, y = some_sparse()
    spread = X.std(0)
    standardised = np.divide(X - X.mean(0), spread, out=np.zeros_like(X), where=spread > 0)
    share = 1.0 if config.get("penalty") == "l1" else 0.0
    best = solve("log_loss", standardised, np.where(y == 1, 1.0, -1.0), None, 0.02, share)
    found = train(scipy.sparse.csr_array(X), y, standardize=True, alpha=0.02, n_workers=n_workers, **config)
    np.testing.assert_allclose(found.coef[0] * spread, best.coef, atol=2e-3)
    assert found.intercept[0] + found.coef[0] @ X.mean(0) == pytest.approx(best.intercept, abs=2e-3)
    assert (found.coef[0, COLUMNS:] == 0).all()


def test_sparse_columns_and_a_model_to_start_from():
    """Weights go in and come out by the data as given: at the optimum there is nothing left to do, for any rule."""
    X, y = some_sparse()
    config = {"standardize": True, "alpha": 0.02, "dtype": "float64"}
    first = train(scipy.sparse.csr_array(X), y, tol=1e-10, **config)
    again = train(scipy.sparse.csr_array(X), y, initial=first, optimizer="svrg", max_iter=1, tol=None, **config)
    np.testing.assert_allclose(again.coef, first.coef, rtol=1e-4, atol=1e-7)
    np.testing.assert_allclose(again.intercept, first.intercept, rtol=1e-4)


def test_sparse_validation_rows_are_scaled_as_the_others():
    X, y = some_sparse()
    held_out, target = some_sparse(300)
    model = train(
        scipy.sparse.csr_array(X), y, validation=(scipy.sparse.csr_array(held_out), target),
        standardize=True, alpha=0.02, early_stopping=True, max_iter=1, dtype="float64", optimizer="adagrad",
    )  # fmt: skip
    loss = Objective("log_loss", held_out, np.where(target == 1, 1.0, -1.0))(model.coef, model.intercept)
    assert model.history[-1]["validation"] == pytest.approx(loss, rel=1e-6)


@pytest.mark.parametrize("kind", [np.asarray, scipy.sparse.csr_array])
def test_a_model_without_an_intercept_is_not_centred(kind):
    X, y = some_sparse()
    X = X[:, :COLUMNS]
    model = train(kind(X), y, standardize=True, alpha=0.02, fit_intercept=False)
    best = solve("log_loss", X / X.std(0), np.where(y == 1, 1.0, -1.0), None, 0.02, fit_intercept=False)
    assert model.intercept[0] == 0
    np.testing.assert_allclose(model.coef[0] * X.std(0), best.coef, atol=2e-3)


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
