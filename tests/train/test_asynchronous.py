"""Asynchronous training reaches what synchronous training reaches, whatever the staleness, the shards and the correction."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsgd
from dsgd.errors import ConfigError, DataError
from dsgd.optim.rules import RULES
from dsgd.train.modes import Async, Sync, make_mode

from ..conformance.test_modes import data, excess, excess_of_one_rank, spread
from .fits import train

MODES = [
    Async(local_steps=1),
    Async(staleness=0),
    Async(staleness=2, shards=2, local_steps=1),
    Async(shards=3, correction="rate"),
    Async(correction="delay"),
    Async(staleness=0, shards=2),
]


@pytest.mark.parametrize(
    ("kind", "mode"),
    [*(("dense", mode) for mode in MODES), ("sparse", MODES[0]), ("sparse", MODES[2]), ("multi", MODES[5])],
    ids=str,
)
def test_close_to_one_rank(kind, mode):
    model = spread(kind, 2, mode)
    assert np.isfinite(model.coef).all()
    assert excess(kind, model) < excess_of_one_rank(kind) + 0.12
    assert model.epochs == 6
    # Every push of every epoch has been applied: a mini-batch is one, or what two workers push together.
    assert 6 * 15 <= sum(sum(record["staleness_counts"]) for record in model.history) <= 6 * 8 * 4
    if mode.staleness == 0:
        assert {record["staleness"] for record in model.history} == {0.0}


def test_one_worker_without_staleness_is_as_good_as_one_rank():
    alone, model = (excess("dense", spread("dense", 1, mode, max_iter=40)) for mode in (Sync(), Async(staleness=0)))
    assert model < max(1.5 * alone, 1e-3)


def test_shards_divide_the_work_and_not_the_answer():
    one, many = (spread("dense", 1, Async(staleness=0, shards=n)) for n in (1, 3))
    np.testing.assert_allclose(one.coef, many.coef, rtol=1e-5, atol=1e-7)


@pytest.mark.parametrize(
    ("rule", "kind"), [*((rule, "dense") for rule in sorted(RULES)), ("adagrad", "sparse"), ("adam", "sparse")]
)
def test_rules(rule, kind):
    eta0 = 0.02 if rule in ("adam", "adamw", "rmsprop", "momentum", "nesterov") else 0.3
    config = {"optimizer": rule, "eta0": eta0}
    one, two = spread(kind, 1, Sync(), **config), spread(kind, 2, Async(), **config)
    assert excess(kind, two) < excess(kind, one) + 0.15


@pytest.mark.parametrize("penalty", ["l1", "elasticnet"])
def test_penalties_are_applied_to_weights_that_no_push_touches(penalty):
    X, y = data("sparse")
    config = {"optimizer": "sgd", "eta0": 0.2, "batch_size": 60, "max_iter": 20, "tol": None, "alpha": 0.02}
    one, two = (
        train(X, y, n_workers=n, mode=mode, penalty=penalty, **config) for n, mode in ((1, Sync()), (2, Async()))
    )
    assert (two.coef == 0).mean() > 0.5
    assert abs((two.coef == 0).mean() - (one.coef == 0).mean()) < 0.1
    assert two.history[-1]["objective"] == pytest.approx(one.history[-1]["objective"], rel=0.03)


@pytest.mark.parametrize("mode", [Async(), Async(staleness=0, shards=2)], ids=str)
def test_fits_go_on_from_a_model(mode):
    X, y = data("sparse")
    model = dsgd.SGDClassifier(optimizer="adagrad", mode=mode, n_workers=2, max_iter=2, tol=None, warm_start=True)
    first = model.fit(X, y).history_[-1]["objective"]
    assert model.fit(X, y).history_[0]["objective"] < first
    assert model.partial_fit(X, y).t_ > 0


def test_validation_rows_stop_it_and_the_best_epoch_is_kept():
    X, y = data("dense")
    rng = np.random.default_rng(0)
    noise = np.where(rng.random(len(y)) < 0.5, 1.0, -1.0)
    model = dsgd.SGDClassifier(
        optimizer="adagrad", eta0=1.0, mode="async", n_workers=2, early_stopping=True, max_iter=50, random_state=0
    ).fit(X, noise)
    losses = [record["validation"] for record in model.history_]
    assert 1 < len(losses) < 50
    assert all(np.isfinite(losses))


def test_regression_begins_at_its_null_model():
    X, _ = data("dense")
    y = 1000.0 + X[:, 0]
    model = dsgd.SGDRegressor(mode="async", n_workers=2, random_state=0).fit(X, y)
    assert model.score(X, y) > 0.9


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    rng = np.random.default_rng(5)
    size = 6000
    group = rng.integers(0, 30_000, size)
    x = rng.normal(size=size).astype(np.float32)
    effect = np.where(group % 2, 2.0, -2.0)
    label = rng.random(size) < 1 / (1 + np.exp(-(x + effect)))
    table = pa.table({"x": x, "group": [f"g{value % 40}-{value}" for value in group], "y": label.astype(np.int8)})
    path = tmp_path_factory.mktemp("asynchronous")
    for number in range(3):
        pq.write_table(table.slice(number * 2000, 2000), path / f"{number}.parquet", row_group_size=500)
    return str(path)


@pytest.mark.parametrize("processes", [False, True])
def test_files_are_read_by_whoever_has_time(files, processes):
    dataset = dsgd.read_parquet(files, label="y")
    config = {"optimizer": "adagrad", "eta0": 0.3, "batch_size": 64, "max_iter": 4, "tol": None}
    alone = train(dataset, None, **config)
    model = train(dataset, None, n_workers=2, mode=Async(shards=2), processes=processes, **config)
    assert model.coef.shape == alone.coef.shape
    assert model.history[-1]["objective"] == pytest.approx(alone.history[-1]["objective"], rel=0.1)
    assert ((model.coef != 0) == (alone.coef != 0)).mean() > 0.999


def test_more_workers_than_lots_and_lots_without_rows(files):
    few = dsgd.read_parquet(files, label="y", filters=[("x", ">", 2.2)])
    model = train(few, None, n_workers=3, mode=Async(), max_iter=3, tol=None, optimizer="adagrad")
    assert np.isfinite(model.coef).all()


def test_a_step_may_leave_the_last_one_out():
    mode = Sync(backup_workers=1)
    model = spread("dense", 2, mode)
    assert excess("dense", model) < excess_of_one_rank("dense") + 0.3
    pushes = sum(record["dropped"] + sum(record["staleness_counts"]) for record in model.history)
    assert pushes == pytest.approx(6 * 8 * 4, rel=0.2)


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"mode": Async(), "optimizer": "svrg"}, "optimizer='svrg' compares gradients"),
        ({"mode": Async(), "average": True}, "average=True averages the weights of steps in their order"),
        ({"mode": Async(correction="rate"), "optimizer": "ftrl"}, "rate of its own"),
        ({"mode": Sync(backup_workers=2), "n_workers": 2}, "backup_workers=2 of 2 workers leave none"),
    ],
)
def test_combinations_that_do_not_exist(parameters, words):
    X, y = data("dense")
    with pytest.raises(ConfigError, match=words):
        dsgd.SGDClassifier(**parameters).fit(X, y)


@pytest.mark.parametrize(
    ("knobs", "words"),
    [
        ({"staleness": -1}, "staleness must be None or an integer >= 0"),
        ({"staleness": 1.5}, "staleness must be None or an integer >= 0"),
        ({"staleness": True}, "staleness must be None or an integer >= 0"),
        ({"shards": 0}, "shards must be an integer >= 1"),
        ({"restarts": "no"}, "restarts must be an integer >= 0"),
        ({"correction": "magic"}, "'none', 'rate' or 'delay'"),
        ({"compensation": 0}, "compensation must be a number > 0"),
        ({"snapshot_seconds": float("inf")}, "snapshot_seconds must be a number > 0"),
        ({"staleness": 0, "correction": "rate"}, "with staleness=0 there are none"),
    ],
)
def test_knobs_that_cannot_be(knobs, words):
    with pytest.raises(ConfigError, match=words):
        Async(**knobs)


def test_a_knob_of_another_mode_is_refused():
    assert make_mode("sync", {"topology": "tree"}) == Sync(topology="tree")
    assert replace(make_mode("async", {"staleness": np.int64(3)}), shards=2) == Async(staleness=3, shards=2)
    with pytest.raises(ConfigError, match="staleness must be left out with mode='sync'; it goes with mode='async'"):
        make_mode("sync", {"staleness": 1})
    with pytest.raises(ConfigError, match="topology must be left out with mode='async'; it goes with mode='sync'"):
        make_mode("async", {"topology": "tree"})


def test_an_error_in_a_worker_ends_the_fit_with_its_words(files):
    table = pq.read_table(f"{files}/0.parquet")
    broken = table.set_column(0, "x", pa.array([float("nan"), *table["x"].to_pylist()[1:]], pa.float32()))
    with pytest.raises(DataError, match="column 'x'"):
        dsgd.SGDClassifier(mode="async", n_workers=2).fit(broken, "y")
