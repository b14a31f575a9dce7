"""optimizer="auto" with more weights than a matrix of curvature is made for: the optimum all the same, on any number of ranks."""

import numpy as np
import pytest
from scipy import sparse

from dsgd.train.modes import Sync

from ..reference.optimum import Objective, solve
from .fits import against_optimum, train

EXCESS = 1e-4


def correlated(rows: int = 2500, columns: int = 1100, seed: int = 0):
    """Dense columns with a common part and scales of their own, and their scores."""
    rng = np.random.default_rng(seed)
    X = (rng.normal(size=(rows, columns)) + rng.normal(size=(rows, 1))) * np.exp(rng.normal(size=columns))
    return X, (X / X.std(axis=0)) @ rng.normal(size=columns) / np.sqrt(columns)


def categories(rows: int = 4000, seed: int = 0):
    """One-hot columns, most of them rare, and their scores."""
    rng = np.random.default_rng(seed)
    codes = np.column_stack(
        [np.minimum(rng.zipf(1.3, rows) - 1, count - 1) + start for count, start in [(1500, 0), (20, 1500)]]
    )
    X = sparse.csr_matrix((np.ones(codes.size), codes.ravel(), np.arange(0, codes.size + 1, 2)), shape=(rows, 1520))
    return X, X @ rng.normal(size=1520)


def targets(loss: str, score: np.ndarray, rng) -> np.ndarray:
    """Targets of a loss's domain."""
    if loss == "squared_error":
        return 50 + 3 * score + rng.normal(size=len(score))
    if loss == "poisson":
        return rng.poisson(np.exp(np.clip(score, -3, 2))).astype(float)
    return np.where(score + rng.logistic(size=len(score)) > 0, 1.0, -1.0)


CASES = [
    *((correlated, loss, 0.0) for loss in ("log_loss", "squared_error", "poisson")),
    *((categories, loss, 0.5) for loss in ("log_loss", "squared_hinge", "squared_error", "poisson")),
    (correlated, "log_loss", 0.5),
]


@pytest.mark.parametrize(("problem", "loss", "l1_ratio"), CASES)
def test_the_optimum_is_reached(problem, loss, l1_ratio):
    X, score = problem()
    y = targets(loss, score, np.random.default_rng(1))
    # Weights of rare categories are not in use in all draws: without the penalty they would have no optimum.
    reached = against_optimum(loss, X, y, alpha=0.01, l1_ratio=l1_ratio, tol=1e-6, max_iter=300, dtype="float64")
    assert reached.excess < EXCESS
    if l1_ratio:
        assert reached.violation < 1e-3
        assert (reached.model.coef == 0).any()


def test_several_outputs():
    X, score = correlated(1500, 400)
    y = np.digitize(score, [-0.7, 0.0, 0.7])
    reached = against_optimum("multinomial", X, y, alpha=0.01, tol=1e-6, max_iter=300)
    assert reached.model.coef.size > 1024
    assert reached.excess < EXCESS


@pytest.mark.parametrize("config", [{"n_workers": 2}, {"n_workers": 3, "mode": Sync("engine")}], ids=str)
def test_ranks_do_not_change_the_answer(config):
    X, score = categories()
    y = targets("log_loss", score, np.random.default_rng(1)) > 0
    alone = train(X, y, alpha=0.01, dtype="float64")
    shared = train(X, y, alpha=0.01, dtype="float64", **config)
    np.testing.assert_allclose(shared.coef, alone.coef, atol=1e-5)
    assert shared.epochs == alone.epochs
    again = train(X, y, alpha=0.01, dtype="float64", **config)
    assert again.coef.tobytes() == shared.coef.tobytes()


def test_a_fit_goes_on_from_its_model_without_a_detour():
    X, score = correlated()
    y = targets("log_loss", score, np.random.default_rng(1)) > 0
    first = train(X, y, alpha=0.01, tol=1e-6, dtype="float64")
    second = train(X, y, alpha=0.01, tol=1e-6, dtype="float64", initial=first)
    assert second.epochs < first.epochs / 2
    np.testing.assert_allclose(second.coef, first.coef, rtol=0.01, atol=1e-4)


def test_the_number_of_epochs_is_kept():
    X, score = correlated()
    model = train(X, score > 0, alpha=0.01, tol=None, max_iter=5)
    assert model.epochs == 5
    objective = Objective("log_loss", X, np.where(score > 0, 1.0, -1.0), alpha=0.01)
    assert objective(model.coef, model.intercept) == pytest.approx(model.history[-1]["objective"], rel=1e-4)


def test_as_many_weights_as_rows_are_watched_by_held_out_rows():
    X, score = categories(rows=1800)
    y = score > 0
    held_out = categories(rows=500, seed=3)
    model = train(X, y, alpha=1e-6, validation=(held_out[0], held_out[1] > 0))
    losses = [record["validation"] for record in model.history]
    assert model.epochs < 50
    best = solve("log_loss", X, np.where(y, 1.0, -1.0), None, 1e-6)
    signs = np.where(held_out[1] > 0, 1.0, -1.0)
    memorised = Objective("log_loss", held_out[0], signs)(best.coef, best.intercept)
    assert min(losses) < memorised
