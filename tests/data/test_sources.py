"""Data in memory: every container gives the same blocks, and what does not fit together is refused."""

import itertools
import pickle

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse

from dsgd.data import BlockStore, Encoder, FeatureSpec, as_dataset, assign
from dsgd.data.matrices import MatrixDataset
from dsgd.data.order import concatenate
from dsgd.errors import ConfigError, DataError


def block_of(dataset, dtype=np.float64):
    encoder = Encoder(dataset.spec, dataset.roles, dtype)
    return concatenate([b for split in dataset.splits() for b in dataset.blocks(split, encoder, 300)])


def containers(trips):
    yield "batch", trips.combine_chunks().to_batches()[0]
    yield "chunks", pa.concat_tables([trips.slice(0, 70), trips.slice(70)])
    dictionary = trips.schema.get_field_index("city")
    parts = [
        t.set_column(dictionary, "city", t["city"].dictionary_encode()) for t in (trips.slice(0, 500), trips.slice(500))
    ]
    yield "dictionaries", pa.concat_tables(parts)


def test_tables_of_all_shapes_agree(trips):
    expected = block_of(as_dataset(trips, "late", "fare"))
    for name, table in containers(trips):
        found = block_of(as_dataset(table, "late", "fare"))
        for field in ("dense", "codes", "label", "weight"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field), err_msg=name)


def test_pandas_frames(trips):
    pandas = pytest.importorskip("pandas")
    expected = block_of(as_dataset(trips, "late", "fare"))
    frame = trips.to_pandas()
    frame.index = frame.index[::-1]
    for variant in (frame, frame.astype({"city": "category"})):
        found = block_of(as_dataset(variant, "late", variant["fare"]).with_spec(as_dataset(trips, "late", "fare").spec))
        for field in ("dense", "codes", "label", "weight"):
            np.testing.assert_array_equal(getattr(found, field), getattr(expected, field))
    with pytest.raises(ConfigError, match="column names must be strings"):
        as_dataset(pandas.DataFrame(np.ones((2, 2))))
    with pytest.raises(DataError, match="mixed types"):
        as_dataset(pandas.DataFrame({"x": [1, "a", None, [2]]}))


class Capsule:
    """Stands for a polars frame: nothing but the Arrow PyCapsule interface."""

    def __init__(self, table):
        self._table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self._table.__arrow_c_stream__(requested_schema)


def test_frames_that_speak_the_capsule_interface(trips):
    views = trips.set_column(trips.schema.get_field_index("city"), "city", trips["city"].cast(pa.large_string()))
    found = block_of(as_dataset(Capsule(views), "late", "fare"))
    np.testing.assert_array_equal(found.codes, block_of(as_dataset(trips, "late", "fare")).codes)


def test_labels_beside_a_table_get_a_name_of_their_own():
    table = pa.table({"x": [1.0, 2.0], "y": [3.0, 4.0]})
    dataset = as_dataset(table, np.array([0, 1]))
    assert (dataset.roles.label, dataset.spec.numeric) == ("_y", ("x", "y"))
    assert block_of(dataset).label.tolist() == [0, 1]


def test_a_float_matrix_is_wrapped_and_others_are_converted():
    X = np.arange(12, dtype=np.float32).reshape(4, 3)
    dataset = as_dataset(X)
    encoder = Encoder(dataset.spec, dataset.roles, np.float32)
    (block,) = dataset.blocks(dataset.splits()[0], encoder, 100)
    assert np.shares_memory(block.dense, X)
    for other in (X.astype(float), X.astype(np.int64), np.asfortranarray(X), X.tolist()):
        np.testing.assert_array_equal(block_of(as_dataset(other), np.float32).dense, X)
    for kind in ("csr", "csc", "coo"):
        found = block_of(as_dataset(scipy.sparse.coo_array(X).asformat(kind)), np.float32)
        csr = scipy.sparse.csr_array((found.values, found.indices, found.indptr), X.shape)
        np.testing.assert_array_equal(csr.toarray(), X)


@pytest.mark.parametrize("label", [["a", "b", "a"], [True, False, True], [0, 1, 0], [0.5, 1.5, 0.5]], ids=str)
def test_labels_of_all_kinds_beside_a_matrix(label, tmp_path):
    dataset = as_dataset(np.eye(3), np.array(label))
    with BlockStore(dataset, dataset.splits(), str(tmp_path)) as store:
        classes = store.statistics.label.classes
    assert classes.tolist() == sorted(set(label))
    assert classes.dtype.kind == np.array(label).dtype.kind


def test_a_fitted_spec_takes_matrices_tables_and_sparse_rows():
    X = np.arange(6.0).reshape(3, 2)
    table = pa.table({"a": X[:, 0], "b": X[:, 1]})
    by_name, by_place = as_dataset(table).spec, as_dataset(X).spec
    swapped = table.select(["b", "a"])
    np.testing.assert_array_equal(block_of(as_dataset(swapped, spec=by_name)).dense, X)
    np.testing.assert_array_equal(block_of(as_dataset(X, spec=by_name)).dense, X)
    np.testing.assert_array_equal(block_of(as_dataset(table, spec=by_place)).dense, X)
    sparse = block_of(as_dataset(scipy.sparse.csr_array(X), spec=by_name))
    assert (sparse.dense.sum(), sparse.values.tolist(), sparse.indices.tolist()) == (
        0,
        [1, 2, 3, 4, 5],
        [1, 0, 1, 0, 1],
    )
    imputing = FeatureSpec.from_dict(as_dataset(X, missing="mean").spec.with_means([7, 8]).to_dict())
    holes = np.array([[np.nan, 1.0], [2.0, np.nan]])
    assert block_of(as_dataset(holes, spec=imputing)).dense.tolist() == [[7, 1], [2, 8]]
    assert np.isnan(holes).sum() == 2


def test_shares_travel_without_the_rows_of_others(trips):
    X = np.arange(300_000.0)[:, None]
    for dataset, rows in ((as_dataset(X, X[:, 0]), 300_000), (as_dataset(trips, "late"), 1000)):
        labels = []
        for share in assign(dataset.splits(), 3):
            own, splits = dataset.only(share)
            again = pickle.loads(pickle.dumps(own))
            assert len(pickle.dumps(own)) < 0.5 * len(pickle.dumps(dataset))
            encoder = Encoder(again.spec, again.roles, np.float64)
            labels += [b.label for split in splits for b in again.blocks(split, encoder, 10_000)]
        assert sum(map(len, labels)) == rows
        if isinstance(dataset, MatrixDataset):
            np.testing.assert_array_equal(np.sort(np.concatenate(labels)), X[:, 0])


WRONG = [
    (lambda X, t: as_dataset(X, np.zeros(2)), DataError, r"y has shape \(2,\) and X has 3 rows"),
    (lambda X, t: as_dataset(t, sample_weight=np.zeros(2)), DataError, "sample_weight has shape"),
    (lambda X, t: as_dataset(X, "late"), ConfigError, "y='late' names a column, and a matrix has no column names"),
    (lambda X, t: as_dataset(X, categorical=["a"]), ConfigError, "categorical=\\['a'\\] is about columns"),
    (lambda X, t: as_dataset(X[:, 0]), DataError, r"reshape\(-1, 1\)"),
    (lambda X, t: as_dataset(np.array([["a"]])), DataError, "a matrix of numbers was expected"),
    (lambda X, t: as_dataset(as_dataset(X), np.zeros(3)), ConfigError, "y was given beside a dataset"),
    (
        lambda X, t: as_dataset(X, spec=as_dataset(np.eye(4)).spec),
        DataError,
        "has 3 columns and the model was fitted on 4",
    ),
    (lambda X, t: as_dataset(X, spec=as_dataset(t).spec), DataError, "has the categorical columns"),
    (lambda X, t: as_dataset(t, "nope"), DataError, "no column 'nope'"),
]


@pytest.mark.parametrize(("attempt", "error", "message"), WRONG, ids=[message for _, _, message in WRONG])
def test_what_does_not_fit_together(attempt, error, message):
    table = pa.table({"a": [1.0, 2.0, 3.0], "b": ["x", "y", "z"]})
    with pytest.raises(error, match=message):
        attempt(np.eye(3), table)


def test_a_column_that_is_missing_at_prediction():
    spec = as_dataset(pa.table({"a": [1.0], "b": ["x"]})).spec
    with pytest.raises(DataError, match=r"the data has no column 'b', .*; the columns are \['a'\]"):
        block_of(as_dataset(pa.table({"a": [1.0]}), spec=spec))


@pytest.mark.parametrize("table", [np.eye(3), pa.table({"x": [1.0, 2.0, 3.0]})], ids=["matrix", "table"])
@pytest.mark.parametrize("values", [[1, "a", 2], [True, 1, 0], ["a", 2.0, "b"], [1, 2**70, 3]], ids=str)
def test_labels_of_several_kinds_in_one_array(table, values):
    with pytest.raises(DataError, match=r"y holds values of the types (.*int|float, str)"):
        as_dataset(table, np.array(values, object))


@pytest.mark.parametrize("role", ["sample_weight", "offset"])
@pytest.mark.parametrize(
    "values", [["1", "2", "3"], np.array([1, "a", 2], object), np.zeros(3, "datetime64[s]")], ids=str
)
def test_weights_that_are_no_numbers(role, values):
    with pytest.raises(DataError, match=f"{role} (is of type|must hold numbers)"):
        as_dataset(np.eye(3), **{role: values})


@pytest.mark.parametrize("role", ["y", "sample_weight", "offset"])
def test_what_stands_beside_a_matrix_is_checked(role):
    values = np.array([0.0, 1.0, np.nan])
    dataset = as_dataset(np.eye(3), **{role: values})
    with pytest.raises(DataError, match=rf"'{role}' is nan in row 2 of the data in memory"):
        block_of(dataset)


def test_a_part_of_a_table_shares_its_buffers(trips):
    dataset = as_dataset(trips, "late")
    part, _ = dataset.only(dataset.splits())
    other = dataset.with_spec(dataset.spec)
    for copied in (part, other):
        for name in trips.column_names:
            ours, theirs = (table.column(name).chunk(0).buffers()[1].address for table in (copied.table, dataset.table))
            assert ours == theirs


def test_chunks_with_dictionaries_of_their_own_are_one_column():
    parts = [["a", "b"], ["c"], ["b", "c", "a"]]
    column = pa.chunked_array([pa.array(part).dictionary_encode() for part in parts])
    dataset = as_dataset(pa.table({"city": column, "y": range(6)}), "y")
    for batch_rows in (1, 2, 4, 100):
        located = list(dataset.read_located(dataset.splits()[0], batch_rows))
        assert [value for batch, _ in located for value in batch.column("city").to_pylist()] == list(
            itertools.chain(*parts)
        )
        assert [where.first for _, where in located] == [0, *np.cumsum([b.num_rows for b, _ in located[:-1]])]
        assert max(batch.num_rows for batch, _ in located) <= batch_rows


def test_dictionaries_that_are_too_many_for_their_indices_stay_apart():
    parts = [pa.array([f"{name}{i}" for i in range(100)]).dictionary_encode() for name in "ab"]
    column = pa.chunked_array([part.cast(pa.dictionary(pa.int8(), pa.string())) for part in parts])
    dataset = as_dataset(pa.table({"city": column, "y": np.zeros(200)}), "y")
    located = list(dataset.read_located(dataset.splits()[0], 1000))
    assert [value for batch, _ in located for value in batch.column("city").to_pylist()] == column.to_pylist()


def test_chunks_that_are_large_are_read_where_they_are():
    column = pa.chunked_array([np.arange(60.0), np.arange(50.0)])
    dataset = as_dataset(pa.table({"x": column, "y": np.zeros(110)}), "y")
    (first, _), (second, _) = dataset.read_located(dataset.splits()[0], 64)
    for batch, chunk in ((first, 0), (second, 1)):
        assert batch.column("x").buffers()[1].address == column.chunk(chunk).buffers()[1].address


def test_a_sparse_row_that_names_a_column_twice_has_their_sum():
    X = scipy.sparse.csr_array((np.array([1.0, 2.0, 4.0, 8.0]), np.array([2, 0, 2, 1]), np.array([0, 3, 4])), (2, 3))
    block = block_of(as_dataset(X, np.zeros(2)))
    assert (block.indptr.tolist(), block.indices.tolist(), block.values.tolist()) == ([0, 2, 3], [0, 2, 1], [2, 5, 8])
    assert X.nnz == 4  # the user's own is as it was
    small = scipy.sparse.csr_array((np.array([100, 100], np.int8), np.array([0, 0]), np.array([0, 2])), (1, 3))
    assert block_of(as_dataset(small, np.zeros(1))).values.tolist() == [200]
    plain = scipy.sparse.random_array((50, 8), density=0.5, format="csr", rng=0)
    assert as_dataset(plain, np.zeros(50)).X is plain


def test_a_spark_vector_that_names_an_element_twice_has_their_sum():
    vector = {"type": 0, "size": 3, "indices": [2, 0, 2], "values": [1.0, 2.0, 4.0]}
    kind = pa.struct(
        {"type": pa.int8(), "size": pa.int32(), "indices": pa.list_(pa.int32()), "values": pa.list_(pa.float64())}
    )
    block = block_of(as_dataset(pa.table({"v": pa.array([vector], kind), "y": [0.0]}), "y"))
    assert (block.indices.tolist(), block.values.tolist()) == ([0, 2], [2, 5])
