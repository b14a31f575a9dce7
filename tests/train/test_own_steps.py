"""Workers that take several steps between two exchanges with the parameter shards."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsgd.errors import ConfigError
from dsgd.server.agreement import merged
from dsgd.train.asynchronous.own_rows import most_rows, own_rows
from dsgd.train.modes import Async, Sync

from ..conformance.test_modes import data, excess, spread
from .fits import against_optimum, train

RULES = ("sgd", "adagrad", "ftrl")


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize(("kind", "batch_size"), [("dense", 1), ("sparse", 1), ("dense", 60), ("multi", 60)])
@pytest.mark.parametrize("rule", RULES)
def test_one_worker_takes_the_steps_of_one_rank(rule, kind, batch_size, shards):
    """Row by row nothing says where an exchange lies; lots make other mini-batches, so of these only the answer is compared."""
    config = {
        "optimizer": rule,
        "batch_size": batch_size,
        "shuffle": False,
        "alpha": 0.0,
        "eta0": 0.1,
        "dtype": "float64",
    }
    alone = spread(kind, 1, Sync(), **config)
    model = spread(kind, 1, Async(local_steps=7, shards=shards), **config)
    if batch_size == 1:
        np.testing.assert_allclose(model.coef, alone.coef, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(model.intercept, alone.intercept, rtol=1e-9, atol=1e-12)
        assert model.state["step"] == alone.state["step"]
        losses = [[record["objective"] for record in fitted.history] for fitted in (model, alone)]
        np.testing.assert_allclose(*losses, rtol=1e-9)
    else:
        assert np.linalg.norm(model.coef - alone.coef) < 0.1 * np.linalg.norm(alone.coef)


@pytest.mark.parametrize("mode", [Async(staleness=0), Async(local_steps=1), Async(local_steps=7)], ids=str)
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
def test_a_step_of_one_row_is_a_step_of_one_row(kind, mode):
    config = {"optimizer": "adagrad", "batch_size": 1, "shuffle": False, "eta0": 0.02, "dtype": "float64"}
    config |= {"alpha": 0.0, "max_iter": 2}
    alone, model = (spread(kind, 1, how, **config) for how in (Sync(), mode))
    # Gradients are pulled for one push ahead, so that with one worker they are a step old.
    ahead = mode.staleness != 0 and mode.local_steps == 1
    np.testing.assert_allclose(model.coef, alone.coef, rtol=0.1 if ahead else 1e-9, atol=0.03 if ahead else 1e-12)
    assert model.state["step"] == alone.state["step"]
    pushes = sum(sum(record["staleness_counts"]) for record in model.history)
    assert pushes >= alone.state["step"] // (7 if mode.local_steps == 7 else 1)


@pytest.mark.parametrize("shards", [1, 2])
@pytest.mark.parametrize("penalty", ["l1", "l2", "elasticnet"])
@pytest.mark.parametrize("kind", ["dense", "sparse"])
@pytest.mark.parametrize("rule", RULES)
def test_the_penalty_of_every_step_is_taken_with_the_step(rule, kind, penalty, shards):
    """By the worker; for weights that it does not touch by the shards."""
    config = {
        "optimizer": rule,
        "batch_size": 1,
        "shuffle": False,
        "penalty": penalty,
        "alpha": 0.1 if rule == "ftrl" else 0.02,
        "eta0": 0.1,
        "dtype": "float64",
    }
    alone = spread(kind, 1, Sync(), **config)
    model = spread(kind, 1, Async(local_steps=50, shards=shards), **config)
    np.testing.assert_allclose(model.coef, alone.coef, rtol=1e-7, atol=1e-11)
    assert ((model.coef == 0) == (alone.coef == 0)).all()


@pytest.mark.parametrize(
    ("rule", "batch_size", "threads", "most"),
    [("sgd", 1, 1, 0.2), ("adagrad", 1, 1, 0.05), ("adagrad", 1, 2, 0.05), ("adagrad", 20, 2, 0.05)],
)
def test_a_strong_penalty_is_balanced_by_the_gradients(rule, batch_size, threads, most):
    """It is not taken for all steps of a push at once, which would leave of the weights what a push has changed."""
    X, y = data("sparse")
    config = {"optimizer": rule, "eta0": 0.05, "batch_size": batch_size, "max_iter": 12, "tol": None, "alpha": 0.1}
    workers = {"n_workers": 2, "threads_per_worker": threads, "mode": Async(local_steps=100)}
    assert against_optimum("log_loss", X, y, l1_ratio=1.0, **workers, **config).excess < most


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
@pytest.mark.parametrize(
    ("mode", "threads"), [(Async(), 1), (Async(), 2), (Async(local_steps=5, staleness=2, shards=2), 1)], ids=str
)
def test_close_to_one_rank(rule, kind, mode, threads):
    alone, model = (
        spread(kind, n, how, optimizer=rule, eta0=0.3, **threads)
        for n, how, threads in ((1, Sync(), {}), (2, mode, {"threads_per_worker": threads}))
    )
    assert np.isfinite(model.coef).all()
    assert excess(kind, model) < excess(kind, alone) + 0.1
    pushes, steps = sum(sum(record["staleness_counts"]) for record in model.history), model.state["step"]
    assert pushes < steps


def test_large_steps_that_all_workers_take_alike_do_not_add_up():
    """With 8 workers whose changes were simply added this diverges."""
    config = {"optimizer": "sgd", "eta0": 2.0, "batch_size": 10, "max_iter": 5, "alpha": 1e-3}
    one, many = (spread("dense", n, mode, **config) for n, mode in ((1, Sync()), (8, Async(local_steps=4))))
    assert many.history[-1]["objective"] < 2 * one.history[-1]["objective"]


def test_a_lowered_rate_is_the_workers_too():
    config = {
        "optimizer": "sgd",
        "eta0": 1.0,
        "learning_rate": "adaptive",
        "batch_size": 5,
        "tol": 1e-4,
        "max_iter": 200,
    }
    model = spread("dense", 2, Async(local_steps=6), **config)
    constant = spread(
        "dense", 2, Async(local_steps=6), **config | {"learning_rate": "constant", "max_iter": model.epochs}
    )
    assert excess("dense", model) < 0.5 * excess("dense", constant)


def test_fewer_exchanges_than_pushes_of_gradients():
    X, y = data("dense")
    config = {"optimizer": "adagrad", "batch_size": 10, "max_iter": 2, "tol": None}
    counts = []
    for mode in (Async(local_steps=1), Async(local_steps=10), Async()):
        model = train(X, y, n_workers=2, mode=mode, **config)
        counts.append(sum(sum(record["staleness_counts"]) for record in model.history))
    assert counts[0] > 4 * counts[1]
    assert counts[0] > 4 * counts[2]


@pytest.mark.parametrize(
    ("mode", "optimizer", "told"),
    [
        (lambda: Async(local_steps=4), "adam", "workers cannot take steps of their own with optimizer='adam'"),
        (lambda: Async(local_steps=4, staleness=0), "sgd", "with staleness=0 every mini-batch's gradient is pushed"),
        (lambda: Async(local_steps=4, correction="rate"), "sgd", "with correction='rate' every mini-batch's gradient"),
        (lambda: Async(local_steps=0), "sgd", r"local_steps must be 'auto' or an integer >= 1, not 0"),
        (lambda: Async(local_steps="epoch"), "sgd", r"local_steps must be 'auto' or an integer >= 1, not 'epoch'"),
        (lambda: Async(local_steps=True), "sgd", r"local_steps must be 'auto' or an integer >= 1, not True"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be(mode, optimizer, told):
    with pytest.raises(ConfigError, match=told):
        spread("dense", 2, mode(), optimizer=optimizer)


@pytest.mark.parametrize("optimizer", ["adam", "momentum"])
def test_auto_pushes_gradients_where_states_do_not_add_up(optimizer):
    model = spread("dense", 2, Async(), optimizer=optimizer, eta0=0.02)
    assert sum(sum(record["staleness_counts"]) for record in model.history) == model.state["step"]


class TestMerged:
    """Two changes of the same weights, into one."""

    @given(st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 2), min_size=1, max_size=16))
    def test_is_adasum(self, pairs):
        own, others = (np.array(values) for values in zip(*pairs, strict=True))
        both = own @ others
        expected = own + others
        if both > 0:
            expected -= 0.5 * min(both / (own @ own), 1) * own + 0.5 * min(both / (others @ others), 1) * others
        np.testing.assert_allclose(others + merged(own, others), expected, rtol=1e-9, atol=1e-6)

    @given(st.lists(st.tuples(*[st.floats(-1e3, 1e3, width=32)] * 2), min_size=1, max_size=30))
    def test_is_never_longer_than_the_sum(self, pairs):
        own, others = (np.array(values, np.float32) for values in zip(*pairs, strict=True))
        together = np.linalg.norm(others.astype(float) + merged(own, others))
        assert together <= np.linalg.norm(own.astype(float) + others) * (1 + 1e-5) + 1e-3

    @given(st.integers(0, 100), st.integers(0, 2**32))
    def test_each_stretch_is_by_itself(self, count, seed):
        own, others = np.random.default_rng(seed).normal(size=(2, count))
        parts = [merged(own[i : i + 16], others[i : i + 16]) for i in range(0, count, 16)]
        np.testing.assert_allclose(merged(own, others), np.concatenate([*parts, []]), rtol=1e-12)

    @pytest.mark.parametrize("kind", [np.float32, np.float64])
    def test_changes_with_nothing_in_them(self, kind):
        zero, one = np.zeros(3, kind), np.ones(3, kind)
        assert merged(zero, one).tolist() == [0, 0, 0]
        assert merged(one, zero).tolist() == [1, 1, 1]
        assert merged(one, one).dtype == kind


class Of:
    """As much of a task as the number of rows depends on."""

    def __init__(self, local_steps, workers=2):
        self.mode, self.workers = Async(local_steps=local_steps), workers


@given(st.integers(1, 2**14), st.integers(1, 10**9), st.floats(0, 1e4), st.integers(1, 10**9), st.integers(1, 64))
def test_rows_between_exchanges(batch, rows, values, travelling, workers):
    found = own_rows(Of("auto", workers), batch, rows=rows, values=values, travelling=travelling)
    assert batch <= found <= most_rows(Of("auto", workers), batch)
    assert found == batch or found * workers * 4 <= rows
    more = own_rows(Of("auto", workers), batch, rows=rows, values=values, travelling=2 * travelling)
    assert more >= found
    assert (
        own_rows(Of(3), batch, rows=rows, values=values, travelling=travelling) == 3 * batch == most_rows(Of(3), batch)
    )
