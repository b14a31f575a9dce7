"""A small problem, the recipes that reach its optimum, and what it means that two models are about the same."""

import numpy as np

ROWS, COLUMNS = 600, 6
RECIPES = {
    "auto": {"optimizer": "auto"},
    "svrg": {"optimizer": "svrg", "tol": 1e-7, "max_iter": 300},
    "averaged": {"optimizer": "sgd", "average": True, "tol": 1e-6, "max_iter": 300},
}
RULES = ("auto", "svrg", "sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl")


def problem(rows: int = ROWS, seed: int = 0):
    """Normal columns and two classes."""
    rng = np.random.default_rng(seed)
    X = rng.standard_normal((rows, COLUMNS))
    return X, np.where(X @ rng.standard_normal(COLUMNS) + 0.5 + rng.logistic(size=rows) > 0, 1, 0)


def close(left, right, tolerance=1e-3):
    """Assert that two models are about the same."""
    scale = max(np.abs(right.coef).max(), 1e-9)
    np.testing.assert_allclose(left.coef / scale, right.coef / scale, atol=tolerance)
    np.testing.assert_allclose(left.intercept, right.intercept, atol=tolerance * max(scale, 1.0))
