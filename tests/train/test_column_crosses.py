"""Interactions in column blocks: the weights of ranks that hash them mini-batch by mini-batch, wherever the members are."""

import numpy as np
import pandas as pd
import pytest

import dsgd
from dsgd.errors import ConfigError
from dsgd.train.modes import Columns, Hybrid, Sync

from .fits import train
from .test_columns import distance

ROWS = 4000
OPTIONS = {
    "categorical": ["c", "d", "e"],
    "interactions": [("d", "c"), ("c", "e"), ("c", "d", "e")],
    "hash_bits": {"d": 9, ("d", "c"): 12, ("c", "e"): 4, ("c", "d", "e"): 16},
    "vocabulary": {"c": ["u", "v", None]},
}
CONFIG = {
    "optimizer": "adagrad",
    "eta0": 0.2,
    "batch_size": 100,
    "max_iter": 2,
    "tol": None,
    "dtype": "float64",
    "alpha": 1e-4,
}


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """A number, columns of text, of text with gaps and of integers with gaps; two classes and three that crosses decide."""
    rng = np.random.default_rng(3)
    frame = pd.DataFrame(
        {
            "a": np.where(rng.random(ROWS) < 0.1, np.nan, rng.normal(5, 2, ROWS)),
            "c": rng.choice(["u", "v", "w", None], ROWS),
            "d": rng.integers(0, 300, ROWS).astype(str),
            "e": pd.array(rng.integers(0, 7, ROWS), "Int64"),
            "weight": rng.random(ROWS) + 0.5,
        }
    )
    frame.loc[rng.random(ROWS) < 0.1, "e"] = pd.NA
    effect = (frame.c.map({"u": 1, "v": -1}).fillna(0) * (frame.e.fillna(3) - 3)).astype(float)
    effect += rng.logistic(size=ROWS) * 0.3
    frame["y"], frame["group"] = (effect > 0).astype(int), np.digitize(effect, [-1, 1])
    path = tmp_path_factory.mktemp("crosses")
    for part in range(2):
        frame[part * 2000 : (part + 1) * 2000].to_parquet(path / f"{part}.parquet", row_group_size=500)
    return str(path)


def flights(files, label="y", **options):
    options = {"numeric": ["a"], "missing": "mean", "weight": "weight"} | OPTIONS | options
    return dsgd.read_parquet(files, label=label, **options)


def fitted(data, workers, mode, **config):
    return train(data, None, n_workers=workers, mode=mode, **CONFIG | config)


@pytest.mark.parametrize(("dtype", "bound"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("rule", ["adagrad", "adam", "sgd"])
@pytest.mark.parametrize("label", ["y", "group"])
def test_the_same_weights_as_without_blocks(files, label, rule, dtype, bound):
    config = {"optimizer": rule, "dtype": dtype, "eta0": {"adam": 0.01}.get(rule, 0.2), "standardize": True}
    data = flights(files, label)
    for ranks, grids in ((1, [Columns(), Hybrid(1, 1)]), (2, [Hybrid(2, 2), Hybrid(2, 1)])):
        wanted = fitted(data, ranks, Sync(), **config)
        for grid in grids:
            size = 4 if grid == Columns() else grid.rows * grid.columns
            found = fitted(data, size, grid, **config)
            assert found.spec == wanted.spec
            assert found.coef.shape == wanted.coef.shape == (3 if label == "group" else 1, data.spec.layout.size)
            assert distance(found, wanted) < bound
            assert found.history[-1]["objective"] == pytest.approx(wanted.history[-1]["objective"], rel=10 * bound)
            np.testing.assert_array_equal(found.coef != 0, wanted.coef != 0)


def test_going_on_from_a_model(files):
    data = flights(files)
    first = fitted(data, 1, Sync())
    for rank in (first, fitted(data, 3, Columns())):
        wanted, found = (fitted(data, n, m, initial=rank, max_iter=1) for n, m in ((1, Sync()), (3, Columns())))
        assert distance(found, wanted) < 1e-10
        np.testing.assert_allclose(found.state["first"], wanted.state["first"], rtol=1e-8)
        assert found.steps == 3 * first.steps / 2


@pytest.mark.parametrize("given_rows", [True, False])
def test_rows_held_out_stop_all_ranks_alike(files, given_rows):
    data = flights(files)
    config = {"early_stopping": True, "max_iter": 20, "eta0": 1.0, "tol": 1e-3, "n_iter_no_change": 2}
    if given_rows:
        config["validation"] = (flights(files, filters=[("d", "<", "2")]),)
    one, blocks = (fitted(data, n, mode, **config) for n, mode in ((1, Hybrid(1, 1)), (4, Columns())))
    assert blocks.epochs == one.epochs < 20
    assert [r["validation"] for r in blocks.history] == pytest.approx([r["validation"] for r in one.history], rel=1e-8)
    assert distance(blocks, one) < 1e-10


def test_ranks_that_are_processes(files):
    data = flights(files, "group")
    assert distance(fitted(data, 4, Hybrid(2, 2), processes=True), fitted(data, 2, Sync())) < 1e-10


def test_blocks_that_are_encoded_again_every_epoch(files, monkeypatch):
    """With the numbers that the ranks agreed on."""
    monkeypatch.setattr("dsgd.train.stores.MEMORY_BYTES", 0)
    data = flights(files)
    assert distance(fitted(data, 6, Hybrid(2, 3), cache_bytes=0), fitted(data, 2, Sync())) < 1e-10


def test_coefficients_and_predictions_by_name(files):
    parameters = {"optimizer": "adagrad", "batch_size": 100, "random_state": 0, "max_iter": 2, "tol": None}
    one, blocks = (
        dsgd.SGDClassifier(mode=mode, n_workers=n, dtype="float64", **parameters).fit(flights(files))
        for n, mode in ((1, Sync()), (3, "columns"))
    )
    tables = [model.model_.coefficient_table(largest=30) for model in (blocks, one)]
    assert any(row["name"] == "c x d x e" for row in tables[0])
    assert [(row["name"], row["position"]) for row in tables[0]] == [
        (row["name"], row["position"]) for row in tables[1]
    ]
    np.testing.assert_allclose(blocks.predict_proba(flights(files)), one.predict_proba(flights(files)), rtol=1e-9)


def test_frames_in_memory(files):
    frame = pd.read_parquet(files)
    options = {"categorical": ["c", "d", "e"], "interactions": [("d", "c"), ("c", "e")], "missing": "mean"}
    parameters = {"optimizer": "adagrad", "batch_size": 100, "random_state": 0, "max_iter": 2, "tol": None}
    one, blocks = (
        dsgd.SGDClassifier(mode=mode, n_workers=n, dtype="float64", **options, **parameters).fit(
            frame[["a", "c", "d", "e"]], frame.y
        )
        for n, mode in ((1, Hybrid(1, 1)), (6, "columns"))
    )
    np.testing.assert_allclose(blocks.coef_, one.coef_, rtol=1e-9, atol=1e-12)


def test_ranks_with_a_column_or_a_cross_each(files):
    data = flights(files)
    assert distance(fitted(data, 7, Columns()), fitted(data, 1, Sync())) < 1e-10
    with pytest.raises(ConfigError, match="8 ranks need a column each at least, and there are 7"):
        fitted(data, 8, Columns())
