"""The encoder against a plain encoding, column type by column type, and its complaints."""

import datetime
import math

import numpy as np
import pyarrow as pa
import pytest

from dsgd.data import FeatureSpec, encode_batch
from dsgd.data.encode import Encoder
from dsgd.data.resolve import Roles
from dsgd.data.spec import Categorical, Vector
from dsgd.data.where import Where
from dsgd.errors import DataError

from .reference import category_code


def codes_of(array, bits=12, **options):
    spec = FeatureSpec(categorical=(Categorical("a", bits, **options),))
    return encode_batch(spec, pa.record_batch({"a": array})).codes[:, 0].tolist()


def test_trips_as_the_reference_encodes_them(trips):
    spec = FeatureSpec(
        numeric=("distance", "delay"), categorical=tuple(Categorical(name, 12) for name in ("city", "hour", "rain"))
    )
    batch = trips.combine_chunks().to_batches()[0]
    block = encode_batch(spec, batch, np.float64, label="late", weight="fare", offset="delay")
    rows = trips.to_pylist()
    np.testing.assert_array_equal(block.dense, [[row["distance"], row["delay"]] for row in rows])
    expected = [
        [category_code(row[name], 2 + i * 4096, 12) for i, name in enumerate(("city", "hour", "rain"))] for row in rows
    ]
    np.testing.assert_array_equal(block.codes, expected)
    np.testing.assert_array_equal(block.label, trips["late"])
    np.testing.assert_array_equal(block.weight, trips["fare"])
    np.testing.assert_array_equal(block.offset, trips["delay"])


def test_a_shuffle_moves_whole_rows(trips):
    spec = FeatureSpec(("distance", "delay"), (Categorical("city", 4),), (Vector("v", 2), Vector("s", 9, sparse=True)))
    n = trips.num_rows
    vectors = pa.FixedSizeListArray.from_arrays(pa.array(np.arange(2.0 * n)), 2)
    table = trips.append_column("v", vectors).append_column("s", spark_vectors(n, 9))
    batch = table.combine_chunks().to_batches()[0]
    encoder = Encoder(spec, Roles("late", "fare", "delay"), np.float64)
    plain, moved = encoder(batch), encoder(batch, shuffle=np.random.default_rng(3))
    order = np.random.default_rng(3).permutation(n)
    assert not np.array_equal(plain.label, moved.label)
    for name in ("dense", "codes", "label", "weight", "offset"):
        np.testing.assert_array_equal(getattr(moved, name)[order], getattr(plain, name))
    np.testing.assert_array_equal(densify(moved, spec)[order], densify(plain, spec))


def densify(block, spec):
    rows = np.zeros((block.rows, spec.layout.size))
    for i in range(block.rows):
        span = slice(block.indptr[i], block.indptr[i + 1])
        rows[i, block.indices[span]] = block.values[span]
    return rows


def spark_vectors(n, width, dense_rows=False):
    """What Spark stores: sparse rows with one value at ``i % width``, every third a dense one if wanted."""
    rows = []
    for i in range(n):
        if dense_rows and i % 3 == 0:
            rows.append({"type": 1, "size": None, "indices": None, "values": [float(i + j) for j in range(width)]})
        else:
            rows.append({"type": 0, "size": width, "indices": [i % width], "values": [i + 0.5]})
    fields = [
        ("type", pa.int8()),
        ("size", pa.int32()),
        ("indices", pa.list_(pa.int32())),
        ("values", pa.list_(pa.float64())),
    ]
    return pa.array(rows, pa.struct(fields))


@pytest.mark.parametrize("sparse", [True, False])
def test_spark_vectors_of_both_kinds(sparse):
    spec = FeatureSpec(("x",), vectors=(Vector("v", 5, sparse),))
    batch = pa.record_batch({"x": np.zeros(8), "v": spark_vectors(8, 5, dense_rows=True)})
    block = encode_batch(spec, batch, np.float64)
    expected = np.zeros((8, 5))
    for i in range(8):
        if i % 3 == 0:
            expected[i] = i + np.arange(5)
        else:
            expected[i, i % 5] = i + 0.5
    found = densify(block, spec)[:, 1:] if sparse else block.dense[:, 1:]
    np.testing.assert_array_equal(found, expected)


def test_two_sparse_columns_side_by_side():
    spec = FeatureSpec(("x",), vectors=(Vector("v", 5, True), Vector("w", 3, True)))
    batch = pa.record_batch({"x": np.zeros(6), "v": spark_vectors(6, 5), "w": spark_vectors(6, 3)})
    found = densify(encode_batch(spec, batch, np.float64), spec)
    expected = np.zeros((6, 9))
    for i in range(6):
        expected[i, 1 + i % 5] = expected[i, 6 + i % 3] = i + 0.5
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    "kind", [pa.list_(pa.float32()), pa.large_list(pa.int64()), pa.list_(pa.float64(), 3)], ids=str
)
def test_lists_of_all_kinds(kind):
    rows = [[1, 2, 3], [4, 5, 6]]
    spec = FeatureSpec(vectors=(Vector("v", 3),))
    block = encode_batch(spec, pa.record_batch({"v": pa.array([[0, 0, 0], *rows], kind).slice(1)}))
    assert block.dense.tolist() == rows


def test_a_category_is_its_text():
    seven = codes_of(pa.array(["7", "x", None]))
    for array in (
        pa.array([7, 8, None], pa.int32()),
        pa.array([7, 8, None], pa.int64()),
        pa.array([7.0, 8.0, math.nan]),
        pa.array(["7", "8", None]).dictionary_encode(),
        pa.DictionaryArray.from_arrays(pa.array([2, 0, 1], pa.int8()), pa.array(["8", None, "7"])),
        pa.DictionaryArray.from_arrays(pa.array([1, 0, None], pa.uint16()), pa.array([8, 7])),
        pa.array(["-", "7", "8", None]).slice(1),
        pa.array(["7", "8", None], pa.large_string()),
    ):
        found = codes_of(array)
        assert (found[0], found[2]) == (seven[0], seven[2])
        assert found[1] == category_code("8", 0, 12)
    assert codes_of(pa.array([True, False, None])) == [category_code(v, 0, 12) for v in (True, False, None)]
    assert codes_of(pa.array([datetime.date(2013, 1, 2)])) == [category_code("2013-01-02", 0, 12)]
    assert codes_of(pa.nulls(2)) == [category_code(None, 0, 12)] * 2


def test_a_vocabulary_is_exact_and_has_a_slot_for_the_unseen():
    assert codes_of(pa.array(["b", "z", "a", None]), values=("a", "b")) == [1, 2, 0, 2]
    assert codes_of(pa.array(["b", None]), values=("a", None, "b")) == [2, 1]
    assert codes_of(pa.array([8, 7, 9]), values=(7, 8)) == [1, 0, 2]
    assert codes_of(pa.array([True, False]), values=(False, True)) == [1, 0]


@pytest.mark.parametrize("kind", [pa.int8(), pa.uint64(), pa.float16(), pa.bool_(), pa.decimal128(21, 2)], ids=str)
def test_numbers_of_all_types(kind):
    values = pa.array([1, 0, 1]).cast(kind)
    assert encode_batch(FeatureSpec(("x",)), pa.record_batch({"x": values})).dense.ravel().tolist() == [1, 0, 1]


def test_means_stand_in_for_what_is_missing():
    spec = FeatureSpec(("x",), vectors=(Vector("v", 2),), missing="mean")
    batch = pa.record_batch({"x": [1.0, None, math.nan], "v": pa.array([[1.0, 2.0], [3.0, math.nan], [5.0, 6.0]])})
    assert np.isnan(encode_batch(spec, batch).dense).sum() == 3
    imputed = encode_batch(spec.with_means([9.0, 8.0, 7.0]), batch).dense
    assert imputed.tolist() == [[1, 1, 2], [9, 3, 7], [9, 5, 6]]


def test_labels_keep_their_values_or_get_codes():
    encoder = Encoder(FeatureSpec(("x",)), Roles("y"))
    for labels, codes in ((["no", "yes", "no"], [0, 1, 0]), (["maybe", "yes", "no"], [2, 1, 0])):
        for array in (pa.array(labels), pa.array(labels).dictionary_encode()):
            assert encoder(pa.record_batch({"x": [0.0] * 3, "y": array})).label.tolist() == codes
    assert encoder.labels.values == ["no", "yes", "maybe"]
    assert encoder.labels.kind == "string"


BAD = [
    ({"x": [1.0, math.nan]}, r"'x' is NaN in row 41 of f\.parquet; set missing='mean'"),
    ({"x": [1.0, None]}, r"'x' is null in row 41 of f\.parquet"),
    ({"x": [1.0, -math.inf]}, r"'x' is -inf in row 41 of f\.parquet"),
    ({"x": [1.0, 1e300]}, r"'x' is inf in row 41 of f\.parquet; numbers must be finite as float32"),
    ({"x": ["1", "b"]}, r"'x' of f\.parquet is of type string"),
    ({"z": [1.0, 2.0], "x": None}, r"f\.parquet has no column 'x', and the model needs one"),
    ({"v": [[1.0, 2.0], [1.0]]}, r"'v' has a vector of length 1 in row 41 of f\.parquet; 2 was expected"),
    ({"v": [[1.0, 2.0], None]}, r"'v' is null in row 41"),
    ({"v": [[1.0, 2.0], [1.0, math.nan]]}, r"'v\[1\]' is NaN in row 41"),
    ({"v": [1.0, 2.0]}, r"'v' of f\.parquet is of type double; lists"),
    ({"y": [1.0, None]}, r"'y' is null in row 41 of f\.parquet; every row needs a label"),
    ({"y": [1.0, math.nan]}, r"'y' is nan in row 41 of f\.parquet; a label must be finite"),
    ({"y": [[1], [2]]}, r"label column 'y' is of type list"),
    ({"w": [1.0, -2.0]}, r"'w' is -2\.0 in row 41 of f\.parquet; a weight must be finite and not negative"),
    ({"w": [1.0, None]}, r"'w' is null in row 41"),
    ({"o": [1.0, math.inf]}, r"'o' is inf in row 41 of f\.parquet; an? offset must be finite"),
    ({"c": [1.0, 0.5]}, r"'c' is categorical and has the value 0\.5 in row 41"),
]


@pytest.mark.parametrize(("change", "message"), BAD, ids=[str(change) for change, _ in BAD])
def test_complaints_name_column_file_and_row(change, message):
    columns = {
        "x": [1.0, 2.0],
        "v": [[1.0, 2.0], [3.0, 4.0]],
        "y": [0, 1],
        "w": [1.0, 1.0],
        "o": [0.0, 0.0],
        "c": ["a", "b"],
    }
    columns = {name: values for name, values in (columns | change).items() if values is not None}
    spec = FeatureSpec(("x",), (Categorical("c"),), (Vector("v", 2),))
    with pytest.raises(DataError, match=message):
        Encoder(spec, Roles("y", "w", "o"))(pa.record_batch(columns), Where("f.parquet", 40))


def test_spark_vectors_are_checked():
    rows = spark_vectors(4, 5).to_pylist()
    rows[2]["indices"] = [5]
    spec = FeatureSpec(vectors=(Vector("v", 5, True),))
    batch = pa.record_batch({"v": pa.array(rows, spark_vectors(1, 5).type)})
    with pytest.raises(DataError, match="'v' has index 5 in row 2"):
        encode_batch(spec, batch)
    rows[2] = rows[1] | {"values": [math.inf]}
    batch = pa.record_batch({"v": pa.array(rows, spark_vectors(1, 5).type)})
    with pytest.raises(DataError, match="'v' is inf in row 2"):
        encode_batch(spec, batch)


def test_sums_that_overflow_are_no_complaint():
    spec = FeatureSpec(("x",))
    block = encode_batch(spec, pa.record_batch({"x": [1.5e308, 1.5e308]}), np.float64)
    assert block.dense.ravel().tolist() == [1.5e308, 1.5e308]
