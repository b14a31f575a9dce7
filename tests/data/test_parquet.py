"""Parquet: what a path means, splits, filters, partitions, and files that cannot be used."""

import pickle

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pytest

from dsgd.data import Encoder, assign, read_parquet
from dsgd.errors import ConfigError, DataError


def rows_of(dataset, batch_rows=64) -> list[dict]:
    return [row for split in dataset.splits() for batch in dataset.read(split, batch_rows) for row in batch.to_pylist()]


def test_all_rows_in_order_and_strings_as_dictionaries(trips, trip_files):
    dataset = read_parquet(trip_files, label="late")
    splits = dataset.splits()
    assert [(s.rows, s.row_group, s.first_row, s.index) for s in splits] == [
        (150, 0, 0, 0), (150, 1, 150, 1), (100, 2, 300, 2), (150, 0, 0, 3), (150, 1, 150, 4), (100, 2, 300, 5),
        (150, 0, 0, 6), (50, 1, 150, 7),
    ]  # fmt: skip
    names = [*dataset.spec.columns, "late"]
    assert rows_of(dataset) == trips.select(names).to_pylist()
    batch = next(dataset.read(splits[0]))
    assert batch.schema.names == names
    assert pa.types.is_dictionary(batch.schema.field("city").type)


@pytest.mark.parametrize(
    "as_given", ["directory", "string", "glob", "list", "uri", "uri glob", "filesystem", "one file"]
)
def test_what_a_path_may_be(trip_files, as_given):
    (trip_files / "_SUCCESS").touch()
    paths = {
        "directory": trip_files,
        "string": str(trip_files) + "/",
        "glob": str(trip_files / "part-[01].par*"),
        "list": [trip_files / "part-0.parquet", str(trip_files / "part-2.parquet")],
        "uri": trip_files.as_uri(),
        "uri glob": trip_files.as_uri() + "/*.parquet",
        "filesystem": "/",
        "one file": trip_files / "part-1.parquet",
    }
    system = pafs.SubTreeFileSystem(str(trip_files), pafs.LocalFileSystem()) if as_given == "filesystem" else None
    rows = {"glob": 800, "list": 600, "one file": 400}.get(as_given, 1000)
    dataset = read_parquet(paths[as_given], label="late", filesystem=system)
    assert sum(split.rows for split in dataset.splits()) == rows
    assert len(rows_of(pickle.loads(pickle.dumps(dataset)))) == rows


@pytest.fixture(scope="module")
def partitioned(trips, tmp_path_factory):
    folder = tmp_path_factory.mktemp("hive")
    table = trips.filter(pc.field("city").is_valid() & (pc.field("city") != ""))
    pads.write_dataset(table, folder, format="parquet", partitioning=["hour", "city"], partitioning_flavor="hive")
    return table, folder


def test_partitions_are_features_filters_and_labels(partitioned):
    table, folder = partitioned
    dataset = read_parquet(folder, label="hour", numeric=["delay"], categorical=["city"], filters=[("hour", "<", 3)])
    expected = table.filter(pc.field("hour") < 3).select(["delay", "city", "hour"])
    found = rows_of(dataset)
    assert sorted(map(str, found)) == sorted(map(str, expected.to_pylist()))
    assert len({split.path for split in dataset.splits()}) == 9
    numeric = read_parquet(folder, numeric=["hour"], categorical=["city"])
    blocks = [b for s in numeric.splits() for b in numeric.blocks(s, Encoder(numeric.spec, numeric.roles), 1000)]
    np.testing.assert_array_equal(np.sort(np.concatenate([b.dense[:, 0] for b in blocks])), np.sort(table["hour"]))
    assert len(np.unique(np.concatenate([b.codes for b in blocks]))) == 3


FILTERS = [
    (pc.field("delay") > 55, pc.field("delay") > 55),
    ([("city", "==", "Bonn"), ("rain", "==", True)], (pc.field("city") == "Bonn") & pc.field("rain")),
    ([[("city", "in", ["Ulm"])], [("fare", "<", 0.6)]], pc.field("city").isin(["Ulm"]) | (pc.field("fare") < 0.6)),
    (pc.field("city").is_null(), pc.field("city").is_null()),
]


@pytest.mark.parametrize(("filters", "expression"), FILTERS, ids=[str(e) for _, e in FILTERS])
def test_filters_keep_what_arrow_keeps(trips, trip_files, filters, expression):
    dataset = read_parquet(trip_files, label="late", numeric=["distance"], categorical=["city"], filters=filters)
    expected = trips.filter(expression)
    found = rows_of(dataset)
    assert 0 < len(found) < 1000
    for name in ("distance", "city", "late"):
        assert [row[name] for row in found] == expected[name].to_pylist()


def test_filters_skip_row_groups_by_their_statistics(trip_files):
    table = pa.table({"x": np.arange(1000), "y": np.arange(1000)})
    path = trip_files.parent / "sorted.parquet"
    pq.write_table(table, path, row_group_size=100)
    splits = read_parquet(path, label="y", filters=[("x", ">=", 850)]).splits()
    assert [split.row_group for split in splits] == [8, 9]
    path.unlink()


@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_shares_balance_and_cover_every_row_once(trip_files, size):
    dataset = read_parquet(trip_files, label="late", numeric=["delay"], categorical=[])
    shares = assign(dataset.splits(), size)
    loads = [sum(split.rows for split in share) for share in shares]
    assert (len(shares), sum(loads)) == (size, 1000)
    assert max(loads) <= 1.1 * 1000 / size + 1
    rows = [row for share in shares for split in share for b in dataset.read(split, 40) for row in b.to_pylist()]
    assert sorted(map(str, rows)) == sorted(map(str, rows_of(dataset)))
    assert shares == assign(dataset.splits()[::-1], size)


def test_more_ranks_than_rows(tmp_path):
    pq.write_table(pa.table({"x": [1.0, 2.0], "y": [0, 1]}), tmp_path / "a.parquet")
    shares = assign(read_parquet(tmp_path, label="y").splits(), 5)
    assert sorted(sum(split.rows for split in share) for share in shares) == [0, 0, 0, 1, 1]
    assert assign([], 2) == [[], []]


def test_an_error_in_a_filtered_file_names_the_row_of_the_file(tmp_path):
    table = pa.table({"x": [1.0, 2.0, 3.0, None, 5.0], "k": [0, 1, 0, 1, 1], "y": [0.0] * 5})
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=2)
    dataset = read_parquet(tmp_path, label="y", numeric=["x"], categorical=[], filters=[("k", "==", 1)])
    encoder = Encoder(dataset.spec, dataset.roles)
    first, second, _ = dataset.splits()
    list(dataset.blocks(first, encoder, 10))
    with pytest.raises(DataError, match=r"'x' is null in row 3 of .*a\.parquet"):
        list(dataset.blocks(second, encoder, 10))


def test_empty_files_are_no_trouble(trips, tmp_path):
    pq.write_table(trips.slice(0, 0), tmp_path / "a.parquet")
    pq.write_table(trips.slice(0, 10), tmp_path / "b.parquet")
    assert len(rows_of(read_parquet(tmp_path, label="late"))) == 10
    assert read_parquet(tmp_path / "a.parquet", label="late").splits() == []


def test_integer_widths_may_differ_between_files_and_other_types_may_not(trips, tmp_path):
    pq.write_table(trips, tmp_path / "a.parquet")
    hours = trips.schema.get_field_index("hour")
    pq.write_table(trips.set_column(hours, "hour", trips["hour"].cast(pa.int64())), tmp_path / "b.parquet")
    assert len(read_parquet(tmp_path, label="late", categorical=["hour"]).splits()) == 2
    pq.write_table(trips.set_column(hours, "hour", trips["hour"].cast(pa.string())), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"'hour' is of type int32 in .*a\.parquet and of type string in .*c\.parquet"):
        read_parquet(tmp_path, label="late").splits()
    pq.write_table(trips.drop_columns(["hour"]), tmp_path / "c.parquet")
    with pytest.raises(DataError, match=r"'hour' is in .*a\.parquet and not in .*c\.parquet"):
        read_parquet(tmp_path, label="late").splits()
    assert len(read_parquet(tmp_path, label="late", numeric=["delay"], categorical=[]).splits()) == 3


def test_files_that_cannot_be_read(trips, tmp_path):
    pq.write_table(trips, tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    bad = tmp_path / "b.parquet"
    for content in (b"", b"city,delay\nUlm,3\n" * 9, whole[: len(whole) // 2]):
        bad.write_bytes(content)
        with pytest.raises(DataError, match=r"b\.parquet cannot be read as Parquet"):
            read_parquet(tmp_path, label="late").splits()
        with pytest.raises(DataError, match=r"b\.parquet cannot be read as Parquet"):
            _ = read_parquet(bad, label="late").spec
    # The footer is whole and the pages are not.
    bad.write_bytes(whole[:4] + b"\xff" * 2000 + whole[2004:])
    dataset = read_parquet(bad, label="late")
    with pytest.raises(DataError, match=r"b\.parquet \(row group 0\) cannot be read as Parquet"):
        rows_of(dataset)


def test_paths_and_names_that_do_not_exist(trip_files, tmp_path):
    for path, message in ((tmp_path, "has no data files"), (tmp_path / "no", "no file or directory"),
                          (str(tmp_path / "*.parquet"), "no data file matches"), ([], "empty list of paths"),
                          (7, "a path or a list")):  # fmt: skip
        with pytest.raises(DataError, match=message):
            _ = read_parquet(path).spec
    with pytest.raises(DataError, match=r"no column 'laet'; the columns are .*'late'"):
        _ = read_parquet(trip_files, label="laet").spec
    with pytest.raises(DataError, match=r"filter .* does not fit"):
        read_parquet(trip_files, label="late", filters=[("nope", "==", 1)]).splits()
    with pytest.raises(ConfigError, match="filters must be"):
        read_parquet(trip_files, label="late", filters="delay > 3")


def test_vector_columns_get_their_length_from_the_data(tmp_path):
    table = pa.table({"v": pa.array([None, [1.0, 2.0, 3.0]], pa.list_(pa.float32())), "y": [0, 1]})
    pq.write_table(table, tmp_path / "a.parquet")
    dataset = read_parquet(tmp_path, label="y", filters=pc.field("v").is_valid())
    assert dataset.spec.layout.dense == 3
    assert [row["v"] for row in rows_of(dataset)] == [[1.0, 2.0, 3.0]]
    pq.write_table(table.slice(0, 1), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="'v' is empty in all files"):
        _ = read_parquet(tmp_path, label="y").spec


def test_a_fitted_spec_finds_its_columns_or_says_which_is_missing(trips, trip_files, tmp_path):
    spec = read_parquet(trip_files, label="late", categorical=["city", "hour"]).spec
    pq.write_table(trips.select(["rain", "hour", "fare", "delay", "distance", "city"]), tmp_path / "a.parquet")
    dataset = read_parquet(tmp_path).with_spec(spec)
    assert next(dataset.read(dataset.splits()[0])).schema.names == list(spec.columns)
    pq.write_table(trips.drop_columns(["hour"]), tmp_path / "a.parquet")
    with pytest.raises(DataError, match="there is no column 'hour'; the columns are"):
        read_parquet(tmp_path).with_spec(spec).splits()
