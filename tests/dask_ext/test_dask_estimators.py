"""What is Dask's own in the estimators: partitions stay where they are, predictions are lazy, arrays come in chunks."""

import gc
import time

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("distributed")

import dask.array as da
import dask.dataframe as dd

import dask_ext
import dsgd
from dask_ext.collect import collect
from dask_ext.partitions import Partition, PartitionsDataset
from dask_ext.shipping import pack, unpack
from dsgd import ConfigError, DataError
from dsgd.data.resolve import Roles
from dsgd.data.spec import FeatureSpec

FEATURES = {"categorical": None, "interactions": (), "hash_bits": 18, "missing": "raise"}


@pytest.fixture(scope="module")
def rows():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(300, 3)).astype(np.float32)
    return X, (X @ [2.0, -1.0, 0.5] + rng.logistic(size=300) > 0).astype(np.int64)


def test_arrays_in_and_lazy_predictions_out(dask_client, rows):
    X, y = rows
    chunked, labels = da.from_array(X, chunks=(70, 2)), da.from_array(y, chunks=110)
    model = dask_ext.SGDClassifier(random_state=0, tol=1e-8).fit(chunked, labels, sample_weight=np.ones(300))
    local = dsgd.SGDClassifier(random_state=0, tol=1e-8, standardize=True).fit(X, y)
    np.testing.assert_allclose(model.coef_, local.coef_, rtol=1e-3)
    assert model.n_features_in_ == 3
    lazy = model.predict_proba(chunked)
    assert isinstance(lazy, da.Array)
    assert (lazy.shape, lazy.dtype) == ((300, 2), np.float32)
    np.testing.assert_array_equal(lazy.compute(), model.predict_proba(X))
    np.testing.assert_array_equal(model.predict(chunked).compute(), model.predict(X))
    assert model.score(chunked, labels) == pytest.approx(model.score(X, y))


def test_frames_keep_their_index_and_may_have_labels_beside_them(dask_client, rows):
    X, y = rows
    frame = pd.DataFrame(X, columns=["a", "b", "c"], index=np.arange(300) * 10).assign(late=y)
    lazy = dd.from_pandas(frame, npartitions=3)
    model = dask_ext.SGDClassifier(random_state=0).fit(lazy[["a", "b", "c"]], lazy["late"])
    named = dask_ext.SGDClassifier(random_state=0).fit(lazy, "late")
    # Which worker holds which partition is the cluster's choice, and so is the order of a sum.
    np.testing.assert_allclose(model.coef_, named.coef_, rtol=1e-5)
    predicted = model.predict(lazy)
    assert predicted.dtype == np.int64
    assert predicted.compute().index.equals(frame.index)
    assert list(model.predict_proba(lazy).columns) == [0, 1]
    assert model.evaluate(lazy, "late") == pytest.approx(model.evaluate(lazy, lazy["late"]))


def test_empty_partitions_and_validation_rows(dask_client, rows):
    X, y = rows
    lazy = dd.from_pandas(pd.DataFrame(X, columns=["a", "b", "c"]).assign(late=y), npartitions=4)
    some = dd.concat([lazy.loc[:159], lazy[lazy["a"] > 1e9]])
    model = dask_ext.SGDClassifier(random_state=0, early_stopping=True, max_iter=3)
    model.fit(some, "late", validation=(lazy.loc[160:], "late"))
    assert model.history_.column("validation")[-1] is not None
    assert model.predict(some).compute().shape == (160,)
    assert model.score(some, "late") > 0.6


def test_collected_partitions_know_where_they_are(dask_client, rows):
    X, _ = rows
    lazy = dd.from_pandas(pd.DataFrame(X, columns=["a", "b", "c"]), npartitions=6)
    places = sorted(dask_client.nthreads())
    dataset = collect(dask_client, lazy, {"label": "c", "weight": None, "offset": None}, FEATURES, places)
    assert all(set(partition.where) <= set(places) and partition.where for partition in dataset.partitions)
    assert dataset.spec.numeric == ("a", "b")
    for size in (1, 2, 3):
        assert sum(split.rows for share in dataset.shares(size) for split in share) == 300


def test_a_rank_reads_the_partitions_of_its_own_worker():
    partitions = [Partition(None, 50, (["first", "second"][i % 2],)) for i in range(6)]
    dataset = PartitionsDataset(partitions, Roles("y"), FeatureSpec(("a",)), ["first", "second"])
    assert [[split.index for split in share] for share in dataset.shares(2)] == [[0, 2, 4], [1, 3, 5]]


def test_a_worker_that_holds_everything_shares_it():
    spec = FeatureSpec(("a",))
    partitions = [Partition(None, 100, ("first",)) for _ in range(4)]
    dataset = PartitionsDataset(partitions, Roles("y"), spec, ["first", "second"])
    assert [sum(split.rows for split in share) for share in dataset.shares(2)] == [200, 200]


def test_no_more_is_moved_than_evens_the_ranks_out():
    """Partitions of many sizes, most on one worker: all rows are there once, none has too much, few have moved."""
    rng = np.random.default_rng(4)
    for _ in range(50):
        ranks, count = rng.integers(2, 6), rng.integers(1, 20)
        where = np.minimum(rng.integers(0, 2 * ranks, count), ranks - 1)
        lengths = rng.integers(1, 200, count)
        partitions = [Partition(None, int(n), (f"w{w}",)) for n, w in zip(lengths, where, strict=True)]
        dataset = PartitionsDataset(partitions, Roles("y"), FeatureSpec(("a",)), [f"w{i}" for i in range(ranks)])
        shares = dataset.shares(int(ranks))
        rows = sorted((s.index, row) for share in shares for s in share for row in range(s.start, s.start + s.rows))
        assert rows == [(i, row) for i, n in enumerate(lengths) for row in range(n)]
        load = [sum(split.rows for split in share) for share in shares]
        assert max(load) <= 1.25 * -(-lengths.sum() // ranks)
        surplus = sum(max(0, lengths[where == rank].sum() - lengths.sum() / ranks) for rank in range(ranks))
        moved = sum(s.rows for rank, share in enumerate(shares) for s in share if where[s.index] != rank)
        assert moved <= surplus


def test_a_rank_is_sent_its_own_partitions_only(dask_client):
    futures = dask_client.scatter(["zero", "one"])
    spec = FeatureSpec(("a",))
    dataset = PartitionsDataset([Partition(f, 10, ()) for f in futures], Roles("y"), spec)
    only, _ = dataset.only(dataset.splits()[1:])
    data, needed = pack(only)
    assert [future.key for future in needed] == [futures[1].key]
    assert [p.data for p in unpack(data, ["arrived"]).partitions] == [None, "arrived"]


@pytest.mark.parametrize(
    ("X", "y", "error", "message"),
    [
        ("frame", "nope", DataError, "no column 'nope'"),
        ("frame", None, DataError, "requires y to be passed"),
        ("frame", np.zeros(9), DataError, "y has 9 rows and X has 10"),
        ("empty", "a", DataError, "no rows"),
        ("array", "a", ConfigError, "no column names"),
        ("array", np.zeros(3), DataError, "one value a row"),
        ("infinite", "a", DataError, "'b' is inf in row 1 of partition 1"),
    ],
)
def test_collections_that_cannot_be_learnt(dask_client, X, y, error, message):
    frame = pd.DataFrame({"a": np.arange(10.0), "b": np.arange(10.0)})
    kinds = {
        "frame": lambda: dd.from_pandas(frame, npartitions=2),
        "empty": lambda: dd.from_pandas(frame[:0], npartitions=1),
        "array": lambda: da.from_array(frame.to_numpy(), chunks=(5, 2)),
        "infinite": lambda: dd.from_pandas(frame.assign(b=[*range(6), np.inf, 1, 1, 1]), npartitions=2),
    }
    with pytest.raises(error, match=message):
        dask_ext.SGDRegressor().fit(kinds[X](), y)


def test_the_tree_aggregate_reads_partitions_too(dask_client, rows):
    X, y = rows
    lazy = dd.from_pandas(pd.DataFrame(X, columns=["a", "b", "c"]).assign(late=y), npartitions=4)
    mode = dsgd.Sync(topology="engine")
    model = dask_ext.SGDClassifier(random_state=0, mode=mode).fit(lazy, "late")
    ring = dask_ext.SGDClassifier(random_state=0).fit(lazy, "late")
    np.testing.assert_allclose(model.coef_, ring.coef_, rtol=0.01)


def await_release(held, before):
    limit = time.monotonic() + 30
    while held() - before and time.monotonic() < limit:
        time.sleep(0.05)
    assert held() <= before


def test_nothing_stays_on_the_workers(dask_client, rows):
    """Nor does it take the collector of garbage, which sees to tracebacks that are kept, sooner or later."""
    X, y = rows
    lazy = dd.from_pandas(pd.DataFrame(X, columns=["a", "b", "c"]).assign(late=y), npartitions=2)
    bad = dd.from_pandas(pd.DataFrame(X, columns=["a", "b", "c"]).assign(late=np.nan), npartitions=2)

    def held():
        return {key for keys in dask_client.has_what().values() for key in keys if "dsgd-encode" in str(key)}

    gc.collect()
    gc.disable()
    try:
        before = held()
        dask_ext.SGDClassifier(random_state=0, max_iter=1, tol=None).fit(lazy, "late")
        await_release(held, before)
        with pytest.raises(DataError) as raised:
            dask_ext.SGDRegressor(random_state=0).fit(bad, "late")
        await_release(held, before)
        assert raised.value.__traceback__ is not None
    finally:
        gc.enable()
