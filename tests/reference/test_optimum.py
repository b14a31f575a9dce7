"""The reference solver is right by measures of its own: finite differences, optimality conditions, scikit-learn."""

import numpy as np
import pytest
from scipy import sparse
from sklearn.linear_model import LogisticRegression

from .formulas import LOSSES
from .optimum import Objective, kkt_violation, solve

ROWS, COLUMNS, CLASSES = 400, 8, 3
# Losses with kinks have a reference of their own, the linear program.
SMOOTH = [loss for loss in LOSSES if loss not in ("hinge", "epsilon_insensitive", "quantile")]


def problem(loss: str):
    """A small random problem with targets in the loss's domain."""
    generator = np.random.default_rng(5)
    X = generator.standard_normal((ROWS, COLUMNS)) * np.logspace(-1, 2, COLUMNS)
    score = X @ (generator.standard_normal(COLUMNS) / np.logspace(-1, 2, COLUMNS)) / 2
    noisy = score + generator.standard_normal(ROWS)
    if loss == "multinomial":
        return X, np.digitize(noisy, [-0.5, 0.5])
    if loss in ("poisson", "gamma", "tweedie"):
        return X, generator.poisson(np.exp(score)) + (loss == "gamma")
    return X, np.sign(noisy) if loss in ("log_loss", "hinge", "squared_hinge", "modified_huber") else noisy


@pytest.mark.parametrize("loss", LOSSES)
def test_gradient_is_the_derivative(loss):
    X, y = problem(loss)
    objective = Objective(loss, X / np.abs(X).max(axis=0), y)
    k = objective.outputs
    generator = np.random.default_rng(1)
    point, direction = generator.standard_normal((2, k, COLUMNS + 1))
    step = 1e-6

    def value(at):
        return objective.smooth(at[:, :-1], at[:, -1])[0]

    numeric = (value(point + step * direction) - value(point - step * direction)) / (2 * step)
    _, gradient, free = objective.smooth(point[:, :-1], point[:, -1])
    assert numeric == pytest.approx((gradient * direction[:, :-1]).sum() + free @ direction[:, -1], rel=1e-5, abs=1e-8)


@pytest.mark.parametrize("loss", SMOOTH)
@pytest.mark.parametrize("l1_ratio", [0.0, 0.5, 1.0])
def test_solution_is_optimal(loss, l1_ratio):
    X, y = problem(loss)
    X = X / X.std(axis=0)
    weight = np.random.default_rng(2).random(ROWS)
    alpha = 0.05
    found = solve(loss, X, y, weight, alpha, l1_ratio)
    objective = Objective(loss, X, y, weight=weight, alpha=alpha, l1_ratio=l1_ratio)
    assert kkt_violation(objective, found.coef, found.intercept) < 1e-5 * alpha
    assert found.objective == pytest.approx(objective(found.coef, found.intercept), rel=1e-14)


@pytest.mark.parametrize("loss", SMOOTH)
def test_l1_zeros_are_exact(loss):
    X, y = problem(loss)
    X = X / X.std(axis=0)
    null = solve(loss, X, y, alpha=1e6, l1_ratio=1.0)
    assert not null.coef.any()
    _, gradient, _ = Objective(loss, X, y).smooth(np.atleast_2d(null.coef), np.atleast_1d(null.intercept))
    entry = np.abs(gradient).max()  # above this strength everything is zero, below it the first coefficient enters
    assert not solve(loss, X, y, alpha=1.01 * entry, l1_ratio=1.0).coef.any()
    entered = solve(loss, X, y, alpha=0.95 * entry, l1_ratio=1.0).coef
    assert entered.any()
    assert (entered == 0).any()


def test_violation_sees_a_wrong_coordinate():
    X, y = problem("log_loss")
    X = X / X.std(axis=0)
    found = solve("log_loss", X, y, None, 0.05, 1.0)
    objective = Objective("log_loss", X, y, alpha=0.05, l1_ratio=1.0)
    moved = found.coef.copy()
    moved[np.flatnonzero(moved == 0)[0]] = 1e-6  # off zero by a hair: the l1 condition now asks for equality
    assert kkt_violation(objective, moved, found.intercept) > 1e-3 * 0.05


@pytest.mark.parametrize("fit_intercept", [True, False])
def test_agrees_with_scikit_learn_dense_and_sparse(fit_intercept):
    X, y = problem("log_loss")
    alpha = 0.01
    peer = LogisticRegression(C=1 / (alpha * ROWS), tol=1e-10, max_iter=10_000, fit_intercept=fit_intercept).fit(X, y)
    for features in (X, sparse.csr_matrix(X)):
        found = solve("log_loss", features, y, None, alpha, 0.0, fit_intercept)
        np.testing.assert_allclose(found.coef, peer.coef_[0], rtol=1e-4, atol=1e-7)
        assert found.intercept == pytest.approx(float(peer.intercept_[0]), abs=1e-5)


def test_multinomial_agrees_with_scikit_learn():
    X, y = problem("multinomial")
    alpha = 0.01
    peer = LogisticRegression(C=1 / (alpha * ROWS), tol=1e-10, max_iter=10_000).fit(X, y)
    found = solve("multinomial", X, y, None, alpha)
    assert found.coef.shape == (CLASSES, COLUMNS)
    np.testing.assert_allclose(found.coef, peer.coef_, rtol=1e-3, atol=1e-5)


def test_result_is_recalled(tmp_path, monkeypatch):
    X, y = problem("squared_error")
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    first = solve("squared_error", X, y, None, 0.1)
    (stored,) = (tmp_path / "dsgd-optimum").iterdir()
    before = stored.stat().st_mtime_ns
    assert np.array_equal(solve("squared_error", X, y, None, 0.1).coef, first.coef)
    assert stored.stat().st_mtime_ns == before
    solve("squared_error", X, y, None, 0.2)
    assert len(list((tmp_path / "dsgd-optimum").iterdir())) == 2
