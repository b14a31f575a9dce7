"""Small datasets that the tests of the data path share."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest


@pytest.fixture(scope="session")
def trips() -> pa.Table:
    """1,000 rows: two numbers, a text with nulls, an integer, a boolean, a label and a weight."""
    rng = np.random.default_rng(0)
    n = 1000
    cities = np.array(["Ulm", "Bonn", "Köln", "", None], object)
    return pa.table(
        {
            "distance": rng.lognormal(size=n).astype(np.float32),
            "delay": rng.normal(50, 3, n),
            "city": pa.array(cities[rng.integers(0, 5, n)], pa.string()),
            "hour": rng.integers(0, 24, n).astype(np.int32),
            "rain": rng.integers(0, 2, n).astype(bool),
            "late": rng.integers(0, 2, n),
            "fare": rng.random(n) + 0.5,
        }
    )


@pytest.fixture(scope="session")
def trip_files(trips, tmp_path_factory):
    """The trips as three files of 400, 400 and 200 rows, with row groups of 150."""
    folder = tmp_path_factory.mktemp("trips")
    for i in range(3):
        pq.write_table(trips.slice(400 * i, 400), folder / f"part-{i}.parquet", row_group_size=150)
    return folder
