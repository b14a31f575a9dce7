"""Workers that join a cluster while a fit runs: with ``topology="engine"`` they have their part of the next rounds."""

import time

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from distributed import Client, LocalCluster

import dask_ext
import dsgd
from dsgd import Sync, read_parquet

rng = np.random.default_rng(5)


@pytest.fixture
def rows(tmp_path):
    X = rng.normal(size=(4_000, 3))
    y = (X @ [2.0, -1.0, 0.5] + rng.logistic(size=len(X)) > 0).astype(np.int64)
    table = pa.table({**{f"x{j}": X[:, j] for j in range(3)}, "y": y})
    pq.write_table(table, tmp_path / "rows.parquet", row_group_size=250)
    return read_parquet(tmp_path / "rows.parquet", label="y")


def leaves(dask_worker):
    """Leaves of aggregates that a worker has run."""
    return sum("dsgd-leaf" in str(event) and "executing" in str(event) for event in dask_worker.state.log)


@pytest.mark.timeout(180)
def test_a_worker_that_joins_takes_its_part(rows, tmp_path):
    options = {"random_state": 0, "max_iter": 40, "tol": None, "optimizer": "sgd", "n_workers": 4, "standardize": True}
    mode = Sync(topology="engine")
    with (
        LocalCluster(
            n_workers=1, threads_per_worker=1, host="127.0.0.1", dashboard_address=None, local_directory=str(tmp_path)
        ) as cluster,
        Client(cluster) as client,
    ):

        def join(record):
            if record["epoch"] == 2:
                cluster.scale(2)
                client.wait_for_workers(2, timeout=60)
            # Rounds are short: a worker may take a moment to be given some.
            time.sleep(0.02)

        model = dask_ext.SGDClassifier(**options, mode=mode, verbose=join).fit(rows)
        ran = client.run(leaves)
    assert len(ran) == 2
    assert min(ran.values()) > 0
    local = dsgd.SGDClassifier(**options, mode=mode).fit(rows)
    np.testing.assert_array_equal(model.coef_, local.coef_)
