"""Wherever a regression's targets lie and however large they are, the defaults end at the optimum.

The optimum is another solver's: a linear program's for losses with kinks, L-BFGS-B's for the others.
"""

import numpy as np
import pytest
from scipy import sparse
from sklearn.datasets import load_diabetes

from dsgd import SGDRegressor
from dsgd.train.modes import Sync

from ..reference.linear_program import least_mean
from ..reference.optimum import Objective, solve
from ..train.fits import train

ROWS, COLUMNS = 400, 6
KINKED = ("quantile", "epsilon_insensitive")
REAL = ("squared_error", "huber", "squared_epsilon_insensitive", *KINKED)
LOGARITHMIC = ("poisson", "gamma", "tweedie")


def features():
    return np.random.default_rng(0).standard_normal((ROWS, COLUMNS))


def real_targets(kind: str, X):
    """Far from zero, tiny, with outliers, without noise, whole numbers."""
    rng = np.random.default_rng(1)
    score = X @ rng.standard_normal(COLUMNS)
    noise = rng.standard_normal(ROWS)
    return {
        "far": 1000 + 50 * score + 20 * noise,
        "tiny": 1e-3 * (score + noise),
        "outliers": -300 + score + rng.standard_t(1.2, ROWS),
        "exact": 10 + score,
        "whole": np.round(5 + score + noise),
    }[kind]


def real_data(kind: str):
    if kind == "diabetes":
        return load_diabetes(return_X_y=True)
    X = features()
    return X, real_targets(kind, X)


def logarithmic_targets(loss: str, X, scale: float):
    rng = np.random.default_rng(2)
    mean = scale * np.exp(X @ np.linspace(-0.5, 0.5, COLUMNS))
    return rng.poisson(mean).astype(float) if loss == "poisson" else rng.gamma(2.0, mean / 2) + 1e-9 * scale


def value(loss: str, X, y, model, **parameters) -> float:
    return Objective(loss, X, y, **parameters)(model.coef, model.intercept)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("kind", ["far", "tiny", "outliers", "exact", "whole", "diabetes"])
@pytest.mark.parametrize("loss", REAL)
def test_real_targets(loss, kind, n_workers):
    X, y = real_data(kind)
    model = train(X, y, loss=loss, alpha=0.0 if loss in KINKED else 1e-4, n_workers=n_workers)
    assert model.converged
    if loss in KINKED:
        reached, least = value(loss, X, y, model), least_mean(loss, X, y)
    else:
        best = solve(loss, X, y - y.mean(), None, 1e-4)
        objective = Objective(loss, X, y, alpha=1e-4)
        reached, least = objective(model.coef, model.intercept), best.objective
    # Without noise, what is left is what rounding to float32 leaves.
    assert reached <= least * (1 + 1e-4) + 1e-6 * np.abs(y).max() * (kind in ("exact", "whole", "tiny"))


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("scale", [1e-2, 1.0, 1e6])
@pytest.mark.parametrize("loss", LOGARITHMIC)
def test_logarithmic_targets(loss, scale, n_workers):
    X = features()
    y = logarithmic_targets(loss, X, scale)
    model = train(X, y, loss=loss, alpha=1e-4, n_workers=n_workers)
    # Relative to the score of the mean, so that L-BFGS-B has an easy start, too.
    shift = np.full(ROWS, np.log(y.mean()))
    best = solve(loss, X, y, None, 1e-4, offset=shift)
    objective = Objective(loss, X, y, alpha=1e-4)
    null = objective(np.zeros((1, COLUMNS)), shift[:1])
    assert model.converged
    assert objective(model.coef, model.intercept) - best.objective <= 1e-4 * (null - best.objective)


@pytest.mark.parametrize("quantile", [0.1, 0.9])
def test_other_quantiles(quantile):
    X, y = real_data("far")
    model = train(X, y, loss="quantile", quantile=quantile, alpha=0.0)
    below = np.mean(y <= X @ model.coef[0] + model.intercept[0])
    assert below == pytest.approx(quantile, abs=0.02)
    assert value("quantile", X, y, model, quantile=quantile) <= least_mean("quantile", X, y, quantile=quantile) * (
        1 + 1e-4
    )


@pytest.mark.parametrize("loss", REAL)
def test_what_an_offset_says_is_not_asked_of_the_intercept(loss):
    X, y = real_data("far")
    plain = train(X, y - 1000, loss=loss, alpha=1e-4)
    moved = train(X, y, None, np.full(ROWS, 1000.0), loss=loss, alpha=1e-4)
    objective = Objective(loss, X, y - 1000, alpha=1e-4)
    assert objective(moved.coef, moved.intercept) == pytest.approx(objective(plain.coef, plain.intercept), rel=1e-4)


@pytest.mark.parametrize("n_workers", [1, 2])
@pytest.mark.parametrize("classes", [2, 3])
def test_hinge(classes, n_workers):
    X = features()
    noisy = X @ np.arange(1, COLUMNS + 1) + np.random.default_rng(3).normal(0, 10, ROWS)
    labels = np.digitize(noisy, [0.0] if classes == 2 else [-5.0, 5.0])
    model = train(X, labels, loss="hinge", alpha=0.0, n_workers=n_workers)
    for output in range(len(model.coef)):
        signs = np.where(labels == (output if classes > 2 else 1), 1.0, -1.0)
        reached = Objective("hinge", X, signs)(model.coef[output], model.intercept[output : output + 1])
        # The mean over the classes is what is within the tolerance.
        assert reached <= least_mean("hinge", X, signs) * (1 + 3e-4)


@pytest.mark.parametrize("loss", ["huber", "quantile"])
def test_ranks_and_engines_agree(loss):
    X, y = real_data("far")
    gang = [train(X, y, loss=loss, n_workers=2, mode=Sync(topology)) for topology in ("ring", "tree", "ring")]
    assert gang[0].coef.tobytes() == gang[1].coef.tobytes() == gang[2].coef.tobytes()
    rounds = train(X, y, loss=loss, n_workers=2, mode=Sync("engine"))
    np.testing.assert_allclose(rounds.coef, gang[0].coef, rtol=1e-3, atol=1e-3)


def test_samples_are_enough_for_many_rows():
    rng = np.random.default_rng(4)
    X = rng.standard_normal((120_000, 50)).astype(np.float32)
    y = 1000 + 50 * X @ rng.standard_normal(50) + 20 * rng.standard_t(3, len(X))
    tight = train(X, y, loss="quantile", alpha=0.0, tol=1e-8, max_iter=60)
    model = train(X, y, loss="quantile", alpha=0.0)
    assert model.converged
    assert model.epochs <= 20
    assert value("quantile", X, y, model) <= value("quantile", X, y, tight) * (1 + 2e-4)


def wide(kind: str):
    """More weights than a matrix of curvature is made for: categories that are rare, or as many columns as rows."""
    rng = np.random.default_rng(6)
    if kind == "dense":
        X = rng.standard_normal((1500, 1100)) / 30
    else:
        codes = np.minimum(rng.zipf(1.3, size=(6000, 3)), 1500) - 1 + 1500 * np.arange(3)
        X = sparse.csr_array((np.ones(codes.size), codes.ravel(), np.arange(0, codes.size + 1, 3)), shape=(6000, 4500))
    score = X @ rng.standard_normal(X.shape[1])
    return X, score, rng.standard_normal(X.shape[0])


def best_of_its_own(loss: str, X, y) -> float:
    """The least objective, or what many small steps reach where it has kinks."""
    if loss != "quantile":
        return solve(loss, X, y, None, 1e-3, **({"epsilon": 1.0} if loss == "huber" else {})).objective
    tight = {"max_iter": 2000, "optimizer": "adagrad", "learning_rate": "adaptive", "n_iter_no_change": 3, "tol": 1e-6}
    one = train(X, y, loss=loss, alpha=1e-3, **tight, dtype="float64")
    return Objective(loss, X, y, alpha=1e-3)(one.coef, one.intercept)


@pytest.mark.parametrize(
    ("loss", "kind", "units", "n_workers"),
    [
        ("squared_error", "dense", (1000.0, 50.0), 1),
        ("squared_error", "sparse", (0.0, 1e-3), 2),
        ("huber", "dense", (0.0, 1e-3), 2),
        ("huber", "sparse", (1000.0, 50.0), 1),
        ("quantile", "dense", (1000.0, 50.0), 2),
        ("quantile", "sparse", (1000.0, 50.0), 1),
        ("quantile", "sparse", (0.0, 1e-3), 2),
    ],
)
def test_many_weights(loss, kind, units, n_workers):
    """Small steps come near what a fit of the same data in units of their own does, which is near the optimum."""
    X, score, noise = wide(kind)
    plain = score + 0.5 * noise
    y = units[0] + units[1] * plain
    alpha = 1e-3 / (units[1] if loss == "quantile" else 1.0)
    parameters = {"epsilon": units[1]} if loss == "huber" else {}
    model = train(X, y, loss=loss, alpha=alpha, n_workers=n_workers, epsilon=units[1])
    null = Objective(loss, X, y, alpha=alpha, **parameters)(np.zeros(X.shape[1]), np.median(y))
    reached = Objective(loss, X, y, alpha=alpha, **parameters)(model.coef, model.intercept)
    factor = units[1] ** (1 if loss == "quantile" else 2)
    best = factor * best_of_its_own(loss, X, plain)
    assert model.converged
    assert reached - best <= 0.02 * (null - best)


@pytest.mark.parametrize(
    ("loss", "optimizer"),  # losses of degree one and two, with and without a width, and two kinds of rules
    [
        ("huber", "adagrad"),
        ("squared_epsilon_insensitive", "adagrad"),
        ("quantile", "adagrad"),
        ("squared_error", "adam"),
    ],
)
def test_adaptive_steps_know_the_targets_scale(loss, optimizer):
    """The same problem in other units, far from zero, is the same way of the weights, in those units."""
    X = features()
    y = real_targets("tiny", X) * 1e3
    config = {"loss": loss, "optimizer": optimizer, "alpha": 0.0, "max_iter": 20, "tol": None, "dtype": "float64"}
    plain = train(X, y, epsilon=0.1, **config)
    scaled = train(X, 1000 + 50 * y, epsilon=5.0, **config)
    np.testing.assert_allclose(scaled.coef / 50, plain.coef, rtol=1e-6, atol=1e-8)
    np.testing.assert_allclose((scaled.intercept - 1000) / 50, plain.intercept, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("loss", REAL)
def test_the_estimator_predicts_diabetes(loss):
    X, y = load_diabetes(return_X_y=True)
    assert SGDRegressor(loss=loss, alpha=1e-6, random_state=0).fit(X, y).score(X, y) > 0.45
