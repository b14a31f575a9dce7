"""The generated sets: the same rows wherever they are cut, with the properties that the benchmarks count on."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from benchmarks import click, data


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A directory of its own and chunks of 700 rows, so that files and chunks do not line up."""
    monkeypatch.setenv("DSGD_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(data, "CHUNK", 700)
    monkeypatch.setattr(click, "CHUNK", 700)
    return tmp_path


def test_dense_parquet_and_arrays_agree(small):
    directory = data.dense(2000)
    X, y = data.load_dense(2000, "train")
    assert X.shape == (1800, 100)
    assert X.dtype == np.float32
    table = pq.read_table(directory / "train")
    assert table.num_rows == 1800
    np.testing.assert_array_equal(table["x7"].to_numpy(), X[:, 7])
    np.testing.assert_array_equal(table["label"].to_numpy(), y)
    assert data.load_dense(2000, "test")[0].shape == (200, 100)
    assert np.linalg.norm(data.dense_truth()) == pytest.approx(3.0)


def test_click_set_has_the_stated_form(small):
    directory = click.click(3000)
    files = sorted((directory / "train").glob("*.parquet"))
    assert len(files) == 8
    table = pq.read_table(directory / "train")
    assert table.num_rows == 2700
    assert table.column_names == [*click.NUMBER_NAMES, *click.STRING_NAMES, "label"]
    assert {len(value) for value in table["c2"].to_pylist()} == {8}
    assert 0.4 < table["label"].to_numpy().mean() < 0.6
    assert pq.ParquetFile(files[0]).metadata.row_group(0).column(0).compression == "ZSTD"


def test_click_rows_do_not_depend_on_where_they_are_cut(small):
    whole = click.chunk(2)
    again = click.chunk(2)
    for one, other in zip(whole, again, strict=True):
        np.testing.assert_array_equal(one, other)
    few, many = (pq.read_table(click.click(rows) / "train") for rows in (2000, 3000))
    assert many.slice(0, few.num_rows).equals(few)


def test_csr_is_the_parquet_one_hot(small):
    X, y = click.load_csr(3000, "test")
    table = pq.read_table(click.click(3000) / "test")
    np.testing.assert_array_equal(table["label"].to_numpy(), y)
    assert X.nnz == len(y) * click.NON_ZEROS
    start = click.NUMBERS + sum(click.CARDINALITIES[:3])
    rank = X[5, start : start + click.CARDINALITIES[3]].indices[0]
    assert click.vocabulary(3)[int(rank)].as_py() == table["c3"][5].as_py()


@pytest.mark.parametrize("column", [2, 8])
def test_values_are_distinct(column):
    assert len(set(click.vocabulary(column).to_pylist())) == click.CARDINALITIES[column]


def test_an_interrupted_set_is_not_kept(small):
    def fail(directory):
        (directory / "half").write_text("half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        data.cached("broken", fail)
    assert list(small.iterdir()) == []
