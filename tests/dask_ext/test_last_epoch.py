"""A gang that loses a worker, without checkpoints: it goes on after the last epoch whose state the driver keeps."""

import logging
import os
import signal

import dask.array as da
import distributed
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dask_ext
from dsgd import read_parquet
from dsgd.train.checkpoints import beginning

rng = np.random.default_rng(7)
X = rng.normal(size=(400, 4))
Y = (X @ [2.0, -1.0, 0.5, 0.0] + rng.logistic(size=400) > 0).astype(np.int64)


@pytest.fixture
def chunks(dask_client):
    made = dask_client.persist([da.from_array(X, chunks=(100, 4)), da.from_array(Y, chunks=100)])
    distributed.wait(made)
    return made


@pytest.fixture
def often(monkeypatch):
    """Every epoch is left with the driver, whatever it costs."""
    monkeypatch.setattr(beginning, "_CARRIED", 0.0)


class Killing:
    """Takes reports, and kills a worker after an epoch."""

    def __init__(self, client, after):
        self._client, self._after, self.epochs, self.killed = client, after, [], False

    def __call__(self, record):
        self.epochs.append(record["epoch"])
        if record["epoch"] == self._after and not self.killed:
            self.killed = True
            first = self._client.run(os.getpid, workers=[min(self._client.nthreads())])
            os.kill(next(iter(first.values())), signal.SIGKILL)


@pytest.mark.parametrize("mode", ["sync", "columns"])
def test_a_fit_goes_on_after_the_last_epoch(dask_client, chunks, often, caplog, mode):
    options = {"random_state": 0, "max_iter": 1500, "tol": None, "optimizer": "adagrad", "n_workers": 2, "mode": mode}
    report = Killing(dask_client, after=40)
    with caplog.at_level(logging.WARNING, logger="dask_ext"):
        model = dask_ext.SGDClassifier(**options, verbose=report).fit(*chunks)
    assert "begins again from the last epoch that the driver has" in caplog.text
    assert report.epochs.count(1) == 1
    assert report.epochs[-1] == 1500
    assert [record["epoch"] for record in model.history_] == list(range(1, 1501))
    # Rows of a lost worker are made again elsewhere, and come in another order.
    distributed.wait(chunks)
    undisturbed = dask_ext.SGDClassifier(**options).fit(*chunks)
    np.testing.assert_allclose(model.coef_, undisturbed.coef_, atol=1e-4)
    assert not [name for name in dask_client.run_on_scheduler(_variables) if "dsgd-left" in name]


def test_the_same_rows_end_at_the_same_bits(dask_client, often, tmp_path):
    pq.write_table(
        pa.table({**{f"x{j}": X[:, j] for j in range(4)}, "y": Y}), tmp_path / "rows.parquet", row_group_size=50
    )
    rows = read_parquet(tmp_path, label="y")
    # One with a generator of its own: what was drawn for the first attempt is not drawn again.
    options = {"max_iter": 1500, "tol": None, "optimizer": "adagrad", "n_workers": 2, "average": True}
    report = Killing(dask_client, after=40)
    model = dask_ext.SGDClassifier(**options, random_state=np.random.RandomState(3), verbose=report).fit(rows)
    assert report.killed
    undisturbed = dask_ext.SGDClassifier(**options, random_state=np.random.RandomState(3)).fit(rows)
    np.testing.assert_array_equal(model.coef_, undisturbed.coef_)


def test_default_fits_go_on_too(dask_client, often):
    wide = rng.normal(size=(20_000, 300)) * np.geomspace(0.01, 1, 300)
    labels = (wide @ rng.normal(size=300) + rng.logistic(size=len(wide)) > 0).astype(np.int64)
    made = dask_client.persist([da.from_array(wide, chunks=(5_000, 300)), da.from_array(labels, chunks=5_000)])
    distributed.wait(made)
    report = Killing(dask_client, after=2)
    model = dask_ext.SGDClassifier(random_state=0, tol=1e-12, n_workers=2, verbose=report).fit(*made)
    distributed.wait(made)
    undisturbed = dask_ext.SGDClassifier(random_state=0, tol=1e-12, n_workers=2).fit(*made)
    np.testing.assert_allclose(model.coef_, undisturbed.coef_, rtol=1e-4)


def _variables(dask_scheduler):
    return list(dask_scheduler.extensions["variables"].variables)
