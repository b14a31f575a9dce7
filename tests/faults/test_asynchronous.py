"""Workers and shards that die in the middle of an asynchronous fit: it goes on, and ends near where it would have ended."""

import logging

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import dsgd
from dsgd.errors import WorkerLost
from dsgd.train.config import FitConfig
from dsgd.train.fit import fit
from dsgd.train.modes import Async

from .mortal_members import MortalEngine

SHARDS, WORKERS = 2, 2


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    rng = np.random.default_rng(1)
    x, group = rng.normal(size=(4, 20_000)).astype(np.float32), rng.integers(0, 40, 20_000)
    score = x.sum(axis=0) + np.where(group % 2, 1.0, -1.0)
    columns = {f"x{number}": values for number, values in enumerate(x)} | {"group": [f"g{value}" for value in group]}
    columns["y"] = (rng.random(20_000) < 1 / (1 + np.exp(-score))).astype(np.int8)
    path = tmp_path_factory.mktemp("deaths") / "rows.parquet"
    pq.write_table(pa.table(columns), path, row_group_size=1000)
    return dsgd.read_parquet(path, label="y")


def train(dataset, mode):
    config = FitConfig(
        mode=mode, n_workers=WORKERS, optimizer="adagrad", eta0=0.3, batch_size=100, max_iter=8, tol=None, deadline=20.0
    )
    with MortalEngine() as engine:
        return fit(dataset, config, engine)


@pytest.fixture(scope="module")
def undisturbed(dataset):
    return train(dataset, Async(local_steps=1)).history[-1]["objective"]


# Members are processes, which take seconds to start: few cases, each with many deaths.
@pytest.mark.parametrize(
    ("deaths", "mode"),
    [
        pytest.param("0:250:1 1:200:2 2:30:1 3:60:1", {"local_steps": 1}, id="everybody"),
        pytest.param("0:100:1 1:80:2 2:9:1 3:20:1", {"local_steps": 5}, id="everybody, between steps of their own"),
        pytest.param("0:250:1 2:30:2", {"staleness": 0}, id="lead and worker, all in step"),
        pytest.param("0:20:1", {}, id="lead before it has begun"),
    ],
)
def test_it_goes_on(dataset, undisturbed, monkeypatch, caplog, deaths, mode):
    monkeypatch.setenv("DSGD_TEST_DEATHS", deaths)
    with caplog.at_level(logging.WARNING):
        model = train(dataset, Async(shards=SHARDS, snapshot_seconds=0.05, **mode))
    killed = sum(int(order.rsplit(":", 1)[1]) for order in deaths.split())
    assert sum("was killed by signal 9" in message for message in caplog.messages) == killed
    assert model.epochs == 8
    assert model.history[-1]["objective"] == pytest.approx(undisturbed, rel=0.01)


@pytest.mark.parametrize("deaths", ["0:120:1", "0:120:1 1:80:1 2:30:1"])
def test_it_begins_anew_where_nobody_holds_a_snapshot(dataset, undisturbed, monkeypatch, deaths):
    """Workers wait for the shards in the middle of a lot, and the lead cannot ask them what the shards were."""
    monkeypatch.setenv("DSGD_TEST_DEATHS", deaths)
    monkeypatch.setenv("DSGD_TEST_SNAPSHOTS", "none")
    model = train(dataset, Async(shards=SHARDS, local_steps=1))
    assert model.epochs == 8
    assert model.history[-1]["objective"] == pytest.approx(undisturbed, rel=0.01)


def test_too_many_deaths_end_it(dataset, monkeypatch):
    # Both workers at every first push: otherwise one could end the fit alone while the other is being started again.
    monkeypatch.setenv("DSGD_TEST_DEATHS", "2:1:99 3:1:99")
    with pytest.raises(WorkerLost, match="signal 9"):
        train(dataset, Async(shards=SHARDS, restarts=2))
