"""Stores: every row once an epoch, at every level of the cache, in an order that only the seed decides."""

import os
from functools import reduce

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse

from dsgd.data import BlockStore, MemoryStore, as_dataset, assign, epoch_order, merge, open_store, read_parquet
from dsgd.data.groups import grouped
from dsgd.data.order import concatenate
from dsgd.errors import ConfigError, DataError

from ..reference.vectors import spark_vectors

ROWS = 300_000


@pytest.fixture(scope="module")
def numbered(tmp_path_factory):
    """A file of 300,000 rows (three blocks) and 20 small ones (one block), each row with a number of its own."""
    folder = tmp_path_factory.mktemp("numbered")
    numbers = np.arange(ROWS + 2000, dtype=np.float64)
    table = pa.table({"number": numbers, "city": pa.array(numbers % 50).cast(pa.int32()), "y": numbers % 3})
    pq.write_table(table.slice(0, ROWS), folder / "a.parquet")
    for i in range(20):
        pq.write_table(table.slice(ROWS + 100 * i, 100), folder / f"b{i:02}.parquet")
    return read_parquet(folder, label="y", categorical=["city"], hash_bits=8)


LEVELS = {"memory": (1 << 30, None), "files": (0, None), "source": (0, 0), "all three": (4 << 20, 3 << 20)}


@pytest.fixture(params=LEVELS)
def store(request, numbered, tmp_path):
    memory, cache = LEVELS[request.param]
    with BlockStore(
        numbered, numbered.splits(), str(tmp_path), dtype=np.float64, memory_bytes=memory, cache_bytes=cache
    ) as s:
        yield s
    assert os.listdir(tmp_path) == []


def blocks(store, order=None):
    """The blocks of an epoch without their keys."""
    return (block for _, block in store.keyed_blocks(order))


def collect(blocks):
    """The numbers, codes and labels of all rows, in the order in which they come."""
    parts = [(block.dense[:, 0].copy(), block.codes[:, 0].copy(), block.label.copy()) for block in blocks]
    return [np.concatenate(column) for column in zip(*parts, strict=True)]


def test_a_closed_store_says_so_and_does_not_look_empty(store):
    store.close()
    for use in (lambda: list(store.keyed_blocks()), lambda: store.relabel(None)):
        with pytest.raises(ValueError, match="the store is closed"):
            use()


def test_every_row_once_and_in_one_piece(store):
    assert (store.rows, len(store)) == (ROWS + 2000, 4)
    seen = []
    for epoch in range(2):
        numbers, codes, labels = collect(blocks(store, epoch_order(1, epoch)))
        np.testing.assert_array_equal(np.sort(numbers), np.arange(ROWS + 2000))
        np.testing.assert_array_equal(labels, numbers % 3)
        assert len(set(zip((numbers % 50).tolist(), codes.tolist(), strict=True))) == 50
        seen.append(numbers)
    assert not np.array_equal(*seen)
    # Neighbours in the file are no neighbours in the epoch.
    assert np.mean(np.abs(np.diff(seen[0])) < 100) < 0.01


def test_the_order_does_not_depend_on_where_blocks_are_kept(store, numbered, tmp_path_factory):
    with BlockStore(numbered, numbered.splits(), str(tmp_path_factory.mktemp("other")), dtype=np.float64) as other:
        for mine, theirs in zip(collect(blocks(store)), collect(blocks(other)), strict=True):
            np.testing.assert_array_equal(np.sort(mine), np.sort(theirs))
        assert store.statistics.to_bytes() == other.statistics.to_bytes()


def test_labels_are_mapped_once_and_for_all(store):
    with pytest.raises(DataError, match=r"label 2\.0 is none of the classes \[0, 1\]"):
        store.relabel({0: -1, 1: 1})
    store.relabel({0: 5, 1: 6, 2: 7})
    for _ in range(2):
        numbers, _, labels = collect(blocks(store, epoch_order(0, 0)))
        np.testing.assert_array_equal(labels, numbers % 3 + 5)
    with pytest.raises(DataError, match="mapped already"):
        store.relabel({5: 0, 6: 1, 7: 2})


def test_nothing_grows_with_epochs(store):
    before = store.disk_bytes
    for epoch in range(3):
        collect(blocks(store, epoch_order(0, epoch)))
    assert store.disk_bytes == before


def test_statistics_of_ranks_merge_to_those_of_the_whole(numbered, tmp_path):
    found = []
    for share in assign(numbered.splits(), 3):
        with BlockStore(numbered, share, str(tmp_path), dtype=np.float64) as store:
            found.append(store.statistics)
    merged = reduce(merge, found)
    numbers = np.arange(ROWS + 2000)
    assert merged.rows == ROWS + 2000
    np.testing.assert_allclose([merged.mean[0], merged.variance[0]], [numbers.mean(), numbers.var()], rtol=1e-12)
    np.testing.assert_array_equal(merged.label.classes, [0, 1, 2])
    np.testing.assert_array_equal(merged.label.class_rows, np.bincount(numbers % 3))


def test_a_lost_file_is_made_again(numbered, tmp_path):
    with BlockStore(numbered, numbered.splits(), str(tmp_path), dtype=np.float64, memory_bytes=0) as store:
        store.relabel({0: -1, 1: 0, 2: 1})
        before = collect(blocks(store))
        (folder,) = tmp_path.iterdir()
        files = sorted(folder.iterdir())
        files[1].unlink()
        after = collect(blocks(store))
        assert sorted(folder.iterdir()) == files
    for mine, theirs in zip(before, after, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_a_damaged_file_is_noticed(numbered, tmp_path):
    with BlockStore(numbered, numbered.splits(), str(tmp_path), memory_bytes=0) as store:
        (folder,) = tmp_path.iterdir()
        victim = sorted(folder.iterdir())[0]
        victim.write_bytes(victim.read_bytes()[:5000])
        with pytest.raises(DataError, match="cut short"):
            collect(blocks(store))


def test_nothing_is_left_behind_by_an_encoding_that_fails(tmp_path):
    table = pa.table({"x": [1.0] * 200_000 + [None], "y": [0.0] * 200_001})
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = read_parquet(tmp_path / "a.parquet", label="y")
    with pytest.raises(DataError, match=r"'x' is null in row 200000"):
        BlockStore(dataset, dataset.splits(), str(tmp_path / "scratch"), memory_bytes=0)
    assert os.listdir(tmp_path / "scratch") == []


def test_a_disk_that_cannot_be_written(numbered, tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("dsgd.data.arrays._write_all", full)
    with pytest.raises(ConfigError, match="No space left on device; limit the files with cache_bytes"):
        BlockStore(numbered, numbered.splits(), str(tmp_path), memory_bytes=0)
    assert os.listdir(tmp_path) == []


def test_a_rank_without_rows(numbered, tmp_path):
    with BlockStore(numbered, [], str(tmp_path)) as store:
        assert (store.rows, len(store), list(blocks(store, epoch_order(0, 0)))) == (0, 0, [])
        store.relabel({0: -1, 1: 1})
        assert merge(store.statistics, store.statistics).rows == 0


def test_stored_order_is_the_order_of_the_source(numbered, tmp_path):
    with BlockStore(numbered, numbered.splits(), str(tmp_path), seed=None, memory_bytes=0) as store:
        numbers, _, _ = collect(blocks(store))
    np.testing.assert_array_equal(numbers, np.arange(ROWS + 2000))


def test_classes_of_text_and_missing_numbers(tmp_path):
    x = np.array([1.0, np.nan, 3.0, np.nan, 8.0, 6.0])
    dataset = as_dataset(pa.table({"x": x, "y": ["no", "yes", "no", "no", "yes", "no"]}), "y", missing="mean")
    for memory in (0, 1 << 20):
        with BlockStore(dataset, dataset.splits(), str(tmp_path), dtype=np.float64, memory_bytes=memory) as store:
            statistics = store.statistics
            assert statistics.label.classes.tolist() == ["no", "yes"]
            assert statistics.label.class_rows.tolist() == [4, 2]
            filled = np.where(np.isnan(x), 4.5, x)
            np.testing.assert_allclose(statistics.mean, [4.5])
            np.testing.assert_allclose(statistics.variance, [filled.var()])
            np.testing.assert_allclose(statistics.imputed().norm_sum, (filled**2).sum())
            store.relabel({"no": -1, "yes": 1})
            store.impute(statistics.mean)
            block = concatenate(list(blocks(store)))
            found = sorted(zip(block.dense[:, 0].tolist(), block.label.tolist(), strict=True))
            assert found == sorted(zip(filled.tolist(), [-1, 1, -1, -1, 1, -1], strict=True))
            with pytest.raises(DataError, match="mapped already"):
                store.relabel(None)


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("lost", [False, True], ids=["", "lost"])
def test_columns_are_rescaled_wherever_blocks_are_kept(level, lost, tmp_path):
    """Also those of a file that is lost before or after."""
    rng = np.random.default_rng(0)
    x, sparse = rng.normal(size=(300, 2)), rng.random((300, 4)) * (rng.random((300, 4)) < 0.5)
    columns = {
        "a": x[:, 0],
        "b": x[:, 1],
        "city": np.arange(300) % 7,
        "v": spark_vectors(sparse),
        "y": np.arange(300.0),
    }
    dataset = as_dataset(pa.table(columns), "y", categorical=["city"], hash_bits=3)
    shift, factors = np.array([0.0, 5.0]), np.array([2.0, 0.0, -1.0, 0.5])
    memory, cache = LEVELS[level]
    with BlockStore(
        dataset, dataset.splits(), str(tmp_path), dtype=np.float64, memory_bytes=memory, cache_bytes=cache
    ) as store:
        if lost:
            for file in tmp_path.glob("*/*"):
                file.unlink()
        store.rescale(shift, factors)
        for _ in range(2):
            block = concatenate(list(blocks(store)))
            order = block.label.astype(int)
            np.testing.assert_array_equal(block.dense, (x - shift)[order])
            csr = scipy.sparse.csr_array(
                (block.values, block.indices - dataset.spec.sparse_start, block.indptr), (300, 4)
            )
            np.testing.assert_array_equal(csr.toarray(), (sparse * factors)[order])
            for file in tmp_path.glob("*/*") if lost else ():
                file.unlink()
        with pytest.raises(ValueError, match="rescaled already"):
            store.rescale(shift, factors)


def test_a_matrix_of_the_user_is_not_changed_when_it_is_rescaled(matrix, tmp_path):
    X, y = matrix
    before = as_dense_matrix(X).copy()
    dataset = as_dataset(X, y)
    shift, factors = np.full(dataset.spec.layout.dense, 2, np.float32), np.full(40, 3, np.float32)
    with open_store(dataset, dataset.splits(), str(tmp_path)) as store:
        store.rescale(shift, factors if scipy.sparse.issparse(X) else factors[:0])
        (block,) = blocks(store)
        expected = before * 3 if scipy.sparse.issparse(X) else before - 2
        np.testing.assert_array_equal(as_dense(block, 40), expected)
        with pytest.raises(ValueError, match="rescaled already"):
            store.rescale(shift, factors)
    np.testing.assert_array_equal(as_dense_matrix(X), before)


def as_dense_matrix(X):
    return X.toarray() if scipy.sparse.issparse(X) else X


def test_small_splits_share_a_block(numbered):
    sizes = [[split.rows for split in group] for group in grouped(numbered.splits(), 1000)]
    assert sizes == [[ROWS], [100] * 10, [100] * 10]


@pytest.fixture(params=["dense", "sparse"])
def matrix(request):
    rng = np.random.default_rng(0)
    X = rng.random((5000, 40)).astype(np.float32)
    if request.param == "sparse":
        X = scipy.sparse.csr_matrix(X * (rng.random(X.shape) < 0.2))
    return X, np.arange(5000, dtype=np.float32)


def as_dense(block, width):
    if block.indptr.size == 1:
        return block.dense
    return scipy.sparse.csr_array((block.values, block.indices, block.indptr), (block.rows, width)).toarray()


def test_matrices_are_wrapped(matrix, tmp_path):
    X, y = matrix
    dataset = as_dataset(X, y, sample_weight=y + 1)
    store = open_store(dataset, dataset.splits(), str(tmp_path))
    assert isinstance(store, MemoryStore)
    (whole,) = blocks(store)
    assert np.shares_memory(whole.label, y)
    assert np.shares_memory(whole.values if scipy.sparse.issparse(X) else whole.dense, getattr(X, "data", X))
    dense = as_dense_matrix(X)
    (again,) = blocks(store, epoch_order(0, 1))
    np.testing.assert_array_equal(as_dense(again, 40), dense)
    np.testing.assert_array_equal(again.weight, y + 1)
    statistics = store.statistics
    weight = y.astype(float) + 1
    mean = weight @ dense / weight.sum()
    variance = statistics.sparse_variance if scipy.sparse.issparse(X) else statistics.variance
    np.testing.assert_allclose(variance, weight @ (dense - mean) ** 2 / weight.sum(), rtol=1e-4)
    if not scipy.sparse.issparse(X):
        np.testing.assert_allclose(statistics.mean, mean, rtol=1e-5)
    store.close()
    with pytest.raises(ValueError, match="closed"):
        list(blocks(store))
    assert os.listdir(tmp_path) == []


def test_several_ranges_of_a_matrix(matrix):
    X, y = matrix
    dataset = as_dataset(X, y)
    first, second, third = dataset.splits()[0].cut(3)
    with MemoryStore(dataset, [first, third]) as store:
        (block,) = blocks(store)
        np.testing.assert_array_equal(block.label, np.delete(y, np.arange(second.start, third.start)))
    with MemoryStore(dataset, []) as store:
        assert (store.rows, list(blocks(store, epoch_order(0, 0)))) == (0, [])


def test_what_a_matrix_must_not_hold(matrix):
    X, y = matrix
    bad = X.copy()
    if scipy.sparse.issparse(bad):
        bad.data[bad.indptr[4321]] = np.nan
        bad.indices[bad.indptr[4321]] = 7
    else:
        bad[4321, 7] = np.nan
    dataset = as_dataset(bad, y)
    name = r"column 'X\W*7\]'? is NaN in row 4321 of the data in memory"
    for attempt in (
        lambda: MemoryStore(dataset, dataset.splits()),
        lambda: MemoryStore(dataset, dataset.splits()[0].cut(2)[1:]),
    ):
        with pytest.raises(DataError, match=name):
            attempt()
