"""Data on which naive steps overflow, and data that every rank alike refuses."""

import numpy as np
import pytest
import scipy.sparse
from sklearn.linear_model import PoissonRegressor

from dsgd.errors import DataError
from dsgd.train.modes import Sync

from ..reference.optimum import Objective
from ..train.fits import against_optimum, train
from .problems import RECIPES, ROWS, problem


@pytest.mark.parametrize("recipe", RECIPES)
def test_counts_with_rows_that_overflow(recipe):
    """A step that is Newton's own would send the exponential of some row to infinity."""
    rng = np.random.default_rng(11)
    X = rng.standard_t(2, size=(1500, 3))
    X[0] = 400.0
    y = rng.poisson(np.exp(np.clip(X @ [0.5, -0.3, 0.1], -3, 4))).astype(float)
    found = against_optimum("poisson", X, y, alpha=1e-3, **RECIPES[recipe] | {"max_iter": 300})
    assert np.isfinite(found.model.coef).all()
    objective = Objective("poisson", X, y, alpha=1e-3)
    # The one row of a size of 400 makes small steps crawl; Newton's do not care.
    assert objective(found.model.coef, found.model.intercept) < objective(np.zeros((1, 3)), np.log([y.mean()]))
    assert recipe != "auto" or found.excess < 1e-3


def test_poisson_as_scikit_learn():
    X, _ = problem()
    y = np.random.default_rng(12).poisson(np.exp(0.5 * X[:, 0] + 1)).astype(float)
    peer = PoissonRegressor(alpha=0.01, tol=1e-9, max_iter=1000).fit(X, y)
    model = train(X, y, loss="poisson", alpha=0.01)
    np.testing.assert_allclose(model.coef[0], peer.coef_, rtol=0.01, atol=1e-3)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("mode", [Sync(), Sync("engine")])
@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda X, y: (X, np.where(np.arange(ROWS) == 500, np.nan, y.astype(float))), "y.*500"),
        (lambda X, y: (X, np.zeros(ROWS, int)), "at least two classes"),
        (lambda X, y: (np.where((np.arange(ROWS) == 400)[:, None], np.inf, X), y), "X.*400"),
    ],
)
def test_bad_data_is_named_by_whichever_rank_finds_it(change, words, mode, n_workers):
    with pytest.raises(DataError, match=words):
        train(*change(*problem()), n_workers=n_workers, mode=mode)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_targets_outside_the_domain(n_workers):
    X, y = problem()
    with pytest.raises(DataError, match="nonnegative"):
        train(X, np.where(np.arange(ROWS) == 599, -1.0, 1.0), loss="poisson", n_workers=n_workers)
    with pytest.raises(DataError, match="weight"):
        train(X, y, np.where(np.arange(ROWS) == 599, -1.0, 1.0), n_workers=n_workers)


def test_a_bad_label_beside_a_wide_sparse_matrix_costs_no_matrix():
    rows, columns = 70_000, 3_000_000
    X = scipy.sparse.csr_array((np.ones(rows), (np.arange(rows), np.arange(rows))), (rows, columns))
    with pytest.raises(DataError, match=r"-1\.0 in row 66000 of the data in memory"):
        train(X, np.where(np.arange(rows) == 66_000, -1.0, 1.0), loss="poisson")


@pytest.mark.parametrize("n_workers", [1, 2])
def test_steps_that_are_too_large_are_named(n_workers):
    X, _ = problem()
    with pytest.raises(DataError, match="lower eta0"):
        train(X, 1e3 * X[:, 0], loss="squared_error", optimizer="sgd", eta0=1e6, n_workers=n_workers)
