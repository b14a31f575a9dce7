"""Data for the jobs: a few thousand rows of a true logistic model, as Parquet partitioned by month."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

ROWS = 4000


def customers() -> pa.Table:
    """Rows whose label depends on two numbers and a city."""
    random = np.random.default_rng(11)
    spend, age = random.normal(size=ROWS), random.normal(40, 10, size=ROWS)
    city = random.choice(["Ulm", "Bonn", "Kiel"], ROWS)
    score = 2 * spend + 0.1 * (age - 40) + np.select([city == "Ulm", city == "Bonn"], [1.0, -1.0], 0.0)
    left = random.random(ROWS) < 1 / (1 + np.exp(-score))
    return pa.table(
        {
            "id": np.arange(ROWS),
            "month": (np.arange(ROWS) * 4 // ROWS + 1).astype(np.int32),
            "spend": spend.astype(np.float32),
            "age": age.astype(np.float32),
            "city": city,
            "left": np.where(left, "yes", "no"),
            "amount": (3 * spend + random.normal(0, 0.1, ROWS)).astype(np.float32),
        }
    )


@pytest.fixture(scope="session")
def data(tmp_path_factory):
    """Path of the dataset."""
    path = tmp_path_factory.mktemp("jobs") / "customers"
    pq.write_to_dataset(customers(), path, partition_cols=["month"], basename_template="part-{i}.parquet")
    return path
