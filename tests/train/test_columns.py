"""Column blocks and grids of ranks give the weights of synchronous steps, whatever is divided and by how many."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse

import dsgd
from dsgd.errors import ConfigError
from dsgd.train.modes import Columns, Hybrid, Sync, make_mode, resolve

from ..conformance.test_modes import data, spread
from .fits import train

RULES = {"adagrad": 0.3, "sgd": 0.1, "adam": 0.01, "ftrl": 0.1, "momentum": 0.02}


def distance(model, other) -> float:
    """Relative, of weights and intercepts together."""
    both = [np.append(fitted.coef.ravel(), fitted.intercept) for fitted in (model, other)]
    return float(np.linalg.norm(both[0] - both[1]) / np.linalg.norm(both[1]))


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("rule", sorted(RULES))
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
def test_the_same_weights_as_without_blocks(kind, rule, dtype, bound):
    config = {
        "optimizer": rule,
        "eta0": RULES[rule],
        "penalty": "elasticnet",
        "l1_ratio": 0.3,
        "max_iter": 3,
        "dtype": dtype,
    }
    alone = spread(kind, 1, Hybrid(1, 1), **config)
    blocks = spread(kind, 3, Columns(), **config)
    assert distance(blocks, alone) < bound
    assert [r["objective"] for r in blocks.history] == pytest.approx(
        [r["objective"] for r in alone.history], rel=10 * bound
    )
    rows = spread(kind, 2, Sync(), **config)
    for grid in (Hybrid(2, 1), Hybrid(2, 2)):
        assert distance(spread(kind, grid.rows * grid.columns, grid, **config), rows) < bound


def test_one_rank_of_a_grid_takes_the_steps_of_one_rank():
    """Where mini-batches divide the rows evenly, so that both cut them alike."""
    for kind in ("dense", "sparse"):
        one, grid = (spread(kind, 1, mode, dtype="float64") for mode in (Sync(), Hybrid(1, 1)))
        assert distance(grid, one) < 1e-10


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_a_step_may_be_of_one_row(kind):
    config = {"optimizer": "sgd", "eta0": 0.01, "batch_size": 1, "max_iter": 1, "dtype": "float64"}
    one, blocks = (spread(kind, n, mode, **config) for n, mode in ((1, Hybrid(1, 1)), (2, Columns())))
    assert one.state["step"] == blocks.state["step"] == len(data(kind)[1])
    assert distance(blocks, one) < 1e-10
    # Row by row is what one rank does by itself, in the order of its own runs.
    alone = spread(kind, 1, Sync(), shuffle=False, **config)
    assert distance(spread(kind, 2, Columns(), shuffle=False, **config), alone) < 1e-10


@pytest.mark.parametrize("processes", [False, True])
def test_ranks_that_are_processes(processes):
    X, y = data("sparse")
    config = {"optimizer": "adagrad", "max_iter": 2, "tol": None, "batch_size": 50}
    alone = train(X, y, n_workers=1, mode=Columns(), **config)
    assert distance(train(X, y, n_workers=2, mode=Columns(), processes=processes, **config), alone) < 1e-5


@pytest.fixture(scope="module")
def table(tmp_path_factory):
    """Numbers with means and gaps, classes, vectors; weights and offsets; as a frame and as files."""
    rng, n = np.random.default_rng(3), 4000
    frame = pd.DataFrame(
        {
            "a": rng.normal(5, 2, n),
            "b": np.where(rng.random(n) < 0.1, np.nan, rng.normal(-1, 1, n)),
            "c": rng.choice(list("uvw"), n),
            "d": rng.integers(0, 500, n).astype(str),
            "v": list(rng.normal(size=(n, 5))),
            "weight": rng.random(n) + 0.5,
            "offset": rng.normal(size=n),
        }
    )
    score = frame.a - 5 + (frame.c == "u") + frame.v.map(np.sum) + frame.offset
    frame["y"] = (rng.random(n) < 1 / (1 + np.exp(-score))).astype(int)
    path = tmp_path_factory.mktemp("columns")
    for part in range(3):
        frame[part * 1333 : (part + 1) * 1333].to_parquet(path / f"{part}.parquet", row_group_size=400)
    return frame, str(path)


@pytest.mark.parametrize(
    "options",
    [{}, {"missing": "mean", "numeric": ["a", "b"]}],
    ids=["plain", "missing"],
)
@pytest.mark.parametrize("standardize", [True, False])
def test_files_with_columns_of_all_kinds(table, options, standardize):
    _, path = table
    options = {"numeric": ["a"], "categorical": ["c", "d"], "vectors": ["v"], "hash_bits": 12} | options
    dataset = dsgd.read_parquet(path, label="y", weight="weight", offset="offset", **options)
    config = {"optimizer": "adagrad", "eta0": 0.1, "batch_size": 100, "max_iter": 2, "tol": None, "dtype": "float64"}
    config |= {"standardize": standardize, "alpha": 1e-3}
    alone, blocks, grid = (
        train(dataset, None, n_workers=n, mode=mode, **config)
        for n, mode in ((1, Hybrid(1, 1)), (3, Columns()), (4, Hybrid(1, 4)))
    )
    assert alone.coef.shape == blocks.coef.shape == (1, dataset.spec.layout.size)
    assert distance(blocks, alone) < 1e-10
    assert distance(grid, alone) < 1e-10
    assert blocks.spec == alone.spec
    assert (
        distance(
            train(dataset, None, n_workers=4, mode=Hybrid(2, 2), **config), train(dataset, None, n_workers=2, **config)
        )
        < 1e-10
    )


def test_steps_are_sparse_where_those_of_one_rank_are(table):
    """For Adam they are other steps; a block of few weights is numbered too, because all columns have many."""
    dataset = dsgd.read_parquet(table[1], label="y", numeric=["a"], categorical=["c", "d"], vectors=[], hash_bits=14)
    config = {"optimizer": "adam", "eta0": 0.01, "batch_size": 100, "max_iter": 2, "tol": None, "dtype": "float64"}
    one, blocks = (train(dataset, None, n_workers=n, mode=m, **config) for n, m in ((1, Sync()), (3, Columns())))
    assert distance(blocks, one) < 1e-10


def test_frames_in_memory(table):
    frame, _ = table
    X = frame[["a", "c", "d"]]
    one, blocks = (
        dsgd.SGDClassifier(optimizer="adagrad", n_workers=n, mode=mode, random_state=0, max_iter=3, tol=None).fit(
            X, frame.y
        )
        for n, mode in ((1, Hybrid(1, 1)), (3, "columns"))
    )
    np.testing.assert_allclose(blocks.coef_, one.coef_, rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(blocks.predict_proba(X), one.predict_proba(X), rtol=1e-4)


@pytest.mark.parametrize("kind", ["dense", "sparse"])
def test_going_on_from_a_model(kind):
    X, y = data(kind)
    estimator = {
        "optimizer": "adagrad",
        "max_iter": 2,
        "tol": None,
        "random_state": 0,
        "warm_start": True,
        "batch_size": 60,
    }
    models = [
        dsgd.SGDClassifier(n_workers=n, mode=mode, **estimator).fit(X, y).fit(X, y)
        for n, mode in ((1, Hybrid(1, 1)), (2, Columns()))
    ]
    np.testing.assert_allclose(models[1].coef_, models[0].coef_, rtol=1e-4, atol=1e-6)
    assert models[1].t_ == models[0].t_


@pytest.mark.parametrize("fit_intercept", [True, False])
@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
def test_going_on_from_a_standardised_model(kind, fit_intercept):
    """Whose intercept holds what the columns' means take from the scores: of all columns, whoever has them."""
    X, y = data(kind)
    if kind != "sparse":
        X = X + np.arange(1.0, 11.0)
    estimator = {"optimizer": "adagrad", "max_iter": 2, "tol": None, "random_state": 0, "warm_start": True}
    estimator |= {"batch_size": 60, "standardize": True, "dtype": "float64", "fit_intercept": fit_intercept}
    one, blocks = (
        dsgd.SGDClassifier(n_workers=n, mode=mode, **estimator).fit(X, y).fit(X, y)
        for n, mode in ((1, Hybrid(1, 1)), (3, Columns()))
    )
    np.testing.assert_allclose(blocks.coef_, one.coef_, rtol=1e-8, atol=1e-10)
    np.testing.assert_allclose(blocks.intercept_, one.intercept_, rtol=1e-8, atol=1e-10)


def test_validation_rows_stop_all_ranks_alike():
    X, y = data("dense")
    config = {
        "optimizer": "adagrad",
        "early_stopping": True,
        "max_iter": 30,
        "eta0": 1.0,
        "dtype": "float64",
        "batch_size": 60,
    }
    one, blocks = (train(X, y, n_workers=n, mode=mode, **config) for n, mode in ((1, Hybrid(1, 1)), (3, Columns())))
    assert blocks.epochs == one.epochs < 30
    assert distance(blocks, one) < 1e-10
    own = train(X, y, n_workers=2, mode=Columns(), validation=(X[:100], y[:100]), **config)
    assert own.history[-1]["validation"] is not None


def test_averages_and_adaptive_rates():
    config = {"optimizer": "sgd", "eta0": 0.5, "dtype": "float64"}
    for more in ({"average": True}, {"learning_rate": "adaptive", "tol": 1e-3, "max_iter": 30}):
        one, blocks = (spread("dense", n, mode, **config | more) for n, mode in ((1, Hybrid(1, 1)), (2, Columns())))
        assert distance(blocks, one) < 1e-9
        assert blocks.epochs == one.epochs


@pytest.mark.parametrize("kind", ["dense", "sparse", "multi"])
@pytest.mark.parametrize("options", [{"average": True}, {"average": 1000}, {"average": True, "batch_size": 7}], ids=str)
def test_averages_are_those_of_one_rank(kind, options):
    """All iterates of few weights, and as many of many weights."""
    config = {"optimizer": "sgd", "eta0": 0.1, "dtype": "float64"} | options
    one, blocks, plain = (
        spread(kind, n, mode, **config | more)
        for n, mode, more in ((1, Sync(), {}), (3, Columns(), {}), (1, Sync(), {"average": False}))
    )
    assert distance(blocks, one) < 1e-9
    assert distance(one, plain) > 1e-6
    assert blocks.steps == one.steps


def test_an_average_that_is_taken_once_an_epoch_is_taken():
    """Of so many weights; mini-batches are of whole runs, so that there are not as many as rows would make."""
    X, y = data("sparse")
    X = scipy.sparse.csr_matrix((X.data, X.indices, X.indptr), shape=(len(y), 30_000))
    config = {"optimizer": "adagrad", "eta0": 0.3, "batch_size": 100, "max_iter": 2, "tol": None, "average": True}
    one, blocks = (train(X, y, n_workers=n, mode=mode, **config) for n, mode in ((1, Sync()), (2, Columns())))
    assert np.abs(one.coef).max() > 0.1
    assert distance(blocks, one) < 1e-5


def test_regression_begins_at_its_null_model():
    X, _ = data("dense")
    y = 1000.0 + X @ np.arange(X.shape[1])
    model = dsgd.SGDRegressor(mode="columns", n_workers=2, random_state=0, max_iter=50).fit(X, y)
    assert model.score(X, y) > 0.95


def test_rows_that_differ_are_told():
    from dsgd.data.column_blocks import column_blocks
    from dsgd.data.sources import as_dataset
    from dsgd.errors import DataError
    from dsgd.train.columns.fit import make_tasks
    from dsgd.train.config import FitConfig
    from dsgd.train.local import LocalEngine

    X, y = data("dense")
    dataset = as_dataset(X, y)
    config = FitConfig(mode=Columns(), n_workers=2, optimizer="adagrad")
    tasks = make_tasks(dataset, config, column_blocks(dataset.spec, 2), 1, None, None, None, 0.0)
    swapped = y.copy()
    i, j = np.flatnonzero(y > 0)[0], np.flatnonzero(y < 0)[0]
    swapped[[i, j]] = swapped[[j, i]]
    object.__setattr__(tasks[1].fit, "dataset", as_dataset(X, swapped).of_columns(column_blocks(dataset.spec, 2)[1]))
    with LocalEngine(processes=False) as engine, pytest.raises(DataError, match="does not have the same rows"):
        engine.launch("dsgd.train.columns.rank:run_rank", tasks, deadline=60.0, on_report=lambda record: None)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda: spread("dense", 11, Columns()), "11 ranks need a column each at least, and there are 10"),
        (lambda: spread("dense", 3, Hybrid(2, 2)), "takes 4 workers, and n_workers is 3"),
        (lambda: Hybrid(0, 2), "rows of the grid must be an integer >= 1, not 0"),
        (
            lambda: Columns(topology="engine"),
            "topology must be 'ring' or 'tree' where columns are divided, not 'engine'",
        ),
        (lambda: resolve("hybrid"), r"needs to know the grid: Hybrid\(rows=..., columns=...\)"),
        (lambda: make_mode("columns", {"staleness": 1}), "staleness must be left out with mode='columns'"),
        (lambda: spread("dense", 2, Columns(), optimizer="svrg"), "optimizer='svrg' compares gradients of all columns"),
    ],
)
def test_what_cannot_be(make, told):
    with pytest.raises(ConfigError, match=told):
        make()


def test_a_wide_matrix_is_cut_by_what_is_in_it():
    from dsgd.data.column_blocks import column_blocks
    from dsgd.data.sources import as_dataset

    X = scipy.sparse.random(200, 10_000, 0.001, "csr", random_state=0)
    X = scipy.sparse.hstack([X, np.ones((200, 1))], format="csr")
    dataset = as_dataset(X, np.zeros(200))
    blocks = column_blocks(dataset.spec, 2, dataset.values_per_row())
    counts = [dataset.of_columns(block).X.nnz for block in blocks]
    assert sum(counts) == X.nnz
    assert max(counts) < 0.55 * X.nnz
    assert blocks[0].ranges[0][0] == 0
    assert sum(block.size for block in blocks) == X.shape[1]


def test_a_grid_says_how_many_ranks_it_takes():
    X, y = data("dense")
    options = {"optimizer": "adagrad", "max_iter": 2, "tol": None, "random_state": 0}
    grid, two = (dsgd.SGDClassifier(mode=Hybrid(1, 2), n_workers=ranks, **options).fit(X, y) for ranks in (None, 2))
    np.testing.assert_array_equal(grid.coef_, two.coef_)
    with pytest.raises(ConfigError, match="takes 2 workers, and n_workers is 3"):
        dsgd.SGDClassifier(mode=Hybrid(1, 2), n_workers=3, **options).fit(X, y)
