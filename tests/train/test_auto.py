"""What optimizer="auto" chooses, what it watches, and what it makes of a model to go on from."""

import numpy as np
import pytest
from scipy import sparse

from dsgd.train.modes import Sync

from ..properties.problems import problem
from ..reference.optimum import Objective, solve
from .fits import train

STEPS = [
    {"eta0": 0.5, "batch_size": 1},
    {"batch_size": 32},
    {"learning_rate": "invscaling"},
    {"warmup_steps": 10},
    {"average": True},
]


@pytest.mark.parametrize("asked", STEPS, ids=lambda asked: next(iter(asked)))
def test_who_asks_for_steps_is_given_steps(asked):
    X, y = problem()
    plain = train(X, y, max_iter=3, tol=None)
    stepped = train(X, y, max_iter=3, tol=None, **asked)
    same = train(X, y, max_iter=3, tol=None, optimizer="adagrad", **asked)
    assert stepped.coef.tobytes() == same.coef.tobytes()
    assert stepped.coef.tobytes() != plain.coef.tobytes()


@pytest.mark.parametrize("mode", [Sync(local_steps=7), Sync(local_steps="epoch"), Sync(compression="int8")])
def test_one_rank_has_nothing_to_share_out(mode):
    X, y = problem()
    assert train(X, y, mode=mode).coef.tobytes() == train(X, y).coef.tobytes()


def rare_categories(rows: int, seed: int):
    """Columns of which most are used by few rows, and labels that they say nothing of: there to be learnt by heart."""
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 500, (rows, 3)) + 500 * np.arange(3)
    X = sparse.csr_matrix((np.ones(codes.size), codes.ravel(), np.arange(0, codes.size + 1, 3)), shape=(rows, 1500))
    return X, rng.integers(0, 2, rows)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_validation_rows_are_watched_without_early_stopping(n_workers):
    X, y = rare_categories(1000, 0)
    held_out = rare_categories(500, 1)
    signs = np.where(held_out[1] == 1, 1.0, -1.0)
    watched, blind = (train(X, y, validation=rows, n_workers=n_workers, alpha=1e-5) for rows in (held_out, None))
    losses = [record["validation"] for record in watched.history]
    reached, memorised = (Objective("log_loss", held_out[0], signs)(m.coef, m.intercept) for m in (watched, blind))
    assert watched.epochs < blind.epochs
    assert reached == pytest.approx(min(losses), rel=1e-4)
    assert reached < memorised - 0.05


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("config", [{}, {"optimizer": "svrg"}, {"mode": Sync("engine")}], ids=str)
def test_a_category_that_is_gone_is_forgotten(config, n_workers):
    if config.get("optimizer") == "svrg":
        config = config | {"tol": 1e-7, "max_iter": 300}
    rng = np.random.default_rng(5)
    codes = rng.integers(0, 4, 800)
    X = sparse.csr_matrix((np.ones(800), (np.arange(800), codes)), shape=(800, 4))
    y = np.where(codes + rng.logistic(size=800) > 1.5, 1, 0)
    # Columns of a sparse matrix are in use by the rows that have them.
    first = train(X, y, alpha=0.01, n_workers=n_workers, **config)
    rest = codes != 3
    second = train(X[rest], y[rest], alpha=0.01, initial=first, n_workers=n_workers, **config)
    best = solve("log_loss", X[rest], np.where(y[rest] == 1, 1.0, -1.0), None, 0.01)
    assert abs(first.coef[0, 3]) > 0.1
    np.testing.assert_allclose(second.coef[0], best.coef, atol=2e-3)


def test_rows_of_large_weight_make_for_small_steps():
    """One row that counts a hundred thousand times is one that single steps can be led astray by."""
    X, y = problem()
    weight = np.where(np.arange(len(y)) == 7, 1e5, 1.0)
    signs = np.where(y == 1, 1.0, -1.0)
    objective = Objective("log_loss", X, signs, weight=weight, alpha=0.01)
    best = solve("log_loss", X, signs, weight, 0.01).objective
    for config in ({}, {"batch_size": 8}):
        model = train(X, y, weight, alpha=0.01, optimizer="sgd", max_iter=50, tol=None, **config)
        # The steps never throw it above the loss that it begins with.
        assert max(record["objective"] for record in model.history) < np.log(2) + 0.01
        assert objective(model.coef, model.intercept) < best + 0.012
