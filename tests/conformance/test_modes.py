"""Every way to spread synchronous training over ranks gives a finite, good and repeatable answer, on dense and sparse data.

A combination that does not exist is refused before any work, with words that name what works.
"""

from functools import cache

import numpy as np
import pytest
from scipy import sparse

from dsgd.errors import ConfigError
from dsgd.train.config import FitConfig
from dsgd.train.modes import Sync

from ..reference.optimum import Objective, solve
from ..train.fits import train

LOCAL_STEPS = (1, 4, "epoch")
COMPRESSIONS = ("none", "fp16", "int8", "topk")
KINDS = ("dense", "sparse", "multi")
ALPHA = 1e-3
ROWS = 900


def data(kind: str, rows: int = ROWS):
    """Dense columns; or 3,000 sparse ones, of which a row has six beside two dense-like ones; or three classes."""
    rng = np.random.default_rng(7)
    if kind == "sparse":
        common = sparse.csr_matrix(rng.standard_normal((rows, 2)))
        rare = np.minimum(rng.zipf(1.4, size=(rows, 6)), 50) - 1 + 500 * np.arange(6)
        rare = sparse.csr_matrix((np.ones(rare.size), rare.ravel(), np.arange(0, rare.size + 1, 6)), shape=(rows, 3000))
        X = sparse.hstack([common, rare], format="csr")
    else:
        X = rng.standard_normal((rows, 10))
    score = X @ rng.standard_normal(X.shape[1]) + rng.logistic(size=rows)
    return X, np.digitize(score, [-1.0, 1.0]) if kind == "multi" else np.where(score > 0, 1.0, -1.0)


def excess(kind: str, model) -> float:
    """Relative excess of a model's objective over the optimum."""
    X, y = data(kind)
    loss = "multinomial" if kind == "multi" else "log_loss"
    objective = Objective(loss, X, y, alpha=ALPHA)
    return objective(model.coef, model.intercept) / solve(loss, X, y, None, ALPHA).objective - 1


def spread(kind: str, n_workers: int, mode: Sync, **config):
    """Fit with small steps, over some ranks."""
    defaults = {"optimizer": "adagrad", "eta0": 0.3, "batch_size": 60, "max_iter": 6, "tol": None, "alpha": ALPHA}
    return train(*data(kind), n_workers=n_workers, mode=mode, **defaults | config)


@cache
def excess_of_one_rank(kind: str) -> float:
    """What small steps on one rank reach."""
    return excess(kind, spread(kind, 1, Sync()))


def same(left, right) -> bool:
    """Whether two models are equal, bit for bit."""
    return left.coef.tobytes() == right.coef.tobytes() and left.intercept.tobytes() == right.intercept.tobytes()


# Top-k sends a hundredth of the numbers a round: with one round an epoch it has hardly begun.
SLOW = {("topk", "epoch"): 2.0, ("topk", 4): 1.5, ("topk", 1): 0.8}


# The topologies differ in who adds up, not in what: a tree has one kind of rounds with each codec.
@pytest.mark.parametrize("compression", COMPRESSIONS)
@pytest.mark.parametrize(("topology", "local_steps"), [*(("ring", steps) for steps in LOCAL_STEPS), ("tree", 4)])
@pytest.mark.parametrize("kind", KINDS)
def test_close_to_one_rank_and_repeatable(topology, kind, local_steps, compression):
    n_workers, mode = 3, Sync(topology, local_steps, compression)
    model = spread(kind, n_workers, mode)
    assert np.isfinite(model.coef).all()
    allowed = SLOW.get((compression, local_steps), 0.12)
    assert excess(kind, model) < excess_of_one_rank(kind) + allowed
    assert same(model, spread(kind, n_workers, mode))


@pytest.mark.parametrize("n_workers", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("optimizer", ["auto", "svrg", "averaged"])
def test_recipes_of_exact_steps(optimizer, kind, n_workers):
    config = {"optimizer": "sgd", "average": True} if optimizer == "averaged" else {"optimizer": optimizer}
    config |= {"eta0": "auto", "batch_size": "auto", "max_iter": 100, "tol": 1e-4}
    model = spread(kind, n_workers, Sync(), **config)
    assert excess(kind, model) < (2e-4 if optimizer == "averaged" else 1e-4)
    assert same(model, spread(kind, n_workers, Sync(), **config))


@pytest.mark.parametrize("local_steps", [1, "epoch"])
@pytest.mark.parametrize(("kind", "n_workers"), [*((kind, 3) for kind in KINDS), ("dense", 1)])
@pytest.mark.parametrize("optimizer", ["auto", "sgd", "adagrad"])
def test_engine(optimizer, kind, local_steps, n_workers):
    mode = Sync("engine", local_steps)
    size = {} if local_steps == 1 else {"batch_size": 60}
    config = {"batch_size": "auto", "eta0": "auto", "max_iter": 10, "tol": None, "optimizer": optimizer} | size
    model = spread(kind, n_workers, mode, **config)
    assert np.isfinite(model.coef).all()
    solved = optimizer == "auto" and local_steps == 1
    if not solved:  # which is done within the first round
        assert model.history[-1]["objective"] < 0.96 * model.history[0]["objective"]
    # Ten steps with all rows are far from the end; ten epochs are not.
    assert excess(kind, model) < (1e-4 if solved else 0.7 if local_steps == 1 else 0.45 if optimizer == "sgd" else 0.25)
    assert same(model, spread(kind, n_workers, mode, **config))


# Sparse steps of two ranks are the same code for all rules; those of one rank know the rule, and have tests of their own.
@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        *((rule, "dense") for rule in ("sgd", "momentum", "nesterov", "adagrad", "rmsprop", "adam", "adamw", "ftrl")),
        *((rule, "sparse") for rule in ("momentum", "adagrad", "adamw", "ftrl")),
    ],
)
def test_rules_over_two_ranks(rule, kind):
    config = {"optimizer": rule, "eta0": 0.02 if rule in ("adam", "adamw", "rmsprop", "momentum", "nesterov") else 0.3}
    one, two = (spread(kind, n, Sync(), **config) for n in (1, 2))
    assert excess(kind, two) < excess(kind, one) + 0.1
    assert same(two, spread(kind, 2, Sync(), **config))


@pytest.mark.parametrize("mode", [Sync(), Sync("engine")])
def test_threads_and_processes_give_the_same_bits(mode):
    config = {"batch_size": "auto"} if mode.topology == "engine" else {}
    threads = spread("sparse", 2, mode, max_iter=3, **config)
    assert same(threads, spread("sparse", 2, mode, max_iter=3, processes=True, **config))


FEW_ROWS = [
    ("svrg", False, Sync()),
    *(
        (optimizer, average, mode)
        for optimizer in ("auto", "sgd", "adagrad")
        for average, mode in (
            (False, Sync()),
            (True, Sync()),
            (False, Sync(local_steps=2)),
            (True, Sync(local_steps="epoch")),
            (False, Sync(compression="int8")),
        )
    ),
    *((optimizer, False, Sync("engine")) for optimizer in ("auto", "sgd", "adagrad")),
]


@pytest.mark.parametrize(("optimizer", "average", "mode"), FEW_ROWS)
@pytest.mark.parametrize("kind", KINDS)
def test_more_ranks_than_rows(kind, optimizer, average, mode):
    X, y = data(kind, 40)
    first = [np.flatnonzero(y == value)[0] for value in np.unique(y)]
    rows = np.array([*first, *range(4)])[:4]
    config = {"max_iter": 3, "optimizer": optimizer, "average": average, "alpha": 0.1}
    model = train(X[rows], y[rows], n_workers=6, mode=mode, **config)
    assert np.isfinite(model.coef).all()
    assert model.coef.any()


@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("mode", [Sync(), Sync(local_steps=3), Sync(local_steps="epoch")])
@pytest.mark.parametrize("average", [False, True])
def test_a_rank_whose_rows_weigh_nothing(kind, mode, average):
    X, y = data(kind)
    weight = np.where(np.arange(ROWS) < ROWS // 2, 0.0, 1.0)
    for optimizer in ("auto", "adagrad"):
        config = {"optimizer": optimizer, "alpha": ALPHA, "max_iter": 5, "average": average}
        two = train(X, y, weight, n_workers=2, mode=mode, **config)
        objective = Objective("log_loss", X, y, weight=weight, alpha=ALPHA)
        zero = objective(np.zeros((1, X.shape[1])), np.zeros(1))
        assert objective(two.coef, two.intercept) < 0.9 * zero


@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
@pytest.mark.parametrize("n_workers", [2, 3])
def test_the_batch_is_shared_out(kind, n_workers):
    """One step over all rows is the same step, however many ranks take it."""
    config = {"max_iter": 1, "batch_size": ROWS, "dtype": "float64", "optimizer": "sgd", "eta0": 0.5}
    one, many = (spread(kind, n, Sync(), **config) for n in (1, n_workers))
    assert one.steps == many.steps == 1
    np.testing.assert_allclose(many.coef, one.coef, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(many.intercept, one.intercept, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("penalty", ["l1", "l2"])
@pytest.mark.parametrize(
    ("rule", "learning_rate"),
    [
        ("sgd", "constant"),
        ("sgd", "invscaling"),
        ("adagrad", "constant"),
        ("adagrad", "invscaling"),
        ("ftrl", "constant"),
    ],
)
def test_lazy_penalties_are_those_of_every_step(rule, penalty, learning_rate):
    """Sparse steps over ranks, which bring a weight's penalty up to date when a row touches it, equal dense steps."""
    X, y = data("sparse", 60)
    config = {"penalty": penalty, "alpha": 1e-2, "optimizer": rule, "eta0": 0.2, "learning_rate": learning_rate}
    # One row a rank and step, in order, so that both see the same mini-batches.
    config |= {"max_iter": 3, "tol": None, "batch_size": 2, "dtype": "float64", "shuffle": False}
    sparse_steps = train(X, y, n_workers=2, **config)
    dense_steps = train(X.toarray(), y, n_workers=2, **config)
    # Where the dense step's penalty ends at zero, so does the sum of many; only rounding differs.
    np.testing.assert_allclose(sparse_steps.coef, dense_steps.coef, rtol=1e-6, atol=1e-9)


REFUSED = [
    ({"mode": Sync(local_steps=4), "optimizer": "svrg"}, "local_steps=1"),
    ({"mode": Sync(compression="fp16"), "optimizer": "svrg"}, "compression='none'"),
    ({"mode": Sync("engine", 4)}, "'epoch'"),
    ({"mode": Sync("engine", 1, "int8")}, "'ring' or 'tree'"),
    ({"mode": Sync("engine"), "optimizer": "svrg"}, "'auto'"),
    ({"mode": Sync("engine"), "average": True}, "'ring' or 'tree'"),
    ({"mode": Sync("engine"), "learning_rate": "adaptive"}, "'ring' or 'tree'"),
    ({"mode": Sync("engine"), "batch_size": 64}, "'epoch'"),
    ({"optimizer": "svrg", "average": True}, "average=False"),
    ({"optimizer": "svrg", "learning_rate": "adaptive"}, "'constant'"),
    ({"optimizer": "svrg", "loss": "hinge"}, "average=True"),
    ({"optimizer": "ftrl", "learning_rate": "adaptive"}, "'constant'"),
    ({"optimizer": "ftrl", "warmup_steps": 10}, "warmup_steps=0"),
    ({"average": -1}, "rows >= 0"),
    ({"average": "yes"}, "True, False"),
]


@pytest.mark.parametrize(("config", "advice"), REFUSED)
def test_refused_before_any_work(config, advice):
    with pytest.raises(ConfigError, match=advice.replace("(", r"\(")):
        FitConfig(n_workers=2, **config)
