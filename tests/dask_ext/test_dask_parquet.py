"""Frames that are Parquet files: who reads them, which columns and row groups, and when Dask reads instead."""

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

pytest.importorskip("distributed")

import dask
import dask.dataframe as dd

import dask_ext
import dsgd
from dask_ext.parquet import recognised
from dsgd.data.parquet import ParquetDataset

FEATURES = {"categorical": None, "interactions": (), "hash_bits": 18, "missing": "raise"}
N = 240


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Two files of three row groups, ordered by "a"; with an index, and a column that is not for every reader."""
    path = tmp_path_factory.mktemp("parquet")
    rng = np.random.default_rng(2)
    frame = pd.DataFrame({"a": np.arange(N), "b": rng.normal(size=N), "c": rng.choice(["x", "y"], N), "wide": "w" * 50})
    frame.loc[::17, "b"] = np.nan
    frame["late"] = (frame["a"] + 60 * rng.logistic(size=N) > N / 2).astype(np.int64)
    frame["weight"] = rng.uniform(size=N)
    for i, part in enumerate((frame[: N // 2], frame[N // 2 :])):
        pq.write_table(pa.Table.from_pandas(part), path / f"part-{i}.parquet", row_group_size=40)
    return str(path)


@pytest.fixture(params=["fsspec", "arrow"])
def frame(request, folder):
    return dd.read_parquet(folder, filesystem=request.param)


def rows_of(dataset):
    """The rows that a fit would read, as a frame."""
    batches = [batch for split in dataset.splits() for batch in dataset.read(split)]
    return pa.Table.from_batches(batches).to_pandas().astype({"c": str}).sort_values("a")


KNOWN = {
    "all": lambda f: (f, "late", None),
    "columns": lambda f: (f[["a", "c", "b", "late"]], "late", None),
    "series of the same rows": lambda f: (f[["a", "b", "c"]], f["late"], f["weight"]),
    "filtered": lambda f: (f[(f.a >= 100) & (f.c == "x")][["a", "b", "c", "late"]], "late", None),
    "turned round": lambda f: (f[20 < f.a], "late", "weight"),  # noqa: SIM300
    "filtered twice, with a series": lambda f: ((g := f[f.a < 90])[["a", "b", "c"]], g["late"], None),
    "where numbers are missing": lambda f: (f[f.b > 0.25], "late", None),
}


@pytest.fixture
def here():
    """Dask computes in this thread: a client of another test that has been closed may be its default still."""
    with dask.config.set(scheduler="sync"):
        yield


@pytest.mark.parametrize("case", KNOWN)
def test_the_rows_are_those_that_dask_computes(frame, case, here):
    X, y, weight = KNOWN[case](frame)
    dataset = recognised(X, {"label": y, "weight": weight, "offset": None}, {**FEATURES, "missing": "mean"})
    assert isinstance(dataset, ParquetDataset)
    found, wanted = rows_of(dataset), X.compute().sort_values("a")
    assert set(dataset.spec.columns) == set(X.columns) - {"late"} - ({"weight"} if weight is not None else set())
    for name in dataset.spec.columns:
        np.testing.assert_array_equal(found[name].to_numpy(), wanted[name].to_numpy())
    if not isinstance(y, str):
        np.testing.assert_array_equal(found["late"], y.compute().loc[wanted.index])


def test_only_columns_in_use_and_row_groups_that_may_match_are_read(frame):
    X = frame[frame["a"] >= 130][["a", "c", "late"]]
    dataset = recognised(X, {"label": "late", "weight": None, "offset": None}, FEATURES)
    assert [(split.path[-14:], split.row_group) for split in dataset.splits()] == [
        ("part-1.parquet", i) for i in range(3)
    ]
    read = {name for split in dataset.splits() for batch in dataset.read(split) for name in batch.schema.names}
    assert read == {"a", "c", "late"}


def test_filters_of_read_parquet_are_kept(folder):
    frame = dd.read_parquet(folder, filters=[("a", "<", 40)], columns=["a", "late"])
    dataset = recognised(frame, {"label": "late", "weight": None, "offset": None}, FEATURES)
    assert [split.rows for split in dataset.splits()] == [40]
    assert dataset.spec.columns == ("a",)


UNKNOWN = {
    "another comparison": lambda f: (f[f.a != 3], "late"),
    "or": lambda f: (f[(f.a > 3) | (f.a < 1)], "late"),
    "arithmetic": lambda f: (f[f.a + 1 > 3], "late"),
    "another frame's condition": lambda f: (f[f.assign(a=1).a > 3], "late"),
    "some partitions": lambda f: (f.partitions[:1], "late"),
    "other names": lambda f: (f.rename(columns={"a": "q"}), "late"),
    "a new column": lambda f: (f.assign(q=f.a * 2), "late"),
    "persisted": lambda f: (f.persist(scheduler="sync"), "late"),
    "other rows beside it": lambda f: (f[f.a > 3][["a", "b"]], f["late"]),
    "a label among the features": lambda f: (f, f["late"]),
}


@pytest.mark.parametrize("case", UNKNOWN)
def test_everything_else_is_left_to_dask(frame, case, here):
    X, y = UNKNOWN[case](frame)
    assert recognised(X, {"label": y, "weight": None, "offset": None}, FEATURES) is None


def test_hive_partitions_are_left_to_dask(tmp_path):
    for year in (2024, 2025):
        (tmp_path / f"year={year}").mkdir()
        pq.write_table(pa.table({"a": [1.0, 2.0], "late": [0, 1]}), tmp_path / f"year={year}" / "part.parquet")
    assert recognised(dd.read_parquet(str(tmp_path)), {"label": "late"}, FEATURES) is None


def test_ranks_read_the_files_themselves(dask_client, folder):
    """No partition is computed by Dask, and the weights are those of a fit of the files, to the last bit."""
    X = dd.read_parquet(folder)[["a", "c", "late"]]
    X = X[X["a"] > 20]

    def encoded(dask_scheduler):
        prefix = dask_scheduler.task_prefixes.get("dsgd-encode-SGDClassifier")
        return sum(prefix.state_counts.values()) if prefix else 0, len(dask_scheduler.tasks)

    before = dask_client.run_on_scheduler(encoded)
    model = dask_ext.SGDClassifier(random_state=0).fit(X, "late")
    assert dask_client.run_on_scheduler(encoded)[0] == before[0]
    files = dsgd.read_parquet(folder, label="late", numeric=["a"], categorical=["c"], filters=[("a", ">", 20)])
    np.testing.assert_array_equal(model.coef_, dask_ext.SGDClassifier(random_state=0).fit(files).coef_)
    assert model.feature_names_in_.tolist() == ["a", "c"]


def test_persisted_rows_stay_where_they_are(dask_client):
    """The bytes that workers bring each other are below 5 % of the data."""
    import dask.array as da
    import distributed

    X = da.random.default_rng(0).normal(size=(40_000, 50), chunks=(5_000, 50))
    y = (X[:, 0] > 0).astype(np.int64)
    addresses = sorted(dask_client.nthreads())
    # One worker has most, so that it is not even; the labels are cut otherwise.
    futures = [
        dask_client.compute(block, workers=addresses[i % 2], allow_other_workers=False)
        for i, block in enumerate(X.to_delayed().ravel())
    ]
    distributed.wait(futures)
    held = da.concatenate([da.from_delayed(dask_delayed(f), (5_000, 50), float) for f in futures])
    labels = y.rechunk(3_000).persist()
    distributed.wait(labels)

    def brought():
        logs = dask_client.run(lambda dask_worker: [entry["total"] for entry in dask_worker.transfer_incoming_log])
        return sum(sum(log) for log in logs.values())

    before = brought()
    dask_ext.SGDClassifier(random_state=0, max_iter=5, tol=None).fit(held, labels)
    assert brought() - before < 0.05 * X.nbytes


def dask_delayed(future):
    import dask

    return dask.delayed(future)
